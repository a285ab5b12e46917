"""Records say where their times come from; those that were written before they did are claimed."""

import json
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from kernel_harness.tools.schema.evaluation import SCHEMA_VERSION, Evaluation
from kernel_harness.tools.schema.measurement import Measurement, TimeSource

BUNDLE = Path(__file__).parents[2] / "fixtures" / "archive" / "archive.bundle"


@pytest.fixture(scope="module")
def old_records(tmp_path_factory):
    """Every record of an archive that was written before measurements had a clock."""
    folder = tmp_path_factory.mktemp("archive") / "clone"

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    git("clone", "-q", "--mirror", str(BUNDLE), str(folder))
    found: dict[str, str] = {}
    for line in git("-C", str(folder), "rev-list", "--all", "--objects").splitlines():
        name, _, path = line.partition(" ")
        if path.endswith("evaluation.json"):
            found[name] = git("-C", str(folder), "cat-file", "blob", name)
    return list(found.values())


def test_records_of_version_one_load_and_their_times_are_claimed(old_records):
    assert old_records
    timed = 0
    for text in old_records:
        assert "clock_reason" not in text
        record = Evaluation.model_validate_json(text)
        assert record.schema_version == 1
        for result in record.workloads:
            for measurement in filter(None, (result.measurement, result.baseline_measurement)):
                timed += 1
                assert measurement.clock is TimeSource.CLAIMED
    assert timed


@pytest.mark.parametrize("version", [0, False, -1, SCHEMA_VERSION + 1])
def test_a_record_of_a_version_that_is_not_known_is_refused(old_records, version):
    """What a later version means by its fields nobody knows here."""
    said = json.loads(old_records[0]) | {"schema_version": version}
    with pytest.raises(ValidationError, match="schema_version"):
        Evaluation.model_validate_json(json.dumps(said))


def test_records_of_version_one_are_written_as_they_were(old_records):
    for text in old_records:
        record = Evaluation.model_validate_json(text)
        assert json.loads(record.model_dump_json()) == json.loads(text)


@pytest.mark.parametrize(
    ("told", "written"),
    [
        ({"clock": TimeSource.SEALED}, {"clock": "sealed"}),
        ({"clock_reason": "replay differs"}, {"clock_reason": "replay differs"}),
    ],
)
def test_new_records_say_where_their_times_come_from(told, written):
    assert SCHEMA_VERSION == 2
    measurement = Measurement(timer="cupti", cold_ns=[5], **told)
    text = measurement.model_dump_json()
    said = {k: v for k, v in json.loads(text).items() if k.startswith("clock")}
    assert said == written
    assert Measurement.model_validate_json(text) == measurement


def test_sealed_times_have_no_reason_to_be_claimed():
    with pytest.raises(ValidationError, match="sealed"):
        Measurement(timer="cupti", cold_ns=[5], clock=TimeSource.SEALED, clock_reason="why")
