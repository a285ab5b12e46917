"""The top-k indexer's folder: which selections are right, and which are not."""

import importlib.util
import json
import random
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_harness.tools.workloads.operators import load_anew

FOLDER = (
    Path(__file__).resolve().parents[2] / "kernels" / "dsa_topk_indexer_fp8_h64_d128_topk2048_ps64"
)
INPUTS = load_anew(FOLDER / "inputs.py")
ORACLE = load_anew(FOLDER / "oracle.py")
REFERENCE = load_anew(FOLDER / "reference.py")
COMPARE = load_anew(FOLDER / "compare.py")
COST = load_anew(FOLDER / "cost.py")
LENGTHS = [2500, 0, 64, 2049, 700, 2048]
LONG, EMPTY, SHORT = 0, 1, 4
SIZES = {"page_size": 64, "index_head_dim": 128}


def drawn(family="typical", seed=1, lengths=None, pages=160):
    lengths = LENGTHS if lengths is None else lengths
    return INPUTS.generate(
        {
            "batch_size": len(lengths),
            "max_num_pages": -(-max(*lengths, 1) // 64) + 2,
            "num_pages": pages,
        },
        structure={"seq_lens": lengths},
        scalars={},
        generator=torch.Generator().manual_seed(seed),
        device="cpu",
        family=family,
    )


def verdict(inputs, got):
    return COMPARE.compare("topk_indices", inputs, ORACLE.oracle(**inputs)["topk_indices"], got, {})


def exact_scores(inputs, row):
    pages = inputs["block_table"][row, : -(-int(inputs["seq_lens"][row]) // 64)].long()
    keys = REFERENCE.unpack(inputs["k_index_cache_fp8"][pages], 128).double().flatten(0, 1)
    dots = torch.relu(keys @ inputs["q_index_fp8"][row].double().T)
    tokens = (pages[:, None] * 64 + torch.arange(64)).flatten()
    length = int(inputs["seq_lens"][row])
    return (dots @ inputs["weights"][row].double())[:length], tokens[:length]


def run_peer(inputs, name="torch_vectorised"):
    got = torch.full((inputs["seq_lens"].numel(), 2048), 12345, dtype=torch.int32)
    kernel = load_anew(FOLDER / "peers" / name / "kernel.py")
    kernel.run(*inputs.values(), got)
    return got


@pytest.mark.parametrize("family", INPUTS.FAMILIES)
def test_reference_trusted_and_peer_select_as_well_as_the_oracle(family):
    inputs = drawn(family)
    for got in (
        ORACLE.oracle(**inputs)["topk_indices"],
        ORACLE.trusted(**inputs)["topk_indices"],
        REFERENCE.run(*inputs.values()),
        run_peer(inputs),
    ):
        answer = verdict(inputs, got)
        assert answer["ok"], answer["message"]
        assert answer["matched_ratio"] == 1.0


def stand_in_scorer(queries, cache, weights, lengths, table, schedule, width, *, clean_logits):
    """DeepGEMM's scorer: garbage beyond a length, whatever the block table says there."""
    assert cache.dtype is torch.uint8 and schedule == (lengths.shape, 64, 132) and not clean_logits
    scores = torch.full((queries.shape[0], width), float("nan"))
    for row, length in enumerate(lengths.flatten().tolist()):
        if not length:
            continue
        pages = table[row, : -(-length // 64)].long()
        keys = REFERENCE.unpack(cache[pages], 128).flatten(0, 1)[:length]
        dots = torch.relu(keys @ queries[row, 0].float().T)
        scores[row, :length] = dots @ weights[row]
    return scores


def stand_in_top_k(scores, tokens, lengths, topk):
    """FlashInfer's top_k_page_table_transform: -1 where a row has fewer tokens than topk."""
    chosen = torch.full((scores.shape[0], topk), -1, dtype=torch.int32)
    for row, length in enumerate(lengths.tolist()):
        best = torch.topk(scores[row, :length], min(topk, length)).indices
        chosen[row, : best.numel()] = tokens[row, best]
    return chosen


@pytest.mark.parametrize("lengths", [LENGTHS, [5, 0, 640]])
@pytest.mark.parametrize("name", ["deep_gemm", "flashinfer", "sglang"])
def test_peers_hand_libraries_what_they_need(name, lengths, monkeypatch):
    """The libraries need a GPU; stand-ins compute what those document, in PyTorch."""
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _: SimpleNamespace(multi_processor_count=132)
    )
    deep_gemm = SimpleNamespace(
        get_paged_mqa_logits_metadata=lambda lengths, page, blocks: (lengths.shape, page, blocks),
        fp8_paged_mqa_logits=stand_in_scorer,
    )
    monkeypatch.setitem(sys.modules, "deep_gemm", deep_gemm)
    flashinfer = SimpleNamespace(top_k_page_table_transform=stand_in_top_k)
    monkeypatch.setitem(sys.modules, "flashinfer", flashinfer)

    def fused(scores, lengths, out, tokens, starts, row_starts):
        assert starts.tolist() == list(range(len(lengths) + 1)) and row_starts is None
        out.copy_(stand_in_top_k(scores, tokens, lengths, out.shape[1]))

    library = SimpleNamespace(fast_topk_transform_fused=fused)
    monkeypatch.setattr(torch.ops, "sgl_kernel", library, raising=False)
    monkeypatch.setattr(torch.ops, "load_library", lambda _: None)
    package = SimpleNamespace(submodule_search_locations=[str(FOLDER / "nowhere")])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: package)
    monkeypatch.setattr(Path, "glob", lambda self, _: [self / "common_ops.so"])
    inputs = drawn("wild_table", lengths=lengths)
    answer = verdict(inputs, run_peer(inputs, name))
    assert answer["ok"], answer["message"]


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 2300), min_size=1, max_size=5),
    seed=st.integers(0, 2**31),
    family=st.sampled_from(INPUTS.FAMILIES),
)
def test_order_never_matters(lengths, seed, family):
    inputs = drawn(family, seed, lengths, pages=40)
    got = REFERENCE.run(*inputs.values())
    shuffled = got[:, torch.randperm(2048, generator=torch.Generator().manual_seed(seed))]
    assert verdict(inputs, shuffled)["ok"]
    if max(lengths) <= 40 * 64:
        assert verdict(inputs, run_peer(inputs))["ok"]


