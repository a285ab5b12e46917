"""What was seen of a profiled program, as it crosses from the program's process to ours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ObservedShapes:
    """Calls of an operator with equal shapes, over all profiled steps.

    Args:
        shapes: of tensors by argument; of an operator of torch's as the profiler writes them.
        bytes_moved: that every implementation must move at least.
        flops: as torch counts them.
    """

    shapes: dict[str, tuple[int, ...]] | str
    calls: int
    time_us: float
    host_us: float
    launches: int
    bytes_moved: int
    flops: int


@dataclass(frozen=True)
class ObservedOperator:
    """An operator of the program, or a block of several.

    Args:
        kind: "module", "function", or "torch" for an operator of torch's between regions.
        where: paths of modules in the model, or the region around an operator of torch's.
        parameters: shapes of a module's own tensors.
        extractable: whether its code can be found by its name; of an operator of torch's, whether
            calls of a function of its name are recorded with an adapter.
    """

    name: str
    kind: str
    where: tuple[str, ...]
    dtypes: dict[str, str]
    parameters: tuple[tuple[int, ...], ...]
    extractable: bool
    calls: tuple[ObservedShapes, ...]


def torch_function(operator: str) -> str:
    """The function of torch that an operator of torch's is called by."""
    return f"torch.nn.functional.{operator.rpartition(':')[2]}"


@dataclass(frozen=True)
class Rates:
    """What the device can do: bytes and operations a second.

    Args:
        source: where the figures are from.
    """

    source: str
    memory_bytes_per_s: float
    flops: dict[str, float]
    launch_us: float = 0.0


@dataclass(frozen=True)
class Observed:
    """All that was seen.

    Args:
        step_us: of steps without the profiler, from begin to the end of the device's work.
        host_us: of the same steps, until the call came back.
        steps_made: until the program ended.
        profiled_steps: over which operators are summed up.
        device: name of the GPU; None where there is none.
        measured: rates of this device, by a copy and matrix products.
    """

    step: str
    step_us: tuple[float, ...]
    host_us: tuple[float, ...]
    steps_made: int
    profiled_steps: int
    device: str | None
    sm_count: int | None
    measured: Rates
    operators: tuple[ObservedOperator, ...]
    blocks: tuple[ObservedOperator, ...]
