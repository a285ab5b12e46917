"""A GPU is held against other servers by its UUID, and its holder is known."""

import os
import stat

import pytest

from kernel_harness.tools.distributed.device_lock import DeviceLock, Holder, holder_of, lock_name


def free(device: str) -> bool:
    lock = DeviceLock.take(device)
    if lock is not None:
        lock.release()
    return lock is not None


def test_the_same_name_is_another_device_to_servers_that_see_other_ones(shown):
    shown("GPU-a", "GPU-b")
    held = DeviceLock.take("cuda:0")
    assert held is not None and not free("cuda:0")
    shown("GPU-b")
    assert free("cuda:0")
    shown("GPU-c", "GPU-a")
    assert not free("cuda:1")
    held.release()
    assert free("cuda:1")


@pytest.mark.parametrize("uuids", [(), (None,)])
def test_a_device_whose_uuid_is_unknown_goes_by_its_number(shown, uuids):
    shown(*uuids)
    assert lock_name("cuda:0") == "kernel-harness-cuda0.lock"
    assert lock_name("cuda:1") == "kernel-harness-cuda1.lock"


def test_servers_with_temporary_folders_of_their_own_meet(tmp_path, monkeypatch):
    """As two jobs of Slurm have; both timed on one GPU."""
    held = DeviceLock.take("cuda:0")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "other"))
    (tmp_path / "other").mkdir()
    assert held is not None and not free("cuda:0")
    held.release()


def test_the_processor_is_everybodys():
    assert DeviceLock.take("cpu") is not None and free("cpu")


@pytest.mark.parametrize("usual", [None, 12.5])
def test_who_holds_a_device_is_known_and_for_how_long_it_usually_does(usual):
    assert holder_of("cuda:0") is None
    held = DeviceLock.take("cuda:0", usual)
    assert held is not None and holder_of("cuda:0") == Holder(os.getpid(), usual)
    held.release()


def test_other_accounts_may_use_the_same_file(places):
    assert free("cuda:0")
    mode = (places / lock_name("cuda:0")).stat().st_mode
    assert stat.S_IMODE(mode) == 0o666
