"""Rules of the layout: layers, maps, sizes, callers, light imports, contents of the wheel."""

import ast
import functools
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.folding import for_each

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("server", "tools", "kernels")
LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
PRIVATE_NAMES = {
    # attribute accessed → why its owner's public interface does not do
    "os._exit": "documented: ends a forked process without its parent's clean-up",
    "torch._C": "holds the functions listed here",
    "torch._C._nn": "holds the function listed here",
    "torch._C._nn._parse_to": "how Module.to reads its arguments, which a mode sees as a call",
    "torch._C._cuda_synchronize": "the public synchronize costs microseconds inside a timed call",
    "torch._C._CudaEventBase": "a candidate can replace torch.cuda.Event, which derives from it",
    "torch._C._set_grad_enabled": "torch.set_grad_enabled is Python, which a candidate replaces",
    "torch._C._DisableTorchDispatch": "no public way past a dispatch mode of the candidate",
    "torch._C._dispatch_dump": "nothing public lists the operators that were overridden",
    "torch._C._dispatch_get_all_op_names": "nothing public tells torch's namespaces from others",
    "torch._C._autograd": "the enumeration that profiler events carry has no public module",
    "torch._foreach_copy_": "one launch for many copies; no public function does it",
    "torch._scaled_mm": "the only fp8 matrix product of torch",
    "torch.cuda._compile_kernel": "the only way to compile CUDA source without a toolchain",
    "torch.cuda._sleep": "the only way to keep a device busy for a number of cycles",
    "sys._current_frames": "documented: which code each thread is in; nothing else tells",
    "Autotuner._bench": "Triton has no setting to choose a config without timing it",
    "autotuner.Autotuner._bench": "as above",
}
MOST_MODULES = 10

MAY_IMPORT = {
    "candidate": {
        *(
            "errors",
            "confinement",
            "process_control",
            "folders",
            "driver",
            "messages.candidate",
            "messages.zygote",
        ),
        *("messages.frames", "messages.launch_plan", "messages.launches", "messages.profiler"),
        "messages.sockets",
    },
    "judge": {
        *(
            "errors",
            "settings",
            "text",
            "progress",
            "process_control",
            "folders",
            "driver",
            "messages",
        ),
        *("schema", "workloads", "devices.hardware", "devices.roofline", "devices.targets"),
        "devices.measurements",
    },
    "runner": {"errors", "text", "driver", "messages", "process_control"},
    "applying": {"errors", "text", "schema.deployment", "schema.constraints"},
}
"""All that a process of its own, or a part that must be importable alone, may know of `tools`."""

WITHOUT_CALLER = {
    "tools/applying/missed_calls.py": {"write_workloads"},
    "tools/collecting/adapters/replay.py": {"compared_calls"},
    "tools/archive/store/archive.py": {"compact"},
    "tools/candidate/cpu/fake_device.py": {
        *("get_current_device", "get_current_stream", "get_current_target", "set_current_device"),
        *("get_active_torch_device", "get_benchmarker", "get_device_interface"),
        *("get_empty_cache_for_benchmark", "clear_cache"),
        *("elapsed_time", "query", "record", "record_event", "wait_event", "wait_stream"),
    },
}
"""Public names that later work calls (packing of trials), those that users' programs call, and
those that Triton calls on a driver and candidates on streams and events."""

SERVICES = tuple(
    f"kernel_harness.{place}"
    for place in (
        *("tools.archive", "tools.evaluation", "tools.profiling", "tools.tuning"),
        *("tools.messages", "server.answers"),
    )
)
HEAVY = ("torch", "triton", "scipy", "matplotlib", "git", "numpy", "jinja2")


@functools.cache
def tracked(*patterns: str) -> tuple[Path, ...]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, capture_output=True, check=True
    )
    return tuple(ROOT / name for name in listing.stdout.decode().split("\0") if name)


@functools.cache
def modules() -> tuple[Path, ...]:
    return tuple(p for p in tracked(*(f"{room}/*.py" for room in ROOMS)) if p.is_file())


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """A module as parsed, once for all tests."""
    return ast.parse(path.read_text("utf-8"))


@functools.cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """Everything in a module's tree."""
    return tuple(ast.walk(tree_of(path)))


def test_imports_go_one_way():
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-3000:]


def test_a_module_has_one_subject():
    long = {
        str(p.relative_to(ROOT)): n
        for p in modules()
        if (n := len(p.read_text(encoding="utf-8").splitlines())) > LONGEST_MODULE
    }
    assert not long


