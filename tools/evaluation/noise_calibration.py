"""A/A runs: how far a kernel differs from itself, through the very code that judges candidates.

A Triton kernel that spins for a chosen time is compared with itself, as often as asked, at three
durations; each comparison is one workload of one trial. The noise floor is a quantile of what the
ratios show. It holds for the device it was taken on and for nothing else.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..devices.noise_floor import write_noise_floor
from ..errors import CapabilityError, InfrastructureError
from ..progress import OnProgress, ignore_progress
from ..schema.evaluation import Evaluation, Scope, Status
from ..schema.flashinfer_trace import Definition, Solution, Workload
from ..settings import Settings
from ..signing.keyring import Keyring
from ..workloads.operators import Operator
from .judge_pool import JudgePool
from .plan import CHECKS, EvaluationRequest
from .records.record_store import RecordStore
from .service import EvaluationService

ELEMENTS = 4096
DURATIONS_US = (3.0, 30.0, 300.0)
COMPARISONS = 40
QUANTILE = 0.975
LEAST_FLOOR = 0.003
"""No floor below 0.3 %: forty comparisons cannot show that there is less."""
PROBES = (100, 2_100)
PATIENCE_S = 3_000.0

SPIN = """
import triton
import triton.language as tl

@triton.jit
def turn(x, y, count, steps, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at, mask=at < count)
    turning = at.to(tl.float32)
    for _ in range(steps):
        turning = turning * 0.5 + 1.0
    tl.store(y + at, value * 2 + turning * 0.0, mask=at < count)


def spin(x, y, steps):
    turn[(triton.cdiv(x.numel(), 128),)](x, y, x.numel(), steps, BLOCK=128)
"""
"""Sources of `spin(x, y, steps)`: a Triton kernel writes 2 x, so many dependent steps later.

What turns is no input: an infinite one would become NaN.
"""
_RUN = """

def run(x, y):
    spin(x, y, STEPS)
