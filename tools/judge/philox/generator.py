"""What inputs are drawn from: Philox, whose values are the same everywhere, or torch's generator.

A tensor has streams of its own: the key is a hash of the seed and its name, and its first draw has
number 0. So a further draw changes no other tensor, and any part of a tensor can be computed alone.
Who does not know the seed, which comes from the operating system, cannot foresee a value.

Torch's own generator gives other values on a CPU and on each kind of GPU. It is used by records
from before, by operators' own code that asks for it, and where the kernels cannot run.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray

from ...schema.drawn_inputs import InputSource, RandomGenerator
from .blocks import WORD, words_by_part
from .device_kernels import PhiloxKernels, Stream, kernels_on
from .tables import e4m3_quantiles, normal_values, uniform_values

Shape = Sequence[int]


class RandomValues(Protocol):
    """Values on one device, all by one seed."""

    device: torch.device

    def normal(self, name: str, shape: Shape) -> torch.Tensor:
        """Standard normal values in float32."""
        ...

    def uniform(self, name: str, shape: Shape) -> torch.Tensor:
        """Values in [0, 1) in float32."""
        ...

    def integers(self, name: str, low: int, high: int, shape: Shape) -> torch.Tensor:
        """Integers in [low, high) in int64."""
        ...


class TorchGenerator:
    """Values of `torch.Generator`, in the order in which they are asked for; names are ignored."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        self._generator = torch.Generator(device=device).manual_seed(seed)

    def normal(self, name: str, shape: Shape) -> torch.Tensor:
        return torch.randn(shape, generator=self._generator, device=self.device)

    def uniform(self, name: str, shape: Shape) -> torch.Tensor:
        return torch.rand(shape, generator=self._generator, device=self.device)

    def integers(self, name: str, low: int, high: int, shape: Shape) -> torch.Tensor:
        return torch.randint(low, high, shape, generator=self._generator, device=self.device)


class PhiloxGenerator:
    """Values of Philox4x32-10, bit for bit the same on every device.

    Args:
        seed: decides every value.
        device: where values lie.
        kernels: of the device; without them values are computed on the host.
    """

    def __init__(
        self, seed: int, device: torch.device, kernels: PhiloxKernels | None = None
    ) -> None:
        self.device = device
        self._seed, self._kernels = seed, kernels
        self._drawn: dict[str, int] = {}

    def normal(self, name: str, shape: Shape) -> torch.Tensor:
        """Standard normal values in float32."""
        stream, count = self._next(name), math.prod(shape)
        if self._kernels is not None:
            return self._kernels.normals(stream, count).view(tuple(shape))
        return self._there(_computed(stream, count, np.float32, normal_values)).view(tuple(shape))

    def uniform(self, name: str, shape: Shape) -> torch.Tensor:
        """Values in [0, 1) in float32, multiples of 2^-24."""
        stream, count = self._next(name), math.prod(shape)
        if self._kernels is not None:
            return self._kernels.uniforms(stream, count).view(tuple(shape))
        return self._there(_computed(stream, count, np.float32, uniform_values)).view(tuple(shape))

    def integers(self, name: str, low: int, high: int, shape: Shape) -> torch.Tensor:
        """Integers in [low, high) in int64.

        Args:
            high: at most 2^31 more than `low`; a share of (high - low) / 2^32 is not quite even.
        """
        words = self._words(name, shape).long() & WORD
        return ((words * (high - low)) >> 32) + low

    def normal_e4m3(self, name: str, shape: Shape, spread: float) -> torch.Tensor:
        """Normal values in e4m3, saturated: each is one of 65,536 equally likely quantiles.

        Args:
            spread: standard deviation.
        """
        stream, count = self._next(name), math.prod(shape)
        if self._kernels is not None:
            drawn = self._kernels.e4m3_normals(stream, count, spread)
        else:
            table = e4m3_quantiles(spread)
            pairs = _computed(
                stream, -(-count // 2), np.uint16, lambda w: table[w.view("<u2")].view(np.uint16)
            )
            drawn = self._there(pairs.view(np.uint8)[:count])
        return drawn.view(torch.float8_e4m3fn).view(tuple(shape))

    def _words(self, name: str, shape: Shape) -> torch.Tensor:
        stream, count = self._next(name), math.prod(shape)
        if self._kernels is not None:
            return self._kernels.words(stream, count).view(tuple(shape))
        words = _computed(stream, count, np.int32, lambda w: w.view(np.int32))
        return self._there(words).view(tuple(shape))

    def _next(self, name: str) -> Stream:
        """The stream of the name's next draw."""
        number = self._drawn.get(name, 0)
        self._drawn[name] = number + 1
        digest = hashlib.blake2b(f"{self._seed} {name}".encode(), digest_size=8).digest()
        return Stream(int.from_bytes(digest, "little"), number)

    def _there(self, values: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(values).to(self.device)


def _computed(
    stream: Stream,
    count: int,
    dtype: DTypeLike,
    values: Callable[[NDArray[np.uint32]], NDArray[Any]],
) -> NDArray[Any]:
    """What a function makes of a stream's words, computed on the host."""
    out = np.empty(count, dtype)
    for begin, words in words_by_part(stream.key, stream.number, count):
        out[begin : begin + len(words)] = values(words)
    return out


def usable_source(device: torch.device) -> InputSource:
    """What new inputs are drawn by on a device: Philox, unless its kernels cannot run there."""
    reason = "" if device.type == "cpu" else kernels_on(device)[1]
    return InputSource(note=reason) if reason else InputSource(generator=RandomGenerator.PHILOX)


def random_values(
    generator: RandomGenerator, seed: int, device: torch.device
) -> PhiloxGenerator | TorchGenerator:
    """The values of a seed on a device."""
    if generator is RandomGenerator.TORCH:
        return TorchGenerator(seed, device)
    kernels = kernels_on(device)[0] if device.type == "cuda" else None
    return PhiloxGenerator(seed, device, kernels)
