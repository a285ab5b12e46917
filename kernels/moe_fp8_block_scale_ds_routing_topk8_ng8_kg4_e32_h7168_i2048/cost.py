"""Work that any correct kernel of the mixture of experts must do.

Read by the server, so it imports nothing heavy unless inputs are given. It counts unique bytes and
useful operations; it does not know what a particular kernel does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EXPERTS, LOCAL, HIDDEN, INNER, BLOCK = 256, 32, 7168, 2048, 128
NUM_GROUPS, KEPT_GROUPS, TOPK = 8, 4, 8
EXPERT_BYTES = 3 * INNER * HIDDEN + 4 * 3 * (INNER // BLOCK) * (HIDDEN // BLOCK)


def cost(
    axes: Mapping[str, int],
    *,
    structure: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Counts bytes, operations and dependent steps.

    Bytes: the weights of each selected local expert once, logits, bias, the activations of tokens
    that select a local expert, and the output. The intermediate of both products could stay on the
    chip, so it is counted as L2 traffic only.

    Args:
        axes: seq_len.
        structure: not needed.
        inputs: the tensors, where at hand; the routing is then replayed, else every expert is
            taken to be equally likely.

    Returns:
        The fields of a Cost.
    """
    tokens = axes["seq_len"]
    if inputs is None:
        pairs = tokens * TOPK * LOCAL / EXPERTS
        active = LOCAL * (1.0 - (1.0 - 1.0 / LOCAL) ** tokens)
        touched = min(tokens * KEPT_GROUPS / NUM_GROUPS, pairs)
        assumption = "every expert is equally likely: expected pairs, experts and tokens"
    else:
        pairs, active, touched = _replay(inputs)
        assumption = "pairs, experts and tokens counted from the inputs"
    read = (
        active * EXPERT_BYTES
        + tokens * EXPERTS * 4
        + EXPERTS * 2
        + touched * (HIDDEN + 4 * HIDDEN // BLOCK)
    )
    inner_bytes = pairs * 2 * (INNER + 4 * INNER // BLOCK)
    return {
        "bytes_read": round(read),
        "bytes_written": tokens * HIDDEN * 2,
        "l2_bytes": round(inner_bytes + pairs * 2 * HIDDEN * 4),
        "flops": {"fp8": float(2 * 3 * INNER * HIDDEN * pairs)},
        "serial_steps": 3,
        "dependent_kernels": 1,
        "data_dependent": True,
        "upper_bound": False,
        "expected": inputs is None,
        "assumptions": (
            assumption,
            "an expert that no token selects is not read",
            "serial steps are routing and the two products",
        ),
    }


def _replay(inputs: Mapping[str, Any]) -> tuple[int, int, int]:
    """Pairs of token and local expert, local experts selected, tokens that select one."""
    import torch

    biased = torch.sigmoid(inputs["routing_logits"].float()) + inputs["routing_bias"].float()
    grouped = biased.unflatten(1, (NUM_GROUPS, -1))
    worth = grouped.topk(2, dim=2).values.sum(dim=2)
    kept = torch.zeros_like(worth, dtype=torch.bool)
    kept.scatter_(1, worth.topk(KEPT_GROUPS, dim=1).indices, True)
    candidates = grouped.masked_fill(~kept[:, :, None], float("-inf")).flatten(1)
    local = candidates.topk(TOPK, dim=1).indices - int(inputs["local_expert_offset"])
    inside = (local >= 0) & (local < inputs["gemm1_weights"].shape[0])
    return (
        int(inside.sum()),
        int(local[inside].unique().numel()),
        int(inside.any(dim=1).sum()),
    )
