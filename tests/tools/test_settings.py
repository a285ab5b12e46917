"""Where a setting comes from, and what becomes of one that nothing knows."""

import os
import sys

import pytest

from kernel_harness.tools import settings as settings_module
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.settings import candidate_environment, home_of, load_settings


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder of one's own, outside any checkout."""
    monkeypatch.setattr(settings_module, "CHECKOUT", tmp_path / "no-checkout")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_argument_wins_over_the_environment_and_that_over_the_file(elsewhere):
    (elsewhere / "kernel-harness.toml").write_text('wait_s = 1.0\ndevice = "cuda:3"\n')
    environment = {"KERNEL_HARNESS_WAIT_S": "2.0", "PATH": "/bin"}
    assert load_settings(environment={}).wait_s == 1.0
    assert load_settings(environment=environment).wait_s == 2.0
    found = load_settings({"wait_s": 3.0, "device": None}, environment)
    assert found.wait_s == 3.0 and found.device == "cuda:3"


def test_without_any_of_them_data_lies_in_the_users_own_folder(elsewhere):
    found = load_settings(environment={})
    assert found.data_dir == elsewhere / "share" / "kernel-harness"
    assert found.archive_dir.parent == found.workspaces_dir.parent == found.data_dir
    (elsewhere / "share" / "kernel-harness").mkdir(parents=True)
    (found.data_dir / "kernel-harness.toml").write_text("search_candidates = 7\n")
    assert load_settings(environment={}).search_candidates == 7


def test_run_from_a_checkout_data_lies_in_it(elsewhere, monkeypatch):
    (elsewhere / "clone").mkdir()
    (elsewhere / "clone" / "pyproject.toml").touch()
    monkeypatch.setattr(settings_module, "CHECKOUT", elsewhere / "clone")
    assert load_settings(environment={}).data_dir == elsewhere / "clone"


def test_several_values_come_as_one_text(elsewhere):
    found = load_settings(
        {"dataset": os.pathsep.join(("a", "b"))}, {"KERNEL_HARNESS_TARGETS": "B200, H100"}
    )
    assert [path.name for path in found.dataset] == ["a", "b"]
    assert found.targets == ("B200", "H100")


def test_flashinfers_own_variable_names_a_dataset_unless_ours_does(elsewhere):
    assert load_settings(environment={"FIB_DATASET_PATH": "/d"}).dataset[0].name == "d"
    both = {"FIB_DATASET_PATH": "/d", "KERNEL_HARNESS_DATASET": "/e"}
    assert [path.name for path in load_settings(environment=both).dataset] == ["e"]


@pytest.mark.parametrize(
    ("overrides", "environment", "file", "words"),
    [
        ({"wait": 1}, {}, "", ["setting in arguments", "wait_s"]),
        ({}, {"KERNEL_HARNESS_DEVISE": "cpu"}, "", ["setting in environment", "device"]),
        ({}, {}, "log_levle = 'INFO'\n", ["kernel-harness.toml", "log_level"]),
        ({}, {}, "device = \n", ["cannot be read", "line 1", "kernel-harness.toml"]),
        ({}, {"KERNEL_HARNESS_WAIT_S": "soon"}, "", ["'wait_s'", "'soon'"]),
        ({"search_hours": -1}, {}, "", ["'search_hours'", "greater than 0"]),
        ({"device": "tpu"}, {}, "", ["'device'", "'tpu': it is", "cuda:N"]),
        ({"cpu_budget_s": "inf"}, {}, "", ["'cpu_budget_s'", "finite"]),
        ({"data_dir": "$NOT_SET_HERE/x"}, {}, "", ["'data_dir'", "$NOT_SET_HERE", "in full"]),
        ({"log_level": "loud"}, {}, "", ["'log_level'", "DEBUG"]),
        ({"data_dir": " "}, {}, "", ["'data_dir' is empty"]),
        ({"data_dir": "~nobody-at-all/x"}, {}, "", ["'data_dir'", "~nobody-at-all"]),
        ({"data_dir": "d" * 300}, {}, "", ["'data_dir'", "too long"]),
        ({"dataset": "d" * 300}, {}, "", ["'dataset'", "too long"]),
        ({"signing_key": "a\0b"}, {}, "", ["'signing_key'", "null"]),
    ],
)
def test_what_nothing_knows_or_cannot_be_is_refused(elsewhere, overrides, environment, file, words):
    if file:
        (elsewhere / "kernel-harness.toml").write_text(file)
    with pytest.raises(RequestError) as refused:
        load_settings(overrides, environment)
    assert all(word in str(refused.value) for word in words), str(refused.value)


