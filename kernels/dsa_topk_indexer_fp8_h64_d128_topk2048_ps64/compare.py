"""Is a selection of the top-k indexer as good as the best one?

Selections have no order, and tokens whose scores nearly tie at the border are interchangeable, so
equality with the oracle's selection would be too much to ask. What is asked: every token reachable
through its sequence's block table and within its length, none twice, exactly as many as are due and
-1 in all other places; and in a sequence longer than topk, no token selected whose score lies below
the border, and none left out whose score lies above it, by more than rounding can explain.

Scores are recomputed in double precision from the inputs that it is given, which must be the
judge's own copies. It cannot tell which of two tied tokens a kernel "should" have taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

TIE_TOLERANCE = 2e-5
"""Rounding allowed in a score, relative to the sum of the magnitudes of its products.

Largest error seen over 5824 normal keys: 1e-8 with float32 sums, 1.2e-5 with an emulated fp8
tensor-core product that keeps 14 bits at each step, 1.2e-4 with sums rounded to bfloat16.
"""


@torch.no_grad()
def compare(
    output_name: str,
    inputs: Mapping[str, Any],
    expected: torch.Tensor,
    got: torch.Tensor,
    limits: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Decides whether `got` is a right selection.

    Args:
        output_name: the output's name; there is only one.
        inputs: the operator's inputs, as the judge drew them.
        expected: the oracle's selection [batch, topk] int32.
        got: the candidate's, the same shape.
        limits: `tie_tolerance` replaces the default where present.

    Returns:
        ok; kind and message of the first fault; index of its place or None; matched_ratio, the
        share of due tokens that agree up to ties; exchanged, how many of the selected tokens are
        not the oracle's.
    """
    if got.shape != expected.shape or got.dtype != expected.dtype:
        due_shape = f"{tuple(expected.shape)} of {expected.dtype}"
        words = f"{output_name} is {tuple(got.shape)} of {got.dtype} where {due_shape} is due"
        return _verdict("wrong_shape", words, None, 0.0)
    seq_lens, table = inputs["seq_lens"], inputs["block_table"]
    page_size = inputs["k_index_cache_fp8"].shape[1]
    num_pages = inputs["k_index_cache_fp8"].shape[0]
    topk = expected.shape[1]
    due = seq_lens.long().clamp_max(topk)
    ours = _positions(got, table, seq_lens, num_pages, page_size)
    fault = _malformed(got, ours, due)
    if fault is not None:
        return _verdict(*fault, 0.0)
    # A well-formed selection of a sequence of at most topk tokens holds all of them.
    scored = torch.nonzero(seq_lens > topk).flatten()
    best = _positions(expected[scored], table[scored], seq_lens[scored], num_pages, page_size)
    differing = (ours[scored].sort(dim=1).values != best.sort(dim=1).values).any(dim=1)
    tolerance = float((limits or {}).get("tie_tolerance", TIE_TOLERANCE))
    exchanged = wrong = 0
    first: tuple[str, list[int]] | None = None
    for at in torch.nonzero(differing).flatten().tolist():
        row = int(scored[at])
        found = _row_faults(inputs, row, ours[row], best[at], topk, tolerance)
        exchanged += found["exchanged"]
        wrong += found["wrong"]
        if first is None and found["wrong"]:
            first = (found["message"], [row, *found["place"]])
    ratio = 1.0 - wrong / max(int(due.sum()), 1)
    if first is None:
        return _verdict("", "", None, ratio, exchanged)
    message = f"{first[0]}; {wrong} tokens are wrong in all"
    return _verdict("wrong_selection", message, first[1], ratio, exchanged)


def _verdict(
    kind: str, message: str, index: list[int] | None, ratio: float, exchanged: int = 0
) -> dict[str, Any]:
    return {
        "ok": not kind,
        "kind": kind,
        "message": message,
        "index": index,
        "matched_ratio": ratio,
        "exchanged": exchanged,
    }


