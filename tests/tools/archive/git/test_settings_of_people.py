"""Every command of git that the harness starts, under settings that people have.

One session uses them all; what it gives must be what it gives where nothing is set.
"""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.archive import git as git_folder
from kernel_harness.tools.archive.git.damage import damaged_refs
from kernel_harness.tools.archive.git.repository import Repository
from kernel_harness.tools.archive.promotion.events import promote
from kernel_harness.tools.archive.promotion.rules import decide
from kernel_harness.tools.archive.report.terminal import log
from kernel_harness.tools.archive.report.website import write_site
from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.archive.store.transfer import fetch, push, write_bundle
from kernel_harness.tools.archive.store.trials.tidying import weight_of
from kernel_harness.tools.schema.search.plan import SearchPlan
from kernel_harness.tools.signing.keyring import Keyring

IDENTITY = "[user]\n\tname = Ada\n\temail = ada@example.org\n"
DIED = "#!/bin/sh\necho a hook ran >&2\nexit 1\n"
HOOKS = ("reference-transaction", "pre-push", "pre-receive", "update", "post-update", "pre-auto-gc")


@dataclass(frozen=True)
class Setting:
    """What a person has set: in ~/.gitconfig, in the environment, in the archive's own config.

    "{folder}" is a folder with hooks that fail and a file of attributes.
    """

    config: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    repository: str = ""


def config(*lines: str) -> str:
    """A configuration of lines such as "fetch.prune = true"."""
    text = ""
    for line in lines:
        name, _, value = line.partition(" = ")
        section, key = name.rsplit(".", 1)
        head, _, sub = section.partition(".")
        text += f"[{head} {sub!r}]\n".replace("'", '"') if sub else f"[{head}]\n"
        text += f'\t{key} = "{value}"\n'
    return text


def config_variables(*lines: str) -> dict[str, str]:
    """The same as git takes it from variables."""
    found = {"GIT_CONFIG_COUNT": str(len(lines))}
    for number, line in enumerate(lines):
        name, _, value = line.partition(" = ")
        found |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return found


