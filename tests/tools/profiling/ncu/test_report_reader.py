"""Reports are read through Nsight Compute's own module, here a stand-in of the same shape."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from kernel_harness.tools.profiling.ncu.command import read_module_json
from kernel_harness.tools.profiling.ncu.report_reader import launches

MODULE = """
class IAction:
    NameBase_DEMANGLED = 1


class Metric:
    def __init__(self, value, unit):
        self._value, self._unit = value, unit

    def value(self):
        return self._value

    def unit(self):
        return self._unit


METRICS = {
    "gpu__time_duration.sum": Metric(4096, "ns"),
    "launch__func_cache_config": Metric("CachePreferNone", ""),
    "broken.ratio": Metric(float("nan"), ""),
    "breakdown:sm__throughput.x": Metric(1.0, "%"),
    "TPC.TriageCompute.sm__x": Metric(1.0, "%"),
}


class Action:
    def name(self, base=0):
        return "copy(int)" if base else "copy"

    def metric_names(self):
        return list(METRICS)

    def metric_by_name(self, name):
        return METRICS.get(name)

    def rule_results_as_dicts(self):
        return [
            {
                "rule_identifier": "SOLBottleneck",
                "rule_message": {"message": "Memory is busy.", "title": "t", "type": "ok"},
                "speedup_estimation": {"type": "SpeedupType.GLOBAL", "speedup": 12.5},
            },
            {
                "rule_identifier": "CPIStall",
                "rule_message": "{'message': 'Waits.', 'title': 't'}",
                "speedup_estimation": "{}",
            },
            {"rule_identifier": "Empty", "rule_message": None},
        ]


class Range:
    def num_actions(self):
        return 1

    def action_by_idx(self, index):
        return Action()


class Context:
    def num_ranges(self):
        return 2

    def range_by_idx(self, index):
        return Range()


def load_report(path):
    return Context()
"""


def test_the_process_prints_every_launch_with_numbers_and_rules(tmp_path):
    (tmp_path / "ncu_report.py").write_text(MODULE)
    command = [sys.executable, "-m", "kernel_harness.tools.profiling.ncu.report_reader"]
    done = subprocess.run(
        [*command, "r.ncu-rep", str(tmp_path)], capture_output=True, text=True, check=True
    )
    first, second = read_module_json(done.stdout)
    assert first.name == second.name == "copy(int)"
    assert set(first.metrics) == {"gpu__time_duration.sum"}
    assert first.metrics["gpu__time_duration.sum"].value == pytest.approx(4.096e-6)
    assert [rule["name"] for rule in first.rules] == ["SOLBottleneck", "CPIStall"]
    assert first.rules[0]["kind"] == "global"
    assert first.rules[1]["message"] == "Waits."


def test_a_module_without_rules_or_name_bases_still_reads():
    action = SimpleNamespace(name=lambda: "k", metric_names=list, metric_by_name=None)
    profiled = SimpleNamespace(num_actions=lambda: 1, action_by_idx=lambda i: action)
    context = SimpleNamespace(num_ranges=lambda: 1, range_by_idx=lambda i: profiled)
    module = SimpleNamespace(load_report=lambda path: context)
    assert list(launches("r", module)) == [{"name": "k", "metrics": {}, "rules": []}]
    assert json.dumps(list(launches("r", module)))
