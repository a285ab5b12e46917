"""A small folder in KernelBench's form, of tasks and candidates of our own."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

HEAD = "import torch\nimport torch.nn as nn\n\n\n"
TASKS = {
    "level1/1_Scaled_product.py": """
        class Model(nn.Module):
            def __init__(self):
                super().__init__()

            def forward(self, A, B):
                return torch.matmul(A, B) / 4

        M, K, N = 24, 32, 16

        def get_inputs():
            return [torch.rand(M, K), torch.rand(K, N)]

        def get_init_inputs():
            return []
        """,
    "level1/2_Times_a_number.py": """
        class Model(nn.Module):
            def forward(self, x, factor: float, turns: int, negate: bool):
                x = x * factor + turns
                return -x if negate else x

        def get_inputs():
            return [torch.randn(8, 12), 3.25, 2, True]

        def get_init_inputs():
            return []
        """,
    "level1/3_Where_is_the_largest.py": """
        class Model(nn.Module):
            def __init__(self, dim: int):
                super().__init__()
                self.dim = dim

            def forward(self, x):
                return torch.argmax(x, dim=self.dim)

        def get_inputs():
            return [torch.rand(6, 20)]

        def get_init_inputs():
            return [1]
        """,
    "level1/4_Loss_of_classes.py": """
        class Model(nn.Module):
            def forward(self, predictions, targets):
                return nn.functional.cross_entropy(predictions, targets)

        def get_inputs():
            return [torch.randn(32, 10), torch.randint(0, 10, (32,))]

        def get_init_inputs():
            return []
        """,
    "level1/5_Sum_under_a_mask.py": """
        class Model(nn.Module):
            def __init__(self, dim=1):
                super().__init__()
                self.dim = dim

            def forward(self, x, mask):
                return torch.cumsum(x * mask, dim=self.dim)

        def get_inputs():
            return [torch.randn(8, 16), torch.randint(0, 2, (8, 16)).bool()]

        def get_init_inputs():
            return [1]
        """,
    "level1/6_Half_precision_sum.py": """
        class Model(nn.Module):
            def forward(self, x):
                return x + x.mean(dim=-1, keepdim=True)

        def get_inputs():
            return [torch.randn(8, 32).half()]

        def get_init_inputs():
            return []
        """,
    "level2/1_Linear_and_norm.py": """
        class Model(nn.Module):
            def __init__(self, features, out, scale):
                super().__init__()
                self.linear = nn.Linear(features, out)
                self.norm = nn.BatchNorm1d(out)
                self.scale = nn.Parameter(torch.randn(scale))

            def forward(self, x):
                return self.norm(self.linear(x)) * self.scale

        def get_inputs():
            return [torch.rand(16, 24)]

        def get_init_inputs():
            return [24, 20, (20,)]
        """,
    "level2/2_Some_are_dropped.py": """
        class Model(nn.Module):
            def __init__(self, p):
                super().__init__()
                self.linear = nn.Linear(16, 16)
                self.dropout = nn.Dropout(p)

            def forward(self, x):
                return self.dropout(self.linear(x))

        def get_inputs():
            return [torch.randn(16, 16)]

        def get_init_inputs():
            return [0.5]
        """,
    "level2/3_Always_the_same.py": """
        class Model(nn.Module):
            def forward(self, x):
                x = torch.max(x, dim=1, keepdim=True).values
                return nn.functional.gelu(x - x.mean(dim=1, keepdim=True))

        def get_inputs():
            return [torch.randn(16, 16)]

        def get_init_inputs():
            return []
        """,
    "level3/1_Recurrent_with_state.py": """
        class Model(nn.Module):
            def __init__(self, size):
                super().__init__()
                self.cell = nn.Linear(2 * size, size)
                self.hidden = torch.randn(4, size)

            def forward(self, x):
                self.hidden = self.hidden.to(x.device)
                self.hidden = torch.tanh(self.cell(torch.cat((x, self.hidden), dim=1)))
                return self.hidden, self.hidden.sum(dim=1)

        def get_inputs():
            return [torch.randn(4, 8)]

        def get_init_inputs():
            return [8]
        """,
    "level3/2_Asks_for_a_value.py": """
        class Model(nn.Module):
            def forward(self, x, count):
                return x[: count.max().item()] * 2

        def get_inputs():
            return [torch.randn(9, 4), torch.tensor([5, 7])]

        def get_init_inputs():
            return []
        """,
    "level3/3_Lacks_a_package.py": """
        from a_package_that_nobody_has import rearrange

        class Model(nn.Module):
            def forward(self, x):
                return rearrange(x)

        def get_inputs():
            return [torch.randn(2)]

        def get_init_inputs():
            return []
        """,
    "level3/4_Ends_the_process.py": """
        import os
        os._exit(3)
        """,
    "level3/5_Has_no_inputs.py": """
        class Model(nn.Module):
            pass
        """,
    "level4/1_Model_by_a_configuration.py": """
        class Configuration:
            layers = 2

        class Model(nn.Module):
            def __init__(self, configuration):
                super().__init__()
                self.layers = configuration.layers

            def forward(self, x):
                return x * self.layers

        def get_inputs():
            return [torch.randn(2)]

        def get_init_inputs():
            return [Configuration()]
        """,
}
LEFT_OUT = {
    "level3/3_Lacks_a_package": "a_package_that_nobody_has",
    "level3/4_Ends_the_process": "ended the process",
    "level3/5_Has_no_inputs": "it has no get_inputs, get_init_inputs",
    "level4/1_Model_by_a_configuration": "Configuration, which is no plain value",
}
"""The tasks that no operator can be made of, and a part of the reason."""


def write_checkout(folder: Path, *names: str) -> Path:
    """Writes the tasks, or those whose files are named, as a checkout has them."""
    for name, body in TASKS.items():
        if not names or name in names:
            path = folder / "KernelBench" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(HEAD + dedent(body).lstrip("\n"), encoding="utf-8")
    return folder


def as_candidate(name: str) -> str:
    """A task's own Model as ModelNew, with nothing else of the task."""
    body = dedent(TASKS[name]).lstrip("\n").split("\ndef get_inputs")[0]
    return HEAD + body.replace("class Model(", "class ModelNew(")


def write_candidate(folder: Path, level: int, number: int, source: str, sample: int = 0) -> None:
    """Writes a candidate under the name that KernelBench gives it."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"level_{level}_problem_{number}_sample_{sample}_kernel.py"
    (folder / name).write_text(source, encoding="utf-8")
