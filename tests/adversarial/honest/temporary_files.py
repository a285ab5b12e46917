"""Writes and reads a temporary file, as compilers and tuners do."""

import json
import tempfile
from pathlib import Path

EXPECT = {"status": "PASSED"}

CACHE = Path(tempfile.mkdtemp()) / "tuned.json"


def run(x, w, table, alpha, y, row):
    if not CACHE.exists():
        CACHE.write_text(json.dumps({"offset": 1.0}))
    y.copy_(x[table.long()] * w * alpha + json.loads(CACHE.read_text())["offset"])
    row.copy_(y.sum(dim=-1))
