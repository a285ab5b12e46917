"""A folder of promoted kernels, for programs that use them.

What is promoted on a device is written with its sources, its definition, the sizes on which its
promotion found it right, and, of CUDA and C++, the compiled library. `tools/applying` reads it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...devices.hardware import architecture_of, shipped_hardware
from ...errors import ArchiveError, CapabilityError, HarnessError, RequestError
from ...messages.candidate import COMPILE_S, BuildRequest
from ...schema.deployment.kernel_index import (
    INDEX_NAME,
    PYTHON_LANGUAGES,
    ArgumentForm,
    IndexedKernel,
    KernelIndex,
    digest_of_bytes,
)
from ...schema.evaluation import Evaluation, Status
from ...schema.flashinfer_trace import Solution, TensorSpec, definition_hash
from ...workloads.operators import Operator
from ..promotion.events import events
from ..store.archive import Archive
from ..store.promotion_tags import TAGS, PromotionEvent, promotion_stacks
from .names import new_folder

if TYPE_CHECKING:
    from ...workloads.dataset import Dataset

BUILDER = "kernel_harness.tools.candidate.process.library"
KERNELS, LIBRARIES, DEFINITIONS = "kernels", "libraries", "definitions"


@dataclass(frozen=True)
class DeployedFolder:
    """A folder that was written, and the index that lies in it."""

    folder: Path
    index: KernelIndex


def deploy(
    archive: Archive, dataset: Dataset, definitions: Sequence[str], device: str, out: Path
) -> DeployedFolder:
    """Writes what is promoted of some operators on a device into a folder, with an index.

    Args:
        archive: whose promotions count.
        dataset: whose operators they are of.
        definitions: names of operators.
        device: as `best` names it, as "H200"; "cpu" takes what was verified without a GPU.
        out: a folder that does not exist yet, or is empty.

    Raises:
        RequestError: when nothing is promoted there, the folder is in use, sources do not
            compile, or calls write to inputs.
    """
    operators = [dataset.operator(name) for name in definitions]
    for operator in operators:
        _require_inputs_left(operator)
    found = [(o, _promotion(archive, o, device)) for o in operators]
    new_folder(out)
    files: dict[str, bytes] = {}
    kernels = [_kernel(archive, o, event, device, files) for o, event in found]
    index = KernelIndex(
        device,
        _torch_version(),
        tuple(kernels),
        {path: digest_of_bytes(content) for path, content in sorted(files.items())},
    )
    for path, content in files.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_bytes(content)
    (out / INDEX_NAME).write_text(index.text(), encoding="utf-8")
    return DeployedFolder(out, index)


def _require_inputs_left(operator: Operator) -> None:
    """Refuses an operator in whose calls inputs may change.

    Of a call its outputs are judged. What it leaves in an input would stand in the program's own
    tensor, and a compiler, which is told that none changes, would order calls as if it were so.
    """
    if changed := operator.policy.mutable_inputs:
        raise RequestError(
            f"{operator.name} may write to its input {', '.join(changed)}, and what calls leave "
            "there is not judged: a program would go on with it",
            remedy="Define the operator with that as an output, and promote a kernel of it.",
        )


def _promotion(archive: Archive, operator: Operator, device: str) -> PromotionEvent:
    """The promotion in force."""
    found = events(archive, operator.name)
    if device == "cpu":
        right = [event for event in found if event.kind == "verified"]
        stacks = {(operator.name, "cpu"): right} if right else {}
    else:
        stacks = promotion_stacks(event for event in found if event.kind != "verified")
    stack = stacks.get((operator.name, device))
    if stack:
        return stack[-1]
    others = sorted({event.gpu for event in found if event.kind == "promoted"})
    raise RequestError(
        f"Nothing of {operator.name} is promoted on {device}",
        remedy=f"Promoted are those of: {', '.join(others)}."
        if others
        else "Only what is promoted is deployed: promote_candidate says what a candidate lacks.",
    )


def _kernel(
    archive: Archive,
    operator: Operator,
    event: PromotionEvent,
    device: str,
    files: dict[str, bytes],
) -> IndexedKernel:
    """Adds the files of one kernel, and returns what the index says of it."""
    definition, record = operator.definition, archive.get(event.candidate_id)
    if record.candidate.definition_digest != definition_hash(definition):
        raise RequestError(
            f"{event.candidate_id} was promoted for another version of {operator.name}",
            remedy="Evaluate and promote it for the definition as it is now.",
        )
    solution = record.solution()
    short = solution.content_hash()[:16]
    folder = f"{KERNELS}/{short}"
    for source in solution.sources:
        files[f"{folder}/{source.path}"] = source.content.encode()
    files[f"{DEFINITIONS}/{short}.json"] = definition.model_dump_json(indent=1).encode()
    library = None
    if solution.spec.language not in PYTHON_LANGUAGES:
        library = f"{LIBRARIES}/{short}.so"
        counts = len(definition.inputs), len(definition.outputs)
        files[library] = compiled_library(solution, *counts, _architecture(device))
    constant = definition.const_axes
    return IndexedKernel(
        definition=operator.name,
        axes={name: constant.get(name) for name in definition.axes},
        inputs=_forms(definition.inputs),
        outputs=_forms(definition.outputs),
        constraints=tuple(definition.constraints),
        judged=_judged(archive, event),
        candidate=event.candidate_id,
        content_hash=solution.content_hash(),
        language=str(solution.spec.language),
        binding=str(solution.spec.binding) if solution.spec.binding else None,
        entry_point=solution.spec.entry_point,
        destination_passing=solution.spec.destination_passing_style,
        folder=folder,
        library=library,
    )


def _forms(specs: dict[str, TensorSpec]) -> dict[str, ArgumentForm]:
    return {
        name: ArgumentForm(None if spec.shape is None else tuple(spec.shape), str(spec.dtype))
        for name, spec in specs.items()
    }


def _judged(archive: Archive, event: PromotionEvent) -> tuple[dict[str, int], ...]:
    """The sizes of all workloads that every record of the promotion's verification passed."""
    evidence = f"refs/evidence/{event.tag.removeprefix(f'{TAGS}/')}"
    found: list[dict[tuple[tuple[str, int], ...], None]] = []
    there = archive.repository.resolve(evidence) is not None
    for path, oid in archive.repository.list_tree(evidence).items() if there else ():
        if not path.startswith("verification/"):
            continue
        record = Evaluation.model_validate_json(archive.repository.read(oid)[1])
        if not archive.keys.verify_record(record).counts:
            continue
        passed = (w for w in record.workloads if w.status is Status.PASSED)
        found.append(dict.fromkeys(tuple(sorted(w.axes.items())) for w in passed))
    both = [axes for axes in found[0] if all(axes in one for one in found)] if found else []
    if not both:
        raise ArchiveError(
            f"The records of the promotion {event.tag} are missing or count no longer",
            where=evidence,
            remedy="Promote the candidate again.",
        )
    return tuple(dict(axes) for axes in both)


