"""A runner answers the judge over its socket; the driver is a fake."""

import itertools
import os
import socket
import threading
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from kernel_harness.tools.errors import CapabilityError
from kernel_harness.tools.messages.launch_plan import (
    ARENA_BASE,
    COPIES_BASE,
    RESERVATION_BASE,
    ConstantCopy,
    DeviceCopy,
    VariableAddress,
)
from kernel_harness.tools.messages.runner import (
    Batch,
    BatchDone,
    LoadPlan,
    MapMemory,
    MemoryMapped,
    Move,
    PlanLoaded,
    Poison,
    Replay,
    ReplayCall,
    Replayed,
    ReplaysMade,
    Rotate,
    Rotated,
    RunnerFault,
    RunnerReady,
    Sustain,
    Sustained,
    from_runner,
)
from kernel_harness.tools.messages.sockets import recv_frame, send_frame
from kernel_harness.tools.runner import replayer
from kernel_harness.tools.runner.serve import RunnerServer

from ..driver.fakes import FakeDriver, give, make_cubin
from ..messages.plans import kernel, plan_of, plan_with_scratch

CUBIN = make_cubin(("first",), {"counter": 4})
MEBIBYTE = 1 << 20


class NoRecords:
    """CUPTI without a device."""

    counts: ClassVar[dict[str, int]] = {}

    def collect(self) -> list[Any]:
        return []

    def paused(self) -> Any:
        return nullcontext()


class RunnerDriver(FakeDriver):
    local_bytes = 0
    variable = 0x7F0000000000
    addresses: ClassVar[dict[str, int]] = {}

    def _cuFuncGetAttribute(self, value: Any, *rest: Any) -> None:
        give(value, self.local_bytes if rest[0].value == 3 else 0)

    def _cuModuleGetGlobal_v2(self, address: Any, size: Any, *rest: Any) -> None:
        give(address, self.addresses.get(rest[-1].decode(), self.variable))
        give(size, 4)


class Judge:
    def __init__(self, driver: FakeDriver) -> None:
        self.socket, theirs = socket.socketpair()
        server = RunnerServer(theirs, 0, driver)
        self.thread = threading.Thread(target=lambda: (server.serve(), theirs.close()), daemon=True)
        self.thread.start()

    def hear(self) -> Any:
        return recv_frame(self.socket, from_runner, timeout_s=10)[0]

    def ask(self, message: Any, fds: tuple[int, ...] = ()) -> Any:
        send_frame(self.socket, message, fds)
        heard = self.hear()
        if isinstance(message, Replay) and isinstance(heard, ReplaysMade):
            return self.hear()
        return heard

    def load(self, plan: Any = None, file: bytes = b"") -> Any:
        if plan is None:
            plan, file = plan_with_scratch(CUBIN)
        fd = os.memfd_create("plan")
        os.write(fd, file)
        return self.ask(LoadPlan(plan=plan), (fd,))


@pytest.fixture
def driver(monkeypatch):
    monkeypatch.setattr(replayer, "Cupti", SimpleNamespace)
    monkeypatch.setattr(replayer, "ActivityRecorder", lambda _: NoRecords())
    return RunnerDriver()


@pytest.fixture
def judge(driver):
    judge = Judge(driver)
    assert isinstance(judge.hear(), RunnerReady)
    yield judge
    judge.socket.close()
    judge.thread.join(10)


def test_a_runner_says_at_its_start_why_it_records_no_activity(driver, monkeypatch):
    def refused(_: Any) -> Any:
        raise CapabilityError("cuptiActivityEnable failed with CUPTI error 35")

    assert Judge(driver).hear() == RunnerReady()
    monkeypatch.setattr(replayer, "ActivityRecorder", refused)
    assert "CUPTI error 35" in Judge(driver).hear().clock_note


def launches(driver: FakeDriver) -> int:
    return driver.launched().count("first")


def test_a_plan_is_replayed_once_for_each_call(judge, driver):
    fd = os.memfd_create("arena")
    mapped = judge.ask(MapMemory(address=ARENA_BASE, nbytes=4 * MEBIBYTE), (fd,))
    assert mapped == MemoryMapped(address=ARENA_BASE)
    assert isinstance(judge.load(), PlanLoaded)
    call = ReplayCall(
        before=[Move(source=ARENA_BASE + MEBIBYTE, destination=ARENA_BASE, nbytes=64)],
        poison=[Poison(address=ARENA_BASE + 4096, nbytes=64, byte=0xA5)],
    )
    answer = judge.ask(Replay(calls=[call] * 3))
    assert isinstance(answer, Replayed)
    assert [t.events_ns for t in answer.times] == [5_000] * 3
    assert launches(driver) == 4, "one is a rehearsal, which nothing holds back"
    assert driver.names().count("cuStreamWaitValue32_v2") == 3


