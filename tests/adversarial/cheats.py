"""Cheat files: candidates that attack a claim, with what must become of them in the header.

A file is `<family>/<mechanism>.py`: a docstring that says how the attack works, `EXPECT`, a literal
that is read without importing the file, and the candidate's own code. `EXPECT` holds `status`, and
where they matter `or` (a status as good, where a busy machine decides), `kind` (of the failure), `claim` (of a finding that must be there), `style`
('destination' or 'value'), `language`, `checks` (fields of wire.Checks), `words` (in the failure's
message), `held_out`, `gone` (a mark that no process may be left with), `never_shown` (text that may
stand nowhere in the record), `plan` (options of the plan), `latency_at_least_us` and `needs` ('cpu'
or 'cuda': the only device it works on).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
NOT_FAMILIES = ("operators", "__pycache__")


@dataclass(frozen=True)
class Cheat:
    """One file.

    Args:
        name: '<family>/<mechanism>'.
        source: the candidate, header and all.
        words: its docstring.
        expect: its header.
    """

    name: str
    source: str
    words: str
    expect: dict[str, Any] = field(default_factory=dict)

    def works_on(self, device: str) -> bool:
        """Whether the attack can be tried there."""
        return self.expect.get("needs") in (None, device)


def read_cheat(path: Path) -> Cheat:
    """Reads one file without running it."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source, str(path))
    header = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "EXPECT"
    )
    name = str(path.relative_to(ROOT).with_suffix(""))
    return Cheat(name, source, ast.get_docstring(tree) or "", ast.literal_eval(header))


def every_cheat() -> list[Cheat]:
    """All cheats, by name."""
    paths = sorted(
        path
        for family in ROOT.iterdir()
        if family.is_dir() and family.name not in NOT_FAMILIES
        for path in family.glob("*.py")
    )
    return [read_cheat(path) for path in paths]
