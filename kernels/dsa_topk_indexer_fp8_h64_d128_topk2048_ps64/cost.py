"""Work that any correct kernel of the top-k indexer must do.

Read by the server, so it imports nothing heavy. It counts unique bytes and useful operations; it
does not know what a particular kernel does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADS, HEAD_DIM, PAGE, TOPK = 64, 128, 64, 2048
PAGE_BYTES = PAGE * (HEAD_DIM + 4)


def cost(
    axes: Mapping[str, int],
    *,
    structure: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Counts bytes, operations and dependent steps.

    A sequence of at most 2048 tokens selects all of them, so that neither its keys nor its query
    are needed: its block table alone decides. A longer one needs every page once.

    Args:
        axes: batch_size, max_num_pages, num_pages.
        structure: `seq_lens`.
        inputs: the tensors, where at hand.

    Returns:
        The fields of a Cost.
    """
    batch = axes["batch_size"]
    assumptions = ["sequences share no page"]
    if inputs is not None:
        lengths = [int(n) for n in inputs["seq_lens"].tolist()]
    elif structure and "seq_lens" in structure:
        lengths = [int(n) for n in structure["seq_lens"]]
    else:
        lengths = [axes["max_num_pages"] * PAGE] * batch
        assumptions.append("every sequence fills its block table")
    pages = [-(-n // PAGE) for n in lengths]
    scored = [n for n in lengths if n > TOPK]
    scored_pages = min(sum(-(-n // PAGE) for n in scored), axes["num_pages"])
    per_row = HEADS * HEAD_DIM + 4 * HEADS
    return {
        "bytes_read": scored_pages * PAGE_BYTES
        + len(scored) * per_row
        + 4 * sum(pages)
        + 4 * batch,
        "bytes_written": 4 * TOPK * batch,
        "l2_bytes": sum(-(-n // PAGE) for n in scored) * PAGE_BYTES,
        "flops": {
            "fp8": float(2 * HEADS * HEAD_DIM * sum(scored)),
            "fp32": float(3 * HEADS * sum(scored)),
        },
        "serial_steps": 5 if scored else 1,
        "dependent_kernels": 1,
        "data_dependent": True,
        "upper_bound": inputs is None and not structure,
        "assumptions": (
            *assumptions,
            "sequences of at most 2048 tokens need no scores",
            "serial steps are one memory round trip, for lengths and block table do not wait for "
            "each other; where a sequence is scored, its keys are a second one, and three "
            "exchanges between blocks select",
        ),
    }
