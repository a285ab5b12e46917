"""A recorded call is replayed from files, warm, and only the last replay is in the range."""

from __future__ import annotations

from pathlib import Path

from kernel_harness.tools.messages.launch_plan import ARENA_BASE
from kernel_harness.tools.messages.profiler import (
    PlacedBytes,
    ReplayReply,
    ReplayRun,
    read_message,
    write_message,
)
from kernel_harness.tools.runner.profiled.run import FAILED, WARM_REPLAYS, carry_out, placed

from ...driver.fakes import FakeDriver, give, make_cubin
from ...messages.plans import plan_with_scratch

CUBIN = make_cubin(("first",), {"counter": 4})
VARIABLE = 0x7F0000000000


class RunnerDriver(FakeDriver):
    def _cuModuleGetGlobal_v2(self, address, size, *_):
        give(address, VARIABLE)
        give(size, 4)


def recorded(folder: Path, number: int = 0, inputs: bytes = b"x" * 96) -> Path:
    """One launch on two inputs and an output."""
    plan, blobs = plan_with_scratch(CUBIN)
    (folder / f"{number}.blobs").write_bytes(blobs)
    (folder / f"{number}.inputs").write_bytes(inputs)
    run = ReplayRun(
        device_index=0,
        plan=plan,
        blobs_file=f"{number}.blobs",
        arena_bytes=1 << 20,
        inputs=[
            PlacedBytes(address=ARENA_BASE, nbytes=64),
            PlacedBytes(address=ARENA_BASE + 4096, nbytes=32),
        ],
        inputs_file=f"{number}.inputs",
        outputs=[PlacedBytes(address=ARENA_BASE + 8192, nbytes=16)],
        answer_file=f"{number}.answer.json",
    )
    write_message(run, folder / f"{number}.json")
    return folder / f"{number}.json"


def answer(path: Path) -> ReplayReply:
    return read_message(ReplayReply, path.with_suffix(".answer.json"))


def test_only_the_last_replay_lies_in_the_range_and_nothing_else_does(tmp_path):
    driver, path = RunnerDriver(), recorded(tmp_path)
    assert carry_out([path], driver) == 0
    names = driver.names()
    begin, end = names.index("cuProfilerStart"), names.index("cuProfilerStop")
    assert names[:begin].count("cuLaunchKernelEx") == WARM_REPLAYS
    assert names[begin + 1 : end] == ["cuLaunchKernelEx", "cuCtxSynchronize"]
    assert "cuLaunchKernelEx" not in names[end:]
    assert answer(path).fault is None and set(answer(path).seconds) >= {"load", "call"}


def test_inputs_and_poison_come_anew_before_each_replay(tmp_path):
    driver = RunnerDriver()
    carry_out([recorded(tmp_path)], driver)
    brought = [a for n, a in driver.calls if n == "cuMemcpyHtoD_v2" and a[0] >= ARENA_BASE]
    filled = [a[0] for n, a in driver.calls if n == "cuMemsetD8Async"]
    replays = WARM_REPLAYS + 1
    in_arena = [a for a in brought if a[0] < VARIABLE]
    assert [(a[0], a[2]) for a in in_arena] == replays * [(ARENA_BASE, 64), (ARENA_BASE + 4096, 32)]
    assert filled.count(ARENA_BASE + 8192) == replays


def test_several_calls_share_one_context_and_one_arena(tmp_path):
    driver = RunnerDriver()
    paths = [recorded(tmp_path, n) for n in (0, 1)]
    assert carry_out(paths, driver) == 0
    names = driver.names()
    assert names.count("cuDevicePrimaryCtxRetain") == 1
    assert names.count("cuProfilerStart") == names.count("cuModuleUnload") == 2
    assert [answer(path).fault for path in paths] == [None, None]


def test_a_call_that_fails_is_named_and_the_ones_after_it_are_not_tried(tmp_path):
    driver = RunnerDriver({"cuLaunchKernelEx": 719})
    paths = [recorded(tmp_path, n) for n in (0, 1)]
    assert carry_out(paths, driver) == FAILED
    assert "cuLaunchKernelEx" in (answer(paths[0]).fault or "")
    assert not paths[1].with_suffix(".answer.json").exists()


def test_a_file_of_inputs_that_is_too_short_is_said(tmp_path):
    path = recorded(tmp_path, inputs=b"x" * 80)
    assert carry_out([path], RunnerDriver()) == FAILED
    assert "ends before its last tensor" in (answer(path).fault or "")


def test_a_large_input_is_brought_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("kernel_harness.tools.runner.profiled.run.PART_BYTES", 40)
    run = read_message(ReplayRun, recorded(tmp_path, inputs=bytes(range(96))))
    parts = list(placed(run, tmp_path / "0.inputs"))
    first, second, third = parts
    assert [address for address, _ in parts] == [ARENA_BASE, ARENA_BASE + 40, ARENA_BASE + 4096]
    assert first[1] + second[1] + third[1] == bytes(range(96))


def test_addresses_that_are_not_to_be_had_are_a_fault(tmp_path):
    driver, path = RunnerDriver(), recorded(tmp_path)
    driver.reserved_elsewhere = True
    assert carry_out([path], driver) == FAILED
    assert "was asked for" in (answer(path).fault or "")
