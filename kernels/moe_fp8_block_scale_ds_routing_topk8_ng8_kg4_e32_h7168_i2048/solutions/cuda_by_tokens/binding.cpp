// The function that is called: allocates scratch and describes the weights to the copies.
#include <c10/cuda/CUDAStream.h>
#include <cuda.h>
#include <cuda_runtime.h>
#include <torch/extension.h>

#include "moe.h"

typedef decltype(&cuTensorMapEncodeTiled) Encode;

static Encode encoder() {
    static Encode found = [] {
        void* entry = nullptr;
        cudaDriverEntryPointQueryResult result;
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000, cudaEnableDefault,
                                         &result);
        return reinterpret_cast<Encode>(entry);
    }();
    TORCH_CHECK(found, "the driver makes no tensor maps");
    return found;
}

// Tiles of 128 rows and 128 columns of bytes, in the 128-byte swizzle.
static CUtensorMap map_of(const torch::Tensor& x, cuuint64_t rows, cuuint64_t columns) {
    CUtensorMap map = {};
    const cuuint64_t sizes[2] = {columns, rows}, strides[1] = {columns};
    const cuuint32_t box[2] = {128, 128}, steps[2] = {1, 1};
    const CUresult error = encoder()(
        &map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 2, x.data_ptr(), sizes, strides, box, steps,
        CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
        CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    TORCH_CHECK(error == CUDA_SUCCESS, "a tensor map failed with driver error ", int(error));
    return map;
}

template <class T>
static T* data_of(const torch::Tensor& x) {
    return static_cast<T*>(x.data_ptr());
}

// Most tokens of a call that `streamed` and `gathered` take; `inside` takes more.
constexpr int kStreamed = 2, kGathered = 1024;

void run(torch::Tensor routing_logits, torch::Tensor routing_bias, torch::Tensor hidden_states,
         torch::Tensor hidden_states_scale, torch::Tensor gemm1_weights,
         torch::Tensor gemm1_weights_scale, torch::Tensor gemm2_weights,
         torch::Tensor gemm2_weights_scale, int64_t local_expert_offset,
         double routed_scaling_factor, torch::Tensor output) {
    const int64_t tokens = hidden_states.size(0);
    if (tokens == 0) return;
    Inputs in = {};
    in.logits = data_of<float>(routing_logits), in.bias = data_of<uint16_t>(routing_bias);
    in.hidden = data_of<uint8_t>(hidden_states), in.hidden_scale = data_of<float>(hidden_states_scale);
    in.first_scale = data_of<float>(gemm1_weights_scale), in.second_scale = data_of<float>(gemm2_weights_scale);
    in.output = data_of<uint16_t>(output);
    in.offset = static_cast<int>(local_expert_offset), in.tokens = static_cast<int>(tokens);
    in.factor = static_cast<float>(routed_scaling_factor);
    const auto here = torch::TensorOptions().device(output.device());
    const auto ints = here.dtype(torch::kInt32), floats = here.dtype(torch::kFloat32);
    const auto bytes = here.dtype(torch::kUInt8), halves = here.dtype(torch::kBFloat16);
    const bool alone = tokens <= kStreamed, many = tokens > gathered::kFew, most = tokens > kGathered;
    void* stream = c10::cuda::getCurrentCUDAStream().stream();
    // Counts, of `inside` also of tokens with several rows and of gathered rows of each tile.
    torch::Tensor counts = most   ? torch::zeros({3 * kLocal + kTop * tokens / 128 + 1}, ints)
                           : many ? torch::zeros({kLocal}, ints)
                                  : torch::empty({kLocal}, ints);
    torch::Tensor list = torch::empty({kLocal, tokens}, ints);
    in.counts = data_of<int>(counts), in.list = data_of<int>(list), in.ready = in.counts + 2 * kLocal;
    if (alone) {
        torch::Tensor list_shares = torch::empty({kLocal, tokens}, floats);
        torch::Tensor unpacked = torch::empty({kTop * tokens, kInner}, halves);
        in.list_shares = data_of<float>(list_shares), in.unpacked = data_of<uint16_t>(unpacked);
        const int error = streamed::launch(in, data_of<uint8_t>(gemm1_weights), data_of<uint8_t>(gemm2_weights), stream);
        TORCH_CHECK(error == 0, "a launch failed with CUDA error ", error);
        return;
    }
    torch::Tensor places = torch::empty({tokens, kTop}, ints);
    torch::Tensor shares = torch::empty({tokens, kTop}, floats);
    torch::Tensor inner = torch::empty({kTop * tokens, kInner}, bytes);
    torch::Tensor inner_scale = torch::empty({kTop * tokens, kInner / 128}, floats);
    const int64_t rows_there = many ? kTop * tokens : 0;
    torch::Tensor rows = torch::empty({rows_there, kHidden}, bytes);
    torch::Tensor rows_scale = torch::empty({rows_there, kHidden / 128}, floats);
    torch::Tensor several = torch::empty({most ? tokens : 0}, ints);
    torch::Tensor token_rows = torch::empty({most ? tokens : 0, kTop}, ints);
    torch::Tensor row_target = torch::empty({most ? kTop * tokens : 0, 2}, ints);
    torch::Tensor parts = torch::empty({kTop * tokens, kHidden}, halves);
    in.places = data_of<int>(places), in.shares = data_of<float>(shares);
    in.inner = data_of<uint8_t>(inner), in.inner_scale = data_of<float>(inner_scale);
    in.rows = data_of<uint8_t>(rows), in.rows_scale = data_of<float>(rows_scale);
    in.several = data_of<int>(several), in.token_rows = data_of<int>(token_rows);
    in.row_target = data_of<int2>(row_target), in.parts = data_of<uint16_t>(parts);
    Maps maps = {};
    maps.first = map_of(gemm1_weights, kLocal * 2 * kInner, kHidden);
    maps.second = map_of(gemm2_weights, kLocal * kHidden, kInner);
    if (many) maps.rows = map_of(rows, rows_there, kHidden), maps.inner = map_of(inner, rows_there, kInner);
    const int error = most ? inside::launch(in, maps, stream) : gathered::launch(in, maps, stream);
    TORCH_CHECK(error == 0, "a launch failed with CUDA error ", error);
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