LINES: dict[str, tuple[str, ...]] = {
    "prune": ("fetch.prune = true", "fetch.pruneTags = true"),
    "remote_prune": ("remote.origin.prune = true", "remote.origin.url = /nowhere"),
    "push_signed": ("push.gpgSign = true", "gpg.program = /bin/false"),
    "push_options": ("push.pushOption = x", "push.followTags = true", "push.default = nothing"),
    "push_leases": ("push.useForceIfIncludes = true", "push.recurseSubmodules = check"),
    "all_signed": ("commit.gpgSign = true", "tag.gpgSign = true", "tag.forceSignAnnotated = true"),
    "line_ends": ("core.autocrlf = true", "core.eol = crlf", "core.safecrlf = true"),
    "hooks": ("core.hooksPath = {folder}",),
    "monitor": ("core.fsmonitor = {folder}/update", "core.untrackedCache = true"),
    "templates": ("init.templateDir = {folder}", "init.defaultBranch = trunk"),
    "signatures_shown": ("log.showSignature = true", "log.decorate = full"),
    "log": (
        "log.date = relative",
        "format.pretty = fuller",
        "log.follow = true",
        "core.abbrev = 5",
    ),
    "log_form": (
        "log.excludeDecoration = *",
        "log.diffMerges = separate",
        "log.showRoot = false",
    ),
    "graph_colours": ("color.ui = always", "log.graphColors = red", "color.diff = always"),
    "difftool": ("diff.external = /bin/false",),
    "diff_names": ("diff.noprefix = true", "diff.mnemonicPrefix = true", "diff.relative = true"),
    "diff_order": ("diff.orderFile = {folder}/missing",),
    "diff_form": ("diff.context = 0", "diff.algorithm = patience", "diff.renames = false"),
    "diff_more": (
        "diff.suppressBlankEmpty = true",
        "diff.interHunkContext = 9",
        "diff.wordRegex = .",
    ),
    "diff_moves": ("diff.colorMoved = zebra", "diff.wsErrorHighlight = all"),
    "attributes": ("core.attributesFile = {folder}/attributes",),
    "textconv": ("core.attributesFile = {folder}/textconv", "diff.made.textconv = /bin/false"),
    "quotes": (
        "core.quotePath = false",
        "core.whitespace = cr-at-eol",
        "i18n.logOutputEncoding = latin1",
    ),
    "pager": ("core.pager = /bin/false", "pager.log = true", "pager.diff = true"),
    "hidden_refs": ("transfer.hideRefs = refs", "uploadpack.hideRefs = refs"),
    "protocols": ("protocol.allow = never", "protocol.file.allow = never", "protocol.version = 0"),
    "strict": (
        "transfer.fsckObjects = true",
        "receive.denyDeletes = true",
        "fsck.badDate = error",
    ),
    "packs": ("pack.threads = 1", "pack.packSizeLimit = 1m", "repack.writeBitmaps = true"),
    "pack_form": (
        "pack.indexVersion = 1",
        "repack.usedeltabaseoffset = false",
        "core.compression = 0",
    ),
    "pack_hook": ("uploadpack.packObjectsHook = /bin/false",),
    "gc": (
        "gc.auto = 1",
        "gc.autoDetach = false",
        "gc.pruneExpire = now",
        "maintenance.auto = true",
    ),
    "submodules": ("submodule.recurse = true", "fetch.recurseSubmodules = true"),
    "fetch_form": (
        "fetch.output = compact",
        "fetch.parallel = 0",
        "fetch.writeCommitGraph = true",
    ),
    "bundles": (
        "fetch.unpackLimit = 1",
        "transfer.unpackLimit = 1",
        "transfer.advertiseSID = true",
    ),
    "reflogs": ("core.logAllRefUpdates = always", "core.sharedRepository = group"),
    "elsewhere": ("url.https://invalid.invalid/.insteadOf = /", "url.x.pushInsteadOf = /"),
    "ssh": (
        "core.sshCommand = /bin/false",
        "core.gitProxy = /bin/false",
        "core.askPass = /bin/false",
    ),
    "aliases": ("alias.fetch = !false", "alias.log = !false", "help.autoCorrect = 1"),
    "included": ("include.path = {folder}/missing", "includeIf.gitdir:/.path = {folder}/broken"),
    "bad_value": ("core.compression = much", "fetch.prune = perhaps", "log.date = nonsense"),
    "bad_protocol": ("pack.threads = -7", "color.ui = sometimes", "push.default = some"),
}
OWN = (
    "prune",
    "hooks",
    "push_signed",
    "signatures_shown",
    "difftool",
    "diff_names",
    "diff_form",
    "attributes",
    "textconv",
    "graph_colours",
    "line_ends",
    "gc",
    "monitor",
    "log",
    "submodules",
)
"""Of those, what may also be set in the archive's own repository."""
VARIABLES: dict[str, dict[str, str]] = {
    "counted": config_variables("fetch.prune = true", "core.hooksPath = {folder}"),
    "counted_badly": {"GIT_CONFIG_COUNT": "many"},
    "parameters": {"GIT_CONFIG_PARAMETERS": "'push.gpgsign=true' 'diff.external=/bin/false'"},
    "other_repository": {"GIT_DIR": "/nowhere", "GIT_COMMON_DIR": "/nowhere"},
    "other_objects": {"GIT_OBJECT_DIRECTORY": "/nowhere", "GIT_WORK_TREE": "/nowhere"},
    "namespace": {"GIT_NAMESPACE": "mine", "GIT_REPLACE_REF_BASE": "refs/candidates/"},
    "quarantine": {"GIT_QUARANTINE_PATH": "/nowhere"},
    "shallow": {"GIT_SHALLOW_FILE": "{folder}/shallow", "GIT_GRAFT_FILE": "{folder}/shallow"},
    "traced": {"GIT_TRACE": "1", "GIT_TRACE_PACKET": "1", "GIT_TRACE2": "1"},
    "diffed": {"GIT_EXTERNAL_DIFF": "/bin/false", "GIT_DIFF_OPTS": "-u0", "GIT_PAGER": "false"},
    "pathspecs": {"GIT_GLOB_PATHSPECS": "1", "GIT_ICASE_PATHSPECS": "1", "GIT_INDEX_FILE": "/x"},
    "hashes": {"GIT_DEFAULT_HASH": "sha256", "GIT_TEMPLATE_DIR": "{folder}"},
    "old_config": {"GIT_CONFIG": "/nowhere", "GIT_CONFIG_NOSYSTEM": "0"},
    "system": {"GIT_CONFIG_SYSTEM": "{folder}/broken"},
    "global": {"GIT_CONFIG_GLOBAL": "{folder}/broken"},
    "language": {"LANG": "de_DE.UTF-8", "LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de"},
    "attributes_elsewhere": {"XDG_CONFIG_HOME": "{folder}/xdg"},
}
SETTINGS: dict[str, Setting] = {
    **{name: Setting(config(*lines)) for name, lines in LINES.items()},
    **{f"own_{name}": Setting(repository=config(*LINES[name])) for name in OWN},
    **{name: Setting(variables=variables) for name, variables in VARIABLES.items()},
    "broken": Setting("[core\n\tno such thing"),
    "no_identity": Setting("[user]\n\tuseConfigOnly = true\n"),
}
TOGETHER = ("prune", "push_signed", "hooks")
"""One each that loses data, asks for keys and runs code."""
SETTINGS["together"] = Setting(config(*(line for name in TOGETHER for line in LINES[name])))
QUICK = {"together", "broken"}
"""The latter ends every command; all, each by itself, take minutes."""
ANONYMOUS = {"broken", "global", "system", "counted_badly", "included", "no_identity"}
"""Where git cannot read, or is not told, who the user is."""


