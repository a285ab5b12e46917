"""The processes of a timing: how many, what they are given, and what one that fails costs."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from kernel_harness.tools.judge.processes.cleanup import BASELINE_KERNELS
from kernel_harness.tools.judge.processes.lost import ProcessLost
from kernel_harness.tools.judge.processes.triton_cache import RaceKernels
from kernel_harness.tools.judge.timing.process_pairs import ProcessPairs
from kernel_harness.tools.messages import candidate as wire
from kernel_harness.tools.messages import judge as wire_judge
from kernel_harness.tools.schema.flashinfer_trace import Solution

from ....judging import make_plan, make_solution
from ..scripted import CASE, CPU, ScriptedSession, affine, honest, judged_call

OURS, THEIRS = "A" * 52, "B" * 52
"""Folders of compiled kernels, named as Triton names them."""
OTHER = "def run(x, w, table, alpha, y, row):\n    return None\n"
OWN = make_solution(OTHER + "#\n", definition="affine_n64")
"""The baseline in the operator's folder."""


@dataclass
class Context:
    """What the pairs ask of the judge's context."""

    cache_dir: Path
    device: torch.device = CPU
    race_kernels: Any = None


class Building(ScriptedSession):
    """A candidate that answers build and map in the order in which they were asked.

    Args:
        triton_cache: its folder of compiled kernels.
        built: its answer to the build.
    """

    def __init__(self, triton_cache: Path, built: Any = None) -> None:
        super().__init__(honest)
        self.triton_cache = triton_cache
        triton_cache.mkdir(parents=True)
        self._built = built or wire.Built()
        self.asked: list[str] = []

    def ask(self, message: Any, fds: Any = ()) -> None:
        self.asked.append(message.kind)
        super().ask(message, fds)

    def answer(self, kind: Any, timeout_s: float) -> Any:
        self._answer = self._built if kind is wire.Built else wire.Mapped()
        if isinstance(self._built, ProcessLost):
            self._answer = self._built
        return super().answer(kind, timeout_s)

    def compiled(self) -> set[str]:
        return {p.name for p in self.triton_cache.iterdir()}

    def compile(self, kernel: str) -> None:
        entry = self.triton_cache / kernel
        entry.mkdir()
        (entry / "kernel.cubin").write_bytes(b"elf")


class Timing:
    """Pairs over scripted processes.

    Args:
        baseline: the operator's own, another or none.
        own_baseline: whether the operator has a baseline of its own.
        fates: by number of the process, its answer to the build.
    """

    def __init__(
        self,
        folder: Path,
        *,
        baseline: Solution | None = OWN,
        own_baseline: bool = False,
        fates: dict[int, Any] | None = None,
        cache: Path | None = None,
        race: str = "",
        race_kernels: RaceKernels | None = None,
    ) -> None:
        self.folder, self._fates = folder, fates or {}
        self.started: list[tuple[bool, Building]] = []
        self.notes: list[tuple[str, str]] = []
        solution = make_solution(OTHER, definition="affine_n64")
        self.plan = make_plan(
            solution,
            baseline=baseline,
            checks=wire_judge.Checks(blocks=3),
            own_baseline_hash=OWN.content_hash() if own_baseline else None,
            race=race,
        )
        context: Any = Context(cache or folder / "cache", race_kernels=race_kernels)
        self.pairs = ProcessPairs(self.plan, context, affine(), random.Random(1), self._spawn)
        self.checked = Building(folder / "checked")

    def _spawn(self, baseline: bool) -> tuple[Building, wire.BuildRequest]:
        number = len(self.started)
        session = Building(self.folder / f"process-{number}", self._fates.get(number))
        self.started.append((baseline, session))
        request = wire.BuildRequest.of(
            self.plan.solution, content_hash="0", argument_count=4, output_count=2
        )
        return session, request

    def ready(self):
        call = judged_call(self.checked)
        return self.pairs.ready(call, lambda claim, words: self.notes.append((claim, words)))


def test_the_checked_process_is_one_of_the_candidates(tmp_path):
    timing = Timing(tmp_path)
    timing.pairs.start([CASE])
    assert [baseline for baseline, _ in timing.started] == [False, False, True, True, True]
    pairs = timing.ready()
    assert len(pairs) == 3 and pairs[0].candidate.session is timing.checked
    assert all(pair.baseline is not None for pair in pairs) and timing.notes == []


def test_without_a_baseline_candidates_are_alone(tmp_path):
    timing = Timing(tmp_path, baseline=None)
    timing.pairs.start([CASE])
    assert [baseline for baseline, _ in timing.started] == [False, False]
    assert [pair.baseline for pair in timing.ready()] == [None] * 3


