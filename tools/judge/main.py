"""The judge's process: reads requests from stdin, writes answers to its first stdout.

At start descriptor 1 is duplicated and replaced by stderr, so that nothing that prints can corrupt
the stream of frames. A thread reads, so that a cancellation takes effect while a trial runs in the
main thread. The zygote is started before torch is imported here: the two imports overlap.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import logging
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .. import process_control
from ..errors import DatasetError, HarnessError, InfrastructureError
from ..messages.frames import (
    TRUSTED_FRAME_BYTES,
    Message,
    WireError,
    decode,
    encode,
    frame_length,
    recv_exactly,
)
from ..messages.judge import (
    CallsRecorded,
    CallsTraced,
    Cancel,
    CheckOperator,
    Drained,
    EvaluatePlan,
    JudgeFault,
    JudgeReport,
    Materialised,
    MaterialiseInputs,
    OperatorChecked,
    Ready,
    RecordCalls,
    Shutdown,
    TraceCalls,
    to_judge,
)
from .processes.cleanup import close_cache, evict_builds, remove_stale_folders

if TYPE_CHECKING:
    from .processes.context import JudgeContext
    from .processes.progress import Cancellation
    from .trial import Trial

logger = logging.getLogger(__name__)
IDLE_S = 900.0
"""After this long without a request, prewarmed processes end and free the device's memory."""


class Channel:
    """Writes messages as frames; safe from several threads."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Writes one message; ends this process when the server is gone."""
        frame = encode(message)
        with self._lock:
            try:
                self._stream.write(frame)
                self._stream.flush()
            except (BrokenPipeError, ValueError):
                os.kill(os.getpid(), signal.SIGTERM)


