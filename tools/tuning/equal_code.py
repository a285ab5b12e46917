"""Variants with one machine code: what they ask Triton for differs, and made no difference.

Of a kernel without a loop any number of stages gives the same code. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..schema.evaluation import StaticCheck
from .variants import Variant

COMPILE_OPTIONS = frozenset(("num_stages", "maxnreg", "num_ctas"))
"""What Triton takes with a launch and uses up when it compiles, or notes beside the code; a check
shows them of each kernel."""


def alike(variants: Sequence[Variant]) -> list[list[Variant]]:
    """Groups of variants that differ in compile options alone, and so may have one machine code.

    A constant of the program may change its grid or its host code, whatever the kernels' code is;
    so may one that is called as an option is, unless launches alone hold it.
    """
    groups: dict[tuple[object, ...], list[Variant]] = {}
    for variant in variants:
        options = {name for name in variant.passed if _is_option(name)}
        others = [(c, repr(v)) for c, v in variant.values.items() if c not in options]
        if len(others) < len(variant.values):
            groups.setdefault((variant.started_from, *sorted(others)), []).append(variant)
    return [group for group in groups.values() if len(group) > 1]


def with_equal_code(
    variants: Sequence[Variant], checks: Mapping[str, StaticCheck | None]
) -> dict[str, str]:
    """By name of each variant whose code another has that was named before, the other's name.

    Args:
        checks: what compiling showed of each variant, by name.
    """
    found: dict[str, str] = {}
    for group in alike(variants):
        first: dict[str, str] = {}
        for variant in group:
            digest = _code(variant, checks.get(variant.name))
            if digest and (known := first.setdefault(digest, variant.name)) != variant.name:
                found[variant.name] = known
    return found


def _code(variant: Variant, check: StaticCheck | None) -> str:
    """The hash of its machine code; empty where it is not known.

    Where no kernel was compiled with a value, the launch that it is given was not come to: what a
    call goes on to may follow from results, which compiling has none of.
    """
    if check is None:
        return ""
    for name in filter(_is_option, variant.passed & variant.values.keys()):
        option, value = name.rpartition("::")[2].rpartition(".")[2], variant.values[name]
        if all(kernel.config.get(option) != value for kernel in check.kernels):
            return ""
    return check.machine_code


def _is_option(constant: str) -> bool:
    return constant.rpartition("::")[2].rpartition(".")[2] in COMPILE_OPTIONS
