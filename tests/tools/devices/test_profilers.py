"""What is found is used; what is missing says why, what it costs and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_harness.tools.devices.profilers import (
    Probe,
    counters_are_restricted,
    probe,
    report_module_folder,
)

NCU_SAYS = (
    "NVIDIA (R) Nsight Compute Command Line Profiler\n"
    "Copyright (c) 2018-2025 NVIDIA Corporation\n"
    "Version 2025.3.0.0 (build 36273991) (public-release)\n"
)


def machine(
    tmp_path: Path,
    *,
    present: tuple[str, ...] = ("ncu", "compute-sanitizer", "nsys"),
    says: str = NCU_SAYS,
    admin_only: bool = False,
    administrator: bool = False,
) -> Probe:
    parameters, status = tmp_path / "params", tmp_path / "status"
    parameters.write_text(f"EnableMSI: 1\nRmProfilingAdminOnly: {int(admin_only)}\n")
    status.write_text(f"Name: x\nCapEff:\t{(1 << 21) * administrator:016x}\n")
    return Probe(
        which=lambda name: str(tmp_path / "bin" / name) if name in present else None,
        run=lambda command: says,
        driver_parameters=parameters,
        process_status=status,
        installs=(),
        has_module=lambda name: False,
    )


def test_a_complete_machine_has_every_tool_with_its_version(tmp_path):
    got = probe(machine(tmp_path))
    assert got.ncu.version == "2025.3.0.0"
    assert got.counters.found
    assert got.compute_sanitizer.found


def test_every_missing_tool_has_a_reason_a_cost_and_a_remedy(tmp_path):
    got = probe(machine(tmp_path, present=()))
    assert not any(tool.found for tool in got.tools)
    assert all(tool.reason and tool.costs and tool.remedy for tool in got.tools)


def test_counters_for_administrators_only_are_missing_with_the_way_to_get_them(tmp_path):
    got = probe(machine(tmp_path, admin_only=True))
    assert not got.counters.found
    assert "ERR_NVGPUCTRPERM" in (got.counters.reason or "")
    assert "NVreg_RestrictProfilingToAdminUsers=0" in (got.counters.remedy or "")


def test_an_administrator_may_expect_counters(tmp_path):
    got = probe(machine(tmp_path, admin_only=True, administrator=True))
    assert got.counters.found
    assert got.admin_only


def test_a_program_that_cannot_say_its_version_is_not_trusted_to_run(tmp_path):
    got = probe(machine(tmp_path, says="error while loading shared libraries"))
    assert not got.ncu.found
    assert "may not run" in (got.ncu.reason or "")


@pytest.mark.parametrize(
    ("text", "restricted"),
    [("RmProfilingAdminOnly: 1", True), ("RmProfilingAdminOnly: 0", False), ("", False)],
)
def test_the_drivers_statement_about_counters_is_read(text, restricted):
    assert counters_are_restricted(text) is restricted


@pytest.mark.parametrize(
    "layout",
    ["nsight-compute-2025.3.0/ncu", "bin/ncu", "nsight-compute-2025.3.0/target/linux-x64/ncu"],
)
def test_the_report_module_is_found_from_every_place_ncu_may_be(tmp_path, layout):
    module = tmp_path / "nsight-compute-2025.3.0" / "extras" / "python"
    module.mkdir(parents=True)
    (module / "ncu_report.py").write_text("")
    ncu = tmp_path / layout
    ncu.parent.mkdir(parents=True, exist_ok=True)
    ncu.write_text("")
    assert report_module_folder(str(ncu)) == module


def test_a_program_outside_the_path_is_found_in_the_toolkits_folder(tmp_path):
    program = tmp_path / "cuda" / "bin" / "ncu"
    program.parent.mkdir(parents=True)
    program.write_text("")
    program.chmod(0o755)
    base = machine(tmp_path, present=())
    got = probe(
        Probe(
            which=base.which,
            run=base.run,
            driver_parameters=base.driver_parameters,
            process_status=base.process_status,
            installs=(str(tmp_path / "cuda" / "bin"),),
        )
    )
    assert got.ncu.path == str(program)
