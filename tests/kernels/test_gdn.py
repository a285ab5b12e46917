"""The two gated delta operators: gdn_decode_qk4_v8_d128_k_last, gdn_prefill_qk4_v8_d128_k_last."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import types
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_harness.tools.devices.hardware import shipped_hardware
from kernel_harness.tools.devices.roofline import Cost, floors
from kernel_harness.tools.judge.numerics.correctness import check_output
from kernel_harness.tools.judge.operators.operator_adapter import Case, OperatorAdapter
from kernel_harness.tools.schema.flashinfer_trace import Definition
from kernel_harness.tools.workloads.operators import load_anew

KERNELS = Path(str(files("kernel_harness.kernels")))
FIXTURES = Path(__file__).parents[1] / "fixtures"
DECODE = KERNELS / "gdn_decode_qk4_v8_d128_k_last"
PREFILL = KERNELS / "gdn_prefill_qk4_v8_d128_k_last"
CPU = torch.device("cpu")


def judged(folder: Path) -> OperatorAdapter:
    return OperatorAdapter(
        Definition.model_validate_json((folder / "definition.json").read_text()), folder
    )


def batch(size: int) -> Case:
    return Case("case", {"batch_size": size})


def prompts(*lengths: int) -> Case:
    count = len(lengths)
    axes = {"total_seq_len": sum(lengths), "num_seqs": count, "len_cu_seqlens": count + 1}
    return Case("case", axes, {"seq_lens": list(lengths)})


def drawn(operator: OperatorAdapter, case: Case, seed: int, family: str) -> dict[str, Any]:
    return dict(operator.make_inputs(case, seed, family, CPU))


def faults(operator: OperatorAdapter, case: Case, inputs: dict[str, Any], got: Any) -> list[str]:
    """Names of outputs that the judge would refuse."""
    expected, trusted = operator.oracle(case, inputs), operator.trusted(case, inputs)
    named = dict(zip(expected, got, strict=True))
    return [
        name
        for name in expected
        if check_output(name, named[name], expected[name], trusted[name], operator.limits(name))[1]
    ]


# --- the oracle -------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(
    lengths=st.lists(st.sampled_from([0, 1, 2, 63, 64, 65, 100, 129]), min_size=1, max_size=4),
    family=st.sampled_from(load_anew(PREFILL / "inputs.py").FAMILIES),
)
@pytest.mark.long
def test_chunked_oracle_equals_the_token_by_token_reference(
    lengths: list[int], family: str
) -> None:
    operator, case = judged(PREFILL), prompts(*lengths, 1)
    inputs = drawn(operator, case, 3, family)
    reference = load_anew(PREFILL / "reference.py").run(*inputs.values())
    expected = operator.oracle(case, inputs)
    torch.testing.assert_close(
        reference[1].double(), expected["new_state"], rtol=1e-4, atol=2e-5 * 30
    )
    torch.testing.assert_close(reference[0].double(), expected["output"], rtol=1e-2, atol=1e-4)


def test_a_prompt_is_the_same_as_its_tokens_decoded_one_by_one() -> None:
    operator, case = judged(PREFILL), prompts(5)
    inputs = drawn(operator, case, 4, "typical")
    expected = operator.oracle(case, inputs)
    decode = load_anew(DECODE / "oracle.py").oracle
    state = inputs["state"]
    for token in range(5):
        rows = {name: inputs[name][None, token : token + 1] for name in ("q", "k", "v", "a", "b")}
        whole = {name: inputs[name] for name in ("A_log", "dt_bias", "scale")}
        step = decode(**rows, **whole, state=state)
        state = step["new_state"]
        torch.testing.assert_close(step["output"][0, 0], expected["output"][token])
    torch.testing.assert_close(state, expected["new_state"])


def test_a_sequence_without_tokens_leaves_zeros_and_not_its_state() -> None:
    operator, case = judged(PREFILL), prompts(0, 3, 0)
    inputs = drawn(operator, case, 5, "typical")
    assert bool((inputs["state"][0] != 0).any())
    new_state = operator.oracle(case, inputs)["new_state"]
    assert bool((new_state[0] == 0).all() and (new_state[2] == 0).all())
    assert bool((new_state[1] != 0).any())


@pytest.mark.parametrize("folder", [DECODE, PREFILL], ids=["decode", "prefill"])
@pytest.mark.parametrize("missing", [{"scale": None}, {"scale": 0.0}, {"state": None}])
def test_absent_scale_and_state_have_their_defaults_everywhere(
    folder: Path, missing: dict[str, Any]
) -> None:
    operator = judged(folder)
    case = batch(2) if folder == DECODE else prompts(4, 3)
    inputs = drawn(operator, case, 6, "typical") | missing
    reference = load_anew(folder / "reference.py").run(*inputs.values())
    peer = load_anew(folder / "peers" / "torch_vectorised" / "kernel.py").run(*inputs.values())
    assert faults(operator, case, inputs, reference) == []
    assert faults(operator, case, inputs, peer) == []


# --- the limits -------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [16, 70, pytest.param(200, marks=pytest.mark.long)])
@pytest.mark.parametrize("family", ["typical", "decay_near_one", "saturated_update"])
def test_a_state_carried_in_bfloat16_from_token_to_token_is_refused(
    length: int, family: str
) -> None:
    operator, case = judged(PREFILL), prompts(length, 5)
    inputs = drawn(operator, case, 7, family)
    update = "            memory = memory + torch.einsum"
    source = operator.definition.reference
    assert source.count(update) == 1
    lowered: dict[str, Any] = {}
    exec(source.replace(update, update.replace("+", ".bfloat16().float() +")), lowered)
    assert "new_state" in faults(operator, case, inputs, lowered["run"](*inputs.values()))


@pytest.mark.parametrize("folder", [DECODE, PREFILL], ids=["decode", "prefill"])
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("memory @ query", "(memory / decay[i, 0, h]) @ query"),
        ("decay[t, :, None, None] * memory", "memory"),
        ("beta[i, 0, h] * (value - recalled)", "beta[i, 0, h] * value"),
        ("repeat_interleave(heads_per_group, dim=1)", "repeat(1, heads_per_group, 1)"),
        ("h // heads_per_group", "h % num_q_heads"),
        ("new_state[i].clone() if state is None", "new_state[i].clone() if True"),
        ("F.softplus(a.float() + dt_bias.float())", "F.softplus(a.float()) + dt_bias.float()"),
    ],
)
def test_a_plausible_mistake_is_refused(folder: Path, right: str, wrong: str) -> None:
    operator = judged(folder)
    source = operator.definition.reference
    if right not in source:
        other = PREFILL if folder == DECODE else DECODE
        assert right in judged(other).definition.reference
        return
    case = batch(2) if folder == DECODE else prompts(9, 20)
    inputs = drawn(operator, case, 8, "typical")
    mistaken: dict[str, Any] = {}
    exec(source.replace(right, wrong), mistaken)
    assert faults(operator, case, inputs, mistaken["run"](*inputs.values()))


# --- inputs and facts -------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [DECODE, PREFILL], ids=["decode", "prefill"])
def test_keys_have_unit_length_and_outputs_stand_above_the_fixed_tolerance(folder: Path) -> None:
    operator = judged(folder)
    case = batch(4) if folder == DECODE else prompts(60, 7)
    inputs = drawn(operator, case, 9, "typical")
    length = inputs["k"].float().norm(dim=-1)
    torch.testing.assert_close(length, torch.ones_like(length), rtol=0, atol=0.02)
    output = operator.oracle(case, inputs)["output"]
    assert float(output.pow(2).mean().sqrt()) > operator.policy.tolerance.atol


def test_sequence_lengths_are_recorded_for_every_prefill_workload() -> None:
    structure = json.loads((PREFILL / "structure.json").read_text())
    lines = (PREFILL / "workloads.jsonl").read_text().splitlines()
    workloads = [json.loads(line)["workload"] for line in lines]
    assert set(structure) == {workload["uuid"] for workload in workloads}
    for workload in workloads:
        axes, facts = workload["axes"], structure[workload["uuid"]]
        assert len(facts["seq_lens"]) == axes["num_seqs"] == axes["len_cu_seqlens"] - 1
        assert sum(facts["seq_lens"]) == axes["total_seq_len"]
        assert min(facts["seq_lens"]) > 0
        assert (facts["basis"] == "exact") == (axes["num_seqs"] == 1)


def test_lengths_that_contradict_the_axes_are_an_error() -> None:
    generate = load_anew(PREFILL / "inputs.py").generate
    axes, generator = {"total_seq_len": 7, "num_seqs": 2}, torch.Generator()
    with pytest.raises(ValueError, match="2 sequences, 7 tokens"):
        generate(
            axes, structure={"seq_lens": [3, 3]}, scalars={}, generator=generator, device="cpu"
        )
    even = generate(axes, structure=None, scalars={}, generator=generator, device="cpu")
    assert even["cu_seqlens"].tolist() == [0, 4, 7]


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_held_out_prompts_come_in_every_kind_with_empty_ones_among_them(seed: int) -> None:
    module = load_anew(PREFILL / "inputs.py")
    cases = module.held_out(random.Random(seed), len(module.KINDS))
    assert {case["kind"] for case in cases} == set(module.KINDS)
    for case in cases:
        lengths = case["structure"]["seq_lens"]
        assert sum(lengths) == case["axes"]["total_seq_len"] > 0
        assert (min(lengths) == 0) == (case["kind"] == "empty")
    assert cases[0]["axes"]["total_seq_len"] <= 256


@pytest.mark.parametrize(
    ("folder", "axes", "lengths", "h200_us"),
    [
        (DECODE, {"batch_size": 1}, None, 0.22),
        (DECODE, {"batch_size": 64}, None, 14.06),
        (PREFILL, {"total_seq_len": 6, "num_seqs": 1}, [6], 0.23),
        (PREFILL, {"total_seq_len": 2107, "num_seqs": 1}, [2107], 2.93),
        (PREFILL, {"total_seq_len": 8192, "num_seqs": 57}, None, 23.0),
    ],
)
def test_nominal_floor_on_h200(
    folder: Path, axes: dict[str, int], lengths: list[int] | None, h200_us: float
) -> None:
    h200 = next(d for d in shipped_hardware().values() if "H200" in d.name.upper())
    structure = {"seq_lens": lengths} if lengths else None
    cost = Cost(**load_anew(folder / "cost.py").cost(axes, structure=structure))
    assert floors(cost, h200).nominal_us == pytest.approx(h200_us, rel=0.02)


def test_chain_of_chunks_follows_the_longest_sequence() -> None:
    cost = load_anew(PREFILL / "cost.py").cost
    axes = {"total_seq_len": 200, "num_seqs": 3}
    assert cost(axes, structure={"seq_lens": [130, 70, 0]})["serial_steps"] == 3
    bounds = torch.tensor([0, 64, 128, 200])
    exact = cost(axes, structure={"seq_lens": [130, 70, 0]}, inputs={"cu_seqlens": bounds})
    assert exact["serial_steps"] == 2


# --- peers ------------------------------------------------------------------------------------


def test_fla_adaptors_hand_over_what_the_library_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library itself needs a GPU; here a stand-in notes the call and answers with NaN."""
    calls: list[dict[str, Any]] = []

    def stand_in(q, k, v, **named):
        calls.append({"q": q, "k": k, "v": v} | named)
        assert named["state_v_first"] and named["use_gate_in_kernel"]
        assert named["use_beta_sigmoid_in_kernel"] and named["output_final_state"]
        return torch.full_like(v, float("nan")), torch.ones_like(named["initial_state"])

    module = types.ModuleType("fla.ops.gated_delta_rule")
    module.fused_recurrent_gated_delta_rule = stand_in  # type: ignore[attr-defined]
    module.chunk_gated_delta_rule = stand_in  # type: ignore[attr-defined]
    for name in ("fla", "fla.ops"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)

    inputs = drawn(judged(DECODE), batch(2), 1, "typical")
    output, state = load_anew(DECODE / "peers" / "fla" / "kernel.py").run(*inputs.values())
    assert output.shape == inputs["v"].shape and state.shape == inputs["state"].shape

    inputs = drawn(judged(PREFILL), prompts(3, 0), 1, "typical")
    output, state = load_anew(PREFILL / "peers" / "fla" / "kernel.py").run(*inputs.values())
    assert output.shape == inputs["v"].shape
    assert calls[1]["v"].shape == (1, *inputs["v"].shape)
    assert bool((state[0] == 1).all() and (state[1] == 0).all())


