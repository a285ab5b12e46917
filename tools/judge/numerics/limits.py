"""How far an output may be from the oracle: the published and the strict criterion as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...workloads.policy import Criterion, Policy, ToleranceForm

REL_EPSILON = 1e-8
DTYPE_MINIMA = {
    torch.float64: (1e-6, 1e-5),
    torch.float32: (1e-4, 1e-3),
    torch.float16: (4e-3, 4e-2),
    torch.bfloat16: (1.6e-2, 1.6e-1),
}
"""Least bounds on rms and worst element by declared dtype, where an operator states none."""
LOW_PRECISION_MINIMA = (0.12, 1.0)


@dataclass(frozen=True)
class ToleranceLimits:
    """How far an output may be from the oracle.

    Args:
        atol, rtol, required_matched_ratio, form: the published criterion.
        max_error, zeros: the rest of it, which no share of the elements makes up for.
        strict_decides: whether the strict criterion must be met, too.
        rms_factor, max_factor: times the trusted implementation's error.
        rms_minimum, max_minimum: least bounds, relative to the oracle's rms; None: by dtype.
    """

    atol: float = 1e-2
    rtol: float = 1e-2
    required_matched_ratio: float = 1.0
    rms_factor: float = 2.0
    max_factor: float = 4.0
    rms_minimum: float | None = None
    max_minimum: float | None = None
    form: ToleranceForm = ToleranceForm.EITHER
    strict_decides: bool = True
    max_error: float | None = None
    zeros: bool = True

    def capped(self, largest: float) -> bool:
        """Whether the largest absolute error is more than any element may have."""
        return self.max_error is not None and not largest <= self.max_error

    def allowed(self, magnitude: torch.Tensor) -> torch.Tensor:
        """The largest absolute error of each element by the published criterion.

        Args:
            magnitude: absolute values of the oracle's elements.
        """
        if self.form is ToleranceForm.ALLCLOSE:
            return magnitude.mul(self.rtol).add_(self.atol)
        return magnitude.add(REL_EPSILON).mul_(self.rtol).clamp_min_(self.atol)

    def minima(self, dtype: torch.dtype) -> tuple[float, float]:
        """The least bounds on rms and worst element for an output declared as `dtype`."""
        rms, largest = DTYPE_MINIMA.get(dtype, LOW_PRECISION_MINIMA)
        return (
            rms if self.rms_minimum is None else self.rms_minimum,
            largest if self.max_minimum is None else self.max_minimum,
        )


def tolerance_limits(policy: Policy, output: str, uuid: str = "") -> ToleranceLimits:
    """The published and the strict tolerances of an output on a workload, as a policy has them."""
    both = policy.criterion is Criterion.BOTH
    published = policy.tolerance_of(uuid).model_dump(exclude={"nonfinite"})
    published["strict_decides"] = both
    if (strict := policy.strict.get(output)) is None:
        return ToleranceLimits(**published)
    return ToleranceLimits(
        **published,
        rms_factor=strict.rms_factor,
        max_factor=strict.max_factor,
        rms_minimum=strict.rms_floor,
        max_minimum=strict.max_floor,
    )
