"""What the doctor finds in a client's configuration."""

from __future__ import annotations

from pathlib import Path

from kernel_harness.server.client_setup import doctor, registration
from kernel_harness.server.resources.skills import SkillRegistry


def test_the_doctor_sees_a_command_that_is_gone(tmp_path: Path) -> None:
    where = registration.target("claude", "project", tmp_path, tmp_path)
    where.config.write_text('{"mcpServers": {"kernel-harness": {"command": "/gone/kh"}}}')
    (problem, *others) = doctor.client_problems([doctor.client_state(where, ["tune"])])
    assert problem.blocks and "/gone/kh" in problem.what
    assert "tune" in others[0].what
    assert doctor.as_text([problem]).startswith("✗")


def test_the_doctor_shows_the_lines_that_codex_lacks(tmp_path: Path) -> None:
    where = registration.target("codex", "user", tmp_path, tmp_path)
    where.config.parent.mkdir()
    where.config.write_text('[mcp_servers.kernel-harness]\ncommand = "sh"\ntool_timeout_sec = 9\n')
    (problem,) = doctor.client_problems([doctor.client_state(where, [])])
    assert not problem.blocks
    assert "startup_timeout_sec = 60" in problem.remedy
    assert "tool_timeout_sec" not in problem.remedy


def test_the_doctor_says_what_is_wrong_with_skills_of_ones_own(tmp_path: Path) -> None:
    """A setting that named no folder, and a skill without a head, were passed over in silence."""
    (nowhere,) = doctor.skill_problems(tmp_path / "nowhere", [])
    assert "skills_dir" in nowhere.what and "nowhere" in nowhere.what and not nowhere.blocks
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "SKILL.md").write_text("body\n")
    (broken,) = doctor.skill_problems(tmp_path, SkillRegistry(tmp_path).skills())
    assert "mine: SKILL.md has no YAML head" in broken.what
    assert not doctor.skill_problems(None, [])