def test_the_flashinfer_adaptor_hands_over_a_copy_of_the_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The library changes the state in place; were it given the input, the input would change."""

    oracle = load_anew(DECODE / "oracle.py").oracle

    def stand_in(q, k, v, state, A_log, a, dt_bias, b, *, scale, output, use_qk_l2norm):
        assert not use_qk_l2norm and scale == pytest.approx(128**-0.5)
        expected = oracle(q, k, v, state, A_log, a, dt_bias, b, scale)
        output.copy_(expected["output"])
        state.copy_(expected["new_state"])

    module = types.ModuleType("flashinfer.gdn_decode")
    module.gated_delta_rule_decode_pretranspose = stand_in  # type: ignore[attr-defined]
    for name in ("cutlass", "flashinfer"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)

    inputs: dict[str, Any] = drawn(judged(DECODE), batch(2), 1, "typical")
    inputs["scale"] = 0.0
    before = inputs["state"].clone()
    expected = oracle(**inputs)
    output, state = torch.empty_like(inputs["v"]), torch.empty_like(before)
    load_anew(DECODE / "peers" / "flashinfer" / "kernel.py").run(*inputs.values(), output, state)
    assert torch.equal(inputs["state"], before)
    assert torch.equal(state, expected["new_state"].float())
    assert torch.equal(output, expected["output"].bfloat16())


def _recurrence(q, k, v, decay, beta, scale, state, bounds) -> tuple[torch.Tensor, torch.Tensor]:
    """The rule with gates that are given; a sequence without tokens keeps its state, as in fla."""
    group = v.shape[1] // q.shape[1]
    query, key = (x.float().repeat_interleave(group, dim=1) for x in (q, k))
    output, memory = torch.zeros_like(v), state.clone()
    for i, (start, end) in enumerate(itertools.pairwise(bounds.tolist())):
        for t in range(start, end):
            memory[i] *= decay[t, :, None, None]
            recalled = torch.einsum("hvk,hk->hv", memory[i], key[t])
            correction = beta[t, :, None] * (v[t].float() - recalled)
            memory[i] += torch.einsum("hv,hk->hvk", correction, key[t])
            output[t] = (scale * torch.einsum("hvk,hk->hv", memory[i], query[t])).to(v.dtype)
    return output, memory


@pytest.mark.parametrize(
    ("peer", "module", "function"),
    [
        ("fla_recurrent", "fla.ops.gated_delta_rule", "fused_recurrent_gated_delta_rule"),
        ("flashinfer", "flashinfer.gdn_prefill", "chunk_gated_delta_rule"),
        ("flash_qla", "flash_qla", "chunk_gated_delta_rule"),
    ],
)
def test_prefill_peers_are_right_when_their_library_is(
    peer: str, module: str, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in keeps each library's contract on gates; wrong gates or a lost scale would show."""

    def stand_in(q, k, v, g, beta, *, initial_state, cu_seqlens, scale, **named):
        assert named["output_final_state"]
        shape = v.shape
        q, k, v = (x.reshape(-1, *x.shape[-2:]) for x in (q, k, v))
        g, beta = (x.reshape(-1, x.shape[-1]).float() for x in (g, beta))
        if peer == "fla_recurrent":
            assert named["use_gate_in_kernel"] and named["use_beta_sigmoid_in_kernel"]
            rate = named["A_log"].exp() * torch.nn.functional.softplus(g + named["dt_bias"])
            g, beta = torch.exp(-rate), torch.sigmoid(beta)
        elif peer == "flash_qla":
            assert not named["auto_cp"], "it would wait for the device"
            g = g.exp()
        assert peer == "flashinfer" or named["state_v_first"]
        output, memory = _recurrence(q, k, v, g, beta, scale, initial_state, cu_seqlens)
        return output.reshape(shape), memory

    parts = module.split(".")
    for n in range(1, len(parts) + 1):
        name = ".".join(parts[:n])
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    setattr(sys.modules[module], function, stand_in)

    operator, case = judged(PREFILL), prompts(3, 0, 2)
    inputs = drawn(operator, case, 1, "typical")
    answer = load_anew(PREFILL / "peers" / peer / "kernel.py").run(*inputs.values())
    assert faults(operator, case, inputs, answer) == []


