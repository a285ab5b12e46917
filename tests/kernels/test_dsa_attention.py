"""Sparse latent attention's folder: valid inputs, agreeing implementations, mistakes caught."""

import json
import math
import random
import sys
import types
from pathlib import Path

import pytest
import torch

from kernel_harness.tools.judge.numerics.correctness import check_output
from kernel_harness.tools.judge.numerics.limits import tolerance_limits
from kernel_harness.tools.workloads.operators import load_anew
from kernel_harness.tools.workloads.policy import read_policy

FOLDER = (
    Path(__file__).resolve().parents[2]
    / "kernels"
    / "dsa_sparse_attention_h16_ckv512_kpe64_topk2048_ps64"
)
INPUTS = load_anew(FOLDER / "inputs.py")
ORACLE = load_anew(FOLDER / "oracle.py")
REFERENCE = load_anew(FOLDER / "reference.py")
COST = load_anew(FOLDER / "cost.py")
POLICY = read_policy(FOLDER / "policy.toml")
COUNTS = [2048, 17, 300]
AXES = {"num_tokens": 3, "num_pages": 40}


def drawn(family="typical", seed=1, counts=None, pages=40):
    counts = COUNTS if counts is None else counts
    return INPUTS.generate(
        {"num_tokens": len(counts), "num_pages": pages},
        structure={"valid_indices_per_token": counts},
        scalars={"sm_scale": 0.1352337788608801},
        generator=torch.Generator().manual_seed(seed),
        device="cpu",
        family=family,
    )


def verdicts(inputs, outputs):
    """Name of each output that does not pass, with why."""
    expected, trusted = ORACLE.oracle(**inputs), ORACLE.trusted(**inputs)
    wrong = {}
    for name, got in zip(("output", "lse"), outputs, strict=True):
        limits = tolerance_limits(POLICY, name)
        _, mismatch = check_output(name, got, expected[name], trusted[name], limits)
        if mismatch is not None:
            wrong[name] = mismatch.message
    return wrong


def run_peer(name, inputs):
    output = torch.full_like(inputs["q_nope"], math.nan)
    lse = torch.full(output.shape[:2], math.nan)
    load_anew(FOLDER / "peers" / name / "kernel.py").run(*inputs.values(), output, lse)
    return output, lse


@pytest.mark.parametrize("family", INPUTS.FAMILIES)
def test_reference_trusted_and_peer_agree_with_the_oracle(family):
    inputs = drawn(family)
    assert not verdicts(inputs, REFERENCE.run(*inputs.values()))
    assert not verdicts(inputs, ORACLE.trusted(**inputs).values())
    assert not verdicts(inputs, run_peer("torch_vectorised", inputs))


def sparse_library(queries, cache, indices, scale, use_legacy, return_log2_lse):
    """What FlashMLA documents of its sparse kernel; rows without a valid place give NaN."""
    assert use_legacy and return_log2_lse and queries.shape[1] == 64
    used = indices[:, 0] >= 0
    rows = cache[:, 0][indices[:, 0].clamp_min(0)].float()
    logits = scale * torch.einsum("thd,tkd->thk", queries.float(), rows)
    logits = logits.masked_fill(~used[:, None], -math.inf)
    mixed = torch.einsum("thk,tkd->thd", logits.softmax(-1), rows[..., :512])
    return mixed.bfloat16(), logits.amax(-1), logits.logsumexp(-1) / math.log(2.0)


@pytest.mark.parametrize("family", ["scattered_padding", "duplicated_rows", "empty_row"])
def test_the_adaptor_to_flash_mla_hands_over_what_the_library_needs(family, monkeypatch):
    """The library needs a GPU; wrong places, heads or units of the adaptor show with a stand-in."""
    module = types.ModuleType("flash_mla")
    monkeypatch.setattr(module, "flash_mla_sparse_fwd", sparse_library, raising=False)
    monkeypatch.setitem(sys.modules, "flash_mla", module)
    inputs = drawn(family, counts=[300, 17])
    assert not verdicts(inputs, run_peer("flash_mla", inputs))


