"""Asks Claude Code and Codex themselves whether they reach the server, without an account.

Registers the server in a home folder of its own, then lets each client on PATH start it:
`claude mcp list` must say connected and `claude plugin validate` must find no fault; Codex's app
server must list the tools and call one. A client that is not installed is skipped by name, or with
`--all` is a failure.

    python scripts/probe_clients.py [--all]
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HARNESS = Path(sys.executable).with_name("kernel-harness")
PATIENCE_S = 60


def say(words: str) -> None:
    sys.stdout.write(words + "\n")


def environment(home: Path) -> dict[str, str]:
    """A home of its own, and nothing that an account would need."""
    keep = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}  # noqa: TID251
    return {**keep, "HOME": str(home), "DISABLE_AUTOUPDATER": "1", "CI": "1"}


def harness(home: Path, project: Path, *words: str) -> None:
    command = [str(HARNESS), *words, "--data-dir", str(home / "data"), "--device", "cpu"]
    subprocess.run(command, env=environment(home), cwd=project, check=True)


def claude(home: Path, project: Path) -> bool:
    """`claude mcp list` starts the server and says what came of it; the plugin is validated."""
    harness(home, project, "install", "claude", "--user")
    found = claude_says(home, project, "mcp", "list")
    lines = [line for line in found.stdout.splitlines() if line.startswith("kernel-harness")]
    say("\n".join(lines) or found.stdout + found.stderr)
    plugin = claude_says(home, project, "plugin", "validate", "--strict", str(ROOT))
    said = [line for line in plugin.stdout.splitlines() if "Validation" in line]
    say("\n".join(f"claude plugin validate --strict: {line}" for line in said) or plugin.stderr)
    return any("Connected" in line for line in lines) and plugin.returncode == 0


def claude_says(home: Path, project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs one command of Claude Code."""
    return subprocess.run(
        ["claude", *words],
        env=environment(home),
        cwd=project,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


class AppServer:
    """Codex's app server: JSON-RPC, one message a line."""

    def __init__(self, home: Path, project: Path) -> None:
        self._process = subprocess.Popen(
            ["codex", "app-server"],
            env=environment(home),
            cwd=project,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._id = 0

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Sends a request and reads until its answer."""
        self._id += 1
        self.send({"id": self._id, "method": method, "params": params})
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if message.get("id") == self._id and "method" not in message:
                if "error" in message:
                    raise SystemExit(f"codex {method}: {message['error']}")
                return message["result"]
        raise SystemExit(f"codex ended before it answered {method}")

    def send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)


def codex(home: Path, project: Path) -> bool:
    """The app server lists our tools and calls one."""
    harness(home, project, "install", "codex", "--user")
    server = AppServer(home, project)
    try:
        server.ask("initialize", clientInfo={"name": "probe", "title": "probe", "version": "1"})
        server.send({"method": "initialized"})
        listed = server.ask("mcpServerStatus/list")["data"]
        ours = next(entry for entry in listed if entry["name"] == "kernel-harness")
        thread = server.ask("thread/start", cwd=str(project))["thread"]["id"]
        answer = server.ask(
            "mcpServer/tool/call",
            threadId=thread,
            server="kernel-harness",
            tool="list_workloads",
            arguments={"definition": "gdn_decode"},
        )
    finally:
        server.end()
    content = answer["structuredContent"]
    say(f"kernel-harness: codex lists {len(ours['tools'])} tools; list_workloads answered:")
    say(f"  {content['summary'].splitlines()[0]}")
    return content["total"] > 0


def main() -> int:
    """Probes each client that is there; the status is 1 when one of them fails."""
    failed = 0
    all_wanted = "--all" in sys.argv[1:]
    for name, probe in (("claude", claude), ("codex", codex)):
        if shutil.which(name) is None:
            say(f"{name}: not installed here, {'FAILED' if all_wanted else 'skipped'}")
            failed += all_wanted
            continue
        with tempfile.TemporaryDirectory() as folder:
            home, project = Path(folder) / "home", Path(folder) / "project"
            home.mkdir()
            project.mkdir()
            good = probe(home, project)
        say(f"{name}: {'connected' if good else 'FAILED'}")
        failed += not good
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
