"""What integers point into is read from a reference's code."""

from __future__ import annotations

import pytest

from kernel_harness.tools.judge.philox.index_uses import indexed_axes

INPUTS = ("table", "ids", "starts")


def uses(body: str, arguments: str = "table, ids, starts") -> dict[str, set[tuple[str, int]]]:
    lines = "\n    ".join(body.splitlines())
    found = indexed_axes(f"import torch\n\n\ndef run({arguments}):\n    {lines}\n", INPUTS)
    return {name: set(axes) for name, axes in found.items()}


@pytest.mark.parametrize(
    ("body", "position"),
    [
        ("return table[ids]", 0),
        ("return table.float()[ids.long()]", 0),
        ("return table[:, ids]", 1),
        ("return table[:, None, ids]", 1),
        ("wide = table.to(torch.float32)\nreturn wide[ids.view(-1)]", 0),
        ("made = table.clone()\nmade[ids] = 0\nreturn made", 0),
        ("for i in range(3):\n    slot = int(ids[i])\n    table[slot] = 0", 0),
        ("a, b = int(ids[0]), 1\nreturn table[a, b]", 0),
        ("for slot in ids.tolist():\n    table[slot] += 1", 0),
        ("return torch.index_select(table, 1, ids)", 1),
        ("return table.gather(1, ids)", 1),
        ("return torch.nn.functional.embedding(ids, table)", 0),
        ("return torch.nn.functional.cross_entropy(table, ids)", 1),
    ],
)
def test_an_index_is_followed_through_names_casts_and_elements(body: str, position: int) -> None:
    assert uses(body) == {"ids": {("table", position)}}


@pytest.mark.parametrize(
    "body",
    [
        "return table",
        "return table[ids + 1]",
        "return table.reshape(-1)[ids]",
        "table = table.flatten()\nreturn table[ids]",
        "ids = ids // 2\nreturn table[ids]",
        "return table[..., ids]",
        "return table.sum()[ids]",
        "return other(table, ids)[ids]",
    ],
)
def test_what_is_computed_points_into_nothing_known(body: str) -> None:
    assert uses(body) == {}


def test_arguments_are_inputs_by_their_order() -> None:
    assert uses("return w[i]", "w, i, s") == {"ids": {("table", 0)}}
    assert uses("return table[ids[starts[0]]]") == {
        "ids": {("table", 0)},
        "starts": {("ids", 0)},
    }


def test_code_without_a_run_points_into_nothing() -> None:
    assert indexed_axes("run = max\n", INPUTS) == {}
