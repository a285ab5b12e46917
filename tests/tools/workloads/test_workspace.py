"""Folders for candidates: made whole, named plainly, never outside their place."""

import tomllib
from pathlib import Path

import pytest

from kernel_harness.tools.errors import DatasetError, RequestError
from kernel_harness.tools.schema.flashinfer_trace import Definition, Solution, Workload
from kernel_harness.tools.workloads.operators import Operator
from kernel_harness.tools.workloads.solution_folder import read_candidate_file, read_solution
from kernel_harness.tools.workloads.workspace import (
    WorkspaceStart,
    confined,
    make_workspace,
    name_plan,
)


@pytest.fixture
def operator():
    tensor = {"shape": ["m"], "dtype": "float32"}
    definition = Definition.model_validate(
        {
            "name": "double",
            "op_type": "test",
            "description": "Twice its input.",
            "axes": {"m": {"type": "var"}},
            "inputs": {"x": tensor, "by": {"shape": None, "dtype": "float32"}},
            "outputs": {"y": tensor},
            "constraints": ["m >= 1"],
            "reference": "def run(x, by):\n    return x * by\n",
        }
    )
    workload = {"uuid": "w", "axes": {"m": 4}, "inputs": {"x": {"type": "random"}}}
    return Operator(definition=definition, workloads=(Workload.model_validate(workload),))


def solution(*paths: str) -> Solution:
    return Solution.model_validate(
        {
            "name": "one",
            "definition": "double",
            "author": "t",
            "spec": {
                "language": "triton",
                "target_hardware": ["cuda"],
                "entry_point": f"{paths[0]}::run",
            },
            "sources": [{"path": path, "content": "def run(x, by, y): ...\n"} for path in paths],
        }
    )


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "workspaces"


def test_a_new_workspace_reads_back_as_a_candidate(folder, operator):
    made = make_workspace(folder, operator, None)
    assert Path(made.path).parent == folder
    back = read_solution(confined(folder, made.path))
    assert back.definition == "double" and [s.path for s in back.sources] == ["kernel.py"]
    assert "def run(x, by, y)" in back.sources[0].content
    notes = Path(made.path, "NOTES.md").read_text()
    assert "`x` [m] float32" in notes and "`by` scalar" in notes and "`m >= 1`" in notes
    second = make_workspace(folder, operator, None)
    assert second.path != made.path


def test_a_workspace_begins_with_all_files_of_what_it_starts_from(folder, operator):
    start = solution("kernel.py", "parts/tile.py")
    made = make_workspace(folder, operator, "mine", WorkspaceStart(start, "one"))
    assert read_solution(confined(folder, "mine")).content_hash() == start.content_hash()
    manifest = tomllib.loads(Path(made.path, "candidate.toml").read_text())
    assert manifest["entry_point"] == "kernel.py::run" and manifest["definition"] == "double"


@pytest.mark.parametrize("name", ["", "..", "a/b", "Ä", ".hidden", "x" * 65, "a b", "-x"])
def test_a_name_that_is_no_plain_word_is_refused(folder, operator, name):
    if name:
        with pytest.raises(RequestError, match="cannot name a workspace"):
            make_workspace(folder, operator, name)
    else:
        assert Path(make_workspace(folder, operator, name).path).is_dir()


def test_a_name_is_given_once(folder, operator):
    make_workspace(folder, operator, "mine")
    with pytest.raises(RequestError, match="exists already"):
        make_workspace(folder, operator, "mine")


def test_a_source_that_points_out_of_it_is_not_written(folder, operator, tmp_path):
    honest = solution("kernel.py")
    # No model lets such a path in; a model that was changed afterwards could still hold one.
    outside = honest.sources[0].model_copy(update={"path": "../../outside.py"})
    evil = honest.model_copy(update={"sources": [outside]})
    with pytest.raises(RequestError, match="must be relative"):
        make_workspace(folder, operator, "evil", WorkspaceStart(evil, "one"))
    assert not (tmp_path / "outside.py").exists()


def test_sources_named_like_the_harness_own_files_stay_sources(folder, operator):
    start = solution("kernel.py", "reference.py", "README.md")
    made = make_workspace(folder, operator, "mine", WorkspaceStart(start, "one"))
    back = read_solution(confined(folder, "mine"))
    assert back.content_hash() == start.content_hash()
    assert {"candidate.toml", "NOTES.md", "reference.py"} < set(made.files)


def test_a_workspace_is_found_by_name_path_or_a_file_in_it(folder, operator):
    made = make_workspace(folder, operator, "mine")
    for way in ("mine", " mine/ ", made.path, f"{made.path}/kernel.py", "mine/kernel.py"):
        assert confined(folder, way) == Path(made.path).resolve()


def test_nothing_outside_the_folder_is_a_workspace(folder, operator, tmp_path):
    make_workspace(folder, operator, "mine")
    (tmp_path / "elsewhere").mkdir()
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    for way in ("..", "../elsewhere", "/etc", ".", "", "link", str(tmp_path / "elsewhere")):
        with pytest.raises(RequestError, match="outside the workspaces folder"):
            confined(folder, way)
    with pytest.raises(RequestError, match="mine"):
        confined(folder, "mime")


@pytest.mark.parametrize("kept", [True, False])
def test_a_plan_is_named_in_a_workspace_and_nothing_else_changes(folder, operator, kept):
    path = Path(make_workspace(folder, operator, "w").path)
    toml = path / "candidate.toml"
    if not kept:  # as workspaces of earlier versions are, with a comment of the agent's
        lines = [line for line in toml.read_text().splitlines() if not line.startswith("plan")]
        toml.write_text("\n".join([*lines, "# mine"]) + "\n")
    before = read_candidate_file(path)
    for plan in ("0123456789ab", "ba9876543210"):
        name_plan(path, plan)
        assert read_candidate_file(path) == before.model_copy(update={"plan": plan})
    assert kept or "# mine" in toml.read_text()


def test_a_line_that_only_looks_like_the_plan_is_left_alone(folder, operator):
    path = Path(make_workspace(folder, operator, "w").path)
    toml = path / "candidate.toml"
    text = toml.read_text().replace('plan = ""\n', "")
    toml.write_text(text.replace('description = "', 'description = """\nplan = 1\n""" # "'))
    with pytest.raises(DatasetError, match="plan"):
        name_plan(path, "0123456789ab")
    assert "plan = 1" in toml.read_text()


def test_the_plan_of_a_workspace_stands_above_its_notes(folder, operator):
    made = make_workspace(
        folder,
        operator,
        "w",
        WorkspaceStart(None, "template", "0123456789ab", "# Plan 0123456789ab"),
    )
    assert made.plan == "0123456789ab" and made.notes.startswith("# Plan 0123456789ab\n\n# double")


def test_nothing_is_written_through_a_link_that_lies_in_its_place(folder, operator, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    folder.mkdir(exist_ok=True)
    (folder / "mine").symlink_to(tmp_path / "not-there")
    with pytest.raises(RequestError, match="cannot be made"):
        make_workspace(folder, operator, "mine")
    assert not (tmp_path / "not-there").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".workspace-")]
    made = Path(make_workspace(folder, operator, "other").path)
    target = outside / "candidate.toml"
    target.write_bytes((made / "candidate.toml").read_bytes())
    before = target.read_bytes()
    (made / "candidate.toml").unlink()
    (made / "candidate.toml").symlink_to(target)
    with pytest.raises(DatasetError, match="link|symbolic"):
        name_plan(made, "pl-1")
    assert target.read_bytes() == before
