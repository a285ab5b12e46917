"""What lies under a ref or in a bundle is read or left out: it hides nothing and ends nothing."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel_harness.tools.archive.git.objects import with_signature
from kernel_harness.tools.archive.promotion.events import best_elsewhere, events, promote
from kernel_harness.tools.archive.promotion.rules import decide
from kernel_harness.tools.archive.report.terminal import log
from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.archive.store.transfer import admit, fetch, write_bundle
from kernel_harness.tools.errors import HarnessError
from kernel_harness.tools.schema.evaluation import Evaluation
from kernel_harness.tools.signing.signature import CANDIDATE

OPERATOR = "scale_n64"
MISSING = "12" * 20
TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["²", "\x1b[2J", "\ud800", "a" * 5_000, "nan", "-1", "../..", "", "\x00"]),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
MODES = st.sampled_from([b"100644", b"100755", b"120000", b"160000", b"40000", b"0", b"", b"x"])
NAMES = st.binary(max_size=8) | st.sampled_from(
    [b".git", b"..", b"a/b", b"\xff", b"sources", b"evaluation.json", b"candidate.toml", b"k" * 300]
)
PATHS = st.sampled_from(
    [
        "candidate.toml",
        "evaluation.json",
        "sources/kernel.py",
        "sources/kernel/__init__.py",
        "sources/CLAUDE.md",
        "sources/.mcp.json",
        "sources/" + "d/" * 60 + "k.py",
        "profile/p.json",
        "NOTES.md",
    ]
)
NOISE = st.binary(max_size=60) | st.sampled_from(
    [b"[" * 100_000, b'{"a":' * 5_000, b"\xff\xfe", b"a = " + b"[" * 20_000, b"1" * 6_000]
)


def alike(value: Any) -> st.SearchStrategy[Any]:
    """Values of the same kind, so that the record may still be read."""
    if isinstance(value, bool) or value is None:
        return st.sampled_from([None, True, False])
    if isinstance(value, int | float):
        return st.sampled_from([0, -1, 1e-320, 1e300, 10**30, float("nan"), 0.5]) | st.floats()
    return TEXT if isinstance(value, str) else st.just(value)


def mostly(usual: st.SearchStrategy[Any], other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The one, in five cases of six, so that what is built of many such choices is often whole."""
    return st.integers(0, 5).flatmap(lambda n: other if n == 5 else usual)


def changed_json(content: bytes, data: st.DataObject) -> bytes:
    """A record in which a few values, anywhere, are others."""
    value: Any = json.loads(content)
    for _ in range(data.draw(st.integers(1, 3))):
        at = value
        while isinstance(at, dict | list) and at:
            key = data.draw(st.sampled_from(list(at) if isinstance(at, dict) else range(len(at))))
            inner = at[key]
            if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
                at[key] = data.draw(mostly(alike(inner), JSON))
                break
            at = inner
    return json.dumps(value).encode("utf-8", "surrogatepass")


