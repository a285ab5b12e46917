import asyncio
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from kernel_harness.tools.devices.noise_floor import write_noise_floor
from kernel_harness.tools.errors import DatasetError, InfrastructureError, RequestError
from kernel_harness.tools.evaluation import service as service_module
from kernel_harness.tools.evaluation.judge_pool import JudgePool
from kernel_harness.tools.evaluation.judge_process import Judge
from kernel_harness.tools.evaluation.plan import EvaluationRequest, TimeBounds, make_plan
from kernel_harness.tools.evaluation.records.record_store import RecordStore, new_evaluation_id
from kernel_harness.tools.evaluation.records.under_way import PendingEvaluation
from kernel_harness.tools.evaluation.service import EvaluationService
from kernel_harness.tools.progress import ignore_progress
from kernel_harness.tools.schema.drawn_inputs import InputSource, RandomGenerator
from kernel_harness.tools.schema.evaluation import (
    Evaluation,
    Executor,
    Failure,
    Scope,
    Stage,
    Status,
)
from kernel_harness.tools.schema.flashinfer_trace import Solution
from kernel_harness.tools.schema.recognition import AnchorCheck, PriorRun, Recognition
from kernel_harness.tools.schema.search.made_by import NOBODY, MadeBy
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.signing.keyring import Keyring
from kernel_harness.tools.workloads.regimes import sample_shapes

from ...judging import make_solution


def named(name: str, source: str = "def run(x, y):\n    y.copy_(x)\n") -> Solution:
    return make_solution(source, definition="double", name=name)


async def judged(service, operator, solution, **choices):
    wait_s = choices.pop("wait_s", 30)
    progress = choices.pop("progress", ignore_progress)
    request = EvaluationRequest(operator, solution, Scope.FULL, **choices)
    try:
        return (await service.evaluate(request, wait_s, progress)).evaluation
    finally:
        if wait_s > 1:
            await service._pool.close()


def test_a_passing_trial_is_on_disk_before_it_is_returned(service, operator):
    evaluation = asyncio.run(judged(service, operator, named("fine")))
    assert evaluation.status is Status.PASSED
    assert service.records.get(evaluation.evaluation_id) == evaluation


def test_workloads_are_planned_cheapest_first(service, operator):
    evaluation = asyncio.run(judged(service, operator, named("fine")))
    assert [w.axes["m"] for w in evaluation.workloads] == [1, 8, 64]


def test_the_same_bytes_are_answered_from_the_record_unless_forced(service, operator):
    async def twice():
        request = EvaluationRequest(operator, named("fine"), Scope.FULL)
        first = (await service.evaluate(request, 30)).evaluation
        again = (await service.evaluate(request, 30)).evaluation
        forced = EvaluationRequest(operator, named("fine"), Scope.FULL, force=True)
        third = (await service.evaluate(forced, 30)).evaluation
        await service._pool.close()
        return first, again, third

    first, again, third = asyncio.run(twice())
    assert again.evaluation_id == first.evaluation_id
    assert third.evaluation_id != first.evaluation_id


KNOWN = Recognition(
    prior_run=PriorRun(exact=True, words="Archived as c1.", candidates=["c1"]),
    anchors=AnchorCheck(parent="c0", kept=False, regions=1, outside=["main.py:2: changed"]),
)


@pytest.mark.parametrize("forged", ["edited", "unsigned", "no record"])
def test_a_record_that_does_not_count_is_no_answer_to_the_same_bytes(service, operator, forged):
    solution = named("fine")
    first = asyncio.run(judged(service, operator, solution))
    path = service._settings.evaluations_dir / f"{first.evaluation_id}.json"
    changed = {
        "edited": first.model_copy(update={"log": "50x"}).model_dump_json(),
        "unsigned": first.model_copy(update={"signature": None}).model_dump_json(),
        "no record": "{}",
    }
    path.write_text(changed[forged])
    assert asyncio.run(judged(service, operator, solution)).evaluation_id != first.evaluation_id