class Inbox:
    """Reads messages in a thread of its own and queues them; a `Cancel` takes effect at once."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._queue: queue.Queue[Message] = queue.Queue()
        self._lock = threading.Lock()
        self._running: tuple[str, Cancellation] | None = None
        self._cancelled: set[str] = set()
        threading.Thread(target=self._read, daemon=True, name="inbox").start()

    def next(self, patience_s: float | None = None) -> Message | None:
        """Waits for the next request; None when none came in time."""
        with contextlib.suppress(queue.Empty):
            return self._queue.get(timeout=patience_s)
        return None

    def pending(self) -> bool:
        """Whether a request is queued."""
        return not self._queue.empty()

    def running(self, evaluation_id: str, cancellation: Cancellation) -> None:
        """Registers the running trial, so that it can be cancelled."""
        with self._lock:
            self._running = (evaluation_id, cancellation)
            stop = evaluation_id in self._cancelled
        if stop:
            cancellation.cancel()

    def idle(self) -> None:
        """Says that no trial runs any more."""
        with self._lock:
            self._running = None
            self._cancelled.clear()

    def _read(self) -> None:
        try:
            while header := recv_exactly(self._stream.read, 4):
                length = frame_length(header, TRUSTED_FRAME_BYTES)
                message = decode(to_judge, recv_exactly(self._stream.read, length))
                if isinstance(message, Cancel):
                    self._cancel(message.evaluation_id)
                else:
                    self._queue.put(message)
        except WireError:
            logger.exception("The server's stream cannot be read")
        self._cancel(None)
        self._queue.put(Shutdown())

    def _cancel(self, evaluation_id: str | None) -> None:
        with self._lock:
            if evaluation_id is not None:
                self._cancelled.add(evaluation_id)
            running = self._running
        if running is not None and evaluation_id in (None, running[0]):
            running[1].cancel()


def main(arguments: list[str]) -> int:
    """Runs a judge until its server shuts it down or goes away."""
    began = time.monotonic()
    options = _options(arguments)
    outgoing = _take_streams()
    process_control.die_with_parent()
    process_control.forbid_dumps()
    if os.getppid() == 1:  # the server ended before the first of these took effect
        return 0
    logging.basicConfig(level=options.log_level, stream=sys.stderr)
    channel, inbox = Channel(outgoing), Inbox(sys.stdin.buffer)
    faulthandler.enable()  # to the log, where the server reads whose code ended the judge
    try:
        context = _open_context(options.device, options.cache, options.signing_key)
    except HarnessError as error:
        logger.error("%s", error)
        return 1
    try:
        context.prewarm(wait=False)
        # A full collection takes a tenth of a second, and would fall between timed calls.
        gc.collect()
        gc.freeze()
        channel.send(_ready(context, time.monotonic() - began))
        threading.Thread(target=_remove_stale, daemon=True, name="tidy").start()
        _evict(options.cache)
        serve(context, channel, inbox)
    finally:
        context.close()
    return 0


def _remove_stale() -> None:
    """Removes the folders of dead judges."""
    try:
        remove_stale_folders()
    except OSError:
        logger.exception("Old folders could not be removed")


def _evict(cache: Path) -> None:
    """Holds the build cache to its bound."""
    try:
        evict_builds(cache)
    except OSError:
        logger.exception("Old builds could not be removed")


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="kernel_harness.tools.judge")
    parser.add_argument("--device", default="cpu", help="'cpu' or 'cuda:N'")
    parser.add_argument("--cache", type=Path, required=True, help="folder of finished builds")
    parser.add_argument("--signing-key", type=Path, help="a file that no candidate may read")
    parser.add_argument("--log-level", default="WARNING")
    return parser.parse_args(arguments)


def _take_streams() -> BinaryIO:
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return outgoing


def _open_context(device_name: str, cache: Path, signing_key: Path | None) -> JudgeContext:
    from .processes import triton_cache
    from .processes.candidate_process import SpawnOptions, ZygoteHandle

    cpu = device_name == "cpu"
    try:
        close_cache(cache)
    except OSError as error:
        raise InfrastructureError(
            f"The cache folder cannot be made: {error.strerror}", where=str(cache)
        ) from error
    seed = None if cpu else cache / "triton-seed"
    options = SpawnOptions(cache, cuda=not cpu, triton_seed=seed, signing_key=signing_key)
    running = ZygoteHandle(options, interpret=cpu)
    if seed is not None:
        triton_cache.start_seed(seed, device_name)
    import torch

    from . import trial  # noqa: F401 - loaded while the zygote loads
    from .processes import device as device_facts
    from .processes.context import NO_GPU, JudgeContext, scratch_library

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    device = torch.device(device_name)
    library, not_sealed = ("", NO_GPU) if cpu else scratch_library(cache)
    return JudgeContext(
        device=device,
        cache_dir=cache,
        signing_key=signing_key,
        running=running,
        info=device_facts.device_info(device),
        versions=device_facts.versions(device),
        arch=device_facts.cuda_arch(device),
        memory_mhz=device_facts.memory_clock(device),
        not_sealed=not_sealed,
        scratch_library=library,
    )


def _ready(context: JudgeContext, seconds: float) -> Ready:
    return Ready(
        device=context.info.model_dump(mode="json"),
        versions=context.versions,
        isolation=context.probe().model_dump(mode="json"),
        seconds=round(seconds, 3),
    )


def serve(context: JudgeContext, channel: Channel, inbox: Inbox) -> None:
    """Answers requests until the server has none left."""
    from .operators.input_sets import prefetch_inputs

    while True:
        message = inbox.next(IDLE_S)
        if message is None:
            context.end_prewarmed()
        if isinstance(message, Shutdown):
            return
        if isinstance(message, MaterialiseInputs | CheckOperator):
            inputs = isinstance(message, MaterialiseInputs)
            answer = _materialise(message, context) if inputs else _check_operator(message, context)
            channel.send(answer)
            continue
        if isinstance(message, RecordCalls):
            channel.send(_record(message, context))
            _drain(context)
            continue
        if isinstance(message, TraceCalls):
            channel.send(_trace(message, context))
            _drain(context)
            continue
        if isinstance(message, EvaluatePlan):
            trial = _evaluate(message, context, channel, inbox)
            if trial is None:
                continue
            prefetch_inputs(trial.generator, trial.cases, inbox.pending)
            del trial
            if not context.interpreted:
                _drain(context)
            if not inbox.pending():
                _evict(context.cache_dir)
            if not context.interpreted:
                channel.send(Drained(evaluation_id=message.evaluation_id))


def _drain(context: JudgeContext) -> None:
    """Waits for the trial's processes to end and prewarms those of the next."""
    try:
        context.drain()
        # A trial's objects refer to one another; what they hold of the device's memory goes here.
        gc.collect()
        context.prewarm()
    except HarnessError:
        logger.exception("Processes for the next trial could not be started")


