"""Old builds and stale folders are removed; what may be in use stays."""

import os
import time

import pytest

from kernel_harness.tools.judge.processes.cleanup import (
    close_cache,
    evict_builds,
    private_folder,
    remove_stale_folders,
)

DAY = 86_400


@pytest.fixture
def cache(tmp_path):
    """Three builds of 1000 bytes, used one, two and three days ago; the seed; other folders."""
    names = ["native-a", "object-b", "baseline-kernels/c", "triton-seed", "notes"]
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
    assert evict_builds(cache, most_bytes=1 << 20) == 0
    assert len(there(cache)) == 5


def test_what_was_used_longest_ago_goes_first_and_only_as_much_as_must(cache):
    size = sum(p.lstat().st_size for p in (cache / "native-a").rglob("*"))
    assert evict_builds(cache, most_bytes=2 * size) == size
    assert there(cache) == {"native-a", "object-b", "triton-seed", "notes"}
    os.utime(cache / "object-b")
    assert evict_builds(cache, most_bytes=size) == size
    assert there(cache) == {"object-b", "triton-seed", "notes"}


def test_what_is_no_build_stays_and_what_is_young_goes_when_it_must(cache):
    (cache / "native-new").mkdir()
    (cache / "native-new" / "file").write_bytes(b"x" * 1000)
    evict_builds(cache, most_bytes=0)
    assert there(cache) == {"triton-seed", "notes"} and not (cache / "native-new").exists()


def test_what_was_left_over_goes(cache):
    young = ".draft-native-young-1-3"
    for name in (".draft-native-a-1-2", ".evicted-native-b-1", ".race-1", young):
        (cache / name).mkdir()
        os.utime(cache / name, (1e9, 1e9))
    os.utime(cache / young)
    (cache / "triton-kernels" / "what a candidate wrote").mkdir(parents=True)
    evict_builds(cache)
    left = {p.name for p in cache.iterdir()}
    assert left == {"native-a", "object-b", "baseline-kernels", "triton-seed", "notes", young}


def test_nobody_else_may_enter_the_cache(tmp_path):
    (tmp_path / "cache").mkdir(mode=0o755)
    close_cache(tmp_path / "cache")
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert evict_builds(tmp_path / "none") == 0


# --- stale folders

GONE, OLD = 2**22 + 1, time.time() - 86_400


def made(folder, name, *, at=OLD):
    (folder / name).mkdir()
    (folder / name / "file").write_text("x")
    os.utime(folder / name, (at, at))


def test_only_old_folders_of_judges_that_are_gone_are_removed(tmp_path):
    made(tmp_path, f"kernel-harness-candidate-{GONE}-a")
    made(tmp_path, f"kernel-harness-candidate-{GONE}-young", at=time.time())
    made(tmp_path, f"kernel-harness-candidate-{os.getpid()}-mine")
    made(tmp_path, "kernel-harness-demo-1")
    (tmp_path / f"kernel-harness-candidate-{GONE}-link").symlink_to(tmp_path)
    assert remove_stale_folders(tmp_path) == [f"kernel-harness-candidate-{GONE}-a"]
    assert len(list(tmp_path.iterdir())) == 4


def test_a_private_folder_bears_the_name_that_is_looked_for():
    folder = private_folder()
    try:
        os.utime(folder, (OLD, OLD))
        assert folder.name not in remove_stale_folders()
        assert f"-{os.getpid()}-" in folder.name
    finally:
        folder.rmdir()
