"""Text of the reference of a robust-kbench task's backward: gradients by PyTorch's own engine.

It stands alone. What AutogradFunction hands to its backward_fn are the inputs; what forward_fn
needs besides is made as it was found, with zeros for tensors, on which no gradient depends.
"""

from __future__ import annotations

import re
from typing import Any

from .gpu_mode import on_any_device
from .robust_kbench import HEAD, filled

TAIL = '''

# Added by the import: what is handed to backward_fn, and the gradients that are due.
import contextlib as _kh_contextlib
import inspect as _kh_inspect

_KH_TREE = @TREE@
_KH_PLAN = @PLAN@
_KH_MOST = 16

@HELPERS@

class _KhHanded(Exception):
    pass


def _kh_accepted(function, given):
    taken = _kh_inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in taken):
        return given
    return {p.name: given[p.name] for p in taken if p.name in given}


def _kh_arguments(init, given):
    """What Model hands to its function under the current seed."""
    found = []

    def fn(*values):
        found.extend(values)
        raise _KhHanded

    model = Model(**_kh_accepted(Model.__init__, init)).to(KH_DEVICE)
    values = get_inputs(**_kh_accepted(get_inputs, given))
    values = [v.to(KH_DEVICE) if isinstance(v, _kh_torch.Tensor) else v for v in values]
    try:
        with _kh_torch.no_grad():
            model(*values, fn=fn)
    except _KhHanded:
        pass
    return [v.detach().clone() if isinstance(v, _kh_torch.Tensor) else v for v in found]


def _kh_called(arguments, backward_fn):
    """What backward gives with a backward_fn for a gradient that is drawn anew."""
    taken = [
        v.requires_grad_() if isinstance(v, _kh_torch.Tensor) and v.is_floating_point() else v
        for v in arguments
    ]
    with _kh_torch.enable_grad():
        out = AutogradFunction.apply(*taken)
    AutogradFunction.backward_fn = backward_fn
    with _kh_torch.no_grad():
        made = AutogradFunction.backward(out.grad_fn, _kh_torch.randn_like(out))
    return made if isinstance(made, tuple | list) else (made,)


def _kh_found(arguments):
    handed = []

    def backward_fn(*values):
        handed.extend(values)
        raise _KhHanded

    try:
        _kh_called(arguments, backward_fn)
    except _KhHanded:
        pass
    return [v.detach() if isinstance(v, _kh_torch.Tensor) else v for v in handed]


def _kh_same(one, other):
    if isinstance(one, _kh_torch.Tensor) and isinstance(other, _kh_torch.Tensor):
        return one.data_ptr() == other.data_ptr() and one.shape == other.shape
    return one is other


def _kh_names(handed, arguments):
    """A name of each value: that of forward's argument, or one of its place."""
    names = list(_kh_inspect.signature(forward_fn).parameters)
    found = []
    for i, value in enumerate(handed):
        like = (n for n, v in zip(names, arguments) if _kh_same(v, value) and n not in found)
        name = next(like, None)
        if name is None and "grad_output" not in found and isinstance(value, _kh_torch.Tensor):
            name = "grad_output"
        found.append(name or f"value{i}")
    return found


def kh_handed(init, given):
    """By name, what backward_fn is handed under the current seed."""
    arguments = _kh_arguments(init, given)
    handed = _kh_found(arguments)
    return dict(zip(_kh_names(handed, arguments), handed))


def _kh_key(handed):
    """What of the values tells one configuration from another."""
    return repr([list(v.shape) for v in handed if isinstance(v, _kh_torch.Tensor)])


def _kh_given(handed, plan):
    """forward_fn's arguments, made of what backward_fn is handed."""
    left = dict(plan["left"].get(_kh_key(handed), ()))
    made = []
    for place, source in enumerate(plan["from"]):
        if source is not None:
            made.append(handed[source])
        elif left[place][0] == "tensor":
            _, shape, dtype = left[place]
            dtype, device = getattr(_kh_torch, dtype), handed[plan["gradient"]].device
            made.append(_kh_torch.zeros(shape, dtype=dtype, device=device))
        else:
            made.append(left[place][1])
    return made


def _kh_gradients(arguments, gradient, places):
    with _kh_autograd():
        taken = [v.clone() if isinstance(v, _kh_torch.Tensor) else v for v in arguments]
        leaves = [taken[place].detach().requires_grad_() for place in places]
        for place, leaf in zip(places, leaves):
            taken[place] = leaf
        out = forward_fn(*taken)
        found = _kh_torch.autograd.grad(out, leaves, gradient.clone(), allow_unused=True)
        found = [_kh_torch.zeros_like(l) if g is None else g for g, l in zip(found, leaves)]
    return tuple(g.detach() for g in found)


@_kh_contextlib.contextmanager
def _kh_autograd():
    with _kh_torch.inference_mode(False), _kh_torch.enable_grad():
        yield


def kh_function(*handed):
    """The gradients that backward_fn owes."""
    arguments = _kh_given(handed, _KH_PLAN)
    made = _kh_gradients(arguments, handed[_KH_PLAN["gradient"]], _KH_PLAN["order"])
    return made if len(made) > 1 else made[0]


def kh_plan(init, given, plan):
    """The plan by which gradients are made, with what this configuration adds to `plan`."""
    arguments = _kh_arguments(init, given)
    handed = _kh_found(arguments)
    names = _kh_names(handed, arguments)
    if "grad_output" not in names:
        raise TypeError("its backward_fn is not handed the gradient of the output")
    found = [next((i for i, v in enumerate(handed) if _kh_same(v, a)), None) for a in arguments]
    order = _kh_order(arguments)
    left = []
    for place, (source, value) in enumerate(zip(found, arguments)):
        if source is None and isinstance(value, _kh_torch.Tensor):
            dtype = str(value.dtype).removeprefix("torch.")
            left.append((place, ("tensor", list(value.shape), dtype)))
        elif source is None:
            left.append((place, ("value", value)))
    gradient = names.index("grad_output")
    made = {"from": found, "order": order, "gradient": gradient, "left": {}}
    if plan is not None:
        if {**plan, "left": {}} != made:
            raise TypeError("its backward_fn is called otherwise than in the first one")
        made["left"] = dict(plan["left"])
    if made["left"].setdefault(_kh_key(handed), left) != left:
        raise TypeError("its forward_fn is called otherwise with the same of its backward_fn")
    due = _kh_gradients(arguments, handed[gradient], order)
    ours = _kh_gradients(_kh_given(handed, made), handed[gradient], order)
    if not all(_kh_torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(due, ours)):
        lacking = [n for n, f in zip(_kh_inspect.signature(forward_fn).parameters, found)
                   if f is None]
        raise TypeError(
            f"its backward_fn is not handed {', '.join(lacking)}, on which gradients depend"
        )
    return made


def _kh_order(arguments):
    """Of which of forward_fn's arguments each value of backward_fn is the gradient."""
    for count in range(1, _KH_MOST):
        marks = [_kh_torch.zeros(()) for _ in range(count)]
        try:
            made = _kh_called(arguments, lambda *handed: marks[0] if count == 1 else tuple(marks))
        except (ValueError, TypeError):
            continue
        places = [[p for p, value in enumerate(made) if value is mark] for mark in marks]
        if len(made) >= len(arguments) and all(len(found) == 1 for found in places):
            return [found[0] for found in places]
    raise TypeError("its backward does not give what backward_fn gives as gradients")


def run(@NAMES@):
    inputs = {@PAIRS@}
    return kh_function(*kh_value(_KH_TREE, inputs))
'''


def backward_text(source: str, tree: Any, names: list[str], plan: Any = None) -> str:
    """The reference.py of a task's backward.

    Args:
        tree: of what backward_fn is handed.
        plan: how gradients are made of it, as the probing process found.
    """
    local = re.sub(r"\b[\w.]+\.is_cuda\b", "True", on_any_device(source))
    tail = filled(TAIL, tree, names).replace("@PLAN@", repr(plan))
    return HEAD + local.rstrip() + "\n" + tail
