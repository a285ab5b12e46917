"""Bytes of tensors copied and compared, many tensors at once, in words of eight where it can be.

Inputs of a gigabyte are placed for every call and compared after it. A thread of the device moves a
word as it moves a byte.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

WORD_BYTES = 8

Pair = tuple[torch.Tensor, torch.Tensor]


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors of one dtype have one shape and hold the same bytes."""
    return one.shape == other.shape and torch.equal(*_words((one, other)))


def differing(pairs: Sequence[Pair]) -> list[bool]:
    """Which pairs, each of one shape and dtype, do not hold the same bytes; waits once."""
    if not pairs or pairs[0][0].device.type == "cpu":
        return [not same_bits(one, other) for one, other in pairs]
    return torch.stack([(a != b).any() for a, b in map(_words, pairs)]).tolist()


def copy_bytes(pairs: Sequence[Pair]) -> None:
    """Copies each second tensor over the first of the same shape, in a launch or two."""
    _copy([_words((t, value.to(t.dtype))) for t, value in pairs if value.numel()])


def copy_flat(pairs: Sequence[Pair]) -> None:
    """Copies the bytes of each second vector over those of the first, both by `flat_words`."""
    _copy([_words(pair) for pair in pairs if pair[1].numel()])


def _copy(pairs: Sequence[Pair]) -> None:
    for dtype in (torch.int64, torch.uint8):
        # A launch takes tensors of one dtype.
        if alike := [pair for pair in pairs if pair[0].dtype == dtype]:
            targets, values = zip(*alike, strict=True)
            torch._foreach_copy_(targets, values)  # pyright: ignore[reportPrivateImportUsage]


def flat_words(tensor: torch.Tensor) -> torch.Tensor:
    """A contiguous tensor's bytes as a vector of words of eight; of bytes where it has no words.

    What is copied or compared many times is seen so once.
    """
    flat = _bytes(tensor)
    return flat.view(torch.int64) if _holds_words(flat) else flat


def _words(pair: Pair) -> Pair:
    """Both tensors as words of eight bytes; as bytes where one cannot be read so."""
    if all(t.dtype == torch.int64 and t.dim() == 1 for t in pair):
        return pair
    one, other = _bytes(pair[0]), _bytes(pair[1])
    if _holds_words(one) and _holds_words(other):
        return one.view(torch.int64), other.view(torch.int64)
    return one, other


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.numel():  # whose strides may be such that no bytes can be seen in it
        return tensor.new_empty(0, dtype=torch.uint8)
    return tensor.contiguous().flatten().view(torch.uint8)


def _holds_words(flat: torch.Tensor) -> bool:
    places = flat.numel(), flat.storage_offset(), flat.data_ptr()
    return flat.numel() > 0 and all(place % WORD_BYTES == 0 for place in places)
