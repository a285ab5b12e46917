"""Whether the launches that were interpreted are those that each target would run.

Without a GPU a candidate's launches are described twice: where they are interpreted and judged, and
where they are compiled for a target. Both must agree; what a target would launch otherwise, and
further configurations of autotuned kernels, are interpreted as well, on the smallest workload that
has them. Where that cannot be done, the record says that what was judged is not what was compiled.

The descriptions come from the candidate's process: they show what honest code does, and raise the
price of a lie.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from ...messages.launches import CallLaunches, Launch
from ...schema.evaluation import Finding, Severity
from ...text import shorten
from ..calls.judged_call import CallOptions, JudgedCall
from ..operators.operator_adapter import Case
from ..processes.lost import ProcessLost
from . import integrity
from .workload_checks import Checking

WORDS_CHARACTERS = 400
SECONDS_ALLOWANCE = 2.0
"""How many times as long as before a call may be expected to take."""


def difference(
    interpreted: CallLaunches, compiled: CallLaunches, *, host: bool = True
) -> str | None:
    """How the launches of a call differ from those that a target would run; None when they agree.

    A launch agrees with any configuration of an autotuned kernel.

    Args:
        host: whether what host code did by torch before and after them must agree as well.
    """
    places: dict[int, list[Launch]] = {}
    for launch in compiled.launches:
        places.setdefault(launch.place, []).append(launch)
    due = [places[place] for place in sorted(places)]
    for number, (launch, choices) in enumerate(
        zip(interpreted.launches, due, strict=False), start=1
    ):
        alike = [choice for choice in choices if _content(launch) == _content(choice)]
        if alike and not any(one.compiles or one.choice is not None for one in alike):
            return f"launch {number}, {launch.kernel}, does not compile"
        if not alike:
            return f"launch {number}, {_differing(launch, choices)}"
        if host and launch.before not in {choice.before for choice in choices}:
            words = _host_words(launch.before, choices[0].before)
            return f"before launch {number}, {launch.kernel}, {words}"
    if len(interpreted.launches) != len(due):
        words = f"{len(interpreted.launches)} launches are interpreted, {len(due)} compiled"
        longer = (
            interpreted.launches if len(interpreted.launches) > len(due) else [c[0] for c in due]
        )
        first = longer[min(len(interpreted.launches), len(due))]
        return f"{words}; the first that only one of them has is of {first.kernel}"
    if host and interpreted.after != compiled.after:
        where = "after the last launch" if due else "without a launch"
        return f"{where} {_host_words(interpreted.after, compiled.after)}"
    return None


def _host_words(interpreted: str, compiled: str) -> str:
    return _both("what host code does by torch", interpreted or "none", compiled or "none")


def _content(launch: Launch) -> tuple[object, ...]:
    return launch.variant, tuple(launch.grid), tuple(sorted(launch.arguments.items()))


def _differing(launch: Launch, choices: Sequence[Launch]) -> str:
    """The first thing by which a launch differs from the configuration that is most like it."""

    def unlike(choice: Launch) -> list[str]:
        if launch.kernel != choice.kernel:
            return [
                f"it is of {launch.kernel} where interpreted, of {choice.kernel} where compiled"
            ]
        parts = [] if launch.code == choice.code else ["its code differs"]
        if launch.grid != choice.grid:
            parts.append(_both("its grid", launch.grid, choice.grid))
        for name in ("constants", "options", "arguments"):
            one, other = getattr(launch, name), getattr(choice, name)
            parts += [
                _both(key, one.get(key, "absent"), other.get(key, "absent"))
                for key in sorted({*one, *other})
                if one.get(key) != other.get(key)
            ]
        return parts

    nearest = min((unlike(choice) for choice in choices), key=len)
    return f"{launch.kernel}: {'; '.join(nearest[:3])}"


def _both(what: str, interpreted: object, compiled: object) -> str:
    return f"{what} is {interpreted} where interpreted, {compiled} where compiled"


@dataclass(frozen=True)
class _Gap:
    """What a target would launch on a workload, and was not interpreted."""

    target: str
    case: Case
    choice: int


class LaunchChecks:
    """Compares launches on every workload that passed, then interprets what is missing.

    Args:
        checking: the checks that have run, whose candidate passed; failures go into its records.
        compiled: by target and workload, what compiling captured.
        failed: targets that it does not compile for.
        targets: the first is that of the device which the candidate found.
        opened: starts a process of the candidate as on a target, mapped for a case.
        signs: what the text of its host code names that shows whether a GPU is there.
    """

    def __init__(
        self,
        checking: Checking,
        compiled: Mapping[str, Mapping[str, CallLaunches]],
        failed: Collection[str],
        targets: Sequence[str],
        opened: Callable[[str, Case], JudgedCall | ProcessLost],
        signs: Sequence[str] = (),
    ) -> None:
        self._checking = checking
        self._compiled = compiled
        self._targets = [target for target in targets if target not in failed]
        self._opened = opened
        self._first = next(iter(targets), "")
        self._seen: set[tuple[object, ...]] = set()
        self._processes: dict[str, JudgedCall] = {}
        self._differences: dict[str, None] = {}
        self._signs = dict.fromkeys(signs)
        self._unknown = {f"it does not compile for {target}": None for target in sorted(failed)}

    def run(self, cases: Sequence[Case], *, interpret: bool) -> None:
        """Compares the launches of the cases, cheapest first.

        Args:
            interpret: whether what was not interpreted is interpreted now.
        """
        try:
            gaps = self._gaps(cases)
            left = [gap for gap in gaps if not (gap.choice and self._covered(gap))]
            if left and not interpret:
                words = "not every configuration and target was interpreted at this scope"
                self._unknown[words] = None
            for gap in gaps if interpret else ():
                if self._checking.failed is None and not (gap.choice and self._covered(gap)):
                    self._interpret(gap)
        finally:
            for process in self._processes.values():
                process.close()
        if self._checking.failed is None:
            self._conclude()

    def _conclude(self) -> None:
        checking = self._checking
        checking.findings += _launch_findings(list(self._differences))
        checking.findings += _sign_findings(list(self._signs))
        looked = [f"host code {sign}" for sign in self._signs]
        reasons = [*self._differences, *looked, *self._unknown]
        if reasons:
            checking.not_run[integrity.LAUNCHES] = shorten("; ".join(reasons), WORDS_CHARACTERS)
        else:
            checking.done.append(integrity.LAUNCHES)

    def _gaps(self, cases: Sequence[Case]) -> list[_Gap]:
        """What is to be interpreted yet; what differs where it should not is noted."""
        gaps: list[_Gap] = []
        alike: set[tuple[object, ...]] = set()
        for case in cases:
            interpreted = self._checking.launches.get(case.uuid)
            self._signs |= dict.fromkeys(interpreted.signs if interpreted else ())
            for target in self._targets:
                compiled = self._compiled.get(target, {}).get(case.uuid)
                why = _incomparable(interpreted, compiled, target)
                if why is not None or interpreted is None or compiled is None:
                    self._unknown[why or ""] = None
                    continue
                found = difference(interpreted, compiled)
                if found is None:
                    self._seen |= {launch.variant for launch in interpreted.launches}
                elif target == self._first:
                    self._differences[f"{_sizes(case)}, {target}: {found}"] = None
                    continue
                elif (key := _kind(target, compiled)) not in alike:
                    alike.add(key)
                    gaps.append(_Gap(target, case, 0))
        for case in cases:
            for target in self._targets:
                compiled = self._compiled.get(target, {}).get(case.uuid, CallLaunches())
                choices = {one.choice or 0 for one in compiled.launches if one.compiles}
                gaps += [_Gap(target, case, choice) for choice in sorted(choices - {0})]
        return gaps

    def _covered(self, gap: _Gap) -> bool:
        """Whether all that the gap would interpret was interpreted before."""
        compiled = self._compiled[gap.target][gap.case.uuid]
        chosen = [launch for launch in compiled.launches if launch.choice in (None, gap.choice)]
        return bool(chosen) and all(one.variant in self._seen for one in chosen)

    def _interpret(self, gap: _Gap) -> None:
        checking, record = self._checking, self._checking.records[gap.case.uuid]
        words = f"{_sizes(gap.case)} as on {gap.target}, configuration {gap.choice + 1}"
        if not checking.has_time_for(record, SECONDS_ALLOWANCE):
            self._unknown[f"no time was left to interpret {words}"] = None
            return
        process = self._process(gap)
        if isinstance(process, ProcessLost):
            self._unknown[f"no process could be started for {words}: {process.detail}"] = None
            return
        options = CallOptions(configuration=gap.choice)
        compiled = self._compiled[gap.target][gap.case.uuid]
        chosen = next((one for one in compiled.launches if one.choice == gap.choice), None)
        said = f"As on {gap.target}"
        if gap.choice and chosen is not None:
            said += f", with configuration {gap.choice + 1} of {chosen.kernel}"
        launches = checking.call_again(record, options, process, f"{said}: ")
        if launches is None:
            return
        # It is not the process's first call: what host code does once it may have done before.
        found = difference(launches, compiled, host=False)
        if found is not None:
            self._differences[f"{words}: {found}"] = None
        self._seen |= {launch.variant for launch in launches.launches}

    def _process(self, gap: _Gap) -> JudgedCall | ProcessLost | None:
        """The process of a target; None for the one that was judged before."""
        if gap.target == self._first:
            return None
        process = self._processes.get(gap.target) or self._opened(gap.target, gap.case)
        if isinstance(process, JudgedCall):
            self._processes[gap.target] = process
        return process


def _launch_findings(differences: Sequence[str]) -> list[Finding]:
    """What was interpreted is what would be launched on each target.

    A warning: host code that looks at results goes another way where nothing is computed.
    """
    if not differences:
        return []
    return [
        Finding(
            claim=integrity.LAUNCHES,
            severity=Severity.WARNING,
            message="What was judged is not what was compiled: "
            f"{shorten('; '.join(differences), 600)}. It cannot be verified without a GPU.",
            evidence={"differences": [shorten(words, 400) for words in differences[:16]]},
        )
    ]


def _sign_findings(signs: Sequence[str]) -> list[Finding]:
    """Host code asks torch and Triton alone what machine it is on.

    A warning: honest host code asks the machine for tools and versions, too.

    Args:
        signs: what it looked at, in words that follow 'host code'.
    """
    if not signs:
        return []
    return [
        Finding(
            claim=integrity.LAUNCHES,
            severity=Severity.WARNING,
            message="What was judged is perhaps not what runs on a GPU: host code "
            f"{shorten(', '.join(signs), 400)}, which may not be the same there. It cannot be "
            "verified without a GPU.",
            evidence={"signs": list(signs[:16])},
        )
    ]


def _incomparable(
    interpreted: CallLaunches | None, compiled: CallLaunches | None, target: str
) -> str | None:
    """Why launches cannot be compared; None when they can."""
    if compiled is None:
        return f"not every workload was compiled for {target}"
    if interpreted is None or interpreted.dropped_for:
        why = f": {interpreted.dropped_for}" if interpreted else ""
        return f"its launches where it is interpreted could not all be told{why}"
    if compiled.dropped_for:
        words = f"its launches for {target} could not all be captured, since nothing computes there"
        return f"{words}: {compiled.dropped_for}"
    return None


def _kind(target: str, compiled: CallLaunches) -> tuple[object, ...]:
    """What calls on different sizes have in common when they run the same kernels."""
    return target, *(dict.fromkeys(launch.variant for launch in compiled.launches))


def _sizes(case: Case) -> str:
    return ", ".join(f"{name}={size}" for name, size in case.axes.items()) or case.uuid
