"""Calls go to the kernel where it is proven, to the original elsewhere, and both give the same."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import warnings
from typing import Any

import pytest
import torch

from kernel_harness.tools.applying.proven_sizes import Missed
from kernel_harness.tools.applying.routing import Applied, apply
from kernel_harness.tools.errors import CapabilityError, DatasetError, RequestError
from kernel_harness.tools.schema.deployment.kernel_index import ArgumentForm

from .conftest import BY_VALUE, FORMS

ORIGINAL_CALLS: list[tuple[int, ...]] = []


def scaled(x: Any, w: Any, alpha: float = 2.0) -> Any:
    """The function that a program has."""
    if not torch.compiler.is_compiling():
        ORIGINAL_CALLS.append(tuple(x.shape))
    return x * w * alpha


@pytest.fixture(autouse=True)
def no_calls() -> None:
    ORIGINAL_CALLS.clear()


def kernel_calls(applied: Applied) -> list[tuple[int, ...]]:
    """Shapes of the calls that the kernel has had, as its own module counts them."""
    package = f"kernel_harness_applied_{applied.kernel.content_hash[:16]}"
    found = [m for name, m in sys.modules.items() if name.startswith(package) and "." in name]
    return found[-1].CALLS


def x_of(m: int = 4) -> torch.Tensor:
    return torch.arange(m * 8, dtype=torch.float32).reshape(m, 8)


W = torch.linspace(0.5, 2.0, 8)


@pytest.mark.parametrize("destination", [True, False])
def test_proven_sizes_go_to_the_kernel_and_others_to_the_original(write_folder, destination):
    source = {} if destination else {"sources": BY_VALUE, "destination_passing": False}
    applied = apply(scaled, write_folder(**source))
    for m in (2, 3, 64):
        assert torch.equal(applied.function(x_of(m), W, 3.0), x_of(m) * W * 3.0)
    assert kernel_calls(applied) == [(2, 8), (3, 8), (64, 8)] and not ORIGINAL_CALLS
    for m in (1, 65, 65):
        assert torch.equal(applied.function(x_of(m), W, 3.0), x_of(m) * W * 3.0)
    assert ORIGINAL_CALLS == [(1, 8), (65, 8), (65, 8)]
    (often, once) = applied.misses.all()
    assert (often.reason, often.axes, often.count) == (Missed.SIZE, {"m": 65}, 2)
    assert (once.axes, once.numbers) == ({"m": 1}, {"alpha": 3.0})


def test_the_originals_way_of_being_called_stays(write_folder):
    applied = apply(scaled, write_folder())
    expected = x_of() * W * 2.0
    for called in (
        applied.function(x_of(), W),
        applied.function(x_of(), alpha=2.0, w=W),
        applied.function(w=W, x=x_of(), alpha=2),
    ):
        assert torch.equal(called, expected)
    assert len(kernel_calls(applied)) == 3
    assert applied.function.__name__ == "scaled" and applied.function.__doc__ == scaled.__doc__
    with pytest.raises(TypeError):
        applied.function(x_of())


class Odd(torch.Tensor):
    """A tensor with ways of its own."""


def misaligned() -> torch.Tensor:
    return torch.zeros(33)[1:].reshape(4, 8)


OTHERS: dict[str, tuple[Any, Any, Any, Missed]] = {
    "transposed": (lambda: torch.zeros(8, 4).t(), W, 1.0, Missed.LAYOUT),
    "misaligned": (misaligned, W, 1.0, Missed.ALIGNMENT),
    "double": (lambda: x_of().double(), W, 1.0, Missed.DTYPE),
    "subclass": (lambda: x_of().as_subclass(Odd), W, 1.0, Missed.ARGUMENT),
    "gradient": (lambda: x_of().requires_grad_(), W, 1.0, Missed.GRADIENT),
    "three_axes": (lambda: torch.zeros(1, 4, 8), W, 1.0, Missed.SHAPE),
    "another_n": (lambda: torch.zeros(4, 16), torch.zeros(16), 1.0, Missed.SHAPE),
    "number_for_tensor": (x_of, 2.0, 1.0, Missed.ARGUMENT),
    "tensor_for_number": (x_of, W, torch.tensor(1.0), Missed.ARGUMENT),
    "bool_for_number": (x_of, W, True, Missed.ARGUMENT),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_no_judge_has_tried_goes_to_the_original(write_folder, name):
    make, w, alpha, reason = OTHERS[name]
    applied = apply(scaled, write_folder())
    given = make()
    result, expected = applied.function(given, w, alpha), given * w * alpha
    assert type(result) is type(expected) and result.shape == expected.shape
    assert torch.equal(result, expected)
    assert len(ORIGINAL_CALLS) == 1 and not kernel_calls(applied)
    assert [call.reason for call in applied.misses.all()] == [reason]


def test_gradients_flow_through_the_original_and_inference_uses_the_kernel(write_folder):
    applied = apply(scaled, write_folder())
    weight = torch.nn.Parameter(W.clone())
    applied.function(x_of(), weight, 1.0).sum().backward()
    assert weight.grad is not None and torch.equal(weight.grad, x_of().sum(0))
    with torch.no_grad():
        applied.function(x_of(), weight, 1.0)
    with torch.inference_mode():
        applied.function(x_of(), weight, 1.0)
    assert len(kernel_calls(applied)) == 2


def test_what_autocast_would_have_in_another_type_goes_to_the_original(write_folder):
    applied = apply(scaled, write_folder())
    with torch.autocast("cpu"):
        applied.function(x_of(), W)
        compiled = torch.compile(lambda x: applied.function(x, W), backend="aot_eager")
        compiled(x_of())
    assert [call.reason for call in applied.misses.all()] == [Missed.AUTOCAST]
    assert not kernel_calls(applied)


def test_functions_of_torch_that_transform_go_to_the_original(write_folder):
    applied = apply(scaled, write_folder())
    stacked = torch.stack([x_of(), x_of() + 1])
    mapped = torch.vmap(lambda x: applied.function(x, W, 2.0))(stacked)
    assert torch.equal(mapped, stacked * W * 2.0)
    slope = torch.func.grad(lambda w: applied.function(x_of(), w, 2.0).sum())(W)
    assert torch.equal(slope, 2.0 * x_of().sum(0))
    assert not kernel_calls(applied)


def test_constraints_on_sizes_are_held(write_folder):
    folder = write_folder(constraints=("m % 4 == 0", "x[0] > 0"))
    applied = apply(scaled, folder)
    for m in (4, 6, 8):
        applied.function(x_of(m), W)
    assert kernel_calls(applied) == [(4, 8), (8, 8)] and ORIGINAL_CALLS == [(6, 8)]
    compiled = torch.compile(lambda x: applied.function(x, W), backend="aot_eager", dynamic=True)
    for m in (12, 14):
        assert torch.equal(compiled(x_of(m)), x_of(m) * W * 2.0)
    assert kernel_calls(applied)[2:] == [(12, 8)]


def test_judged_sizes_alone_where_asked(write_folder):
    applied = apply(scaled, write_folder(), judged_only=True)
    for m in (2, 3, 64):
        applied.function(x_of(m), W)
    assert kernel_calls(applied) == [(2, 8), (64, 8)] and ORIGINAL_CALLS == [(3, 8)]


def test_a_kernel_that_fails_is_replaced_by_the_original_with_a_warning(write_folder):
    applied = apply(scaled, write_folder("def run(x, w, alpha, y):\n    raise ValueError('bad')\n"))
    with pytest.warns(RuntimeWarning, match="scaled_n8 failed.*bad"):
        assert torch.equal(applied.function(x_of(), W), x_of() * W * 2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(applied.function(x_of(), W), x_of() * W * 2.0)
    assert [(c.reason, c.count) for c in applied.misses.all()] == [(Missed.FAILED, 2)]


def test_misses_become_workloads(write_folder, tmp_path):
    applied = apply(scaled, write_folder())
    applied.function(x_of(100), W, 3.0)
    applied.function(torch.zeros(8, 4).t(), W, 3.0)
    file = tmp_path / "more.jsonl"
    assert applied.misses.write_workloads(str(file)) == 1
    (line,) = map(json.loads, file.read_text("utf-8").splitlines())
    assert line["definition"] == "scaled_n8"
    assert line["workload"] == {
        "uuid": "missed-m100",
        "axes": {"m": 100},
        "inputs": {
            "x": {"type": "random"},
            "w": {"type": "random"},
            "alpha": {"type": "scalar", "value": 3.0},
        },
    }
    with pytest.raises(RequestError, match="cannot be written"):
        applied.misses.write_workloads(file)


def test_misses_are_bounded_and_counted_whole_by_threads(write_folder):
    applied = apply(scaled, write_folder())

    def call() -> None:
        for m in range(65, 665):
            applied.function(torch.zeros(m, 8), W)
        for m in range(1200, 1800):
            applied.function(torch.zeros(m, 8), W)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = applied.misses.all()
    assert sum(call.count for call in found) == 3600
    assert len(found) == 1001 and found[0].shapes == ()


class Layer(torch.nn.Module):
    """A module whose weight is an input of the kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(W.clone())

    def forward(self, hidden: torch.Tensor) -> tuple[torch.Tensor, str]:
        return scaled(hidden, self.w, 2.0), "as before"