def test_what_the_archive_knew_of_a_program_is_told_by_a_later_server(service, operator, tmp_path):
    asked: list[str] = []

    def recognise(request: EvaluationRequest) -> Recognition:
        asked.append(request.solution.name)
        return KNOWN

    settings = Settings(data_dir=tmp_path)
    first = EvaluationService(
        settings, service._pool, service.records, "cpu", service._keys, recognise
    )
    evaluation = asyncio.run(judged(first, operator, named("fine")))
    later = EvaluationService(
        settings,
        service._pool,
        RecordStore(settings.evaluations_dir),
        "cpu",
        service._keys,
        recognise,
    )
    assert asyncio.run(later.get(evaluation.evaluation_id)).recognition == KNOWN
    assert asked == ["fine"]
    assert list(service.records.ids()) == [evaluation.evaluation_id]


def test_a_disk_that_keeps_no_recognition_costs_no_verdict(service, operator, monkeypatch, caplog):
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(service, "_recognise", lambda *_: KNOWN)
    monkeypatch.setattr(service.records, "write_recognition", full)
    evaluation = asyncio.run(judged(service, operator, named("fine")))
    assert evaluation.status is Status.PASSED and "was not kept" in caplog.text


def test_an_operator_that_was_changed_is_judged_anew(service, operator, tmp_path):
    folder = tmp_path / "double"
    folder.mkdir()
    changing = replace(operator, folder=folder)

    async def judged_thrice():
        found = []
        for policy in ("", "", "[tolerance]\natol = 1.0\n"):
            (folder / "policy.toml").write_text(policy)
            request = EvaluationRequest(changing, named("fine"), Scope.FULL)
            found.append((await service.evaluate(request, 30)).evaluation)
        await service._pool.close()
        return found

    first, same, changed = asyncio.run(judged_thrice())
    assert same.evaluation_id == first.evaluation_id != changed.evaluation_id
    assert first.evidence.versions["operator"] != changed.evidence.versions["operator"]


def test_each_device_has_the_noise_floor_that_was_calibrated_on_it(service, operator, tmp_path):
    for name, floor in (("NVIDIA B200", 0.01), ("NVIDIA H200", 0.02)):
        write_noise_floor(Settings(data_dir=tmp_path), name, {"1": floor}, {"command": "c"})
    for name, floors in (("NVIDIA H200", {"1": 0.02}), ("NVIDIA A100", None)):
        evaluation = asyncio.run(judged(service, operator, named(f"on_{name}")))
        assert evaluation.evidence.noise_floor == floors


def test_a_syntax_error_is_answered_without_a_judge(service, operator):
    evaluation = asyncio.run(judged(service, operator, named("broken", "def run(x, y:\n  pass\n")))
    assert evaluation.status is Status.COMPILE_ERROR
    assert evaluation.failure is not None and evaluation.failure.kind == "syntax_error"
    assert "line 1" in evaluation.failure.message
    assert service._pool.ready("cpu") is None


@pytest.mark.parametrize("part", ["judge_dies", "judge_faults"])
def test_a_fault_of_the_judge_is_never_the_kernels(service, operator, part):
    async def then_again():
        request = EvaluationRequest(operator, named(part), Scope.FULL)
        broken = (await service.evaluate(request, 30)).evaluation
        request = EvaluationRequest(operator, named("fine"), Scope.FULL)
        healthy = (await service.evaluate(request, 30)).evaluation
        await service._pool.close()
        return broken, healthy

    broken, healthy = asyncio.run(then_again())
    assert broken.status is Status.INFRASTRUCTURE_ERROR
    assert broken.failure is not None and broken.failure.kind == "infrastructure"
    assert healthy.status is Status.PASSED


