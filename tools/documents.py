"""Long texts by their address, a slice at a time: records, logs, diffs, sources, profiles.

Clients cut what is long and some drop links, so a result carries an address as a plain field and
this module serves what lies behind it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import RequestError, unknown_name
from .schema.record_model import RecordModel
from .text import readable_json

if TYPE_CHECKING:
    from .archive.store.archive import Archive
    from .evaluation.records.record_store import RecordStore
    from .workloads.dataset import Dataset

SCHEME = "kernel-harness://"
KINDS = ("definition", "evaluation", "candidate", "profile")
SLICE_CHARACTERS = 16_000


class ReportSlice(RecordModel):
    """A part of a long text."""

    uri: str
    section: str | None
    sections: list[str]
    text: str
    offset: int
    total_characters: int
    next_offset: int | None

    @classmethod
    def of(
        cls,
        text: str,
        uri: str,
        offset: int,
        *,
        section: str | None = None,
        sections: Sequence[str] = (),
    ) -> ReportSlice:
        """At most `SLICE_CHARACTERS` of a text, from `offset` on.

        Raises:
            RequestError: for an offset outside the text.
        """
        if offset < 0 or (offset and offset >= len(text)):
            raise RequestError(
                f"Offset {offset} is outside the text of {len(text)} characters",
                remedy="Start at 0 and follow next_offset.",
            )
        end = offset + SLICE_CHARACTERS
        return cls(
            uri=uri,
            section=section,
            sections=list(sections),
            text=text[offset:end],
            offset=offset,
            total_characters=len(text),
            next_offset=end if end < len(text) else None,
        )


def definition_uri(definition: str) -> str:
    """The address of a definition."""
    return f"{SCHEME}definition/{definition}"


def evaluation_uri(evaluation_id: str) -> str:
    """The address of an evaluation's record."""
    return f"{SCHEME}evaluation/{evaluation_id}"


def candidate_uri(candidate_id: str) -> str:
    """The address of an archived candidate."""
    return f"{SCHEME}candidate/{candidate_id}"


def profile_uri(key: str) -> str:
    """The address of a profile's folder, or of one file in it."""
    return f"{SCHEME}profile/{key}"


@dataclass(frozen=True)
class Documents:
    """Reads the documents of one data folder."""

    dataset: Dataset
    records: RecordStore
    archive: Archive
    profiles_dir: Path

    def read(self, uri: str, section: str | None = None, offset: int = 0) -> ReportSlice:
        """Reads a slice in characters, of one section or the whole text.

        Raises:
            RequestError: for an address, section or offset that there is not.
        """
        kind, name = _parse(uri)
        sections = self._sections(kind, name)
        if section is not None and section not in sections:
            raise unknown_name("section", section, sections)
        text = sections[section] if section else "\n\n".join(sections.values())
        return ReportSlice.of(text, uri, offset, section=section, sections=list(sections))

    def _sections(self, kind: str, name: str) -> dict[str, str]:
        if kind == "definition":
            return self._definition(name)
        if kind == "evaluation":
            return self._evaluation(name)
        if kind == "candidate":
            return self._candidate(name)
        return self._profile(name)

    def _definition(self, name: str) -> dict[str, str]:
        operator = self.dataset.operator(name)
        contract = operator.definition.model_dump(mode="json", exclude={"reference"})
        workloads = [workload.model_dump(mode="json") for workload in operator.workloads]
        return {
            "definition": readable_json(contract),
            "reference": operator.definition.reference,
            "policy": operator.policy.model_dump_json(indent=1),
            "workloads": "\n".join(json.dumps(workload) for workload in workloads),
        }

    def _evaluation(self, evaluation_id: str) -> dict[str, str]:
        identity = self.records.resolve(evaluation_id)
        record = json.loads(self.records.get(identity).model_dump_json())
        log = record.pop("log", "")
        brief = {k: v for k, v in record.items() if not isinstance(v, dict | list)}
        parts = {"record": brief} | {k: v for k, v in record.items() if isinstance(v, dict | list)}
        texts = {name: f"{name}: {readable_json(part)}" for name, part in parts.items()}
        texts["log"] = f"log (untrusted output of the candidate):\n{log}"
        return texts

    def _candidate(self, candidate_id: str) -> dict[str, str]:
        # Addresses and slices are used by a starting server, which loads no archive.
        from .archive.store.trials.lineage import candidate_or_trial

        record = candidate_or_trial(self.archive, candidate_id)[1]
        said = {"candidate": record.candidate.model_dump(), "said later": record.notes}
        texts = {"notes": readable_json(said if record.notes else said["candidate"])}
        for path, content in record.sources.items():
            texts[f"source {path}"] = f"--- {path}\n{content}"
        for parent in record.parents[:2]:
            texts[f"diff to {parent}"] = self.archive.diff(parent, record.candidate_id)
        return texts

    def _profile(self, key: str) -> dict[str, str]:
        root = self.profiles_dir.resolve()
        path = (root / key).resolve()
        if root not in path.parents or not path.exists():
            known = [p.name for p in root.iterdir()] if root.is_dir() else []
            raise unknown_name("profile", key, known)
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        texts = {}
        for file in files:
            content = file.read_bytes()
            if b"\0" not in content[:4096]:
                texts[file.name] = content.decode("utf-8", "replace")
        return texts


def _parse(uri: str) -> tuple[str, str]:
    rest = uri.strip().removeprefix(SCHEME).strip("/")
    if rest.startswith("ev-"):
        rest = f"evaluation/{rest}"
    kind, _, name = rest.partition("/")
    if kind.endswith("s") and kind[:-1] in KINDS:
        kind = kind[:-1]
    if kind not in KINDS or not name:
        raise RequestError(
            f"{uri!r} is no report's address",
            remedy=f"Addresses look like {SCHEME}evaluation/<id>; results name them in …_uri.",
        )
    return kind, name
