"""What a call gives back, and how each way of breaking the convention is named."""

from __future__ import annotations

import pytest
import torch

from kernel_harness.tools.messages import candidate as wire

pytestmark = pytest.mark.process

DOUBLE = "def run(x, out):\n    out.copy_(x * 2)\n"


def test_outputs_are_filled_in_place_and_copied_to_the_snapshots(candidate):
    assert candidate.build({"kernel.py": DOUBLE}).fault is None
    x = torch.arange(6.0).view(2, 3)
    called, (snapshot,) = candidate.call([x], [torch.full((2, 3), torch.nan)], late=True)
    assert called.fault is None
    assert torch.equal(snapshot, x * 2)
    assert torch.equal(candidate.view(candidate.late[0]), x * 2)
    assert called.timer is None and called.host_ns > 0


def test_a_triton_kernel_runs_in_the_interpreter(candidate):
    source = (
        "import triton\n"
        "import triton.language as tl\n"
        "@triton.jit\n"
        "def _add(x, y, out, n, BLOCK: tl.constexpr):\n"
        "    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)\n"
        "    m = i < n\n"
        "    tl.store(out + i, tl.load(x + i, m) + tl.load(y + i, m), m)\n"
        "def run(x, y, out):\n"
        "    _add[(triton.cdiv(x.numel(), 64),)](x, y, out, x.numel(), BLOCK=64)\n"
    )
    built = candidate.build({"kernel.py": source}, language="triton", argument_count=2)
    assert built.fault is None
    x, y = torch.rand(100), torch.rand(100)
    called, (snapshot,) = candidate.call([x, y], [torch.zeros(100)])
    assert called.fault is None
    assert torch.equal(snapshot, x + y)


RETURNING = {"destination_passing_style": False}


def returned(candidate, body: str, outputs=None, arguments=None):
    """Builds a value-returning candidate and calls it once."""
    source = f"import torch\nkept = torch.zeros(3, device='cuda')\ndef run(x):\n    {body}\n"
    built = candidate.build({"kernel.py": source}, **RETURNING, output_count=len(outputs or [1]))
    assert built.fault is None, built.fault
    return candidate.call(arguments or [torch.ones(3)], outputs or [torch.full((3,), torch.nan)])


@pytest.mark.parametrize("body", ["return x * 2", "return (x * 2,)", "return [x * 2]"])
def test_returned_tensors_are_taken_in_every_spelling(candidate, body):
    called, (snapshot,) = returned(candidate, body)
    assert called.fault is None
    assert torch.equal(snapshot, torch.full((3,), 2.0))
    assert called.returned == ["[3] float32 cpu"]


def test_several_outputs_and_a_scalar_come_in_order(candidate):
    outputs = [torch.zeros(3), torch.zeros((), dtype=torch.int64)]
    called, (first, second) = returned(candidate, "return x + 1, 7", outputs)
    assert called.fault is None
    assert torch.equal(first, torch.full((3,), 2.0)) and second.item() == 7