def test_a_record_answers_what_asks_for_the_same_trial_alone(service, operator):
    fewer = replace(operator, workloads=operator.workloads[:2], digest="")
    requests = [
        EvaluationRequest(operator, named("fine"), Scope.FULL),
        EvaluationRequest(operator, named("fine"), Scope.FULL),
        EvaluationRequest(operator, named("fine"), Scope.SMOKE),
        EvaluationRequest(fewer, named("fine"), Scope.FULL),
    ]

    async def each():
        earlier = [(await service.evaluate(request, 30)).earlier for request in requests]
        await service._pool.close()
        return earlier

    assert asyncio.run(each()) == [False, True, False, False]


@pytest.mark.parametrize("alike", [True, False])
def test_a_record_of_another_device_answers_nothing(service, operator, monkeypatch, alike):
    service.executor = Executor.CUDA
    monkeypatch.setattr(service_module, "alike", lambda ran_on, devices, itself: alike)
    request = EvaluationRequest(operator, named("on_NVIDIA H200"), Scope.FULL)

    async def twice():
        found = [await service.evaluate(request, 30) for _ in range(2)]
        await service._pool.close()
        return found

    first, second = asyncio.run(twice())
    assert not first.earlier and second.earlier is alike


def test_a_fault_of_the_operator_is_told_as_its_and_judged_again(service, operator):
    async def twice():
        request = EvaluationRequest(operator, named("operator_faults"), Scope.FULL)
        found = [await service.evaluate(request, 30) for _ in range(2)]
        await service._pool.close()
        return found

    first, second = asyncio.run(twice())
    for found in (first.evaluation, second.evaluation):
        assert found.status is Status.INVALID_REFERENCE and found.failure is not None
        assert found.failure.message == "The reference is random (d.json)"
        assert found.failure.remedy == "Seed it."
    assert not second.earlier


def test_every_file_of_the_operator_that_is_no_python_is_named(service, operator, tmp_path):
    """One was corrected, and the next evaluation named the other."""
    for name in ("cost.py", "inputs.py"):
        (tmp_path / name).write_text("def x(:\n")

    async def once():
        broken = replace(operator, folder=tmp_path)
        found = await service.evaluate(EvaluationRequest(broken, named("fine"), Scope.FULL), 30)
        await service._pool.close()
        return found.evaluation

    found = asyncio.run(once())
    assert found.status is Status.INVALID_REFERENCE and found.failure is not None
    assert f"({tmp_path}/cost.py). Also {tmp_path}/inputs.py:1: " in found.failure.message


def test_past_its_patience_the_trial_goes_on_and_is_found_by_id(service, operator):
    async def impatient():
        request = EvaluationRequest(operator, named("slow"), Scope.FULL)
        early = (await service.evaluate(request, 0.05)).evaluation
        late = (await service.get(early.evaluation_id, 30)).evaluation
        await service._pool.close()
        return early, late

    early, late = asyncio.run(impatient())
    assert early.status is Status.RUNNING and late.status is Status.PASSED
    assert early.evaluation_id == late.evaluation_id


@pytest.mark.parametrize("part", ["hangs", "deaf"])
def test_cancelling_the_call_stops_the_trial(service, operator, part, monkeypatch):
    monkeypatch.setattr("kernel_harness.tools.evaluation.judge_pool.CANCEL_GRACE_S", 0.3)

    async def cancelled():
        request = EvaluationRequest(operator, named(part), Scope.FULL)
        started = asyncio.Event()

        async def heard(done, total, message):
            if message == "built":
                started.set()

        call = asyncio.create_task(service.evaluate(request, 30, heard))
        await asyncio.wait_for(started.wait(), 20)
        pid = service._pool._judges["cpu"].pid
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        alive = service._pool.ready("cpu") is not None
        await service._pool.close()
        return pid, alive

    pid, alive = asyncio.run(cancelled())
    assert alive == (part == "hangs")
    (identity,) = service.records.ids()
    record = service.records.get(identity)
    assert record.status is Status.INTERRUPTED and record.failure is not None
    assert "client" in record.failure.message
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("end", ["its client leaves", "its server ends"])
def test_a_verdict_that_is_being_written_at_an_end_is_kept(service, operator, monkeypatch, end):
    writing, released = threading.Event(), threading.Event()
    write = service.records.write

    def held(evaluation):
        writing.set()
        if evaluation.status is Status.PASSED:
            assert released.wait(30)
        return write(evaluation)

    monkeypatch.setattr(service.records, "write", held)

    async def left():
        call = asyncio.create_task(
            service.evaluate(EvaluationRequest(operator, named("fine"), Scope.FULL), 30)
        )
        await asyncio.to_thread(writing.wait, 30)
        if end == "its server ends":  # which cancels whatever is under way
            await service._pool.close()
            threading.Timer(0.3, released.set).start()
            return
        for _ in range(3):  # as each part of a server that ends does
            call.cancel()
            await asyncio.sleep(0.01)
        (pending,) = service._pending.values()
        assert pending.work is not None and pending.work.cancel()
        await asyncio.sleep(0.01)
        released.set()
        with pytest.raises(asyncio.CancelledError):
            await call
        await service._pool.close()

    asyncio.run(left())
    (identity,) = service.records.ids()
    assert service.records.get(identity).status is Status.PASSED


