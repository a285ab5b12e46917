"""FlashInfer-Trace's models: what they accept, keep, refuse and write."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from kernel_harness.tools.schema.flashinfer_trace import (
    AxisConst,
    AxisVar,
    Correctness,
    Definition,
    Performance,
    RandomInput,
    SafetensorsInput,
    ScalarInput,
    Solution,
    Trace,
    TraceEvaluation,
    Workload,
    definition_hash,
    digest_of,
    interface_hash,
    unknown_keys,
    workload_digest,
)
from kernel_harness.tools.text import field_faults

NAMES = st.text("abcdefgh_0123456789", min_size=1, max_size=6)
WORDS = st.text(max_size=12)
DTYPES = st.sampled_from(["float32", "bfloat16", "float8_e4m3fn", "int8", "int64", "bool"])
REFERENCE = "import torch\n\ndef run(x, alpha):\n    return x * alpha\n"

DEFINITION: dict[str, Any] = {
    "name": "scale_add_n256",
    "op_type": "demo",
    "axes": {"m": {"type": "var"}, "n": {"type": "const", "value": 256}},
    "inputs": {
        "x": {"shape": ["m", "n"], "dtype": "bfloat16"},
        "alpha": {"shape": None, "dtype": "float32"},
    },
    "outputs": {"y": {"shape": ["m", "n"], "dtype": "bfloat16"}},
    "reference": REFERENCE,
    "constraints": ["m >= 1"],
    "tags": ["status:draft"],
}
WORKLOAD: dict[str, Any] = {
    "uuid": "w-1",
    "axes": {"m": 7},
    "inputs": {"x": {"type": "random"}, "alpha": {"type": "scalar", "value": 0.5}},
}
SOLUTION: dict[str, Any] = {
    "name": "scale_add_v1",
    "definition": "scale_add_n256",
    "author": "me",
    "spec": {
        "language": "triton",
        "target_hardware": ["cuda"],
        "entry_point": "main.py::run",
        "dependencies": [],
        "destination_passing_style": True,
        "binding": None,
    },
    "sources": [{"path": "main.py", "content": "def run(x, alpha, y):\n    ...\n"}],
}
TRACE: dict[str, Any] = {
    "definition": "scale_add_n256",
    "workload": WORKLOAD,
    "solution": "scale_add_v1",
    "evaluation": {
        "status": "PASSED",
        "environment": {"hardware": "NVIDIA H200", "libs": {"torch": "2.13.0"}},
        "timestamp": "2026-11-20T20:00:00",
        "log": "",
        "correctness": {"max_relative_error": 0.004, "extra": {"matched_ratio": 1.0}},
        "performance": {"latency_ms": 0.0042, "reference_latency_ms": 0.021},
    },
}
MODELS: dict[str, tuple[type[BaseModel], dict[str, Any]]] = {
    "Definition": (Definition, DEFINITION),
    "Workload": (Workload, WORKLOAD),
    "Solution": (Solution, SOLUTION),
    "Trace": (Trace, TRACE),
}


@st.composite
def definitions(draw: st.DrawFn) -> dict[str, Any]:
    axes = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    tensors = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    parts = draw(st.integers(0, len(tensors)))

    def spec() -> dict[str, Any]:
        shape = draw(st.none() | st.lists(st.sampled_from(axes), max_size=3))
        return {"shape": shape, "dtype": draw(DTYPES)}

    return {
        "name": draw(NAMES),
        "op_type": draw(NAMES),
        "axes": {
            axis: draw(
                st.sampled_from([{"type": "var"}, {}, {"parent": "q"}])
                | st.integers(0, 9).map(lambda value: {"type": "const", "value": value})
                | st.integers(0, 9).map(lambda value: {"value": value})
            )
            for axis in axes
        },
        "inputs": {name: spec() for name in tensors[:parts]},
        "outputs": {name: spec() for name in tensors[parts:]},
        "reference": REFERENCE,
        "constraints": draw(st.lists(st.sampled_from(["a == 1", "b > 2", "f(x)"]), max_size=2)),
        "description": draw(st.none() | WORDS),
    }


INPUT_SPECS = st.one_of(
    st.sampled_from([{}, {"type": "random"}, {"path": "a.safetensors", "tensor_key": "k"}]),
    st.builds(
        lambda value: {"type": "scalar", "value": value},
        st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False),
    ),
)
WORKLOADS = st.fixed_dictionaries(
    {
        "uuid": st.text(min_size=1, max_size=8),
        "axes": st.dictionaries(NAMES, st.integers(0, 1 << 40), max_size=3),
        "inputs": st.dictionaries(NAMES, INPUT_SPECS, max_size=3),
    }
)
NUMBERS = st.floats(min_value=0) | st.just(math.nan)
EVALUATIONS = st.one_of(
    st.builds(
        lambda relative, absolute, milliseconds, extra: {
            "status": "PASSED",
            "environment": {"hardware": "h"},
            "timestamp": "t",
            "correctness": {
                "max_relative_error": relative,
                "max_absolute_error": absolute,
                "extra": extra,
            },
            "performance": {"latency_ms": milliseconds},
        },
        NUMBERS,
        NUMBERS,
        st.floats(0, 1e6),
        st.none() | st.dictionaries(NAMES, NUMBERS | WORDS, max_size=2),
    ),
    st.builds(
        lambda status, log: {
            "status": status,
            "environment": {"hardware": "h", "libs": {"torch": "2"}},
            "timestamp": "t",
            "log": log,
        },
        st.sampled_from(["RUNTIME_ERROR", "TIMEOUT", "COMPILE_ERROR", "INCORRECT_SHAPE"]),
        WORDS,
    ),
)
TRACES = st.fixed_dictionaries(
    {"definition": NAMES, "workload": WORKLOADS},
    optional={"solution": NAMES, "evaluation": EVALUATIONS},
)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A valid object of one kind with one value, somewhere, replaced or removed."""
    kind = draw(st.sampled_from(sorted(MODELS)))
    value = copy.deepcopy(MODELS[kind][1])
    place: Any = value
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        if isinstance(place[key], (dict, list)) and place[key] and draw(st.booleans()):
            place = place[key]
            continue
        junk = st.sampled_from([None, "", "4", "x::y", -1, 4.0, 1.5, True, [], {}, ["m"], "../a"])
        if draw(st.booleans()):
            place[key] = draw(junk)
        else:
            del place[key]
        return kind, value