def test_a_folder_has_few_modules():
    count: dict[str, int] = {}
    for path in modules():
        folder = str(path.parent.relative_to(ROOT))
        if folder.split("/")[0] in ("server", "tools"):
            count[folder] = count.get(folder, 0) + (path.name != "__init__.py")
    assert not {folder: n for folder, n in count.items() if n > MOST_MODULES}


def packages() -> list[Path]:
    """Every `__init__.py` of server and tools."""
    return [p for p in tracked("server/*__init__.py", "tools/*__init__.py") if p.is_file()]


@for_each("package", packages(), ids=lambda p: str(p.parent.relative_to(ROOT)))
def test_a_folder_has_a_map_of_what_is_in_it(package):
    tree = tree_of(package)
    named = set(re.findall(r"^ *([\w]+/?)  +\S", ast.get_docstring(tree) or "", re.MULTILINE))
    here = {p.parent / p.stem for p in modules()} | {p.parent for p in packages()}
    there = {
        f"{p.name}/" if (p / "__init__.py").is_file() else p.name
        for p in here
        if p.parent == package.parent and p.name not in ("__init__", "__main__")
    }
    data = {f"{p.name}/" for p in package.parent.iterdir() if p.is_dir()}
    assert there <= named and named - {"__main__"} <= there | data
    assert len(tree.body) == 1, "a package's __init__.py is its map and nothing else"


def imported(path: Path) -> set[str]:
    """Dotted names below `kernel_harness` that a module imports, anywhere in it."""
    package = ["kernel_harness", *path.relative_to(ROOT).parts[:-1]]
    found = set()
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{whole}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {n.removeprefix("kernel_harness.") for n in found if n.startswith("kernel_harness.")}


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_a_process_knows_only_what_it_may(part):
    allowed = tuple(f"tools.{name}." for name in (part, *MAY_IMPORT[part]))
    for path in tracked(f"tools/{part}/*.py"):
        assert not [name for name in imported(path) if not f"{name}.".startswith(allowed)], path


def test_judge_candidate_and_runner_are_started_and_never_imported():
    for path in modules():
        apart = path.relative_to(ROOT).parts[1]
        others = [f"tools.{n}." for n in ("judge", "candidate", "runner") if n != apart]
        assert not [n for n in imported(path) if f"{n}.".startswith(tuple(others))], path


def test_a_public_function_has_a_caller():
    sources = [*modules(), *tracked("scripts/*.py")]
    used = {name for path in sources for name in names_used(path)}
    unused = []
    for path in sources:
        place = str(path.relative_to(ROOT))
        if not place.startswith(("server/", "tools/")):
            continue
        for node in nodes_of(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                hidden = node.name.startswith("_") or registered(node)
                if not hidden and node.name not in used | WITHOUT_CALLER.get(place, set()):
                    unused.append(f"{place}:{node.lineno} {node.name}")
    assert not unused, "\n".join(unused)


def names_used(path: Path) -> Iterator[str]:
    """Every name that a module reads, by itself, as an attribute, or spelt in a string."""
    for node in nodes_of(path):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names if alias.asname)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"\w+", node.value) if len(node.value) < 60 else ()


