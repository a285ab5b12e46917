"""The work that every correct gated delta step must do.

Counted once per call: the state is read and written, which is all that matters; the vectors and
gates are small beside it.
"""

from __future__ import annotations

from typing import Any

QK_HEADS, V_HEADS, SIZE = 4, 8, 128
STATE_BYTES = V_HEADS * SIZE * SIZE * 4


def cost(
    axes: dict[str, int], *, structure: dict[str, Any] | None = None, inputs: Any = None
) -> dict[str, Any]:
    """Counts bytes and operations of one call.

    Args:
        axes: needs `batch_size`.
        structure, inputs: not used; the work does not depend on values.

    Returns:
        The fields of the roofline's Cost. Per state element: one multiplication for the decay and
        three multiply-adds (recall, correction, query), seven operations in float32.
    """
    batch = axes["batch_size"]
    vectors = (2 * QK_HEADS * SIZE + V_HEADS * SIZE) * 2
    gates = V_HEADS * 2 * 2
    return {
        "bytes_read": batch * (STATE_BYTES + vectors + gates) + 2 * V_HEADS * 4,
        "bytes_written": batch * (STATE_BYTES + V_HEADS * SIZE * 2),
        "l2_bytes": 0,
        "flops": {"fp32": 7 * batch * V_HEADS * SIZE * SIZE},
        "serial_steps": 1,
        "dependent_kernels": 1,
        "data_dependent": False,
        "upper_bound": False,
        "assumptions": ["the state comes from device memory and goes back to it"],
    }