@torch.no_grad()
def test_a_module_is_routed_with_words_for_its_arguments_and_restored(write_folder):
    layer, other = Layer(), Layer()
    before = layer(x_of())[0]
    ORIGINAL_CALLS.clear()
    with apply(
        layer,
        write_folder(),
        inputs=lambda hidden: (hidden, layer.w, 2.0),
        outputs=lambda y: (y, "as before"),
    ) as applied:
        result, words = layer(x_of())
        assert torch.equal(result, before) and words == "as before" and not ORIGINAL_CALLS
        layer(x_of(1))
        other(x_of())
        assert ORIGINAL_CALLS == [(1, 8), (4, 8)] and len(kernel_calls(applied)) == 1
    layer(x_of())
    assert len(ORIGINAL_CALLS) == 3 and "forward" not in vars(layer)


def test_inputs_may_say_that_a_call_is_not_for_the_kernel(write_folder):
    applied = apply(
        scaled, write_folder(), inputs=lambda x, w, alpha: (x, w, alpha) if alpha > 1 else None
    )
    applied.function(x_of(), W, 1.0)
    applied.function(x_of(), W, 1.5)
    assert len(ORIGINAL_CALLS) == len(kernel_calls(applied)) == 1


def test_a_name_of_the_program_is_routed_everywhere_and_restored(write_folder):
    name = f"{__name__}.scaled"
    module = sys.modules[__name__]
    mine = scaled
    with apply(name, write_folder()) as applied:
        assert module.scaled is not mine and applied.original is mine
        module.scaled(x_of(), W)
        assert len(kernel_calls(applied)) == 1
    assert module.scaled is mine