# --- Triton, in the interpreter ---------------------------------------------------------------

SCRIPT = """
import sys
import torch
from kernel_harness.tools.workloads.operators import load_anew
calls = torch.load(sys.argv[1])
for call in calls:
    load_anew(__import__("pathlib").Path(call["kernel"])).run(*call["inputs"], *call["outputs"])
torch.save([call["outputs"] for call in calls], sys.argv[2])
"""

RIGHT = [
    (DECODE, "triton_baseline", [batch(1), batch(2)]),
    (DECODE, "triton_split_v", [batch(1), batch(2)]),
    (PREFILL, "triton_baseline", [prompts(2), prompts(0, 4, 0, 2, 0)]),
    (FIXTURES / "operators" / "rmsnorm_h128", "triton_baseline", [batch(4), batch(130)]),
]
WRONG_GATE = FIXTURES / "candidates" / "gdn_decode_wrong_gate" / "kernel.py"


def interpreted(calls: list[dict[str, Any]], place: Path) -> list[dict[str, Any]]:
    """Makes the calls in one process, for Triton decides at import to interpret; their outputs."""
    slim = [{k: c[k] for k in ("kernel", "inputs", "outputs")} for c in calls]
    torch.save(slim, place / "calls.pt")
    command = [sys.executable, "-c", SCRIPT, str(place / "calls.pt"), str(place / "outputs.pt")]
    done = subprocess.run(
        ["env", "TRITON_INTERPRET=1", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for call, outputs in zip(calls, torch.load(place / "outputs.pt"), strict=True):
        call["outputs"] = outputs
    return calls


def planned(operator: OperatorAdapter, case: Case, family: str, kernel: Path) -> dict[str, Any]:
    inputs = drawn(operator, case, 11, family)
    blank = [torch.full_like(t, float("nan")) for t in operator.trusted(case, inputs).values()]
    call = {"kernel": str(kernel), "inputs": list(inputs.values()), "outputs": blank}
    return call | {"operator": operator, "case": case, "family": family, "named": inputs}


def refused_of(call: dict[str, Any]) -> list[str]:
    return faults(call["operator"], call["case"], call["named"], call["outputs"])


def planned_of(every: bool) -> list[dict[str, Any]]:
    """One call of each solution, or each of its cases in each family of inputs."""
    calls: list[dict[str, Any]] = []
    for folder, solution, cases in RIGHT:
        operator, kernel = judged(folder), folder / "solutions" / solution / "kernel.py"
        chosen = itertools.product(cases, operator.families) if every else [(cases[0], "typical")]
        calls += [planned(operator, case, family, kernel) for case, family in chosen]
    return calls


@pytest.mark.long
def test_triton_solutions_are_right_and_a_forgotten_gate_is_refused(tmp_path: Path) -> None:
    wrong = planned(judged(DECODE), batch(1), "typical", WRONG_GATE)
    *right, wrong = interpreted([*planned_of(every=False), wrong], tmp_path)
    assert [refused_of(call) for call in right] == [[]] * len(RIGHT)
    assert refused_of(wrong) == ["output", "new_state"]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_triton_solutions_are_right_in_every_family(tmp_path: Path) -> None:
    calls = interpreted(planned_of(every=True), tmp_path)
    assert len(calls) == 2 * (9 + 9 + 10 + 4)
    refused = {
        (call["kernel"], call["family"], str(call["case"].axes)): names
        for call in calls
        if (names := refused_of(call))
    }
    assert refused == {}
