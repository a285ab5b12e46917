"""Twenty tasks of our own in KernelBench's form, each with a right, a wrong and a slow candidate.

Sizes are module constants, so that `--reduce-by` makes a folder that a CPU can do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"
KINDS = ("right", "slow", "wrong")
TURNS = 6
"""How often the slow candidate computes what it returns."""
TRITON_RELU = """
import triton
import triton.language as tl


@triton.jit
def _relu(x, y, count, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    tl.store(y + at, tl.maximum(tl.load(x + at, mask=inside), 0.0), mask=inside)


def relu(x):
    y = torch.empty_like(x)
    _relu[(triton.cdiv(x.numel(), 1024),)](x, y, x.numel(), BLOCK=1024)
    return y
"""


@dataclass(frozen=True)
class SuiteTask:
    """One task.

    Args:
        sizes: its constants.
        inputs: expressions, of tensors.
        forward: what its Model returns.
        right, wrong: what a candidate returns.
        fields: what a model is made of.
        above: code above the candidate's class.
    """

    level: int
    name: str
    sizes: dict[str, int]
    inputs: dict[str, str]
    forward: str
    right: str
    wrong: str
    fields: dict[str, str] = field(default_factory=dict)
    above: str = ""

    @property
    def task(self) -> str:
        """The task's file."""
        made = ", ".join(self.inputs.values())
        constants = "\n".join(f"{name} = {size}" for name, size in self.sizes.items())
        return (
            f"{HEAD}\n{constants}\n\n\n{self._model('Model', self.forward)}\n\n"
            f"def get_inputs():\n    return [{made}]\n\n\n"
            f"def get_init_inputs():\n    return [{', '.join(self._given)}]\n"
        )

    def candidate(self, kind: str) -> str:
        """A candidate's file."""
        value = self.wrong if kind == "wrong" else self.right
        if kind == "slow":
            value = f"[{value} for _ in range({TURNS})][-1]"
        return f"{HEAD}{self.above}\n\n{self._model('ModelNew', value)}"

    @property
    def _given(self) -> list[str]:
        return [name for name in self.sizes if any(name in v for v in self.fields.values())]

    def _model(self, name: str, value: str) -> str:
        arguments = "".join(f", {size}" for size in self._given)
        body = "".join(f"        self.{n} = {made}\n" for n, made in self.fields.items())
        return (
            f"class {name}(nn.Module):\n"
            f"    def __init__(self{arguments}):\n        super().__init__()\n{body}\n"
            f"    def forward(self, {', '.join(self.inputs)}):\n        return {value}\n"
        )


ROWS = {"ROWS": 8192, "COLS": 4096}
X = {"x": "torch.randn(ROWS, COLS)"}
WIDE = {"BATCH": 4096, "WIDTH": 1024, "OUT": 1024}
INNER = {"inner": "nn.Linear(WIDTH, OUT)"}
BATCHED = {"x": "torch.randn(BATCH, WIDTH)"}
MANY = "torch.randn(HEADS, LENGTH, 64)"
IMAGES = {"IMAGES": 64, "SIDE": 128}
TASKS = (
    SuiteTask(
        1,
        "Square_product",
        {"N": 2048},
        {"A": "torch.rand(N, N)", "B": "torch.rand(N, N)"},
        "torch.matmul(A, B)",
        "torch.mm(A, B)",
        "torch.mm(A.half(), B.half()).float()",
    ),
    SuiteTask(
        1,
        "Tall_product",
        {"M": 16384, "K": 512, "N": 256},
        {"A": "torch.rand(M, K)", "B": "torch.rand(K, N)"},
        "A @ B",
        "torch.mm(A, B)",
        "torch.mm(A, B.flip(0))",
    ),
    SuiteTask(
        1,
        "Batched_product",
        {"BATCH": 64, "M": 256, "K": 256},
        {"A": "torch.rand(BATCH, M, K)", "B": "torch.rand(BATCH, K, M)"},
        "torch.bmm(A, B)",
        "torch.matmul(A, B)",
        "torch.matmul(A, A.transpose(1, 2))",
    ),
    SuiteTask(
        1,
        "Relu",
        ROWS,
        X,
        "torch.relu(x)",
        "relu(x)",
        "x.abs()",
        above=TRITON_RELU,
    ),
    SuiteTask(
        1,
        "Sigmoid",
        ROWS,
        X,
        "1 / (1 + torch.exp(-x))",
        "torch.sigmoid(x)",
        "0.5 + x / 4",
    ),
    SuiteTask(
        1,
        "Softmax",
        ROWS,
        X,
        "torch.exp(x) / torch.exp(x).sum(1, keepdim=True)",
        "torch.softmax(x, 1)",
        "torch.softmax(x * 1.05, 1)",
    ),
    SuiteTask(
        1,
        "Layer_norm",
        ROWS,
        X,
        "(x - x.mean(1, keepdim=True)) / torch.sqrt(x.var(1, False, keepdim=True) + 1e-5)",
        "F.layer_norm(x, x.shape[1:])",
        "x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-5)",
    ),
    SuiteTask(
        1,
        "Sum_of_rows",
        ROWS,
        X,
        "x.sum(1)",
        "torch.sum(x, dim=1)",
        "x[:, 1:].sum(1)",
    ),
    SuiteTask(
        1,
        "Largest",
        ROWS,
        X,
        "torch.argmax(x, 1)",
        "x.max(1).indices",
        "torch.argmin(x, 1)",
    ),
    SuiteTask(
        1,
        "Running_sum",
        ROWS,
        X,
        "torch.cumsum(x, 1)",
        "x.cumsum(-1)",
        "x.cumsum(1) - x",
    ),
    SuiteTask(
        1,
        "Pooling",
        IMAGES,
        {"x": "torch.randn(IMAGES, 8, SIDE, SIDE)"},
        "F.max_pool2d(x, 2)",
        "x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).amax((3, 5))",
        "F.avg_pool2d(x, 2)",
    ),
    SuiteTask(
        1,
        "Convolution",
        IMAGES,
        {"x": "torch.randn(IMAGES, 8, SIDE, SIDE)"},
        "self.inner(x)",
        "F.conv2d(x, self.inner.weight, self.inner.bias, padding=1)",
        "F.conv2d(x, self.inner.weight, padding=1)",
        fields={"inner": "nn.Conv2d(8, 8, 3, padding=1)"},
    ),
    SuiteTask(
        1,
        "Unit_length",
        ROWS,
        X,
        "x / torch.norm(x, dim=1, keepdim=True)",
        "F.normalize(x, dim=1, eps=0.0)",
        "F.normalize(x, p=1.0, dim=1)",
    ),
    SuiteTask(
        1,
        "Loss",
        {"ROWS": 8192, "CLASSES": 1024},
        {"x": "torch.randn(ROWS, CLASSES)", "t": "torch.randint(0, CLASSES, (ROWS,))"},
        "F.nll_loss(torch.log_softmax(x, 1), t)",
        "F.cross_entropy(x, t)",
        "F.cross_entropy(x, t) + torch.logsumexp(x, 1).mean()",
    ),
    SuiteTask(
        2,
        "Linear_relu",
        WIDE,
        BATCHED,
        "torch.relu(self.inner(x))",
        "torch.addmm(self.inner.bias, x, self.inner.weight.t()).relu_()",
        "torch.mm(x, self.inner.weight.t()).relu_()",
        INNER,
    ),
    SuiteTask(
        2,
        "Linear_gelu_scale",
        WIDE,
        BATCHED,
        "F.gelu(self.inner(x)) * 0.5",
        "F.gelu(F.linear(x, self.inner.weight, self.inner.bias)).mul_(0.5)",
        "F.gelu(self.inner(x), approximate='tanh') * 0.51",
        INNER,
    ),
    SuiteTask(
        2,
        "Residual_norm",
        ROWS,
        {**X, "y": "torch.randn(ROWS, COLS)"},
        "F.layer_norm(x + y, x.shape[1:])",
        "F.layer_norm(torch.add(x, y), (x.shape[1],))",
        "F.layer_norm(x, x.shape[1:]) + y",
    ),
    SuiteTask(
        2,
        "Gated_product",
        WIDE,
        BATCHED,
        "F.silu(self.inner(x)) * self.other(x)",
        "F.silu(self.inner(x)).mul_(self.other(x))",
        "F.silu(self.other(x)) * self.inner(x)",
        {**INNER, "other": "nn.Linear(WIDTH, OUT)"},
    ),
    SuiteTask(
        3,
        "Perceptron",
        WIDE,
        BATCHED,
        "self.other(torch.relu(self.inner(x)))",
        "self.other(self.inner(x).relu_())",
        "self.other(self.inner(x))",
        {**INNER, "other": "nn.Linear(OUT, WIDTH)"},
    ),
    SuiteTask(
        3,
        "Attention",
        {"HEADS": 64, "LENGTH": 512},
        {"q": MANY, "k": MANY, "v": MANY},
        "torch.softmax(q @ k.transpose(1, 2) / 8, -1) @ v",
        "F.scaled_dot_product_attention(q, k, v)",
        "torch.softmax(q @ k.transpose(1, 2), -1) @ v",
    ),
)


def write_suite(folder: Path) -> list[Path]:
    """Writes the tasks as a checkout has them; the folders of the candidates, by kind."""
    numbers: dict[int, int] = {}
    for task in TASKS:
        number = numbers[task.level] = numbers.get(task.level, 0) + 1
        place = folder / "tasks" / f"level{task.level}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}_{task.name}.py").write_text(task.task, encoding="utf-8")
        for kind in KINDS:
            (folder / kind).mkdir(exist_ok=True)
            name = f"level_{task.level}_problem_{number}_sample_0_kernel.py"
            (folder / kind / name).write_text(task.candidate(kind), encoding="utf-8")
    return [folder / kind for kind in KINDS]
