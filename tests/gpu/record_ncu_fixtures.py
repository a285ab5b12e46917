"""Records what the profilers really say of our own kernels, small enough to keep as fixtures.

    python tests/gpu/record_ncu_fixtures.py OUTDIR

For each known kernel: the raw page as CSV, cut to the metrics that are read; the rules; the samples
of each instruction; a trace; the sanitizer's output for a faulty kernel. `times.json` holds the
wall time of our profile beside bare `ncu` with the same arguments on the same run, and
`machine.json` what was found here. Copy the rest to tests/fixtures/ncu.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import tempfile
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import anyio

from kernel_harness.tools.devices.environment import MachineTools, find_tools
from kernel_harness.tools.profiling.ncu.command import (
    ProfileSet,
    import_command,
    ncu_command,
    rules_command,
    source_command,
)
from kernel_harness.tools.profiling.ncu.counters import (
    NAMES,
    OCCUPANCY_LIMITS,
    SAMPLED_STALL,
    STALL,
)
from kernel_harness.tools.profiling.ncu.session import NcuSession
from kernel_harness.tools.profiling.runs.profile_store import ProfileStore
from kernel_harness.tools.profiling.runs.tool_run import ProfileRunner
from kernel_harness.tools.profiling.sanitizer.findings import SanitizerTool, sanitizer_command

LEAD = ("ID", "Kernel Name", "Block Size", "Grid Size", "Device", "CC")
READ = {name for names in NAMES.values() for name in names} | set(OCCUPANCY_LIMITS.values())
READ |= {f"launch__{kind}_dim_{axis}" for kind in ("grid", "block") for axis in "xyz"}
TIMEOUT_S = 300.0


def is_read(name: str) -> bool:
    """Whether a metric is one that the harness reads."""
    return name in READ or bool(STALL.fullmatch(name) or SAMPLED_STALL.fullmatch(name))


def trimmed_csv(text: str, keep=is_read) -> str:
    """A page with only the columns that are read."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith('"ID"'))
    rows = list(csv.reader(io.StringIO("\n".join(lines[start:]))))
    wanted = [i for i, name in enumerate(rows[0]) if name in LEAD or keep(name)]
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for row in rows:
        writer.writerow([row[i] for i in wanted if i < len(row)])
    return out.getvalue()


def trimmed_rules(text: str) -> str:
    """The rows of the details page that hold a rule."""
    kept = trimmed_csv(text, lambda name: name.startswith(("Rule", "Estimated")))
    rows = list(csv.reader(io.StringIO(kept)))
    at = rows[0].index("Rule Name") if "Rule Name" in rows[0] else None
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(rows[0])
    if at is not None:
        writer.writerows(row for row in rows[1:] if len(row) > at and row[at])
    return out.getvalue()


def trimmed_source(text: str) -> str:
    """The source page with only the columns that are read, and instructions' first words."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    wanted: list[int] = []
    for row in csv.reader(io.StringIO(text)):
        if "Address" in row and "Source" in row:
            named = ("Address", "Source", "Warp Stall", "# Samples", "stall_")
            wanted = [i for i, name in enumerate(row) if name.startswith(named)]
        if row:
            named = row[0] == "Kernel Name"
            writer.writerow(row if named else [row[i] for i in wanted if i < len(row)])
    return out.getvalue()


def trimmed_trace(text: str) -> str:
    """A trace's activities, annotations and runtime calls, without the rest."""
    categories = {"kernel", "gpu_memcpy", "gpu_memset", "user_annotation", "cuda_runtime"}
    categories |= {"cuda_driver", "gpu_user_annotation"}
    rows = [row for row in json.loads(text)["traceEvents"] if row.get("cat") in categories]
    return json.dumps({"traceEvents": rows[-60:]})


