"""What was judged elsewhere arrives as if judged here, and nothing that nobody vouches for does."""

from __future__ import annotations

import asyncio
import json
import os
import tarfile
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import pytest

from kernel_harness.tools.batches import results as form
from kernel_harness.tools.batches import running
from kernel_harness.tools.batches.job import read_job, unpacked
from kernel_harness.tools.batches.merging import merge
from kernel_harness.tools.batches.packing import BatchContents, pack
from kernel_harness.tools.batches.results import RESULTS_FILE, BatchResults, digest_of
from kernel_harness.tools.batches.tar_file import extract, write_tar
from kernel_harness.tools.errors import DatasetError, RequestError
from kernel_harness.tools.progress import ignore_progress
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.workloads.solution_folder import write_solution as write_folder

from ...server.scripted import DEFINITION, write_dataset
from .conftest import carried, given, write_solution


def rewritten(file: Path, change) -> Path:
    """The tar file with some members changed: `change` takes and returns a mapping."""
    folder = file.with_suffix(".opened")
    folder.mkdir()
    names = extract(file, folder, form.NAMES)
    members = change({name: (folder / name).read_bytes() for name in names})
    return write_tar(file.with_name("changed.tar"), members.items())


def signed_anew(members: dict[str, bytes], keys) -> dict[str, bytes]:
    """The members with a manifest that fits them and a key's signature."""
    results = BatchResults.model_validate_json(members[RESULTS_FILE])
    files = {name: digest_of(content) for name, content in members.items() if name != RESULTS_FILE}
    again = results.model_copy(update={"files": files}).signed(keys)
    return members | {RESULTS_FILE: again.model_dump_json().encode()}


def record_in(members: dict[str, bytes], status: str = "PASSED") -> str:
    return next(
        name
        for name, content in members.items()
        if name.startswith("evaluations/") and json.loads(content)["status"] == status
    )


def test_records_and_trials_arrive_as_if_judged_here(home, results):
    merged = merge(home, results)
    statuses = {e.solution_name: e.status for e in merged.evaluations}
    assert statuses == {"fine": Status.PASSED, "operator_faults": Status.INVALID_REFERENCE}
    assert not merged.refused and not merged.notes
    passed = next(e for e in merged.evaluations if e.status is Status.PASSED)
    found = home.records.get(passed.evaluation_id)
    assert found == passed and home.keys.verify_record(found).counts
    assert merged.trials == 1  # what the reference faulted was no trial of the candidate
    assert home.archive.trials.find(passed.evaluation_id) is not None


def test_what_arrived_answers_for_the_same_bytes_and_can_be_archived(
    home, results, swept, tmp_path
):
    merged = merge(home, results)
    passed = next(e for e in merged.evaluations if e.status is Status.PASSED)
    again = read_job(swept / "job.tar", _made(tmp_path / "again")).job
    fine = next(s for s in again.solutions.values() if s.name == "fine")
    request = home.lookup.evaluation_request(solution=fine)
    assert home.evaluations.earlier(request) == passed
    archived = home.archiving.archive_candidate(fine, passed.evaluation_id, "It is the same.")
    assert archived.node.evaluation_id == passed.evaluation_id


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_merging_again_changes_nothing(home, results):
    first = merge(home, results)
    again = merge(home, results)
    assert sorted(again.known) == sorted(e.evaluation_id for e in first.evaluations)
    assert not again.evaluations and not again.refused and again.trials == 0


def test_workspaces_and_candidates_are_packed_with_what_they_are_compared_to(home, tmp_path):
    home.settings.workspaces_dir.mkdir(parents=True)
    write_solution(home.settings.workspaces_dir, "mine")
    packing = BatchContents(workspaces=["mine"], scope="smoke", compare_to="reference")
    job = pack(home, packing, tmp_path / "job.tar")
    read = read_job(tmp_path / "job.tar", _made(tmp_path / "read"))
    assert read.job == job and read.operators is None
    (entry,) = job.entries
    assert entry.baseline is not None and "reference" in job.solutions[entry.baseline].name
    with pytest.raises(RequestError, match="Nothing is to be packed"):
        pack(home, BatchContents(), tmp_path / "empty.tar")
    with pytest.raises(RequestError, match="no solution in the folder"):
        pack(home, BatchContents(folders=[tmp_path / "read"]), tmp_path / "empty.tar")


