"""Writes the reference pages of the guide from the code: settings, tools, commands, candidate.toml.

Run it after a change of those; `--check` only says whether the pages are fresh, as a test does.
The texts are the code's own; those on candidate.toml, which the code does not need, are here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kernel_harness.server.app import build_app
from kernel_harness.server.cli import main as cli
from kernel_harness.server.mcp_tools.registry import result_schemas, tool_schemas
from kernel_harness.tools.schema.source_tree import MAX_BYTES, MAX_FILES
from kernel_harness.tools.settings import CANDIDATE_ENVIRONMENT, PREFIX, Settings
from kernel_harness.tools.workloads.solution_folder import NOT_SOURCES, CandidateFile

DOCS = Path(__file__).resolve().parents[1] / "docs"
MARK = "<!-- Written by scripts/generate_docs.py; change the code, then run that. -->"
MOVING_DEFAULTS = {
    "data_dir": "the checkout, when run from one; else `~/.local/share/kernel-harness`",
    "kernels_dir": "where the package is",
    "dataset": "none",
}
CANDIDATE_WORDS = {
    "name": "What the candidate is called, in the archive and in Traces.",
    "definition": "Name of the definition it implements.",
    "language": "`python` and `triton` run as they are, `cuda` and `cpp` are compiled; for "
    "`tilelang` a Solution can be read, but nothing here builds it.",
    "entry_point": "The file and the function in it, as `kernel.py::run`.",
    "destination_passing_style": "Whether the outputs are passed, to be filled, after the inputs. "
    "Otherwise the function returns them.",
    "binding": "How compiled code exports its function: `tvm-ffi` or `torch`. Recognised from the "
    "sources when empty; of no use to `python` and `triton`.",
    "dependencies": "Libraries it needs, for readers and FlashInfer-Trace; none is installed. With "
    "`nvidia-cutlass` CUDA sources may include CUTLASS and CuTe.",
    "target_hardware": "What it was written for, as FlashInfer-Trace has it.",
    "description": "One sentence for people.",
    "technique": "Tags for readers of the folder. The archive is searched by the `tags` given to "
    "`archive_candidate`.",
}


def main() -> int:
    """Writes or checks the pages; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; 1 when a page is old")
    check = parser.parse_args().check
    stale = [name for name, text in pages().items() if _is_stale(name, text, write=not check)]
    if stale:
        words = "out of date; run scripts/generate_docs.py" if check else "written"
        sys.stdout.write(f"{', '.join(stale)}: {words}\n")
    return 1 if stale and check else 0


def pages() -> dict[str, str]:
    """Every generated page by its path under docs/."""
    return {
        "settings.md": settings_page(),
        "reference/tools.md": tools_page(),
        "reference/cli.md": commands_page(),
        "reference/candidate-toml.md": candidate_page(),
    }


def _is_stale(name: str, text: str, *, write: bool) -> bool:
    path = DOCS / name
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    if write:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return True