@pytest.fixture(scope="module")
def traps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hooks that fail, and the files that settings name."""
    folder = tmp_path_factory.mktemp("traps")
    for place in (folder, folder / "hooks"):
        place.mkdir(exist_ok=True)
        for name in HOOKS:
            (place / name).write_text(DIED)
            (place / name).chmod(0o755)
    (folder / "attributes").write_text("* binary\n*.py -diff\n")
    (folder / "textconv").write_text("* diff=made\n")
    (folder / "shallow").write_text("1" * 40 + "\n")
    (folder / "broken").write_text("[core\n")
    (folder / "xdg" / "git").mkdir(parents=True)
    (folder / "xdg" / "git" / "attributes").write_text("* binary\n*.py -diff\n")
    return folder


def put(setting: Setting, home: Path, traps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a home of somebody who has set this."""
    home.mkdir()
    identity = "" if "useConfigOnly" in setting.config else IDENTITY
    text = (identity + setting.config).replace("{folder}", str(traps))
    (home / ".gitconfig").write_text(text)
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in setting.variables.items():
        monkeypatch.setenv(name, value.replace("{folder}", str(traps)))


def promoted(archive: Archive, candidate_id: str) -> None:
    """Promotes without asking the rules, to have a branch and a tag to carry."""
    decision = decide(archive.node(candidate_id), [])
    chosen = {"promoted": True, "track": "timed", "gpu": "H200", "current_best": None}
    promote(archive, type(decision)(**{**vars(decision), **chosen}), [])


