"""One operator: its definition and workloads, and what its folder says about judging it.

A folder of ours holds more than FlashInfer-Trace does: a policy, peers, a cost model. An operator
from a plain dataset has defaults for all of it, so nobody has to ask which kind it is.

Reads files only when asked for peers, shipped solutions, cost or recorded latencies.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from ..devices.roofline import Cost
from ..errors import DatasetError, RequestError, unknown_name
from ..schema.flashinfer_trace import Definition, ScalarInput, Solution, Workload, workload_digest
from .costs.cost_process import Sizes, counted_costs
from .policy import Policy
from .solution_folder import FILE_NAME, read_solution

BASELINE_AUTHOR = "baseline"
REFERENCE = "reference"
"""Names the definition's own code where a solution is asked for, and is its author."""


JUDGED_BY = (
    "reference.py",
    "oracle.py",
    "inputs.py",
    "compare.py",
    "cost.py",
    "policy.toml",
    "structure.json",
)
"""Files of an operator's folder on which a verdict or its floors depend."""


@dataclass(frozen=True)
class Operator:
    """A definition with everything that is known about running it.

    Args:
        folder: the operator's own folder, with inputs.py and the like; None for a plain dataset.
        root: the FlashInfer-Trace dataset that safetensors paths are relative to, if any.
        structure: per workload uuid, facts about input contents that axes do not tell.
        published: per workload uuid, a latency that others published, in microseconds.
        unusable: what is wrong with lines and files of its workloads, each with its place.
        left_out: which lines of its workloads are not used, and why.
        own_policy: whether `policy` replaces what its folder says.
    """

    definition: Definition
    workloads: tuple[Workload, ...]
    folder: Path | None = None
    root: Path | None = None
    policy: Policy = field(default_factory=Policy)
    structure: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    published: Mapping[str, float] = field(default_factory=dict)
    published_source: str = ""
    published_device: str = ""
    digest: str = ""
    dataset_solutions: tuple[Solution, ...] = ()
    unusable: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    own_policy: bool = False

    def __post_init__(self) -> None:
        if not self.digest:
            object.__setattr__(self, "digest", workload_digest(self.workloads))

    @property
    def name(self) -> str:
        """The definition's name."""
        return self.definition.name

    @property
    def for_judge(self) -> dict[str, Any]:
        """What a request to a judge says of it: the fields of `messages.judge.OfOperator`."""
        return {
            "definition": self.definition.model_dump(mode="json"),
            "operator_dir": str(self.folder) if self.folder else None,
            "dataset_root": str(self.root) if self.root else None,
        }

    def require_workloads(self) -> None:
        """Refuses an operator without workloads: a verdict on it would be one on nothing.

        Raises:
            DatasetError: when it has none, naming the first faults of the file that should.
        """
        if self.workloads:
            return
        found = "; ".join(self.unusable[:3]) or "its file of workloads is missing or empty"
        raise DatasetError(
            f"{self.name} has no usable workload, so nothing can be judged on it: {found}",
            where=str(self.folder or self.root or self.name),
            remedy="Correct its workloads: one JSON line each, with a size for every var axis of "
            "the definition. list_workloads lists every fault of the dataset.",
        )

    @property
    def policy_digest(self) -> str:
        """A digest of a policy that replaces the folder's; empty without one."""
        if not self.own_policy:
            return ""
        return hashlib.sha256(self.policy.model_dump_json().encode()).hexdigest()[:12]

    def judged_by(self) -> str:
        """A digest of what decides a verdict besides sources and workloads, as now on disk."""
        parts = [self.definition.model_dump_json().encode()]
        if self.folder is not None:
            files = [self.folder / name for name in JUDGED_BY]
            parts += [file.read_bytes() if file.is_file() else b"" for file in files]
        if self.own_policy:
            parts.append(self.policy_digest.encode())
        state = hashlib.sha256()
        for part in parts:
            state.update(len(part).to_bytes(8, "big") + part)
        return state.hexdigest()[:16]

    def timed_family(self, name: str | None) -> str:
        """The family of inputs to time that a name means; empty where it is the one that ranks.

        Raises:
            RequestError: when the policy offers none such.
        """
        offered = self.policy.input_families
        if name and name not in offered:
            remedy = "Leave it out for the inputs that rank."
            raise unknown_name(f"input family of {self.name}", name, offered, remedy=remedy)
        return name if name in self.policy.other_families else ""

    def workload(self, uuid: str) -> Workload:
        """Finds a workload by its uuid or a unique beginning of it.

        Raises:
            RequestError: when none or several begin so, naming the nearest.
        """
        prefix = uuid.strip()
        matches = [w for w in self.workloads if w.uuid == prefix]
        if not matches and prefix:
            matches = [w for w in self.workloads if w.uuid.startswith(prefix)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            names = ", ".join(w.uuid for w in matches[:5])
            raise RequestError(
                f"Workload {uuid!r} is ambiguous", where=self.name, remedy=f"Say more of: {names}."
            )
        raise unknown_name(f"workload of {self.name}", prefix, (w.uuid for w in self.workloads))

    def peers(self) -> dict[str, Solution]:
        """Solutions by others, by folder name."""
        return self._folders("peers")

    def candidates(self) -> dict[str, Solution]:
        """Candidates that lie beside the operator, as those of an imported benchmark do."""
        return self._folders("candidates")

    def solutions(self) -> dict[str, Solution]:
        """Shipped solutions by folder name, and the dataset's by solution name."""
        found = self._folders("solutions")
        for solution in self.dataset_solutions:
            found.setdefault(solution.name, solution)
        return found

    def solutions_beside(self) -> tuple[list[Solution], list[str]]:
        """The peers and solutions that can be read, and why others of its folder cannot."""
        found, unread = list(self.dataset_solutions), list[str]()
        for kind in ("peers", "solutions"):
            for folder in self._solution_folders(kind):
                try:
                    found.append(read_solution(folder, author=_AUTHORS[kind]))
                except DatasetError as error:
                    unread.append(str(error))
        return found, unread

    def reference(self) -> Solution:
        """The definition's own PyTorch code as a solution, which returns its outputs."""
        return Solution.model_validate(
            {
                "name": f"{self.name}_{REFERENCE}",
                "definition": self.name,
                "author": REFERENCE,
                "spec": {
                    "language": "python",
                    "target_hardware": ["cuda"],
                    "entry_point": "main.py::run",
                    "destination_passing_style": False,
                },
                "sources": [{"path": "main.py", "content": self.definition.reference}],
                "description": "The definition's reference.",
            }
        )

    def baseline(self, *, cpu: bool = False) -> Solution | None:
        """What results are compared to: the policy's choice, else the dataset's only baseline.

        Raises:
            DatasetError: when the policy names a folder that does not exist.
        """
        chosen = (self.policy.cpu_baseline if cpu else None) or self.policy.baseline
        if chosen and self.folder:
            for kind in ("solutions", "peers"):
                folder = self.folder / kind / chosen
                if (folder / FILE_NAME).is_file():
                    return read_solution(folder, author=_AUTHORS[kind])
            raise DatasetError(
                f"The baseline {chosen!r} is in neither solutions/ nor peers/",
                where=str(self.folder / "policy.toml"),
                remedy="Name an existing folder there.",
            )
        candidates = [s for s in self.solutions().values() if s.author == BASELINE_AUTHOR]
        return candidates[0] if len(candidates) == 1 else None

    def expected_cost(self, uuid: str) -> Cost:
        """The work that any correct kernel must do on one of its workloads.

        By cost.py before inputs are drawn, else an upper bound from shapes. That of all workloads
        is counted at once, and again when that file changes.

        Raises:
            DatasetError: when cost.py fails or returns what is not a cost.
            RequestError: when there is no such workload.
        """
        workload = self.workload(uuid)
        path = self.folder / "cost.py" if self.folder else None
        if path is None or not path.is_file():
            return generic_cost(self.definition, workload.axes)
        changed_ns = path.stat().st_mtime_ns
        if changed_ns not in self._costs:
            self._costs[changed_ns] = self._counted(path)
        found = self._costs[changed_ns][workload.uuid]
        if isinstance(found, Cost):
            return found
        raise found.with_traceback(None)

    def _counted(self, path: Path) -> dict[str, Cost | DatasetError]:
        constant = self.definition.const_axes
        asked = [Sizes({**w.axes, **constant}, self.structure.get(w.uuid)) for w in self.workloads]
        found = counted_costs(path, asked)
        return {workload.uuid: one for workload, one in zip(self.workloads, found, strict=True)}

    @cached_property
    def _costs(self) -> dict[int, dict[str, Cost | DatasetError]]:
        """By when cost.py was changed, what it said of each workload."""
        return {}

    @cached_property
    def without_tensors(self) -> list[dict[str, Any]]:
        """Dumps of all workloads with axes, scalars and statistics, which any candidate may see."""
        kept = (
            {
                name: found
                for name, found in w.inputs.items()
                if isinstance(found, ScalarInput) or name in w.statistics
            }
            for w in self.workloads
        )
        return [
            workload.model_copy(update={"inputs": inputs}).model_dump(mode="json")
            for workload, inputs in zip(self.workloads, kept, strict=True)
        ]

    def _folders(self, kind: str) -> dict[str, Solution]:
        return {
            folder.name: read_solution(folder, author=_AUTHORS[kind])
            for folder in self._solution_folders(kind)
        }

    def _solution_folders(self, kind: str) -> list[Path]:
        place = self.folder / kind if self.folder else None
        if place is None or not place.is_dir():
            return []
        return [folder for folder in sorted(place.iterdir()) if (folder / FILE_NAME).is_file()]


_AUTHORS = {"solutions": "kernel-harness", "peers": "peer", "candidates": "candidate"}


def generic_cost(
    definition: Definition, axes: Mapping[str, int], flops: float | None = None
) -> Cost:
    """All bytes of all inputs and outputs, each once: what any definition offers.

    An upper bound of the compulsory work, for a paged cache or an inactive expert is counted though
    no kernel touches it, and the reference may compute what is masked out; a floor made of it may
    be beaten honestly.

    Operations of the reference's products, where somebody counted `flops`, are taken at the rate
    of the narrowest type among the inputs.
    """

    def total(specs: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...] | None]) -> int:
        count = 0
        for name, shape in shapes.items():
            elements = 1
            for size in shape if shape is not None else (0,):
                elements *= size
            count += -(-elements * specs[name].dtype.bits // 8)
        return count

    return Cost(
        bytes_read=total(definition.inputs, definition.input_shapes(axes)),
        bytes_written=total(definition.outputs, definition.output_shapes(axes)),
        flops={_narrowest(definition): flops} if flops else {},
        upper_bound=True,
        assumptions=(
            "every byte of every input is needed",
            "every product of the reference is needed" if flops else "FLOPs are not counted",
        ),
    )


def _narrowest(definition: Definition) -> str:
    """The precision with the highest rate that the inputs permit; float32 may be cut to TF32."""
    order = {"float8": "fp8", "bfloat16": "bf16", "float16": "fp16"}
    dtypes = [str(spec.dtype.value) for spec in definition.inputs.values() if spec.shape]
    kinds = (kind for name, kind in order.items() if any(d.startswith(name) for d in dtypes))
    return next(kinds, "tf32")


def load_anew(path: Path) -> ModuleType:
    """A new module of a Python file of an operator's folder, whatever was loaded before.

    Raises:
        DatasetError: when it cannot be imported.
    """
    name = f"kernel_harness_operator_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise DatasetError("It is not a Python file", where=str(path))
    module = importlib.util.module_from_spec(spec)
    # A dataclass with postponed annotations looks its module up while it is being made.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise DatasetError(
            f"It cannot be imported: {type(error).__name__}: {error}", where=str(path)
        ) from error
    return module


def read_json_object(path: Path) -> dict[str, Any]:
    """Reads a JSON object; a missing file is an empty one.

    Raises:
        DatasetError: when it is not JSON or not an object, with the line.
    """
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"Not JSON: {error}", where=str(path)) from error
    if not isinstance(value, dict):
        raise DatasetError("It must hold a JSON object", where=str(path))
    return value
