"""What waits for the devices of one server, and the device that each gets.

A use of a device names those that will do: any one for an evaluation, a certain one for what was
begun there. The first in line for a device takes it, once no other server of this machine holds it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ..progress import OnProgress, ignore_progress
from .device_lock import DeviceLock, holder_of, in_use, lock_name
from .tickets import Ticket, waiting_for
from .waiting_order import Waiting, earlier_than, expected_wait_s, in_line, offered

TELL_SOON_S = 0.05
TELL_S = 1.5
"""Who waits for a device is told so at once, and again this often."""
POLL_S = 0.1
"""Between two looks at devices that other servers hold."""
SOON_S = 0.5
"""Of an expected wait: less than this is none, also where what is under way takes longer than most
did."""
KEPT_USES = 20
"""Lately ended evaluations, whose median is how long one usually holds a device."""


@dataclass
class HeldDevice:
    """A device that a use of this server has.

    Attributes:
        draining: the use has its answer, and the device is made ready for the next.
    """

    device: str
    lock: DeviceLock
    what: str
    since: float = field(default_factory=time.monotonic)
    draining: bool = False


@dataclass(frozen=True)
class QueueState:
    """How full the devices are.

    Attributes:
        held: how many of them are in use by this server.
        waiting: uses of this server that wait.
        elsewhere: other servers' next uses that wait for one of them.
        expected_s: seconds until one that came now would get a device; None where unknown.
    """

    devices: int
    held: int
    waiting: int
    elsewhere: int
    expected_s: float | None


class DeviceQueue:
    """The devices of one server, and what waits for them.

    Args:
        ready: whether a device could be used without starting anything first.
        broken: whether a device was of no use lately; a use that names another does without it.
    """

    def __init__(
        self,
        ready: Callable[[str], bool] = lambda device: True,
        broken: Callable[[str], bool] = lambda device: False,
    ) -> None:
        self._ready, self._broken = ready, broken
        self._held: dict[str, HeldDevice] = {}
        self._waiting: list[Waiting] = []
        self._tickets: dict[int, Ticket] = {}
        self._arrivals = itertools.count()
        self._changed = asyncio.Event()
        self._demand: dict[str, asyncio.Event] = {}
        self._kept: Counter[str] = Counter()
        self._uses: deque[float] = deque(maxlen=KEPT_USES)

    @contextlib.asynccontextmanager
    async def turn(
        self,
        devices: Sequence[str],
        what: str,
        progress: OnProgress = ignore_progress,
        *,
        client: str = "",
    ) -> AsyncIterator[str]:
        """Waits for one of the devices and holds it; gives its name.

        Args:
            what: it is, in the words of who waits behind it.
            client: clients take turns.
        """
        held = await self._taken(
            Waiting(client, tuple(devices), next(self._arrivals), what), progress
        )
        try:
            yield held.device
        finally:
            del self._held[held.device]
            held.lock.release()
            self._note_change()

    @contextlib.contextmanager
    def one_of(self, devices: Sequence[str]) -> Iterator[str]:
        """One of the devices for several uses, which are compared and so are of one: the idlest."""
        device = min(devices, key=self._busyness)
        self._kept[device] += 1
        try:
            yield device
        finally:
            self._kept[device] -= 1

    def _busyness(self, device: str) -> tuple[bool, int, bool, bool]:
        """How much a device has to do, in any server; a ready one comes before its equals."""
        pinned = sum(one.devices == (device,) for one in self._waiting)
        gpu = device.startswith("cuda:")
        held = device in self._held or (gpu and in_use(device))
        kept = self._kept[device] + pinned
        return self._broken(device), kept, held, not self._ready(device)

    def demand(self, device: str) -> asyncio.Event:
        """An event that is set while a use of this server waits for the device."""
        return self._demand.setdefault(device, asyncio.Event())

    def note_answer(self, device: str) -> None:
        """Notes that the use of a device has its answer, and at most holds it to make it ready."""
        held = self._held[device]
        held.draining = True
        self._uses.append(time.monotonic() - held.since)

    @property
    def usual_s(self) -> float | None:
        """How long an evaluation held a device lately; None before the first."""
        return statistics.median(self._uses) if self._uses else None

    def state(self, devices: Sequence[str]) -> QueueState:
        """How full some devices are."""
        mine = [w for w in self._waiting if set(w.devices) & set(devices)]
        held = [self._held[device] for device in devices if device in self._held]
        own = {ticket.number for ticket in self._tickets.values()}
        gpus = [device for device in devices if device.startswith("cuda:")]
        elsewhere = len(waiting_for(gpus) - own) if gpus else 0
        now = time.monotonic()
        busy = [now - h.since for h in held if not h.draining]
        expected = self._expected_s(devices, len(mine) + elsewhere, busy)
        return QueueState(len(devices), len(held), len(mine), elsewhere, expected)

    async def _taken(self, one: Waiting, progress: OnProgress) -> HeldDevice:
        self._waiting.append(one)
        self._note_change()
        began = time.monotonic()
        tell_at = began + TELL_SOON_S
        try:
            while (held := self._take(one)) is None:
                changed = self._changed
                if (now := time.monotonic()) >= tell_at:
                    tell_at = now + TELL_S
                    await progress(0, 1, self._words(one, now - began))
                patience = max(tell_at - time.monotonic(), 0.001)
                if self._open_to(one) and self._tickets[one.arrived].in_files:
                    patience = min(patience, POLL_S)  # no other server says when it is done
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(patience):
                        await changed.wait()
            return held
        finally:
            self._waiting.remove(one)
            if ticket := self._tickets.pop(one.arrived, None):
                ticket.discard()
            self._note_change()

    def _take(self, one: Waiting) -> HeldDevice | None:
        """A device for one that waits, where it is the next and the device is free."""
        if not (open_to := self._open_to(one)):
            return None
        locks = frozenset[str]().union(*self._tickets[one.arrived].earlier().values())
        for device in open_to:
            if lock_name(device) in locks:
                continue
            if lock := DeviceLock.take(device, self.usual_s):
                held = self._held[device] = HeldDevice(device, lock, one.what)
                return held
        return None

    def _open_to(self, one: Waiting) -> list[str]:
        """Devices that no use of this server holds or would take before one that waits."""
        line = in_line(self._waiting)
        if one not in line:
            return []
        if (ticket := self._tickets.get(one.arrived)) is None:
            ticket = self._tickets[one.arrived] = Ticket(one.devices)
        ticket.renew()
        numbers = {w: self._tickets[w.arrived].number for w in line if w.arrived in self._tickets}
        before = [w.devices for w, number in numbers.items() if number < ticket.number]
        whole = self._whole(one.devices)
        return self._in_order([d for d in offered(one.devices, before) if d in whole])

    def _whole(self, devices: Sequence[str]) -> Sequence[str]:
        """Those devices that are of use; all where none is, so that who asks is told why."""
        return [device for device in devices if not self._broken(device)] or devices

    def _in_order(self, devices: Sequence[str]) -> list[str]:
        """Devices that are free, those first that could be used at once.

        One that would have to be started is not, while another will be free in a moment.
        """
        free = [device for device in devices if device not in self._held]
        ready = [device for device in free if self._ready(device)]
        soon = any(d in self._held and self._held[d].draining for d in devices)
        return ready if ready or soon else free

    def _note_change(self) -> None:
        demanded = {device for one in self._waiting for device in one.devices}
        for device in demanded | set(self._demand):
            event = self.demand(device)
            event.set() if device in demanded else event.clear()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _words(self, one: Waiting, seconds: float) -> str:
        """What a use waits for, which place it has, and how long yet, as far as that is known."""
        ticket, now = self._tickets.get(one.arrived), time.monotonic()
        own = {ticket.number for ticket in self._tickets.values()}
        others = ticket.earlier().items() if ticket else ()
        elsewhere = sum(
            n not in own and bool(locks & ticket.locks) for n, locks in others if ticket
        )
        before = [each.what for each in earlier_than(one, self._waiting)]
        held = [self._held[device] for device in one.devices if device in self._held]
        foreign = [device for device in one.devices if device not in self._held]
        usual = self._usual_s(one.devices) or 0.0
        busy = [now - each.since for each in held] + [usual / 2] * len(foreign)
        place = len(before) + elsewhere + 1
        holder = holder_of(foreign[0]) if foreign and not held else None
        said = [*(each.what for each in held), *before]
        return queued_words(
            said if said or holder is None else [f"process {holder.process}"],
            seconds,
            place,
            self._expected_s(one.devices, place - 1, busy),
        )

    def _expected_s(
        self, devices: Sequence[str], earlier: int, busy_s: Sequence[float]
    ) -> float | None:
        usual = self._usual_s(devices)
        if usual is None or not devices:
            return None
        return expected_wait_s(earlier, len(self._whole(devices)), usual, busy_s)

    def _usual_s(self, devices: Sequence[str]) -> float | None:
        """How long an evaluation holds a device; as another server found where this one has not."""
        if self.usual_s is not None:
            return self.usual_s
        said = (holder_of(device) for device in devices if device.startswith("cuda:"))
        return next((h.usual_s for h in said if h is not None and h.usual_s), None)


def state_words(state: QueueState) -> str:
    """How full the devices are, and how long one that comes now would wait; empty where idle."""
    if state.held == state.waiting == state.elsewhere == 0 and state.devices < 2:
        return ""
    waiting = f"{state.waiting} waiting here" if state.waiting else "nobody waiting here"
    others = f" and {state.elsewhere} of other servers" if state.elsewhere else ""
    words = f"Devices in use by this server: {state.held} of {state.devices}; {waiting}{others}"
    if state.expected_s is None or not (state.waiting or state.held):
        return f"{words}."
    return f"{words}; an evaluation begun now would wait about {state.expected_s:.0f} s."


def queued_words(
    before: Sequence[str], seconds: float, place: int = 1, expected_s: float | None = None
) -> str:
    """What a waiting evaluation is behind, what is under way first; its place, and how long yet."""
    others = f" and {len(before) - 1} more" if len(before) > 1 else ""
    first = before[0] if before else "another"
    words = f"queued for {seconds:.0f} s behind {first}{others}; place {place}"
    if expected_s is None:
        return words
    if expected_s < SOON_S:
        return f"{words}, due at any moment"
    return f"{words}, about {expected_s:.0f} s to go"
