"""Tasks of our own in robust-kbench's form, and the verdict that each of their kernels must get.

Written from the form's description: a folder with func_forward.py and config_forward.json, and
kernels as CUDA files. Kernels in Python stand for those without a GPU.
"""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

from .suite_case import SuiteCase

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n\n"
NORM = """
    def forward_fn(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float):
        assert x.is_cuda, f"x is on {x.device}"
        return F.layer_norm(x, weight.shape, weight, bias, eps)


    class Model(nn.Module):
        def __init__(self, features, eps=1e-5, init_method="standard", device: str = "cuda"):
            super().__init__()
            self.eps = eps
            made = torch.ones if init_method == "standard" else torch.randn
            self.weight = nn.Parameter(made(features, device=device))
            other = torch.zeros if init_method == "standard" else torch.randn
            self.bias = nn.Parameter(other(features, device=device))

        def forward(self, x, fn=forward_fn):
            return fn(x, self.weight, self.bias, self.eps)


    def get_inputs(batch_size: int = 8, features: int = 16):
        return [torch.randn(batch_size, features)]


    input_names = ["x"]
    """
RESIDUAL = """
    def forward_fn(x, shortcut, scale):
        return F.relu(x * scale) if shortcut is None else F.relu(x * scale + shortcut)


    class Model(nn.Module):
        def __init__(self, scale=2):
            super().__init__()
            self.scale = scale

        def forward(self, x, fn=forward_fn):
            return fn(x, None, self.scale)


    def get_inputs(rows=6):
        return [torch.randn(rows, 5)]


    input_names = ["x"]
    """
CONSTANT = """
    def forward_fn(x):
        return (x - x) + 1.0


    class Model(nn.Module):
        def forward(self, x, fn=forward_fn):
            return fn(x)


    def get_inputs(rows=6):
        return [torch.randn(rows, 5)]


    input_names = ["x"]
    """
BACKWARD_NORM = """
    class AutogradFunction(torch.autograd.Function):
        backward_fn = None

        @staticmethod
        def forward(ctx, x, weight, bias, eps):
            shape = tuple(weight.shape)
            ctx.save_for_backward(x, weight, bias)
            ctx.eps, ctx.shape = eps, shape
            return F.layer_norm(x, shape, weight, bias, eps)

        @staticmethod
        def backward(ctx, grad_output):
            x, weight, bias = ctx.saved_tensors
            gradients = AutogradFunction.backward_fn(
                grad_output, x, weight, bias, ctx.eps, ctx.shape
            )
            of_x, of_weight, of_bias = gradients
            return of_x, of_weight, of_bias, None

    """
LINEAR = """
    class AutogradFunction(torch.autograd.Function):
        backward_fn = None

        @staticmethod
        def forward(ctx, x, weight, bias):
            ctx.save_for_backward(x, weight)
            return F.linear(x, weight, bias)

        @staticmethod
        def backward(ctx, grad_output):
            x, weight = ctx.saved_tensors
            of_x, of_weight, of_bias = AutogradFunction.backward_fn(grad_output, x, weight)
            return of_x, of_weight, of_bias


    def forward_fn(x, weight, bias):
        return F.linear(x, weight, bias)


    class Model(nn.Module):
        def __init__(self, width=6, out=4):
            super().__init__()
            self.inner = nn.Linear(width, out)

        def forward(self, x, fn=forward_fn):
            return fn(x, self.inner.weight, self.inner.bias)


    def get_inputs(rows=5, width=6):
        return [torch.randn(rows, width)]


    input_names = ["x"]
    """
