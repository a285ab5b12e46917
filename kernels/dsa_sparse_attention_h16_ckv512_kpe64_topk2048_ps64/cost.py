"""Work that any correct kernel of sparse latent attention must do.

Read by the server, so it imports nothing heavy. It counts unique bytes and useful multiplications;
it does not know what a particular kernel does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADS, LATENT, ROTARY, PAGE, TOPK = 16, 512, 64, 64, 2048


def cost(
    axes: Mapping[str, int],
    *,
    structure: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Counts bytes, operations and dependent steps.

    Bytes: each distinct selected row once (latent and rotary part, bfloat16), queries, indices,
    output and log-sum-exp. Operations: two for each multiply-add of scores and of values, for
    selected rows only.

    Args:
        axes: num_tokens, num_pages.
        structure: `valid_indices_per_token`; rows are then taken to be distinct.
        inputs: the tensors, where at hand; rows are then counted exactly.

    Returns:
        The fields of a Cost.
    """
    tokens = axes["num_tokens"]
    assumptions = []
    if inputs is not None:
        chosen = inputs["sparse_indices"]
        valid = chosen[chosen >= 0]
        selected, distinct = int(valid.numel()), int(valid.unique().numel())
    elif structure and "valid_indices_per_token" in structure:
        selected = distinct = int(sum(structure["valid_indices_per_token"]))
        assumptions.append("no row is selected twice")
    else:
        selected = distinct = tokens * TOPK
        assumptions.append(f"every token selects {TOPK} rows")
    distinct = min(distinct, axes["num_pages"] * PAGE)
    row_bytes = 2 * (LATENT + ROTARY)
    return {
        "bytes_read": row_bytes * distinct + tokens * (HEADS * row_bytes + 4 * TOPK),
        "bytes_written": tokens * (2 * HEADS * LATENT + 4 * HEADS),
        "l2_bytes": row_bytes * selected,
        "flops": {"bf16": float(2 * HEADS * selected * (2 * LATENT + ROTARY))},
        "serial_steps": 2,
        "dependent_kernels": 1,
        "data_dependent": True,
        "upper_bound": inputs is None and not structure,
        "assumptions": (
            *assumptions,
            "unselected cache rows are not read",
            "serial steps are the two dependent memory round trips: indices, then rows",
        ),
    }
