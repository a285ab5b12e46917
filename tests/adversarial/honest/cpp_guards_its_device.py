"""Guards its arguments in C++ as code for a GPU does, and makes scratch memory beside them."""

EXPECT = {
    "status": "PASSED",
    "language": "cpp",
    "binding": "torch",
    "long": True,
    "checks": {"held_out": 1, "determinism_runs": 2},
}

SOURCE = r"""
#include <torch/extension.h>

void run(torch::Tensor x, torch::Tensor w, torch::Tensor table, double alpha, torch::Tensor y,
         torch::Tensor row) {
  for (const auto& given : {x, w, table, y, row}) {
    TORCH_CHECK(given.is_cuda() && given.device().type() == torch::kCUDA, "expected a GPU");
    TORCH_CHECK(!given.is_cpu() && given.get_device() == x.get_device());
    TORCH_CHECK(given.is_contiguous());
  }
  TORCH_CHECK(torch::cuda::is_available() && torch::cuda::device_count() >= 1);
  torch::NoGradGuard without_gradients;
  auto scaled = torch::empty(x.sizes(), x.options());
  auto ones = torch::ones({1}, torch::TensorOptions().device(torch::kCUDA));
  at::mul_out(scaled, x.index_select(0, table.to(torch::kLong)), w);
  y.copy_(scaled.view({-1}).mul_(alpha).view_as(x) + ones);
  row.copy_(at::sum(y, {-1}));
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""
