"""Has tensors on the CPU behave as tensors of a device, for host code without a GPU.

A tensor that host code makes on 'cuda' is made here. It still behaves as one of a device: a copy to
the host is a copy, NumPy refuses it, and it is not mixed with tensors that were made without a
device, which lie in the host's memory there, too. So what is judged here fails where it would fail
on a device.

It sees calls of torch's Python functions in threads that were started by `threading`; what reads a
tensor's memory by its address sees where the tensor lies, and that it was asked for is noted.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from . import legacy_types
from .device_signs import asked_by_host_code, note, note_address
from .fake_memory import (
    DEVICE,
    HOST_DEVICE,
    Memory,
    asked_memory,
    calls,
    generic_call,
    here,
    lay,
    mark_made,
    memory_of,
    name_of,
    place_of,
    tensors_in,
    unplaced,
    without_devices,
)

NO_NUMPY = (
    "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
    "memory first."
)


class OnTheCpu(TorchFunctionMode):
    """Makes on the CPU what is asked for on 'cuda', and has tensors say that they are on a device.

    So host code takes the way that it takes on a device: what is judged is what would run there.

    Args:
        note: is told of each operation that made or changed a tensor: its name and arguments.
    """

    def __init__(self, note: Callable[[str, Sequence[Any]], None] | None = None) -> None:
        super().__init__()
        self._note = note

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Rewrites the device of one call, or answers a question about a tensor's."""
        kwargs = dict(kwargs or {})
        if func is _TENSOR.__reduce_ex__:
            with unplaced(args[0]):
                return func(*args, **kwargs)
        if calls.ignoring:
            return func(*args, **kwargs)
        with without_devices():
            special = _SPECIAL.get(func, generic_call)
            try:
                result = special(func, args, kwargs)
            except Exception:
                note(f"has torch refuse {name_of(func)}, and may go on")
                raise
            if self._note is not None and _changes(func, result):
                self._note(name_of(func), [*args, *kwargs.values()])
        return result


def see_devices_everywhere() -> None:
    """Has answers be those of a device where a mode of torch's does not reach, for good.

    That is in threads that are started from now on, in code of a candidate that torch calls, for
    storages, for torch's types of tensors, and for what NumPy made.
    """
    _start_threads_alike()
    _tensors_say_where_they_lie()
    _storages_say_where_they_lie()
    _operators_have_kernels_of_a_device()
    legacy_types.replace_legacy_types()
    for name in ("from_numpy", "frombuffer"):
        setattr(torch, name, _made_on_the_host(getattr(torch, name)))
    for name in ("save", "load"):
        setattr(torch, name, _ignoring_devices(getattr(torch, name)))


def _start_threads_alike() -> None:
    start = threading.Thread.start

    def start_alike(self: threading.Thread) -> None:
        run = self.run

        def run_alike() -> None:
            with OnTheCpu():
                run()

        self.run = run_alike
        start(self)

    threading.Thread.start = start_alike


def _tensors_say_where_they_lie() -> None:
    """Has host code be answered that torch calls below a call, where no mode is."""

    def answered(ask: Callable[..., Any], answer: Any) -> Callable[..., Any]:
        def said(tensor: Any) -> Any:
            of_device = memory_of(tensor) is not Memory.HOST and asked_by_host_code()
            return answer if of_device else ask(tensor)

        return said

    for name, answer in (("device", DEVICE), ("is_cpu", False), ("is_cuda", True)):
        setattr(_TENSOR, name, property(answered(getattr(_TENSOR, name).__get__, answer)))
    _TENSOR.get_device = answered(_TENSOR.get_device, 0)


def _storages_say_where_they_lie() -> None:
    storage: Any = torch.UntypedStorage
    device, data_ptr = storage.device, storage.data_ptr

    def address(self: Any) -> int:
        if not calls.ignoring:
            note_address()
        return data_ptr(self)

    def of(self: Any) -> torch.device:
        return device.__get__(self) if calls.ignoring or self.is_host else DEVICE

    storage.is_host = False
    storage.data_ptr = address
    storage.device = property(of)
    storage.is_cuda = property(lambda self: of(self).type == "cuda")


def _operators_have_kernels_of_a_device() -> None:
    """Has a candidate's own operators call their kernels for CUDA, and none for the host."""
    library: Any = torch.library.Library
    implement, make = library.impl, library.__init__
    of_torch = {name.split("::")[0] for name in torch._C._dispatch_get_all_op_names()}

    @functools.wraps(make)
    def made(self: Any, ns: str, kind: str, dispatch_key: str = "") -> None:
        here = {"CPU": "", "CUDA": ""}.get(dispatch_key, dispatch_key)
        make(self, ns, kind, dispatch_key if ns in of_torch else here)
        self.dispatch_key = dispatch_key

    @functools.wraps(implement)
    def implemented(
        self: Any, op_name: Any, fn: Any, dispatch_key: str = "", **options: Any
    ) -> None:
        key = dispatch_key or self.dispatch_key
        if self.ns in of_torch:
            implement(self, op_name, fn, dispatch_key, **options)
        elif key != "CPU":
            implement(self, op_name, fn, "CPU" if key == "CUDA" else key, **options)

    library.impl, library.__init__ = implemented, made


