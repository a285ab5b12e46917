"""Source pages in the form that NVIDIA documents for `ncu --page source --csv --print-source sass`.

Written by hand: a row with the kernel's name, a row of columns, a row for each instruction. What an
H200 printed is in tests/fixtures/ncu.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

COLUMNS = (
    "Address",
    "Source",
    "Warp Stall Sampling (All Samples)",
    "Warp Stall Sampling (Not-issued Samples)",
    "# Samples",
    "Instructions Executed",
    "stall_long_sb",
    "stall_selected",
    "stall_wait",
    "stall_long_sb (Not Issued)",
)
STEP = (
    ("LDC R1, c[0x0][0x28]", 10, 0, 10, 0),
    ("LDG.E R9, desc[UR8][R6.64]", 20, 0, 20, 0),
    ("@!P0 LDG.E.128 R13, desc[UR8][R6.64+0x200]", 0, 0, 0, 0),
    ("MUFU.EX2 R10, R9", 160, 150, 4, 6),
    ("BAR.SYNC.DEFER_BLOCKING 0x0", 10, 0, 2, 8),
    ("@!P1 BRA `(.L_x_0)", 0, 0, 0, 0),
    ("HMMA.16816.F32.BF16 R4, R8, R10, R4", 0, 0, 0, 0),
    ("EXIT", 0, 0, 0, 0),
    ("BRA `(.L_x_1)", 0, 0, 0, 0),
)
"""The kernel of tests/tools/profiling/code/samples.py: text, samples, and three reasons of them."""


def source_page(
    *launches: str, rows: Sequence[tuple[str, int, int, int, int]] = STEP, base: int = 0x7F00
) -> str:
    """A page of launches of these names, all with the same instructions."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for name in launches:
        writer.writerow(["Kernel Name", name])
        writer.writerow(COLUMNS)
        for number, (text, samples, load, issued, wait) in enumerate(rows):
            address = f"0x{base + 16 * number:x}"
            counts = [samples, samples - issued, samples, 4224, load, issued, wait, load]
            writer.writerow([address, f"      {text} ", *(f"{count:,}" for count in counts)])
    return out.getvalue()
