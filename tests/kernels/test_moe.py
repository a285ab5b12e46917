"""The mixture of experts' folder, at reduced widths: routing rules, and mistakes caught."""

import functools
import importlib.util
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from kernel_harness.tools.judge.numerics.correctness import check_output
from kernel_harness.tools.judge.numerics.limits import tolerance_limits
from kernel_harness.tools.judge.philox.generator import PhiloxGenerator
from kernel_harness.tools.workloads.operators import load_anew
from kernel_harness.tools.workloads.policy import read_policy

FOLDER = (
    Path(__file__).resolve().parents[2]
    / "kernels"
    / "moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e32_h7168_i2048"
)
INPUTS = load_anew(FOLDER / "inputs.py")
ORACLE = load_anew(FOLDER / "oracle.py")
REFERENCE = load_anew(FOLDER / "reference.py")
COST = load_anew(FOLDER / "cost.py")
POLICY = read_policy(FOLDER / "policy.toml")
SMALL = {"hidden_size": 256, "intermediate_size": 128}


def drawn(family="typical", seed=1, tokens=9, offset=32, philox=True):
    return INPUTS.generate(
        {"seq_len": tokens, **SMALL},
        structure={},
        scalars={"local_expert_offset": offset, "routed_scaling_factor": 2.5},
        generator=torch.Generator().manual_seed(seed),
        device="cpu",
        family=family,
        philox=PhiloxGenerator(seed, torch.device("cpu")) if philox else None,
    )


def verdict(inputs, got):
    """Why an output does not pass; empty when it does."""
    expected, trusted = ORACLE.oracle(**inputs)["output"], ORACLE.trusted(**inputs)["output"]
    limits = tolerance_limits(POLICY, "output")
    _, mismatch = check_output("output", got, expected, trusted, limits)
    return "" if mismatch is None else mismatch.message


def run_peer(inputs, name="torch_vectorised"):
    output = torch.full(inputs["hidden_states"].shape, math.nan, dtype=torch.bfloat16)
    kernel = load_anew(FOLDER / "peers" / name / "kernel.py")
    kernel.run(*inputs.values(), output)
    return output


@pytest.mark.parametrize("offset", [pytest.param(32, marks=pytest.mark.long), 111])
@pytest.mark.parametrize("family", INPUTS.FAMILIES)
def test_reference_trusted_and_peer_agree_with_the_oracle(family, offset):
    inputs = drawn(family, offset=offset)
    assert not verdict(inputs, REFERENCE.run(*inputs.values()))
    assert not verdict(inputs, ORACLE.trusted(**inputs)["output"])
    assert not verdict(inputs, run_peer(inputs))


def block_product(values, scales, weights, weight_scales):
    rows = ORACLE._dequantised_rows(values, scales.T)
    return (rows @ ORACLE._dequantised_blocks(weights, weight_scales).T).bfloat16()


def stand_in_grouped(left, right, out, layout):
    """Rows of each group times its weights; what belongs to no group becomes NaN."""
    (values, scales), (weights, weight_scales) = left, right
    assert layout.dtype == torch.int32 and layout.shape == (len(values),) == (len(out),)
    assert len(values) % 128 == 0 and scales.T.is_contiguous()
    out.fill_(math.nan)
    for block in layout.view(-1, 128):
        assert ((block == block[0]) | (block == -1)).all() and (block.diff() <= 0).all()
    for expert in layout.unique().tolist():
        mine = layout == expert
        if expert >= 0:
            out[mine] = block_product(
                values[mine], scales[mine], weights[expert], weight_scales[expert]
            )


def stand_in_scaled_mm(left, right, *, scale_a, scale_b, out_dtype):
    assert out_dtype == torch.bfloat16 and len(left) % 16 == 0
    assert scale_a.T.is_contiguous() and right.T.is_contiguous()
    return block_product(left, scale_a, right.T, scale_b.T)


