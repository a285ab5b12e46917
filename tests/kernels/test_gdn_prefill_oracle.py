"""The oracle of gdn_prefill_qk4_v8_d128_k_last: chunks equal single tokens, and launch little."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode  # no public one counts operators

from kernel_harness.tools.workloads.operators import load_anew

FOLDER = Path(str(files("kernel_harness.kernels"))) / "gdn_prefill_qk4_v8_d128_k_last"
INPUTS = load_anew(FOLDER / "inputs.py")
ORACLE = load_anew(FOLDER / "oracle.py")
LENGTHS = [(1,), (63,), (64,), (65,), (0,), (0, 0), (0, 3, 0), (129, 0, 64, 1, 130), (200, 7, 321)]


def drawn(lengths: tuple[int, ...], family: str = "typical") -> dict[str, Any]:
    return INPUTS.generate(
        {"total_seq_len": sum(lengths), "num_seqs": len(lengths)},
        structure={"seq_lens": list(lengths)},
        scalars={},
        generator=torch.Generator().manual_seed(3),
        device="cpu",
        family=family,
    )


def token_by_token(
    q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, scale
) -> dict[str, torch.Tensor]:
    """The recurrence as it is defined, in float64."""
    group = v.shape[1] // q.shape[1]
    query, key = (x.double().repeat_interleave(group, dim=1) for x in (q, k))
    rate = A_log.double().exp() * torch.nn.functional.softplus(a.double() + dt_bias.double())
    decay, beta = torch.exp(-rate), torch.sigmoid(b.double())
    output = torch.zeros(v.shape, dtype=torch.float64)
    new_state = torch.zeros(state.shape, dtype=torch.float64)
    for i, (start, end) in enumerate(itertools.pairwise(cu_seqlens.tolist())):
        memory = state[i].double()
        for t in range(start, end):
            memory = memory * decay[t, :, None, None]
            correction = beta[t, :, None] * (v[t].double() - (memory @ key[t, ..., None])[..., 0])
            memory = memory + correction[..., None] * key[t, :, None, :]
            output[t] = (scale or 1 / math.sqrt(128)) * (memory @ query[t, ..., None])[..., 0]
            new_state[i] = memory
    return {"output": output, "new_state": new_state}


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_it_equals_the_recurrence_within_the_rounding_of_float64(lengths: tuple[int, ...]) -> None:
    inputs = drawn(lengths)
    expected, got = token_by_token(**inputs), ORACLE.oracle(**inputs)
    for name, exact in expected.items():
        assert got[name].shape == exact.shape and got[name].dtype == torch.float64
        torch.testing.assert_close(got[name], exact, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    "family",
    [
        *INPUTS.FAMILIES[:3],
        *(pytest.param(family, marks=pytest.mark.long) for family in INPUTS.FAMILIES[3:]),
    ],
)
def test_it_equals_the_recurrence_on_every_family(family: str) -> None:
    inputs = drawn((70, 0, 1, 140), family)
    expected, got = token_by_token(**inputs), ORACLE.oracle(**inputs)
    for name, exact in expected.items():
        size = float(exact.abs().max())
        torch.testing.assert_close(got[name], exact, rtol=0, atol=1e-12 * max(size, 1.0))


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_both_together_are_each_alone_bit_for_bit(lengths: tuple[int, ...]) -> None:
    inputs = drawn(lengths)
    together = ORACLE.oracle_and_trusted(**inputs)
    for found, alone in zip(together, (ORACLE.oracle, ORACLE.trusted), strict=True):
        for name, value in alone(**inputs).items():
            assert found[name].dtype == value.dtype and torch.equal(found[name], value)


def test_sequences_are_computed_as_if_each_were_alone() -> None:
    lengths = (65, 0, 200, 3, 64)
    inputs = drawn(lengths)
    whole = ORACLE.trusted(**inputs)
    bounds = inputs["cu_seqlens"].tolist()
    for i, (start, end) in enumerate(itertools.pairwise(bounds)):
        tokens = {name: inputs[name][start:end] for name in ("q", "k", "v", "a", "b")}
        alone = {"state": inputs["state"][i : i + 1], "cu_seqlens": torch.tensor([0, end - start])}
        single = ORACLE.trusted(**inputs | tokens | alone)
        torch.testing.assert_close(single["output"], whole["output"][start:end])
        torch.testing.assert_close(single["new_state"][0], whole["new_state"][i])


class Operators(TorchDispatchMode):
    """Counts operators that are no views: about what a GPU would launch."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if not func.is_view:
            self.count[func.name()] += 1
        return func(*args, **(kwargs or {}))


def launches(*lengths: int) -> int:
    inputs = drawn(lengths)
    with Operators() as operators:
        ORACLE.oracle_and_trusted(**inputs)
    return operators.count.total()


def test_a_chunk_more_costs_nine_launches_and_a_sequence_more_none() -> None:
    once = launches(64)
    assert launches(64 * 5) - once == 4 * 9
    assert launches(64, 64, 1, 30) == once
