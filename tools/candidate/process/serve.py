"""The candidate process: enters the sandbox, then answers the judge until it says exit."""

from __future__ import annotations

import base64
import contextlib
import faulthandler
import json
import os
import random
import socket
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch

from ...confinement import syscalls
from ...errors import CapabilityError
from ...messages.candidate import (
    BuildRequest,
    Called,
    CallRequest,
    CandidateFault,
    Collect,
    Collected,
    Compiled,
    CompileRequest,
    DeviceFacts,
    Exit,
    MapArena,
    Mapped,
    Prepare,
    Prepared,
    Recorded,
    RecordRequest,
    Traced,
    TraceRequest,
    to_candidate,
)
from ...messages.frames import (
    CANDIDATE_FRAME_BYTES,
    EXCERPT_CHARACTERS,
    TRUSTED_FRAME_BYTES,
    Message,
    WireError,
)
from ...messages.launches import CallLaunches, CallTimes, WatchedLaunches
from ...messages.sockets import WireClosedError, close_all, recv_frame, send_frame
from ...messages.zygote import CACHE_FOLDERS, FETCHED_FOLDER, Spawn
from ..calls.caller import Caller
from ..calls.clock import Clock
from ..calls.cuda_clock import clock_for
from ..calls.shared_memory import MappedArena, map_arena
from ..calls.warm_up import warm_up
from ..compilation import toolchain
from ..compilation.builders import LoadedCandidate, build
from ..compilation.sources import Folders
from ..compile_only import dsl_kernels
from ..compile_only.code_texts import CodeTexts
from ..compile_only.inline_sources import collect_inline_sources
from ..compile_only.targets import TargetCompiler, real_architecture
from ..cpu import device_signs, kernel_libraries
from ..cpu.fake_device import (
    answer_for_cuda,
    interpret_unseen,
    take_first_configuration,
    use_fake_driver,
)
from ..cpu.fake_tensors import OnTheCpu
from ..recording.recorder import CallRecorder, start_recording
from ..sandbox.enter import candidate_confinement, enter
from .deployed import DeployedCalls
from .inspected import inspect
from .process_signs import ProcessSigns
from .recorded import record, watched_call
from .supervisor import Namespaces
from .traced import trace

NOT_READY = "Nothing was built, or no arena was mapped"
MOST_SIGNS = 8
TOO_LONG = "the answer would be too long"
Times = TypeVar("Times", bound=CallTimes)


def become_candidate(
    spawn: Spawn,
    control: int,
    log: int,
    report: int,
    builds: int,
    *,
    interpret: bool,
    made: Namespaces,
) -> NoReturn:
    """Body of the candidate process, called in a fresh fork; never returns."""
    status = 1
    try:
        os.setsid()
        _take_standard_streams(log)
        syscalls.close_descriptors_except({control, report, builds})
        private = Path(spawn.private_dir)
        environment = _environment(spawn, private)
        confinement = candidate_confinement(
            spawn,
            environment,
            user_namespace=made.users,
            own_processes=made.processes,
        )
        steps = enter(confinement)
        _forget_where_we_came_from()
        _set_environment(environment, private)
        if spawn.fake_device is not None:
            _fake(spawn.fake_device, private, interpret=interpret)
        words = {"granted": steps.granted, "missing": steps.missing}
        os.write(report, json.dumps(words).encode() + b"\n")
        os.close(report)
        CandidateServer(spawn, control, builds).serve()
        status = 0
    except WireClosedError:
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