def _made_on_the_host(make: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(make)
    def made(*arguments: Any, **options: Any) -> Any:
        tensor = make(*arguments, **options)
        lay([tensor], Memory.HOST)
        return tensor

    return made


def _ignoring_devices(call: Callable[..., Any]) -> Callable[..., Any]:
    """A function of torch that reads or writes files, where no device is named."""

    @functools.wraps(call)
    def called(*arguments: Any, **options: Any) -> Any:
        named = {name: here(value) for name, value in options.items()}
        with without_devices():
            return call(*map(here, arguments), **named)

    return called


def _moved(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`to`, `cpu` and `cuda`: what goes to another memory is another tensor."""
    tensor, *rest = args
    memory = memory_of(tensor)
    asked = {_TENSOR.cpu: Memory.HOST, _TENSOR.cuda: Memory.DEVICE}.get(func)
    for value in (*rest, kwargs.get("device"), kwargs.get("other")):
        asked = asked or (
            memory_of(value) if isinstance(value, torch.Tensor) else asked_memory(value)
        )
    if func is _TENSOR.cuda:
        result = tensor
    else:
        if asked_memory(kwargs.get("device")) is Memory.DEVICE:
            kwargs["device"] = HOST_DEVICE
        if rest and asked_memory(rest[0]) is Memory.DEVICE:
            rest[0] = HOST_DEVICE
        result = func(tensor, *rest, **kwargs)
    moves = asked is not None and asked is not memory
    if moves and (memory is not None or asked is Memory.HOST):
        if result.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr():
            result = result.clone()
        memory = asked
    mark_made(result, [tensor], memory)
    return result


def _pinned(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    if memory_of(args[0]) is Memory.DEVICE:
        name = _typed(_TENSOR.type, args[:1], {})
        raise RuntimeError(f"cannot pin '{name}' only dense CPU tensors can be pinned")
    if memory_of(args[0]) is None:
        return args[0]
    copy = args[0].clone()
    lay([copy], Memory.PINNED)
    return copy


def _refused_to_numpy(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    if memory_of(args[0]) is Memory.DEVICE:
        raise TypeError(NO_NUMPY)
    return func(*args, **kwargs)


def _printed(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """A tensor's printed form, which names a device that is not the host."""
    text = func(*args, **kwargs)
    if memory_of(args[0]) is Memory.HOST or not text.endswith(")"):
        return text
    return f"{text[:-1]}, device='{DEVICE}')"


def _typed(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`Tensor.type`: names of types on a device hold 'cuda', and move to it."""
    tensor, *rest = args
    host = memory_of(tensor) is Memory.HOST
    asked = rest[0] if rest else kwargs.get("dtype")
    if asked is None:
        name = func(tensor)
        return name if host else name.replace("torch.", "torch.cuda.")
    name = legacy_types.name_of(asked)
    if name is None:
        return generic_call(func, args, kwargs)
    memory = Memory.DEVICE if ".cuda." in name else Memory.HOST
    result = func(tensor, name.replace("cuda.", ""))
    if result is tensor and host is (memory is Memory.DEVICE):
        result = tensor.clone()
    mark_made(result, [tensor], memory)
    return result


def _storage(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    storage = func(*args, **kwargs)
    untyped = storage if isinstance(storage, torch.UntypedStorage) else storage.untyped()
    untyped.is_host = memory_of(args[0]) is Memory.HOST  # pyright: ignore[reportAttributeAccessIssue]
    return storage


def _dlpack(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`__dlpack__`, which takes a stream on a device only."""
    kwargs.pop("stream", None)
    return func(*args, **kwargs)


def _array_interface(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    tensor = args[0]
    if memory_of(tensor) is Memory.HOST:
        return func(*args, **kwargs)
    note_address()
    kind = "f" if tensor.is_floating_point() else "i"
    return {
        "shape": tuple(tensor.shape),
        "typestr": f"<{kind}{tensor.element_size()}",
        "strides": None,
        "data": (tensor.data_ptr(), False),
        "version": 2,
    }


def _claim(answer: Any) -> Callable[..., Any]:
    def claimed(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        host = bool(args) and memory_of(args[0]) is Memory.HOST
        return func(*args, **kwargs) if host else answer

    return claimed


def _is_pinned(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    return place_of(args[0]) is Memory.PINNED


def _address(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    note_address()
    return func(*args, **kwargs)


_TENSOR: Any = torch.Tensor
_MODULE_ARGUMENTS: Any = torch._C._nn._parse_to  # pyright: ignore[reportAttributeAccessIssue]
"""Reads the arguments of `Module.to`: the device there is one to move to."""
_SPECIAL: Mapping[Any, Callable[..., Any]] = {
    torch.device: lambda func, args, kwargs: func(*args, **kwargs),
    _MODULE_ARGUMENTS: lambda func, args, kwargs: func(*args, **kwargs),
    _TENSOR.is_cuda.__get__: _claim(True),
    _TENSOR.is_cpu.__get__: _claim(False),
    _TENSOR.device.__get__: _claim(DEVICE),
    _TENSOR.get_device: _claim(0),
    _TENSOR.__dlpack_device__: _claim((2, 0)),
    _TENSOR.__cuda_array_interface__.__get__: _array_interface,
    _TENSOR.__dlpack__: _dlpack,
    _TENSOR.data_ptr: _address,
    _TENSOR.is_pinned: _is_pinned,
    _TENSOR.is_shared: _claim(True),
    _TENSOR.pin_memory: _pinned,
    _TENSOR.to: _moved,
    _TENSOR.cpu: _moved,
    _TENSOR.cuda: _moved,
    _TENSOR.numpy: _refused_to_numpy,
    _TENSOR.__array__: _refused_to_numpy,
    _TENSOR.__repr__: _printed,
    _TENSOR.type: _typed,
    _TENSOR.storage: _storage,
    _TENSOR.untyped_storage: _storage,
}
"""What answers in the place of a function of torch."""


def _changes(func: Callable[..., Any], result: Any) -> bool:
    """Whether a call made or changed a tensor, and asked no question of one."""
    name = name_of(func)
    return name in ("__setitem__", "__set__") or (
        name != "__get__" and next(tensors_in([result]), None) is not None
    )
