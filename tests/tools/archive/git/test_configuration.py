"""What is taken over from a user's configuration, and what is not."""

from __future__ import annotations

import subprocess

from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernel_harness.tools.archive.git.configuration import (
    NOBODY,
    access_file,
    our_environment,
    read_user,
)
from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.archive.store.transfer import fetch, push

VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=30)


def test_a_name_the_way_to_other_machines_and_the_owners_of_folders_are_taken_over():
    found = read_user(
        "user.name\nAda\0user.name\nAda L.\0fetch.prune\ntrue\0http.https://a.b/.proxy\nc:1\0"
        "core.sshcommand\nssh -p 9\0core.hookspath\n/x\0safe.directory\n*\0http.sslverify\0"
    )
    assert found.identity == ("Ada L.", NOBODY.identity[1])
    assert found.access == (
        ("http.https://a.b/.proxy", "c:1"),
        ("core.sshcommand", "ssh -p 9"),
        ("http.sslverify", "true"),
    )
    assert found.owners == (("safe.directory", "*"),)
    assert read_user("") == NOBODY


@settings(max_examples=15, deadline=None)
@given(sub=VALUES.filter(lambda text: "\n" not in text), value=VALUES)
@example(sub="\t", value="\t")
@example(sub='\\t"', value='\\t\n"')
def test_git_reads_in_the_file_what_the_user_has_set(sub, value):
    pairs = [(f"url.{sub}.insteadof" if sub else "http.proxy", value), ("core.askpass", "x y")]
    with access_file(pairs) as file:
        command = ["git", "config", "--file", file, "--list", "--null"]
        listed = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    assert listed == "".join(f"{key}\n{text}\0" for key, text in pairs)


def test_an_address_that_the_user_has_named_is_reached(bench, archive, keys, tmp_path, monkeypatch):
    """What is set to reach other machines holds for them, and for them alone."""
    remote = Archive(tmp_path / "remote", keys(tmp_path / "remote"))
    remote.repository.create()
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[url "{tmp_path}/remote/"]\n\tinsteadOf = "team:"\n'
        f'[url "https://invalid.invalid/"]\n\tinsteadOf = "{tmp_path}"\n'
    )
    monkeypatch.setenv("HOME", str(home))
    bench.add()
    assert push(archive, "team:repository.git").candidates == 1
    other = Archive(tmp_path / "other", keys(tmp_path / "other"))
    assert fetch(other, str(tmp_path / "remote" / "repository.git")).candidates == 1
    other.close()


def test_nothing_that_points_git_elsewhere_is_in_its_environment(monkeypatch):
    monkeypatch.delenv("GIT_SSL_CAINFO", raising=False)
    for name in ("GIT_DIR", "GIT_QUARANTINE_PATH", "GIT_CONFIG_PARAMETERS", "GIT_TRACE"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -p 9")
    found = our_environment()
    assert found["GIT_SSH_COMMAND"] == "ssh -p 9"
    ours = {"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_ATTR_NOSYSTEM"}
    rest = {n for n in found if n.startswith("GIT_") and "_KEY_" not in n and "_VALUE_" not in n}
    assert rest == ours | {"GIT_CONFIG_COUNT", "GIT_SSH_COMMAND"}
