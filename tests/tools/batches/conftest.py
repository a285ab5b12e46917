"""Two machines that are not connected, whose judges are scripted; each has a key of its own."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernel_harness.tools.batches.job import read_job
from kernel_harness.tools.batches.packing import BatchContents, pack
from kernel_harness.tools.batches.running import carry_out, write_results
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.progress import ignore_progress
from kernel_harness.tools.schema.flashinfer_trace import Solution
from kernel_harness.tools.settings import load_settings
from tests.tools.evaluation.scripted_command import scripted_judge

from ...server.scripted import DEFINITION, solution, write_dataset

Machine = Callable[..., Harness]


@contextlib.contextmanager
def machines(folder: Path) -> Iterator[Machine]:
    """Makes machines, or opens them again with other settings."""
    kernels = folder / "kernels"
    if not kernels.exists():
        write_dataset(kernels)
    opened: list[Harness] = []

    def made(name: str, **choices: object) -> Harness:
        settings = {
            "data_dir": str(folder / name),
            "signing_key": str(folder / name / "key"),
            "kernels_dir": str(kernels),
            "device": "cpu",
        }
        opened.append(Harness.open(load_settings(settings | choices, {}), scripted_judge()))
        return opened[-1]

    yield made
    for harness in opened:
        harness.kill_children()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with machines(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the job and the results of a sweep of two; one's reference is at fault."""
    folder = tmp_path_factory.mktemp("swept")
    for name in ("fine", "operator_faults"):
        write_solution(folder / "sweep", name, f"return x  # {name}")
    with machines(folder) as made:
        pack(made("packer"), BatchContents(folders=[folder / "sweep"]), folder / "job.tar")
        carried(made("away"), folder / "job.tar", folder / "results.tar")
    return folder


@pytest.fixture
def away(machine: Machine, swept: Path) -> Harness:
    """The machine that ran the sweep, with nothing in its archive."""
    return machine("away", signing_key=str(swept / "away/key"))


@pytest.fixture
def home(machine: Machine, away: Harness) -> Harness:
    """The machine that packs and merges; it trusts the other's key."""
    return machine("home", trusted_keys=f"{away.keys.public()} away")


def write_solution(folder: Path, name: str, body: str = "return x") -> Path:
    """A solution's folder, as a sweep holds several."""
    place = folder / name
    place.mkdir(parents=True)
    (place / "candidate.toml").write_text(
        f'name = "{name}"\ndefinition = "{DEFINITION}"\nlanguage = "python"\n'
        'entry_point = "kernel.py::run"\ndestination_passing_style = false\n'
    )
    (place / "kernel.py").write_text(f"def run(x, weight):\n    {body}\n")
    return place


def carried(away: Harness, job: Path, results: Path, seconds: float | None = None) -> list[str]:
    """Runs a job and writes its results; the names that have no verdict."""
    folder = results.parent / f"{results.name}.unpacked"
    folder.mkdir()
    asked = read_job(job, folder).job

    async def run() -> list[str]:
        done = await carry_out(away, asked, ignore_progress, seconds)
        write_results(away, asked, done, results)
        await away.aclose()
        return sorted(done.not_run)

    return asyncio.run(run())


@pytest.fixture
def results(swept: Path, tmp_path: Path) -> Path:
    """The results of the sweep, as a file of the test's own."""
    return Path(shutil.copyfile(swept / "results.tar", tmp_path / "results.tar"))


def given(name: str, body: str) -> Solution:
    """A solution as a client gives it."""
    return Solution.model_validate(solution(name, body))
