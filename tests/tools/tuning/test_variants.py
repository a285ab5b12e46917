"""The variants of a call: every point of its grids once, none beyond the bound."""

from __future__ import annotations

from typing import Any

import pytest

from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.tuning.variants import distinct, grid_variants

from .test_constants import program


def names(grids: Any) -> list[str]:
    return [variant.name for variant in grid_variants(program(), grids)]


def test_a_grid_is_every_combination_named_by_what_varies():
    grids = {"tile": {"BLOCK": [32, 64], "WARPS": [4, 8], "DEPTH": 1}}
    assert names(grids) == [
        "tile BLOCK=32 WARPS=4",
        "tile BLOCK=32 WARPS=8",
        "tile BLOCK=64 WARPS=4",
        "tile BLOCK=64 WARPS=8",
    ]
    made = grid_variants(program(), grids)[1]
    assert made.values == {"BLOCK": 32, "WARPS": 8, "DEPTH": 1}
    assert "BLOCK = 32\nWARPS = 8" in made.solution.sources[0].content


def test_a_grid_without_lists_is_one_variant_of_its_name():
    assert names({"wide": {"BLOCK": 128}, "narrow": {"BLOCK": 16}}) == ["wide", "narrow"]


def test_a_table_of_a_candidate_file_names_variants_by_values_alone():
    assert names({"": {"BLOCK": [32], "_tile": {"BM": [2, 4]}}}) == [
        "BLOCK=32 BM=2",
        "BLOCK=32 BM=4",
    ]


def test_names_that_would_be_the_same_are_numbered():
    assert names({"a": {"_tile.BM": [[1, 2], [1, 2]]}}) == ["a BM=[1,2]", "a BM=[1,2] (2)"]


def test_variants_of_the_same_bytes_are_tried_once():
    kept, repeated = distinct(grid_variants(program(), {"": {"BLOCK": [32, 64, 32]}}))
    assert [variant.name for variant in kept] == ["BLOCK=32", "BLOCK=64"]
    assert repeated == {"BLOCK=32 (2)": "BLOCK=32"}


def test_ten_thousand_variants_are_refused_before_one_is_made():
    with pytest.raises(RequestError, match="10000 variants; at most 256"):
        grid_variants(program(), {"": {"BLOCK": list(range(100)), "WARPS": list(range(100))}})


@pytest.mark.parametrize("grids", [{}, {"a": {}}, {"": {}}, {"a": {"BLOCK": [1]}, "b": {}}])
def test_without_a_constant_it_is_said_how_to_name_one(grids):
    with pytest.raises(RequestError, match="No constant is named") as caught:
        grid_variants(program(), grids)
    assert "[tune]" in str(caught.value)


def test_a_constant_without_a_value_is_refused():
    with pytest.raises(RequestError, match="no value"):
        grid_variants(program(), {"": {"BLOCK": []}})