class CandidateServer:
    """Answers requests: one frame in, one frame out."""

    def __init__(self, spawn: Spawn, control: int, builds: int) -> None:
        self._socket = socket.socket(fileno=control)
        self._build_cache: socket.socket | None = socket.socket(fileno=builds)
        self._cuda = spawn.cuda
        private = Path(spawn.private_dir)
        self._folders = Folders(
            private,
            self._fetch,
            self._publish,
            self._close_cache,
            kept=spawn.cache_dir is not None,
            faked=spawn.fake_device is not None,
        )
        self._arena: MappedArena | None = None
        self._clock: Clock | None = None
        self._candidate: LoadedCandidate | None = None
        self._caller: Caller | None = None
        self._deployed: DeployedCalls | None = None
        self._compiler: TargetCompiler | None = None
        self._recorder: CallRecorder | None = None
        self._not_recording = ""
        self._signs = ProcessSigns()

    def serve(self) -> None:
        """Answers until `Exit` or the end of the socket."""
        while True:
            message, fds = recv_frame(self._socket, to_candidate, TRUSTED_FRAME_BYTES)
            if isinstance(message, Exit):
                close_all(fds)
                return
            if isinstance(message, RecordRequest):
                close_all(fds)
                self._answer_with_file(*self._record(message))
            elif isinstance(message, TraceRequest):
                close_all(fds)
                self._answer_with_file(*self._trace(message))
            elif isinstance(message, CompileRequest) and message.code:
                close_all(fds)
                self._answer_with_file(*self._code(message))
            else:
                self._answer(self._handle(message, fds))

    def _handle(self, message: Message, fds: list[int]) -> Message:
        if isinstance(message, MapArena):
            if len(fds) != 1:
                raise WireError("MapArena came without its descriptor")
            self._arena = map_arena(message, fds[0])
            self._clock = self._clock or clock_for(self._arena.device)
            return Mapped()
        close_all(fds)
        if isinstance(message, Prepare):
            if self._cuda:
                self._prepare(message)
            return Prepared()
        if isinstance(message, BuildRequest):
            toolchain.allow(message.compile_s)
            with contextlib.nullcontext() if self._cuda else OnTheCpu():
                built, self._candidate = build(message, self._folders)
            self._compiler = None
            self._close_cache()
            return built
        if isinstance(message, CompileRequest):
            return self._compile(message)
        if isinstance(message, Collect):
            return self._caller.collect(rest=message.rest) if self._caller else Collected()
        assert isinstance(message, CallRequest)
        return self._call(message)

    def _prepare(self, request: Prepare) -> None:
        """Makes the context; before it, where calls are to be recorded, what must see it made."""
        self._not_recording = "The process was not started to record calls"
        if request.scratch_library:
            try:
                library = base64.b64decode(request.scratch_library)
                self._recorder = start_recording(library, self._folders.private)
            except (CapabilityError, OSError) as error:
                self._not_recording = f"Calls cannot be recorded here: {error}"
        self._clock = warm_up(request.device_index, light=self._recorder is not None)

    def _record(self, request: RecordRequest) -> tuple[Message, list[int]]:
        """The plan of a call, in a file beside the answer."""
        caller, recorder = self._calling(), self._recorder
        if caller is None or recorder is None or self._arena is None:
            reason = self._not_recording if caller else NOT_READY
            return Recorded(reason=reason[:EXCERPT_CHARACTERS]), []
        return record(caller, recorder, request, self._arena.device.index or 0)

    def _trace(self, request: TraceRequest) -> tuple[Message, list[int]]:
        """The trace of a call, in a file beside the answer."""
        caller = self._calling()
        if caller is None:
            return Traced(fault=_out_of_order(NOT_READY)), []
        answer = inspect if request.tensors else trace
        return answer(caller, request, self._folders.private)

    def _answer_with_file(self, answer: Message, fds: list[int]) -> None:
        try:
            send_frame(self._socket, answer, fds, limit=CANDIDATE_FRAME_BYTES)
        finally:
            close_all(fds)

    def _calling(self) -> Caller | None:
        if self._candidate is None or self._arena is None:
            return None
        self._caller = self._caller or Caller(self._candidate, self._arena, self._clock)
        return self._caller

    def _call(self, request: CallRequest) -> Called:
        caller = self._calling()
        if caller is None:
            return Called(fault=_out_of_order(NOT_READY))
        if request.way != "called":
            self._deployed = self._deployed or DeployedCalls(caller)
            return self._deployed.call(request)
        if request.watched and self._recorder is not None and self._candidate is not None:
            return watched_call(caller, self._recorder, request, self._candidate.kernel_names)
        called = caller.call(request)
        signs = self._signs.found(caller.source_dir)[:MOST_SIGNS]
        return called.model_copy(update={"signs": signs})

    def _code(self, request: CompileRequest) -> tuple[Message, list[int]]:
        """What is compiled, and its texts in a file beside the answer."""
        code = CodeTexts(self._folders.private)
        answer = fitted(self._compile(request, code))
        return answer, [code.written()]

    def _compile(self, request: CompileRequest, code: CodeTexts | None = None) -> Compiled:
        if self._candidate is None:
            return Compiled(fault=_out_of_order("Nothing was built"))
        toolchain.allow(request.compile_s)
        self._compiler = self._compiler or TargetCompiler(self._candidate, self._folders)
        return self._compiler.compile(request, self._arena, code)

    def _answer(self, message: Message) -> None:
        send_frame(self._socket, fitted(message), limit=CANDIDATE_FRAME_BYTES)

    def _fetch(self, key: str) -> Path | None:
        if self._build_cache is None or not self._ask_cache("fetch", key):
            return None
        if self._build_cache.recv(1) != b"1":
            return None
        return self._folders.private / FETCHED_FOLDER / key

    def _publish(self, key: str) -> None:
        self._ask_cache("publish", key)

    def _ask_cache(self, what: str, key: str) -> bool:
        line = json.dumps({"do": what, "key": key}).encode() + b"\n"
        with contextlib.suppress(OSError):
            if self._build_cache is not None:
                self._build_cache.sendall(line)
                return True
        return False

    def _close_cache(self) -> None:
        if self._build_cache is None:
            return
        with self._build_cache, contextlib.suppress(OSError):
            self._build_cache.shutdown(socket.SHUT_WR)
            # The supervisor closes its end when all is copied: code could still change the files.
            self._build_cache.recv(1)
        self._build_cache = None