def test_a_verdict_is_told_where_its_latencies_cannot_be_noted(service, operator, monkeypatch):
    def full(evaluation):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(service.latencies, "note", full)
    found = asyncio.run(judged(service, operator, named("fine")))
    assert found.status is Status.PASSED
    assert service.records.get(found.evaluation_id) == found


def test_progress_never_goes_back(service, operator):
    seen = []

    async def heard(done, total, message):
        seen.append(done)

    asyncio.run(judged(service, operator, named("slow"), progress=heard))
    assert seen == sorted(seen) and seen[-1] >= 1


def test_a_judge_that_cannot_start_says_why(tmp_path, scripted):

    async def start():
        await Judge("cpu", Settings(data_dir=tmp_path), (*scripted, "--refuse-to-start")).start()

    with pytest.raises(InfrastructureError, match="no torch here"):
        asyncio.run(start())


def test_an_unknown_evaluation_names_the_remedy(service):
    with pytest.raises(RequestError, match="no evaluation id|Unknown evaluation"):
        asyncio.run(service.get("nonsense", 1))


def test_closing_a_pool_that_never_started_is_fine(tmp_path):
    asyncio.run(JudgePool(Settings(data_dir=tmp_path)).close())


def test_a_precheck_failure_keeps_its_stage(service, operator):
    evaluation = asyncio.run(judged(service, operator, named("empty", "x = 1\n")))
    assert evaluation.status is Status.INVALID_CANDIDATE
    assert evaluation.stage is Stage.REQUEST


def test_recorded_seeds_reach_the_judge_and_the_replay_is_part_of_the_command(service, operator):
    first = asyncio.run(judged(service, operator, named("fine")))
    seeded = first.evidence.model_copy(
        update={
            "seeds": {"w1": [7, 8]},
            "input_source": InputSource(generator=RandomGenerator.PHILOX),
        }
    )
    record = first.model_copy(update={"evidence": seeded})
    request = EvaluationRequest(operator, named("fine"), Scope.FULL, replay=record)
    sample = sample_shapes(operator)
    plan = make_plan(request, "ev-1", sample, Executor.INTERPRETER, Settings())
    assert plan.replay_seeds == {"w1": [7, 8]}
    assert plan.replay_generator == RandomGenerator.PHILOX.value
    fresh = EvaluationRequest(operator, named("fine"), Scope.FULL)
    assert not make_plan(fresh, "ev-2", sample, Executor.INTERPRETER, Settings()).replay_generator
    assert plan.command == f"evaluate_kernel scope=full replay={first.evaluation_id}"


