"""A signature is of these bytes, for this purpose, by this key, or it is none."""

from __future__ import annotations

import string

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.schema.evaluation import Evaluation, Evidence, Scope
from kernel_harness.tools.signing.signature import (
    CANDIDATE,
    RECORD,
    canonical,
    checked_public,
    public_text,
    sign,
    signer_of,
)
from tests.records import make_record

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def evaluation(**changes: object) -> Evaluation:
    return make_record(
        solution_name="é",
        scope=Scope.FULL,
        evidence=Evidence(started_at="2026-01-01T00:00:00+00:00", checks={"b": 1.0, "a": [1, 2]}),
    ).model_copy(update=changes)


@given(st.binary(max_size=200))
def test_a_signature_names_the_key_that_made_it(content):
    assert signer_of(sign(KEY, RECORD, content), RECORD, content) == public_text(KEY)


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_a_signature_of_other_bytes_or_for_another_purpose_is_none(content, other):
    signature = sign(KEY, RECORD, content)
    assert signer_of(signature, CANDIDATE, content) is None
    if other != content:
        assert signer_of(signature, RECORD, other) is None


@given(st.text(max_size=200) | st.from_regex(r"ed25519:[A-Za-z0-9+/=]{40,60} [A-Za-z0-9+/=]*"))
def test_a_text_that_is_no_signature_is_none(text):
    assert signer_of(text, RECORD, b"x") is None


def test_a_key_cannot_claim_anothers_signature():
    _, _, value = sign(OTHER, RECORD, b"x").partition(" ")
    assert signer_of(f"{public_text(KEY)} {value}", RECORD, b"x") is None


def test_a_signature_has_one_spelling():
    """Four bits of the last digit of 64 bytes are read by nobody: another digit is another text."""
    signature = sign(KEY, RECORD, b"x")
    assert signature.endswith("==")
    digits = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    last = digits.index(signature[-3])
    others = [f"{signature[:-3]}{digits[last ^ bit]}==" for bit in (1, 2, 4, 8)]
    for other in (*others, f"{signature} ", f"{signature}\n", signature.rstrip("=")):
        assert signer_of(other, RECORD, b"x") is None


@pytest.mark.parametrize("text", ["", "ed25519:", "ed25519:QUJD", "rsa:" + "A" * 44, "A" * 44, "é"])
def test_what_is_no_public_key_is_refused(text):
    with pytest.raises(RequestError, match="public key"):
        checked_public(text)


def test_a_record_signs_as_it_is_read_again_and_without_its_signature():
    record = evaluation()
    again = Evaluation.model_validate_json(record.model_dump_json(indent=1))
    assert canonical(again) == canonical(record)
    assert canonical(evaluation(signature="ed25519:x y")) == canonical(record)
    assert canonical(evaluation(content_hash="d")) != canonical(record)
