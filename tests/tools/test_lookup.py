"""What callers name is found, or refused with the names that there are, before anything starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.errors import HarnessError, RequestError
from kernel_harness.tools.lookup import Lookup
from kernel_harness.tools.schema.measurement import Objective
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.signing.keyring import Keyring
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.regimes import sample_shapes
from kernel_harness.tools.workloads.workspace import WorkspaceStart, make_workspace

from .profiling.test_service import solution
from .workloads.test_listing import operator


@pytest.fixture
def lookup(tmp_path: Path) -> Lookup:
    settings = Settings(data_dir=tmp_path)
    dataset = Dataset({"double": operator(3)}, ())
    archive = Archive(settings.archive_dir, Keyring(settings.signing_key, settings.archive_dir))
    return Lookup(dataset, archive, settings, "cpu")


def workspace(lookup: Lookup, name: str) -> Path:
    operator, start = lookup.dataset.operator("double"), WorkspaceStart(solution(), "p")
    return Path(make_workspace(lookup.settings.workspaces_dir, operator, name, start).path)


def test_compared_with_nothing_there_is_no_baseline(lookup):
    request = lookup.evaluation_request(solution=solution(), compare_to="nothing")
    assert request.baseline is None


def test_the_definitions_own_code_can_be_compared_with(lookup):
    request = lookup.evaluation_request(solution=solution(), compare_to="reference")
    assert request.baseline is not None
    assert request.baseline.sources[0].content == request.operator.definition.reference
    assert not request.baseline.spec.destination_passing_style


def test_an_unknown_name_to_compare_with_is_refused(lookup):
    with pytest.raises(HarnessError, match="solution, peer or candidate"):
        lookup.evaluation_request(solution=solution(), compare_to="trition_baseline")


@pytest.mark.parametrize("name", ["ladder", "nothing", "reference"])
def test_what_is_compared_with_by_a_word_is_named_where_the_word_is_misspelt(lookup, name):
    with pytest.raises(HarnessError, match=f"Nearest: {name}"):
        lookup.evaluation_request(solution=solution(), compare_to=name[:-1])
    with pytest.raises(HarnessError, match="Nearest: template"):
        lookup.start(lookup.dataset.operator("double"), "template_1")


def test_an_axis_that_no_workload_has_is_named_with_those_that_there_are(lookup):
    with pytest.raises(HarnessError, match=r"axis of double's workloads 'n'\. Nearest: m"):
        lookup.evaluation_request(solution=solution(), workloads=[{"n": 3}])


def test_a_forecast_for_a_regime_that_there_is_not_names_those_that_there_are(lookup):
    idea = {"solution": solution(), "expected_gain": 1.3, "confidence": 0.5}
    known = [regime.name for regime in sample_shapes(lookup.dataset.operator("double")).regimes]
    with pytest.raises(HarnessError, match="regime of double 'huge'.*Nearest: all workloads"):
        lookup.record_plan("unroll", regimes=["huge"], **idea)
    assert lookup.record_plan("unroll", regimes=known[:1], **idea).record.regimes == known[:1]


def test_an_unknown_scope_names_those_that_there_are(lookup):
    with pytest.raises(HarnessError, match="scope") as caught:
        lookup.evaluation_request(solution=solution(), scope="smple")
    assert "sample" in str(caught.value)


def test_the_policy_chooses_the_objective_unless_the_call_does(lookup):
    asked = lookup.evaluation_request(solution=solution(), objective="sustained")
    assert asked.ranked_by is Objective.SUSTAINED and "objective=sustained" in asked.command
    request = lookup.evaluation_request(solution=solution())
    assert request.ranked_by is Objective.COLD and "objective" not in request.command
    with pytest.raises(HarnessError, match="objective 'fastest'"):
        lookup.evaluation_request(solution=solution(), objective="fastest")


def test_times_are_asked_for_on_input_families_that_the_policy_offers(lookup):
    with pytest.raises(HarnessError, match="input family of double 'wide'.*none exist"):
        lookup.evaluation_request(solution=solution(), input_family="wide")
    double = lookup.dataset.operator("double")
    offered = {"typical": "as usual", "even": "evenly"}
    policy = double.policy.model_copy(update={"input_families": offered})
    lookup.dataset.operators["double"] = replace(double, policy=policy)
    with pytest.raises(HarnessError, match="'evne'.*even"):
        lookup.evaluation_request(solution=solution(), input_family="evne")
    usual = lookup.evaluation_request(solution=solution())
    assert lookup.evaluation_request(solution=solution(), input_family="typical") == usual
    asked = lookup.evaluation_request(solution=solution(), input_family="even")
    assert asked.input_family == "even" and "input_family=even" in asked.command
    assert usual.input_family == "" and "input_family" not in usual.command


def test_a_candidate_for_an_unknown_definition_is_refused(lookup):
    stranger = solution().model_copy(update={"definition": "double2"})
    with pytest.raises(HarnessError, match="double"):
        lookup.candidate(solution=stranger)


def test_neither_workspace_nor_solution_says_what_to_pass(lookup):
    with pytest.raises(RequestError, match="workspace"):
        lookup.candidate()


def test_a_workspace_is_read_with_what_it_was_opened_from(lookup):
    workspace(lookup, "mine")
    found = lookup.candidate(workspace="mine")
    assert found.started_from == "p"
    assert found.solution.content_hash() == solution().content_hash()


def test_a_start_of_another_operator_is_refused(lookup):
    other = operator(2)
    stranger = other.definition.model_copy(update={"name": "triple"})
    lookup.dataset.operators["triple"] = type(other)(definition=stranger, workloads=())
    with pytest.raises(HarnessError, match="Unknown solution"):
        lookup.start(lookup.dataset.operator("triple"), "double")
    assert lookup.start(other, "template") is None


def test_sources_of_a_record_are_looked_for_in_every_workspace_that_can_be_read(lookup):
    broken = workspace(lookup, "a-broken")
    (broken / "candidate.toml").write_text("not TOML")
    workspace(lookup, "mine")

    class Record:
        content_hash, definition = solution().content_hash(), "double"

    found = [s.content_hash() for s in lookup.sources(Record())]  # pyright: ignore[reportArgumentType]
    assert found == [Record.content_hash]
    assert [s.name for s in lookup.sources(Record(), "mine")]  # pyright: ignore[reportArgumentType]


def test_a_workspace_that_dispatches_needs_candidates_that_were_timed(lookup):
    operator = lookup.dataset.operator("double")
    with pytest.raises(RequestError, match="No candidate of double was timed"):
        lookup.workspace_start(operator, "dispatch", None)


@pytest.mark.parametrize("name", ["nvrtc", "tvm-ffi"])
def test_a_template_named_as_a_start_is_refused_with_the_argument_that_takes_it(
    lookup: Lookup, name: str
):
    operator = lookup.dataset.operator("double")
    kind = name.replace("-", "_")
    with pytest.raises(RequestError, match=f"Pass template='{kind}'"):
        lookup.workspace_start(operator, name, None)
    with pytest.raises(RequestError, match="Nearest"):
        lookup.workspace_start(operator, "nvrt", None)


def test_workloads_are_named_by_uuid_or_by_sizes(lookup):
    first, second, *_ = lookup.dataset.operator("double").workloads
    request = lookup.evaluation_request(
        solution=solution(), workloads=[first.uuid, dict(second.axes), first.uuid]
    )
    assert request.only == (first.uuid, second.uuid)


@pytest.mark.parametrize("sizes", [{"m": 12_345}, {}])
def test_sizes_that_no_workload_has_are_refused_with_what_takes_them(lookup, sizes):
    with pytest.raises(RequestError, match="inspect_call"):
        lookup.evaluation_request(solution=solution(), workloads=[sizes])