def session(root: Path, traps: Path, bench_class: Any, own: str = "") -> dict[str, Any]:
    """Uses every command of git once; all that came of it."""
    archives = []
    for name in ("a", "b"):
        keys = Keyring(traps / "signing_key", root / name)
        archives.append(Archive(root / name, keys))
    mine, other = archives
    for archive in archives:
        archive.repository.create()
        with (archive.repository.path / "config").open("a") as file:
            file.write(own)
    here, there = bench_class(mine), bench_class(other)
    source = "def run(x, y):\n    # a\n\n    # b\n    # c\n\n    y.copy_(x * 2)\n"
    first = here.add(source, latency_us=10.0)
    second = here.add(source.replace("* 2", "* 4"), parents=[first.candidate_id], latency_us=5.0)
    promoted(mine, second.candidate_id)
    apart = there.add(source.replace("* 2", "* 3"), latency_us=8.0)
    bundle = write_bundle(mine, root / "a.bundle")
    remote = Repository(root / "remote.git")
    remote.create()
    moved = [fetch(other, str(bundle), "a"), fetch(other, str(mine.repository.path), "folder")]
    moved += [push(other, str(remote.path)), push(mine, str(remote.path))]
    mine.compact()
    # The other side lacks what this one has, and this one what the other has.
    moved += [fetch(mine, str(remote.path), "origin"), fetch(other, str(bundle), "a")]
    mine.close()
    site = write_site(mine, root / "site")
    page = (site.parent / "candidates" / f"{second.candidate_id}.html").read_text()
    found = {
        "ids": [first.commit, second.commit, apart.commit],
        # In the order of a folder's entries, which is the file system's.
        "moved": [replace(found, moved=tuple(sorted(found.moved))) for found in moved],
        "counts": [archive.rebuild_index() for archive in archives],
        "refs": [undated(archive.repository) for archive in archives],
        "remote": undated(remote),
        "graph": log(mine, "scale_n64").plain,
        "diff": mine.diff(first.candidate_id, second.candidate_id),
        "page": page.partition('<pre class="diff">')[2].partition("</pre>")[0],
        "sources": dict(other.get(second.candidate_id).sources),
        "identity": [line for line in author(mine, first.commit) if line],
    }
    # Of no trial, so that no setting of compression tells.
    found["weight"] = weight_of(mine)
    found["damaged"] = damaged_refs(mine.repository)
    assert found["damaged"] == []
    plan = SearchPlan(
        definition="scale_n64", hypothesis="h", expected_gain=2, confidence=0, spec={}
    )
    written = mine.plans.write(plan, {"kernel.py": source}, [first.commit])
    found["scaffold"] = dict(mine.plans.read(written.plan_id).sources)
    assert mine.repository.packing.pack(prune_since="2.weeks.ago")
    for archive in archives:
        archive.close()
    return found


def undated(repository: Repository) -> dict[str, str]:
    """All refs with what they hold; tags and evidence, which are dated by the clock, without."""
    refs = repository.refs("refs")
    return {
        ref: "" if "tags" in ref or "evidence" in ref or "promoted" in ref else oid
        for ref, oid in refs.items()
    }


def author(archive: Archive, commit: str) -> list[str]:
    """Who made a commit."""
    lines = archive.repository.read(commit)[1].decode().splitlines()
    return [line.rsplit(" ", 2)[0] for line in lines if line.startswith(("author", "committer"))]


@pytest.fixture(scope="module")
def started() -> set[str]:
    """The commands of git that the session of `plain` has started."""
    return set()


@pytest.fixture(scope="module")
def plain(tmp_path_factory, traps, bench_class, started: set[str]) -> dict[str, Any]:
    """What a session gives where a name and an address are all that is set."""
    start = Repository.start

    def noted(self: Repository, command: str, *rest: Any) -> subprocess.Popen[bytes]:
        started.add(command)
        return start(self, command, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Repository, "start", noted)
        put(Setting(), tmp_path_factory.mktemp("plain") / "home", traps, patch)
        return session(tmp_path_factory.mktemp("plain"), traps, bench_class)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.long) for n in SETTINGS]
)
def test_a_session_gives_what_it_gives_where_nothing_is_set(
    name, plain, tmp_path, traps, bench_class, monkeypatch
):
    put(SETTINGS[name], tmp_path / "home", traps, monkeypatch)
    own = SETTINGS[name].repository.replace("{folder}", str(traps))
    found = session(tmp_path, traps, bench_class, own)
    assert found["counts"] == [3, 3]
    if name in ANONYMOUS:
        assert all("kernel-harness@localhost" in line for line in found["identity"])
        assert found["graph"].count("\n") == plain["graph"].count("\n")
        return
    for part, value in plain.items():
        assert found[part] == value, part


@pytest.mark.usefixtures("plain")
def test_a_session_uses_every_command_of_git_that_the_harness_has(started: set[str]):
    """A command that is added is added to the session."""
    written = set()
    for file in Path(git_folder.__path__[0]).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("run", "start"):
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    written.add(first.value)
    assert {"fetch", "push", "log", "diff", "update-ref"} <= started
    assert written - {"-c"} <= started