def settings_page() -> str:
    """Every setting, where it is set, and its default."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = MOVING_DEFAULTS.get(name) or f"`{_plain(field.get_default())}`"
        if not field.description:
            raise SystemExit(f"tools/settings.py: say what {name!r} is")
        rows.append((f"`{name}`", f"`{PREFIX}{name.upper()}`", default, field.description))
    return _page(
        "Settings",
        "Every setting can be given in four places; the first that has it wins:\n\n"
        "1. an option of the command: `--data-dir`, `--dataset`, `--device`, `--log-level`;\n"
        f"2. an environment variable, `{PREFIX}` and the name in capitals;\n"
        "3. `kernel-harness.toml` in the current folder, or else in the default data folder;\n"
        "4. the default.\n\n"
        "A name that nothing knows is refused, with the nearest that exists.",
        _table(("setting", "environment variable", "default", "what it is"), rows),
        "Several folders in `KERNEL_HARNESS_DATASET` are separated as in `PATH`; the items of "
        "`targets` and `static_targets` by commas. `FIB_DATASET_PATH`, FlashInfer-Bench's own "
        "variable, stands in where `KERNEL_HARNESS_DATASET` is not set, and goes before the file. "
        "As a file:",
        '```toml title="kernel-harness.toml"\n'
        'dataset = ["/data/flashinfer-trace"]\ndevice = "cuda:1"\ntargets = ["H200"]\n```',
        "## What a candidate sees of the environment",
        "Of the server's environment these variables reach a candidate's process, and no other: "
        + ", ".join(f"`{name}`" for name in CANDIDATE_ENVIRONMENT)
        + ". Keys and tokens of your shell do not.",
    )


def tools_page() -> str:
    """Every MCP tool: when to call it, its arguments, its result."""
    tools, results = asyncio.run(build_app().list_tools()), result_schemas()
    parts: list[str] = []
    seen: dict[str, str] = {}
    for tool in tools:
        schema, result = tool.input_schema, results.get(tool.name)
        hints = tool.annotations
        kind = "only reads" if hints and hints.read_only_hint else "adds or runs something"
        if hints and hints.destructive_hint:
            kind = "takes a decision back"
        parts += [f"## `{tool.name}`", f"*{tool.title}; {kind}.*", str(tool.description)]
        if rows := list(_arguments(schema)):
            parts.append(_table(("argument", "type", "default", "what it is"), rows))
        same = seen.setdefault(json.dumps(result, sort_keys=True), tool.name)
        if result and same != tool.name:
            parts.append(f"The result is that of [`{same}`](#{same}).")
        elif result:
            parts += ["The result:", _table(("field", "type", "what it is"), _fields(result))]
        else:
            parts.append("The result is a picture.")
    return _page(
        "MCP tools",
        "Names, arguments and results. The list that clients read tells a result's own fields "
        "only, to save tokens. Every result is one object whose first field, `summary`, is a "
        "screen of text; fields that hold nothing are left out. Every "
        "field that ends in `_uri` is an address for `read_report`. A field without a description "
        "is what its name says; units stand in names, as in `latency_us`.",
        *parts,
    )


def _arguments(schema: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    required = schema.get("required", ())
    for name, spec in schema.get("properties", {}).items():
        default = spec.get("default")
        shown = "required" if name in required else "–" if default is None else f"`{default}`"
        words = spec.get("description", "")
        yield f"`{name}`", _type(spec, schema), shown, words


def _fields(schema: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (f"`{path}`", _type(spec, schema), str(spec.get("description", "")))
        for path, spec in _walk(schema, schema, "", ())
    ]


def _walk(
    schema: Mapping[str, Any], root: Mapping[str, Any], prefix: str, above: tuple[str, ...]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, spec in schema.get("properties", {}).items():
        yield prefix + name, spec
        for part, sign in _parts(spec):
            if part not in above:
                inner = root["$defs"][part]
                yield from _walk(inner, root, f"{prefix}{name}{sign}.", (*above, part))


def _parts(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names of the models in a field, each with the sign for one, a list or a mapping of them."""
    if "$ref" in spec:
        yield str(spec["$ref"]).rsplit("/", 1)[-1], ""
    for choice in spec.get("anyOf", ()):
        yield from _parts(choice)
    for key, sign in (("items", "[]"), ("additionalProperties", "{}")):
        inner = spec.get(key)
        if isinstance(inner, dict):
            yield from ((name, sign + deeper) for name, deeper in _parts(inner))


