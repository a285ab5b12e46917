"""Folders of deployed kernels, written as `kernel-harness deploy` writes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.schema.deployment.kernel_index import (
    INDEX_NAME,
    ArgumentForm,
    IndexedKernel,
    KernelIndex,
    digest_of_bytes,
)

SCALED_ADD = """
import torch

CALLS = []


def run(x, w, alpha, y):
    CALLS.append(tuple(x.shape))
    torch.mul(x, w, out=y).mul_(alpha)
"""
BY_VALUE = """
import torch

CALLS = []


def run(x, w, alpha):
    CALLS.append(tuple(x.shape))
    return x * w * alpha
"""
FORMS = {
    "x": ArgumentForm(("m", "n"), "float32"),
    "w": ArgumentForm(("n",), "float32"),
    "alpha": ArgumentForm(None, "float32"),
}
KERNEL = IndexedKernel(
    definition="scaled_n8",
    axes={"m": None, "n": 8},
    inputs=FORMS,
    outputs={"y": ArgumentForm(("m", "n"), "float32")},
    constraints=(),
    judged=({"m": 2}, {"m": 64}),
    candidate="0123456789ab",
    content_hash="c0ffee" * 10,
    language="python",
    binding=None,
    entry_point="kernel.py::run",
    destination_passing=True,
    folder="kernels/c0ffee",
    library=None,
)

WriteFolder = Callable[..., Path]


@pytest.fixture
def write_folder(tmp_path: Path) -> WriteFolder:
    """Writes a folder with one kernel; takes its sources and what is to be different."""

    def write(
        sources: dict[str, str] | str = SCALED_ADD, device: str = "cpu", **changes: Any
    ) -> Path:
        folder = tmp_path / f"kernels{len(list(tmp_path.iterdir()))}"
        if isinstance(sources, str):
            sources = {"kernel.py": sources}
        kernel = replace(KERNEL, **changes)
        files = {f"{kernel.folder}/{path}": text.encode() for path, text in sources.items()}
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        digests = {path: digest_of_bytes(content) for path, content in files.items()}
        index = KernelIndex(device, "", (kernel,), digests)
        (folder / INDEX_NAME).write_text(index.text(), encoding="utf-8")
        return folder

    return write
