"""Tells memory of the host from memory of a device, where all tensors lie in the host's.

Each tensor of known origin is in one of the two, and what is made of tensors lies where they do.
Tensors of unknown origin (of extensions, of modules) may be used as either.
"""

from __future__ import annotations

import contextlib
import enum
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch

HOST_DEVICE = torch.device("cpu")
DEVICE = torch.device("cuda", 0)
TWO_DEVICES = (
    "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and "
    "cpu! ({name}; a tensor that is made without device= lies in the host's memory)"
)
HOST_INDEXED = "indices should be either on cpu or on the same device as the indexed tensor (cpu)"


class Memory(enum.Enum):
    """Where a tensor would lie on a machine with a GPU."""

    HOST = enum.auto()
    PINNED = enum.auto()
    """Of the host, too; kernels can reach it."""
    DEVICE = enum.auto()


class _Calls(threading.local):
    """What this thread does with torch."""

    ignoring = 0
    """Above 0 while code runs that knows of no device: torch's own, below a call, or Triton's."""


calls = _Calls()
_PLACE = "_place_of_memory"
"""The attribute of a tensor that holds where it lies."""


def memory_of(tensor: torch.Tensor) -> Memory | None:
    """Where a tensor would lie; None where that is unknown."""
    memory = place_of(tensor)
    return Memory.HOST if memory is Memory.PINNED else memory


def place_of(tensor: torch.Tensor) -> Memory | None:
    """The same, with pinned memory of the host told apart."""
    return tensor.__dict__.get(_PLACE)


def is_out_of_reach(value: Any) -> bool:
    """Whether a kernel could not read a tensor: it lies in the host's memory and is not pinned."""
    return isinstance(value, torch.Tensor) and place_of(value) is Memory.HOST


def lay(values: Iterable[Any], memory: Memory = Memory.DEVICE) -> None:
    """Has tensors lie in that memory, as far as host code can see."""
    for value in values:
        if isinstance(value, torch.Tensor):
            setattr(value, _PLACE, memory)


@contextlib.contextmanager
def unplaced(tensor: torch.Tensor) -> Iterator[None]:
    """Within it nothing is written on a tensor: to save it as it is."""
    place = place_of(tensor)
    if place is not None:
        delattr(tensor, _PLACE)
    try:
        yield
    finally:
        if place is not None:
            setattr(tensor, _PLACE, place)


@contextlib.contextmanager
def without_devices() -> Iterator[None]:
    """Tensors are what they are within it: for code that is not the candidate's."""
    calls.ignoring += 1
    try:
        yield
    finally:
        calls.ignoring -= 1


@contextlib.contextmanager
def with_devices() -> Iterator[None]:
    """The candidate's own code again, called from what is not."""
    before, calls.ignoring = calls.ignoring, 0
    try:
        yield
    finally:
        calls.ignoring = before


