"""Skills: valid in form, and naming only what exists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.server.resources.prompts import ROLES, role_text, roles_folder
from kernel_harness.server.resources.skills import Skill, SkillRegistry, problems
from kernel_harness.tools.judge.deployment.checks import CLAIMS
from kernel_harness.tools.model_level.verification.gains import ModelVerdict
from kernel_harness.tools.profiling.diagnosis.bottleneck import Bottleneck
from kernel_harness.tools.profiling.diagnosis.kernel_profile import KernelProfile
from kernel_harness.tools.schema.evaluation import Scope, StaticKernel, Status
from kernel_harness.tools.schema.measurement import Decision
from kernel_harness.tools.settings import load_settings
from tests.folding import for_each

ROOT = Path(__file__).resolve().parents[3]
SHELF = SkillRegistry(*load_settings({}).skills_dirs)
CALL = re.compile(r"\b([a-z]+(?:_[a-z]+)*)\(([^()]*)\)")
TICKED = re.compile(r"`([A-Za-z_][A-Za-z0-9_.]*)`")
OF_OTHERS = set(
    "num_warps num_stages input_precision cache_modifier eviction_policy cu_seqlens dt_bias "
    "sm_scale q_nope q_pe hidden_states_scale block_table sparse_indices seq_len "
    "destination_passing_style entry_point candidate_uri cluster_dims wait_group commit_group "
    "long_scoreboard short_scoreboard math_pipe_throttle not_selected repeat_interleave data_ptr "
    "sm_90 sm_90a sm_100 sm_100a evict_last evict_first".split()
)
"""Words of Triton, CUDA, the definitions and their inputs, which are not ours to define."""


def names(schema: Any) -> Iterator[str]:
    """Every property and every enumerated value of a schema, at any depth."""
    if isinstance(schema, dict):
        for name, part in schema.get("properties", {}).items():
            yield name
            yield from names(part)
        yield from (str(value) for value in schema.get("enum", ()))
        for key, part in schema.items():
            if key != "properties":
                yield from names(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from names(part)


@pytest.fixture(scope="module")
def contract() -> dict[str, Any]:
    snapshot = ROOT / "tests" / "server" / "snapshots" / "contract.json"
    return json.loads(snapshot.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tools(contract: dict[str, Any]) -> dict[str, Any]:
    return contract["tools"]


@pytest.fixture(scope="module")
def known(tools: dict[str, Any], contract: dict[str, Any]) -> set[str]:
    """Every tool, argument, field and value of the contract, and the words of the records."""
    words = set(tools) | set(names(list(contract["results"].values())))
    for tool in tools.values():
        words |= set(names(tool["input_schema"]))
    for members in (Status, Scope, Decision, Bottleneck, ModelVerdict):
        words |= {member.value for member in members}
    words |= (
        set(CLAIMS)
        | set(KernelProfile.model_fields)
        | set(StaticKernel.model_fields)
        | {"shared_memory"}
    )
    for folder in (ROOT / "kernels").glob("*/*/*"):
        words |= {folder.name, folder.parents[1].name}
    return words | {skill.name for skill in SHELF.skills()} | OF_OTHERS


def texts() -> Iterator[tuple[str, str]]:
    for skill, path in SHELF.files():
        yield f"{skill.name}/{path}", (skill.folder / path).read_text(encoding="utf-8")
    for role in ROLES:
        yield f"roles/{role}", role_text(role)


TEXTS = dict(texts())


@pytest.mark.parametrize("skill", SHELF.skills(), ids=lambda skill: skill.name)
def test_a_skill_follows_the_format(skill: Skill) -> None:
    assert problems(skill) == []
    assert re.search(r"\bUse (when|before|whenever)\b", skill.description)
    assert {"version", "status"} <= set(skill.frontmatter["metadata"])


@pytest.mark.parametrize("skill", SHELF.skills(), ids=lambda skill: skill.name)
def test_the_reference_validator_finds_no_fault(skill: Skill) -> None:
    validator = pytest.importorskip("skills_ref", reason="skills-ref is not installed")
    assert validator.validate(skill.folder) == []


@for_each("name", TEXTS)
def test_every_call_in_a_text_is_of_a_tool_with_these_arguments(
    name: str, tools: dict[str, Any]
) -> None:
    prose = re.sub(r"```.*?```", "", TEXTS[name], flags=re.DOTALL)
    for called, inside in CALL.findall(prose):
        if "_" not in called or called in OF_OTHERS:
            continue
        assert called in tools, f"{name} calls {called}"
        arguments = tools[called]["input_schema"].get("properties", {})
        for argument in re.findall(r"\b([a-z_]+)=", inside):
            assert argument in arguments, f"{name}: {called} has no {argument}"


@for_each("name", TEXTS)
def test_every_name_of_ours_in_a_text_exists(name: str, known: set[str]) -> None:
    prose = re.sub(r"```.*?```", "", TEXTS[name], flags=re.DOTALL)
    ours = (
        word
        for word in TICKED.findall(prose)
        if re.fullmatch(r"[a-z]+(_[a-z0-9]+)+|[A-Z]+_[A-Z_]+", word)
    )
    assert sorted(set(ours) - known) == []


@for_each("name", TEXTS)
def test_every_skill_that_is_named_is_there(name: str) -> None:
    named = set(re.findall(r"\bskills? ([a-z]+(?:-[a-z]+)+)", TEXTS[name]))
    assert named <= {skill.name for skill in SHELF.skills()}


def test_every_bottleneck_has_its_page() -> None:
    pages = {path.stem for path in (ROOT / "skills/diagnose-kernel/references").glob("*.md")}
    assert pages == {member.value for member in Bottleneck}


def test_every_shipped_operator_has_its_page() -> None:
    index = (ROOT / "skills/operators/SKILL.md").read_text(encoding="utf-8")
    for folder in (ROOT / "kernels").glob("*/definition.json"):
        assert f"`{folder.parent.name}`" in index
    pages = {path.name for path in (ROOT / "skills/operators/references").glob("*.md")}
    assert pages == set(re.findall(r"references/([a-z0-9-]+\.md)", index))


def test_every_page_is_linked_from_its_skill() -> None:
    for skill in SHELF.skills():
        for path in skill.paths()[1:]:
            assert f"({path})" in skill.text, f"{skill.name} does not link {path}"


def test_a_role_is_also_a_sub_agent_definition() -> None:
    for role in ROLES:
        head = (roles_folder() / f"{role}.md").read_text(encoding="utf-8")
        assert head.startswith(f"---\nname: kernel-{role}\ndescription: ")


@pytest.mark.parametrize(
    ("head", "complaint"),
    [
        ("", "no YAML head"),
        ("name: other\ndescription: d", "differs from its folder's"),
        ("name: Tune--it\ndescription: d", "single hyphens"),
        ("name: tune", "1 to 1024"),
        ("name: tune\ndescription: d\nauthor: me", "'author' is not of the format"),
        ("name: tune\ndescription: d\nmetadata: {version: 1}", "strings to strings"),
        (f"name: tune\ndescription: {'d' * 1025}", "1 to 1024"),
        (f"name: tune\ndescription: d\ncompatibility: {'c' * 501}", "500"),
    ],
)
def test_a_malformed_skill_is_named_with_its_fault(
    tmp_path: Path, head: str, complaint: str
) -> None:
    folder = tmp_path / "tune"
    folder.mkdir()
    (folder / "SKILL.md").write_text(f"---\n{head}\n---\nbody\n" if head else "body\n")
    assert complaint in " ".join(problems(Skill(folder)))


def test_a_dead_link_and_a_file_too_deep_are_found(tmp_path: Path) -> None:
    deep = tmp_path / "tune" / "references" / "more"
    deep.mkdir(parents=True)
    (deep / "x.md").write_text("x")
    manifest = "---\nname: tune\ndescription: d\n---\n[gone](references/gone.md) `a[0](x)`\n"
    (tmp_path / "tune" / "SKILL.md").write_text(manifest)
    found = " ".join(problems(Skill(tmp_path / "tune")))
    assert "gone.md" in found and "too deep" in found and "'x'" not in found


def test_a_skill_of_ones_own_stands_beside_the_shipped_ones_and_replaces_one_of_its_name(tmp_path):
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    for folder, name, text in (
        (shipped, "a", "shipped a"),
        (shipped, "b", "shipped b"),
        (own, "b", "my b"),
        (own, "c", "my c"),
    ):
        (folder / name).mkdir(parents=True)
        (folder / name / "SKILL.md").write_text(text)
    registry = SkillRegistry(shipped, own)
    assert [skill.name for skill in registry.skills()] == ["a", "b", "c"]
    assert registry.read("skill://b/SKILL.md") == "my b"
    before = registry.fingerprint()
    (own / "c" / "SKILL.md").write_text("my new c")
    assert registry.fingerprint() != before


def test_what_is_wrong_with_a_skill_of_ones_own_harms_no_other(tmp_path):
    """A file that is no UTF-8 ended every list of resources, a link to nowhere the server."""
    for name, content in (("a", b"---\nname: a\ndescription: d\n---\n"), ("b", b"\xff\xfe")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "SKILL.md").write_bytes(content)
    (tmp_path / "a" / ".#SKILL.md").symlink_to("someone@machine.1234")
    registry = SkillRegistry(tmp_path)
    assert [path for path, _, _ in registry.fingerprint()] == ["a/SKILL.md", "b/SKILL.md"]
    assert [skill.description for skill in registry.skills()] == ["d", ""]
    assert registry.read("skill://b/SKILL.md") == "\ufffd\ufffd"
    assert problems(registry.skills()[1]) == ["b: SKILL.md has no YAML head"]
