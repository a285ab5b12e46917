"""A folder that was changed in any way is refused before any of it is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kernel_harness.tools.applying.kernel_folder import open_folder
from kernel_harness.tools.errors import DatasetError, RequestError
from kernel_harness.tools.schema.deployment.kernel_index import INDEX_NAME, read_index


def test_a_folder_as_it_was_written_is_opened(write_folder) -> None:
    folder = write_folder()
    opened = open_folder(folder)
    assert opened.kernel(None).definition == "scaled_n8"
    assert open_folder(folder, opened.index.digest).index == opened.index
    assert read_index(opened.index.text()) == opened.index


def edit(folder: Path, old: str, new: str) -> None:
    index = folder / INDEX_NAME
    text = index.read_text("utf-8")
    assert old in text
    index.write_text(text.replace(old, new), "utf-8")


def link_elsewhere(folder: Path) -> None:
    source = folder / "kernels/c0ffee/kernel.py"
    (folder.parent / "elsewhere.py").write_bytes(source.read_bytes())
    source.unlink()
    source.symlink_to(folder.parent / "elsewhere.py")


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a source": (
        lambda f: (f / "kernels/c0ffee/kernel.py").write_text("import os\n"),
        "was changed",
    ),
    "a file more": (lambda f: (f / "kernels/c0ffee/more.py").write_text("1"), "does not name"),
    "a link more": (lambda f: (f / "more").symlink_to("/etc"), "does not name"),
    "a file less": (lambda f: (f / "kernels/c0ffee/kernel.py").unlink(), "which the index names"),
    "a link to the same": (link_elsewhere, "cannot be read"),
    "the sizes": (lambda f: edit(f, '"m": 64', '"m": 4096'), "its digest is another"),
    "the form": (lambda f: edit(f, "kernels/1", "kernels/9"), "not of the form"),
    "no index": (lambda f: (f / INDEX_NAME).unlink(), "The index cannot be used"),
    "no text": (lambda f: (f / INDEX_NAME).write_bytes(b"\xff\xfe"), "The index cannot be used"),
    "a list": (lambda f: (f / INDEX_NAME).write_text("[]"), "not of the form"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_changed_is_refused(write_folder, name: str) -> None:
    folder = write_folder()
    change, words = CHANGES[name]
    change(folder)
    with pytest.raises(DatasetError, match=words):
        open_folder(folder)


def test_an_index_written_anew_is_refused_by_the_digest_that_is_asked_for(write_folder) -> None:
    first, second = write_folder(), write_folder(judged=({"m": 1}, {"m": 4096}))
    digest = open_folder(first).index.digest
    with pytest.raises(DatasetError, match="another than the one asked for"):
        open_folder(second, digest)


def test_an_index_that_lacks_a_part_is_no_traceback(write_folder) -> None:
    folder = write_folder()
    values = json.loads((folder / INDEX_NAME).read_text("utf-8"))
    del values["kernels"][0]["judged"]
    with pytest.raises(ValueError, match="its digest is another"):
        read_index(json.dumps(values))


def test_a_kernel_that_is_not_there_is_named_with_those_that_are(write_folder) -> None:
    with pytest.raises(RequestError, match="scaled_n8"):
        open_folder(write_folder()).kernel("scaled_n9")