LESS = LINEAR.replace(
    "return F.linear(x, weight, bias)", "return F.relu(F.linear(x, weight, bias))"
)
LOSS = """
    class AutogradFunction(torch.autograd.Function):
        backward_fn = None

        @staticmethod
        def forward(ctx, predictions, targets):
            ctx.save_for_backward(predictions, targets)
            return F.cross_entropy(predictions, targets)

        @staticmethod
        def backward(ctx, grad_output):
            return AutogradFunction.backward_fn(grad_output, *ctx.saved_tensors), None


    def forward_fn(predictions, targets):
        return F.cross_entropy(predictions, targets)


    class Model(nn.Module):
        def forward(self, predictions, targets, fn=forward_fn):
            return fn(predictions, targets)


    def get_inputs(rows=6, classes=5):
        return [torch.randn(rows, classes), torch.randint(classes, (rows,))]


    input_names = ["predictions", "targets"]
    """
SHIFTED = """
    def forward_fn(x, steps: int, factor: float):
        return torch.roll(x, steps, dims=1) * factor


    class Model(nn.Module):
        def __init__(self, steps=2, factor=0.5):
            super().__init__()
            self.steps, self.factor = steps, factor

        def forward(self, x, fn=forward_fn):
            return fn(x, self.steps, self.factor)


    def get_inputs(rows=6):
        return [torch.randn(rows, 8)]


    input_names = ["x"]
    """
NEAR_ZERO = CONSTANT.replace("(x - x) + 1.0", "x * 1e-4")
ALIKE = CONSTANT.replace("(x - x) + 1.0", "x.sum(1, keepdim=True).expand(-1, 5) + 0.0")
IGNORES = """
    def forward_fn(x, weight):
        return (x - x) + weight


    class Model(nn.Module):
        def __init__(self, width=5):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(width))

        def forward(self, x, fn=forward_fn):
            return fn(x, self.weight)


    def get_inputs(rows=6):
        return [torch.randn(rows, 5)]


    input_names = ["x"]
    """
IGNORES_WEIGHTS = IGNORES.replace("(x - x) + weight", "x + (weight - weight)")
SINGLE = {
    "single_input_configs": [{}],
    "single_init_configs": [{}],
    "single_shared_configs": [{}],
}
SEVERAL = {
    "multi_input_configs": [{"rows": 3}, {"rows": 7}],
    "multi_init_configs": [{"out": 4}, {"out": 2}],
    "multi_shared_configs": [{"width": 6}],
}
BACKWARDS: dict[str, tuple[str, dict[str, Any]]] = {
    "norm": (
        BACKWARD_NORM + NORM,
        {
            "multi_input_configs": [{"batch_size": 4}, {"batch_size": 9}],
            "multi_init_configs": [{"init_method": "standard"}, {"init_method": "random"}],
            "multi_shared_configs": [{"features": 16}],
        },
    ),
    "linear": (LINEAR, SEVERAL),
    "loss": (LOSS, SINGLE),
    "less": (LESS, SINGLE),
    "none": (LOSS.replace("AutogradFunction", "Other"), SINGLE),
}
"""Tasks of a backward: func_backward.py and config_backward.json."""
BACKWARDS_LEFT_OUT = {"less": "is not handed bias", "none": "AutogradFunction"}
NO_FN = CONSTANT.replace("fn=forward_fn", "other=None").replace("return fn(x)", "return x")
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "norm": (
        NORM,
        {
            "single_input_configs": [{"batch_size": 8}],
            "single_init_configs": [{"init_method": "standard"}],
            "single_shared_configs": [{"features": 16}],
            "multi_input_configs": [{"batch_size": 4}, {"batch_size": 9}],
            "multi_init_configs": [{"init_method": "standard"}, {"init_method": "random"}],
            "multi_shared_configs": [{"features": 16}, {"features": 24}],
        },
    ),
    "residual": (
        RESIDUAL,
        {
            "single_input_configs": [{"rows": 7}],
            "single_init_configs": [{"scale": 3}],
            "single_shared_configs": [{}],
        },
    ),
    "shifted": (SHIFTED, SINGLE),
    "near_zero": (NEAR_ZERO, SINGLE),
    "alike": (ALIKE, SINGLE),
    "ignores": (IGNORES, SINGLE),
    "ignores_weights": (IGNORES_WEIGHTS, SINGLE),
    "constant": (
        CONSTANT,
        {"single_input_configs": [{}], "single_init_configs": [{}], "single_shared_configs": [{}]},
    ),
    "no_fn": (
        NO_FN,
        {"single_input_configs": [{}], "single_init_configs": [{}], "single_shared_configs": [{}]},
    ),
}
LEFT_OUT = {"no_fn": "fn"}
"""The tasks that no operator can be made of, and a part of the reason."""
WEAK = {
    "constant": "spread of its outputs",
    "near_zero": "within 0.01 of zero",
    "alike": "along axis 1",
    "ignores": "less than 0.01 with other inputs",
    "ignores_weights": "less than 0.01 with other weights",
}
"""The tasks that the suite's own filters drop, and a part of the warning."""
CUDA = r"""
    #include <torch/extension.h>

    __global__ void normed(const float* x, const float* w, const float* b, float* y, int n,
                           float eps) {
      const float* row = x + blockIdx.x * n;
      float mean = 0, square = 0;
      for (int i = 0; i < n; ++i) mean += row[i];
      mean /= n;
      for (int i = 0; i < n; ++i) square += (row[i] - mean) * (row[i] - mean);
      float scale = rsqrtf(square / n + eps);
      for (int i = threadIdx.x; i < n; i += blockDim.x)
        y[blockIdx.x * n + i] = (row[i] - mean) * scale * w[i] + b[i];
    }

    torch::Tensor forward(torch::Tensor x, torch::Tensor w, torch::Tensor b, double eps) {
      auto y = torch::empty_like(x);
      int n = x.size(1);
      normed<<<x.size(0), 32>>>(x.data_ptr<float>(), w.data_ptr<float>(), b.data_ptr<float>(),
                                y.data_ptr<float>(), n, eps);
      return y;
    }

    PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("forward", &forward); }
    """
