"""Plans, and changes that kept to them or left them, as an agent reads of them."""

from __future__ import annotations

from kernel_harness.server.answers.plans import ANCHOR_PROBLEMS, anchor_words, anchors_part
from kernel_harness.tools.schema.recognition import AnchorCheck


def check(outside: int, *, kept: bool = False) -> AnchorCheck:
    said = [f"kernel.py:{n}: changed" for n in range(outside)]
    return AnchorCheck(parent="c0", kept=kept, regions=2, outside=said)


def test_changes_outside_the_regions_are_named_up_to_a_limit_and_counted():
    part = anchors_part(check(ANCHOR_PROBLEMS + 3))
    assert part is not None and (part.parent, part.regions, part.kept) == ("c0", 2, False)
    assert part.outside[0] == "kernel.py:0: changed" and part.outside[-1] == "… and 3 more"
    assert len(part.outside) == ANCHOR_PROBLEMS + 1
    few = anchors_part(check(2))
    assert few is not None and few.outside == ["kernel.py:0: changed", "kernel.py:1: changed"]


def test_only_a_change_that_left_the_regions_is_spoken_of():
    assert anchors_part(None) is None and anchor_words(None) is None
    assert anchor_words(check(0, kept=True)) is None
    assert "at 11 places" in (anchor_words(check(11)) or "")