def test_outputs_in_a_dict_are_taken_by_name(candidate):
    source = "def run(x):\n    return {'extra': None, 'least': x.min(), 'twice': x * 2}\n"
    names = {"output_count": 2, "output_names": ["twice", "least"]}
    assert candidate.build({"kernel.py": source}, **RETURNING, **names).fault is None
    called, (twice, least) = candidate.call([torch.ones(3)], [torch.zeros(3), torch.zeros(())])
    assert called.fault is None
    assert torch.equal(twice, torch.full((3,), 2.0)) and least.item() == 1


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (
            "{'twice': x * 2, 'leest': x}",
            "1 output came back, 2 are defined: 'least' is missing (is it 'leest'?); "
            "the dict has 'leest'",
        ),
        (
            "{'a': x, 'b' * 200: x, 3: x, Key('twice'): x}",
            f"'twice' is missing, 'least' is missing; the dict has 'a', '{'b' * 80}', "
            "2 whose type is not str",
        ),
        (
            "{0: x, 1: x.min()}",
            "'twice' is missing, 'least' is missing; the dict has 2 whose type is not str",
        ),
        ("dict.fromkeys(map(str, range(99)), x)", ", '14', '15', 83 more"),
        ("{}", "'twice' is missing, 'least' is missing; the dict has nothing else"),
        ("(x, x, x)", "3 outputs came back, 2 are defined"),
    ],
)
def test_outputs_that_a_dict_has_not_are_named_with_what_it_has(candidate, returned, words):
    """Of a dict with misspelt names nothing was said but that 0 outputs came back."""
    key = "class Key(str):\n    __hash__ = str.__hash__\n    def __eq__(self, other): exit(0)\n"
    source = f"{key}def run(x):\n    return {returned}\n"
    names = {"output_count": 2, "output_names": ["twice", "least"]}
    assert candidate.build({"kernel.py": source}, **RETURNING, **names).fault is None
    called, _ = candidate.call([torch.ones(3)], [torch.zeros(3), torch.zeros(())])
    assert called.fault.kind == "wrong_output_count"
    assert called.fault.message.endswith(words)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("return None", "missing_output"),
        ("return x[:2] * 1", "wrong_shape"),
        ("return (x * 2).unsqueeze(0)", "wrong_shape"),
        ("return x.half()", "wrong_dtype"),
        ("return torch.empty(3, device='meta')", "wrong_device"),
        ("return (x * 2).cpu()", "wrong_device"),
        ("return torch.nn.Parameter(x * 2)", "lazy_tensor"),
        ("return (x * 2).to_sparse()", "lazy_tensor"),
        ("return x.cpu().numpy()", "not_a_tensor"),
        ("return x", "aliases_input"),
        ("return x.view(3)", "aliases_input"),
        ("return x * 2, x * 3", "wrong_output_count"),
        ("raise ValueError('no')", "exception"),
        ("raise MemoryError('big')", "out_of_memory"),
        ("raise RuntimeError('CUDA error: an illegal memory access')", "cuda_error"),
        ("import sys; sys.exit(0)", "exit"),
    ],
)
def test_each_breach_of_the_convention_has_its_name(candidate, body, kind):
    called, (snapshot,) = returned(candidate, body)
    assert called.fault is not None and called.fault.kind == kind
    assert torch.isnan(snapshot).all()


def test_every_output_that_breaks_the_convention_is_told(candidate):
    outputs = [torch.zeros(3), torch.zeros(3), torch.zeros(())]
    called, _ = returned(candidate, "return x[:1] * 1, x * 2, x.half().sum()", outputs)
    assert called.fault.kind == "wrong_shape" and called.fault.output_position == 0
    assert "Output 3 of 3: torch.float16 was returned" in called.fault.message
    assert "Output 2" not in called.fault.message


@pytest.mark.parametrize("body", ["return x.add_(1)", "return x.add_(1).view(3)"])
def test_an_argument_that_may_be_returned_is_copied_as_it_then_is(candidate, body):
    source = f"def run(x, y):\n    {body}\n"
    assert candidate.build({"kernel.py": source}, **RETURNING, argument_count=2).fault is None
    for _ in range(2):  # nor is it told that an earlier call returned this memory
        called, (snapshot,) = candidate.call(
            [torch.ones(3), torch.ones(3)], [torch.zeros(3)], returnable=[0]
        )
        assert called.fault is None
        assert torch.equal(snapshot, torch.full((3,), 2.0))


@pytest.mark.parametrize(
    ("body", "lent"), [("return y", 0), ("return x.as_strided((3,), (1,), 1)", 0), ("return x", 1)]
)
def test_memory_beside_the_arguments_that_may_be_returned_is_refused(candidate, body, lent):
    source = f"def run(x, y):\n    {body}\n"
    assert candidate.build({"kernel.py": source}, **RETURNING, argument_count=2).fault is None
    arguments = [torch.ones(3), torch.ones(3)]
    called, _ = candidate.call(arguments, [torch.zeros(3)], returnable=[lent])
    assert called.fault is not None and called.fault.kind == "aliases_input"


def test_a_write_to_a_returned_argument_after_the_call_shows(candidate):
    source = (
        "import threading, time\n"
        "def late(x):\n"
        "    time.sleep(0.0005)\n"
        "    x.add_(1)\n"
        "def run(x):\n"
        "    threading.Thread(target=late, args=(x.add_(1),)).start()\n"
        "    return x\n"
    )
    assert candidate.build({"kernel.py": source}, **RETURNING).fault is None
    found = []
    for _ in range(20):  # the thread may be slow on a busy machine
        called, (snapshot,) = candidate.call(
            [torch.ones(3)], [torch.zeros(3)], returnable=[0], late=True
        )
        assert called.fault is None
        found.append(torch.equal(snapshot, candidate.view(candidate.late[0])))
    assert not all(found)


