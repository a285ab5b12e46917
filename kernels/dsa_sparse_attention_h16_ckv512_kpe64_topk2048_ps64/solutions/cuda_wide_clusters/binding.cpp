// The function that is called: checks nothing but what a launch needs, allocates the parts.
#include <c10/cuda/CUDAStream.h>
#include <torch/extension.h>

#include "sparse_attention.h"

constexpr int MOST_CLUSTERED = 8;  // tokens
constexpr double LOG2_E = 1.4426950408889634;

static const unsigned short* bf16(const torch::Tensor& x) {
    return static_cast<const unsigned short*>(x.data_ptr());
}

void run(torch::Tensor q_nope, torch::Tensor q_pe, torch::Tensor ckv_cache, torch::Tensor kpe_cache,
         torch::Tensor sparse_indices, double sm_scale, torch::Tensor output, torch::Tensor lse) {
    Arguments in = {};
    in.q_nope = bf16(q_nope), in.q_pe = bf16(q_pe), in.ckv = bf16(ckv_cache), in.kpe = bf16(kpe_cache);
    in.indices = sparse_indices.data_ptr<int>();
    in.output = static_cast<unsigned short*>(output.data_ptr());
    in.lse = lse.data_ptr<float>();
    in.scale = static_cast<float>(sm_scale * LOG2_E);
    in.tokens = static_cast<int>(q_nope.size(0));
    if (in.tokens == 0) return;
    void* stream = c10::cuda::getCurrentCUDAStream().stream();
    int error = 0;
    if (in.tokens <= MOST_CLUSTERED) {
        error = launch_clustered(in, stream);
    } else {
        const int64_t splits = splits_of(in.tokens);
        const auto floats = torch::TensorOptions().dtype(torch::kFloat32).device(q_nope.device());
        torch::Tensor parts = torch::empty({in.tokens, splits, 16, 512}, floats);
        torch::Tensor sums = torch::empty({in.tokens, splits, 16, 2}, floats);
        in.parts = parts.data_ptr<float>(), in.sums = sums.data_ptr<float>();
        error = launch_split(in, stream);
    }
    TORCH_CHECK(error == 0, "the launch failed with CUDA error ", error);
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