CUDA_BACKWARD = r"""
    #include <torch/extension.h>

    __global__ void gradient(const float* g, const float* p, const int64_t* t, float* y, int n) {
      const float* row = p + blockIdx.x * n;
      float sum = 0;
      for (int i = 0; i < n; ++i) sum += expf(row[i]);
      for (int i = threadIdx.x; i < n; i += blockDim.x)
        y[blockIdx.x * n + i] = (expf(row[i]) / sum - (i == t[blockIdx.x])) * *g / gridDim.x;
    }

    torch::Tensor backward(torch::Tensor grad, torch::Tensor p, torch::Tensor t) {
      auto y = torch::empty_like(p);
      gradient<<<p.size(0), 32>>>(grad.data_ptr<float>(), p.data_ptr<float>(),
                                  t.data_ptr<int64_t>(), y.data_ptr<float>(), p.size(1));
      return y;
    }

    PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("backward", &backward); }
    """
CUDA_SHIFTED = r"""
    #include <torch/extension.h>

    template <typename T>
    __global__ void shifted(const T* x, T* y, int n, int64_t steps, double factor) {
      int at = blockIdx.x * n + threadIdx.x;
      y[at] = x[blockIdx.x * n + (threadIdx.x + n - steps % n) % n] * static_cast<T>(factor);
    }

    torch::Tensor forward(torch::Tensor x, int64_t steps, double factor) {
      auto y = torch::empty_like(x);
      AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "shifted", [&] {
        shifted<scalar_t><<<x.size(0), x.size(1)>>>(
            x.data_ptr<scalar_t>(), y.data_ptr<scalar_t>(), x.size(1), steps, factor);
      });
      return y;
    }

    PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("forward", &forward); }
    """
