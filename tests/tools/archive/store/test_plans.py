"""Plans as commits: written once, signed, listed from the index, taken along."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial

import pytest

from kernel_harness.tools.archive.git.repository import RefUpdate, Repository
from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.archive.store.commit.message import read_trailers
from kernel_harness.tools.archive.store.plans.commits import PLANS
from kernel_harness.tools.archive.store.transfer import fetch, push, write_bundle
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.schema.search.made_by import MadeBy
from kernel_harness.tools.schema.search.plan import SearchPlan
from kernel_harness.tools.signing.keyring import Keyring
from kernel_harness.tools.signing.signature import PLAN

SPEC = {"language": "triton", "entry_point": "kernel.py::run", "target_hardware": ["cuda"]}
SOURCES = {"kernel.py": "def run(x, y):\n    y.copy_(x)  # \u202e kept as it is\n"}


def idea(hypothesis: str = "Fewer bytes.", definition: str = "scale_n64") -> SearchPlan:
    return SearchPlan(
        definition=definition,
        hypothesis=hypothesis,
        technique=["tma"],
        expected_gain=1.3,
        confidence=0.6,
        regimes=["small"],
        spec=SPEC,
        made_by=MadeBy(client="codex", model="gpt-9"),
    )


@pytest.fixture
def other(tmp_path, keys):
    """An archive of the same machine, whose keys count."""
    found = Archive(tmp_path / "other", keys(tmp_path / "other"))
    yield found
    found.close()


def test_a_plan_is_read_back_with_its_scaffold_bit_for_bit(bench, archive):
    parent = bench.add()
    before = int(time.time())
    told = archive.plans.write(idea(), SOURCES, [parent.commit])
    assert archive.plans.read(told.plan_id[:6]) == told
    assert told.sources == SOURCES and before <= told.at <= time.time()
    assert told.record.made_by.agent == "codex / gpt-9"
    assert told.solution().sources[0].content == SOURCES["kernel.py"]
    said = read_trailers(archive.repository.read(told.commit)[1].decode())
    assert said["Expected-Gain"] == ["1.3"] and said["Confidence"] == ["0.6"]
    assert said["Regime"] == ["small"] and said["Client"] == ["codex"]
    assert archive.repository.run("rev-parse", f"{told.commit}^").strip() == parent.commit


def test_plans_are_listed_by_operator_oldest_first_and_which_of_them_nobody_tried(bench, archive):
    first, second = (archive.plans.write(idea(words), SOURCES) for words in ("One.", "Two."))
    archive.plans.write(idea(definition="other"), SOURCES)
    assert {p.plan_id for p in archive.plans.of("scale_n64")} == {first.plan_id, second.plan_id}
    assert len(archive.plans.of()) == 3
    bench.add(plan=first.plan_id)
    assert [p.plan_id for p in archive.plans.untried("scale_n64")] == [second.plan_id]
    archive.rebuild_index()
    assert [p.plan_id for p in archive.plans.untried("scale_n64")] == [second.plan_id]


def test_a_plan_of_another_process_is_seen_and_one_that_is_gone_is_not(archive, keys):
    archive.plans.of()
    writer = Archive(archive.root, keys(archive.root))
    told = writer.plans.write(idea(), SOURCES)
    writer.close()
    assert [p.plan_id for p in archive.plans.of()] == [told.plan_id]
    archive.repository.run("update-ref", "-d", told.ref)
    assert archive.plans.of() == []
    with pytest.raises(RequestError, match="plan"):
        archive.plans.read(told.plan_id)


def test_what_nobody_here_signed_is_no_plan(archive):
    told = archive.plans.write(idea(), SOURCES)
    tree = archive.repository.run("rev-parse", f"{told.commit}^{{tree}}").strip()
    forged = archive.repository.write_commit(tree, [], "Plan: sure to win\n", 1)
    ref = f"{PLANS}/scale_n64/{forged[:12]}"
    archive.repository.update_refs([RefUpdate(ref, forged)])
    assert [p.plan_id for p in archive.plans.of()] == [told.plan_id]
    renamed = f"{PLANS}/other/{told.plan_id}"
    archive.repository.update_refs([RefUpdate(renamed, told.commit)])
    assert archive.plans.of("other") == []


@pytest.mark.parametrize("way", ["bundle", "push"])
def test_plans_are_taken_along(bench, archive, other, tmp_path, way):
    bench.add(plan=archive.plans.write(idea(), SOURCES).plan_id)
    if way == "bundle":
        source = write_bundle(archive, tmp_path / "a.bundle")
    else:
        source = tmp_path / "remote.git"
        Repository(source).create()
        push(archive, str(source))
    fetch(other, str(source))
    assert other.plans.of() == archive.plans.of() != []


def test_a_strangers_plans_stay_in_quarantine(archive, tmp_path, bench_class):
    root = tmp_path / "stranger"
    stranger = Archive(root, Keyring(tmp_path / "key" / "theirs.pem", root))
    plan = stranger.plans.write(idea(), SOURCES)
    bench_class(stranger).add(plan=plan.plan_id)
    fetch(archive, str(write_bundle(stranger, tmp_path / "theirs.bundle")))
    stranger.close()
    assert archive.plans.of() == [] and archive.plans.find(plan.plan_id) is None
    assert archive.repository.refs("refs/quarantine/origin/plans")
    assert not archive.repository.refs(PLANS)


def test_a_plan_of_a_year_that_no_calendar_has_can_be_shown(archive):
    told = archive.plans.write(idea(), SOURCES)
    tree = archive.repository.run("rev-parse", f"{told.commit}^{{tree}}").strip()
    sign = partial(archive.keys.sign, PLAN)
    late = archive.repository.write_commit(tree, [], "Plan: late\n", 999_999_999_999, sign)
    archive.repository.update_refs([RefUpdate(f"{PLANS}/scale_n64/{late[:12]}", late)])
    plans = archive.plans.of()
    assert {plan.plan_id for plan in plans} == {told.plan_id, late[:12]}
    assert all(datetime.fromtimestamp(plan.at, UTC).year < 9999 for plan in plans)


def test_a_regime_is_named_once_and_in_a_line():
    said = ["small", "small ", "\x1b[2J", "a\nb"]
    plan = idea().model_validate(idea().model_dump() | {"regimes": said, "technique": said})
    assert plan.regimes == plan.technique == ["small", "a b"]
