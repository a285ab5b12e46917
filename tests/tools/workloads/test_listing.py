"""What there is to optimise: every workload on exactly one page, with what is known of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.schema.flashinfer_trace import Definition, Workload
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.dataset_problem import DatasetProblem
from kernel_harness.tools.workloads.listing import (
    MOST,
    WorkloadListing,
    list_definitions,
    list_workloads,
    skill_page,
)
from kernel_harness.tools.workloads.operators import Operator


def operator(count: int) -> Operator:
    tensor = {"shape": ["m"], "dtype": "float32"}
    definition = {
        "name": "double", "op_type": "test", "axes": {"m": {"type": "var"}},
        "inputs": {"x": tensor}, "outputs": {"y": tensor},
        "reference": "def run(x):\n    return x * 2\n",
    }  # fmt: skip
    workloads = tuple(
        Workload.model_validate(
            {"uuid": f"w{m}", "axes": {"m": m}, "inputs": {"x": {"type": "random"}}}
        )
        for m in range(1, count + 1)
    )
    return Operator(definition=Definition.model_validate(definition), workloads=workloads)


def page(made: Operator, cursor: str | None = None, limit: int = 50, **known: float):
    return list_workloads(made, known, known, cursor, limit)


def pages(made: Operator, limit: int) -> list[WorkloadListing]:
    found = [page(made, None, limit)]
    while found[-1].next_cursor is not None:
        found.append(page(made, found[-1].next_cursor, limit))
    return found


@given(st.integers(1, 40), st.integers(-3, 60))
def test_all_pages_together_are_all_workloads_once(count, limit):
    found = pages(operator(count), limit)
    assert [w.uuid for p in found for w in p.workloads] == [f"w{m}" for m in range(1, count + 1)]
    assert all(p.total == count for p in found)


def test_no_page_is_longer_than_a_client_can_bear():
    assert len(page(operator(MOST + 5), None, 10_000).workloads) == MOST


@pytest.mark.parametrize("cursor", ["next", "-1", "3", "99", "1.5"])
def test_a_cursor_that_no_page_gave_is_refused_with_what_to_do(cursor):
    with pytest.raises(RequestError, match="no cursor") as caught:
        page(operator(3), cursor)
    assert "next_cursor" in caught.value.remedy


def test_an_empty_cursor_is_the_first_page():
    assert page(operator(3), "").workloads == page(operator(3)).workloads


def test_shares_are_of_the_latencies_that_are_known():
    found = {w.uuid: w for w in page(operator(3), w1=1.0, w2=3.0).workloads}
    assert (found["w1"].share, found["w2"].share, found["w3"].share) == (0.25, 0.75, None)
    assert found["w2"].last_latency_us == 3.0 and found["w3"].last_latency_us is None


def test_each_workload_names_its_regime_and_each_regime_a_member_as_representative():
    found = page(operator(30))
    by_name = {regime.name: regime for regime in found.regimes}
    members = [w.regime for w in found.workloads]
    assert all(members.count(name) == regime.count for name, regime in by_name.items())
    regime_of = {w.uuid: w.regime for w in found.workloads}
    assert all(regime_of[r.representative] == r.name for r in found.regimes)


def test_a_definition_is_listed_with_the_ranges_of_its_axes():
    (entry,) = list_definitions(Dataset({"double": operator(7)}, ())).definitions
    assert entry.workloads == 7
    assert [(a.name, a.least, a.most, a.distinct) for a in entry.varying_axes] == [("m", 1, 7, 7)]


def test_a_definition_is_listed_with_what_to_start_from_and_its_page(tmp_path):
    page = tmp_path / "operators" / "references" / "double.md"
    page.parent.mkdir(parents=True)
    page.write_text("# Twice its input: double\n")
    assert skill_page([tmp_path], "double") == "operators/references/double.md"
    assert skill_page([tmp_path], "doubl") is None
    found = list_workloads(operator(7), {}, {}, None, 10, [tmp_path]).starts
    assert found.skill == "operators/references/double.md"
    assert (found.baseline, found.solutions, found.peers) == (None, [], [])


def test_every_shipped_operator_has_a_page():
    settings = Settings()
    for name in Dataset.load(settings.kernels_dir).operators:
        assert skill_page(settings.skills_dirs, name), name


def test_a_listing_tells_the_problems_of_its_own_files_and_no_others(tmp_path):
    """Of a definition whose workloads were all refused, it was said that there are none."""
    mine = DatasetProblem(str(tmp_path / "double" / "workloads.jsonl"), 3, "axes", "no size for m")
    other = DatasetProblem(str(tmp_path / "other" / "workloads.jsonl"), 1, "", "no JSON")
    found = list_workloads(operator(0), {}, {}, None, 10, (), [other, mine])
    assert found.problems == [str(mine)] and found.total == 0