def test_a_job_is_timed_on_the_inputs_that_it_was_packed_with(machine, tmp_path):
    families = {"typical": "as usual", "even": "evenly"}
    home, away = machine("home"), machine("away")
    for one in (home, away):
        operator = one.dataset.operator(DEFINITION)
        policy = operator.policy.model_copy(update={"input_families": families})
        one.dataset.operators[DEFINITION] = replace(operator, policy=policy)
    write_solution(tmp_path / "sweep", "fine")
    packing = BatchContents(folders=[tmp_path / "sweep"], input_family="even")
    pack(home, packing, tmp_path / "job.tar")
    carried(away, tmp_path / "job.tar", tmp_path / "results.tar")
    (identity,) = away.records.ids()
    assert "input_family=even" in away.records.get(identity).evidence.command
    with pytest.raises(RequestError, match="input family"):
        pack(home, replace(packing, input_family="odd"), tmp_path / "other.tar")


def test_the_machine_that_runs_it_decides_by_its_device_what_a_job_is_compared_with(
    machine, tmp_path
):
    """Packed without a GPU for a machine with one."""
    home = machine("home", kernels_dir=str(files("kernel_harness.kernels")))
    operator = home.dataset.operator("gdn_decode")
    solution = next(iter(operator.solutions().values()))
    folder = tmp_path / "sweep"
    write_folder(solution, folder)
    job = pack(home, BatchContents(folders=[folder]), tmp_path / "job.tar")
    (entry,) = job.entries
    on_gpu, on_cpu = operator.baseline(), operator.baseline(cpu=True)
    assert on_gpu is not None and entry.baseline == on_gpu.content_hash()
    assert entry.baseline_on_cpu == (on_cpu.content_hash() if on_cpu else None)
    assert entry.baseline_on_cpu != entry.baseline and on_gpu.content_hash() in job.solutions


def test_an_operator_of_ones_own_travels_with_the_job(machine, tmp_path):
    own = write_dataset(tmp_path / "own")
    (own / DEFINITION).rename(own / "mine")
    definition = json.loads((own / "mine/definition.json").read_text()) | {"name": "mine"}
    (own / "mine/definition.json").write_text(json.dumps(definition))
    lines = (own / "mine/workloads.jsonl").read_text().replace(DEFINITION, "mine")
    (own / "mine/workloads.jsonl").write_text(lines)
    home = machine("home", dataset=(str(own),))
    folder = write_solution(tmp_path / "sweep", "fine")
    text = (folder / "candidate.toml").read_text().replace(DEFINITION, "mine")
    (folder / "candidate.toml").write_text(text)
    pack(home, BatchContents(folders=[folder]), tmp_path / "job.tar")
    read = read_job(tmp_path / "job.tar", _made(tmp_path / "read"))
    assert read.operators is not None
    away = machine("away", dataset=(str(read.operators),))
    assert carried(away, tmp_path / "job.tar", tmp_path / "results.tar") == []
    (operators := read.operators / "mine" / "reference.py").write_text("def run(x, weight): ...\n")
    assert operators.is_file()
    changed = machine("changed", dataset=(str(read.operators),))
    with pytest.raises(RequestError, match="another operator here"):
        carried(changed, tmp_path / "job.tar", tmp_path / "others.tar")


def test_what_the_time_did_not_reach_is_told(home, away, tmp_path, monkeypatch):
    # One after another: side by side the one that hangs may come to the judge first.
    monkeypatch.setattr(running, "AT_ONCE", 1)
    for place, name in (("1", "fine"), ("2", "hangs")):
        write_solution(tmp_path / place, name, f"return x  # {name}")
    folders = [tmp_path / "1", tmp_path / "2"]
    pack(home, BatchContents(folders=folders), tmp_path / "job.tar")
    # The time is over as soon as there is a record.
    clock = SimpleNamespace(monotonic=lambda: 1e9 if [*away.records.ids()] else 0.0)
    monkeypatch.setattr(running, "time", clock)
    assert carried(away, tmp_path / "job.tar", tmp_path / "results.tar") == ["hangs"]
    merged = merge(home, tmp_path / "results.tar")
    assert merged.results.not_run == {"hangs": "the time was over"}
    assert [e.solution_name for e in merged.evaluations] == ["fine"]