class Door:
    """An archive with an honest candidate, and places to put what is hostile."""

    def __init__(self, archive: Archive, good: Any) -> None:
        self.archive, self.good = archive, good
        self.slowest_s = 0.0
        self.signs = False
        repository = archive.repository
        listed = repository.list_tree(good.commit)
        self.files = {path: repository.read(oid)[1] for path, oid in listed.items()}
        self.signed = repository.read(good.commit)[1]
        (event,) = events(archive)
        self.tag = repository.read(repository.refs("refs/tags")[event.tag])[1]
        self.kept = {repository.path / "refs" / name for name in ("candidates", "tags", "heads")}

    def tree(self, data: st.DataObject) -> str:
        repository = self.archive.repository
        others = st.sampled_from(["noise", "raw", "levels", "many", "missing"])
        kind = data.draw(mostly(st.just("changed"), others))
        if kind == "changed":
            record = changed_json(self.files["evaluation.json"], data)
            with contextlib.suppress(ValueError):
                signed = self.archive.keys.signed(Evaluation.model_validate_json(record))
                if data.draw(st.booleans()):
                    record = signed.model_dump_json().encode()
            return repository.write_tree(self.files | {"evaluation.json": record})
        if kind == "noise":
            changes = data.draw(st.dictionaries(PATHS, NOISE, min_size=1, max_size=2))
            kept = {p: c for p, c in self.files.items() if data.draw(st.integers(0, 9))}
            files = kept | changes
            folders = {p.rsplit("/", n)[0] for p in files for n in range(1, p.count("/") + 1)}
            return repository.write_tree({p: c for p, c in files.items() if p not in folders})
        blob = repository.write_object("blob", data.draw(NOISE))
        if kind == "raw":
            entries = data.draw(st.lists(st.tuples(MODES, NAMES), max_size=4))
            raw = b"".join(m + b" " + n + b"\0" + bytes.fromhex(blob) for m, n in entries)
            return repository.write_object("tree", raw + data.draw(st.binary(max_size=5)))
        if kind == "missing":
            return repository.write_object("tree", b"40000 sources\0" + bytes.fromhex(MISSING))
        oid = repository.write_tree(self.files)
        names = [b"a"] if kind == "levels" else [b"%d" % n for n in range(10)]
        for _ in range(60 if kind == "levels" else 10):  # ten names of one folder, ten levels deep
            raw = b"".join(b"40000 " + n + b"\0" + bytes.fromhex(oid) for n in names)
            oid = repository.write_object("tree", raw)
        return oid

    def commit(self, data: st.DataObject) -> str:
        repository = self.archive.repository
        kind = data.draw(mostly(st.just("commit"), st.sampled_from(["blob", "tag", "tree"])))
        if kind == "tree":
            return self.tree(data)
        if kind != "commit":
            return repository.write_object(kind, data.draw(st.sampled_from([self.tag, b"x", b""])))
        known = st.sampled_from([MISSING, self.good.commit, "x"])
        parents = data.draw(mostly(st.just([]), st.lists(known, max_size=2)))
        lines = [f"tree {self.tree(data)}", *(f"parent {parent}" for parent in parents)]
        head = "\n".join([*lines, "author a <a> 1 +0000", "committer a <a> 1 +0000"]).encode()
        signature = self.signed[self.signed.rindex(b"Signature: ") :]
        message = data.draw(NOISE) + data.draw(st.sampled_from([b"", b"\n" + signature]))
        whole = st.just(head + b"\n\n" + message)
        content = data.draw(mostly(whole, st.sampled_from([head, message])))
        if data.draw(st.booleans()):  # as a machine that is trusted, and was taken over
            self.signs = True
            content = with_signature(content + b"\n", partial(self.archive.keys.sign, CANDIDATE))
        return repository.write_object("commit", content)

    def put(self, data: st.DataObject) -> None:
        """Names something hostile by a ref, as a push or a fetch by plain git could."""
        oid = self.commit(data)
        place = data.draw(st.sampled_from(["refs/candidates", "refs/quarantine/x/candidates"]))
        honest = st.just(oid[:12])
        odd = st.sampled_from([self.good.candidate_id, "0" * 12, "1.lock", "é"])
        name = data.draw(mostly(honest, odd))
        folder = data.draw(mostly(st.just(OPERATOR), st.sampled_from(["other", "a/deeper"])))
        self._name(f"{place}/{folder}/{name}", oid)
        if data.draw(st.booleans()):
            tags = data.draw(st.sampled_from(["refs/tags", "refs/quarantine/x/tags"]))
            numbers = ["1" * 30, "7", "²", "x/y", "-1"]
            number = data.draw(st.sampled_from(numbers))
            tag = data.draw(st.sampled_from([self.tag, self.tag.replace(b"H200/1", b"H200/7")]))
            cut = tag[: data.draw(st.integers(0, len(tag)))]
            content = data.draw(st.sampled_from([tag, cut]))
            made = self.archive.repository.write_object("tag", content)
            self._name(f"{tags}/promoted/{OPERATOR}/H200/{number}", made)

    def _name(self, ref: str, oid: str) -> None:
        file = self.archive.repository.path / ref
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                file.write_text(f"{oid}\n")

    def use(self) -> None:
        """Asks everything that a query, a search or a promotion asks."""
        archive, began = self.archive, time.thread_time()
        admit(archive)
        found = {node.candidate_id: node for node in archive.iter()}
        assert found[self.good.candidate_id] == self.good
        if not self.signs:
            assert not [node for node in found.values() if node.verified and node != self.good]
        assert archive.best(OPERATOR, "H200") == self.good
        assert [event.candidate_id for event in events(archive)] == [self.good.candidate_id]
        best_elsewhere(archive)
        assert self.good.candidate_id in log(archive).plain
        for name in found:
            with contextlib.suppress(HarnessError):
                archive.get(name).solution()
        self.slowest_s = max(self.slowest_s, time.thread_time() - began)

    def clean(self, refs: set[str]) -> None:
        """Removes every ref that was not there before."""
        repository = self.archive.repository
        self.signs = False
        shutil.rmtree(repository.path / "refs/quarantine", ignore_errors=True)
        for name in repository.ref_names("refs") - refs:
            (repository.path / name).unlink()
        for file in (repository.path / "refs").rglob("*.lock"):
            file.unlink()


