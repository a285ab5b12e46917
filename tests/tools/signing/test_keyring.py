"""Whose records count on a machine: its own, those of keys it trusts, and what was there before."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kernel_harness.tools.errors import InfrastructureError, RequestError
from kernel_harness.tools.signing.keyring import Keyring, Trust
from kernel_harness.tools.signing.signature import CANDIDATE, RECORD
from kernel_harness.tools.signing.trusted_keys import accept_key, read_keys, remove_key

from .test_signature import evaluation


@pytest.fixture
def ours(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path / "ours" / "signing_key", tmp_path / "archive")


@pytest.fixture
def theirs(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path / "theirs" / "signing_key", tmp_path / "their archive")


def test_the_private_key_is_made_once_and_only_its_owner_may_read_it(ours):
    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(lambda _: Keyring(ours.private_file, Path("/a")).public(), range(8)))
    assert len(made) == 1 and made == {ours.public()}
    assert stat.S_IMODE(ours.private_file.stat().st_mode) == 0o600
    assert [path.name for path in ours.private_file.parent.iterdir()] == ["signing_key"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda file: file.chmod(0o640), "chmod 600"),
        (lambda file: file.write_bytes(b"no key"), "signing_key"),
        (lambda file: (file.unlink(), file.mkdir()), "directory"),
    ],
)
def test_a_key_that_cannot_be_used_signs_nothing_and_says_why(ours, fault, words):
    ours.public()
    fault(ours.private_file)
    again = Keyring(ours.private_file, Path("/a"))
    assert again.signed(evaluation()).signature is None
    assert words in again.problem and again.public() is None
    assert not again.verify_record(ours.signed(evaluation())).counts


def test_a_folder_that_cannot_be_written_is_a_problem_and_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    keys = Keyring(tmp_path / "file" / "signing_key", tmp_path)
    assert keys.sign(RECORD, b"x") is None and "nothing can be signed" in keys.problem


def test_a_record_of_this_machine_counts_until_a_figure_is_changed(ours):
    record = ours.signed(evaluation())
    assert ours.verify_record(record).trust is Trust.OWN
    forged = record.model_copy(update={"solution_name": "50x"})
    found = ours.verify_record(forged)
    assert found.trust is Trust.UNVERIFIED and "not of what it holds" in found.words
    assert not ours.verify_record(evaluation()).counts


def test_another_machines_record_counts_once_its_key_is_accepted_and_no_longer_once_removed(
    ours, theirs
):
    record = theirs.signed(evaluation())
    before = ours.fingerprint
    refused = ours.verify_record(record)
    assert not refused.counts and str(theirs.public()) in refused.words
    accept_key(ours.accepted_file, f" {theirs.public()}\n", "the cluster")
    found = ours.verify_record(record)
    assert found.trust is Trust.TRUSTED and "the cluster" in found.words
    assert ours.fingerprint != before
    remove_key(ours.accepted_file, "the cluster")
    assert not ours.verify_record(record).counts and ours.fingerprint == before


def test_a_key_is_trusted_by_setting_and_by_the_shipped_list(ours, theirs, tmp_path):
    record = theirs.signed(evaluation())
    given = Keyring(ours.private_file, tmp_path, [f"{theirs.public()} batch node"])
    assert "batch node" in given.verify_record(record).words
    shipped = tmp_path / "shipped.txt"
    shipped.write_text(f"# a comment\n\n{theirs.public()} project\n")
    assert Keyring(ours.private_file, tmp_path, (), shipped).verify_record(record).counts


def test_a_list_that_cannot_be_read_adds_nobody_and_says_so(ours, theirs):
    ours.accepted_file.parent.mkdir(parents=True)
    ours.accepted_file.write_text("ssh-rsa AAAA\n")
    assert not ours.verify_record(theirs.signed(evaluation())).counts
    with pytest.raises(RequestError, match="public key"):
        ours.trusted()
    ours.accepted_file.write_bytes(b"\xff")
    with pytest.raises(InfrastructureError, match="cannot be read"):
        read_keys(ours.accepted_file, "accepted")


def test_a_key_that_is_not_accepted_cannot_be_removed(ours):
    with pytest.raises(RequestError, match="No accepted key"):
        remove_key(ours.accepted_file, "nobody")


def test_what_was_there_before_the_first_signature_counts_and_nothing_later(ours, tmp_path):
    records = tmp_path / "evaluations"
    records.mkdir()
    old = evaluation(evaluation_id="old")
    (records / "ev-old.json").write_text(old.model_dump_json(indent=1))
    ours.note_unsigned(lambda: ["a" * 40], records)
    later = evaluation(evaluation_id="later")
    (records / "ev-later.json").write_text(later.model_dump_json(indent=1))
    ours.note_unsigned(lambda: ["b" * 40], records)
    again = Keyring(ours.private_file, tmp_path / "archive")
    assert again.verify_record(old).trust is Trust.BEFORE_SIGNING
    assert not again.verify_record(later).counts
    assert not again.verify_record(old.model_copy(update={"solution_name": "50x"})).counts
    assert again.verify_object("a" * 40, None, CANDIDATE, b"x").trust is Trust.BEFORE_SIGNING
    assert not again.verify_object("b" * 40, None, CANDIDATE, b"x").counts
    assert not again.verify_object("a" * 40, "ed25519:x y", CANDIDATE, b"x").counts
    elsewhere = Keyring(ours.private_file, tmp_path / "another archive")
    assert not elsewhere.verify_record(old).counts


def test_the_list_of_what_was_there_lies_beside_the_key(ours, tmp_path):
    ours.note_unsigned(lambda: [], tmp_path)
    (made,) = (ours.private_file.parent / "unsigned").iterdir()
    assert os.path.commonpath([made, tmp_path / "archive"]) == str(tmp_path)
