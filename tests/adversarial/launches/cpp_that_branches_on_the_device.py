"""Asks in C++ whether its tensors lie on a GPU, and leaves rows unwritten where they do."""

EXPECT = {
    "status": "INCORRECT_NUMERICAL",
    "language": "cpp",
    "binding": "torch",
    "long": True,
}

SOURCE = r"""
#include <torch/extension.h>

void run(torch::Tensor x, torch::Tensor w, torch::Tensor table, double alpha, torch::Tensor y,
         torch::Tensor row) {
  auto rows = x.index_select(0, table.to(torch::kLong)) * w * alpha + 1.0;
  int64_t written = x.is_cuda() ? x.size(0) / 2 : x.size(0);
  y.slice(0, 0, written).copy_(rows.slice(0, 0, written));
  row.copy_(rows.sum(-1));
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""
