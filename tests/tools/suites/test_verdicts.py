"""Tasks in KernelBench's form, judged on the CPU: each candidate gets the verdict that it must.

Every task and candidate is imported together, as a person does, and judged by one real judge.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kernel_harness.tools.schema.evaluation import Evaluation
from kernel_harness.tools.suites.kernelbench import find_tasks, import_kernelbench
from kernel_harness.tools.suites.operator_folder import Imported
from kernel_harness.tools.suites.scores.fast_p import fast_p_score
from kernel_harness.tools.suites.scores.score_table import score_lines
from kernel_harness.tools.workloads.dataset import Dataset

from .checkout import HEAD, as_candidate, write_candidate, write_checkout
from .judged import judge_all

pytestmark = [pytest.mark.long, pytest.mark.process, pytest.mark.timeout(600)]

REAL_FOLDER = "KERNEL_HARNESS_TEST_KERNELBENCH"
"""Names a KernelBench checkout of one's own, for the test that imports it."""

P, WRONG = "PASSED", "INCORRECT_NUMERICAL"
SAME_ZEROS_HALF = {
    "level1/1_Scaled_product.py": (P, WRONG, WRONG),
    "level1/2_Times_a_number.py": (P, WRONG, WRONG),
    "level1/3_Where_is_the_largest.py": (P, WRONG, None),
    "level1/4_Loss_of_classes.py": (P, WRONG, None),
    "level1/5_Sum_under_a_mask.py": (P, WRONG, WRONG),
    "level1/6_Half_precision_sum.py": (P, WRONG, P),
    "level2/1_Linear_and_norm.py": (P, WRONG, WRONG),
    "level2/2_Some_are_dropped.py": ("INVALID_REFERENCE", "INVALID_REFERENCE", None),
    "level2/3_Always_the_same.py": (P, P, None),
    "level3/1_Recurrent_with_state.py": (P, WRONG, WRONG),
}
"""By task, the verdicts on its own model, on zeros, and on inputs that were rounded to float16.

The largest of 20 numbers and a mean over 32 may survive the rounding: None.
"""
KINDS = ("same", "zeros", "half")
AROUND = {
    "same": "",
    "zeros": """

class ModelNew(ModelNew):
    def forward(self, *inputs):
        made = super().forward(*inputs)
        return tuple(map(torch.zeros_like, made)) if isinstance(made, tuple) else made * 0
""",
    "half": """

class ModelNew(ModelNew):
    def forward(self, *inputs):
        rounded = [
            x.half().to(x.dtype) if isinstance(x, torch.Tensor) and x.is_floating_point() else x
            for x in inputs
        ]
        return super().forward(*rounded)
""",
}
PRODUCT = "level1/1_Scaled_product.py"
OTHERS = {
    "slow": (
        P,
        """
            def forward(self, A, B):
                parts = [torch.matmul(A, B) / 4 for _ in range(40)]
                return parts[-1]
        """,
    ),
    "keeps_its_result": (
        "INCORRECT_NUMERICAL",
        """
            kept = None

            def forward(self, A, B):
                if ModelNew.kept is None:
                    ModelNew.kept = torch.matmul(A, B) / 4
                return ModelNew.kept.clone()
        """,
    ),
    "clears_its_inputs": (
        "INTEGRITY_VIOLATION",
        """
            def forward(self, A, B):
                made = torch.matmul(A, B) / 4
                A.zero_()
                return made
        """,
    ),
    "falls_back": (
        P,
        """
            def forward(self, A, B):
                try:
                    return self.kernel(A, B)
                except AttributeError:
                    return torch.matmul(A, B) / 4
        """,
    ),
    "on_another_stream": (
        P,  # without a GPU; with one it is timed honestly, or refused
        """
            def forward(self, A, B):
                side = torch.cuda.Stream()
                side.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(side):
                    made = torch.matmul(A, B) / 4
                torch.cuda.current_stream().wait_stream(side)
                return made
        """,
    ),
    "another_shape": (
        "INCORRECT_SHAPE",
        """
            def forward(self, A, B):
                return (torch.matmul(A, B) / 4).sum()
        """,
    ),
    "fails": (
        "RUNTIME_ERROR",
        """
            def forward(self, A, B):
                raise ValueError("no")
        """,
    ),
}
UNBUILT = {
    "no_python": "class ModelNew(:\n",
    "no_package": "import a_package_that_nobody_has\n",
    "no_class": HEAD + "x = 1\n",
}