@pytest.mark.parametrize("family", INPUTS.FAMILIES)
def test_every_family_selects_as_many_rows_of_the_cache_as_it_is_told(family):
    inputs = drawn(family)
    indices = inputs["sparse_indices"]
    counts = (indices >= 0).sum(dim=1).tolist()
    if family == "empty_row":
        assert counts.count(0) == 1
        assert all(count in (0, due) for count, due in zip(counts, COUNTS, strict=True))
    else:
        assert counts == COUNTS
    assert int(indices.max()) < 40 * 64
    assert int(indices.min()) == -1
    assert all(torch.isfinite(t).all() for t in inputs.values() if torch.is_tensor(t))


def test_typical_rows_are_distinct_and_padded_at_the_end():
    for row, count in zip(drawn()["sparse_indices"], COUNTS, strict=True):
        assert row[:count].unique().numel() == count
        assert (row[count:] == -1).all()


def test_the_same_seed_draws_the_same_inputs():
    one, other, third = drawn(seed=5), drawn(seed=5), drawn(seed=6)
    tensors = [name for name, value in one.items() if torch.is_tensor(value)]
    assert all(torch.equal(one[name], other[name]) for name in tensors)
    assert not any(torch.equal(one[name], third[name]) for name in tensors)


def test_repeated_pages_of_a_large_cache_still_differ():
    cache = drawn(counts=[1], pages=INPUTS.DISTINCT_PAGES + 3)["ckv_cache"]
    assert not torch.equal(cache[0], cache[INPUTS.DISTINCT_PAGES])
    assert 0.5 < float(cache.float().std()) < 1.5


def test_rewriting_keeps_addresses_and_changes_what_is_due():
    inputs = drawn()
    before = {name: v.clone() for name, v in inputs.items() if torch.is_tensor(v)}
    places = {name: v.data_ptr() for name, v in inputs.items() if torch.is_tensor(v)}
    expected = ORACLE.oracle(**inputs)
    generator = torch.Generator().manual_seed(9)
    INPUTS.rewrite(inputs, generator, axes=AXES, structure={"valid_indices_per_token": COUNTS})
    assert all(inputs[name].data_ptr() == place for name, place in places.items())
    assert all(not torch.equal(inputs[name], old) for name, old in before.items())
    assert (inputs["sparse_indices"] >= 0).sum(dim=1).tolist() == COUNTS
    stale = (expected["output"].bfloat16(), expected["lse"])
    assert set(verdicts(inputs, stale)) == {"output", "lse"}
    assert not verdicts(inputs, REFERENCE.run(*inputs.values()))


def wrong_outputs(inputs):
    output, lse = REFERENCE.run(*inputs.values())
    skipped = output.clone()
    skipped[1] = 0
    other = REFERENCE.run(*drawn(seed=2).values())
    return {
        "zeros": (torch.zeros_like(output), torch.zeros_like(lse)),
        "mean": (output.float().mean().expand_as(output).bfloat16(), lse.mean().expand_as(lse)),
        "copied input": (inputs["q_nope"].clone(), inputs["q_pe"][..., 0].float()),
        "skipped row": (skipped, lse),
        "another draw": other,
        "natural logarithm": (output, lse * math.log(2.0)),
        "one head for all": (output[:, :1].expand_as(output).contiguous(), lse),
    }


@pytest.mark.parametrize("kind", list(wrong_outputs(drawn())))
def test_a_wrong_output_is_rejected(kind):
    inputs = drawn()
    assert verdicts(inputs, wrong_outputs(inputs)[kind])


