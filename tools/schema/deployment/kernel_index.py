"""The index of a folder of deployed kernels: what each is, what it is proven for, and every file.

It is read in the user's program, so it needs the standard library alone. Files are named with the
digests of their contents, and the index with a digest of itself: what was changed is noticed. Who
must know that the index is the one that was written compares that digest with one kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

INDEX_NAME = "index.json"
FORM = "kernel-harness-kernels/1"
PYTHON_LANGUAGES = ("python", "triton", "tilelang")
"""Those whose sources Python imports; others are deployed as a library."""


@dataclass(frozen=True)
class ArgumentForm:
    """An input or output: names of its axes and its element type; without a shape, a number."""

    shape: tuple[str, ...] | None
    dtype: str


@dataclass(frozen=True)
class IndexedKernel:
    """One kernel of a folder.

    Args:
        definition: the operator's name.
        axes: sizes of its axes; None for those that vary.
        constraints: what must hold of sizes, as the definition has it.
        judged: sizes of the varying axes of every workload on which the kernel was found right.
        candidate: its id in the archive that it came from.
        folder: of its sources, within the folder.
        library: its compiled library, within the folder; None where Python imports the sources.
    """

    definition: str
    axes: Mapping[str, int | None]
    inputs: Mapping[str, ArgumentForm]
    outputs: Mapping[str, ArgumentForm]
    constraints: tuple[str, ...]
    judged: tuple[Mapping[str, int], ...]
    candidate: str
    content_hash: str
    language: str
    binding: str | None
    entry_point: str
    destination_passing: bool
    folder: str
    library: str | None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> IndexedKernel:
        """The kernel that an index describes; KeyError or TypeError for what describes none."""
        forms = {
            kind: {
                name: ArgumentForm(
                    None if form["shape"] is None else tuple(map(str, form["shape"])),
                    str(form["dtype"]),
                )
                for name, form in values[kind].items()
            }
            for kind in ("inputs", "outputs")
        }
        plain = {name: values[name] for name in cls.__dataclass_fields__ if name not in forms}
        plain["constraints"] = tuple(map(str, plain["constraints"]))
        plain["judged"] = tuple({str(n): int(v) for n, v in w.items()} for w in plain["judged"])
        return cls(**forms, **plain)


@dataclass(frozen=True)
class KernelIndex:
    """What a folder of deployed kernels holds.

    Args:
        device: that the kernels are proven on, as the archive names it; "cpu" without a GPU.
        torch: version that libraries were compiled against.
        files: digest of every file by its path within the folder.
    """

    device: str
    torch: str
    kernels: tuple[IndexedKernel, ...]
    files: Mapping[str, str]

    @property
    def device_name(self) -> str:
        """The device alone, without what a best there is ranked by."""
        return self.device.partition("-by-")[0]

    def content(self) -> dict[str, Any]:
        """The index as plain data, without its digest."""
        return {"form": FORM, **asdict(self)}

    @property
    def digest(self) -> str:
        """Digest of all that it says, and by that of every file."""
        return digest_of_bytes(_canonical(self.content()))

    def text(self) -> str:
        """The index as a file holds it."""
        return json.dumps({"digest": self.digest, **self.content()}, indent=1) + "\n"


def digest_of_bytes(content: bytes) -> str:
    """SHA-256 as an index names it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def read_index(text: str) -> KernelIndex:
    """The index that a text holds.

    Raises:
        ValueError: when it is not one, or was changed after it was written.
    """
    values = json.loads(text)
    if not isinstance(values, dict) or values.get("form") != FORM:
        raise ValueError(f"it is not of the form {FORM}")
    said = values.pop("digest", None)
    if said != digest_of_bytes(_canonical(values)):
        raise ValueError("it was changed after it was written: its digest is another")
    try:
        return KernelIndex(
            str(values["device"]),
            str(values["torch"]),
            tuple(IndexedKernel.of(kernel) for kernel in values["kernels"]),
            {str(path): str(digest) for path, digest in values["files"].items()},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it lacks or misstates {error}") from error


def _canonical(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()
