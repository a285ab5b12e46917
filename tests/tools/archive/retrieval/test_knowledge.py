"""Skills, lessons of several operators, and code, asked together."""

from __future__ import annotations

from types import SimpleNamespace

from kernel_harness.tools.archive.retrieval import knowledge
from kernel_harness.tools.archive.retrieval.knowledge import Knowledge


def test_every_kind_answers_and_candidates_without_a_lesson_do_not(monkeypatch, tmp_path, archive):
    mine = tmp_path / "skills" / "tiles"
    mine.mkdir(parents=True)
    (mine / "SKILL.md").write_text("# Tiles\n\nSwizzled tiles have no bank conflicts.\n")
    (mine / ".#SKILL.md").symlink_to("someone@machine.1234")  # an editor's lock
    code = tmp_path / "code"
    code.mkdir()
    (code / "tile.cu").write_text("// swizzled tile\n")
    asked = []

    def found(archive, request):
        asked.append(request)
        nodes = [("a", "op-1", "swizzled: 1.2x"), ("b", "op-2", ""), ("c", "op-2", "conflicts")]
        return SimpleNamespace(
            candidates=[
                SimpleNamespace(candidate_id=i, definition=d, lesson=t) for i, d, t in nodes
            ]
        )

    monkeypatch.setattr(knowledge, "search", found)
    monkeypatch.setattr(knowledge, "installed", dict)
    known = Knowledge(archive, [tmp_path / "skills"], [code, tmp_path / "gone"], tmp_path / "db")
    answer = known.search("swizzled tiles", 2)
    assert [(n.path, n.line) for n in answer.notes] == [("tiles/SKILL.md", 1)]
    assert [(node.definition, node.candidate_id) for node in answer.lessons] == [
        ("op-1", "a"),
        ("op-2", "c"),
    ]
    assert [s.path for s in answer.sources] == [str(code / "tile.cu")]
    assert answer.packages == () and asked[0].definition is None
