"""Reads in the text of host code what a fake device does not answer for.

Without a GPU host code is judged beside stand-ins for one. What it can ask of torch and Triton in
public is answered; their private parts, other modules, and Python that looks at Python show that
there is none, and code may go another way for it. So host code is verified without a GPU only where
its text names what is known to be answered. This is read by the judge, outside of the process
that runs it. It cannot tell what a name is bound to at run time: it takes the likely for the sure.

Pure.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import torch

MODULES = frozenset(
    "__future__ abc collections concurrent dataclasses enum functools itertools math numbers "
    "struct threading typing torch triton".split()
)
"""What may be imported, as far as what is named of it is answered."""
_INNER_MODULES = frozenset(
    "collections.abc concurrent.futures torch.accelerator torch.autograd torch.backends "
    "torch.backends.cuda torch.cuda torch.cuda.nvtx torch.fft torch.functional torch.linalg "
    "torch.nn torch.nn.attention torch.nn.functional torch.nn.init torch.special".split()
)
"""Modules below them that are alike on every machine, or answered."""
_CUDA = frozenset(
    "Event ExternalStream Stream current_device current_stream default_stream device device_count "
    "device_of empty_cache get_device_capability get_device_properties is_available "
    "is_bf16_supported manual_seed manual_seed_all nvtx set_device set_stream stream "
    "synchronize".split()
)
_ONLY: Mapping[str, frozenset[str]] = {
    "torch.accelerator": frozenset(
        "current_accelerator current_device_index current_stream device_count is_available "
        "synchronize".split()
    ),
    "torch.autograd": frozenset(["Function"]),
    "torch.backends": frozenset(["cuda"]),
    "torch.backends.cuda": frozenset(["matmul"]),
    "torch.cuda": _CUDA,
}
"""Of these modules no more is answered."""
_NOT_OF_TORCH = frozenset(
    f"torch.{name}"
    for name in "Generator from_file get_num_interop_threads get_num_threads get_rng_state "
    "initial_seed load save seed".split()
)
_TRITON = frozenset(
    "Config OutOfResources autotune cdiv constexpr heuristics jit language next_power_of_2 "
    "set_allocator".split()
)
_ACTIVE = "triton.runtime.driver.active"
_TRITON_PLACES = (
    "triton.language",
    f"{_ACTIVE}.get_active_torch_device",
    f"{_ACTIVE}.get_current_device",
    f"{_ACTIVE}.get_current_target",
    f"{_ACTIVE}.utils.get_device_properties",
    "triton.tools.tensor_descriptor",
)
_NOT_OF_LANGUAGE = frozenset(
    "builtins core importlib inspect os runtime semantic sys triton".split()
)
_BUILTINS = frozenset(
    "__builtins__ __import__ __loader__ __spec__ ascii breakpoint compile delattr dir eval exec "
    "globals locals memoryview repr setattr vars".split()
)
_ASKING = frozenset(["getattr", "hasattr"])
_FRAMES = frozenset(
    "ag_frame cr_frame f_back f_builtins f_code f_globals f_locals gi_code gi_frame tb_frame "
    "tb_next".split()
)
_ELSEWHERE = frozenset(["apply_", "args", "format_map", "map_", "vformat"])
"""By these code runs inside of torch, a text reaches attributes, or an error is read."""
_OF_KERNELS = frozenset(
    "add_pre_run_hook arg_names device_caches fn params pre_run_hooks raw_src rewrite rewriter "
    "rewritten_fn src used_global_vals".split()
)
"""What a Triton kernel is made of; changed, another may be interpreted than is compiled."""
_OF_ONE_DEVICE = frozenset(
    "cuda_stream elapsed_time memory_clock_rate name pci_bus_id query stream_id total_memory "
    "uuid".split()
)
"""Attributes and methods whose answers are those of one device, or of work that takes time."""
_NAMED = _FRAMES | _ELSEWHERE | _OF_KERNELS | _OF_ONE_DEVICE
_OWN_METHODS = frozenset(
    "__call__ __enter__ __exit__ __init__ __init_subclass__ __len__ __new__ __post_init__".split()
)
_HOOKS = frozenset(["__torch_dispatch__", "__torch_function__"])
_SETTINGS = "torch.backends."
_OF_SELF = frozenset(["cls", "ctx", "self"])
_PRIVATE = {
    name
    for place in (torch, torch.Tensor, torch.cuda, torch.nn)
    for name in dir(place)
    if name.startswith("_") and not name.startswith("__")
}


def unanswered(sources: Mapping[str, str]) -> list[str]:
    """What the text of host code names that no stand-in answers, in words after 'host code'.

    Args:
        sources: texts by path; only Python is read.
    """
    found: dict[str, None] = {}
    for path, text in sources.items():
        if path.endswith(".py"):
            try:
                tree = ast.parse(text.removeprefix("\ufeff"))
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                found[f"cannot be read in {path}"] = None
                continue
            found |= dict.fromkeys(_Reader(tree).signs())
    return list(found)


class _Reader:
    """Reads one module."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._modules = dict(_imported(tree))
        """By name in the source, the dotted name of what it was imported from."""
        self._own = {alias for alias, place in self._modules.items() if place.startswith(".")}
        self._within = _inner_attributes(tree)
        self._error_parts = _error_parts(tree)

    def signs(self) -> Iterator[str]:
        """What is not answered for."""
        for node in ast.walk(self._tree):
            match node:
                case ast.Import(names=names):
                    yield from (f"imports {n.name!r}" for n in names if not _may_import(n.name))
                case ast.ImportFrom(module=module, names=names, level=0):
                    yield from self._from_import(module or "", [name.name for name in names])
                case ast.Attribute():
                    yield from self._attribute(node)
                case ast.Name(id=name):
                    yield from self._name(node, name)
                case ast.Call(func=ast.Name(id=name), args=[_, asked, *_]) if name in _ASKING:
                    yield from self._asked(name, asked)
                case ast.Call(func=ast.Name(id="str")) | ast.JoinedStr() if (
                    node not in self._error_parts
                ):
                    yield "makes a text of a value"
                case ast.BinOp(left=ast.Constant(value=str()), op=ast.Mod()):
                    if node not in self._error_parts:
                        yield "makes a text of a value"
                case ast.FunctionDef(name=name) if name in _HOOKS:
                    yield f"has a {name}"
                case ast.MatchClass(kwd_attrs=[_, *_]):
                    yield "matches attributes of a value"
                case _:
                    continue

    def _from_import(self, module: str, names: Sequence[str]) -> Iterator[str]:
        if not _may_import(module):
            yield f"imports {module!r}"
            return
        for name in names:
            if name == "*" or not _is_answered(f"{module}.{name}"):
                yield f"imports {name!r} from {module}"

    def _attribute(self, node: ast.Attribute) -> Iterator[str]:
        name = node.attr
        if name in _NAMED:
            yield f"names {name!r}"
        elif name == "format" and not (node in self._error_parts and _is_plain_text(node.value)):
            yield "makes a text of a value"
        elif name.startswith("_") and not self._is_own(node):
            yield f"names {name!r}"
        elif not isinstance(node.ctx, ast.Load) and not self._may_set(node):
            yield f"sets {name!r} of what is not its own"
        elif node not in self._within:
            place = self._place(node)
            if place and (not _is_answered(place) or _is_module(place)):
                yield f"uses {place}"

    def _name(self, node: ast.Name, name: str) -> Iterator[str]:
        if name in _BUILTINS:
            yield f"calls {name}"
        elif name in _OF_SELF and isinstance(node.ctx, ast.Store):
            yield f"gives {name!r} another value"
        elif node not in self._within and (place := self._modules.get(name, ".")):
            if place.split(".")[0] in MODULES and _is_module(place):
                yield f"passes {place} on as a value"

    def _asked(self, function: str, asked: ast.expr) -> Iterator[str]:
        match asked:
            case ast.Constant(value=str(name)) if not name.startswith("_") and name not in _NAMED:
                return
            case _:
                yield f"calls {function} with a name of its own making"

    def _is_own(self, node: ast.Attribute) -> bool:
        """Whether a private name is the candidate's own, as far as its text shows."""
        if node.attr in _OWN_METHODS:
            return True
        if node.attr.startswith("__") or not isinstance(node.value, ast.Name):
            return False
        base = node.value.id
        return base in self._own or (base in _OF_SELF and node.attr not in _PRIVATE)

    def _may_set(self, node: ast.Attribute) -> bool:
        """Whether an attribute is the candidate's own, or a setting of torch's that is answered."""
        base = node.value.id if isinstance(node.value, ast.Name) else ""
        return base in _OF_SELF or base in self._own or self._place(node).startswith(_SETTINGS)

    def _place(self, node: ast.Attribute) -> str:
        """The dotted name of what a chain of attributes reaches; empty for other values."""
        names: list[str] = []
        at: ast.expr = node
        while isinstance(at, ast.Attribute):
            names.insert(0, at.attr)
            at = at.value
        root = self._modules.get(at.id, "") if isinstance(at, ast.Name) else ""
        return ".".join([root, *names]) if root.split(".")[0] in MODULES else ""


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                whole = name.name if name.asname else name.name.split(".")[0]
                yield name.asname or whole, whole
        elif isinstance(node, ast.ImportFrom):
            place = "." * node.level + (node.module or "")
            for name in node.names:
                yield name.asname or name.name, f"{place}.{name.name}"


