"""The wheel, installed away from any checkout, serves a client through a round of the loop."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from .test_layout import wheel

__all__ = ["wheel"]
DEFINITION = "gdn_decode_qk4_v8_d128_k_last"


def installed(wheel: Path, folder: Path) -> Path:
    """The command, in an environment of its own that finds the dependencies which are here."""
    subprocess.run([sys.executable, "-P", "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-P", "-m", "pip", "--python", str(python), "install", "-q", "--no-deps"]
    subprocess.run([*pip, "--no-index", str(wheel)], check=True)
    # A folder that is only on the path is not searched for files of editable installations.
    (site,) = folder.glob("lib/*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin" / "kernel-harness"


async def round_of_the_loop(command: Path, data: Path) -> list[str]:
    server = StdioServerParameters(
        command=str(command),
        args=["serve", "--data-dir", str(data), "--device", "cpu"],
        env={"PATH": os.defpath},
        cwd=data,
    )

    async def call(tool: str, **arguments: object) -> dict:
        result = await client.call_tool(tool, arguments)
        assert not result.is_error, (tool, result.content)
        assert result.structured_content is not None
        return result.structured_content

    async with Client(server) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        opened = await call(
            "open_workspace", definition=DEFINITION, name="first", start_from="triton_baseline"
        )
        verdict = await call("evaluate_kernel", workspace=opened["workspace"], scope="smoke")
        assert verdict["status"] == "PASSED", verdict["summary"]
        await call(
            "archive_candidate",
            workspace=opened["workspace"],
            evaluation_id=verdict["evaluation_id"],
            hypothesis="The shipped kernel is the starting point.",
        )
        found = await call("search_archive", definition=DEFINITION)
        assert len(found["candidates"]) == 1
        skill = await client.read_resource("skill://optimize-kernel/SKILL.md")
        assert "evaluate_kernel" in skill.model_dump_json()
    return tools


@pytest.mark.long
@pytest.mark.process
@pytest.mark.timeout(300)
def test_the_wheel_goes_round_the_loop_with_a_client(wheel: Path, tmp_path: Path) -> None:
    command = installed(wheel, tmp_path / "environment")
    (tmp_path / "data").mkdir()
    where = [command.with_name("python"), "-c", "import kernel_harness.tools.text as t; print(t)"]
    said = subprocess.run(where, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert str(tmp_path / "environment") in said
    assert len(asyncio.run(round_of_the_loop(command, tmp_path / "data"))) > 20