CUDA_LINEAR = r"""
    #include <torch/extension.h>
    #include <vector>

    __global__ void product(const float* a, const float* b, float* y, int inner, int sa, int ta,
                            int sb, int tb) {
      float sum = 0;
      for (int i = 0; i < inner; ++i)
        sum += a[blockIdx.x * sa + i * ta] * b[i * sb + threadIdx.x * tb];
      y[blockIdx.x * blockDim.x + threadIdx.x] = sum;
    }

    std::vector<torch::Tensor> backward(torch::Tensor g, torch::Tensor x, torch::Tensor w) {
      int rows = g.size(0), out = g.size(1), width = x.size(1);
      auto of_x = torch::empty_like(x), of_w = torch::empty_like(w);
      auto of_b = torch::empty({out}, g.options()), ones = torch::ones({rows}, g.options());
      product<<<rows, width>>>(g.data_ptr<float>(), w.data_ptr<float>(), of_x.data_ptr<float>(),
                               out, out, 1, width, 1);
      product<<<out, width>>>(g.data_ptr<float>(), x.data_ptr<float>(), of_w.data_ptr<float>(),
                              rows, 1, out, width, 1);
      product<<<1, out>>>(ones.data_ptr<float>(), g.data_ptr<float>(), of_b.data_ptr<float>(),
                          rows, 0, 1, out, 1);
      return {of_x, of_w, of_b};
    }

    PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("backward", &backward); }
    """
TUPLE = (
    CUDA_LINEAR.replace("<vector>", "<tuple>")
    .replace(
        "std::vector<torch::Tensor>", "std::tuple<torch::Tensor, torch::Tensor, torch::Tensor>"
    )
    .replace("return {of_x, of_w, of_b};", "return std::make_tuple(of_x, of_w, of_b);")
)
P, WRONG = "PASSED", "INCORRECT_NUMERICAL"
KERNELS: dict[tuple[str, str], tuple[str, str]] = {
    ("norm", "forward.cu"): (CUDA, "NOT_JUDGED"),
    ("norm", "no_semicolon.cu"): (CUDA.replace("return y;", "return y"), "COMPILE_ERROR"),
    ("norm", "same.py"): (
        """
        import torch

        def forward(x, weight, bias, eps):
            centred = x - x.mean(-1, keepdim=True)
            scale = torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps)
            return centred * scale * weight + bias
        """,
        P,
    ),
    ("norm", "without_weights.py"): (
        """
        import torch

        def forward(x, weight, bias, eps):
            return torch.nn.functional.layer_norm(x, x.shape[-1:], eps=eps)
        """,
        WRONG,
    ),
    ("norm", "zeros.py"): (
        """
        import torch

        def forward(x, weight, bias, eps):
            return torch.zeros_like(x)
        """,
        WRONG,
    ),
    ("residual", "same.py"): (
        """
        def forward(x, shortcut, scale):
            assert shortcut is None
            return (x * scale).clamp_min(0)
        """,
        P,
    ),
    ("residual", "half.py"): (
        """
        def forward(x, shortcut, scale):
            return (x.half() * scale).clamp_min(0).float()
        """,
        WRONG,
    ),
    ("norm", "backward_same.py"): (
        """
        import torch

        def backward(grad_output, x, weight, bias, eps, normalized_shape):
            assert tuple(weight.shape) == normalized_shape
            scale = torch.rsqrt(x.var(-1, unbiased=False, keepdim=True) + eps)
            normed = (x - x.mean(-1, keepdim=True)) * scale
            inner = grad_output * weight
            of_x = inner - inner.mean(-1, keepdim=True)
            of_x = (of_x - normed * (inner * normed).mean(-1, keepdim=True)) * scale
            return of_x, (grad_output * normed).sum(0), grad_output.sum(0)
        """,
        P,
    ),
    ("norm", "backward_without_weights.py"): (
        """
        import torch

        def backward(grad_output, x, weight, bias, eps, normalized_shape):
            scale = torch.rsqrt(x.var(-1, unbiased=False, keepdim=True) + eps)
            normed = (x - x.mean(-1, keepdim=True)) * scale
            of_x = grad_output - grad_output.mean(-1, keepdim=True)
            of_x = (of_x - normed * (grad_output * normed).mean(-1, keepdim=True)) * scale
            return of_x, (grad_output * normed).sum(0), grad_output.sum(0)
        """,
        WRONG,
    ),
    ("linear", "backward.cu"): (CUDA_LINEAR, "NOT_JUDGED"),
    ("linear", "tuple.cu"): (TUPLE, "NOT_JUDGED"),
    ("shifted", "forward.cu"): (CUDA_SHIFTED, "NOT_JUDGED"),
    ("norm", "with_context.cu"): (
        "#include <ATen/cuda/CUDAContext.h>\n" + dedent(CUDA),
        "NOT_JUDGED",
    ),
    ("shifted", "same.py"): (
        """
        import torch

        def forward(x, steps, factor):
            return torch.cat((x[:, -steps:], x[:, :-steps]), 1) * factor
        """,
        P,
    ),
    ("shifted", "the_other_way.py"): (
        """
        import torch

        def forward(x, steps, factor):
            return torch.cat((x[:, steps:], x[:, :steps]), 1) * factor
        """,
        WRONG,
    ),
    ("linear", "products.py"): (
        """
        def backward(grad_output, x, weight):
            return grad_output @ weight, grad_output.T @ x, grad_output.sum(0)
        """,
        P,
    ),
    ("linear", "no_bias.py"): (
        """
        def backward(grad_output, x, weight):
            return grad_output @ weight, grad_output.T @ x, grad_output.sum(0) * 0
        """,
        WRONG,
    ),
    ("loss", "backward.cu"): (CUDA_BACKWARD, "NOT_JUDGED"),
    ("loss", "softmax.py"): (
        """
        import torch

        def backward(grad_output, predictions, targets):
            due = torch.softmax(predictions, 1)
            due[torch.arange(len(targets)), targets] -= 1
            return due * (grad_output / len(targets))
        """,
        P,
    ),
    ("loss", "ignores_the_gradient.py"): (
        """
        import torch

        def backward(grad_output, predictions, targets):
            due = torch.softmax(predictions, 1)
            due[torch.arange(len(targets)), targets] -= 1
            return due / len(targets)
        """,
        WRONG,
    ),
    ("constant", "ones.py"): (
        """
        import torch

        def forward(x):
            return torch.ones_like(x)
        """,
        P,
    ),
}
"""By task and file: the kernel, and its verdict without a GPU."""