def test_a_job_that_is_told_to_end_writes_what_it_has(home, away, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "AT_ONCE", 1)
    for place, name in (("1", "fine"), ("2", "hangs")):
        write_solution(tmp_path / place, name, f"return x  # {name}")
    pack(home, BatchContents(folders=[tmp_path / "1", tmp_path / "2"]), tmp_path / "job.tar")
    (tmp_path / "read").mkdir()
    job = read_job(tmp_path / "job.tar", tmp_path / "read").job

    async def told() -> running.Carried:
        stop = asyncio.Event()

        async def watch(done: float, total: float, words: str) -> None:
            if done == 1:
                stop.set()

        found = await running.carry_out(away, job, watch, stop=stop)
        await away.aclose()
        return found

    found = asyncio.run(told())
    running.write_results(away, job, found, tmp_path / "results.tar")
    merged = merge(home, tmp_path / "results.tar")
    assert merged.results.not_run == {"hangs": "the job was told to end"}
    assert [e.solution_name for e in merged.evaluations] == ["fine"]


@pytest.mark.parametrize("step", ["calibrated", "profiled"])
def test_a_job_that_is_told_to_end_leaves_what_takes_minutes(
    step, home, away, tmp_path, monkeypatch
):
    write_solution(tmp_path / "sweep", "fine")
    contents = BatchContents(folders=[tmp_path / "sweep"], profile=True, calibrate=True)
    pack(home, contents, tmp_path / "job.tar")
    (tmp_path / "read").mkdir()
    job = read_job(tmp_path / "job.tar", tmp_path / "read").job

    async def told() -> running.Carried:
        stop = asyncio.Event()

        async def endless(*asked, **more):
            stop.set()
            await asyncio.sleep(3600)

        if step == "calibrated":
            monkeypatch.setattr(away, "device", "cuda:0")
            monkeypatch.setattr(away, "calibrate", endless)
        monkeypatch.setattr(away.profiling, "profile_ncu", endless)
        work = running.carry_out(away, job, ignore_progress, stop=stop)
        found = await asyncio.wait_for(work, 60)
        await away.aclose()
        return found

    found = asyncio.run(told())
    assert len(found.notes) == 1
    assert f"not {step}: the job was told to end" in found.notes[0]


def test_a_job_goes_on_where_it_was(home, away, tmp_path):
    write_solution(tmp_path / "sweep", "fine")
    pack(home, BatchContents(folders=[tmp_path / "sweep"]), tmp_path / "job.tar")
    for name in ("first.tar", "second.tar"):
        carried(away, tmp_path / "job.tar", tmp_path / name)
    first = merge(home, tmp_path / "first.tar").evaluations
    assert merge(home, tmp_path / "second.tar").known == [e.evaluation_id for e in first]


def test_results_of_a_key_that_is_not_trusted_do_not_come_in(machine, results):
    stranger = machine("stranger")
    with pytest.raises(
        RequestError, match=r"key ed25519:.* is not trusted here.*kernel-harness tr"
    ):
        merge(stranger, results)
    assert list(stranger.records.ids()) == []


@pytest.mark.parametrize("part", ["record", "trials", "more", "less", "manifest", "unsigned"])
def test_results_that_were_changed_do_not_come_in(home, results, part):
    def change(members):
        record = record_in(members)
        if part == "record":
            members[record] = members[record].replace(b"fine", b"best")
        if part == "trials":
            members[form.TRIALS_FILE] += b"x"
        if part == "more":
            members["calibration/h200.json"] = b"{}"
        if part == "less":
            del members[record]
        if part == "manifest":
            members[RESULTS_FILE] = members[RESULTS_FILE].replace(b"fine", b"best")
        if part == "unsigned":
            said = json.loads(members[RESULTS_FILE]) | {"signature": None}
            members[RESULTS_FILE] = json.dumps(said).encode()
        return members

    with pytest.raises((DatasetError, RequestError)):
        merge(home, rewritten(results, change))
    assert list(home.records.ids()) == [] and home.archive.trials.refs() == {}


def test_a_trusted_machine_cannot_vouch_for_a_record_that_was_changed(home, away, results):
    """The whole file is signed again by its own key, the record inside is not the judge's."""

    def change(members):
        record = record_in(members)
        members[record] = members[record].replace(b'"fine"', b'"best"')
        return signed_anew(members, away.keys)

    merged = merge(home, rewritten(results, change))
    assert list(merged.refused.values()) == ["its signature is not of what it holds"]
    assert [e.status for e in merged.evaluations] == [Status.INVALID_REFERENCE]