@pytest.fixture
def door(archive, bench) -> Door:
    good = bench.add(latency_us=10.0)
    chosen = {"promoted": True, "track": "timed", "gpu": "H200"}
    decision = decide(good, [])
    promote(archive, type(decision)(**{**vars(decision), **chosen}), [])
    return Door(archive, archive.node(good.candidate_id))


def attack(door: Door, count: int) -> None:
    refs = door.archive.repository.ref_names("refs")

    @given(st.data())
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    def attacked(data: st.DataObject) -> None:
        door.clean(refs)
        for _ in range(data.draw(st.integers(1, 3))):
            door.put(data)
        door.use()

    attacked()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [10, pytest.param(500, marks=pytest.mark.long)])
def test_what_lies_under_a_ref_hides_nothing_and_counts_for_nothing(door, count):
    attack(door, count)


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_nothing_under_a_ref_takes_a_second_of_processor_time(door):
    attack(door, 10_000)
    assert door.slowest_s < 1


def mutated(content: bytes, data: st.DataObject) -> bytes:
    """A file with some bytes replaced, cut or added."""
    at = data.draw(st.integers(0, len(content)))
    noise = data.draw(st.binary(max_size=40))
    kind = data.draw(st.sampled_from(["replace", "cut", "insert", "head"]))
    if kind == "cut":
        return content[:at]
    if kind == "head":  # the list of refs, in text before the pack
        head, _, pack = content.partition(b"PACK")
        lines = head.split(b"\n")
        chosen = data.draw(st.integers(0, len(lines) - 1))
        names = [b"refs/candidates/a/b/c", b"refs/candidates/a..b/" + b"0" * 12, b"refs/tags/x y"]
        lines[chosen] = lines[chosen][:41] + data.draw(st.sampled_from(names) | st.binary())
        return b"\n".join(lines) + b"PACK" + pack
    return content[:at] + noise + content[at + (len(noise) if kind == "replace" else 0) :]


@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("count", [12, pytest.param(10_000, marks=pytest.mark.long)])
def test_a_bundle_of_any_bytes_is_fetched_or_refused_in_words(
    door, tmp_path, machine, bench_class, count
):
    root = tmp_path / "theirs" / "archive"
    theirs = Archive(root, machine("theirs"))
    bench_class(theirs).add(latency_us=1.0)
    whole = write_bundle(theirs, tmp_path / "whole").read_bytes()
    theirs.close()
    refs = door.archive.repository.ref_names("refs")

    @given(st.data())
    @settings(max_examples=count, deadline=None, database=None)
    def fetched(data: st.DataObject) -> None:
        door.clean(refs)
        file = tmp_path / "mutated"
        file.write_bytes(mutated(whole, data))
        with contextlib.suppress(HarnessError):
            fetch(door.archive, str(file))
        door.use()

    fetched()
    assert door.slowest_s < 1


def test_one_malformed_object_keeps_no_other_candidate_of_a_bundle_out(
    archive, tmp_path, machine, bench_class
):
    root = tmp_path / "theirs" / "archive"
    theirs = Archive(root, machine("theirs"))
    good = bench_class(theirs).add(latency_us=1.0)
    repository = theirs.repository
    blob = repository.write_object("blob", b"x")
    tree = repository.write_object("tree", b"0100644 candidate.toml\0" + bytes.fromhex(blob))
    bad = repository.write_commit(tree, [], "x\n", 1)
    repository.run("update-ref", f"refs/candidates/{OPERATOR}/{bad[:12]}", bad)
    moved = fetch(archive, str(write_bundle(theirs, tmp_path / "b")))
    assert [node.candidate_id for node in archive.iter()] == [good.candidate_id]
    assert moved.candidates == 1 and [bad[:12] in words for words in moved.refused] == [True]
    theirs.close()