def test_every_process_is_asked_to_build_and_to_map_before_any_is_waited_for(tmp_path):
    timing = Timing(tmp_path)
    timing.pairs.start([CASE])
    assert {tuple(session.asked) for _, session in timing.started} == {("build", "map")}


FAULTY = wire.Built(fault=wire.CandidateFault(kind="compile_error", message="no such header"))


@pytest.mark.parametrize(
    ("fate", "words"),
    [(FAULTY, "no such header"), (ProcessLost("crash", "It was killed.", -9), "It was killed.")],
)
@pytest.mark.parametrize(("number", "who"), [(1, "candidate"), (3, "baseline")])
def test_a_process_that_cannot_be_used_costs_its_pair_and_is_noted(
    tmp_path, fate, words, number, who
):
    timing = Timing(tmp_path, fates={number: fate})
    timing.pairs.start([CASE])
    pairs = timing.ready()
    assert len(pairs) == (2 if who == "candidate" else 3)
    assert sum(pair.baseline is not None for pair in pairs) == 2
    assert timing.started[number][1].closed
    assert timing.notes == [("processes", f"A fresh {who} process could not be used: {words}")]


def test_compiled_kernels_go_to_processes_of_the_same_sources_only(tmp_path):
    timing = Timing(tmp_path)
    timing.pairs.start([CASE])
    pairs = timing.ready()
    timing.checked.compile(OURS)
    baselines = [session for baseline, session in timing.started if baseline]
    baselines[0].compile(THEIRS)
    for pair in pairs:
        timing.pairs.share_compiled(pair)
    assert [s.compiled() for b, s in timing.started if not b] == [{OURS}] * 2
    assert [s.compiled() for s in baselines] == [{THEIRS}] * 3
    assert timing.checked.compiled() == {OURS}


def compiled_at_the_start_of_the_next(tmp_path, *, own: bool) -> set[tuple[bool | str, ...]]:
    """What a second trial's processes find: for each, whether of the baseline, and the kernels."""
    first = Timing(tmp_path / "first", own_baseline=own)
    first.pairs.start([CASE])
    first.ready()
    first.checked.compile(OURS)
    next(session for baseline, session in first.started if baseline).compile(THEIRS)
    next(session for baseline, session in first.started if not baseline).compile(OURS)
    first.pairs.close()
    (tmp_path / "second").mkdir()
    if (tmp_path / "first" / "cache").exists():
        (tmp_path / "first" / "cache").rename(tmp_path / "second" / "cache")
    second = Timing(tmp_path / "second", own_baseline=own)
    second.pairs.start([CASE])
    return {(b, *s.compiled()) for b, s in second.started}


def test_kernels_of_the_operator_s_own_baseline_are_there_for_the_next_trial(tmp_path):
    found = compiled_at_the_start_of_the_next(tmp_path, own=True)
    assert found == {(False,), (True, THEIRS)}


def test_nothing_that_an_agent_s_code_wrote_is_there_for_the_next_trial_of_it(tmp_path):
    assert compiled_at_the_start_of_the_next(tmp_path, own=False) == {(False,), (True,)}
    assert not (tmp_path / "second" / "cache" / BASELINE_KERNELS).exists()


def test_closing_ends_what_was_started_here_and_not_the_checked_process(tmp_path):
    timing = Timing(tmp_path)
    timing.pairs.start([CASE])
    timing.ready()
    timing.pairs.close()
    timing.pairs.close()
    assert all(session.closed for _, session in timing.started) and not timing.checked.closed


def test_processes_end_where_kernels_cannot_be_saved(tmp_path):
    timing = Timing(tmp_path, own_baseline=True)
    timing.pairs.start([CASE])
    timing.ready()
    (tmp_path / "cache").write_text("A full disk makes no folder, either.")
    timing.pairs.close()
    assert all(session.closed for _, session in timing.started)


def test_closing_before_anything_was_started_does_nothing(tmp_path):
    Timing(tmp_path).pairs.close()


LAUNCHER = "__triton_launcher.cpython-312-x86_64-linux-gnu.so"


def compile_baseline(timing: Timing) -> None:
    """Runs a timing whose baseline compiles a kernel and a launcher."""
    timing.pairs.start([CASE])
    timing.ready()
    compiled = next(session for baseline, session in timing.started if baseline)
    compiled.compile(THEIRS)
    compiled.compile(OURS)
    (compiled.triton_cache / OURS / "kernel.cubin").rename(compiled.triton_cache / OURS / LAUNCHER)
    timing.pairs.close()


