"""Evaluations a minute, waiting times and latencies with several clients, on one device and more.

    python benchmarks/many_devices.py --devices cuda:0 cuda:0,1 --clients 4 --seconds 45
    python benchmarks/many_devices.py --devices cuda:0 --clients 1 2 4 8 --seconds 8 10 18 36
    python benchmarks/many_devices.py --scripted 0.5 --devices cuda:0 cuda:0,1 --clients 1 2 4 8

Each client asks for one evaluation after another, as an agent that thinks for no time, each of
another program: the solution with a comment added, compared with itself (A/A). For each choice of
devices and number of clients it prints evaluations a minute, how long one waited for a device, how
evenly clients were served, the medians of latencies and of what the A/A comparison says, and where
the time of an evaluation went. Judges are up before the first course; when its time is over nothing
more is begun, and the rate is that until the last verdict. All clients ask at once at first, so
that waits are those of a full line only once each client was served.
`--servers` gives each client a server of its own, as stdio does.
With `--scripted SECONDS` judges run nothing and need no GPU: what is left is the harness's own.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from server_costs import costs

from kernel_harness.tools.evaluation import judge_process
from kernel_harness.tools.evaluation.plan import EvaluationRequest
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Evaluation, Status
from kernel_harness.tools.schema.flashinfer_trace import Solution
from kernel_harness.tools.settings import load_settings

DEFINITION = "gdn_decode_qk4_v8_d128_k_last"
NO_LIMIT_S = 3_600.0
READY = "ready\n"
COUNTED = ("served", "statuses", "used", "sealed")
console = Console(width=170)


@dataclass
class Course:
    """What clients saw of one choice of devices.

    Attributes:
        seconds: until the last verdict.
        waits: seconds from each request until a judge began with it.
        waiting: for how long those waited that no judge had begun with when the time was over.
        whole: seconds from each request to its verdict.
        served: by client, verdicts within the time.
        latencies: by workload, medians in microseconds.
        ratios: of candidate and baseline, which are the same program.
        parts: seconds by part of an evaluation.
        costs: of one evaluation to the server: processor time, and bytes that it leaves.
    """

    devices: str
    clients: int
    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    waiting: list[float] = field(default_factory=list)
    served: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    ratios: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    used: Counter[str] = field(default_factory=Counter)
    sealed: Counter[str] = field(default_factory=Counter)
    costs: dict[str, float] = field(default_factory=dict)

    @property
    def a_minute(self) -> float:
        """Evaluations that ended a minute."""
        return 60 * sum(self.served.values()) / self.seconds if self.seconds else 0.0

    def take(self, client: str, evaluation: Evaluation, waited_s: float, whole_s: float) -> None:
        """Notes one verdict."""
        self.waits.append(waited_s)
        self.whole.append(whole_s)
        self.served[client] += 1
        self.statuses[evaluation.status.value] += 1
        device = evaluation.evidence.device
        self.used[(device.uuid or device.name) if device else "none"] += 1
        for result in evaluation.workloads:
            if result.latency_us is not None:
                self.latencies[result.uuid].append(result.latency_us)
        if (sealing := evaluation.sealing) is not None:
            self.sealed[sealing.source.value] += 1
        if evaluation.totals.geometric_mean_ratio is not None:
            self.ratios.append(evaluation.totals.geometric_mean_ratio)
        for part, seconds in evaluation.evidence.seconds.items():
            self.parts[part].append(seconds)

    def add(self, other: Course) -> None:
        """Adds what the client of another server saw at the same time."""
        self.seconds = max(self.seconds, other.seconds)
        self.costs = other.costs
        for name in ("waits", "whole", "waiting", "ratios"):
            getattr(self, name).extend(getattr(other, name))
        for name in COUNTED:
            getattr(self, name).update(getattr(other, name))
        for name in ("latencies", "parts"):
            for key, values in getattr(other, name).items():
                getattr(self, name)[key].extend(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share lies; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def variations(solution: Solution) -> Iterator[Solution]:
    """The solution as programs that nobody judged yet."""
    for number in itertools.count():
        mark = f"\n# {time.time_ns()} {number}\n"
        sources = [s.model_copy(update={"content": s.content + mark}) for s in solution.sources]
        yield solution.model_copy(update={"sources": sources})


class Clients:
    """Clients of one server, each with one evaluation under way at any time."""

    def __init__(self, harness: Harness, choices: argparse.Namespace, course: Course) -> None:
        operator = harness.dataset.operator(choices.definition)
        self._solution = operator.solutions()[choices.solution]
        self._variations = variations(self._solution)
        self._harness, self._choices, self._course = harness, choices, course
        self._asked: dict[str, float] = {}
        self._begun: dict[str, float] = {}
        self._over = False

    async def run(self, names: Sequence[str], seconds: float) -> None:
        """Evaluates until the time is over; what a judge has begun with then ends, and counts."""
        self._over = False
        self._course.served.update(dict.fromkeys(names, 0))
        began, before = time.perf_counter(), costs(self._harness)
        tasks = {name: asyncio.create_task(self._client(name, began)) for name in names}
        await asyncio.wait(tasks.values(), timeout=seconds)
        self._over = True
        for name, task in tasks.items():
            if not task.done() and name not in self._begun:
                self._course.waiting.append(time.perf_counter() - self._asked[name])
                task.cancel()
        for problem in await asyncio.gather(*tasks.values(), return_exceptions=True):
            if isinstance(problem, Exception):
                raise problem
        count = sum(self._course.served.values()) or 1
        after = costs(self._harness)
        self._course.costs = {name: (after[name] - before[name]) / count for name in after}

    async def warm_up(self) -> None:
        """Evaluates once on each device, so that judges are up and kernels are compiled."""
        service, devices = self._harness.evaluations, self._harness.devices
        every = await asyncio.gather(
            *(service.evaluate(replace(self._request(), devices=(d,)), NO_LIMIT_S) for d in devices)
        )
        for device, found in zip(devices, every, strict=True):
            if (status := found.evaluation.status) is not Status.PASSED:
                failure = found.evaluation.failure
                said = failure.message if failure else "some workload failed"
                raise SystemExit(f"Nothing was measured: {device} says {status.value}: {said}")

    def _request(self) -> EvaluationRequest:
        """A program that nobody judged yet, beside itself."""
        request = self._harness.lookup.evaluation_request(
            solution=next(self._variations), scope=self._choices.scope, force=True
        )
        return replace(request, baseline=None if self._choices.alone else self._solution)

    async def _client(self, name: str, course_began: float) -> None:
        async def note(done: float, total: float, words: str) -> None:
            if not words.startswith("queued"):
                self._begun.setdefault(name, time.perf_counter())

        while not self._over:
            self._begun.pop(name, None)
            began = self._asked[name] = time.perf_counter()
            request = replace(self._request(), caller=name)
            service = self._harness.evaluations
            evaluation = (await service.evaluate(request, NO_LIMIT_S, note)).evaluation
            ended = time.perf_counter()
            waited = self._begun.get(name, ended) - began
            self._course.take(name, evaluation, waited, ended - began)
            self._course.seconds = ended - course_began


async def courses_of(
    choices: argparse.Namespace, devices: str, counts: Mapping[int, float]
) -> list[Course]:
    """One server with its judges up, and so many clients of it for so many seconds, in turns."""
    courses: list[Course] = []
    judge = judge_process.JUDGE_COMMAND
    if choices.scripted is not None:
        script = Path(__file__).with_name("scripted_judge.py")
        judge = (sys.executable, "-P", str(script), "--seconds", str(choices.scripted))
    with tempfile.TemporaryDirectory(prefix="kernel-harness-many-") as folder:
        settings = load_settings({"data_dir": choices.data_dir or folder, "device": devices})
        harness = Harness.open(settings, judge)
        try:
            for count, seconds in counts.items():
                course = Course(devices, count)
                clients = Clients(harness, choices, course)
                if not courses:
                    await clients.warm_up()
                if choices.client:
                    await asyncio.to_thread(_together)
                names = [choices.client] if choices.client else _names(count)
                await clients.run(names, seconds)
                courses.append(course)
                if not choices.client:
                    console.print(f"{devices}, {count} clients: {course.a_minute:.1f} a minute")
        finally:
            await harness.aclose()
    return courses


def _names(count: int) -> list[str]:
    return [f"agent {number}" for number in range(count)]


def of_servers(choices: argparse.Namespace, devices: str, count: int, seconds: float) -> Course:
    """As many servers at once, each with one client, in processes of their own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--only", devices]
    command += ["--of-client", str(seconds), "--client"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    servers = [subprocess.Popen([*command, f"agent {n}"], **pipes) for n in range(count)]
    for server in servers:
        if server.stdout is None or server.stdout.readline() != READY:
            raise SystemExit("A server did not come up.")
    for server in servers:
        assert server.stdin is not None
        server.stdin.write("\n")
        server.stdin.flush()
    course = Course(devices, count)
    for server in servers:
        found = json.loads(server.communicate()[0])
        counters = {name: Counter(found[name]) for name in COUNTED}
        lists = {name: defaultdict(list, found[name]) for name in ("latencies", "parts")}
        course.add(Course(**{**found, **counters, **lists}))
    return course


def _together() -> None:
    """Waits in a server of one client until all others are up."""
    sys.stdout.write(READY)
    sys.stdout.flush()
    sys.stdin.readline()


def show(courses: Sequence[Course]) -> None:
    """Prints the tables."""
    table = Table(title="Evaluations by devices and clients")
    columns = ("devices", "clients", "a minute", "of the first", "wait p50 s", "p99 s")
    columns += ("longest", "verdict p50 s", "p99 s", "least and most of a client", "statuses")
    for column in columns:
        table.add_column(column)
    first = {course.clients: course.a_minute for course in reversed(courses)}
    for course in courses:
        served = course.served.values()
        table.add_row(
            f"{course.devices} ({len(course.used)} used)",
            str(course.clients),
            f"{course.a_minute:.1f}",
            f"{course.a_minute / first[course.clients]:.2f}" if first[course.clients] else "",
            f"{percentile(course.waits, 0.5):.2f}",
            f"{percentile(course.waits, 0.99):.2f}",
            f"{max([*course.waits, *course.waiting], default=0.0):.2f}",
            f"{percentile(course.whole, 0.5):.2f}",
            f"{percentile(course.whole, 0.99):.2f}",
            f"{min(served, default=0)} to {max(served, default=0)}",
            " ".join(f"{w} {n}" for w, n in (course.statuses + course.sealed).items()),
        )
    console.print(table)
    _show_costs(courses)
    _show_times(courses)
    _show_parts(courses)


def _show_costs(courses: Sequence[Course]) -> None:
    table = Table(title="What one evaluation costs its server")
    names = list(courses[0].costs)
    for column in ("devices", "clients", *names):
        table.add_column(column)
    for course in courses:
        figures = [f"{course.costs.get(name, 0.0):,.3f}".rstrip("0").rstrip(".") for name in names]
        table.add_row(course.devices, str(course.clients), *figures)
    console.print(table)


def _show_times(courses: Sequence[Course]) -> None:
    table = Table(title="Medians of latencies, µs (difference to the first row), and A/A ratios")
    uuids = sorted({uuid for course in courses for uuid in course.latencies})
    for column in ("devices", "clients", *(uuid[:8] for uuid in uuids), "A/A p1", "p50", "p99"):
        table.add_column(column)
    base = {u: statistics.median(courses[0].latencies[u]) for u in courses[0].latencies}
    for course in courses:
        cells = []
        for uuid in uuids:
            median = statistics.median(course.latencies.get(uuid) or [0.0])
            change = f" ({median / base[uuid] - 1:+.2%})" if base.get(uuid) else ""
            cells.append(f"{median:.2f}{change}")
        ratios = [f"{percentile(course.ratios, share):.4f}" for share in (0.01, 0.5, 0.99)]
        table.add_row(course.devices, str(course.clients), *cells, *ratios)
    console.print(table)


def _show_parts(courses: Sequence[Course]) -> None:
    table = Table(title="Median seconds by part of an evaluation")
    table.add_column("part")
    for course in courses:
        table.add_column(f"{course.devices}, {course.clients} clients")
    for part in sorted({part for course in courses for part in course.parts}):
        medians = [statistics.median(c.parts[part]) if c.parts.get(part) else 0.0 for c in courses]
        table.add_row(part, *(f"{median:.3f}" for median in medians))
    console.print(table)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--devices", nargs="+", default=["cuda:0", "cuda:0,1"])
    parser.add_argument("--clients", type=int, nargs="+", default=[4])
    parser.add_argument(
        "--seconds", type=float, nargs="+", default=[45.0], help="of all, or of each of --clients"
    )
    parser.add_argument("--definition", default=DEFINITION)
    parser.add_argument("--solution", default="triton_baseline")
    parser.add_argument("--scope", default="sample")
    parser.add_argument("--alone", action="store_true", help="time without a baseline")
    parser.add_argument("--servers", action="store_true", help="each client has its own server")
    parser.add_argument("--scripted", type=float, metavar="SECONDS", help="judges that run nothing")
    parser.add_argument(
        "--share-processors", action="store_true", help="judges are not kept off each other's"
    )
    parser.add_argument("--data-dir", help="archive to write into; a new one each time if absent")
    parser.add_argument("--json", type=Path, help="write what was seen")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--of-client", type=float, help=argparse.SUPPRESS)
    choices = parser.parse_args()
    if choices.share_processors:
        judge_process.processors_of = lambda number, devices: []
    if len(choices.seconds) not in (1, len(choices.clients)):
        parser.error("--seconds takes one number, or one for each of --clients")
    each = choices.seconds * (1 if len(choices.seconds) > 1 else len(choices.clients))
    counts = dict(zip(choices.clients, each, strict=True))
    if choices.client:
        (found,) = asyncio.run(courses_of(choices, choices.only, {1: choices.of_client}))
        sys.stdout.write(f"{json.dumps(vars(found))}\n")
        return
    courses: list[Course] = []
    for devices in choices.devices:
        if choices.servers:
            courses += [of_servers(choices, devices, n, seconds) for n, seconds in counts.items()]
        else:
            courses += asyncio.run(courses_of(choices, devices, counts))
    show(courses)
    if choices.json:
        choices.json.write_text(json.dumps([vars(course) for course in courses]))


if __name__ == "__main__":
    main()
