"""A head of Ray with a token and TLS lets in a server with both, and none with another token."""

from __future__ import annotations

import datetime
import importlib
import ipaddress
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

pytest.importorskip("ray", reason="the extra 'cluster' is not installed")
from .test_ray import Nodes, nodes

pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(900)]
__all__ = ["nodes"]


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine that signs itself, and its key."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])
    now = datetime.datetime.now(datetime.UTC)
    own = importlib.import_module("ray.util").get_node_ip_address()
    addresses = dict.fromkeys(["127.0.0.1", own])
    places = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(places), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, secret = folder / "node.crt", folder / "node.key"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file, secret


def token(folder: Path, name: str) -> str:
    """A new token's file."""
    file = folder / name
    file.write_text(secrets.token_hex(32))
    file.chmod(0o600)
    return str(file)


def test_a_server_with_the_token_and_tls_is_let_in_and_one_with_another_token_is_not(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, key = certificate(tmp_path)
    said = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": token(tmp_path, "token"),
        "RAY_USE_TLS": "1",
        "RAY_TLS_SERVER_CERT": str(file),
        "RAY_TLS_SERVER_KEY": str(key),
        "RAY_TLS_CA_CERT": str(file),
        "KERNEL_HARNESS_DEVICE": "cpu",
        "KERNEL_HARNESS_DATA_DIR": str(tmp_path / "home"),
    }
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    nodes.start()

    def status() -> str:
        program = (sys.executable, "-P", "-m", "kernel_harness.server", "cluster", "status")
        address = f"ray://127.0.0.1:{nodes.client}"
        found = subprocess.run([*program, address], capture_output=True, text=True, check=False)
        return found.stdout + found.stderr

    let_in = status()
    for _ in range(2):  # it may still be coming up
        let_in = let_in if "1 judge can be used" in let_in else status()
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", token(tmp_path, "another"))
    refused = status()
    assert "1 judge can be used" in let_in
    assert "can be used" not in refused and "cannot be reached" in refused
