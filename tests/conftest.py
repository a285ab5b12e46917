"""Keys that tests make lie in a folder of their own, never among the user's."""

import os
import shutil
import tempfile


def pytest_configure(config) -> None:
    folder = tempfile.mkdtemp(prefix="kernel-harness-keys-")
    os.environ["XDG_CONFIG_HOME"] = folder  # noqa: TID251
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
