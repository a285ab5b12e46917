// The function that is called: checks nothing but what a launch needs, allocates the images.
#include <c10/cuda/CUDAStream.h>
#include <cuda.h>
#include <cuda_runtime.h>
#include <torch/extension.h>

#include <cmath>

#include "gated_delta.h"

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

// `tiles` neighbouring tiles of 64 tokens and 64 columns of [tokens, columns].
static CUtensorMap map_of(const torch::Tensor& x, cuuint64_t columns, cuuint32_t tiles) {
    CUtensorMap map = {};
    const cuuint64_t sizes[3] = {64, static_cast<cuuint64_t>(x.size(0)), columns / 64};
    const cuuint64_t strides[2] = {2 * columns, 128};
    const cuuint32_t box[3] = {64, 64, tiles}, steps[3] = {1, 1, 1};
    const CUresult error = encoder()(
        &map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, x.data_ptr(), sizes, strides, box, steps,
        CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
        CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    TORCH_CHECK(error == CUDA_SUCCESS, "a tensor map failed with driver error ", int(error));
    return map;
}

static bf16_ptr bf16(const torch::Tensor& x) { return static_cast<bf16_ptr>(x.data_ptr()); }

void run(torch::Tensor q, torch::Tensor k, torch::Tensor v, torch::Tensor state,
         torch::Tensor A_log, torch::Tensor a, torch::Tensor dt_bias, torch::Tensor b,
         torch::Tensor cu_seqlens, double scale, torch::Tensor output, torch::Tensor new_state) {
    const long long tokens = q.size(0);
    Inputs in = {};
    in.q = bf16(q), in.k = bf16(k), in.v = bf16(v), in.a = bf16(a), in.b = bf16(b);
    in.state = state.data_ptr<float>();
    in.A_log = A_log.data_ptr<float>(), in.dt_bias = dt_bias.data_ptr<float>();
    in.cu_seqlens = static_cast<const long long*>(cu_seqlens.data_ptr());
    in.output = static_cast<uint16_t*>(output.data_ptr());
    in.new_state = new_state.data_ptr<float>();
    in.scale = static_cast<float>(scale == 0.0 ? 1.0 / std::sqrt(128.0) : scale);
    in.sequences = static_cast<int>(cu_seqlens.size(0) - 1);
    in.tokens = tokens;
    torch::Tensor images =
        torch::empty({static_cast<int64_t>(image_bytes(tokens, in.sequences))},
                     torch::TensorOptions().dtype(torch::kUInt8).device(q.device()));
    in.images = static_cast<char*>(images.data_ptr());
    torch::Tensor ends = torch::empty({static_cast<int64_t>(plan_segments(in))},
                                      torch::TensorOptions().dtype(torch::kUInt8).device(q.device()));
    in.ends = static_cast<char*>(ends.data_ptr());
    Maps maps = {};
    if (needs_maps(tokens))
        maps.k = map_of(k, 512, 2), maps.q = map_of(q, 512, 2), maps.v = map_of(v, 1024, 1);
    const int error = launch_gated_delta(in, maps, tokens, c10::cuda::getCurrentCUDAStream().stream());
    TORCH_CHECK(error == 0, "the launch failed with CUDA error ", error);
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
