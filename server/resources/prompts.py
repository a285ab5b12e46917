"""MCP prompts: the four roles and two skills, with names filled in.

A role is a Markdown file in `roles/`, which also serves as a sub-agent definition for Claude Code.
The division of work is STARK's (arXiv 2510.16996): plan, code, debug, and an independent review.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp.server.mcpserver.exceptions import ResourceNotFoundError

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from .skills import SkillRegistry

ROLES = ("planner", "coder", "debugger", "verifier")
_HEAD = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def roles_folder() -> Path:
    """Returns the folder of the role files."""
    return Path(str(files("kernel_harness.server"))) / "roles"


def role_text(role: str) -> str:
    """Returns the text of a role, without the YAML head."""
    text = (roles_folder() / f"{role}.md").read_text(encoding="utf-8")
    return _HEAD.sub("", text, count=1).strip()


def _filled(role: str, **names: str) -> str:
    given = [f"- {name}: {value}" for name, value in names.items() if value]
    return "\n".join([role_text(role), "", "Given:", *(given or ["- nothing; ask for it"])])


def register(app: MCPServer[Any], skills: SkillRegistry) -> None:
    """Adds the prompts to a server."""

    @app.prompt(title="Plan the next round")
    def planner(definition: str, candidate_id: str = "") -> str:
        """Choose one idea of top priority and anchor it in the code."""
        return _filled("planner", definition=definition, candidate_id=candidate_id)

    @app.prompt(title="Implement a plan")
    def coder(workspace: str, candidate_id: str = "", idea: str = "") -> str:
        """Implement one planned idea inside its anchors."""
        return _filled("coder", workspace=workspace, parent=candidate_id, idea=idea)

    @app.prompt(title="Fix a failure")
    def debugger(evaluation_id: str, workspace: str = "") -> str:
        """Find the cause of a failure and fix it with the smallest change."""
        return _filled("debugger", evaluation_id=evaluation_id, workspace=workspace)

    @app.prompt(title="Review before promotion")
    def verifier(candidate_id: str) -> str:
        """Review a candidate independently before it may be promoted."""
        return _filled("verifier", candidate_id=candidate_id)

    @app.prompt(name="optimize-kernel", title="Optimise a kernel")
    def optimize_kernel(definition: str) -> str:
        """The whole loop for one operator: the skill optimize-kernel, with its subject."""
        return f"{_skill(skills, 'optimize-kernel')}\n\nThe definition: {definition}"

    @app.prompt(name="read-the-verdict", title="Read a verdict")
    def read_the_verdict(evaluation_id: str) -> str:
        """How to read one evaluation: the skill read-the-verdict, with its subject."""
        return f"{_skill(skills, 'read-the-verdict')}\n\nThe evaluation: {evaluation_id}"


def _skill(skills: SkillRegistry, name: str) -> str:
    skill = skills.skill(name)
    if skill is None:
        raise ResourceNotFoundError(f"The skill {name} is not installed")
    return skill.body.strip()