def stand_in_es(out, values, weights, scales, weight_scales, a, b, c, sizes, first, workspace):
    """Rows of each expert times its weights; rows of none become NaN."""
    terms, width = weights.shape[1:]
    assert sizes.dtype == first.dtype == torch.int32 and sizes[:, 1:].unique(dim=0).tolist() == [
        [width, terms]
    ]
    assert a.tolist() == b.tolist() == [terms] * len(weights) and c.tolist() == [width] * len(a)
    assert scales.is_contiguous() and workspace.dtype == torch.uint8
    out.fill_(math.nan)
    for expert, (start, count) in enumerate(zip(first.tolist(), sizes[:, 0].tolist(), strict=True)):
        mine = slice(start, start + count)
        out[mine] = block_product(
            values[mine], scales[mine], weights[expert].T, weight_scales[expert].T
        )


def stand_in_gate(logits, bias, groups, kept, topk, shared_experts, factor, scaled):
    assert logits.dtype == bias.dtype == torch.float32
    assert (groups, kept, topk, shared_experts, factor, scaled) == (8, 4, 8, 0, 1.0, False)
    experts, shares = ORACLE._route(logits, bias, factor)
    return [shares, experts.int()]


def stand_in_lists(experts, first, scale_offsets, sizes, other_sizes, token, row, count, n, k):
    """Rows by expert in any order; other experts' pairs and rows of none are left as they are."""
    assert experts.dtype == torch.int32 and experts.is_contiguous() and scale_offsets is None
    held = [torch.nonzero(experts.flatten() == expert).flatten().flip(0) for expert in range(count)]
    numbers = torch.tensor([len(pairs) for pairs in held], dtype=torch.int32)
    first.copy_(torch.nn.functional.pad(numbers.cumsum(0, dtype=torch.int32), (1, 0)))
    for out, columns in ((sizes, (2 * n, k)), (other_sizes, (k, n))):
        assert out.is_contiguous()
        out.copy_(torch.stack([numbers, *(torch.full_like(numbers, c) for c in columns)], dim=1))
    pairs = torch.cat(held)
    token[: len(pairs)] = pairs.int() // experts.shape[1]
    row[pairs] = torch.arange(len(pairs), dtype=torch.int32)


def stand_in_gather(rows, token, out):
    assert token.dtype == torch.int32 and out.shape == (len(token), rows.shape[1])
    assert rows.is_contiguous() and rows.dtype == out.dtype
    out.view(torch.uint8).copy_(rows.view(torch.uint8)[token])


def stand_in_sum(rows, output, row, factors):
    assert row.dtype == torch.int32 and row.shape == (factors.numel(),)
    assert factors.dtype == output.dtype == rows.dtype == torch.bfloat16
    assert 0 <= row.min() and row.max() < len(rows)
    scaled = rows.float()[row] * factors.float().flatten()[:, None]
    output.copy_(scaled.unflatten(0, (len(output), -1)).sum(dim=1))


def stand_in_quant(rows, values, scales, block, smallest, least, most, powers_of_two):
    assert (block, smallest, least, most, powers_of_two) == (128, 1e-10, -448.0, 448.0, False)
    assert rows.is_contiguous() and scales.stride(0) >= scales.stride(1)
    blocks = rows.float().unflatten(1, (-1, block))
    largest = blocks.abs().amax(dim=2, keepdim=True).clamp_min(smallest)
    scales.copy_(largest.squeeze(2) / most)
    values.copy_((blocks * (most / largest)).to(torch.float8_e4m3fn).flatten(1))


