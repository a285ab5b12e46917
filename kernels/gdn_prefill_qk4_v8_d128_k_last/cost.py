"""The work that every correct gated delta prefill must do.

The states of all sequences are read and written once, the tokens' vectors once. The operations are
those of the recurrence itself, the fewest of any known form; the chunked form does up to half as
many again, on tensor cores. What limits most prompts is neither: chunks of one sequence follow each
other, so the longest sequence sets the number of serial steps.
"""

from __future__ import annotations

from typing import Any

QK_HEADS, V_HEADS, SIZE = 4, 8, 128
CHUNK = 64
STATE_BYTES = V_HEADS * SIZE * SIZE * 4
CHUNK_US = 1.0
"""Time of one chunk of the chain: what state, update and query products of one 64-token chunk take
on one multiprocessor in the best design that we know of. An estimate, not a bound."""


def cost(
    axes: dict[str, int], *, structure: dict[str, Any] | None = None, inputs: Any = None
) -> dict[str, Any]:
    """Counts bytes, operations and serial steps of one call.

    Args:
        axes: needs `total_seq_len` and `num_seqs`.
        structure: its `seq_lens` give the longest sequence, and those without tokens.
        inputs: its `cu_seqlens` give them better.

    Returns:
        The fields of the roofline's Cost. The state of a sequence without tokens is not read.
    """
    total, sequences = axes["total_seq_len"], axes["num_seqs"]
    assumptions = ["states come from device memory and go back to it"]
    lengths = (structure or {}).get("seq_lens")
    if inputs is not None and "cu_seqlens" in inputs:
        bounds = [int(n) for n in inputs["cu_seqlens"]]
        lengths = [end - start for start, end in zip(bounds, bounds[1:], strict=False)]
    if not lengths:
        lengths = [-(-total // sequences)] * sequences
        assumptions.append("sequence lengths are not known; an even split is assumed")
    live = sum(length > 0 for length in lengths)
    chunks = -(-max(lengths) // CHUNK)
    token_bytes = (2 * QK_HEADS * SIZE + V_HEADS * SIZE) * 2 + V_HEADS * 2 * 2
    return {
        "bytes_read": live * STATE_BYTES
        + total * token_bytes
        + 8 * (sequences + 1)
        + 2 * V_HEADS * 4,
        "bytes_written": sequences * STATE_BYTES + total * V_HEADS * SIZE * 2,
        "l2_bytes": 0,
        "flops": {"bf16": 7 * total * V_HEADS * SIZE * SIZE},
        "serial_steps": chunks,
        # Beyond one chunk, the best design prepares all chunks at once and then walks the chain.
        "dependent_kernels": 1 if chunks <= 1 else 2,
        "data_dependent": True,
        "upper_bound": False,
        "assumptions": assumptions,
        "step_us": CHUNK_US,
    }
