"""Cheat files: candidates that attack a claim, with the expected result in the header.

A file is `<family>/<mechanism>.py`: a docstring that says how the attack works, `EXPECT`, a literal
that is read without importing the file, and the candidate's own code. `EXPECT` holds `status`, and
where they matter `or` (a status as good, where a busy machine decides between the two), `kind` (of
the failure), `claim` (of a finding that must be there), `style` ('destination' or 'value'),
`language`, `checks` (fields of `Checks`), `words` (in the failure's message), `held_out`, `gone` (a
mark that no process may be left with), `never_shown` (text that may stand nowhere in the record),
`plan` (options of the plan), `sizes` (of the workloads that it is tried on, where not on all),
`latency_at_least_us` (with `or_no_latency`, where none will do), `verified` (without a GPU, what
was interpreted was what is compiled), `needs` ('cpu' or 'cuda': the only device it works on),
`long` (it builds or runs for so long that `make test` leaves it out), `binding` (of CUDA C++) and
`parts` (files beside it that it imports, whose names begin with an underscore).

The family `clock` attacks the time alone. Its attacks have no `status` but say what they would
`gain`, which honest candidate is their `twin` (it does the same work and is their baseline), which
of the outcomes that `clock_outcome` tells are as good as a refusal (`refused`), and which samples
they would make shorter (`told`, 'cold_ns' unless said otherwise). Its honest candidates say
whether their time is `sealed`; where not, `reason` has words of why, and where that is not known
before a device shows it, `or_claimed` says so. tests/gpu/test_clock.py holds them to it.

A file of language 'cuda' or 'cpp' holds its C++ in `SOURCE`; only that is given to the judge.
"""

from __future__ import annotations

import ast
import functools
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
        description: its docstring.
        expect: its header.
    """

    name: str
    source: str
    description: str
    expect: dict[str, Any] = field(default_factory=dict)

    @property
    def sources(self) -> dict[str, str]:
        """What the judge is given, by file name."""
        file = {"cuda": "kernel.cu", "cpp": "kernel.cpp"}.get(self.expect.get("language", ""))
        if file is not None:
            return {file: literal(self.source, "SOURCE")}
        folder = (ROOT / self.name).parent
        parts = {part: (folder / part).read_text("utf-8") for part in self.expect.get("parts", ())}
        return {"kernel.py": self.source, **parts}

    @property
    def family(self) -> str:
        """The folder that it lies in."""
        return self.name.partition("/")[0]

    @property
    def is_honest(self) -> bool:
        """Whether it is there to pass."""
        return self.name.startswith(("honest/", "clock/honest_", "clock/claimed_"))

    def works_on(self, device: str) -> bool:
        """Whether the attack can be tried there."""
        return self.expect.get("needs") in (None, device)


def read_cheat(path: Path) -> Cheat:
    """Reads one file without running it."""
    source = path.read_text(encoding="utf-8")
    name = str(path.relative_to(ROOT).with_suffix(""))
    description = ast.get_docstring(ast.parse(source, str(path))) or ""
    return Cheat(name, source, description, literal(source, "EXPECT"))


def literal(source: str, name: str) -> Any:
    """The literal that a source assigns to a name."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id == name:
                return ast.literal_eval(node.value)
    raise KeyError(name)


@functools.cache
def every_cheat() -> tuple[Cheat, ...]:
    """All cheats, by name."""
    paths = sorted(
        path
        for family in ROOT.iterdir()
        if family.is_dir() and family.name not in NOT_FAMILIES
        for path in family.glob("[!_]*.py")
    )
    return tuple(read_cheat(path) for path in paths)