@pytest.mark.parametrize("family", INPUTS.FAMILIES)
def test_every_family_packs_valid_pages_and_distinct_tables(family):
    inputs = drawn(family)
    raw = inputs["k_index_cache_fp8"].view(160, -1).view(torch.uint8)
    values, scales = INPUTS._values(raw, SIZES), INPUTS._scales(raw, SIZES)
    assert torch.isfinite(values.float()).all()
    assert torch.isfinite(scales).all() and (scales > 0).all()
    assert torch.isfinite(inputs["q_index_fp8"].float()).all()
    for row, length in zip(inputs["block_table"], LENGTHS, strict=True):
        used = row[: -(-length // 64)]
        assert used.unique().numel() == used.numel()
        assert ((used >= 0) & (used < 160)).all()
    beyond = inputs["block_table"][EMPTY]
    assert bool(((beyond < 0) | (beyond >= 160)).any()) == (family == "wild_table")


def test_packed_keys_carry_the_values_they_were_made_of():
    inputs = drawn(pages=40, lengths=[100])
    keys = REFERENCE.unpack(inputs["k_index_cache_fp8"], 128)
    assert 0.95 < float(keys.std()) < 1.05
    largest = keys.abs().amax(dim=2)
    scales = inputs["k_index_cache_fp8"].view(40, -1)[:, 8192:].contiguous().view(torch.float32)
    assert torch.allclose(largest, scales * 448, rtol=1e-6)


def with_entry(row, column, value):
    def corrupt(inputs, got):
        got[row, column] = value(inputs, got) if callable(value) else value

    return corrupt


def beyond_the_length(inputs, got):
    return int(inputs["block_table"][SHORT, 700 // 64]) * 64 + 63


def worst_instead_of_best(inputs, got):
    scores, tokens = exact_scores(inputs, LONG)
    got[LONG, got[LONG] == tokens[scores.argmax()]] = tokens[scores.argmin()].int()


def first_instead_of_best(inputs, got):
    got[LONG] = exact_scores(inputs, LONG)[1][:2048].int()


CORRUPTIONS = {
    "duplicated token": with_entry(LONG, 5, lambda inputs, got: got[LONG, 6]),
    "token of another sequence": with_entry(LONG, 5, lambda inputs, got: got[SHORT, 5]),
    "token beyond the length": with_entry(SHORT, 5, beyond_the_length),
    "token beyond the cache": with_entry(LONG, 5, 2**31 - 1),
    "another negative": with_entry(SHORT, 2047, -2),
    "one too few": with_entry(SHORT, 5, -1),
    "one in an empty row": with_entry(EMPTY, 0, 3),
    "worst instead of best": worst_instead_of_best,
    "first instead of best": first_instead_of_best,
    "zeros": lambda inputs, got: got.zero_(),
    "padding only": lambda inputs, got: got.fill_(-1),
    "another draw": lambda inputs, got: got.copy_(REFERENCE.run(*drawn(seed=2).values())),
    "skipped row": with_entry(3, slice(None), -1),
}


@pytest.mark.parametrize("kind", list(CORRUPTIONS))
def test_a_wrong_selection_is_rejected_with_its_place(kind):
    inputs = drawn()
    got = REFERENCE.run(*inputs.values())
    CORRUPTIONS[kind](inputs, got)
    answer = verdict(inputs, got)
    assert not answer["ok"]
    assert answer["message"]
    assert answer["index"] is not None and 0 <= answer["index"][0] < len(LENGTHS)
    assert answer["matched_ratio"] < 1.0


def test_a_wrong_shape_or_dtype_is_rejected():
    inputs = drawn(lengths=[3])
    got = REFERENCE.run(*inputs.values())
    assert not verdict(inputs, got[:, :2047])["ok"]
    assert not verdict(inputs, got.long())["ok"]


def test_tokens_that_tie_exactly_at_the_border_may_be_exchanged():
    inputs = drawn("tied_scores")
    expected = ORACLE.oracle(**inputs)["topk_indices"]
    scores, tokens = exact_scores(inputs, LONG)
    border = scores.topk(2048).values[-1]
    tied = tokens[scores == border]
    inside = torch.isin(tied, expected[LONG].long())
    assert inside.any() and not inside.all(), "the draw has no tie across the border"
    got = expected.clone()
    got[LONG, got[LONG] == tied[inside][0]] = tied[~inside][0].int()
    answer = verdict(inputs, got)
    assert answer["ok"] and answer["exchanged"] == 1


def test_tokens_further_from_the_border_than_rounding_explains_may_not():
    inputs = drawn()
    expected = ORACLE.oracle(**inputs)["topk_indices"]
    scores, tokens = exact_scores(inputs, LONG)
    order = scores.argsort(descending=True)
    got = expected.clone()
    got[LONG, got[LONG] == tokens[order[2040]]] = tokens[order[2056]].int()
    far = float(scores[order[2040]] - scores[order[2056]])
    answer = verdict(inputs, got)
    assert far > 0.5 and not answer["ok"]
    assert answer["matched_ratio"] == pytest.approx(1.0, abs=1e-3)


def test_scores_in_error_by_a_percent_are_rejected_and_float32_ones_are_not():
    inputs = drawn(lengths=[6000], pages=100)
    scores, tokens = exact_scores(inputs, 0)
    noise = 1 + 0.01 * torch.randn(6000, generator=torch.Generator().manual_seed(3))
    coarse = tokens[(scores * noise).topk(2048).indices].int()[None]
    assert not verdict(inputs, coarse)["ok"]
    fine = tokens[scores.float().topk(2048).indices].int()[None]
    assert verdict(inputs, fine)["ok"]


def test_rewriting_keeps_addresses_and_lengths_and_changes_what_is_due():
    inputs = drawn()
    places = {name: v.data_ptr() for name, v in inputs.items()}
    before = {name: v.clone().view(torch.uint8) for name, v in inputs.items()}
    stale = REFERENCE.run(*inputs.values())
    axes = {"batch_size": 6, "max_num_pages": inputs["block_table"].shape[1], "num_pages": 160}
    INPUTS.rewrite(inputs, torch.Generator().manual_seed(4), axes=axes, structure=None)
    assert all(inputs[name].data_ptr() == place for name, place in places.items())
    changed = {n for n, old in before.items() if not torch.equal(inputs[n].view(torch.uint8), old)}
    assert changed == set(inputs) - {"seq_lens"}
    assert not verdict(inputs, stale)["ok"]
    assert verdict(inputs, run_peer(inputs))["ok"]


def test_a_repeated_cache_has_a_scale_of_its_own_for_each_page():
    pages = INPUTS.DISTINCT_PAGES + 2
    cache = drawn(lengths=[5], pages=pages)["k_index_cache_fp8"]
    assert torch.equal(cache.view(pages, -1)[0, :8192], cache.view(pages, -1)[-2, :8192])
    assert not torch.equal(cache.view(pages, -1)[0, 8192:], cache.view(pages, -1)[-2, 8192:])


def test_lengths_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="lengths of at most"):
        drawn(lengths=[641], pages=10)
    with pytest.raises(ValueError, match="Unknown family"):
        drawn("no_such")


def test_cost_counts_pages_of_long_sequences_only():
    axes = {"batch_size": 2, "max_num_pages": 40, "num_pages": 11923}
    short = COST.cost(axes, structure={"seq_lens": [2048, 3]})
    assert short["flops"] == {"fp8": 0.0, "fp32": 0.0}
    assert short["bytes_read"] == 4 * (32 + 1) + 8
    long = COST.cost(axes, structure={"seq_lens": [2049, 3]})
    assert long["flops"]["fp8"] == 16384.0 * 2049
    assert long["bytes_read"] == 33 * 8448 + 8448 + 4 * 34 + 8
    inputs = drawn(lengths=[2049, 3])
    assert COST.cost(axes, inputs=inputs)["bytes_read"] == long["bytes_read"]
    assert COST.cost(axes)["upper_bound"]


def test_held_out_workloads_have_several_long_and_empty_sequences():
    cases = INPUTS.held_out(random.Random(1), 24)
    assert len(cases) == 24
    for case in cases:
        axes, lengths = case["axes"], case["structure"]["seq_lens"]
        assert len(lengths) == axes["batch_size"]
        assert max(lengths) <= axes["max_num_pages"] * 64
        assert -(-max(lengths) // 64) <= axes["num_pages"]
    longest = [sum(n > 2048 for n in case["structure"]["seq_lens"]) for case in cases]
    assert max(longest) >= 5 and 2 in longest
    assert any(0 in case["structure"]["seq_lens"] for case in cases)


def test_structure_fits_every_workload():
    structure = json.loads((FOLDER / "structure.json").read_text())
    lines = (FOLDER / "workloads.jsonl").read_text().splitlines()
    workloads = [json.loads(line)["workload"] for line in lines]
    assert len(workloads) == 128
    for workload in workloads:
        lengths = structure[workload["uuid"]]["seq_lens"]
        assert len(lengths) == workload["axes"]["batch_size"]
        assert -(-max(lengths) // 64) == workload["axes"]["max_num_pages"]