def generic_call(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Calls a function of torch on the CPU; what it makes lies where it would on a device."""
    tensors = list(tensors_in([*args, *kwargs.values()]))
    asked = asked_memory(kwargs.get("device"))
    if asked is Memory.DEVICE:
        kwargs["device"] = HOST_DEVICE
    elif kwargs.get("device") is None and func in _FACTORIES:
        asked = None if tensors else _default_memory()
        kwargs["device"] = HOST_DEVICE
    pinned = bool(kwargs.pop("pin_memory", False))
    _refuse_two_devices(func, args, tensors)
    result = func(*map(here, args), **kwargs)
    memory = asked or _common(tensors)
    if memory is None and not tensors:
        memory = Memory.HOST
    memory = Memory.PINNED if pinned and memory is Memory.HOST else memory
    if func in _UNWRITTEN and isinstance(result, torch.Tensor):
        _wear(result)
    mark_made(result, tensors, memory)
    return result


def _wear(made: torch.Tensor) -> None:
    """Fills new memory, which is often zero on a host and seldom on a device."""
    if made.dtype.is_floating_point or made.dtype.is_complex:
        value = 0xFF  # a NaN
    else:
        value = 1 if made.dtype is torch.bool else 0x7F
    storage: Any = made.untyped_storage()
    storage.fill_(value)


def _named(*names: str) -> dict[Any, str]:
    """Torch's functions and a tensor's methods of these names, as far as there are any."""
    places = (torch, torch.Tensor)
    return {getattr(place, n): n for n in names for place in places if hasattr(place, n)}


_FACTORIES = _named(
    *("arange", "asarray", "as_tensor", "bartlett_window", "blackman_window", "empty"),
    *("empty_permuted", "empty_strided", "eye", "full", "hamming_window", "hann_window"),
    *("kaiser_window", "linspace", "logspace", "normal", "ones", "rand", "randint", "randn"),
    *("randperm", "range", "scalar_tensor", "sparse_coo_tensor", "tensor", "tril_indices"),
    *("triu_indices", "vander", "zeros"),
)
"""Functions that make tensors on a default device, which may be 'cuda'."""
_UNWRITTEN = _named(
    *("empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"),
)
"""Functions that promise nothing of what a tensor holds."""
_MIX = _named(
    *("copy_", "expand_as", "index_put", "index_put_", "is_same_size", "resize_as_", "result_type"),
    *("reshape_as", "set_", "tensor_split", "to", "type_as", "view_as", "__getitem__"),
    *("__setitem__", "swap_tensors", "_foreach_copy_", "can_cast", "is_set_to"),
)
"""Functions that take tensors of several memories, or look at their shapes alone."""


def _refuse_two_devices(
    func: Callable[..., Any], args: Sequence[Any], tensors: Sequence[torch.Tensor]
) -> None:
    memories = [memory_of(tensor) for tensor in tensors]
    if func in _MIX or name_of(func) == "__set__":
        indexes_host = name_of(func) == "__getitem__" and memory_of(args[0]) is Memory.HOST
        if indexes_host and Memory.DEVICE in memories:
            raise RuntimeError(HOST_INDEXED)
        return
    if Memory.DEVICE not in memories or Memory.HOST not in memories:
        return
    if any(t.dim() for t, m in zip(tensors, memories, strict=True) if m is Memory.HOST):
        raise RuntimeError(TWO_DEVICES.format(name=name_of(func)))


def _default_memory() -> Memory:
    """Where a factory without a device makes a tensor."""
    try:
        device = torch.get_default_device()
    except (AssertionError, RuntimeError):  # it makes a tensor there to learn the device's number
        return Memory.DEVICE
    return Memory.HOST if device.type == "cpu" else Memory.DEVICE


def _common(tensors: Sequence[torch.Tensor]) -> Memory | None:
    """Where what is made of tensors lies."""
    memories = {memory_of(tensor) for tensor in tensors}
    if Memory.DEVICE in memories:
        return Memory.DEVICE
    return Memory.HOST if memories == {Memory.HOST} else None


def mark_made(result: Any, given: Sequence[torch.Tensor], memory: Memory | None) -> None:
    """Has the tensors in a result lie there, but for those that were given."""
    if memory is None:
        return
    known = {id(tensor) for tensor in given}
    lay((made for made in tensors_in([result]) if id(made) not in known), memory)


def tensors_in(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    """The tensors among values and in their lists."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from (one for one in value if isinstance(one, torch.Tensor))  # pyright: ignore[reportUnknownVariableType]


def name_of(func: Any) -> str:
    """The name of a function of torch."""
    return str(getattr(func, "__name__", func))[:80]


def asked_memory(device: Any) -> Memory | None:
    """The memory that a device names; None where it names none, or one of another kind."""
    if isinstance(device, int) and not isinstance(device, bool):
        return Memory.DEVICE
    if isinstance(device, str):
        kind = device.split(":")[0]
    elif isinstance(device, torch.device):
        kind = device.type
    else:
        return None
    return {"cpu": Memory.HOST, "cuda": Memory.DEVICE}.get(kind)


def here(value: Any) -> Any:
    """The value, or the CPU where it is a device that is not here."""
    is_device = isinstance(value, (str, torch.device)) and asked_memory(value) is Memory.DEVICE
    return HOST_DEVICE if is_device else value