LATE_SPELLINGS = {
    "a key's comparison": (
        "class Key(str):\n"
        "    __hash__ = str.__hash__\n"
        "    def __eq__(self, other):\n"
        "        kept.fill_(2)\n"
        "        return str.__eq__(self, other)\n"
        "def run(x):\n"
        "    return {Key('twice'): kept}\n"
    ),
    "a list's class": (
        "class Late(list):\n"
        "    @property\n"
        "    def __class__(self):\n"
        "        kept.fill_(2)\n"
        "        return list\n"
        "def run(x):\n"
        "    return Late([kept])\n"
    ),
}


@pytest.mark.parametrize("spelling", LATE_SPELLINGS)
def test_what_is_returned_computes_nothing_as_it_is_taken(candidate, spelling):
    source = "import torch\nkept = torch.zeros(3, device='cuda')\n" + LATE_SPELLINGS[spelling]
    names = {"output_count": 1, "output_names": ["twice"]}
    assert candidate.build({"kernel.py": source}, **RETURNING, **names).fault is None
    _, (snapshot,) = candidate.call([torch.ones(3)], [torch.zeros(3)])
    assert torch.equal(snapshot, torch.zeros(3)), "it was computed after the call"


def test_a_number_of_a_subclass_computes_nothing_as_it_is_taken(candidate):
    source = (
        "import torch\n"
        "kept = torch.zeros(3, device='cuda')\n"
        "class Late(float):\n"
        "    @property\n"
        "    def __class__(self):\n"
        "        kept.fill_(2)\n"
        "        return float\n"
        "def run(x):\n"
        "    return kept, Late(7)\n"
    )
    assert candidate.build({"kernel.py": source}, **RETURNING, output_count=2).fault is None
    called, (first, second) = candidate.call([torch.ones(3)], [torch.zeros(3), torch.zeros(())])
    assert called.fault is None and second.item() == 7
    assert torch.equal(first, torch.zeros(3)), "it was computed after the call"


def test_a_tensor_subclass_that_computes_late_is_refused(candidate):
    body = "class Lazy(torch.Tensor): pass\n    return (x * 2).as_subclass(Lazy)"
    called, _ = returned(candidate, body)
    assert called.fault.kind == "lazy_tensor" and "Lazy" in called.fault.message


def test_a_buffer_returned_twice_is_noticed_while_the_first_is_held(candidate):
    called, _ = returned(candidate, "return kept.add_(x)")
    assert called.fault is None
    called, _ = candidate.call([torch.ones(3)], [torch.zeros(3)])
    assert called.fault.kind == "aliases_earlier_output"
    assert called.fault.output_position == 0


@pytest.mark.parametrize("length", [2, 8, 9, 20])
def test_a_ring_of_buffers_is_noticed_however_long_it_is(candidate, length):
    body = (
        "ring = globals().setdefault('ring', [])\n"
        f"    if not ring: ring.extend(x.new_empty(8) for _ in range({length}))\n"
        "    ring.append(ring.pop(0))\n"
        "    return ring[-1][:3].copy_(x)"
    )
    called, _ = returned(candidate, body)
    for _ in range(length - 1):
        assert called.fault is None
        called, _ = candidate.call([torch.ones(3)], [torch.zeros(3)])
    called, _ = candidate.call([torch.ones(3)], [torch.zeros(3)])
    assert called.fault.kind == "aliases_earlier_output"


@pytest.mark.parametrize(
    "body",
    [
        "return x * 2",
        "global last; last = x * 2; return last",
        "return (x.repeat(2) * 2)[:3]",
        "return torch.from_numpy(x.cpu().numpy() * 2).cuda()",
    ],
)
def test_memory_that_is_given_up_may_come_back(candidate, body):
    called, _ = returned(candidate, body)
    for _ in range(30):
        called, (snapshot,) = candidate.call([torch.ones(3)], [torch.zeros(3)])
        assert called.fault is None and torch.equal(snapshot, torch.full((3,), 2.0))