def test_that_the_device_is_at_rest_is_told_before_the_clocks_are_read(judge, monkeypatch):
    turns, heard = itertools.count(), threading.Event()

    def collect(_: Any) -> list[Any]:
        assert not next(turns) or heard.wait(10)
        return []

    judge.load()
    monkeypatch.setattr(NoRecords, "collect", collect)
    send_frame(judge.socket, Replay(calls=[ReplayCall()] * 2))
    assert isinstance(judge.hear(), ReplaysMade)
    heard.set()
    assert len(judge.hear().times) == 2


def test_each_call_has_its_own_flush(judge, driver):
    judge.load()
    judge.ask(Replay(calls=[ReplayCall()]))
    del driver.calls[:]
    judge.ask(Replay(calls=[ReplayCall(flush=flush) for flush in ("none", "read", "fill")]))
    assert driver.launched().count("read_buffer") == 1
    counters = driver.launched().count("scrub_shared") + driver.launched().count("scrub_local_1k")
    assert driver.names().count("cuMemsetD32Async") == counters + 1


def test_scratch_is_poisoned_and_restored_before_the_launch_and_the_flush(judge, driver):
    judge.load()
    judge.ask(Replay(calls=[ReplayCall()]))
    del driver.calls[:]
    judge.ask(Replay(calls=[ReplayCall()], scratch_byte=0x5A))
    names = driver.names()
    poison = names.index("cuMemsetD8Async")
    restored = [n for n, name in enumerate(names) if name == "cuMemcpyDtoDAsync_v2"]
    launch = len(names) - names[::-1].index("cuLaunchKernelEx") - 1
    flush = launch - names[:launch][::-1].index("cuMemsetD32Async") - 1
    assert driver.calls[poison][1][1] == 0x5A
    opening, closing = restored[2:]
    assert poison < restored[0] < restored[1] < flush < opening < launch < closing


def test_a_second_plan_takes_the_place_of_the_first(judge, driver):
    judge.load()
    judge.ask(Replay(calls=[ReplayCall()]))
    assert isinstance(judge.load(*plan_of(CUBIN)), PlanLoaded)
    names = driver.names()
    assert names.count("cuModuleUnload") == 1
    assert names.count("cuMemUnmap") == names.count("cuMemRelease") >= 1
    assert isinstance(judge.ask(Replay(calls=[ReplayCall()])), Replayed)


def test_memory_that_the_next_plan_wants_at_the_same_place_stays_and_is_poisoned(judge, driver):
    judge.load()
    judge.ask(Replay(calls=[ReplayCall()]))
    assert isinstance(judge.load(), PlanLoaded)
    assert "cuMemUnmap" not in driver.names() and driver.names().count("cuModuleUnload") == 1
    del driver.calls[:]
    judge.ask(Replay(calls=[ReplayCall()], scratch_byte=0x5A))
    fills = [given[1] for name, given in driver.calls if name == "cuMemsetD8Async"]
    assert fills and set(fills) == {0x5A}


def test_an_output_in_scratch_is_poisoned_after_the_scratch(judge, driver):
    judge.load()
    del driver.calls[:]
    place = Poison(address=RESERVATION_BASE, nbytes=64, byte=0xA5)
    judge.ask(Replay(calls=[ReplayCall(poison=[place])], scratch_byte=0x5A))
    fills = [given[1] for name, given in driver.calls if name == "cuMemsetD8Async"]
    assert fills.index(0x5A) < fills.index(0xA5)


def test_the_word_that_holds_launches_back_is_open_at_the_end(judge, driver):
    judge.load()
    judge.ask(Replay(calls=[ReplayCall()]))
    assert driver.words[0].value == 1


@pytest.mark.parametrize(("with_call", "launched"), [(True, 5), (False, 0)])
def test_a_batch_flushes_and_calls_as_often_as_asked(judge, driver, with_call, launched):
    judge.load()
    del driver.calls[:]
    assert isinstance(judge.ask(Batch(calls=5, with_call=with_call)), BatchDone)
    assert launches(driver) == launched
    assert driver.names().count("cuMemsetD32Async") == 5