@dataclass
class Judged:
    """Imported operators and the record of each candidate, by task and run."""

    imported: Imported
    records: dict[tuple[str, str], Evaluation]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    folder = tmp_path_factory.mktemp("kernelbench")
    write_checkout(folder / "checkout", *SAME_ZEROS_HALF)
    for name, verdicts in SAME_ZEROS_HALF.items():
        level, number = int(name[5]), int(name.split("/")[1].split("_")[0])
        for kind, due in zip(KINDS, verdicts, strict=True):
            if due is not None:
                source = as_candidate(name) + AROUND[kind]
                write_candidate(folder / kind, level, number, source)
    for kind, (_, body) in OTHERS.items():
        source = HEAD + "class ModelNew(nn.Module):" + body.replace("\n        ", "\n")
        write_candidate(folder / kind, 1, 1, source)
    for kind, source in UNBUILT.items():
        write_candidate(folder / kind, 1, 1, source)
    runs = [folder / kind for kind in (*KINDS, *OTHERS, *UNBUILT)]
    imported = import_kernelbench(folder / "checkout", folder / "operators", candidates=runs)
    assert not imported.left_out
    found = judge_all(imported, folder / "cache")
    records = {(name, run.split("-")[0]): record for (name, run), record in found.items()}
    yield Judged(imported, records)


def record(judged: Judged, name: str, kind: str) -> Evaluation:
    level, number = name[5], name.split("/")[1].split("_")[0]
    begins = f"kernelbench_l{level}_{number}_"
    return next(r for (o, k), r in judged.records.items() if o.startswith(begins) and k == kind)


@pytest.mark.parametrize("name", SAME_ZEROS_HALF)
def test_the_same_zeros_and_half_precision(name: str, judged: Judged) -> None:
    verdicts = zip(KINDS, SAME_ZEROS_HALF[name], strict=True)
    due = {kind: status for kind, status in verdicts if status is not None}
    assert {kind: str(record(judged, name, kind).status) for kind in due} == due


@pytest.mark.parametrize("kind", OTHERS)
def test_other_candidates(kind: str, judged: Judged) -> None:
    found = record(judged, PRODUCT, kind)
    assert str(found.status) == OTHERS[kind][0], found.failure


@pytest.mark.parametrize("kind", UNBUILT)
def test_a_candidate_that_cannot_be_built(kind: str, judged: Judged) -> None:
    found = record(judged, PRODUCT, kind)
    assert str(found.status) in ("COMPILE_ERROR", "INVALID_CANDIDATE"), found.failure


def test_a_random_task_is_refused_and_a_constant_one_is_told(judged: Judged) -> None:
    random = record(judged, "level2/2_Some_are_dropped.py", "same")
    assert random.failure is not None and "random" in random.failure.message
    constant = record(judged, "level2/3_Always_the_same.py", "zeros")
    assert "outputs_depend_on_inputs" in {f.claim for f in constant.integrity.findings}


def test_the_score_of_what_was_judged(judged: Judged) -> None:
    score = fast_p_score(
        "kernelbench", judged.imported.folder, judged.records.values(), solution="zeros"
    )
    assert score.total.correct.count == 1 and score.total.correct.of == len(SAME_ZEROS_HALF) - 1
    said = "\n".join(score_lines(score, "KernelBench"))
    assert "a constant is right" in said.lower() and "INVALID_REFERENCE: 1" in said
    built = fast_p_score(
        "kernelbench", judged.imported.folder, judged.records.values(), solution="no_python"
    )
    assert built.total.compiled.count == 0 and built.total.compiled.of == 1


@pytest.mark.skipif(
    REAL_FOLDER not in os.environ,  # noqa: TID251 - the tester's own
    reason=f"{REAL_FOLDER} names no KernelBench checkout",
)
def test_a_checkout_of_ones_own(tmp_path: Path) -> None:
    folder = Path(os.environ[REAL_FOLDER])  # noqa: TID251
    imported = import_kernelbench(folder, tmp_path)
    assert len(imported.operators) + len(imported.left_out) == len(find_tasks(folder))
    found = Dataset.load(tmp_path)
    assert not found.problems and len(found.operators) == len(imported.operators)
    tasks = [task for task in find_tasks(folder) if task.level < 4]
    left = [name for name in imported.left_out if not name.startswith("level4/")]
    assert len(left) <= 0.02 * len(tasks), {name: imported.left_out[name] for name in left}