def _type(spec: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    if "anyOf" in spec:
        kinds = [_type(part, root) for part in spec["anyOf"] if part.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "$ref" in spec:
        inner = root["$defs"][str(spec["$ref"]).rsplit("/", 1)[-1]]
        return _type(inner, root)
    if "enum" in spec:
        return ", ".join(f"`{value}`" for value in spec["enum"])
    if spec.get("type") == "array":
        return f"list of {_type(spec.get('items', {}), root)}"
    if spec.get("type") == "object" and isinstance(spec.get("additionalProperties"), dict):
        return f"mapping to {_type(spec['additionalProperties'], root)}"
    return str(spec.get("type", "any"))


def commands_page() -> str:
    """Every command of the command line."""
    parser = cli.build_parser()
    groups = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    helps = {choice.dest: str(choice.help) for choice in groups._choices_actions}
    parts: list[str] = ["## Commands of the project"]
    for name, words in helps.items():
        if name not in cli.TOOL_COMMANDS:
            parts += [f"### `{name}`", f"{words[0].upper()}{words[1:]}."]
            parts.append(_options(groups.choices[name]))
    parts += [
        "## Tools as commands",
        "Each calls one MCP tool through the server's own code and prints the summary that an "
        "agent reads; `--json` prints the whole result. [MCP tools](tools.md) says when to use "
        "which and what the result holds.",
    ]
    schemas = tool_schemas()
    for name, (tool, positional) in cli.TOOL_COMMANDS.items():
        schema, words = schemas[tool]
        rows = [
            (f"`{arg}`" if arg in positional else f"`--{arg.replace('_', '-')}`", *rest)
            for arg, *rest in ((row[0].strip("`"), *row[1:]) for row in _arguments(schema))
        ]
        parts += [f"### `{name}`", f"{words} Tool: [`{tool}`](tools.md#{tool})."]
        if rows:
            parts.append(_table(("argument", "type", "default", "what it is"), rows))
    return _page(
        "Commands",
        "`kernel-harness <command>`. Every command also takes the settings `--data-dir`, "
        "`--dataset`, `--device` and `--log-level`; see [settings](../settings.md). A command ends "
        f"with 0 when all is well, {cli.EXIT_FAILED} when a candidate failed, an operator that was "
        "checked is unfit to judge by, or two things differ, "
        f"and {cli.EXIT_ERROR} when the request could not be answered.",
        *parts,
    )


def _options(parser: argparse.ArgumentParser) -> str:
    settings = {"data_dir", "dataset", "device", "log_level", "help"}
    rows = []
    for action in parser._actions:
        if action.dest in settings:
            continue
        if isinstance(action, argparse._SubParsersAction):
            return "\n\n".join(
                f"#### `{name}`\n\n{step.description}.\n\n{_options(step)}"
                for name, step in action.choices.items()
            )
        flags = ", ".join(f"`{flag}`" for flag in action.option_strings)
        name = flags or f"`{action.dest}`" + (" (optional)" if action.nargs == "?" else "")
        choices = ", ".join(f"`{choice}`" for choice in action.choices or ())
        rows.append((name, "; ".join(part for part in (action.help or "", choices) if part)))
    return _table(("argument", "what it is"), rows) if rows else ""


def candidate_page() -> str:
    """The keys of candidate.toml."""
    rows = []
    for name, field in CandidateFile.model_fields.items():
        default = (
            "required"
            if field.is_required()
            else f"`{_plain(field.get_default(call_default_factory=True))}`"
        )
        words = CANDIDATE_WORDS.get(name) or str(field.description or "")
        if not words:
            raise SystemExit(f"candidate.toml: say in CANDIDATE_WORDS what {name!r} is")
        rows.append((f"`{name}`", default, words))
    kept = ", ".join(f"`{name}`" for name in sorted(NOT_SOURCES))
    return _page(
        "candidate.toml",
        "Says how the sources beside it are built and called. Workspaces, shipped solutions and "
        "peers share this form, and it holds what a FlashInfer-Trace Solution's `spec` holds. Keys "
        "that are not listed here are refused.",
        _table(("key", "default", "what it is"), rows),
        "```toml\n"
        'name = "gdn-split-v"\n'
        'definition = "gdn_decode_qk4_v8_d128_k_last"\n'
        'language = "triton"\n'
        'entry_point = "kernel.py::run"\n'
        "destination_passing_style = true\n```",
        "## Sources",
        f"Every file of the folder, at any depth, is a source, but for {kept}, `__pycache__`, "
        "other Markdown and whatever begins with a dot; `also_sources` names kept files that are "
        "sources all the same. A source is UTF-8 text and a plain file, not a link; at most "
        f"{MAX_FILES} files and {MAX_BYTES >> 20} MiB in all. Of two sources that Python would "
        "import by one name, as `kernel.py` and `kernel/__init__.py`, one would never run: such "
        "a pair is refused. A Solution that is passed, archived or fetched is held to the same "
        "rule.",
        "## How the entry point is called",
        "Positionally: the inputs in the definition's order, scalars as Python numbers; then, with "
        "`destination_passing_style`, the outputs, to be filled in place. Without it the function "
        "returns the outputs: one, a tuple in the definition's order, or a dict by name.",
    )


def _plain(value: Any) -> str:
    """A default as a reader would write it."""
    match value:
        case None:
            return '""'
        case bool() | list():
            return json.dumps(value)
        case float():
            return f"{value:g}"
        case tuple():
            return ", ".join(map(str, value))
        case _:
            return str(value)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", MARK, *(part for part in parts if part)]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