@torch.no_grad()
def test_a_method_of_a_class_is_routed_for_every_object(write_folder):
    with apply(
        f"{__name__}.Layer.forward",
        write_folder(),
        inputs=lambda self, hidden: (hidden, self.w, 2.0),
        outputs=lambda y: (y, ""),
    ) as applied:
        Layer()(x_of()), Layer()(x_of())
        assert len(kernel_calls(applied)) == 2
    Layer()(x_of())
    assert len(ORIGINAL_CALLS) == 1


@pytest.mark.parametrize(
    "name", ["scaled", "no_such_package.f", f"{__name__}.W", f"{__name__}.Layer.nothing"]
)
def test_a_name_that_is_no_function_is_refused(write_folder, name):
    with pytest.raises(RequestError, match="names no function"):
        apply(name, write_folder())


def test_parameters_that_are_not_the_inputs_are_refused(write_folder):
    with pytest.raises(RequestError, match=r"\(x, w, eps\).*x, w, alpha"):
        apply(lambda x, w, eps: x, write_folder())
    with pytest.raises(RequestError, match="not the inputs"):
        apply(torch.add, write_folder())


def test_a_kernel_of_another_device_is_refused(write_folder):
    with pytest.raises(CapabilityError, match="proven on H200"):
        apply(scaled, write_folder(device="H200"))


def test_an_axis_that_no_shape_tells_is_refused(write_folder):
    with pytest.raises(DatasetError, match="no input's shape tells: k"):
        apply(scaled, write_folder(axes={"m": None, "n": 8, "k": None}))


def test_sources_form_a_package_and_two_folders_do_not_meet(write_folder):
    entry = "from .parts.twice import twice\n\ndef run(x, w, alpha, y):\n    y.copy_(twice(x))\n"
    parts = {"kernel.py": entry, "parts/twice.py": "def twice(x):\n    return 2 * x\n"}
    thrice = {**parts, "parts/twice.py": "def twice(x):\n    return 3 * x\n"}
    two, three = (apply(scaled, write_folder(sources)) for sources in (parts, thrice))
    assert torch.equal(two.function(x_of(), W), 2 * x_of())
    assert torch.equal(three.function(x_of(), W), 3 * x_of())


TWO_OUTPUTS = """
def run(x, w, y, row):
    y.copy_(x * w)
    row.copy_(y.sum(-1))
"""


def both(x: Any, w: Any) -> Any:
    y = x * w
    return y, y.sum(-1)


def two_outputs(write_folder: Any) -> Any:
    return write_folder(
        TWO_OUTPUTS,
        inputs={"x": FORMS["x"], "w": FORMS["w"]},
        outputs={
            "y": ArgumentForm(("m", "n"), "float32"),
            "row": ArgumentForm(("m",), "float32"),
        },
    )


ADDED = "def run(x, z, w, y):\n    torch.addcmul(z, x, w, out=y)\n"


def added(x: Any, z: Any, w: Any) -> Any:
    return z + x * w


