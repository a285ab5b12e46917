// The function that is called: checks nothing but what a launch needs.
#include <c10/cuda/CUDAStream.h>
#include <torch/extension.h>

#include <cmath>

#include "gated_delta_step.h"

static bf16_ptr bf16(const torch::Tensor& x) { return static_cast<bf16_ptr>(x.data_ptr()); }

void run(torch::Tensor q, torch::Tensor k, torch::Tensor v, torch::Tensor state,
         torch::Tensor A_log, torch::Tensor a, torch::Tensor dt_bias, torch::Tensor b, double scale,
         torch::Tensor output, torch::Tensor new_state) {
    Inputs in = {};
    in.q = bf16(q), in.k = bf16(k), in.v = bf16(v), in.a = bf16(a), in.b = bf16(b);
    in.state = state.data_ptr<float>();
    in.A_log = A_log.data_ptr<float>(), in.dt_bias = dt_bias.data_ptr<float>();
    in.output = static_cast<unsigned short*>(output.data_ptr());
    in.new_state = new_state.data_ptr<float>();
    in.scale = static_cast<float>(scale == 0.0 ? 1.0 / std::sqrt(128.0) : scale);
    in.batch = static_cast<int>(q.size(0));
    const int error = launch_gated_delta_step(in, c10::cuda::getCurrentCUDAStream().stream());
    TORCH_CHECK(error == 0, "the launch failed with CUDA error ", error);
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
