"""Compiles a candidate for targets that need not be here, in a process of its own.

Runs while correctness is checked: it needs neither the device nor the results. The launches that it
captures are what those of the interpreter are compared with.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ...errors import HarnessError
from ...messages.candidate import (
    BuildRequest,
    Built,
    CandidateFault,
    Compiled,
    CompiledKernel,
    CompileRequest,
)
from ...messages.launches import CallLaunches
from ...schema.evaluation import Failure, Stage, StaticCheck, StaticKernel, Status
from ...schema.flashinfer_trace import Solution
from ...text import shorten
from ..calls.judged_call import CallOptions, JudgedCall
from ..operators.input_sets import InputSet
from ..operators.operator_adapter import Case
from ..processes import triton_cache
from ..processes.candidate_process import ProcessSession, request
from ..processes.device import device_facts
from ..processes.lost import EXCERPT_CHARACTERS, ProcessLost
from ..trial_parts import TrialParts
from .failures import build_failure, lost_failure
from .not_judged import REMEDIES

HOST = torch.device("cpu")
UNFINISHED = "it was not finished when the trial ended"
STOPPED_WAIT_S = 5.0
NOTE_CHARACTERS = 1_200
PYTHON_REASON = "a Python candidate has no kernels of its own to compile"


@dataclass(frozen=True)
class _Compiler:
    """One process that compiles, and the targets that it compiles for."""

    judged_call: JudgedCall
    targets: Sequence[str]


class StaticChecker:
    """Compiles one solution for targets, as it is called on each of some workloads, in a thread.

    Triton and Python have a process for each target, for host code asks for the device when it is
    imported, too; sources of CUDA C++ are compiled once.

    Args:
        targets: e.g. 'sm_90', 'sm_100'.
    """

    def __init__(
        self, parts: TrialParts, solution: Solution, build: BuildRequest, targets: Sequence[str]
    ) -> None:
        self._context = parts.context
        self._operator, self._source = parts.operator, parts.generator.book.source
        self._build = build
        self._language = solution.spec.language.value
        self._targets = list(targets)
        self._timeout_s = parts.plan.build_timeout_s
        self._race, self._content = parts.plan.race, parts.plan.content_hash
        self._cancellation = parts.cancellation
        self._sessions: list[ProcessSession] = []
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._kernels: dict[tuple[str, str], StaticKernel] = {}
        self._failures: dict[str, str] = {}
        self._notes: dict[str, None] = {}
        self._whole = True
        """Whether every call came to its end, so that all that it launches was compiled."""
        self.check = StaticCheck(status="unavailable", reason=UNFINISHED)
        self.launches: dict[str, dict[str, CallLaunches]] = {}
        """By target and workload."""
        self.failure: tuple[Status, Failure] | None = None
        self.fault: HarnessError | None = None
        """The failure of the harness that prevented the check, if any."""
        self.lacking: tuple[Status, Failure] | None = None
        """What this machine lacks for the check, if anything."""

    @property
    def running(self) -> bool:
        """Whether it compiles."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, cases: Sequence[Case], seeds: Mapping[str, int]) -> None:
        """Starts compiling.

        Args:
            cases: in the order in which they are compiled, while there is time.
            seeds: by workload, that of the inputs that kernels are specialised on.
        """
        self._context.start_compiler()
        self._thread = threading.Thread(target=self._run, args=[cases, seeds], daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> StaticCheck:
        """Waits for the result; unfinished when it is not there in time."""
        if self._thread is not None:
            self._thread.join(timeout=max(seconds, 0.0))
            if self._thread.is_alive():
                self.stop()
                self._thread.join(timeout=STOPPED_WAIT_S)
        return self.check

    def stop(self) -> None:
        """Ends the processes; the check stays unfinished."""
        self._stopped = True
        for session in self._sessions:
            session.close()

    def _run(self, cases: Sequence[Case], seeds: Mapping[str, int]) -> None:
        compilers: list[_Compiler] = []
        try:
            compilers += [self._started(targets) for targets in self._groups()]
            self.check = self._built(compilers) or self._compiled(compilers, cases, seeds)
        except HarnessError as error:
            self.fault = error
            self.check = StaticCheck(status="unavailable", reason=str(error)[:400])
        finally:
            kernels = self._context.race_kernels
            for session in self._sessions:  # for the race's first run of it
                kernels.keep(self._race, self._content, session.triton_cache)
            for compiler in compilers:
                compiler.judged_call.close()

    def _groups(self) -> list[list[str]]:
        """The targets of each process."""
        if self._language in ("cuda", "cpp"):
            return [self._targets]
        return [[target] for target in self._targets]

    def _started(self, targets: Sequence[str]) -> _Compiler:
        session = self._context.spawn_compiler(targets[0])
        self._sessions.append(session)
        self._cancellation.watch(session)
        judged_call = JudgedCall(
            session,
            self._operator.definition,
            HOST,
            random.Random(),
            by_destination=self._build.destination_passing_style,
        )
        session.ask(self._build)
        return _Compiler(judged_call, targets)

    def _built(self, compilers: Sequence[_Compiler]) -> StaticCheck | None:
        """Waits for every build; what ended one of them, if anything did."""
        for compiler in compilers:
            built = compiler.judged_call.session.answer(Built, self._timeout_s)
            if isinstance(built, ProcessLost):
                return self._lost(compiler.judged_call, built)
            if built.fault is None:
                continue
            if built.fault.kind in REMEDIES:
                return self._unavailable(built.fault)
            self.failure = build_failure(built.fault)
            return StaticCheck(status="failed", reason=shorten(built.fault.message, 600))
        return None

    def _compiled(
        self, compilers: Sequence[_Compiler], cases: Sequence[Case], seeds: Mapping[str, int]
    ) -> StaticCheck:
        deadline = time.monotonic() + self._timeout_s
        for position, case in enumerate(cases):
            if self._stopped or (position and time.monotonic() > deadline):
                words = f"No time was left for {len(cases) - position} of {len(cases)} workloads."
                self._notes[words] = None
                self._whole = False
                break
            inputs = self._operator.make_inputs(
                case, seeds[case.uuid], self._operator.families[0], HOST, self._source.generator
            )
            input_set = InputSet(case, "sample", seeds[case.uuid], inputs, {}, {})
            for compiler in compilers:
                ended = self._compiled_case(compiler, input_set)
                if ended is not None:
                    return ended
            if self._failures:
                break
        return self._whole_check()

    def _compiled_case(self, compiler: _Compiler, input_set: InputSet) -> StaticCheck | None:
        """Compiles what is launched on one input set; what ends the check, if anything does."""
        judged_call = compiler.judged_call
        lost = judged_call.map([input_set.case])
        if lost is not None:
            return self._lost(judged_call, lost)
        call = judged_call.request_for(
            input_set, judged_call.placed(input_set), CallOptions(late=False)
        )
        message = CompileRequest(
            targets={target: device_facts(target) for target in compiler.targets},
            arguments=call.arguments,
            outputs=call.outputs,
            compile_s=self._build.compile_s,
        )
        compiled = request(judged_call.session, message, Compiled, self._timeout_s)
        if isinstance(compiled, ProcessLost):
            return self._lost(judged_call, compiled)
        return self._taken(compiled, input_set.case.uuid)

    def _taken(self, compiled: Compiled, uuid: str) -> StaticCheck | None:
        """Adds what a process compiled; what ends the check, if anything does."""
        for target, launches in compiled.launches.items():
            self.launches.setdefault(target, {})[uuid] = launches
        for kernel in compiled.kernels:
            key = kernel.target, kernel.binary or kernel.name
            self._kernels.setdefault(key, static_kernel(kernel))
        for target, launches in compiled.launches.items():
            for launch in launches.launches:
                self._add_grids((target, launch.binary), uuid, [list(launch.grid)])
        for key in self._kernels:
            self._add_grids(key, uuid, compiled.grids.get(key[1], []))
        self._notes |= dict.fromkeys(compiled.notes)
        self._failures = dict(compiled.failures) | self._failures
        fault = compiled.fault
        self._whole = self._whole and fault is None and not compiled.notes
        if fault is None:
            return None
        if fault.kind in REMEDIES:
            return self._unavailable(fault)
        if fault.kind == "out_of_order":
            if self._language != "python":
                self._notes[shorten(fault.message, 600)] = None
            return None
        self.failure = build_failure(fault)
        return StaticCheck(status="failed", reason=shorten(fault.message, 600))

    def _add_grids(self, key: tuple[str, str], uuid: str, grids: Sequence[list[int]]) -> None:
        kernel = self._kernels.get(key)
        known = kernel.grids.get(uuid, []) if kernel else []
        new = [grid for grid in grids if grid not in known]
        if kernel is not None and new:
            update = {"grids": {**kernel.grids, uuid: [*known, *new]}}
            self._kernels[key] = kernel.model_copy(update=update)

    def _idle(self) -> str:
        """The kernels of CUDA sources that none of the workloads launches, in words."""
        kernels = self._kernels.values() if self._language in ("cuda", "cpp") else ()
        if not any(kernel.grids for kernel in kernels):
            return ""  # no call came to its launches
        idle = list(dict.fromkeys(kernel.name for kernel in kernels if not kernel.grids))
        return f"Launched on none of these workloads: {', '.join(idle[:6])}." if idle else ""

    def _whole_check(self) -> StaticCheck:
        notes = " ".join([*self._notes, self._idle()]).strip()
        reason = shorten(notes, NOTE_CHARACTERS) or None
        failures = {
            target: shorten(text, EXCERPT_CHARACTERS)
            for target, text in in_order(self._failures, self._targets)
        }
        if failures:
            self.failure = Status.COMPILE_ERROR, target_failure(failures)
        if not self._kernels and not failures:
            if self._language == "python":
                reason = reason or PYTHON_REASON
            return StaticCheck(status="unavailable", reason=reason)
        return StaticCheck(
            status="failed" if failures else "built",
            reason=reason,
            kernels=sorted(self._kernels.values(), key=self._place),
            failures=failures,
            machine_code=self._machine_code() if self._whole and not failures else "",
        )

    def _machine_code(self) -> str:
        """A hash of the code for all targets; empty where it cannot be told."""
        seed = self._context.triton_seed
        found = [triton_cache.machine_code(s.triton_cache, seed) for s in self._sessions]
        return hashlib.sha256(" ".join(found).encode()).hexdigest()[:32] if all(found) else ""

    def _place(self, kernel: StaticKernel) -> tuple[str, int, str]:
        """A sort key: by name, then in the order of the targets."""
        order = {target: place for place, target in enumerate(self._targets)}
        return kernel.name, order.get(kernel.target.rstrip("af"), len(order)), kernel.target

    def _unavailable(self, fault: CandidateFault) -> StaticCheck:
        self.lacking = build_failure(fault)
        return StaticCheck(status="unavailable", reason=shorten(fault.message, 600))

    def _lost(self, judged_call: JudgedCall, lost: ProcessLost) -> StaticCheck:
        if self._stopped:
            self._notes = {f"Not all workloads were compiled: {UNFINISHED}.": None} | self._notes
            self._whole = False
            return self._whole_check() if self._kernels else self.check
        self.failure = lost_failure(lost, Stage.COMPILE, None, judged_call.session.log())
        return StaticCheck(status="failed", reason=lost.detail)


def with_local(targets: Sequence[str], capability: str | None) -> list[str]:
    """The targets, and that of a device of this compute capability; no targets stay none."""
    local = f"sm_{capability.replace('.', '')}" if capability else None
    known = {target.rstrip("af") for target in targets}
    return [*targets, *([local] if local and known and local not in known else [])]


def in_order(failures: Mapping[str, str], targets: Sequence[str]) -> list[tuple[str, str]]:
    """Targets and compiler messages, in the order in which the targets were asked for."""
    order = {target: place for place, target in enumerate(targets)}
    return sorted(failures.items(), key=lambda item: (order.get(item[0], len(order)), item[0]))


def target_failure(failures: Mapping[str, str]) -> Failure:
    """The failure for targets that do not compile, each different message shown once.

    Args:
        failures: by target, the compiler's message, the place in its first line.
    """
    shown: dict[str, list[str]] = {}
    for target, text in failures.items():
        shown.setdefault(text, []).append(target)
    first = next(iter(shown)).partition("\n")[0]
    targets = " and ".join(failures)
    return Failure(
        stage=Stage.COMPILE,
        kind="compile_error",
        message=f"It does not compile for {targets}: {shorten(first, 400)}",
        remedy="Correct the line named, or give the target code of its own.",
        excerpt=shorten(
            "\n".join(f"{', '.join(t)}:\n{text}" for text, t in shown.items()), EXCERPT_CHARACTERS
        ),
    )


def static_kernel(kernel: CompiledKernel) -> StaticKernel:
    """A compiled kernel as in the record; its occupancy is computed later."""
    return StaticKernel(
        name=shorten(kernel.name, 500),
        target=shorten(kernel.target, 40),
        config=dict(kernel.config),
        registers=kernel.registers,
        shared_bytes=kernel.shared_bytes,
        stack_bytes=kernel.stack_bytes,
        spill_bytes=kernel.spill_bytes,
        threads=kernel.threads,
        instructions=dict(kernel.opcodes),
    )