def operator_of(task: str, file: str) -> str:
    """The operator that a kernel is for."""
    backward = task not in TASKS or file.startswith("backward")
    return f"robust_kbench_{task}" + "_backward" * backward


def write_tasks(folder: Path) -> Path:
    """Writes the tasks and their kernels as a checkout has them."""
    for name, (body, config) in TASKS.items():
        place = folder / "tasks" / name
        place.mkdir(parents=True)
        (place / "func_forward.py").write_text(HEAD + dedent(body).lstrip("\n"), encoding="utf-8")
        (place / "config_forward.json").write_text(json.dumps(config), encoding="utf-8")
    filtered = folder / "tasks" / "norm" / "filter_results.json"
    filtered.write_text(json.dumps({"output_range": True, "llm": None}), encoding="utf-8")
    for name, (body, config) in BACKWARDS.items():
        place = folder / "tasks" / name
        place.mkdir(parents=True, exist_ok=True)
        (place / "func_backward.py").write_text(HEAD + dedent(body).lstrip("\n"), encoding="utf-8")
        (place / "config_backward.json").write_text(json.dumps(config), encoding="utf-8")
    for (name, file), (source, _) in KERNELS.items():
        path = folder / "tasks" / name / file
        path.write_text(dedent(source).lstrip("\n"), encoding="utf-8")
    return folder


CASE = SuiteCase(
    "robust-kbench",
    lambda folder: (write_tasks(folder), ()),
    [
        *(f"robust_kbench_{name}" for name in TASKS if name not in LEFT_OUT),
        *(f"robust_kbench_{n}_backward" for n in BACKWARDS if n not in BACKWARDS_LEFT_OUT),
    ],
    {**LEFT_OUT, **{f"{name} backward": words for name, words in BACKWARDS_LEFT_OUT.items()}},
    {
        (operator_of(task, file), f"{task}-{Path(file).stem}"): status
        for (task, file), (_, status) in KERNELS.items()
    },
    refused="no task of robust-kbench",
)