def fitted(message: Message) -> Message:
    """The answer with lists shortened to fit a candidate's frame."""
    while len(message.model_dump_json()) > CANDIDATE_FRAME_BYTES - 64:
        if isinstance(message, Called) and message.activities:
            message = _halved(message)
        elif isinstance(message, Called) and message.watched and message.watched.launches:
            message = message.model_copy(update={"watched": WatchedLaunches(dropped_for=TOO_LONG)})
        elif isinstance(message, Called) and message.interpreted.launches:
            message = message.model_copy(update={"interpreted": CallLaunches(dropped_for=TOO_LONG)})
        elif isinstance(message, Collected) and any(t.activities for t in message.times):
            times = [_halved(times) for times in message.times]
            message = message.model_copy(update={"times": times})
        elif isinstance(message, Compiled) and any(c.launches for c in message.launches.values()):
            untold = dict.fromkeys(message.launches, CallLaunches(dropped_for=TOO_LONG))
            message = message.model_copy(update={"launches": untold})
        elif isinstance(message, Compiled) and message.kernels:
            message = message.model_copy(
                update={"kernels": message.kernels[: len(message.kernels) // 2]}
            )
        else:
            break
    return message


def _halved(times: Times) -> Times:
    kept = times.activities[: len(times.activities) // 2]
    dropped = times.dropped_activities + len(times.activities) - len(kept)
    return times.model_copy(update={"activities": kept, "dropped_activities": dropped})


def _out_of_order(words: str) -> CandidateFault:
    return CandidateFault(kind="out_of_order", message=words)


def _take_standard_streams(log: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout = open(1, "w", buffering=1, errors="replace", closefd=False)
    sys.stderr = open(2, "w", buffering=1, errors="replace", closefd=False)
    with contextlib.suppress(Exception):
        faulthandler.enable(file=2)


def _environment(spawn: Spawn, private: Path) -> dict[str, str]:
    environment = dict(spawn.environment)
    for name, folder in CACHE_FOLDERS.items():
        environment[name] = str(private / folder)
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    # Torch's compiler starts no pool of processes then, which the sandbox would refuse.
    environment["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    environment["USER"] = environment["LOGNAME"] = "candidate"
    return environment


def _set_environment(environment: dict[str, str], private: Path) -> None:
    for folder in CACHE_FOLDERS.values():
        (private / folder).mkdir(exist_ok=True)
    os.environ.clear()  # noqa: TID251 - the candidate's own environment, decided by the judge
    os.environ.update(environment)  # noqa: TID251 - the same
    os.chdir(private)
    tempfile.tempdir = None  # decided before, of the environment that this one replaces
    random.seed()
    torch.seed()
    threads = environment.get("OMP_NUM_THREADS", "")
    if threads.isdigit() and int(threads) > 0:
        torch.set_num_threads(int(threads))


def _fake(device: DeviceFacts, private: Path, *, interpret: bool) -> None:
    """Makes a fake device answer questions about the current device."""
    answer_for_cuda(device)
    if interpret:
        device_signs.watch()
    else:
        kernel_libraries.watch(refuse=False)
        collect_inline_sources()
        architecture = real_architecture(f"sm_{device.capability}")
        kept = dsl_kernels.environment(architecture, private)
        os.environ.update(kept)  # noqa: TID251 - the candidate's own environment
    with contextlib.suppress(ImportError):
        use_fake_driver(device)
        if interpret:
            interpret_unseen()
            take_first_configuration()


def _forget_where_we_came_from() -> None:
    """Removes the checkout from the import path; what this process needs of it is loaded."""
    outside = {"", str(Path.cwd()), str(Path(__file__).resolve().parents[3])}
    sys.path[:] = [entry for entry in sys.path if entry not in outside]
    sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in _name_of(f)]


def _name_of(finder: Any) -> str:
    name = getattr(finder, "__name__", type(finder).__name__)
    return f"{getattr(finder, '__module__', '')}.{name}"
