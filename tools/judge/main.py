"""The judge's process: reads requests from stdin, writes answers to its first stdout.

At start descriptor 1 is duplicated and replaced by stderr, so that nothing that prints can corrupt
the stream of frames. A thread reads, so that a cancellation takes effect while a trial runs in the
main thread. The zygote is started before torch is imported here: the two imports overlap.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .. import process_control
from ..errors import HarnessError, InfrastructureError
from ..messages.judge import (
    CheckOperator,
    CompileCode,
    Drained,
    EvaluatePlan,
    InspectCall,
    JudgeReport,
    Materialised,
    MaterialiseInputs,
    OperatorChecked,
    Ready,
    RecordCalls,
    Shutdown,
    TraceCalls,
)
from .processes.cleanup import TRITON_SEED, close_cache, evict_builds, remove_stale_folders
from .serving.channel import Channel, Inbox, fault

if TYPE_CHECKING:
    from .processes.context import JudgeContext
    from .trial import Trial

logger = logging.getLogger(__name__)
IDLE_S = 900.0
"""After this long without a request, prewarmed processes end and free the device's memory."""
SOON_S = 0.5
"""A trial that comes so soon after another is likely to be followed by one as soon."""


def main(arguments: list[str]) -> int:
    """Runs a judge until its server shuts it down or goes away."""
    began = time.monotonic()
    options = _options(arguments)
    incoming, outgoing = _take_streams()
    process_control.die_with_parent()
    process_control.forbid_dumps()
    if os.getppid() == 1:  # the server ended before the first of these took effect
        return 0
    logging.basicConfig(level=options.log_level, stream=sys.stderr)
    _keep_to(options.processors)
    channel, inbox = Channel(outgoing), Inbox(incoming)
    faulthandler.enable()  # to the log, where the server reads whose code ended the judge
    try:
        context = _open_context(options.device, options.cache, options.signing_key)
    except HarnessError as error:
        logger.error("%s", error)
        return 1
    try:
        context.begin()
        # A full collection takes a tenth of a second, and would fall between timed calls.
        gc.collect()
        gc.freeze()
        channel.send(_ready(context, time.monotonic() - began))
        _begin_others(context)
        threading.Thread(target=_remove_stale, daemon=True, name="tidy").start()
        _evict(options.cache)
        serve(context, channel, inbox)
    finally:
        context.close()
    return 0


def _begin_others(context: JudgeContext) -> None:
    """Starts what the first trial takes after its first process; a server waits for that one."""
    try:
        context.begin_own()
        context.begin_others()
    except (HarnessError, RuntimeError):  # the latter is torch's
        logger.exception("Processes for the first trial could not be started")


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
    parser.add_argument(
        "--processors", help="numbers, by comma: all that it and its children may use"
    )
    return parser.parse_args(arguments)


def _keep_to(processors: str | None) -> None:
    """Keeps this process, and all that it starts, to some processors."""
    if processors:
        try:
            os.sched_setaffinity(0, {int(number) for number in processors.split(",")})
        except OSError as error:  # a container may have lost some since
            logger.warning("Processors %s cannot be kept to: %s", processors, error)


def _take_streams() -> tuple[BinaryIO, BinaryIO]:
    """The server's ends; an operator's code that asks its standard input finds nothing there.

    It waited for ever for a lock that the thread holds which reads messages.
    """
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return incoming, outgoing


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
    seed = None if cpu else cache / TRITON_SEED
    options = SpawnOptions(cache, cuda=not cpu, triton_seed=seed, signing_key=signing_key)
    running = ZygoteHandle(options, interpret=cpu)
    if seed is not None:
        triton_cache.start_seed(seed, device_name)
    import torch

    from . import trial  # noqa: F401 - loaded while the zygote loads
    from .machine.nvml import memory_clock
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
        memory_mhz=memory_clock(device),
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
    unanswered, ended = None, -math.inf
    while True:
        message = unanswered or inbox.next(IDLE_S)
        unanswered, context.without_pause = None, time.monotonic() - ended < SOON_S
        if not isinstance(message, EvaluatePlan | Shutdown):
            context.drain()  # of the last trial; the next one waits itself, where it must
        match message:
            case None:
                context.end_prewarmed()
            case Shutdown():
                return
            case MaterialiseInputs():
                channel.send(_materialise(message, context))
            case CheckOperator():
                channel.send(_check_operator(message, context))
            case RecordCalls() | TraceCalls() | InspectCall() | CompileCode():
                from .profiled.answers import answer_of

                channel.send(answer_of(message, context))
                _drain(context, inbox.pending)
            case EvaluatePlan(side_by_side=True):
                from .serving.static_trials import StaticTrials

                unanswered = StaticTrials(context, channel, inbox).run(message)
            case EvaluatePlan():
                _evaluate_and_drain(message, context, channel, inbox)
                ended = time.monotonic()


def _evaluate_and_drain(
    plan: EvaluatePlan, context: JudgeContext, channel: Channel, inbox: Inbox
) -> None:
    """Carries a plan out, then makes ready for the next while no one waits."""
    from .operators.input_sets import prefetch_inputs

    trial = _evaluate(plan, context, channel, inbox)
    if trial is None:
        return
    prefetch_inputs(trial.generator, trial.cases, inbox.pending)
    del trial
    if not context.interpreted:
        _drain(context, partial(inbox.hurried, plan.evaluation_id))
    if not inbox.pending():
        _evict(context.cache_dir)
    if not context.interpreted:
        channel.send(Drained(evaluation_id=plan.evaluation_id))


def _drain(context: JudgeContext, hurried: Callable[[], bool]) -> None:
    """Waits for the trial's processes to end and prewarms those of the next."""
    try:
        context.drain(hurried)
        # A trial's objects refer to one another; what they hold of the device's memory goes here,
        # else where a trial finds little free.
        if not hurried():
            gc.collect()
        context.prewarm(hurried)
    except (HarnessError, OSError):  # the latter of too many open files, or a full disk
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
        inbox.ended(plan.evaluation_id)


def _materialise(message: MaterialiseInputs, context: JudgeContext) -> Materialised:
    from .operators.input_files import write_inputs

    try:
        write_inputs(message, context.device)
    except Exception as error:
        logger.exception("Inputs for %s could not be written", message.path)
        return Materialised(request_id=message.request_id, error=str(error)[:1000])
    return Materialised(request_id=message.request_id)


def _check_operator(message: CheckOperator, context: JudgeContext) -> OperatorChecked:
    from .operators.reference_check import check_operator

    return check_operator(message, context.device)
