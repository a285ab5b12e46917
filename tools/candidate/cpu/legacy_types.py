"""Has torch's old types of tensors, such as `torch.cuda.FloatTensor`, tell devices from the host.

Torch asks where a tensor really lies, which here is always the host. Its sparse types are left as
they are.
"""

from __future__ import annotations

from typing import Any

import torch

from .fake_memory import Memory, lay, memory_of, without_devices

_NAMES = ("BFloat16", "Bool", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short")


class _LegacyType(type):
    """The type of tensors of one number type in one memory."""

    plain: Any
    """Torch's own, on the host."""
    memory: Memory

    def __instancecheck__(cls, instance: Any) -> bool:
        """Whether it is such a tensor; those of unknown memory count as a device's."""
        if not isinstance(instance, torch.Tensor) or instance.dtype is not cls.plain.dtype:
            return False
        return (memory_of(instance) is Memory.HOST) is (cls.memory is Memory.HOST)

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        """A new tensor there, of a size or of values."""
        with without_devices():
            made = cls.plain(*arguments, **options)
        lay([made], cls.memory)
        return made


def replace_legacy_types() -> None:
    """Puts types that do in the place of torch's, for good."""
    for name in (f"{number}Tensor" for number in _NAMES):
        plain = getattr(torch, name)
        plain = plain.plain if isinstance(plain, _LegacyType) else plain
        for place, memory in ((torch, Memory.HOST), (torch.cuda, Memory.DEVICE)):
            facts = {"plain": plain, "memory": memory, "dtype": plain.dtype}
            facts |= {"is_cuda": memory is Memory.DEVICE, "__module__": place.__name__}
            setattr(place, name, _LegacyType(name, (), facts))


def name_of(asked: Any) -> str | None:
    """The name of a type of tensors that was named or given; None for anything else."""
    if isinstance(asked, _LegacyType):
        return f"{asked.__module__}.{asked.__name__}"
    return asked if isinstance(asked, str) else None