async def record(kernel, out: Path, scratch: Path, tools: MachineTools, times: dict) -> None:
    """Everything of one kernel."""
    runs, subject, workload = ProfileRunner("cuda:0"), kernel.subject(), kernel.workload(scratch)
    session = NcuSession(
        runs, ProfileStore(scratch, "record"), tools, ProfileSet.DETAILED, TIMEOUT_S
    )
    begin = time.monotonic()
    found = await session.profile(subject, workload)
    times[kernel.name] = {"ours_s": round(time.monotonic() - begin, 2)}
    print(kernel.name, kernel.bottleneck, "→", str(found)[:400], flush=True)  # noqa: T201
    assert tools.ncu.path is not None
    ncu = tools.ncu.path

    def wrap(folder: Path, target) -> list[str]:
        return ncu_command(ncu, ProfileSet.DETAILED, folder / "report.ncu-rep", target)

    keep = tools.admin_only and tools.administrator
    async with runs.run(
        subject, workload, "counters", wrap, timeout_s=TIMEOUT_S, keep_counters=keep
    ) as result:
        times[kernel.name]["launcher_and_ncu_s"] = round(result.finished.seconds, 2)
        (out / f"{kernel.name}.log").write_text(result.finished.output[-4000:])
        report = result.folder / "report.ncu-rep"
        if not report.is_file():
            return
        raw = await runs.execute(import_command(ncu, report, "raw"), timeout_s=60)
        (out / f"{kernel.name}.raw.csv").write_text(trimmed_csv(raw.output))
        rules = await runs.execute(rules_command(ncu, report), timeout_s=60)
        (out / f"{kernel.name}.rules.csv").write_text(trimmed_rules(rules.output))
        source = await runs.execute(source_command(ncu, report), timeout_s=60)
        (out / f"{kernel.name}.source.csv").write_text(trimmed_source(source.output))
        # The same run under bare ncu, by hand: no launcher, no reading, no diagnosis.
        bare = [sys.executable, "-m", "kernel_harness.tools.candidate.profiled.run"]
        command = ncu_command(
            ncu,
            ProfileSet.DETAILED,
            scratch / f"{kernel.name}.bare.ncu-rep",
            [*bare, str(result.folder / "request.json")],
        )
        times[kernel.name]["bare_ncu_s"] = round(
            (await runs.execute(command, timeout_s=TIMEOUT_S)).seconds, 2
        )


async def record_others(module, out: Path, scratch: Path, tools: MachineTools) -> None:
    """A trace of a call with a gap, and the sanitizer's words for a faulty kernel."""
    runs, chain = ProfileRunner("cuda:0"), module.known("chain_with_gap")
    async with runs.run(
        chain.subject(),
        chain.workload(scratch),
        "timeline",
        lambda folder, target: list(target),
        timeout_s=TIMEOUT_S,
    ) as result:
        trace = result.folder / "trace.json"
        if trace.is_file():
            (out / "chain_with_gap.trace.json").write_text(trimmed_trace(trace.read_text()))
    program = tools.compute_sanitizer.path
    for tool in SanitizerTool if program else ():
        async with runs.run(
            module.FAULTY.subject(),
            module.FAULTY.workload(scratch),
            "sanitizer",
            lambda folder, target, tool=tool: sanitizer_command(str(program), tool, target),
            timeout_s=TIMEOUT_S,
            warm_calls=0,
            variables={"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
        ) as result:
            words = result.finished.output.replace(str(result.folder), "/private")
            (out / f"out_of_bounds.{tool.value}.txt").write_text(words[:12000])


def known_kernels():
    """The module beside this file."""
    path = Path(__file__).with_name("known_kernels.py")
    spec = spec_from_file_location("known_kernels", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def record_all(out: Path, scratch: Path) -> None:
    """Records all of it."""
    module, tools, times = known_kernels(), find_tools(), {}
    found = [tool.model_dump() for tool in tools.listed]
    (out / "machine.json").write_text(json.dumps(found, indent=1))
    for kernel in module.KNOWN if tools.ncu.path else ():
        await record(kernel, out, scratch, tools, times)
        (out / "times.json").write_text(json.dumps(times, indent=1))
    await record_others(module, out, scratch, tools)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        anyio.run(record_all, folder, Path(temporary))
