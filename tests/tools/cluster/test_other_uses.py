"""What else judges of a cluster are asked: variants, code, checks of operators, profiles."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from kernel_harness.tools.cluster import node_profiling
from kernel_harness.tools.cluster.operator_files import write_below
from kernel_harness.tools.cluster.pool import ClusterPool
from kernel_harness.tools.cluster.profiling import ClusterProfiling
from kernel_harness.tools.cluster.remote import LostJudgeError
from kernel_harness.tools.errors import InfrastructureError
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.profiling.runs.profiles import NCU, Profile, WorkloadProfile
from kernel_harness.tools.profiling.service import ProfilingService
from kernel_harness.tools.progress import ignore_progress
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.settings import load_settings

from ...server.scripted import DEFINITION, solution, write_dataset
from .judges import LocalCluster, LocalJudge


@pytest.fixture
def on_cluster(tmp_path):
    """Runs something with a harness on a cluster of judges, by their names."""
    kernels = write_dataset(tmp_path / "kernels")
    settings = {"data_dir": str(tmp_path / "home"), "kernels_dir": str(kernels), "device": "cpu"}

    @asynccontextmanager
    async def opened(judges):
        harness = Harness.open(load_settings(settings | {"cluster": "auto"}, {}))
        cluster = LocalCluster(judges)
        vars(harness)["pool"] = ClusterPool(cluster)
        try:
            yield harness
        finally:
            await harness.aclose()
            for judge in judges.values():
                await judge.actor.close()

    def run(story, *names):
        judges = {name: LocalJudge(name, tmp_path) for name in names or ("ray:a/0",)}

        async def told():
            async with opened(judges) as harness:
                return await story(harness, judges)

        return asyncio.run(told())

    return run


def workspace(harness, name):
    """A workspace with a constant that can vary."""
    folder = harness.settings.workspaces_dir / name
    folder.mkdir(parents=True)
    (folder / "candidate.toml").write_text(
        f'name = "{name}"\ndefinition = "{DEFINITION}"\nlanguage = "python"\n'
        'entry_point = "kernel.py::run"\ndestination_passing_style = false\n'
    )
    (folder / "kernel.py").write_text("BLOCK = 64\n\n\ndef run(x, weight):\n    return x * BLOCK\n")
    return name


def test_variants_are_compiled_together_by_one_judge_that_is_held(on_cluster):
    async def story(harness, judges):
        name = workspace(harness, "mine")
        grid = {"tile": {"BLOCK": [8, 16, 32]}}
        request = harness.lookup.tuning_request(name, (), grid, scope="static")
        tuned = await harness.tuning.tune(request)
        again = await harness.evaluations.evaluate(
            harness.lookup.evaluation_request(solution=solution("fine"))
        )
        return tuned, again.evaluation, judges["ray:a/0"]

    tuned, after, judge = on_cluster(story)
    assert len(tuned.results) == 3
    assert all(result.evaluations for result in tuned.results)
    assert judge.methods.count("send") == 3 and judge.methods.count("release") == 1
    assert after.status is Status.PASSED


def test_a_node_checks_an_operator(on_cluster):
    async def story(harness, judges):
        return await harness.operator_problems(DEFINITION)

    assert on_cluster(story) == [f"{DEFINITION} is scripted"]


def test_code_that_a_node_compiled_lies_here(on_cluster):
    async def story(harness, judges):
        request = harness.lookup.evaluation_request(solution=solution())
        found = await harness.code.compiled(request.operator, request.solution, ignore_progress)
        return found.folder, sorted(path.name for path in found.folder.iterdir())

    folder, names = on_cluster(story)
    assert "home" in folder.parts and names == ["answer.json", "modules.json"]


def test_a_profile_of_a_node_lies_here_with_its_reports(on_cluster, monkeypatch):
    async def profile_ncu(self, operator, solution, *, workloads, **_):
        folder = self.settings.profiles_dir / "ncu-of-a-node"
        folder.mkdir(parents=True)
        (folder / "report.txt").write_text("memory bound")
        path = str(folder / "report.txt")
        facts = {"solution_name": solution.name, "definition": operator.name}
        done = [
            WorkloadProfile(uuid=u, axes=operator.workload(u).axes, tool=NCU, report_path=path)
            for u in workloads
        ]
        found = Profile(
            **facts,
            content_hash=solution.content_hash(),
            tool=NCU,
            workloads=done,
            report_paths=[path],
        )
        self._store().keep_latest(solution.content_hash(), "ncu-detailed", found)
        return found

    scripted = type("Scripted", (ProfilingService,), {"profile_ncu": profile_ncu})
    monkeypatch.setattr(node_profiling, "ProfilingService", scripted)

    async def story(harness, judges):
        request = harness.lookup.evaluation_request(solution=solution())
        profile = await harness.profiling.profile_ncu(request.operator, request.solution)
        return harness, profile, request.solution.content_hash()

    harness, profile, content = on_cluster(story)
    assert isinstance(harness.profiling, ClusterProfiling)
    assert len(profile.workloads) == 2, "the server chose those with the most time"
    (path,) = map(Path, profile.report_paths)
    assert path.is_relative_to(harness.settings.profiles_dir)
    assert path.read_text() == "memory bound"
    kept = harness.settings.profiles_dir / content / "ncu-detailed.json"
    assert Profile.model_validate_json(kept.read_bytes()) == profile


def test_a_node_without_a_gpu_says_so_of_each_tool(on_cluster):
    async def story(harness, judges):
        request = harness.lookup.evaluation_request(solution=solution())
        asked, service = (request.operator, request.solution), harness.profiling
        found = [await service.profile_timeline(*asked), await service.sanitize(*asked)]
        with pytest.raises(InfrastructureError, match="no GPU to calibrate"):
            await service.calibrate()
        return found

    timeline, report = on_cluster(story)
    assert timeline.tool == report.tool == "unavailable"
    assert "no GPU" in (timeline.reason or "") and "no GPU" in (report.reason or "")


def test_what_is_compared_stays_on_one_judge_and_is_not_begun_elsewhere(on_cluster):
    async def story(harness, judges):
        async with harness.pool.one_of(harness.devices) as pinned:
            pass
        ask = harness.lookup.evaluation_request
        first = [
            await harness.evaluations.evaluate(
                replace(ask(solution=solution("fine", f"return x  # {n}")), devices=(pinned,))
            )
            for n in range(3)
        ]
        judges[pinned].fails = LostJudgeError("its node is gone")
        lost = await harness.evaluations.evaluate(
            replace(ask(solution=solution("late", "return x  # 4")), devices=(pinned,))
        )
        return judges, pinned, [one.evaluation.status for one in first], lost.evaluation

    judges, pinned, first, lost = on_cluster(story, "ray:a/0", "ray:b/0")
    (other,) = (judge for name, judge in judges.items() if name != pinned)
    assert first == [Status.PASSED] * 3 and other.methods.count("begin") == 0
    assert lost.status is Status.INFRASTRUCTURE_ERROR
    assert lost.failure is not None and "stays on one" in lost.failure.message


def test_two_that_are_compared_within_keep_to_a_judge_each(on_cluster):
    async def story(harness, judges):
        names = [workspace(harness, name) for name in ("one", "other")]
        (harness.settings.workspaces_dir / "other/kernel.py").write_text(
            "BLOCK = 1\n\n\ndef run(x, weight):\n    return BLOCK * x\n"
        )
        grid = {"tile": {"BLOCK": [8, 16]}}
        requests = [harness.lookup.tuning_request(n, (), grid, scope="static") for n in names]
        await asyncio.gather(*(harness.tuning.tune(request) for request in requests))
        return [judge.methods.count("send") for judge in judges.values()]

    assert on_cluster(story, "ray:a/0", "ray:b/0") == [2, 2]


@pytest.mark.parametrize("name", ["../x", "profiles/../../x", "/x", "evaluations/ev-1.json"])
def test_files_of_a_node_come_to_where_profiles_are_and_nowhere_else(name, tmp_path):
    with pytest.raises(InfrastructureError, match="cannot be called"):
        write_below(tmp_path, {name: b""}, ("profiles", "calibration"))
    assert not list(tmp_path.iterdir())
