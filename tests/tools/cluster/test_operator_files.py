"""An operator's files are on a node as they are here, and nowhere else."""

import pytest

from kernel_harness.tools.cluster import operator_files
from kernel_harness.tools.cluster.operator_files import files_of, lay_out
from kernel_harness.tools.errors import InfrastructureError, RequestError


@pytest.fixture
def folder(tmp_path):
    for name in ("reference.py", "sub/table.json", "peers/fast.py", "__pycache__/x.pyc"):
        path = tmp_path / "op" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "op"


def test_what_decides_a_verdict_is_carried_and_solutions_are_not(folder, tmp_path):
    files = files_of(folder)
    assert sorted(files) == ["reference.py", "sub/table.json"]
    place = lay_out(files, "op", tmp_path / "node")
    assert files_of(place) == files and place.name == "op"
    assert lay_out(files, "op", tmp_path / "node") == place
    changed = lay_out(files | {"reference.py": b"other"}, "op", tmp_path / "node")
    assert changed != place and (place / "reference.py").read_text() == "reference.py"


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", ".hidden", "a//b", "a\n"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(InfrastructureError, match="cannot be called"):
        lay_out({name: b""}, "op", tmp_path / "node")
    assert not (tmp_path / "x").exists()


def test_an_operators_own_name_leads_nowhere(tmp_path):
    place = lay_out({"a": b""}, "../../op", tmp_path / "node")
    assert (tmp_path / "node") in place.parents


def test_what_is_too_large_stays(folder, monkeypatch):
    monkeypatch.setattr(operator_files, "MOST_BYTES", 5)
    with pytest.raises(RequestError, match="FlashInfer-Trace dataset"):
        files_of(folder)