def test_a_batch_in_a_graph_is_captured_once_and_launched_again_and_again(judge, driver):
    judge.load()
    for _ in range(2):
        done = judge.ask(Batch(calls=6, with_call=True, in_graph=3))
        assert done.by_graph and not done.note
    assert launches(driver) == 3, "captured, not run"
    assert driver.names().count("cuGraphLaunch") == 4
    captured = driver.names()
    captured = captured[captured.index("cuStreamBeginCapture_v2") :]
    captured = captured[: captured.index("cuStreamEndCapture")]
    assert "cuCtxResetPersistingL2Cache" not in captured, "it cannot be captured"
    judge.load()
    assert driver.names().count("cuGraphExecDestroy") == 1


def test_what_cannot_be_captured_is_enqueued_one_by_one_and_says_so(judge, driver):
    judge.load()
    driver.failing["cuStreamEndCapture"] = 901
    done = judge.ask(Batch(calls=6, with_call=True, in_graph=3))
    assert not done.by_graph and "901" in done.note
    assert launches(driver) == 3 + 6


def test_a_capture_that_fails_in_the_middle_is_ended(judge, driver):
    judge.load()
    driver.failing["cuMemsetD32Async"] = 900
    judge.ask(Batch(calls=2, with_call=False, in_graph=2))
    names = driver.names()
    assert names.index("cuStreamBeginCapture_v2") < names.index("cuStreamEndCapture")


def test_the_yardstick_is_timed_without_a_plan(judge, driver):
    answer = judge.ask(Replay(calls=[ReplayCall()] * 2, program="yardstick"))
    assert isinstance(answer, Replayed) and len(answer.times) == 2
    assert driver.launched().count("spin") == 3, "one is a rehearsal"
    assert isinstance(judge.ask(Batch(calls=2, with_call=True, program="yardstick")), BatchDone)
    assert driver.launched().count("spin") == 5


def test_shared_and_local_memory_are_overwritten_before_each_replay(judge, driver):
    judge.load()
    judge.ask(Replay(calls=[ReplayCall()] * 2))
    one = ["scrub_shared", "scrub_local_1k", "demote_lines", "first"]
    assert driver.launched() == one * 3


@pytest.mark.parametrize(
    ("local", "name"),
    [(2_000, "scrub_local_4k"), *((n, "scrub_local_16k") for n in (16_384, 16_385, 60_000))],
)
def test_as_much_local_memory_is_overwritten_as_a_kernel_has(judge, driver, local, name):
    driver.local_bytes = local
    loaded = judge.load()
    judge.ask(Replay(calls=[ReplayCall()]))
    assert name in driver.launched()
    assert bool(loaded.kept) == (local > 16_384)


def test_a_plan_whose_kernels_call_malloc_says_what_they_can_keep(judge):
    loaded = judge.load(*plan_of(make_cubin(calls=("malloc",))))
    assert "malloc" in loaded.kept


def test_a_flush_by_reading_writes_nothing(judge, driver):
    judge.load()
    judge.ask(Replay(calls=[ReplayCall(flush="read")]))
    assert driver.launched()[-2:] == ["read_buffer", "first"]


@pytest.mark.parametrize("flush", ["fill", "read", "none"])
def test_lines_that_persist_in_the_l2_are_reset_before_each_call(judge, driver, flush):
    judge.load()
    judge.ask(Replay(calls=[ReplayCall(flush=flush)] * 3))
    assert driver.names().count("cuCtxResetPersistingL2Cache") == 3


def test_calls_on_copies_have_their_addresses_moved_and_are_timed_as_a_whole(judge, driver):
    where = ARENA_BASE + 4096
    plan, file = plan_of(CUBIN, nodes=[kernel(parameters=where.to_bytes(8, "little").hex())])
    assert isinstance(judge.load(plan, file), PlanLoaded)
    stride = 1 << 20
    rotate = Rotate(
        nbytes=2 * stride,
        begin=ARENA_BASE,
        end=ARENA_BASE + 8192,
        offsets=[COPIES_BASE - ARENA_BASE + n * stride for n in range(2)],
    )
    assert judge.ask(rotate) == Rotated(changed=1)
    calls = [
        ReplayCall(poison=[Poison(address=COPIES_BASE + n * stride, nbytes=64, byte=1)])
        for n in range(2)
    ]
    found = judge.ask(Sustain(calls=calls))
    assert found == Sustained(events_ns=5_000)
    assert launches(driver) == 2, "captured"
    assert driver.names().count("cuGraphLaunch") == 1


def test_there_is_a_call_for_every_copy(judge):
    judge.load()
    assert isinstance(judge.ask(Sustain(calls=[ReplayCall()])), RunnerFault)
    assert isinstance(judge.ask(Batch(calls=1, with_call=True, program="copies")), RunnerFault)


