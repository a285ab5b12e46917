"""What killed judges left goes; what may still be used stays."""

import os
import time

from kernel_harness.tools.judge.processes.cleanup import private_folder, sweep

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
    assert sweep(tmp_path) == [f"kernel-harness-candidate-{GONE}-a"]
    assert len(list(tmp_path.iterdir())) == 4


def test_a_private_folder_bears_the_name_that_is_looked_for():
    folder = private_folder()
    try:
        os.utime(folder, (OLD, OLD))
        assert folder.name not in sweep()
        assert f"-{os.getpid()}-" in folder.name
    finally:
        folder.rmdir()