def compiled_library(
    solution: Solution, argument_count: int, output_count: int, architecture: str | None
) -> bytes:
    """A solution's library, compiled by a process of its own.

    Args:
        argument_count: inputs of its definition.
        output_count: outputs of its definition.
        architecture: that device code is compiled for, as "90a"; None without a GPU.

    Raises:
        CapabilityError: when compilers take too long.
        RequestError: when it does not compile here.
    """
    request = BuildRequest.of(
        solution.model_dump(mode="json"),
        content_hash=solution.content_hash(),
        argument_count=argument_count,
        output_count=output_count,
        cuda_arch=architecture,
    )
    with tempfile.TemporaryDirectory(prefix="kernel-harness-") as private:
        asked, library = Path(private, "request.json"), Path(private, "library.so")
        asked.write_text(request.model_dump_json(), encoding="utf-8")
        command = [sys.executable, "-P", "-m", BUILDER, str(asked), str(library)]
        try:
            ran = subprocess.run(
                command, capture_output=True, text=True, timeout=2 * COMPILE_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise CapabilityError(
                f"{solution.name} was not compiled within {2 * COMPILE_S:.0f} s",
                remedy="Try again when the machine is less busy.",
            ) from error
        if ran.returncode != 0 or not library.is_file():
            raise RequestError(
                f"{solution.name} could not be compiled here: {ran.stderr.strip()[-1200:]}",
                remedy="Deploy on a machine with the compilers; `kernel-harness check` names what "
                "this one lacks.",
            )
        return library.read_bytes()


def _architecture(device: str) -> str | None:
    """The architecture that a device's code is compiled for, as "90a"; None without a GPU."""
    if device == "cpu":
        return None
    name = device.partition("-by-")[0]
    known: Any = shipped_hardware().get(name)
    if known is None or architecture_of(known.arch) is None:
        raise RequestError(
            f"The architecture of {name} is not known, and sources must be compiled for it",
            remedy=f"Known are: {', '.join(shipped_hardware())}.",
        )
    return str(known.arch).removeprefix("sm_")


def _torch_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("torch")
    except PackageNotFoundError as error:
        raise HarnessError("torch is not installed", remedy="Install it.") from error