@given(definitions())
def test_definitions_survive_a_round_trip(raw: dict[str, Any]) -> None:
    first = Definition.model_validate(raw)
    again = Definition.model_validate_json(first.model_dump_json())
    assert again == first
    assert definition_hash(again) == definition_hash(first)
    assert list(again.inputs) == list(raw["inputs"])


@given(TRACES)
def test_traces_survive_a_round_trip_with_nan_and_infinity(raw: dict[str, Any]) -> None:
    first = Trace.model_validate(raw)
    text = first.model_dump_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    again = Trace.model_validate_json(text)
    assert again.model_dump_json() == text
    if first.evaluation and first.evaluation.correctness:
        errors = first.evaluation.correctness.max_relative_error
        assert again.evaluation and again.evaluation.correctness
        assert repr(again.evaluation.correctness.max_relative_error) == repr(errors)


@given(definitions())
@settings(max_examples=30, deadline=None)
def test_the_reference_package_reads_our_definitions_as_we_do(
    reference_package: Any, raw: dict[str, Any]
) -> None:
    theirs = reference_package.Definition.model_validate_json(
        Definition.model_validate(raw).model_dump_json()
    )
    assert dict(theirs.const_axes) == Definition.model_validate(raw).const_axes
    ours = Definition.model_validate_json(theirs.model_dump_json())
    assert definition_hash(ours) == definition_hash(Definition.model_validate(raw))


@given(TRACES)
@settings(max_examples=50, deadline=None)
def test_the_reference_package_reads_what_we_write(
    reference_package: Any, raw: dict[str, Any]
) -> None:
    ours = Trace.model_validate(raw)
    theirs = reference_package.Trace.model_validate_json(ours.model_dump_json())
    assert json.loads(theirs.model_dump_json()) == json.loads(ours.model_dump_json())


@given(damaged())
@settings(max_examples=100, deadline=None)
def test_we_accept_exactly_what_the_reference_package_accepts(
    reference_package: Any, case: tuple[str, dict[str, Any]]
) -> None:
    kind, raw = case
    text = json.dumps(raw)

    def accepts(model: Any) -> bool:
        try:
            model.model_validate_json(text)
        except ValidationError:
            return False
        return True

    assert accepts(MODELS[kind][0]) is accepts(getattr(reference_package, kind))


@pytest.fixture(scope="module")
def reference_package() -> Any:
    """FlashInfer-Bench's own models; installed with --no-deps, see CONTRIBUTING."""
    pytest.importorskip("flashinfer_bench", reason="the package flashinfer_bench is not installed")
    import flashinfer_bench.data  # pyright: ignore[reportMissingImports]

    return flashinfer_bench.data