@pytest.mark.parametrize("own", [True, False])
def test_a_candidate_is_given_the_launchers_of_the_operator_s_own_baseline_alone(tmp_path, own):
    timing = Timing(tmp_path, own_baseline=own)
    compile_baseline(timing)
    timing.pairs.give_kernels(timing.checked)
    assert timing.checked.compiled() == ({OURS} if own else set())
    assert not list(timing.checked.triton_cache.rglob("*.cubin"))


def test_a_candidate_that_is_timed_alone_is_given_them_too(tmp_path):
    compile_baseline(Timing(tmp_path, own_baseline=True))
    beside = {"own_baseline": True, "cache": tmp_path / "cache"}
    timing = Timing(tmp_path / "alone", baseline=None, **beside)
    timing.pairs.give_kernels(timing.checked)
    assert timing.checked.compiled() == {OURS}


def test_another_baseline_is_given_them_too_and_nothing_of_it_is_kept(tmp_path):
    compile_baseline(Timing(tmp_path, own_baseline=True))
    kept = sorted((tmp_path / "cache").rglob("*"))
    another = make_solution(OTHER + "##\n", definition="affine_n64")
    beside = {"own_baseline": True, "cache": tmp_path / "cache"}
    timing = Timing(tmp_path / "beside", baseline=another, **beside)
    timing.pairs.start([CASE])
    timing.ready()
    theirs = [session for baseline, session in timing.started if baseline]
    assert [session.compiled() for session in theirs] == [{OURS}] * 3
    assert not list(theirs[0].triton_cache.rglob("*.cubin"))
    theirs[0].compile(THEIRS)
    timing.pairs.close()
    assert sorted((tmp_path / "cache").rglob("*")) == kept


def raced(tmp_path: Path, *contents: str) -> RaceKernels:
    """What earlier runs of the race r compiled: of each of some contents a kernel."""
    kernels = RaceKernels(tmp_path / "raced")
    kernels.enter("r")
    for number, content in enumerate(contents):
        session = Building(tmp_path / f"raced-{number}")
        session.compile(THEIRS)
        kernels.keep("r", content, session.triton_cache)
    return kernels


CANDIDATE = make_solution(OTHER, definition="affine_n64").content_hash()


def test_in_a_race_both_programs_are_given_what_runs_of_their_sources_compiled(tmp_path):
    compile_baseline(Timing(tmp_path / "before", own_baseline=True, cache=tmp_path / "cache"))
    opponent = make_solution(OTHER + "##\n", definition="affine_n64")
    kernels = raced(tmp_path, CANDIDATE, opponent.content_hash())
    options = {"own_baseline": True, "cache": tmp_path / "cache", "race_kernels": kernels}
    for race, expected in (("r", {OURS, THEIRS}), ("", {OURS})):
        timing = Timing(tmp_path / f"beside{race}", baseline=opponent, race=race, **options)
        timing.pairs.give_kernels(timing.checked)
        timing.pairs.start([CASE])
        assert timing.checked.compiled() == expected
        assert [s.compiled() for b, s in timing.started if b] == [expected] * 3


@pytest.mark.parametrize("content", [OWN.content_hash(), CANDIDATE])
def test_nothing_that_a_race_compiled_is_kept_as_the_own_baseline_s(tmp_path, content):
    timing = Timing(tmp_path, own_baseline=True, race="r", race_kernels=raced(tmp_path, content))
    timing.pairs.start([CASE])
    timing.ready()
    opponent = next(session for baseline, session in timing.started if baseline)
    assert opponent.compiled() == ({THEIRS} if content == OWN.content_hash() else set())
    opponent.compile(OURS)
    timing.pairs.close()
    assert not (tmp_path / "cache" / BASELINE_KERNELS).exists()


def test_the_own_baseline_s_kernels_are_not_mixed_with_those_of_a_race(tmp_path):
    compile_baseline(Timing(tmp_path / "before", own_baseline=True, cache=tmp_path / "cache"))
    kept = sorted((tmp_path / "cache").rglob("*"))
    options = {"own_baseline": True, "cache": tmp_path / "cache"}
    timing = Timing(tmp_path / "race", race="r", race_kernels=raced(tmp_path), **options)
    timing.pairs.start([CASE])
    timing.ready()
    opponent = next(session for baseline, session in timing.started if baseline)
    assert opponent.compiled() == {OURS}, "the launchers, and no kernel of another folder"
    timing.pairs.close()
    assert sorted((tmp_path / "cache").rglob("*")) == kept