def test_what_a_busy_machine_may_have_caused_is_judged_again(service, operator):
    async def twice():
        request = EvaluationRequest(operator, named("fine"), Scope.FULL)
        first = (await service.evaluate(request, 30)).evaluation
        why = Failure(stage=Stage.CORRECTNESS, kind="timeout", message="It is late", remedy="Look.")
        late = first.model_copy(
            update={
                "evaluation_id": new_evaluation_id(),
                "status": Status.TIMEOUT,
                "stage": Stage.CORRECTNESS,
                "failure": why,
            }
        )
        folder = service.records._folder
        (folder / f"{first.evaluation_id}.json").unlink()
        (folder / "by_content" / first.content_hash[:64] / first.evaluation_id).unlink()
        service.records.write(late)
        again = (await service.evaluate(request, 30)).evaluation
        await service._pool.close()
        return again

    assert asyncio.run(twice()).status is Status.PASSED


@pytest.mark.parametrize("scope", list(Scope))
def test_an_operator_without_a_workload_is_refused_at_every_scope(service, operator, scope):
    empty = replace(operator, workloads=(), unusable=("w.jsonl:1: workload.axes: no size for m",))
    request = EvaluationRequest(empty, named("fine"), scope)
    with pytest.raises(DatasetError, match="no usable workload.*no size for m"):
        asyncio.run(service.evaluate(request, 5))


def test_a_judge_that_ended_because_its_client_left_is_no_fault_of_the_harness(service, operator):
    async def left():
        request = EvaluationRequest(operator, named("hangs"), Scope.FULL)
        started = asyncio.Event()

        async def heard(done, total, message):
            if message == "built":
                started.set()

        early = (await service.evaluate(request, 0.05, heard)).evaluation
        waiting = asyncio.create_task(service.get(early.evaluation_id, 30, heard))
        await asyncio.wait_for(started.wait(), 20)
        service._pool.kill()
        await waiting
        late = (await service.get(early.evaluation_id, 30)).evaluation
        await service._pool.close()
        return early, late

    early, late = asyncio.run(left())
    assert (early.status, late.status) == (Status.RUNNING, Status.INTERRUPTED)
    assert late.failure is not None and "its client left" in late.failure.message


DYING = """
import asyncio, os, sys
sys.path.insert(0, sys.argv[2])
from kernel_harness.tools.evaluation.records.under_way import EvaluationsUnderWay
from kernel_harness.tools.schema.evaluation import Evaluation
notes = EvaluationsUnderWay(__import__("pathlib").Path(sys.argv[1]))
notes.begin(Evaluation.model_validate_json(sys.stdin.read()))
print("begun", flush=True)
import time
time.sleep(600)
"""