@pytest.mark.parametrize(
    "rows,width,missed",
    [((4, 4), 8, []), ((4, 1), 8, [Missed.SHAPE]), ((4, 4), 1, [Missed.SHAPE])],
)
def test_tensors_of_one_form_must_have_one_shape(write_folder, rows, width, missed):
    inputs = {"x": FORMS["x"], "z": FORMS["x"], "w": FORMS["w"]}
    applied = apply(added, write_folder("import torch\n" + ADDED, inputs=inputs))
    x, z, w = x_of(rows[0]), x_of(rows[1]) + 1, torch.full((width,), 3.0)
    for _ in range(2):
        assert torch.equal(applied.function(x, z, w), z + x * w)
    found = [call.reason for call in applied.misses.all() for _ in range(call.count)]
    assert found == missed * 2


@pytest.mark.parametrize("returned", ["x * w", "[x * w]", "(x * w,)", "{'y': x * w}"])
def test_a_kernel_may_return_its_output_alone_in_a_row_or_by_name(write_folder, returned):
    source = f"def run(x, w, alpha):\n    return {returned}\n"
    applied = apply(scaled, write_folder(source, destination_passing=False))
    assert torch.equal(applied.function(x_of(), W), x_of() * W)


def test_several_outputs_come_as_a_tuple(write_folder):
    applied = apply(both, two_outputs(write_folder))
    y, row = applied.function(x_of(), W)
    assert torch.equal(y, x_of() * W) and torch.equal(row, (x_of() * W).sum(-1))
    assert not applied.misses.all()


def test_compiled_code_calls_an_operator_where_it_is_proven(write_folder):
    applied = apply(scaled, write_folder(), judged_only=False)
    compiled = torch.compile(
        lambda x: applied.function(x + 1, W, 3.0) - 1,
        backend="aot_eager",
        fullgraph=True,
        dynamic=True,
    )
    for m in (2, 5, 64, 65, 70):
        assert torch.equal(compiled(x_of(m)), (x_of(m) + 1) * W * 3.0 - 1)
    assert [shape[0] for shape in kernel_calls(applied)] == [2, 5, 64]
    assert applied.compiled_calls == 3
    assert not ORIGINAL_CALLS, "eager calls of the original"


def test_compiled_code_knows_the_shapes_of_several_outputs(write_folder):
    applied = apply(both, two_outputs(write_folder))

    def program(x: torch.Tensor) -> torch.Tensor:
        y, row = applied.function(x, W)
        return y / row[:, None]

    compiled = torch.compile(program, backend="aot_eager", fullgraph=True)
    given = x_of(8) + 1
    assert torch.equal(compiled(given), program(given))


def test_it_needs_torch_alone(tmp_path):
    code = (
        "import sys\n"
        "import torch\n"
        "before = set(sys.modules)\n"
        "for name in ('pydantic', 'numpy', 'mcp', 'triton', 'cryptography'):\n"
        "    sys.modules[name] = None\n"
        "import kernel_harness.tools.applying.routing\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - set(sys.stdlib_module_names)))\n"
    )
    found = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    new = set(found.stdout.split()) - {"pydantic", "numpy", "mcp", "triton", "cryptography"}
    assert new == {"kernel_harness"}


def test_compiled_code_may_write_to_what_a_kernel_got_and_gave(write_folder):
    """Its outputs are its own memory, and no input is written to: as the operator is declared."""
    applied = apply(scaled, write_folder())

    def program(function: Any, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x.add_(1)
        first = function(x, W, 3.0)
        x.mul_(2)
        second = function(x, W, 3.0)
        first.sub_(second)
        x.zero_()
        return first, second, x

    compiled = torch.compile(
        lambda x: program(applied.function, x), backend="aot_eager", fullgraph=True
    )
    given, other = x_of(), x_of()
    for found, expected in zip(compiled(given), program(scaled, other), strict=True):
        torch.testing.assert_close(found, expected)
    assert torch.equal(given, other) and applied.compiled_calls == 2


RETURNS_ITS_INPUT = """
CALLS = []


def run(x, w, alpha):
    return x.mul_(w).mul_(alpha)
"""


def test_a_kernel_that_returns_its_input_is_called_in_a_compiled_program(write_folder):
    folder = write_folder(sources=RETURNS_ITS_INPUT, destination_passing=False)
    applied = apply(scaled, folder)
    compiled = torch.compile(lambda x: applied.function(x, W, 3.0) + 1, backend="aot_eager")
    assert torch.equal(compiled(x_of()), x_of() * W * 3.0 + 1)
    assert not ORIGINAL_CALLS


def test_what_a_kernel_returns_is_no_memory_of_an_argument(write_folder):
    """It was judged by a copy; the program's own function may have returned one."""
    folder = write_folder(sources=RETURNS_ITS_INPUT, destination_passing=False)
    applied, x = apply(scaled, folder), x_of()
    results = [applied.function(x, W, 1.0) for _ in range(3)]
    for calls, result in enumerate(results, 1):
        assert torch.allclose(result, x_of() * W**calls)
    assert not ORIGINAL_CALLS
