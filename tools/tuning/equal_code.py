"""Variants with one machine code: what they ask Triton for differs, and made no difference.

Of a kernel without a loop any number of stages gives the same code. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .variants import Variant

COMPILE_OPTIONS = frozenset(("num_stages", "maxnreg", "num_ctas", "enable_fp_fusion"))
"""What Triton takes with a launch and uses up when it compiles, or notes beside the code."""


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


def with_equal_code(variants: Sequence[Variant], code: Mapping[str, str]) -> dict[str, str]:
    """By name of each variant whose code another has that was named before, the other's name.

    Args:
        code: a hash of each variant's machine code, by name; empty where it is not known.
    """
    found: dict[str, str] = {}
    for group in alike(variants):
        first: dict[str, str] = {}
        for variant in group:
            digest = code.get(variant.name)
            if digest and (known := first.setdefault(digest, variant.name)) != variant.name:
                found[variant.name] = known
    return found


def _is_option(constant: str) -> bool:
    return constant.rpartition("::")[2].rpartition(".")[2] in COMPILE_OPTIONS