def test_an_evaluation_whose_server_was_killed_is_found_again_as_interrupted(service, operator):
    request = EvaluationRequest(operator, named("slow"), Scope.FULL)
    noted = PendingEvaluation("ev-20261128-120000-0123abcd", request).running()
    folder = service._settings.evaluations_dir / "under_way"
    server = subprocess.Popen(
        [sys.executable, "-c", DYING, str(folder), str(Path(__file__).parents[3])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin is not None and server.stdout is not None
    server.stdin.write(noted.model_dump_json().encode())
    server.stdin.close()
    assert server.stdout.readline() == b"begun\n"
    elsewhere = asyncio.run(service.get(noted.evaluation_id, 1)).evaluation
    assert elsewhere.status is Status.RUNNING
    server.kill()
    server.wait()
    server.stdout.close()
    for _ in range(2):
        found = asyncio.run(service.get(noted.evaluation_id, 1)).evaluation
        assert found.status is Status.INTERRUPTED and found.failure is not None
        assert found.content_hash == noted.content_hash and "server" in found.failure.message
    assert list(folder.iterdir()) == []


def test_no_note_is_left_of_what_has_a_verdict(service, operator):
    asyncio.run(judged(service, operator, named("right")))
    assert list((service._settings.evaluations_dir / "under_way").iterdir()) == []


def test_who_is_queued_is_told_at_once_what_is_ahead_and_for_how_long(
    service, operator, monkeypatch
):
    # Nobody is told again within the test: what is heard was said at once.
    monkeypatch.setattr("kernel_harness.tools.distributed.device_queue.TELL_S", 600.0)

    async def queued():
        told = []

        async def heard(done, total, message):
            told.append(message)

        first = EvaluationRequest(operator, named("slow"), Scope.FULL)
        second = EvaluationRequest(operator, named("slow", "def run(x, y): ...\n"), Scope.FULL)
        early = (await service.evaluate(first, 0.05)).evaluation
        later = (await service.evaluate(second, 30, heard)).evaluation
        await service._pool.close()
        return early, later, told

    early, later, told = asyncio.run(queued())
    assert later.status is Status.PASSED
    assert f"queued for 0 s behind evaluation {early.evaluation_id}; place 1" in told


def test_each_trial_has_one_device_and_two_are_judged_at_once(
    operator, scripted, tmp_path, monkeypatch
):
    monkeypatch.setattr("kernel_harness.tools.distributed.device_lock.MACHINE", tmp_path)
    settings = Settings(data_dir=tmp_path)
    pool, keys = JudgePool(settings, scripted), Keyring(settings.signing_key, tmp_path)
    records = RecordStore(settings.evaluations_dir)
    service = EvaluationService(settings, pool, records, "cuda:0", keys, more=("cuda:1",))

    async def three():
        # Each hangs until it is cancelled, so that both must be under way at the same time.
        requests = [
            EvaluationRequest(operator, named("hangs", f"def run(x, y): ...  # {n}\n"), Scope.FULL)
            for n in range(2)
        ]
        both, at_work = asyncio.Event(), []

        async def heard(done, total, message):
            if message == "built":
                at_work.append(message)
            if len(at_work) == 2:
                both.set()

        tasks = [asyncio.create_task(service.evaluate(r, 30, heard)) for r in requests]
        await both.wait()
        held = pool.queue_state(service.devices).held
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        pinned = EvaluationRequest(operator, named("fine"), Scope.FULL, devices=("cuda:1",))
        before = pool._judges["cuda:1"].pid
        passed = (await service.evaluate(pinned, 30)).evaluation
        after = pool._judges["cuda:1"].pid
        await pool.close()
        return passed, held, before == after

    passed, held, same_judge = asyncio.run(three())
    assert passed.status is Status.PASSED and held == 2 and same_judge


def keeping(service, keep):
    """The same service with what keeps trials."""
    settings, pool, records = service._settings, service._pool, service.records
    return EvaluationService(settings, pool, records, "cpu", service._keys, lambda *_: KNOWN, keep)


MADE = MadeBy(client="codex")


def test_what_was_judged_is_kept_before_the_verdict_is_told(service, operator):
    kept: list[tuple[str, str | None, str | None, MadeBy]] = []

    def keep(request: EvaluationRequest, evaluation: Evaluation) -> str:
        assert service.records.get(evaluation.evaluation_id) == evaluation
        assert threading.current_thread() is not threading.main_thread()
        name = evaluation.evaluation_id
        kept.append((name, request.started_from, request.plan, request.made_by))
        return ""

    made = keeping(service, keep)
    evaluation = asyncio.run(
        judged(made, operator, named("fine"), started_from="p", plan="q", made_by=MADE)
    )
    assert kept == [(evaluation.evaluation_id, "p", "q", MADE)]
    broken = asyncio.run(judged(made, operator, named("broken", "def run(x, y:\n  pass\n")))
    assert kept[1] == (broken.evaluation_id, None, None, NOBODY)


def test_what_makes_summaries_is_loaded_while_a_judge_is_at_work(service, operator, monkeypatch):
    loaded = threading.Event()
    found, load = service._pool.evaluate, service_module._statistics

    def loads() -> object:
        loaded.set()
        return load()

    async def evaluate(*arguments, **more):
        assert await asyncio.to_thread(loaded.wait, 30), "nothing is loaded yet"
        return await found(*arguments, **more)

    monkeypatch.setattr(service_module, "_statistics", loads)
    monkeypatch.setattr(service._pool, "evaluate", evaluate)
    assert asyncio.run(judged(service, operator, named("fine"))).status is Status.PASSED


def test_a_verdict_says_that_it_is_in_no_commit_until_it_is(service, operator):
    said = ["disk full", ""]
    made = keeping(service, lambda *_: said.pop(0))

    async def twice():
        request = EvaluationRequest(operator, named("fine"), Scope.FULL)
        found = [await made.evaluate(request, 30) for _ in range(2)]
        await made._pool.close()
        return found

    first, second = asyncio.run(twice())
    assert first.not_committed == "disk full" and second.not_committed == ""
    assert second.earlier and second.evaluation == first.evaluation


def test_a_git_that_hangs_delays_no_verdict(service, operator, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr("kernel_harness.tools.evaluation.service.TRIAL_PATIENCE_S", 0.05)
    made = keeping(service, lambda *_: str(release.wait(30)))

    async def once():
        request = EvaluationRequest(operator, named("fine"), Scope.FULL)
        found = await made.evaluate(request, 30)
        release.set()
        await made._pool.close()
        return found

    found = asyncio.run(once())
    assert found.evaluation.status is Status.PASSED and "had not ended" in found.not_committed


BOUNDS = TimeBounds(budget_s=20.0, timing_s=10.0, ends_after_s=120.0)
LATE = Failure(stage=Stage.CORRECTNESS, kind="timeout", message="It is late", remedy="Look.")
CUTS = [
    # status, timed, whether the same is answered from it: bounded, asked again, without bounds
    (Status.TIMEOUT, False, (True, False, False)),
    (Status.PARTIAL, True, (True, False, False)),
    (Status.PARTIAL, False, (False, False, False)),
    (Status.INTERRUPTED, True, (False, False, False)),
]


@pytest.mark.parametrize(("status", "timed", "answered"), CUTS)
def test_what_bounds_cut_before_is_an_answer_to_the_same_bounds(
    service, operator, status, timed, answered
):
    request = EvaluationRequest(operator, named("fine"), Scope.FULL, bounds=BOUNDS)
    first = asyncio.run(judged(service, operator, named("fine"), bounds=BOUNDS))
    path = service._settings.evaluations_dir / f"{first.evaluation_id}.json"
    results = [r.model_copy(update={"latency_us": 9.0 if timed else None}) for r in first.workloads]
    changes = {"status": status, "workloads": results, "signature": None}
    if status is Status.PARTIAL:
        changes["partial_reason"] = "one was not timed"
    else:
        changes |= {"failure": LATE, "stage": Stage.CORRECTNESS}
    cut = service._keys.signed(first.model_copy(update=changes))
    path.write_text(cut.model_dump_json())
    again = replace(request, bounds=replace(BOUNDS, again=True))
    found = [service.earlier(one) for one in (request, again, replace(request, bounds=None))]
    assert [one is not None for one in found] == list(answered)


def test_an_evaluation_under_way_is_found_by_what_asks_for_the_same(service, operator):
    request = EvaluationRequest(operator, named("slow"), Scope.FULL, bounds=BOUNDS)
    others = [
        replace(request, bounds=None),
        replace(request, solution=named("slow", "def run(x, y): ...\n")),
        replace(request, operator=replace(operator, workloads=operator.workloads[:2], digest="")),
    ]

    async def begun():
        early = (await service.evaluate(request, 0.05)).evaluation
        found = service.under_way(request), [service.under_way(other) for other in others]
        await service.get(early.evaluation_id, 30)
        ended = service.under_way(request)
        await service._pool.close()
        return early.evaluation_id, found, ended

    identity, (same, different), ended = asyncio.run(begun())
    assert same == identity and different == [None] * 3 and ended is None


def test_nobodys_program_is_in_no_commit_and_no_sample_is_drawn_by_it(
    service, operator, monkeypatch
):
    noted, kept = [], []
    made = keeping(service, lambda request, evaluation: kept.append(evaluation) or "")
    monkeypatch.setattr(made.latencies, "note", noted.append)
    asyncio.run(judged(made, operator, named("fine"), bounds=BOUNDS))
    assert not noted and not kept
    asyncio.run(judged(made, operator, named("fine")))
    assert len(noted) == len(kept) == 1
