"""A small operator and solutions for tests of the evaluation room; nothing here needs torch."""

import pytest

from kernel_harness.tools.evaluation.judge_pool import JudgePool
from kernel_harness.tools.evaluation.records.record_store import RecordStore
from kernel_harness.tools.evaluation.service import EvaluationService
from kernel_harness.tools.schema.flashinfer_trace import Definition, Workload
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.signing.keyring import Keyring
from kernel_harness.tools.workloads.operators import Operator
from tests.tools.evaluation.scripted_command import scripted_judge


@pytest.fixture
def operator():
    definition = Definition.model_validate(
        {
            "name": "double",
            "op_type": "test",
            "axes": {"m": {"type": "var"}},
            "inputs": {"x": {"shape": ["m"], "dtype": "float32"}},
            "outputs": {"y": {"shape": ["m"], "dtype": "float32"}},
            "reference": "def run(x):\n    return x * 2\n",
        }
    )
    workloads = tuple(
        Workload.model_validate(
            {"uuid": f"w{m}", "axes": {"m": m}, "inputs": {"x": {"type": "random"}}}
        )
        for m in (64, 1, 8)
    )
    return Operator(definition=definition, workloads=workloads)


@pytest.fixture
def service(tmp_path):
    settings = Settings(data_dir=tmp_path)
    pool = JudgePool(settings, scripted_judge())
    keys = Keyring(settings.signing_key, settings.archive_dir)
    records = RecordStore(settings.evaluations_dir)
    made = EvaluationService(settings, pool, records, "cpu", keys)
    yield made
    pool.kill()


@pytest.fixture
def scripted():
    return scripted_judge()
