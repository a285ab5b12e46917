"""What was interpreted is compared with what is compiled, and what is missing is interpreted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kernel_harness.tools.judge.checks.integrity import LAUNCHES
from kernel_harness.tools.judge.checks.launch_check import LaunchChecks, difference
from kernel_harness.tools.judge.operators.operator_adapter import Case
from kernel_harness.tools.messages.launches import CallLaunches, Launch

SMALL, LARGE = Case("small", {"n": 8}), Case("large", {"n": 64})


def launch(place: int = 0, *, block: int = 64, grid: int = 4, **changes: Any) -> Launch:
    return Launch(
        **{
            "kernel": "_add",
            "code": "ab",
            "place": place,
            "grid": [grid, 1, 1],
            "constants": {"BLOCK": f"int {block}"},
            "arguments": {"x": "*float32", "n": "int 256"},
            **changes,
        }
    )


def call(*launches: Launch, dropped_for: str = "") -> CallLaunches:
    return CallLaunches(launches=list(launches), dropped_for=dropped_for)


def test_equal_launches_do_not_differ():
    assert difference(call(launch(), launch(1)), call(launch(), launch(1))) is None
    assert difference(call(), call()) is None


@pytest.mark.parametrize(
    ("compiled", "words"),
    [
        (launch(kernel="_sub"), "it is of _add where interpreted, of _sub where compiled"),
        (launch(code="cd"), "its code differs"),
        (launch(grid=2), "its grid is [4, 1, 1] where interpreted, [2, 1, 1] where compiled"),
        (launch(block=32), "BLOCK is int 64 where interpreted, int 32 where compiled"),
        (launch(options={"num_warps": "int 8"}), "num_warps is absent where interpreted, int 8"),
        (launch(arguments={"x": "*float16", "n": "int 256"}), "x is *float32 where interpreted"),
        (launch(compiles=False), "does not compile"),
    ],
)
def test_a_difference_is_named(compiled, words):
    assert words in (difference(call(launch()), call(compiled)) or "")


def test_a_launch_too_many_or_too_few_is_named():
    assert "2 launches are interpreted, 1 compiled" in (
        difference(call(launch(), launch(1)), call(launch())) or ""
    )
    assert "0 launches are interpreted, 1 compiled" in (difference(call(), call(launch())) or "")


def test_what_host_code_does_by_torch_must_agree_but_for_later_calls():
    compiled = call(launch(before="1 operations (mul) ab"))
    assert difference(compiled, compiled) is None
    assert "before launch 1, _add, what host code does by torch is none where interpreted" in (
        difference(call(launch()), compiled) or ""
    )
    after = CallLaunches(launches=[launch()], after="2 operations (copy_, add) cd")
    assert "after the last launch what host code does by torch is 2 operations (copy_, add)" in (
        difference(after, call(launch())) or ""
    )
    assert "without a launch" in (difference(CallLaunches(after="1 operations"), call()) or "")
    assert difference(call(launch()), compiled, host=False) is None
    assert difference(after, call(launch()), host=False) is None


def test_any_configuration_of_an_autotuned_kernel_agrees():
    compiled = call(launch(choice=0), launch(choice=1, block=128, grid=2))
    assert difference(call(launch()), compiled) is None
    assert difference(call(launch(block=128, grid=2)), compiled) is None
    assert difference(call(launch(block=32)), compiled) is not None


class Checks:
    """Stands in for `Checking`: remembers what it was asked to interpret."""

    def __init__(self, launches: dict[str, CallLaunches], again: Any = None, left: bool = True):
        self.launches, self._again, self._left = launches, again, left
        self.records = {case.uuid: SimpleNamespace(case=case) for case in (SMALL, LARGE)}
        self.asked: list[tuple[str, int, str]] = []
        self.done: list[str] = []
        self.findings: list[Any] = []
        self.not_run: dict[str, str] = {}
        self.failed = None

    def has_time_for(self, record: Any, times: float) -> bool:
        return self._left

    def call_again(self, record: Any, options: Any, process: Any, words: str) -> Any:
        self.asked.append((record.case.uuid, options.configuration, words))
        return self._again


def run(checks: Checks, compiled: dict[str, Any], *, interpret: bool = True, failed=()) -> Checks:
    targets = ["sm_90", "sm_100"][: max(len(compiled), 1)]
    opened: list[str] = []
    LaunchChecks(
        checks,  # pyright: ignore[reportArgumentType]
        compiled,
        failed,
        targets,
        lambda target, case: opened.append(target) or SimpleNamespace(close=lambda: None),  # pyright: ignore[reportArgumentType]
    ).run([SMALL, LARGE], interpret=interpret)
    return checks


def both(of: CallLaunches) -> dict[str, CallLaunches]:
    return {"small": of, "large": of}


def test_launches_that_agree_everywhere_are_said_to_be_as_compiled():
    same = both(call(launch()))
    found = run(Checks(same), {"sm_90": same, "sm_100": same})
    assert found.done == [LAUNCHES] and not found.not_run and not found.asked


def test_a_difference_is_a_finding_and_leaves_the_check_not_run():
    found = run(Checks(both(call(launch()))), {"sm_90": both(call(launch(grid=2)))})
    assert found.findings[0].claim == LAUNCHES and not found.done
    assert "n=8, sm_90: launch 1, _add" in found.findings[0].message
    assert "its grid" in found.not_run[LAUNCHES]


@pytest.mark.parametrize(
    ("interpreted", "compiled", "words"),
    [
        (call(dropped_for="ValueError: no"), call(), "could not all be told: ValueError: no"),
        (call(), call(dropped_for="it ended"), "could not all be captured"),
    ],
)
def test_what_cannot_be_compared_is_no_finding_and_is_not_as_compiled(interpreted, compiled, words):
    found = run(Checks(both(interpreted)), {"sm_90": both(compiled)})
    assert words in found.not_run[LAUNCHES] and not found.findings and not found.done
    missing = run(Checks(both(call())), {"sm_90": {}})
    assert "not every workload was compiled" in missing.not_run[LAUNCHES]


def test_what_host_code_looks_at_is_a_finding_and_leaves_the_check_not_run():
    same = call(launch())
    looked = same.model_copy(update={"signs": ["looks at '/dev/nvidia0'", "starts 'ls'"]})
    found = run(Checks({"small": same, "large": looked}), {"sm_90": both(same)})
    (finding,) = found.findings
    assert finding.claim == LAUNCHES and not found.done
    assert "host code looks at '/dev/nvidia0', starts 'ls'" in finding.message
    assert finding.message.endswith("It cannot be verified without a GPU.")
    assert found.not_run[LAUNCHES] == "host code looks at '/dev/nvidia0'; host code starts 'ls'"


def test_each_configuration_is_interpreted_once_on_the_smallest_workload():
    compiled = both(call(launch(choice=0), launch(choice=1, block=128, grid=2)))
    again = call(launch(choice=1, block=128, grid=2))
    checks = run(Checks(both(call(launch(choice=0))), again), {"sm_90": compiled})
    assert [asked[:2] for asked in checks.asked] == [("small", 1)]
    assert checks.asked[0][2] == "As on sm_90, with configuration 2 of _add: "
    assert checks.done == [LAUNCHES]


def test_a_configuration_that_does_not_compile_is_not_interpreted():
    compiled = both(call(launch(choice=0), launch(choice=1, block=128, compiles=False)))
    checks = run(Checks(both(call(launch(choice=0)))), {"sm_90": compiled})
    assert not checks.asked and checks.done == [LAUNCHES]


def test_what_is_left_out_for_want_of_time_or_by_the_scope_is_told():
    compiled = both(call(launch(choice=0), launch(choice=1, block=128, grid=2)))
    interpreted = both(call(launch(choice=0)))
    late = run(Checks(interpreted, left=False), {"sm_90": compiled})
    assert "no time was left to interpret n=8 as on sm_90" in late.not_run[LAUNCHES]
    smoke = run(Checks(interpreted), {"sm_90": compiled}, interpret=False)
    assert "not every configuration and target" in smoke.not_run[LAUNCHES] and not smoke.asked


def test_what_another_target_launches_is_interpreted_as_on_it():
    mine, theirs = both(call(launch())), both(call(launch(grid=8)))
    checks = run(Checks(mine, call(launch(grid=8))), {"sm_90": mine, "sm_100": theirs})
    assert checks.asked == [("small", 0, "As on sm_100: ")] and checks.done == [LAUNCHES]
    other = run(Checks(mine, call(launch(grid=5))), {"sm_90": mine, "sm_100": theirs})
    assert "its grid is [5, 1, 1]" in other.not_run[LAUNCHES]


def test_a_target_that_it_does_not_compile_for_is_named():
    same = both(call(launch()))
    found = run(Checks(same), {"sm_90": same, "sm_100": {}}, failed={"sm_100"})
    assert found.not_run[LAUNCHES] == "it does not compile for sm_100"
