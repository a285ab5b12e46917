"""Records are written once, whole, and found again."""

import errno
import os

import pytest

from kernel_harness.tools.errors import InfrastructureError, RequestError
from kernel_harness.tools.evaluation.records.record_store import RecordStore, new_evaluation_id
from kernel_harness.tools.schema.evaluation import Evaluation
from kernel_harness.tools.schema.recognition import PriorRun, Recognition


def an_evaluation(evaluation_id=None, content="c" * 64):
    return Evaluation.model_validate(
        {
            "evaluation_id": evaluation_id or new_evaluation_id(),
            "definition": "double",
            "solution_name": "s",
            "language": "python",
            "content_hash": content,
            "workload_digest": "d",
            "scope": "smoke",
            "status": "PASSED",
            "stage": "done",
            "evidence": {"started_at": "2026-01-01T00:00:00+00:00"},
        }
    )


def test_what_is_written_is_what_is_read(tmp_path):
    store, evaluation = RecordStore(tmp_path / "e"), an_evaluation()
    store.write(evaluation)
    assert store.get(evaluation.evaluation_id) == evaluation
    assert list(store.ids()) == [evaluation.evaluation_id]


def test_a_record_never_changes(tmp_path):
    store, evaluation = RecordStore(tmp_path), an_evaluation()
    store.write(evaluation)
    with pytest.raises(RequestError, match="recorded already"):
        store.write(evaluation.model_copy(update={"solution_name": "other"}))
    assert store.get(evaluation.evaluation_id).solution_name == "s"


def test_trials_of_the_same_bytes_are_found_newest_first(tmp_path):
    store = RecordStore(tmp_path)
    ids = ["ev-20260101-000000-0000000a", "ev-20260102-000000-0000000b"]
    for evaluation_id in ids:
        store.write(an_evaluation(evaluation_id))
    assert store.of_content("c" * 64) == ids[::-1]
    assert store.of_content("f" * 64) == []


def test_a_full_disk_is_a_typed_error_and_leaves_no_half_record(tmp_path, monkeypatch):
    store = RecordStore(tmp_path)

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InfrastructureError, match="No space left"):
        store.write(an_evaluation())
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("bad", ["", "../../etc/passwd", "ev-1", "ev-20260101-000000-0000000g"])
def test_a_malformed_id_never_becomes_a_path(tmp_path, bad):
    with pytest.raises(RequestError, match="no evaluation id"):
        RecordStore(tmp_path).get(bad)


def test_a_record_is_found_by_its_beginning_its_end_and_its_address(tmp_path):
    store = RecordStore(tmp_path)
    for identity in ("ev-20261120-221530-9f3a61c2", "ev-20261120-221531-0011aabb"):
        store.write(an_evaluation(identity))
    wanted = "ev-20261120-221530-9f3a61c2"
    for said in (
        wanted,
        "ev-20261120-221530",
        "9f3a61c2",
        f" kernel-harness://evaluation/{wanted}/ ",
    ):
        assert store.resolve(said) == wanted
    with pytest.raises(RequestError, match="ambiguous"):
        store.resolve("ev-20261120-2215")
    assert store.resolve("2") == "2"
    assert store.resolve("nothing-of-it") == "nothing-of-it"


def test_a_recognition_is_read_again_and_a_broken_one_is_empty(tmp_path):
    store, known = RecordStore(tmp_path), new_evaluation_id()
    assert store.recognition(known) == Recognition()
    kept = Recognition(prior_run=PriorRun(exact=False, words="Archived as c1.", candidates=["c1"]))
    store.write_recognition(known, kept)
    assert store.recognition(known) == kept and list(store.ids()) == []
    (tmp_path / "recognised" / f"{known}.json").write_text("{")
    assert store.recognition(known) == Recognition()
