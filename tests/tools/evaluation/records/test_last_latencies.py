"""What workloads took last is kept by operator."""

from kernel_harness.tools.evaluation.records.last_latencies import LastLatencies
from kernel_harness.tools.evaluation.records.record_store import new_evaluation_id
from kernel_harness.tools.schema.evaluation import Evaluation


def timed(scope: str, latencies: dict[str, float | None]) -> Evaluation:
    """A passed evaluation of workloads, some of them timed."""
    return Evaluation.model_validate(
        {
            "evaluation_id": new_evaluation_id(),
            "definition": "double",
            "solution_name": "s",
            "language": "python",
            "content_hash": "c" * 64,
            "workload_digest": "d",
            "scope": scope,
            "status": "PASSED",
            "stage": "done",
            "workloads": [
                {"uuid": uuid, "axes": {}, "status": "PASSED", "latency_us": us}
                for uuid, us in latencies.items()
            ],
            "evidence": {"started_at": "2026-01-01T00:00:00+00:00"},
        }
    )


def test_latencies_of_one_program_are_those_of_the_last_that_timed_every_workload(tmp_path):
    """Mixed with those of samples they drew other workloads after every evaluation."""
    last = LastLatencies(tmp_path / "latencies")
    assert last.of_one_program("double") == {} == last.get("double")
    last.note(timed("sample", {"a": 50.0}))
    assert last.get("double") == {"a": 50.0} and last.of_one_program("double") == {}
    last.note(timed("full", {"a": 5.0, "b": 9.0}))
    last.note(timed("sample", {"b": 90.0}))
    last.note(timed("full", {"a": 1.0, "b": None}))
    assert last.get("double") == {"a": 1.0, "b": 90.0}
    assert last.of_one_program("double") == {"a": 5.0, "b": 9.0}


def test_latencies_on_inputs_that_do_not_rank_are_not_the_last(tmp_path):
    last = LastLatencies(tmp_path / "latencies")
    other = timed("full", {"a": 5.0})
    evidence = other.evidence.model_copy(update={"checks": {"input_family": "even"}})
    last.note(other.model_copy(update={"evidence": evidence}))
    assert last.get("double") == {} == last.of_one_program("double")