@pytest.mark.parametrize(
    ("family", "tokens"),
    [("typical", 0), ("typical", 1), ("signed_scales", 40), ("all_local", 33), ("none_local", 2)],
)
@pytest.mark.parametrize("name", ["deep_gemm", "sglang", "torch_scaled_mm"])
def test_peers_hand_libraries_what_they_need(name, family, tokens, monkeypatch):
    """The libraries need a GPU; stand-ins compute what those document, in PyTorch."""
    deep_gemm = SimpleNamespace(
        get_mk_alignment_for_contiguous_layout=lambda: 128,
        m_grouped_fp8_gemm_nt_contiguous=stand_in_grouped,
    )
    monkeypatch.setitem(sys.modules, "deep_gemm", deep_gemm)
    monkeypatch.setattr(torch, "_scaled_mm", stand_in_scaled_mm)
    library = SimpleNamespace(
        es_fp8_blockwise_scaled_grouped_mm=stand_in_es,
        moe_fused_gate=stand_in_gate,
        prepare_moe_input=stand_in_lists,
        shuffle_rows=stand_in_gather,
        sgl_per_token_group_quant_8bit=stand_in_quant,
        apply_shuffle_mul_sum=stand_in_sum,
    )
    monkeypatch.setattr(torch.ops, "sgl_kernel", library, raising=False)
    monkeypatch.setattr(torch.ops, "load_library", lambda _: None)
    package = SimpleNamespace(submodule_search_locations=[str(FOLDER / "nowhere")])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: package)
    monkeypatch.setattr(Path, "glob", lambda self, _: [self / "common_ops.so"])
    inputs = drawn(family, tokens=tokens, offset=45)
    assert not verdict(inputs, run_peer(inputs, name))


def quantised_rows(rows):
    """e4m3 and scales of bfloat16 rows, as FlashInfer makes them: both from the largest value."""
    blocks = rows.float().unflatten(1, (-1, 128))
    largest = blocks.abs().amax(dim=2, keepdim=True)
    factors = torch.where(largest > 0, 448.0 / largest, 1.0)
    return (blocks * factors).to(torch.float8_e4m3fn).flatten(1), factors.squeeze(2).reciprocal()


def stand_in_topk(scores, bias, groups, kept, topk, factor, shares, selected):
    assert scores.dtype == bias.dtype == shares.dtype == torch.float32 and selected.is_contiguous()
    assert (groups, kept, topk) == (8, 4, 8) and selected.dtype == torch.int32
    found, weights = ORACLE._route(scores, bias, factor)
    selected.copy_(found)
    shares.copy_(weights)


def stand_in_fused_moe(
    values,
    selected,
    shares,
    first,
    second,
    dtype,
    *,
    quant_scales,
    ep_size,
    ep_rank,
    output,
    use_deepseek_fp8_block_scale,
):
    """What the library's kernels for Hopper do, expert by expert of the rank's."""
    assert use_deepseek_fp8_block_scale and dtype == output.dtype == values.dtype == torch.bfloat16
    assert (
        selected.dtype == torch.int32 and shares.dtype == torch.float32 and len(quant_scales) == 2
    )
    assert ep_size * len(first) == 256 and 0 <= ep_rank < ep_size
    assert selected.min() >= 0 and selected.max() < 256
    for tensor in (values, selected, shares, first, second, output, *quant_scales):
        assert tensor.is_contiguous()
    total = torch.zeros(output.shape)
    for place in range(len(first)):
        token, nth = torch.nonzero(selected == ep_rank * len(first) + place, as_tuple=True)
        both = block_product(*quantised_rows(values[token]), first[place], quant_scales[0][place])
        up, gate = both.float().chunk(2, dim=1)
        inner = (torch.nn.functional.silu(gate) * up).bfloat16()
        part = block_product(*quantised_rows(inner), second[place], quant_scales[1][place])
        total.index_add_(0, token, shares[token, nth, None] * part.float())
    output.copy_(total)


