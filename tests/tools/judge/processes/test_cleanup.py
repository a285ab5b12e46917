"""Old builds make room for new ones; what may be in use stays."""

import os
import time

import pytest

from kernel_harness.tools.judge.processes.cleanup import prune

DAY = 86_400


@pytest.fixture
def cache(tmp_path):
    """Three builds of 1000 bytes, one, two and three days old; the seed; somebody else's folder."""
    names = ["native-a", "object-b", "triton-kernels/c", "triton-seed", "notes"]
    for days, name in enumerate(names, start=1):
        folder = tmp_path / name
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "file").write_bytes(b"x" * 1000)
        then = time.time() - days * DAY - 60
        os.utime(folder, (then, then))
    return tmp_path


def there(cache):
    return {str(p.parent.parent.relative_to(cache)) for p in cache.rglob("file")}


def test_nothing_goes_while_all_of_it_fits(cache):
    assert prune(cache, most_bytes=1 << 20) == 0
    assert len(there(cache)) == 5


def test_the_oldest_go_first_and_only_as_many_as_must(cache):
    size = sum(p.lstat().st_size for p in (cache / "native-a").rglob("*"))
    assert prune(cache, most_bytes=2 * size) == size
    assert there(cache) == {"native-a", "object-b", "triton-seed", "notes"}


def test_what_is_no_build_and_what_is_young_stays(cache):
    prune(cache, most_bytes=0)
    assert there(cache) == {"triton-seed", "notes"}
    (cache / "native-new").mkdir()
    prune(cache, most_bytes=0)
    assert (cache / "native-new").is_dir()


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert prune(tmp_path / "none") == 0