def test_a_kernel_that_expects_padding_at_the_end_only_is_caught():
    inputs = drawn("scattered_padding")
    packed = dict(inputs)
    packed["sparse_indices"] = inputs["sparse_indices"].clone()
    for row, count in zip(packed["sparse_indices"], COUNTS, strict=True):
        row[count:] = -1
    assert "output" in verdicts(inputs, REFERENCE.run(*packed.values()))


def test_a_kernel_that_counts_a_repeated_row_once_is_caught():
    inputs = drawn("duplicated_rows")
    unique = dict(inputs)
    unique["sparse_indices"] = torch.full_like(inputs["sparse_indices"], -1)
    for row, source in zip(unique["sparse_indices"], inputs["sparse_indices"], strict=True):
        rows = source[source >= 0].unique()
        row[: rows.numel()] = rows
    assert verdicts(inputs, REFERENCE.run(*unique.values()))


def test_one_missing_row_of_two_thousand_is_caught():
    inputs = drawn("flat", counts=[2048])
    fewer = dict(inputs)
    fewer["sparse_indices"] = inputs["sparse_indices"].clone()
    fewer["sparse_indices"][0, 700] = -1
    assert verdicts(inputs, REFERENCE.run(*fewer.values()))


def test_a_token_without_rows_gives_zero_and_minus_infinity():
    inputs = drawn(counts=[0, 5, 0])
    expected = ORACLE.oracle(**inputs)
    assert torch.isneginf(expected["lse"][[0, 2]]).all()
    assert (expected["output"][[0, 2]] == 0).all()
    output, lse = REFERENCE.run(*inputs.values())
    assert not verdicts(inputs, (output, lse))
    assert "lse" in verdicts(inputs, (output, lse.clamp_min(-1e30)))
    everything_empty = drawn(counts=[0])
    assert not verdicts(everything_empty, run_peer("torch_vectorised", everything_empty))


def test_counts_that_the_cache_cannot_hold_are_refused():
    with pytest.raises(ValueError, match="counts of at most 64"):
        drawn(counts=[65], pages=1)
    with pytest.raises(ValueError, match="Unknown family"):
        drawn("typicall")


def test_cost_counts_the_rows_that_are_selected():
    inputs = drawn(counts=[100, 7])
    axes = {"num_tokens": 2, "num_pages": 40}
    structure = {"valid_indices_per_token": [100, 7]}
    counted = COST.cost(axes, inputs=inputs)
    assert counted["flops"] == {"bf16": 34816.0 * 107}
    assert counted["l2_bytes"] == 1152 * 107
    assert COST.cost(axes, structure=structure)["flops"] == counted["flops"]
    assert COST.cost(axes, structure=structure)["bytes_read"] >= counted["bytes_read"]
    repeated = dict(inputs) | {"sparse_indices": torch.zeros(2, 2048, dtype=torch.int32)}
    assert COST.cost(axes, inputs=repeated)["bytes_read"] == 1152 + 2 * 26624


def test_held_out_workloads_can_be_drawn_and_go_beyond_the_public_ones():
    cases = INPUTS.held_out(random.Random(3), 28)
    assert len(cases) == 28
    for case in cases:
        counts = case["structure"]["valid_indices_per_token"]
        assert len(counts) == case["axes"]["num_tokens"]
        assert max(counts) <= min(2048, case["axes"]["num_pages"] * 64)
    kinds = {case["kind"] for case in cases}
    assert {"near", "between", "many_long", "exactly_topk", "empty_rows", "prime"} <= kinds
    assert any(0 in case["structure"]["valid_indices_per_token"] for case in cases)


def test_structure_fits_every_workload():
    structure = json.loads((FOLDER / "structure.json").read_text())
    lines = (FOLDER / "workloads.jsonl").read_text().splitlines()
    workloads = [json.loads(line)["workload"] for line in lines]
    assert len(workloads) == 23
    for workload in workloads:
        counts = structure[workload["uuid"]]["valid_indices_per_token"]
        assert len(counts) == workload["axes"]["num_tokens"]
        assert 0 < max(counts) <= 2048