def test_a_record_under_another_id_does_not_come_in(home, away, results):
    def change(members):
        members["evaluations/ev-20260101-000000-00000000.json"] = members[record_in(members)]
        return signed_anew(members, away.keys)

    merged = merge(home, rewritten(results, change))
    assert merged.refused == {"ev-20260101-000000-00000000": "it says that it is another"}


def test_a_record_that_is_here_is_never_replaced(home, away, results):
    first = merge(home, results)
    passed = next(e for e in first.evaluations if e.status is Status.PASSED)
    other = away.keys.signed(passed.model_copy(update={"log": "other"}))

    def change(members):
        members[record_in(members)] = other.model_dump_json().encode()
        return signed_anew(members, away.keys)

    merged = merge(home, rewritten(results, change))
    assert merged.refused == {passed.evaluation_id: "another record of that id is here"}
    assert home.records.get(passed.evaluation_id) == passed


def test_profiles_and_calibrations_come_in_where_there_are_none(home, away, results):
    place = home.settings.archive_dir / "calibration"
    place.mkdir(parents=True)
    (place / "noise-own.json").write_text("own")

    def change(members):
        members["calibration/noise-own.json"] = b"theirs"
        members["calibration/noise-h200.json"] = b'{"floors": {}}'
        members["profiles/abc/ncu.json"] = b"{}"
        return signed_anew(members, away.keys)

    merged = merge(home, rewritten(results, change))
    assert (merged.profiles, merged.calibrations) == (1, ["noise-h200"])
    assert (place / "noise-own.json").read_text() == "own"
    assert (home.settings.profiles_dir / "abc/ncu.json").read_text() == "{}"


def test_results_of_an_operator_that_has_changed_say_so(machine, away, results, tmp_path):
    reference = tmp_path / "kernels" / DEFINITION / "cost.py"
    reference.write_text("def cost(axes, structure=None): ...\n")
    home = machine("home", trusted_keys=f"{away.keys.public()} away")
    merged = merge(home, results)
    assert merged.notes and all("is another here" in note for note in merged.notes)


def test_a_job_whose_solution_was_exchanged_is_refused(home, tmp_path):
    write_solution(tmp_path / "sweep", "fine")
    job = pack(home, BatchContents(folders=[tmp_path / "sweep"]), tmp_path / "job.tar")
    other = given("other", "return weight")
    for changes, words in (
        ({"solutions": dict.fromkeys(job.solutions, other)}, "other bytes than the job says"),
        ({"solutions": {}}, "is not in it"),
    ):
        bad = job.model_copy(update=changes)
        write_tar(tmp_path / "bad.tar", [("job.json", bad.model_dump_json().encode())])
        folder = tmp_path / f"read{len(changes['solutions'])}"
        with pytest.raises(DatasetError, match=words):
            read_job(tmp_path / "bad.tar", _made(folder))


def test_a_job_that_several_runs_use_is_unpacked_once(swept, tmp_path):
    first = unpacked(swept / "job.tar", tmp_path / "jobs")
    (place,) = (tmp_path / "jobs").iterdir()
    stamp = (place / "job.json").stat().st_mtime_ns
    again = unpacked(swept / "job.tar", tmp_path / "jobs")
    assert first == again and (place / "job.json").stat().st_mtime_ns == stamp
    assert [*(tmp_path / "jobs").iterdir()] == [place]
    with pytest.raises(DatasetError):
        unpacked(swept / "results.tar", tmp_path / "jobs")
    with pytest.raises(RequestError, match="no such file"):
        unpacked(swept / "nothing.tar", tmp_path / "jobs")
    assert [*(tmp_path / "jobs").iterdir()] == [place]


def test_results_are_no_job_and_the_other_way_round(home, results, swept, tmp_path):
    with pytest.raises(DatasetError, match="holds results.*batch merge"):
        read_job(results, _made(tmp_path / "read"))
    with pytest.raises(DatasetError, match="holds a job.*batch run"):
        merge(home, swept / "job.tar")


def test_the_files_are_for_their_owner_and_plain(results):
    with tarfile.open(results) as tar:
        names = tar.getnames()
        assert names[0] == RESULTS_FILE and all(member.isreg() for member in tar)
    assert not any(os.path.isabs(name) or ".." in name for name in names)