def _evaluate(
    plan: EvaluatePlan, context: JudgeContext, channel: Channel, inbox: Inbox
) -> Trial | None:
    from .processes.progress import Cancellation, Reporter
    from .trial import Trial

    cancellation = Cancellation()
    reporter = Reporter(channel.send, plan.evaluation_id)
    inbox.running(plan.evaluation_id, cancellation)
    try:
        with reporter.ticking():
            trial = Trial(plan, context, reporter, cancellation)
            evaluation = trial.run()
        channel.send(
            JudgeReport(
                evaluation_id=plan.evaluation_id,
                evaluation=evaluation.model_dump(mode="json"),
                draining=not context.interpreted,
            )
        )
        return trial
    except Exception as error:
        if not cancellation.requested:
            logger.exception("Trial %s failed", plan.evaluation_id)
        channel.send(fault(plan.evaluation_id, error, cancelled=cancellation.requested))
        return None
    finally:
        inbox.idle()


def fault(evaluation_id: str, error: Exception, *, cancelled: bool) -> JudgeFault:
    """The message for a failure of the harness or of the operator, not of the candidate."""
    if cancelled:
        return JudgeFault(
            evaluation_id=evaluation_id,
            what="The evaluation was cancelled",
            remedy="Evaluate again when you want its result.",
        )
    if isinstance(error, HarnessError):
        return JudgeFault(
            evaluation_id=evaluation_id,
            of_dataset=isinstance(error, DatasetError),
            what=error.what,
            where=error.where,
            remedy=error.remedy,
        )
    if isinstance(error, OSError):
        return JudgeFault(
            evaluation_id=evaluation_id,
            what=f"The system refused: {error.strerror or error}",
            where=str(error.filename or ""),
            remedy="Free disk space, memory or processes and evaluate again.",
        )
    return JudgeFault(
        evaluation_id=evaluation_id,
        what=f"The judge failed: {type(error).__name__}: {str(error)[:400]}",
        where="tools.judge",
        remedy="This is a fault of the harness; its log has the traceback.",
    )


def _materialise(message: MaterialiseInputs, context: JudgeContext) -> Materialised:
    from .operators.input_files import write_inputs

    try:
        write_inputs(message, context.device)
    except Exception as error:
        logger.exception("Inputs for %s could not be written", message.path)
        return Materialised(request_id=message.request_id, error=str(error)[:1000])
    return Materialised(request_id=message.request_id)


def _check_operator(message: CheckOperator, context: JudgeContext) -> OperatorChecked:
    from .operators.reference_check import problems_of

    return OperatorChecked(
        request_id=message.request_id, problems=problems_of(message, context.device)
    )


def _record(message: RecordCalls, context: JudgeContext) -> CallsRecorded:
    from .profiled.recorded_calls import not_recorded, record_calls

    try:
        context.drain()
        return record_calls(message, context)
    except Exception as error:
        logger.exception("Calls could not be recorded")
        return not_recorded(message, str(error))


def _trace(message: TraceCalls, context: JudgeContext) -> CallsTraced:
    from .profiled.traced_calls import not_traced, trace_calls

    try:
        context.drain()
        return trace_calls(message, context)
    except Exception as error:
        logger.exception("Calls could not be traced")
        return not_traced(message, str(error))
