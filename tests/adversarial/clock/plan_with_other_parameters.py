"""Writes into the plan that only half of the rows are there; kernel and grid stay the same."""

from ._inside import forge_nodes, once
from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "half of the work",
    "refused": ["claimed", "INTEGRITY_VIOLATION"],
    "parts": ["_rows.py", "_inside.py"],
}


@once
def mount():
    forge_nodes(lambda n: n.model_copy(update={"parameters": fewer_rows(n.parameters)}))


def fewer_rows(parameters):
    """The parameters' bytes with half of the count of rows, which is there once."""
    count = (1 << 16).to_bytes(4, "little").hex()
    return parameters.replace(count, (1 << 15).to_bytes(4, "little").hex())


def run(x, w, table, alpha, y, row):
    mount()
    launch(x, w, table, alpha, y, row)
