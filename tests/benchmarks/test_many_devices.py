"""What benchmarks/many_devices.py counts of clients that wait, with judges that run nothing."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "many_devices.py"


def courses_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *options: str) -> list[Any]:
    """What the benchmark writes of its courses."""
    out = tmp_path / "courses.json"
    words = ["--scripted", "0.4", "--scope", "smoke", *options, "--json", str(out)]
    monkeypatch.syspath_prepend(str(BENCHMARK.parent))
    monkeypatch.setattr(sys, "argv", [str(BENCHMARK), *words])
    runpy.run_path(str(BENCHMARK), run_name="__main__")
    return json.loads(out.read_text())


@pytest.mark.process
def test_clients_that_were_never_served_count_and_so_does_what_they_waited(monkeypatch, tmp_path):
    options = ("--devices", "cuda:0", "--clients", "1", "8", "--seconds", "1")
    one, eight = courses_of(monkeypatch, tmp_path, *options)
    assert list(one["served"]) == ["agent 0"] and one["waiting"] == []
    assert one["served"]["agent 0"] == len(one["waits"]) >= 2
    served = eight["served"].values()
    assert len(served) == 8 and min(served) == 0
    assert sum(waited > 0.8 for waited in eight["waiting"]) == sum(count == 0 for count in served)


@pytest.mark.process
def test_the_rate_is_that_until_the_last_verdict(monkeypatch, tmp_path):
    options = ("--devices", "cuda:0", "--clients", "1", "--seconds", "0.5")
    (course,) = courses_of(monkeypatch, tmp_path, *options)
    assert course["seconds"] == pytest.approx(sum(course["whole"]), abs=0.2)
    assert course["statuses"] == {"PASSED": len(course["whole"])}


@pytest.mark.process
def test_a_device_that_judges_nothing_is_not_measured(monkeypatch, tmp_path):
    """Failures were counted as evaluations a minute."""
    options = ("--devices", "cuda:0", "--clients", "1", "--seconds", "0.5", "--scripted", "-1")
    with pytest.raises(SystemExit, match="cuda:0 says INFRASTRUCTURE_ERROR: "):
        courses_of(monkeypatch, tmp_path, *options)