@pytest.mark.parametrize(
    "offset", [0, *(pytest.param(n, marks=pytest.mark.long) for n in (45, 96)), 224]
)
@pytest.mark.parametrize(
    ("family", "tokens"),
    [("typical", 0), ("typical", 1), ("signed_scales", 40), ("all_local", 33), ("none_local", 2)],
)
def test_flashinfer_is_handed_what_it_needs_on_hopper(family, tokens, offset, monkeypatch):
    """The library needs a GPU; stand-ins check its arguments and compute as its sources do."""
    library = SimpleNamespace(
        cutlass_fused_moe=stand_in_fused_moe, fused_topk_deepseek=stand_in_topk
    )
    monkeypatch.setitem(sys.modules, "flashinfer", SimpleNamespace(fused_moe=library))
    monkeypatch.setitem(sys.modules, "flashinfer.fused_moe", library)
    inputs = drawn(family, tokens=tokens, offset=offset)
    assert not verdict(inputs, run_peer(inputs, "flashinfer"))


def stand_in_trtllm(
    scores,
    bias,
    values,
    scales,
    first,
    first_scales,
    second,
    second_scales,
    *,
    through,
    **said,
):
    """What the library's kernels for Blackwell do; `through` stores up and gate columns."""
    assert said.pop("routing_method_type") == 2 and scores.dtype == torch.float32
    sizes = {"num_experts": 256, "top_k": 8, "n_group": 8, "topk_group": 4}
    sizes |= {"local_num_experts": len(first), "intermediate_size": second.shape[2]}
    offset, factor = said.pop("local_expert_offset"), said.pop("routed_scaling_factor")
    assert said == sizes and scales.shape == (values.shape[1] // 128, len(values))
    selected, shares = ORACLE._route(scores, bias, factor)
    total = torch.zeros(values.shape)
    for place in range(len(first)):
        token, nth = torch.nonzero(selected == offset + place, as_tuple=True)
        rows = ORACLE._dequantised_rows(values[token], scales[:, token])
        both = through(rows @ ORACLE._dequantised_blocks(first[place], first_scales[place]).T)
        up, gate = both.chunk(2, dim=1)
        inner = ORACLE._through_e4m3(torch.nn.functional.silu(gate) * up)
        part = inner @ ORACLE._dequantised_blocks(second[place], second_scales[place]).T
        total.index_add_(0, token, shares[token, nth, None] * part.bfloat16().float())
    return total.bfloat16()


@pytest.mark.parametrize(
    ("family", "tokens", "offset"),
    [("typical", 0, 0), ("typical", 1, 45), ("signed_scales", 40, 224), ("none_local", 2, 96)],
)
@pytest.mark.parametrize("through", [ORACLE._as_it_is, ORACLE._through_e4m3])
def test_flashinfer_on_blackwell_is_right_but_for_e4m3_before_swiglu(
    through, family, tokens, offset, monkeypatch
):
    """Its up and gate columns are e4m3: within the published tolerance, and not within ours."""
    library = SimpleNamespace(
        trtllm_fp8_block_scale_moe=functools.partial(stand_in_trtllm, through=through),
        RoutingMethodType=SimpleNamespace(DeepSeekV3=SimpleNamespace(value=2)),
    )
    monkeypatch.setitem(sys.modules, "flashinfer", SimpleNamespace(fused_moe=library))
    monkeypatch.setitem(sys.modules, "flashinfer.fused_moe", library)
    inputs = drawn(family, tokens=tokens, offset=offset)
    words = verdict(inputs, run_peer(inputs, "flashinfer_trtllm"))
    if through is ORACLE._as_it_is or family == "none_local" or not tokens:
        assert not words
    else:
        assert "within the published tolerance, but far less exact" in words


@pytest.mark.parametrize("family", ["typical", "none_local"])
@pytest.mark.parametrize("tokens", [0, 1, 40])
def test_both_outputs_together_are_those_of_each_alone(family, tokens):
    inputs, width = drawn(family, tokens=tokens), SMALL["hidden_size"]
    exact, usual = ORACLE.oracle_and_trusted(**inputs)
    alone = ORACLE.oracle(**inputs)["output"], ORACLE.trusted(**inputs)["output"]
    for got, expected in zip((exact["output"], usual["output"]), alone, strict=True):
        assert got.dtype == expected.dtype and got.shape == expected.shape == (tokens, width)
        difference = (got.float() - expected.float()).norm()
        assert float(difference) <= 1e-3 * float(expected.float().norm())
    assert family == "none_local" or not tokens or not torch.equal(exact["output"], usual["output"])


@pytest.mark.parametrize("family", INPUTS.FAMILIES)
def test_no_selection_hangs_on_a_rounding(family):
    inputs = drawn(family, tokens=200)
    clear, _ = INPUTS._selection(inputs["routing_logits"], inputs["routing_bias"])
    assert clear.all()
    nudged = inputs["routing_logits"] * (1 + 1e-6)
    factor = inputs["routed_scaling_factor"]
    before = ORACLE._route(inputs["routing_logits"], inputs["routing_bias"], factor)[0]
    after = ORACLE._route(nudged, inputs["routing_bias"], factor)[0]
    assert torch.equal(before.sort(dim=1).values, after.sort(dim=1).values)


@pytest.mark.parametrize(
    ("family", "tokens", "least", "most"),
    [
        ("typical", 1, 1, 8),
        ("typical", 400, 300, 500),
        ("even_routing", 400, 330, 470),
        ("all_local", 20, 150, 160),
        ("none_local", 20, 0, 0),
        ("one_busy_expert", 20, 20, 70),
    ],
)
def test_families_select_the_local_experts_that_they_promise(family, tokens, least, most):
    inputs = drawn(family, tokens=tokens)
    _, selected = INPUTS._selection(inputs["routing_logits"], inputs["routing_bias"])
    assert least <= int(((selected >= 32) & (selected < 64)).sum()) <= most


def test_even_routing_spreads_tokens_over_more_experts_than_the_typical_bias_does():
    rows = {}
    for family in ("typical", "even_routing"):
        inputs = drawn(family, tokens=400)
        _, selected = INPUTS._selection(inputs["routing_logits"], inputs["routing_bias"])
        rows[family] = torch.bincount(selected.flatten(), minlength=256)
    # 12.5 tokens an expert: no count drawn evenly is six deviations away.
    assert rows["even_routing"].max() < 35
    assert rows["even_routing"].min() > 0
    assert rows["typical"].max() > 45


def test_typical_outputs_are_large_enough_for_the_published_tolerance_to_mean_something():
    inputs = drawn(tokens=30)
    assert float(ORACLE.oracle(**inputs)["output"].abs().max()) > 100
    assert float(inputs["gemm1_weights_scale"].min()) > 0
    assert float(drawn("signed_scales")["gemm1_weights_scale"].min()) < 0


MISTAKES = {
    "bias in the weights": ("chosen = affinity.gather", "chosen = biased.gather"),
    "gate and up exchanged": ("up, gate = (", "gate, up = ("),
    "masked with zero": ("torch.finfo(torch.float32).min", "0.0"),
    "groups ignored": ("masked_fill(hidden,", "masked_fill(hidden & False,"),
    "group worth of one expert": ("grouped.topk(2,", "grouped.topk(1,"),
    "not normalised": ("chosen / (chosen.sum(dim=-1, keepdim=True) + 1e-20)", "chosen"),
    "factor forgotten": ("+ 1e-20) * factor", "+ 1e-20)"),
    "scale of the next block": ("scales.repeat", "scales.roll(1, 0).repeat"),
    "sign of a scale dropped": ("hidden_states_scale.T", "hidden_states_scale.abs().T"),
    "offset ignored": ("int(local_expert_offset) + local", "local"),
    "last experts left out": ("range(gemm1_weights.shape[0])", "range(20)"),
    "silu forgotten": ("torch.nn.functional.silu(gate)", "gate"),
}
SHOWN_BY = {
    "masked with zero": "negative_selection",
    "sign of a scale dropped": "signed_scales",
    "last experts left out": "all_local",
}


@pytest.mark.parametrize("mistake", list(MISTAKES))
def test_a_plausible_mistake_is_rejected(mistake):
    right, wrong = MISTAKES[mistake]
    source = (FOLDER / "reference.py").read_text()
    assert source.count(right) == 1
    scope: dict = {}
    exec(source.replace(right, wrong), scope)
    inputs = drawn(SHOWN_BY.get(mistake, "typical"), tokens=24)
    assert verdict(inputs, scope["run"](*inputs.values()))


@pytest.mark.parametrize("kind", ["zeros", "mean", "copied input", "skipped row", "another draw"])
def test_a_wrong_output_is_rejected(kind):
    inputs = drawn(tokens=24)
    right = REFERENCE.run(*inputs.values())
    row = int(right.float().norm(dim=1).argmax())
    skipped = right.clone()
    skipped[row] = 0
    outputs = {
        "zeros": torch.zeros_like(right),
        "mean": right.float().mean().expand_as(right).bfloat16(),
        "copied input": inputs["hidden_states"].bfloat16(),
        "skipped row": skipped,
        "another draw": REFERENCE.run(*drawn(seed=2, tokens=24).values()),
    }
    assert verdict(inputs, outputs[kind])


@pytest.mark.parametrize("family", INPUTS.FAMILIES)
@pytest.mark.parametrize(
    "dtype",
    [torch.float8_e4m3fn, pytest.param(torch.float8_e5m2, marks=pytest.mark.long)],
)
def test_an_output_that_was_float8_on_its_way_is_rejected(family, dtype):
    """The gated product may be e4m3, as trusted() has it; nothing more may be."""
    inputs = drawn(family, tokens=24)
    exact = ORACLE.trusted(**inputs)["output"].float()
    scale = exact.abs().amax(dim=1, keepdim=True) / 400.0
    assert verdict(inputs, ((exact / scale).to(dtype).float() * scale).bfloat16())


def test_the_same_seed_draws_the_same_inputs():
    one, other, third = drawn(seed=5), drawn(seed=5), drawn(seed=6)
    tensors = [name for name, value in one.items() if torch.is_tensor(value)]
    assert all(torch.equal(one[n].view(torch.uint8), other[n].view(torch.uint8)) for n in tensors)
    assert not any(
        torch.equal(one[n].view(torch.uint8), third[n].view(torch.uint8)) for n in tensors
    )


def test_weights_are_the_same_wherever_they_are_drawn():
    here = drawn(seed=5)
    philox = PhiloxGenerator(5, torch.device("cpu"))
    for name in ("gemm1_weights", "gemm2_weights"):
        weights = here[name].view(torch.uint8).flatten()
        spread = 448.0 / 4.2
        first = philox.normal_e4m3(name, (1_000,), spread).view(torch.uint8)
        assert torch.equal(weights[:1_000], first)
        assert float(here[name].float().std()) == pytest.approx(spread, rel=0.01)


def test_earlier_records_get_the_weights_that_they_were_made_with():
    inputs, generator = drawn(seed=5, philox=False), torch.Generator().manual_seed(5)
    sizes = INPUTS.DIMENSIONS | SMALL | {"seq_len": 9}
    INPUTS._routing(sizes, 32, generator, "typical")
    INPUTS._activations(sizes, generator, "typical")
    values = torch.empty(INPUTS.DISTINCT_VALUES)
    values.normal_(0.0, 448.0 / 4.2, generator=generator)
    first = values.clamp_(-448.0, 448.0).to(torch.float8_e4m3fn).view(torch.uint8)
    weights = inputs["gemm1_weights"].view(torch.uint8).flatten()
    count = min(len(weights), len(first))
    assert count > 1 << 20 and torch.equal(weights[:count], first[:count])
    assert not verdict(inputs, ORACLE.trusted(**inputs)["output"])


def test_rewriting_keeps_addresses_and_changes_what_is_due():
    inputs = drawn()
    tensors = {name: v for name, v in inputs.items() if torch.is_tensor(v)}
    places = {name: v.data_ptr() for name, v in tensors.items()}
    before = {name: v.clone().view(torch.uint8) for name, v in tensors.items()}
    stale = REFERENCE.run(*inputs.values())
    generator = torch.Generator().manual_seed(8)
    INPUTS.rewrite(inputs, generator, axes={"seq_len": 9, **SMALL}, structure={})
    assert all(tensors[name].data_ptr() == place for name, place in places.items())
    assert all(not torch.equal(tensors[n].view(torch.uint8), old) for n, old in before.items())
    assert all(torch.isfinite(v.float()).all() for v in tensors.values())
    assert verdict(inputs, stale)
    assert not verdict(inputs, REFERENCE.run(*inputs.values()))


def test_rewriting_keeps_to_the_family_of_the_inputs():
    inputs = drawn("even_routing", tokens=400)
    generator, axes = torch.Generator().manual_seed(8), {"seq_len": 400, **SMALL}
    stale = inputs["routing_logits"].clone()
    INPUTS.rewrite(inputs, generator, axes=axes, structure={}, family="even_routing")
    assert not torch.equal(stale, inputs["routing_logits"])
    _, selected = INPUTS._selection(inputs["routing_logits"], inputs["routing_bias"])
    assert torch.bincount(selected.flatten(), minlength=256).max() < 35
    INPUTS.rewrite(inputs, generator, axes=axes, structure={})
    assert inputs["routing_bias"].any()


def test_both_routings_are_offered_and_the_skewed_one_ranks():
    assert list(POLICY.input_families) == ["typical", "even_routing"]
    assert list(POLICY.other_families) == ["even_routing"]
    assert INPUTS.FAMILIES[0] == "typical"


def test_repeated_weights_are_out_of_step_with_the_rows():
    generator = torch.Generator().manual_seed(1)
    weights = INPUTS._weight_values("w", (2, 640, 7168), generator, None)
    assert not torch.isnan(weights.float()).any()
    bytes_ = weights.view(torch.uint8).flatten(0, 1)
    assert bytes_.unique(dim=0).shape[0] == bytes_.shape[0]


def test_cost_replays_the_routing():
    inputs = drawn(tokens=50, offset=100)
    experts, _ = ORACLE._route(inputs["routing_logits"], inputs["routing_bias"], 1.0)
    local = (experts >= 100) & (experts < 132)
    counted = COST.cost({"seq_len": 50}, inputs=inputs)
    assert counted["flops"]["fp8"] == 88_080_384.0 * int(local.sum())
    active, touched = experts[local].unique().numel(), int(local.any(dim=1).sum())
    assert counted["bytes_read"] == active * COST.EXPERT_BYTES + 50 * 1024 + 512 + touched * 7392
    expected = COST.cost({"seq_len": 901})
    assert expected["expected"] and not counted["expected"]
    assert expected["flops"]["fp8"] == 88_080_384.0 * 901
    assert expected["bytes_read"] / COST.EXPERT_BYTES == pytest.approx(32, rel=0.01)


def test_an_unknown_family_is_refused():
    with pytest.raises(ValueError, match="Unknown family"):
        drawn("no_such")


def test_workloads_hold_the_published_scalars():
    lines = (FOLDER / "workloads.jsonl").read_text().splitlines()
    workloads = [json.loads(line)["workload"] for line in lines]
    assert len(workloads) == 19
    offsets = {w["inputs"]["local_expert_offset"]["value"] for w in workloads}
    assert offsets <= {32 * rank for rank in range(8)} and len(offsets) == 8
    assert {w["inputs"]["routed_scaling_factor"]["value"] for w in workloads} == {2.5}
    assert max(w["axes"]["seq_len"] for w in workloads) == 14107
