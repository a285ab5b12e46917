"""Facts about the judge's device, and what a candidate is told of one that is not here."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest
import torch

from kernel_harness.tools.devices.hardware import architectures
from kernel_harness.tools.errors import CapabilityError
from kernel_harness.tools.judge.processes import device as module
from kernel_harness.tools.judge.processes.device import (
    FAKE_TARGET,
    cuda_arch,
    device_facts,
    device_info,
    isolation,
    versions,
    versions_of,
)
from kernel_harness.tools.schema.evaluation import Executor

GPU, CPU = torch.device("cuda:1"), torch.device("cpu")


@pytest.mark.parametrize("target", ["sm_80", "sm_90", "sm_100"])
def test_shared_memory_of_a_target_is_that_of_the_table(target):
    facts = device_facts(target)
    assert facts.shared_bytes_per_block == architectures()[target].shared_bytes_per_block
    assert facts.capability == int(target.removeprefix("sm_"))


def test_a_target_that_the_table_lacks_grants_what_the_fake_device_does():
    unknown, fake = device_facts("sm_75"), device_facts(FAKE_TARGET)
    assert unknown.capability == 75
    assert unknown.model_copy(update={"capability": 90}) == fake


@pytest.mark.parametrize(("missing", "level"), [([], "strong"), (["landlock"], "weaker")])
def test_isolation_is_strong_only_where_nothing_is_missing(missing, level):
    found = isolation(["seccomp"], missing)
    assert (found.level, found.granted, found.missing) == (level, ["seccomp"], missing)


@pytest.mark.parametrize(
    ("capability", "arch"),
    [((8, 0), "80"), ((8, 9), "89"), ((9, 0), "90a"), ((10, 0), "100a"), ((12, 0), "120a")],
)
def test_code_is_built_for_all_that_the_architecture_has(monkeypatch, capability, arch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert cuda_arch(GPU) == arch
    assert cuda_arch(CPU) is None


def test_a_cpu_is_described_as_what_interprets():
    info = device_info(CPU)
    assert info.executor is Executor.INTERPRETER and info.name
    assert info.memory_bytes is not None and info.memory_bytes > 1 << 28


def test_a_device_that_torch_cannot_use_is_refused_with_a_remedy(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(CapabilityError) as found:
        device_info(GPU)
    assert "cuda:1" in str(found.value) and found.value.remedy


def test_versions_are_of_what_is_installed_and_of_the_driver_on_a_gpu(monkeypatch):
    monkeypatch.setattr(module, "PACKAGES", ("torch", "no-such-package"))
    monkeypatch.setattr(module, "driver_version", lambda: "570.00")
    here = versions(CPU)
    assert here["torch"] == torch.__version__ and here["python"]
    assert "no-such-package" not in here and "driver" not in here
    assert versions(GPU)["driver"] == "570.00"


def test_what_starts_processes_is_imported_without_torch():
    """The zygote imports torch while the judge does: one after the other is seconds more."""
    names = ("main", "processes.candidate_process", "processes.triton_cache")
    modules = ", ".join(f"kernel_harness.tools.judge.{name}" for name in names)
    script = f"import sys, {modules}\nassert 'torch' not in sys.modules"
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr


def test_versions_of_what_a_program_needs_are_those_that_are_installed():
    needs = ["numpy>=1.20", "no-such-package==1", "pytest", "", "../../etc"]
    found = versions_of(needs)
    assert found == {"numpy": metadata.version("numpy"), "pytest": metadata.version("pytest")}
    assert versions_of([f"no-such-package-{n}" for n in range(16)] + ["numpy"]) == {}