"""


def spinning(name: str, steps: int) -> Solution:
    """A kernel that takes a number of dependent steps."""
    spec = {"language": "triton", "target_hardware": ["cuda"], "entry_point": "main.py::run"}
    sources = [{"path": "main.py", "content": f"STEPS = {steps}\n{SPIN}{_RUN}"}]
    return Solution.model_validate(
        {
            "name": name,
            "definition": "spin_scale",
            "author": "calibration",
            "spec": spec,
            "sources": sources,
        }
    )


def spin_operator(count: int) -> Operator:
    """An operator with `count` equal workloads: each is one comparison."""
    tensor = {"shape": ["n"], "dtype": "float32"}
    definition = Definition.model_validate(
        {
            "name": "spin_scale",
            "op_type": "calibration",
            "axes": {"n": {"type": "var"}},
            "inputs": {"x": tensor},
            "outputs": {"y": tensor},
            "reference": "def run(x):\n    return x * 2\n",
        }
    )
    workloads = tuple(
        Workload.model_validate(
            {"uuid": f"spin-{i}", "axes": {"n": ELEMENTS}, "inputs": {"x": {"type": "random"}}}
        )
        for i in range(count)
    )
    return Operator(definition=definition, workloads=workloads)


class SpinTrials:
    """Trials of spinning kernels against each other; their records lie in a folder apart."""

    def __init__(self, settings: Settings, pool: JudgePool, device: str, folder: Path) -> None:
        own = settings.model_copy(update={"data_dir": folder})
        records = RecordStore(own.evaluations_dir)
        keys = Keyring(own.signing_key, own.archive_dir)
        self._evaluations = EvaluationService(own, pool, records, device, keys)

    async def compared(
        self, a: Solution, b: Solution, count: int, progress: OnProgress = ignore_progress
    ) -> Evaluation:
        """`count` comparisons of candidate `b` with baseline `a`, in one trial.

        Raises:
            InfrastructureError: when the trial did not pass, with its words.
        """
        checks = CHECKS[Scope.SAMPLE].model_copy(
            update={
                "trials": 1,
                "families": 0,
                "held_out": 0,
                "determinism_runs": 0,
                "ghost_replay": False,
                "warm_calls": 0,
            }
        )
        request = EvaluationRequest(
            spin_operator(count), b, Scope.FULL, baseline=a, force=True, checks=checks
        )
        evaluated = await self._evaluations.evaluate(request, PATIENCE_S, progress)
        found = evaluated.evaluation
        if found.status is not Status.PASSED:
            words = found.failure.message if found.failure else "it did not finish"
            raise InfrastructureError(
                f"A spinning kernel could not be timed: {found.status}: {words}",
                remedy="Run check_environment; see that nothing else uses the device.",
            )
        return found

    async def steps_for(self, duration_us: float) -> int:
        """Steps that take about `duration_us`, from two probes.

        Raises:
            CapabilityError: when nothing is timed on this machine.
            InfrastructureError: when more steps take no longer.
        """
        times: list[float] = []
        for steps in PROBES:
            probe = spinning(f"probe-{steps}", steps)
            found = await self.compared(probe, probe, 1)
            if (taken := found.workloads[0].latency_us) is None:
                raise CapabilityError(f"Nothing is timed here: {found.not_timed_reason}")
            times.append(taken)
        per_step = (times[1] - times[0]) / (PROBES[1] - PROBES[0])
        if not per_step > 0:
            raise InfrastructureError(
                f"Twenty times the steps took {times[1]:.3g} µs, not longer than {times[0]:.3g} µs",
                remedy="See that nothing else uses the device, and try again.",
            )
        return max(1, round(PROBES[0] + (duration_us - times[0]) / per_step))


def log_ratios(evaluation: Evaluation) -> list[float]:
    """ln(ratio) of each comparison of a trial."""
    found = [w.comparison for w in evaluation.workloads]
    return [math.log(c.ratio) for c in found if c is not None and c.ratio]


def floor_of(evaluation: Evaluation) -> tuple[str, float]:
    """The decade of microseconds of an A/A trial, and the floor of |ln ratio| that it shows."""
    import numpy as np

    middle_us = float(np.median([w.latency_us or 0 for w in evaluation.workloads]))
    quantile = float(np.quantile(np.abs(log_ratios(evaluation)), QUANTILE))
    return str(math.floor(math.log10(max(middle_us, 1)))), max(LEAST_FLOOR, quantile)


async def calibrate_noise(
    settings: Settings,
    pool: JudgePool,
    device: str,
    progress: OnProgress = ignore_progress,
    comparisons: int = COMPARISONS,
    durations_us: Sequence[float] = DURATIONS_US,
) -> Path:
    """Measures the device's noise floor at each duration and keeps it in the file returned.

    Args:
        comparisons: of a kernel with itself, at each duration.
        durations_us: about how long the kernels take, in microseconds.

    Raises:
        CapabilityError: when there is no GPU.
        InfrastructureError: when the kernels could not be timed.
    """
    if device == "cpu":
        raise CapabilityError("There is no GPU to calibrate", remedy="Nothing is timed without.")
    floors: dict[str, float] = {}
    latest: Evaluation | None = None
    with tempfile.TemporaryDirectory(prefix="kernel-harness-noise-") as folder:
        trials = SpinTrials(settings, pool, device, Path(folder))
        for duration_us in durations_us:
            kernel = spinning("a", await trials.steps_for(duration_us))
            latest = await trials.compared(kernel, kernel, comparisons, progress)
            decade, floor = floor_of(latest)
            floors[decade] = floor
    assert latest is not None and latest.evidence.device is not None
    provenance = {
        "method": f"{QUANTILE:.1%} quantile of |ln ratio| of a kernel with itself",
        "comparisons": comparisons,
        "durations_us": list(durations_us),
        "versions": latest.evidence.versions,
    }
    return write_noise_floor(settings, latest.evidence.device.name, floors, provenance)
