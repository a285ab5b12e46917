"""The services of one server work together, and what was never started ends at once."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.harness import Harness, made_once
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.dataset import Dataset
from tests.tools.evaluation.scripted_command import scripted_judge

from .profiling.test_service import solution
from .workloads.test_listing import operator


@pytest.fixture
def harness(tmp_path):
    settings = load_settings({"data_dir": str(tmp_path), "device": "cpu"})
    made = Harness(settings, Dataset({"double": operator(3)}, ()), scripted_judge())
    yield made
    made.kill_children()


@pytest.mark.parametrize("setting", ["targets", "static_targets"])
def test_a_target_that_nobody_knows_is_refused_at_the_start(tmp_path, setting):
    given = {"data_dir": str(tmp_path), "device": "cpu", setting: "B200,hoper"}
    with pytest.raises(RequestError, match=f"Setting '{setting}': Unknown target 'hoper'"):
        Harness.open(load_settings(given))
    Harness.open(load_settings({**given, setting: "H200, sm_100a"}))


def test_a_candidate_is_judged_and_its_record_is_found_again(harness):
    async def judge():
        request = harness.lookup.evaluation_request(solution=solution("fine"))
        evaluated = await harness.evaluations.evaluate(request)
        await harness.aclose()
        return evaluated

    evaluated = asyncio.run(judge())
    assert evaluated.evaluation.status is Status.PASSED
    assert evaluated.recognition.prior_run is None
    assert harness.records.get(evaluated.evaluation.evaluation_id) == evaluated.evaluation


def test_past_its_patience_the_answer_is_an_id_that_finds_the_record(harness):
    async def impatient():
        request = harness.lookup.evaluation_request(solution=solution("slow"))
        early = (await harness.evaluations.evaluate(request, 0.05)).evaluation
        late = (await harness.evaluations.get(f" {early.evaluation_id}\n", 30)).evaluation
        await harness.aclose()
        return early, late

    early, late = asyncio.run(impatient())
    assert early.status is Status.RUNNING and late.status is Status.PASSED
    assert early.evaluation_id == late.evaluation_id


def test_what_never_started_anything_ends_at_once(harness):
    asyncio.run(harness.aclose())


def test_a_part_that_several_threads_ask_for_at_once_is_made_once(harness):
    made = []

    class Machine:
        @made_once
        def part(self):
            made.append(object())
            if len(made) > 1:
                second.set()
            second.wait(timeout=0.2)  # as long as another thread could have come in meanwhile
            return made[0]

    second, machine = threading.Event(), Machine()
    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(lambda _: machine.part, range(4)))
    assert len(made) == len(found) == 1


def test_what_was_never_asked_for_is_not_made_to_be_ended(tmp_path):
    settings = load_settings({"data_dir": str(tmp_path), "device": "cpu"})
    opened = Harness(settings, Dataset({"double": operator(3)}, ()))
    opened.kill_children()
    asyncio.run(opened.aclose())
    assert not {"pool", "archive", "profiling"} & vars(opened).keys()