@pytest.mark.parametrize(
    "rebind",
    [
        "out.data = y",
        "out.set_(y)",
        "torch.utils.swap_tensors(out, y)",
        "out.untyped_storage(); out.set_(y.untyped_storage(), 0, (2,), (1,))",
        "out._base.data = torch.zeros(1 << 16, dtype=torch.uint8); out.set_(y)",
    ],
)
def test_an_output_given_other_memory_leaves_the_callers_buffer_as_it_was(candidate, rebind):
    source = f"import torch\ndef run(x, out):\n    y = x * 2\n    {rebind}\n"
    candidate.build({"kernel.py": source})
    called, (snapshot,) = candidate.call([torch.ones(2)], [torch.full((2,), torch.nan)])
    assert called.fault.kind == "rebound_output" and called.fault.output_position == 0
    assert torch.isnan(snapshot).all()


def test_another_view_of_the_callers_buffer_is_no_other_memory(candidate):
    source = "def run(x, out):\n    out.squeeze_(0).unsqueeze_(1)\n    out[:, 0] = x[0] * 2\n"
    candidate.build({"kernel.py": source})
    called, (snapshot,) = candidate.call([torch.ones(1, 3)], [torch.zeros(1, 3)])
    assert called.fault is None and torch.equal(snapshot, torch.full((1, 3), 2.0))


def test_an_exception_is_told_with_the_candidates_own_frames(candidate):
    source = "def helper(x):\n    return x.nope\n\ndef run(x, out):\n    out.copy_(helper(x))\n"
    candidate.build({"kernel.py": source})
    called, _ = candidate.call([torch.ones(2)], [torch.ones(2)])
    assert called.fault.kind == "exception"
    assert "AttributeError" in called.fault.message
    assert "kernel.py" in called.fault.excerpt and "line 2" in called.fault.excerpt
    assert "tools/candidate" not in called.fault.excerpt


def test_the_process_outlives_a_failed_call(candidate):
    source = "def run(x, out):\n    out.copy_(x if x[0] else x.nope)\n"
    candidate.build({"kernel.py": source})
    called, _ = candidate.call([torch.zeros(2)], [torch.zeros(2)])
    assert called.fault is not None
    called, (snapshot,) = candidate.call([torch.ones(2)], [torch.zeros(2)])
    assert called.fault is None and torch.equal(snapshot, torch.ones(2))


@pytest.mark.parametrize(
    "dtype",
    [
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
        *(torch.float8_e4m3fn, torch.float8_e5m2),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    ],
)
def test_every_dtype_crosses_bit_for_bit(candidate, dtype):
    candidate.build({"kernel.py": "def run(x, out):\n    out.copy_(x)\n"})
    x = torch.randint(0, 2, (5, 7)).to(dtype)
    called, (snapshot,) = candidate.call([x], [torch.zeros(5, 7, dtype=dtype)])
    assert called.fault is None
    assert torch.equal(snapshot.view(torch.uint8), x.view(torch.uint8))


def test_scalars_arrive_as_python_numbers_and_empty_tensors_as_empty(candidate):
    source = (
        "def run(x, flag, count, scale, out):\n"
        "    assert (type(flag), type(count), type(scale)) == (bool, int, float)\n"
        "    assert x.shape == (0, 4)\n"
        "    out.fill_(count * scale if flag else 0)\n"
    )
    candidate.build({"kernel.py": source}, argument_count=4)
    called, (snapshot,) = candidate.call([torch.ones(0, 4), True, 3, 0.5], [torch.zeros(1)])
    assert called.fault is None, called.fault
    assert snapshot.item() == 1.5


def test_replacing_what_measures_changes_nothing(candidate):
    source = (
        "import time, torch\n"
        "time.perf_counter_ns = lambda: 0\n"
        "torch.Tensor.copy_ = lambda self, other: self\n"
        "time.sleep = None\n"
        "def run(x, out):\n"
        "    out.add_(x)\n"
    )
    assert candidate.build({"kernel.py": source}).fault is None
    called, (snapshot,) = candidate.call([torch.ones(2)], [torch.zeros(2)], late=True)
    assert called.fault is None and called.host_ns > 0
    assert torch.equal(snapshot, torch.ones(2))


def test_a_call_before_a_build_is_out_of_order(candidate):
    called, _ = candidate.call([torch.ones(2)], [torch.ones(2)])
    assert called.fault.kind == "out_of_order"


def test_a_reference_outside_the_arena_is_refused(candidate):
    candidate.build({"kernel.py": DOUBLE})
    candidate.map(4096)
    ref = wire.TensorRef(offset=4000, shape=[100], dtype="float32")
    called = candidate.ask(wire.CallRequest(arguments=[ref], outputs=[ref], snapshots=[ref]))
    assert called.fault.kind == "arena"
