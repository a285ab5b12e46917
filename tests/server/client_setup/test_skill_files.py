"""Copies of skills in a client's folders: written, updated, removed; others' files are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_harness.server.client_setup import registration, skill_files
from kernel_harness.server.resources.skills import SkillRegistry


@pytest.fixture
def skills(tmp_path: Path) -> SkillRegistry:
    folder = tmp_path / "shipped" / "tune"
    (folder / "references").mkdir(parents=True)
    (folder / "SKILL.md").write_text("---\nname: tune\ndescription: d\n---\nbody\n")
    (folder / "references" / "more.md").write_text("more\n")
    return SkillRegistry(folder.parent)


@pytest.fixture
def receipts(tmp_path: Path) -> skill_files.Receipts:
    return skill_files.Receipts(tmp_path / "data" / "installations.json")


def place(tmp_path: Path, client: registration.Client) -> registration.Target:
    return registration.target(client, "user", tmp_path / "project", tmp_path / "home")


def install(
    where: registration.Target, skills: SkillRegistry, receipts: skill_files.Receipts
) -> skill_files.CopyPlan:
    plan = skill_files.plan_install(where, skills, receipts.get(where) or {})
    skill_files.apply(plan)
    receipts.note(where, plan.digests)
    return plan


def uninstall(where: registration.Target, receipts: skill_files.Receipts) -> skill_files.CopyPlan:
    plan = skill_files.plan_uninstall(receipts.get(where) or {})
    skill_files.apply(plan)
    receipts.note(where, None)
    return plan


@pytest.mark.parametrize("client", ["claude", "codex"])
def test_installing_and_uninstalling_leaves_no_file(
    tmp_path: Path,
    skills: SkillRegistry,
    receipts: skill_files.Receipts,
    client: registration.Client,
) -> None:
    where = place(tmp_path, client)
    install(where, skills, receipts)
    assert (where.skills / "tune" / "references" / "more.md").read_text() == "more\n"
    uninstall(where, receipts)
    assert not [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert receipts.get(where) is None


def test_claude_gets_the_sub_agents(
    tmp_path: Path, skills: SkillRegistry, receipts: skill_files.Receipts
) -> None:
    where = place(tmp_path, "claude")
    install(where, skills, receipts)
    assert where.agents is not None
    planner = (where.agents / "kernel-planner.md").read_text()
    assert planner.startswith("---\nname: kernel-planner\n")


def test_installing_twice_changes_nothing_the_second_time(
    tmp_path: Path, skills: SkillRegistry, receipts: skill_files.Receipts
) -> None:
    where = place(tmp_path, "codex")
    assert install(where, skills, receipts).changes
    assert not install(where, skills, receipts).changes


def test_an_upgrade_replaces_our_copies_and_keeps_edited_ones(
    tmp_path: Path, skills: SkillRegistry, receipts: skill_files.Receipts
) -> None:
    where = place(tmp_path, "claude")
    install(where, skills, receipts)
    (where.skills / "tune" / "references" / "more.md").write_text("mine\n")
    source = skills.skills()[0].folder
    (source / "SKILL.md").write_text("---\nname: tune\ndescription: new\n---\n")
    (source / "references" / "more.md").write_text("newer\n")
    plan = install(where, skills, receipts)
    assert "description: new" in (where.skills / "tune" / "SKILL.md").read_text()
    assert (where.skills / "tune" / "references" / "more.md").read_text() == "mine\n"
    assert any("more.md" in line for line in plan.kept)


def test_uninstalling_keeps_what_was_edited_since(
    tmp_path: Path, skills: SkillRegistry, receipts: skill_files.Receipts
) -> None:
    where = place(tmp_path, "claude")
    install(where, skills, receipts)
    (where.skills / "tune" / "SKILL.md").write_text("mine")
    plan = uninstall(where, receipts)
    assert (where.skills / "tune" / "SKILL.md").read_text() == "mine"
    assert len(plan.kept) == 1


def test_a_skill_of_the_same_name_by_others_is_left_alone(
    tmp_path: Path, skills: SkillRegistry, receipts: skill_files.Receipts
) -> None:
    where = place(tmp_path, "codex")
    theirs = where.skills / "tune" / "SKILL.md"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    install(where, skills, receipts)
    uninstall(where, receipts)
    assert theirs.read_text() == "theirs"


def test_a_file_that_is_no_text_is_copied_as_it_is(
    tmp_path: Path, skills: SkillRegistry, receipts: skill_files.Receipts
) -> None:
    """A picture in a skill of one's own ended the installation with a traceback."""
    (tmp_path / "shipped" / "tune" / "roofline.png").write_bytes(b"\x89PNG\r\n\xff\xfe")
    where = place(tmp_path, "claude")
    install(where, skills, receipts)
    assert (where.skills / "tune" / "roofline.png").read_bytes() == b"\x89PNG\r\n\xff\xfe"
    assert not install(where, skills, receipts).changes
