"""Records calls of functions of the program that it runs in, and writes them as a dataset.

    from kernel_harness.tools.collecting.tracing import trace

    with trace("dataset", ["my_model.layers.rms_norm"], share=0.01):
        serve()

What torch compiles and what is captured into a CUDA graph is left alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from ..errors import RequestError
from .adapters.adapter import Adapter
from .adapters.table import adapter_of
from .drafting.dataset_files import WrittenDefinition, write_dataset
from .recording.call_groups import ByteLimit
from .recording.program_parts import ProgramParts
from .recording.targets import places_of, put_remembering
from .recording.traced_function import TracedFunction

MOST_BYTES = 256 << 20
"""Of the tensors that are kept, where nothing else is said."""


@contextlib.contextmanager
def trace(
    out: Path | str,
    targets: Sequence[str | torch.nn.Module] | None = None,
    *,
    most_bytes: int = MOST_BYTES,
    share: float = 1.0,
    adapters: Sequence[Adapter] = (),
) -> Iterator[list[WrittenDefinition]]:
    """Records until it is left, by an exception too, and then writes the dataset.

    Args:
        out: the dataset's folder, new or empty.
        targets: dotted names, as "package.module.function", "package.module.Class.method" and
            "torch.ops.namespace.operator", classes of torch's modules by name, or modules; None
            for all parts of the program that call no other and take their share of the time.
        most_bytes: of the tensors that are kept, of all targets together.
        share: of the calls that are recorded; the others cost a counter.
        adapters: for further targets, or in the place of those that come with the harness.

    Yields:
        What was written; empty until the end.

    Raises:
        RequestError: when a target is not there, or the folder is in use.
    """
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RequestError(f"{folder} is in use", remedy="Name a folder that does not exist yet.")
    if not 0.0 < share <= 1.0:
        raise RequestError(
            f"{share} is no share of calls", remedy="Give a number above 0 and at most 1."
        )
    space = ByteLimit(most_bytes)
    places = places_of(targets or ())
    recorders: list[TracedFunction] = []
    written: list[WrittenDefinition] = []
    with contextlib.ExitStack() as stack:
        for place in places:
            recorder = TracedFunction(
                place.name,
                place.original,
                space,
                share=share,
                adapter=adapter_of(place.name, place.original, adapters),
                module=place.module,
                names=place.names(),
            )
            recorders.append(recorder)
            stack.callback(recorder.stop)
            stack.callback(place.put(recorder))
            put_remembering(place, recorder, stack)
        parts = ProgramParts(space, share, stack) if targets is None else None
        if parts is not None:
            parts.find()
        try:
            yield written
        finally:
            recorders = recorders if parts is None else parts.kept()
            stack.close()
            written += write_dataset(recorders, folder)