def _positions(
    tokens: torch.Tensor,
    table: torch.Tensor,
    seq_lens: torch.Tensor,
    num_pages: int,
    page_size: int,
) -> torch.Tensor:
    """Place of each token in its sequence; -1 for an entry of -1, -2 for a token not of it."""
    batch, width = table.shape
    used = torch.arange(width, device=table.device) < -(-seq_lens.long()[:, None] // page_size)
    outside = table.new_tensor(num_pages, dtype=torch.int64)
    key = torch.where(used, table.long(), outside)
    place = torch.full((batch, num_pages + 1), -1, dtype=torch.int64, device=table.device)
    place.scatter_(1, key, torch.arange(width, device=table.device).expand(batch, -1).contiguous())
    place[:, num_pages] = -1
    wanted = tokens.long()
    in_cache = (wanted >= 0) & (wanted < num_pages * page_size)
    page = torch.where(in_cache, wanted // page_size, outside)
    slot = place.gather(1, page)
    position = slot * page_size + wanted % page_size
    reachable = (slot >= 0) & (position < seq_lens.long()[:, None])
    return torch.where(reachable, position, torch.where(wanted == -1, -1, -2))


def _malformed(
    got: torch.Tensor, positions: torch.Tensor, due: torch.Tensor
) -> tuple[str, str, list[int]] | None:
    """What is wrong with a selection before any score is looked at, and where."""
    unreachable = positions == -2
    ordered, source = positions.sort(dim=1)
    twice = torch.zeros_like(unreachable)
    twice[:, 1:] = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    count = (positions >= 0).sum(dim=1)
    miscounted = count != due
    flags = torch.stack([unreachable.any(), twice.any(), miscounted.any()]).tolist()
    if flags[0]:
        row, column = torch.nonzero(unreachable)[0].tolist()
        number = int(unreachable.sum())
        return (
            "unreachable_token",
            f"{number} entries name no token of their sequence; entry [{row}, {column}] is "
            f"{int(got[row, column])}, outside the sequence's pages or length",
            [row, column],
        )
    if flags[1]:
        row, column = torch.nonzero(twice)[0].tolist()
        column = int(source[row, column])
        return (
            "duplicated_token",
            f"{int(twice.sum())} tokens are selected twice; one is {int(got[row, column])} in row "
            f"{row}",
            [row, column],
        )
    if flags[2]:
        row = int(torch.nonzero(miscounted)[0])
        return (
            "wrong_count",
            f"row {row} selects {int(count[row])} tokens where {int(due[row])} are due; all other "
            "places must hold -1",
            [row, int(min(count[row], due[row]))],
        )
    return None


def _row_faults(
    inputs: Mapping[str, Any],
    row: int,
    ours: torch.Tensor,
    best: torch.Tensor,
    topk: int,
    tolerance: float,
) -> dict[str, Any]:
    """Compares one long sequence's selection by recomputed scores."""
    scores, rounding = _scores(inputs, row)
    rounding = rounding * tolerance
    top = torch.topk(scores, topk)
    border, last = top.values[-1], top.indices[-1]
    selected = torch.zeros_like(scores, dtype=torch.bool)
    selected[ours] = True
    oracle = torch.zeros_like(selected)
    oracle[best] = True
    margin = rounding + rounding[last]
    low = selected & (scores < border - margin)
    high = ~selected & (scores > border + margin)
    wrong = max(int(low.sum()), int(high.sum()))
    found = {"exchanged": int((selected & ~oracle).sum()), "wrong": wrong, "message": ""}
    if not wrong:
        return found | {"place": []}
    worst = int(torch.where(low, scores, torch.inf).argmin())
    if not bool(low.any()):
        worst = int(torch.where(high, scores, -torch.inf).argmax())
        word = "is left out"
    else:
        word = "is selected"
    place = torch.nonzero(ours == worst).flatten().tolist()[:1]
    return found | {
        "place": place,
        "message": (
            f"in row {row} the token at position {worst} {word}, with a score of "
            f"{float(scores[worst]):.6g} where the border is {float(border):.6g} and rounding "
            f"explains {float(margin[worst]):.2g}"
        ),
    }


def _scores(inputs: Mapping[str, Any], row: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of a sequence's tokens, and the magnitude that their rounding is relative to."""
    cache = inputs["k_index_cache_fp8"]
    length, page_size = int(inputs["seq_lens"][row]), cache.shape[1]
    queries = inputs["q_index_fp8"][row].double()
    weights = inputs["weights"][row].double()
    pages = cache[inputs["block_table"][row, : -(-length // page_size)].long()]
    raw = pages.reshape(pages.shape[0], -1).view(torch.uint8)
    split = page_size * queries.shape[-1]
    values = raw[:, :split].contiguous().view(torch.float8_e4m3fn)
    keys = values.reshape(-1, queries.shape[-1])[:length].double()
    scales = raw[:, split:].contiguous().view(torch.float32).reshape(-1)[:length].double()
    scores = torch.relu(keys @ queries.T * scales[:, None]) @ weights
    magnitude = (keys.abs() @ queries.abs().T * scales.abs()[:, None]) @ weights.abs()
    return scores, magnitude