def _inner_attributes(tree: ast.Module) -> set[ast.AST]:
    """The values that attributes are taken of: they are read with the whole chain."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def _error_parts(tree: ast.Module) -> set[ast.AST]:
    """What an error says: texts of values that decide nothing."""
    said = [
        node.exc if isinstance(node, ast.Raise) else node.msg
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise | ast.Assert)
    ]
    return {part for words in said if words is not None for part in ast.walk(words)}


def _may_import(module: str) -> bool:
    return module.split(".")[0] in MODULES and _is_answered(module)


def _is_answered(place: str) -> bool:
    """Whether a dotted name below one of the modules is of their public parts, and answered."""
    root, *names = place.split(".")
    if root == "triton":
        return _is_answered_of_triton(place, names)
    if any(name.startswith("_") for name in names) and root != "__future__":
        return False
    at: Any = importlib.import_module(root)
    here = root
    for name in names:
        if not isinstance(at, ModuleType):
            break
        only = _ONLY.get(here)
        at, here = getattr(at, name, None), f"{here}.{name}"
        if here in _NOT_OF_TORCH or (only is not None and name not in only):
            return False
        if isinstance(at, ModuleType) and here not in _INNER_MODULES:
            return False
    return True


def _is_answered_of_triton(place: str, names: Sequence[str]) -> bool:
    if any(place == known or place.startswith(f"{known}.") for known in _TRITON_PLACES):
        return not _NOT_OF_LANGUAGE & set(names[1:])
    above = any(known.startswith(f"{place}.") for known in _TRITON_PLACES)
    return above or (names[0] in _TRITON and len(names) == 1)


def _is_module(place: str) -> bool:
    """Whether a dotted name is that of a module, which leads to all that is in it."""
    root, *names = place.split(".")
    if root == "triton":
        return not names or any(known.startswith(f"{place}.") for known in _TRITON_PLACES)
    at: Any = importlib.import_module(root)
    for name in names:
        at = getattr(at, name, None)
    return isinstance(at, ModuleType)


def _is_plain_text(value: ast.expr) -> bool:
    """Whether a text is written out, and reaches no attribute of what it is filled with."""
    match value:
        case ast.Constant(value=str(text)):
            return "._" not in text and "[" not in text
        case _:
            return False