def test_a_candidate_sees_none_of_the_users_secrets(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/lib/cuda")
    seen = candidate_environment()
    assert "ANTHROPIC_API_KEY" not in seen and seen["LD_LIBRARY_PATH"] == "/lib/cuda"


def test_a_clients_own_folder_is_known_where_it_says_so(monkeypatch):
    monkeypatch.setenv("CODEX_HOME", "/somewhere")
    assert str(home_of("CODEX_HOME")) == "/somewhere"
    monkeypatch.delenv("CODEX_HOME")
    assert home_of("CODEX_HOME") is None


def test_a_path_is_absolute_from_where_it_was_written(elsewhere, monkeypatch):
    monkeypatch.setenv("HOME", str(elsewhere / "home"))
    assert load_settings({"data_dir": "./mine"}, {}).data_dir == elsewhere / "mine"
    environment = {"KERNEL_HARNESS_DATA_DIR": "~/x", "KERNEL_HARNESS_DATASET": "~/a:b/../c"}
    found = load_settings(environment=environment)
    assert found.data_dir == elsewhere / "home" / "x"
    assert found.dataset == (elsewhere / "home" / "a", elsewhere / "c")
    assert load_settings({"data_dir": "${HOME}/y"}, {}).data_dir == elsewhere / "home" / "y"
    own = elsewhere / "share" / "kernel-harness"
    own.mkdir(parents=True)
    (own / "kernel-harness.toml").write_text('data_dir = "data"\n')
    assert load_settings(environment={}).data_dir == own / "data"


def test_an_empty_variable_is_one_that_is_not_set(elsewhere):
    names = ("DATA_DIR", "DATASET", "DEVICE", "WAIT_S", "SEARCH_HOURS")
    environment = {f"KERNEL_HARNESS_{name}": "" for name in names}
    assert load_settings(environment=environment) == load_settings(environment={})


@pytest.mark.parametrize(
    ("spelling", "device"),
    [("CPU", "cpu"), ("cuda", "cuda:0"), ("gpu", "cuda:0"), ("CUDA:1", "cuda:1"), ("2", "cuda:2")]
    + [(" auto ", "auto"), ("gpu1", "cuda:1"), (3, "cuda:3"), ("cuda:0, 2,0", "cuda:0,2")]
    + [("H200", "h200"), ("RTX 4090", "rtx 4090")],
)
def test_a_device_is_known_by_the_names_that_people_write(spelling, device):
    assert load_settings({"device": spelling}, {}).device == device


def test_a_data_folder_that_is_a_file_is_refused_in_words(elsewhere):
    (elsewhere / "file").touch()
    with pytest.raises(RequestError, match="file is not a folder"):
        load_settings({"data_dir": "file/data"}, {})


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_data_folder_that_cannot_be_written_to_is_refused_in_words(elsewhere):
    """Whoever may do everything is let in by every permission, and still writes nothing there."""
    with pytest.raises(RequestError, match="/proc cannot be written to.*DATA_DIR"):
        load_settings({"data_dir": "/proc/mine"}, {})


def test_a_data_folder_that_can_be_written_to_is_left_as_it_was(elsewhere):
    load_settings({"data_dir": "mine/deeper"}, {})
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("name", ["CC", "CXX", "NVCC_CCBIN"])
def test_the_compilers_that_advice_names_reach_a_candidate(monkeypatch, name):
    monkeypatch.setenv(name, "/opt/compiler")
    assert candidate_environment()[name] == "/opt/compiler"


def test_a_folder_of_ones_own_skills_is_found_beside_the_data(tmp_path):
    settings = load_settings({"data_dir": str(tmp_path)}, {})
    assert len(settings.skills_dirs) == 1
    (tmp_path / "skills").mkdir()
    assert settings.skills_dirs[1:] == (tmp_path / "skills",)
    other = tmp_path / "other"
    other.mkdir()
    chosen = load_settings({"data_dir": str(tmp_path), "skills_dir": str(other)}, {})
    assert chosen.skills_dirs[1:] == (other,)
    shipped = chosen.skills_dirs[0]
    assert load_settings({"skills_dir": str(shipped)}, {}).skills_dirs == (shipped,)
