"""Every cheat meets what its header says, in one judge that survives them all."""

from __future__ import annotations

import pytest

from ..judging import JudgeProcess
from .cheats import Cheat, every_cheat
from .expectations import meets_its_header

pytestmark = pytest.mark.process
CHEATS = [
    pytest.param(cheat, marks=[pytest.mark.long] * cheat.expect.get("long", False))
    for cheat in every_cheat()
    if cheat.works_on("cpu")
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.name)
def test_a_cheat_meets_what_its_header_says(cheat: Cheat, judge: JudgeProcess):
    meets_its_header(cheat, judge)
