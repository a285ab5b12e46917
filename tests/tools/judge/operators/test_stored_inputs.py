"""Tensors of workloads in files: what a header says before anything is run."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from kernel_harness.tools.errors import DatasetError
from kernel_harness.tools.judge.numerics.packed import FLOAT4_PAIRS
from kernel_harness.tools.judge.operators.generic_operator import TORCH_DTYPES
from kernel_harness.tools.judge.operators.operator_adapter import OperatorAdapter
from kernel_harness.tools.judge.operators.stored_inputs import (
    check_made,
    check_stored,
    fetched,
    read_stored,
)
from kernel_harness.tools.schema.flashinfer_trace import SafetensorsInput

from ....judging import AFFINE, read_definition
from .examples import CASE, CPU

SPEC = SafetensorsInput(path="a.st", tensor_key="x")
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"


def write(path, tensor: torch.Tensor, key: str = "x"):
    save_file({key: tensor}, str(path))
    return path


@pytest.mark.parametrize("dtype", TORCH_DTYPES)
def test_a_tensor_as_declared_is_read_in_every_dtype(tmp_path, dtype):
    due = TORCH_DTYPES[dtype]
    ones = torch.ones(2, 3)
    stored = ones.to(torch.uint8).view(due) if due == FLOAT4_PAIRS else ones.to(due)
    path = write(tmp_path / "a.st", stored)
    check_stored("x", SPEC, path, (2, 3), dtype)
    read = read_stored(SPEC, path, CPU)
    assert read.dtype == due and torch.equal(read.view(torch.uint8), stored.view(torch.uint8))


@pytest.mark.parametrize(
    ("content", "key", "words"),
    [
        (torch.ones(9), "x", r"stored as \[9\] float32; the definition declares \[8\] float32"),
        (torch.ones(8).double(), "x", "float64"),
        (torch.ones(8, dtype=torch.uint16), "x", "U16"),
        (torch.ones(8).long(), "x", "int64"),
        (torch.ones(8), "y", "cannot be read"),
    ],
)
def test_another_tensor_is_named_with_its_file(tmp_path, content, key, words):
    path = write(tmp_path / "a.st", content, key)
    with pytest.raises(DatasetError, match=words) as caught:
        check_stored("x", SPEC, path, (8,), "float32")
    assert str(path) in caught.value.where and caught.value.remedy


def test_a_file_that_was_cut_is_found_by_its_header(tmp_path):
    path = write(tmp_path / "a.st", torch.ones(64))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DatasetError, match="cannot be read"):
        check_stored("x", SPEC, path, (64,), "float32")


def test_a_pointer_counts_as_a_file_that_is_missing(tmp_path):
    pointer = tmp_path / "a.st"
    pointer.write_text(POINTER)
    assert not fetched(pointer) and not fetched(tmp_path / "gone.st")
    for path in (pointer, tmp_path / "gone.st"):
        with pytest.raises(DatasetError, match="not there"):
            check_stored("x", SPEC, path, (8,), "float32")


def test_a_scalar_may_be_stored_with_one_element(tmp_path):
    for shape in ((), (1,)):
        path = write(tmp_path / "a.st", torch.ones(shape))
        check_stored("s", SPEC, path, None, "float32")
    path = write(tmp_path / "a.st", torch.ones(2))
    with pytest.raises(DatasetError):
        check_stored("s", SPEC, path, None, "float32")


def test_inputs_py_stands_in_for_files_that_were_not_fetched(tmp_path):
    operator = OperatorAdapter(read_definition(AFFINE), AFFINE, tmp_path)
    case = type(CASE)(**{**vars(CASE), "files": {"x": SPEC}})
    assert operator.stored_fault(case) is None
    write(tmp_path / "a.st", torch.ones(1))
    assert operator.stored_fault(case) is not None


def test_what_inputs_py_made_otherwise_is_its_fault():
    check_made("x", torch.ones(2), (2,), "float32")
    with pytest.raises(DatasetError, match="float32") as caught:
        check_made("x", torch.ones(2).long(), (2,), "float32")
    assert "inputs.py" in caught.value.where