def registered(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Whether a decorator hands it to a library, which then calls it."""
    return any(
        isinstance(d, ast.Call) and ast.unparse(d.func) not in ("dataclass", "lru_cache")
        for d in node.decorator_list
    )


def test_the_formatter_is_switched_off_for_tables_alone():
    squeezed = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in (*modules(), *tracked("tests/*.py"))
        if path.relative_to(ROOT).parts[0] != "kernels"
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if "# fmt" + ":" in line and not re.fullmatch(r" *}  # fmt[:] skip", line)
    ]
    assert not squeezed, "only a literal table may keep its own layout"


def test_every_path_that_prose_names_exists():
    naming = re.compile(
        r"(?<![\w/.<-])((?:server|tools|kernels|skills|scripts|tests|docs)/[\w/.-]+)"
    )
    missing = set()
    for page in tracked("*.md"):
        if page.name == "CHANGELOG.md":
            continue
        for name in naming.findall(page.read_text("utf-8")):
            place = ROOT / name.rstrip("./-")
            if not (place.exists() or place.with_suffix(".py").exists()):
                missing.add(f"{page.relative_to(ROOT)}: {name}")
    assert not missing


def test_a_function_fits_a_screen():
    long = []
    for path in modules():
        for node in nodes_of(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {lines}")
    assert not long


def test_no_module_shadows_the_standard_library():
    assert not [p for p in modules() if p.stem in sys.stdlib_module_names and p.stem[0] != "_"]


def test_every_module_says_what_it_is_for():
    silent = [p for p in modules() if not ast.get_docstring(tree_of(p))]
    shipped = [p for p in silent if "peers" not in p.parts and "solutions" not in p.parts]
    assert not [str(p.relative_to(ROOT)) for p in shipped if p.name != "reference.py"]


def test_nothing_but_settings_reads_the_environment():
    reading = re.compile(r"os\.(environ|getenv)")
    allowed = {"tools/settings.py"}
    found = {
        str(p.relative_to(ROOT))
        for p in modules()
        for line in p.read_text("utf-8").splitlines()
        if reading.search(line) and "noqa: TID251" not in line
    }
    assert found <= allowed


def private_names(path: Path) -> set[str]:
    """Attributes with a leading underscore of anything but self and cls, as they are written."""
    found = set()
    for node in nodes_of(path):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(attr=name):
                if is_private(name):
                    found.add(ast.unparse(node))
            case ast.Call(
                func=ast.Name(id="getattr" | "setattr" | "hasattr" | "delattr"),
                args=[owner, ast.Constant(value=str(name)), *_],
            ):
                if is_private(name):
                    found.add(f"{ast.unparse(owner)}.{name}")
            case ast.Import(names=names):
                found |= {alias.name for alias in names if "._" in alias.name}
            case ast.ImportFrom(level=0, module=str(module), names=names):
                for name in (module, *(f"{module}.{alias.name}" for alias in names)):
                    if is_private(name.rsplit(".", 1)[-1]):
                        found.add(name)
            case _:
                pass
    return found


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_no_private_name_of_a_dependency_is_used_without_a_reason():
    ours = [p for p in modules() if p.relative_to(ROOT).parts[0] in ("server", "tools")]
    used = {name: path for path in ours for name in private_names(path)}
    assert not {name: str(path) for name, path in used.items() if name not in PRIVATE_NAMES}
    assert not set(PRIVATE_NAMES) - set(used), "no longer used"


def test_the_server_starts_without_heavy_libraries(tmp_path):
    code = (
        "import sys, json\n"
        "from kernel_harness.tools.settings import Settings\n"
        "from kernel_harness.tools.harness import Harness\n"
        "from pathlib import Path\n"
        "import kernel_harness.server.app, kernel_harness.server.cli.main\n"
        f"Harness.open(Settings(data_dir=Path({str(tmp_path)!r})))\n"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))\n"
        f"print(json.dumps([m for m in sys.modules if m.startswith({SERVICES!r})]))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    heavy, services = found.stdout.strip().splitlines()[-2:]
    assert json.loads(heavy) == []
    assert json.loads(services) == [], "loaded when a tool is first called, not at every start"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for path in tracked():
        if path.is_file() and not path.is_symlink():
            target = source / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    # What pip calls; most of `pip wheel` is pip, which `make test-long` has install the wheel.
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    command = [sys.executable, "-c", build, str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_rooms_and_nothing_else(wheel):
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    expected = {
        f"kernel_harness/{p.relative_to(ROOT)}"
        for p in tracked("server", "tools", "kernels", "skills")
        if p.is_file() and not p.is_symlink()
    }
    assert names == expected


def test_the_wheel_runs_from_an_empty_folder(wheel, tmp_path):
    site, empty = tmp_path / "site", tmp_path / "empty"
    zipfile.ZipFile(wheel).extractall(site)
    empty.mkdir()
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(site)!r})\n"
        "sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]\n"
        "from kernel_harness.tools.settings import load_settings\n"
        "from kernel_harness.tools.harness import Harness\n"
        "settings = load_settings({'data_dir': sys.argv[1]})\n"
        "print(len(Harness.open(settings).dataset.operators), settings.kernels_dir)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(empty)],
        capture_output=True,
        text=True,
        cwd=empty,
        env={k: v for k, v in os.environ.items() if k[:6] != "KERNEL"},  # noqa: TID251
        check=False,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    count, folder = found.stdout.split()
    assert int(count) >= 5 and str(site) in folder


def test_the_changelog_speaks_of_this_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (
        f"[{version}]" in (ROOT / "CHANGELOG.md").read_text()
        or "[Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
    )


def test_ci_calls_the_command_of_the_readme():
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert "make test" in (ROOT / "README.md").read_text()


def test_every_make_target_of_the_readme_exists():
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in ("README.md", "CONTRIBUTING.md"):
        named = set(re.findall(r"`?make ([a-z-]+)", (ROOT / document).read_text()))
        assert named <= targets, document