def test_copies_do_not_lie_on_the_judge_s_memory(judge):
    fd = os.memfd_create("arena")
    judge.ask(MapMemory(address=COPIES_BASE, nbytes=4 * MEBIBYTE), (fd,))
    judge.load()
    rotate = Rotate(nbytes=64, begin=ARENA_BASE, end=ARENA_BASE, offsets=[1])
    assert "taken" in judge.ask(rotate).message


def test_a_copy_from_host_memory_carries_the_plan_s_bytes_and_is_not_held_back(judge, driver):
    copied = ConstantCopy(destination=ARENA_BASE, content=0)
    plan, file = plan_of(CUBIN, (b"\x05" * 96,), nodes=[copied, kernel()])
    assert isinstance(judge.load(plan, file), PlanLoaded)
    judge.ask(Replay(calls=[ReplayCall()]))
    (_, arguments), *_ = [c for c in driver.calls if c[0] == "cuMemcpyHtoDAsync_v2"]
    assert bytes(arguments[1]) == b"\x05" * 96 and arguments[2] == 96
    assert "cuStreamWaitValue32_v2" not in driver.names()


def test_a_copy_to_a_variable_goes_to_its_place_in_the_loaded_module(judge, driver):
    copied = DeviceCopy(source=ARENA_BASE, destination=0, width_bytes=2)
    place = VariableAddress(node=0, part="destination", module=0, name="counter", offset=2)
    judge.load(*plan_of(CUBIN, nodes=[copied, kernel()], variables=[place]))
    judge.ask(Replay(calls=[ReplayCall()]))
    copies = [given[:3] for name, given in driver.calls if name == "cuMemcpyDtoDAsync_v2"]
    assert (driver.variable + 2, ARENA_BASE, 2) in copies


def test_a_thousand_variables_side_by_side_are_restored_by_one_copy(judge, driver):
    names = [f"constant_{n}" for n in range(1_000)]
    cubin = make_cubin(("first",), dict.fromkeys(names, 4))
    driver.addresses = {name: driver.variable + 4 * n for n, name in enumerate(names)}
    plan, file = plan_of(cubin, nodes=[kernel()])
    assert isinstance(judge.load(plan, file), PlanLoaded)
    judge.ask(Replay(calls=[ReplayCall()]))
    copies = [given for name, given in driver.calls if name == "cuMemcpyDtoDAsync_v2"]
    restored = [nbytes for to, _, nbytes, *_ in copies if to in driver.addresses.values()]
    assert set(restored) == {4_000}


def test_a_variable_that_its_module_does_not_have_is_a_fault(judge, driver):
    driver.variable = 0
    place = VariableAddress(node=0, part="destination", module=0, name="counter")
    copied = DeviceCopy(source=ARENA_BASE, destination=0, width_bytes=2)
    plan, file = plan_of(CUBIN, nodes=[copied, kernel()], variables=[place])
    assert "not in its module" in judge.load(plan, file).message


@pytest.mark.parametrize(
    "request_",
    [
        Replay(calls=[ReplayCall()]),
        Batch(calls=1, with_call=True),
        MapMemory(address=ARENA_BASE, nbytes=512),
    ],
)
def test_a_request_out_of_order_is_a_fault_and_not_the_end(judge, request_):
    assert isinstance(judge.ask(request_), RunnerFault)
    assert isinstance(judge.load(), PlanLoaded)


def test_memory_that_is_not_mapped_is_neither_read_nor_written(judge, driver):
    judge.load()
    move = Move(source=ARENA_BASE, destination=0x7F0000000000, nbytes=64)
    fault = judge.ask(Replay(calls=[ReplayCall(after=[move])]))
    assert isinstance(fault, RunnerFault) and "not mapped" in fault.message
    assert launches(driver) == 0


def test_an_error_of_cuda_is_told_and_ends_the_runner(judge, driver):
    judge.load()
    driver.failing["cuLaunchKernelEx"] = 700
    fault = judge.ask(Replay(calls=[ReplayCall()]))
    assert isinstance(fault, RunnerFault) and "700" in fault.message
    judge.thread.join(10)
    assert not judge.thread.is_alive()


def test_a_runner_without_a_device_says_so_first(driver):
    driver.failing["cuInit"] = 100
    assert Judge(driver).hear().stage == "start"


def test_it_ends_with_the_judges_socket(judge):
    judge.socket.shutdown(socket.SHUT_WR)
    judge.thread.join(10)
    assert not judge.thread.is_alive()
