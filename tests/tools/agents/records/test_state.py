"""What a search's steps say of it."""

from __future__ import annotations

import pytest

from kernel_harness.tools.agents.records.events import SearchEnded, SearchEvent
from kernel_harness.tools.agents.records.state import state_of
from kernel_harness.tools.errors import RequestError


@pytest.mark.parametrize("events", [[], [SearchEnded(at=1.0, reason="stopped")]])
def test_steps_without_a_beginning_are_no_search(events: list[SearchEvent]):
    with pytest.raises(RequestError, match="no beginning"):
        state_of(events)
