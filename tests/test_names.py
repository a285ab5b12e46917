"""One word for one thing: the one that CUDA, Linux, git and statistics have for it."""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from .test_layout import ROOT, modules, nodes_of, tree_of

CODE = ("server", "tools")

NOT_IN_IDENTIFIERS = {
    "adder": "add command",
    "ahead": "prefetched",
    "announcing": "skill updates",
    "apart": "held-out process",
    "awaited": "the awaited thing's own name",
    "bury": "reap",
    "catalogue": "index synchronisation",
    "continuing": "background tasks",
    "drawer": "input generator",
    "exchange": "judged call",
    "ghost": "disabled kernels",
    "hopeless": "early refusal",
    "house": "project",
    "keeper": "supervisor",
    "leftovers": "stale folders",
    "mend": "patch",
    "nursery": "supervisor configuration",
    "pace": "time budget",
    "pretend": "fake",
    "recipe": "compile configuration",
    "room": "package; in the judge: context",
    "settle": "drain",
    "shelf": "store, registry",
    "sighting": "prior run",
    "specimen": "sample inputs",
    "standing": "current promotions",
    "telling": "cases with outputs",
    "told": "command result",
    "twin": "perturbed inputs",
    "uncounted": "estimated",
    "wanted": "expected output",
    "ward": "child record",
}
"""Words of our own that the field has another word for, and that word."""

NOT_IN_PROSE = {
    *("bury", "catalogue", "drawer", "ghost", "hopeless", "house", "keeper", "leftovers", "mend"),
    *("nursery", "pretend", "recipe", "room", "shelf", "sighting", "specimen", "twin", "ward"),
}
"""Those that are riddles in a docstring, too; the others are ordinary English there."""

PROPER = ("`ghost_replay`", "room for")
"""An id in records, and plain English for space that is left."""

NOT_TOGETHER = ("bring up", "first kernel", "kept builds", "of the hour")

PERSISTENT = {
    "ghost_replay": "an id in records",
    "warm_ahead": "a setting",
}
"""Identifiers of records and files, which do not change."""

FORMS = ("", "s", "ed", "d", "ing", "er", "ers", "ies")


def product() -> list[Path]:
    return [p for p in modules() if p.relative_to(ROOT).parts[0] in CODE]


def words_of(identifier: str) -> Iterator[str]:
    for part in identifier.split("_"):
        yield from (w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", part))


@functools.cache
def forms_of(words: tuple[str, ...]) -> dict[str, str]:
    return {word + ending: word for word in words for ending in FORMS}


def banned(words: Iterator[str] | list[str], among: dict[str, str] | set[str]) -> list[str]:
    forms = forms_of(tuple(among))
    return [forms[w] for w in words if w in forms]


def test_identifiers_use_the_words_of_the_field():
    found: dict[str, set[str]] = defaultdict(set)
    for path in product():
        for name in set(identifiers(path)) - set(PERSISTENT):
            if banned(list(words_of(name)), NOT_IN_IDENTIFIERS):
                found[str(path.relative_to(ROOT))].add(name)
    assert not found


def identifiers(path: Path) -> Iterator[str]:
    """Every name in a module: what a tree has of strings, literals aside."""
    for node in nodes_of(path):
        if isinstance(node, ast.Constant):
            continue
        for _, value in ast.iter_fields(node):
            values = value if isinstance(value, list) else [value]
            yield from (one for one in values if isinstance(one, str))


def test_identifiers_of_every_kind_are_seen(tmp_path: Path):
    file = tmp_path / "m.py"
    file.write_text(
        "import a.b as c\nfrom .d import e\n"
        "async def f(g, /, *h, i: j = 1, **k):\n    global l\n    l = m.n(o=f'{p!r}')\n"
        "    try:\n        pass\n    except q as r:\n        del s[t]\n"
        "    match u:\n        case V(w=x) if False:\n            pass\n"
        "        case [*y]:\n            pass\n        case {1: z, **aa}:\n            pass\n"
        "class Ab(ac, ad=ae):\n    af: ag = lambda ah: (ai := ah)\n"
    )
    seen = {part for name in identifiers(file) for part in name.split(".")}
    letters = [*"abcdefghijklmnopqrstuVwxyz", *"aa Ab ac ad ae af ag ah ai".split()]
    assert seen == set(letters)


def test_file_names_use_the_words_of_the_field():
    stems = {part for p in product() for part in (*p.relative_to(ROOT).parts[:-1], p.stem)}
    assert not [s for s in stems if banned(list(words_of(s)), NOT_IN_IDENTIFIERS)]


def test_docstrings_and_messages_use_the_words_of_the_field():
    found: dict[str, list[str]] = {}
    for path in product():
        said = " ".join(prose(path)).lower()
        for proper in PROPER:
            said = said.replace(proper, "")
        hits = banned(re.findall(r"[a-z]+", said), NOT_IN_PROSE)
        hits += [together for together in NOT_TOGETHER if together in said]
        if hits:
            found[str(path.relative_to(ROOT))] = sorted(set(hits))
    assert not found


def prose(path: Path) -> Iterator[str]:
    """Docstrings and messages: every string of several words."""
    for node in nodes_of(path):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.value


def test_no_public_class_name_is_used_twice():
    places: dict[str, list[str]] = defaultdict(list)
    for path in product():
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(ROOT)))
    assert not {name: found for name, found in places.items() if len(found) > 1}


@pytest.mark.parametrize(
    ("identifier", "word"),
    [("JudgeRoom", "room"), ("kept_rooms", "room"), ("_settled", "settle"), ("mushroom", None)],
)
def test_a_word_is_found_in_any_spelling_of_an_identifier(identifier, word):
    assert banned(list(words_of(identifier)), NOT_IN_IDENTIFIERS) == ([word] if word else [])
