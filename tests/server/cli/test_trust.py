"""The command trust: whose records count, from the first listing to the removal of a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_harness.server.cli import main as cli
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.signing.keyring import Keyring

from .test_archive import ID, MINE, evaluation


@pytest.fixture
def theirs(here: Path) -> Keyring:
    return Keyring(here / "theirs" / "signing_key", here / "theirs")


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert cli.run([*words]) == status
    printed = capsys.readouterr()
    return printed.out + printed.err


@pytest.fixture(autouse=True)
def own_key(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERNEL_HARNESS_SIGNING_KEY", str(here / "home" / "keys" / "signing_key"))


def test_keys_are_listed_accepted_and_removed(theirs, capsys) -> None:
    listed = said(capsys, "trust")
    assert "This machine: ed25519:" in listed and "accepted:" not in listed
    key = theirs.public()
    assert f"Trusted from now on: {key} gpu-box" in said(capsys, "trust", key, "--name", "gpu-box")
    assert f"accepted: {key} gpu-box" in said(capsys, "trust")
    assert "No longer trusted" in said(capsys, "trust", "--remove", "gpu-box")
    assert "No accepted key" in said(capsys, "trust", "--remove", "gpu-box", status=2)
    assert "no public key" in said(capsys, "trust", "ssh-rsa AAAA", status=2)


def test_a_key_of_the_setting_is_listed_as_such(theirs, capsys, monkeypatch) -> None:
    monkeypatch.setenv("KERNEL_HARNESS_TRUSTED_KEYS", f"{theirs.public()} node 1,")
    assert f"setting: {theirs.public()} node 1" in said(capsys, "trust")


def test_a_foreign_bundle_ranks_once_its_key_is_accepted(here, theirs, capsys, monkeypatch) -> None:
    own = Path(load_settings().signing_key)
    monkeypatch.setenv("KERNEL_HARNESS_SIGNING_KEY", str(theirs.private_file))
    harness = Harness.open(load_settings({"data_dir": str(here / "elsewhere")}))
    harness.records.write(harness.keys.signed(evaluation()))
    node = harness.archiving.archive_candidate(MINE, ID, "identity is fast").node
    harness.archive.close()
    said(capsys, "bundle", "theirs.bundle", "--data-dir", str(here / "elsewhere"))
    monkeypatch.setenv("KERNEL_HARNESS_SIGNING_KEY", str(own))
    fetched = said(capsys, "fetch", "theirs.bundle")
    assert "1 candidate came in." in fetched and "rank nowhere" in fetched
    assert "unverified" in said(capsys, "show", node.candidate_id)
    harness = Harness.open(load_settings())
    harness.records.write(harness.keys.signed(evaluation()))
    harness.archiving.archive_candidate(MINE, ID, "identity is fast here, too")
    harness.archive.close()
    assert "Not in it: 1 candidate from elsewhere" in said(capsys, "bundle", "all.bundle")
    accepted = said(capsys, "trust", str(theirs.public()), "--name", "them")
    assert "still count nowhere: 0" in accepted
    assert "Not in it" not in said(capsys, "bundle", "all.bundle")
    shown = said(capsys, "show", node.candidate_id)
    assert "trusted: signed by them" in shown and "refs/candidates/" in shown


def test_a_record_written_by_hand_is_unverified_and_no_verdict(here, capsys) -> None:
    Harness.open(load_settings()).records.write(evaluation())
    answer = said(capsys, "get", ID, status=3)
    assert answer.startswith("UNVERIFIED, it ranks nowhere: it is not signed. It says:")


def test_a_record_from_before_the_first_signature_counts_and_is_marked(here, capsys) -> None:
    from kernel_harness.tools.evaluation.records.record_store import RecordStore

    RecordStore(load_settings().evaluations_dir).write(evaluation())
    answer = said(capsys, "get", ID)
    assert "The record: recorded here before records were signed." in answer


def test_a_machine_that_cannot_sign_says_so(here, capsys, monkeypatch) -> None:
    (here / "file").write_text("")
    monkeypatch.setenv("KERNEL_HARNESS_SIGNING_KEY", str(here / "file" / "key"))
    assert "nothing can be signed" in said(capsys, "trust")
    assert "KERNEL_HARNESS_SIGNING_KEY" in said(capsys, "check", "--json")