@pytest.mark.parametrize("wrong", ["varr", 7, ["var"], None])
def test_an_axis_of_no_type_names_those_there_are(wrong: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        Definition.model_validate(DEFINITION | {"axes": {"m": {"type": wrong}, "n": {"value": 4}}})
    (error,) = refused.value.errors()
    assert error["loc"] == ("axes", "m")
    assert error["msg"] == "type should be 'const' (with a value) or 'var'"


def test_an_axis_without_a_type_is_const_when_it_has_a_value() -> None:
    raw = DEFINITION | {"axes": {"m": {}, "n": {"value": "4", "parent": "m"}}}
    axes = Definition.model_validate(raw).axes
    assert isinstance(axes["m"], AxisVar)
    assert isinstance(axes["n"], AxisConst)
    assert axes["n"].value == 4


def test_inputs_without_a_type_are_told_apart_by_their_fields() -> None:
    raw = WORKLOAD | {"inputs": {"a": {}, "b": {"value": 1}, "c": {"path": "p", "tensor_key": "k"}}}
    inputs = Workload.model_validate(raw).inputs
    assert [type(spec) for spec in inputs.values()] == [RandomInput, ScalarInput, SafetensorsInput]


def test_of_a_misspelt_input_one_fault_is_said() -> None:
    """Six were: what each kind of input would have liked."""
    given = {"a": {"type": "randm"}, "b": {"type": "scalar"}, "c": {"type": "safetensors"}}
    with pytest.raises(ValidationError) as refused:
        Workload.model_validate(WORKLOAD | {"inputs": given})
    assert [place for place, _ in field_faults(refused.value)] == [
        "inputs.a",
        "inputs.b.scalar.value",
        "inputs.c.safetensors.path",
        "inputs.c.safetensors.tensor_key",
    ]


@pytest.mark.parametrize("value", [True, 1, 1.0])
def test_scalars_keep_their_kind(value: float) -> None:
    text = json.dumps({"value": value})
    assert type(ScalarInput.model_validate_json(text).value) is type(value)


def test_unknown_keys_are_kept_and_named() -> None:
    raw: dict[str, Any] = copy.deepcopy(DEFINITION) | {"hf_id": "x"}
    raw["inputs"]["x"]["optional"] = True
    raw["axes"]["m"]["parent"] = "q"
    definition = Definition.model_validate(raw)
    assert sorted(unknown_keys(definition)) == ["axes.m.parent", "hf_id", "inputs.x.optional"]
    assert json.loads(definition.model_dump_json())["inputs"]["x"]["optional"] is True


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"reference": "def run(:"}, "not valid Python"),
        ({"reference": "run = lambda x: x"}, "no top-level function"),
        ({"reference": "async def run(x): ..."}, "no top-level function"),
        ({"outputs": {"x": {"shape": [], "dtype": "bool"}}}, "both input and output"),
        ({"outputs": {"y": {"shape": ["q"], "dtype": "bool"}}}, "undefined axis 'q'"),
        ({"outputs": {"y": {"shape": ["m"], "dtype": "complex64"}}}, "float32"),
        ({"constraints": ["m >="]}, "not an expression"),
        ({"tags": None}, "valid list"),
    ],
)
def test_a_malformed_definition_says_what_is_wrong(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Definition.model_validate(DEFINITION | change)


def test_shapes_follow_from_a_workloads_axes() -> None:
    definition = Definition.model_validate(DEFINITION)
    assert definition.var_axes == ("m",)
    assert definition.axis_values({"m": 7}) == {"m": 7, "n": 256}
    assert definition.input_shapes({"m": 7}) == {"x": (7, 256), "alpha": None}
    assert definition.output_shapes({"m": 0}) == {"y": (0, 256)}
    with pytest.raises(ValueError, match="no size for axis m"):
        definition.axis_values({"n": 3})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sources": [{"path": "/main.py", "content": "x"}]}, "must be relative"),
        ({"sources": [{"path": "a/../main.py", "content": "x"}]}, "must be relative"),
        ({"sources": [{"path": "other.py", "content": "x"}]}, "is not among the sources"),
        ({"sources": SOLUTION["sources"] * 2}, "are repeated"),
        ({"sources": [{"path": "main.py", "content": ""}]}, "at least 1 character"),
    ],
)
def test_a_malformed_solution_says_what_is_wrong(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Solution.model_validate(SOLUTION | change)


def edited(**changes: Any) -> str:
    raw = copy.deepcopy(SOLUTION)
    for key, value in changes.items():
        (raw["spec"] if key in raw["spec"] else raw)[key] = value
    return Solution.model_validate(raw).content_hash()


@pytest.mark.parametrize(
    "change",
    [
        {"definition": "other"},
        {"language": "python"},
        {"binding": "torch"},
        {"destination_passing_style": False},
        {"dependencies": ["cublas"]},
        {"target_hardware": ["B200"]},
        {"entry_point": "main.py::other"},
        {"sources": [{"path": "main.py", "content": "def run(x, alpha, y):\n    ... \n"}]},
    ],
)
def test_the_content_hash_covers_whatever_changes_behaviour(change: dict[str, Any]) -> None:
    assert edited(**change) != edited()


@pytest.mark.parametrize(
    "change",
    [{"name": "n"}, {"author": "a"}, {"description": "d"}, {"target_hardware": ["cuda", "cpu"]}],
)
def test_the_content_hash_ignores_names(change: dict[str, Any]) -> None:
    assert edited(**change) == edited()


def test_the_content_hash_does_not_run_sources_together() -> None:
    two = [{"path": "main.py", "content": "ab"}, {"path": "b", "content": "c"}]
    assert edited(sources=two) != edited(sources=[{"path": "main.py", "content": "abbc"}])
    assert edited(sources=two) == edited(sources=two[::-1])


@given(st.lists(st.text()), st.lists(st.text()))
def test_digests_agree_only_for_equal_parts(left: list[str], right: list[str]) -> None:
    assert (digest_of(*left) == digest_of(*right)) is (left == right)


def test_a_definitions_hash_ignores_words_and_counts_order() -> None:
    first = Definition.model_validate(DEFINITION)
    worded = Definition.model_validate(DEFINITION | {"tags": [], "description": "d"})
    turned = Definition.model_validate(
        DEFINITION | {"inputs": dict(reversed(DEFINITION["inputs"].items()))}
    )
    freer = Definition.model_validate(DEFINITION | {"constraints": []})
    other_code = Definition.model_validate(DEFINITION | {"reference": REFERENCE + "\n"})
    assert definition_hash(first) == definition_hash(worded)
    assert interface_hash(first) != interface_hash(turned)
    assert interface_hash(first) == interface_hash(other_code)
    assert definition_hash(first) != definition_hash(other_code)
    assert interface_hash(first) == interface_hash(freer)
    assert definition_hash(first) != definition_hash(freer)


def test_the_workload_digest_counts_order_and_contents() -> None:
    one = Workload.model_validate(WORKLOAD)
    two = Workload.model_validate(WORKLOAD | {"uuid": "w-2"})
    larger = Workload.model_validate(WORKLOAD | {"axes": {"m": 8}})
    digests = {workload_digest(ws) for ws in ([one, two], [two, one], [larger, two], [one])}
    assert len(digests) == 4
    assert workload_digest([one, two]) == workload_digest([one, two])


@pytest.mark.parametrize("status", ["PASSED", "INCORRECT_NUMERICAL", "TIMEOUT"])
@pytest.mark.parametrize("with_correctness", [True, False])
@pytest.mark.parametrize("with_performance", [True, False])
def test_an_evaluations_parts_must_fit_its_status(
    status: str, with_correctness: bool, with_performance: bool
) -> None:
    raw = TRACE["evaluation"] | {"status": status}
    raw["correctness"] = raw["correctness"] if with_correctness else None
    raw["performance"] = raw["performance"] if with_performance else None
    fits = (with_correctness, with_performance) == {
        "PASSED": (True, True),
        "INCORRECT_NUMERICAL": (True, False),
        "TIMEOUT": (False, False),
    }[status]
    if fits:
        assert TraceEvaluation.model_validate(raw).status == status
    else:
        with pytest.raises(ValidationError, match="have"):
            TraceEvaluation.model_validate(raw)


def test_non_finite_errors_are_written_as_words_and_read_back() -> None:
    written = Correctness(max_relative_error=math.inf, extra={"a": math.nan}).model_dump_json()
    assert json.loads(written)["max_relative_error"] == "Infinity"
    assert json.loads(written)["extra"] == {"a": "NaN"}
    assert Correctness.model_validate_json(written).max_relative_error == math.inf


def test_performance_never_holds_an_infinity() -> None:
    assert Performance(latency_ms=1.0, speedup_factor=math.inf).speedup_factor == 0.0
    assert json.loads(Performance(latency_ms=math.inf).model_dump_json())["latency_ms"] == 0.0


def test_a_line_without_a_run_is_a_workload() -> None:
    assert Trace.model_validate({"definition": "d", "workload": WORKLOAD}).is_workload_only
    assert not Trace.model_validate(TRACE).is_workload_only
