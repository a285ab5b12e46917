"""What Philox draws on a GPU is what it draws without one, bit for bit."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from kernel_harness.tools.judge.operators.input_sets import _perturbed_tensor
from kernel_harness.tools.judge.operators.operator_adapter import Case, OperatorAdapter
from kernel_harness.tools.judge.philox.blocks import blocks
from kernel_harness.tools.judge.philox.device_kernels import kernels_on
from kernel_harness.tools.judge.philox.generator import PhiloxGenerator, random_values
from kernel_harness.tools.judge.philox.tables import e4m3_quantiles
from kernel_harness.tools.schema.drawn_inputs import RandomGenerator
from kernel_harness.tools.schema.flashinfer_trace import Definition

pytestmark = pytest.mark.gpu

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
SEED = 0x1A_2B3C_4D5E_6F70
SHAPES = [(), (0,), (1,), (3,), (4,), (5,), (17, 31), (511, 8), (4_096, 33), (3_000_001,)]
DRAWS = {
    "normal": lambda v, shape: v.normal("x", shape),
    "uniform": lambda v, shape: v.uniform("x", shape),
    "integers": lambda v, shape: v.integers("x", -1_024, 1_025, shape),
    "e4m3": lambda v, shape: v.normal_e4m3("x", shape, 448 / 4.2).view(torch.uint8),
}
each_draw = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and (
        one.cpu().numpy().tobytes() == other.cpu().numpy().tobytes()
    )


def on_device(seed: int = SEED) -> PhiloxGenerator:
    values = random_values(RandomGenerator.PHILOX, seed, CUDA)
    assert isinstance(values, PhiloxGenerator) and values.device == CUDA
    return values


def test_the_kernels_are_used_on_this_device():
    kernels, reason = kernels_on(CUDA)
    assert kernels is not None and reason == ""
    assert OperatorAdapter(definition()).source_on(CUDA).generator is RandomGenerator.PHILOX


@each_draw
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_value_is_the_same_as_without_a_gpu(draw, shape):
    here, there = PhiloxGenerator(SEED, CPU), on_device()
    for _ in range(2):
        assert same_bits(draw(here, shape), draw(there, shape))


@each_draw
def test_without_its_kernels_a_gpu_gets_the_same_values(draw):
    assert same_bits(draw(PhiloxGenerator(SEED, CUDA), (999,)), draw(on_device(), (999,)))


def test_weights_of_more_than_a_gigabyte_are_the_definition_s_at_any_place():
    count = 1_409_286_147
    drawn = on_device().normal_e4m3("w", (count,), 100.0).view(torch.uint8)
    stream = PhiloxGenerator(SEED, CPU)._next("w")
    rng = np.random.default_rng(1)
    places = np.concatenate(
        [np.arange(64), rng.integers(0, count, 100_000), np.arange(count - 64, count)]
    )
    words = blocks(stream.key, stream.number, (places // 8).astype(np.uint64))
    halves = words.view(np.uint16)[np.arange(len(places)), places % 8]
    got = drawn[torch.from_numpy(places).to(CUDA)].cpu().numpy()
    assert got.tobytes() == e4m3_quantiles(100.0)[halves].tobytes()


def test_values_are_drawn_in_the_order_of_the_current_stream():
    expected, side = PhiloxGenerator(SEED, CPU).normal("x", (3_000_000,)), torch.cuda.Stream(CUDA)
    kept: list[torch.Tensor] = []
    with torch.cuda.stream(side):
        for _ in range(10):
            torch.cuda._sleep(200_000)
            drawn = on_device().normal("x", (3_000_000,))
            kept.append(drawn.clone())
            # Another stream's kernel would find these zeros, or leave its values in them.
            drawn.zero_()
            kept.append(drawn)
    side.synchronize()
    for copy, emptied in zip(kept[::2], kept[1::2], strict=True):
        assert same_bits(copy, expected) and not emptied.any()


def test_a_thread_that_has_not_used_the_device_can_draw():
    found: list[torch.Tensor] = []
    values = on_device()
    thread = threading.Thread(target=lambda: found.append(values.normal("x", (1_000,))))
    thread.start()
    thread.join()
    torch.cuda.synchronize(CUDA)
    assert same_bits(found[0], PhiloxGenerator(SEED, CPU).normal("x", (1_000,)))


def definition() -> Definition:
    return Definition.model_validate(
        {
            "name": "generic",
            "op_type": "demo",
            "axes": {"m": {"type": "var"}, "n": {"type": "const", "value": 24}},
            "inputs": {
                "x": {"shape": ["m", "n"], "dtype": "bfloat16"},
                "i": {"shape": ["m"], "dtype": "int32"},
                "f": {"shape": ["m", "n"], "dtype": "float8_e4m3fn"},
                "s": {"shape": None, "dtype": "float32"},
            },
            "outputs": {"y": {"shape": ["m", "n"], "dtype": "bfloat16"}},
            "reference": "def run(x, i, f, s):\n    return x\n",
        }
    )


@pytest.mark.parametrize("family", ["typical", "uniform", "offset", "zeros", "equal", "one_huge"])
def test_an_operator_without_inputs_py_has_the_same_inputs_on_every_device(family):
    operator = OperatorAdapter(definition())
    case = Case("w", {"m": 1_001})
    here, there = (operator.make_inputs(case, SEED, family, device) for device in (CPU, CUDA))
    assert here["s"] == there["s"]
    for name in ("x", "i", "f"):
        one, other = here[name], there[name]
        assert isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)
        assert torch.equal(one.view(torch.uint8), other.cpu().view(torch.uint8)), name


def test_perturbed_inputs_come_again_with_their_seed():
    value = on_device().normal_e4m3("w", (50_000_000,), 100.0)
    first, again = (
        _perturbed_tensor(value, torch.Generator(CUDA).manual_seed(SEED)) for _ in range(2)
    )
    assert torch.equal(first.view(torch.uint8), again.view(torch.uint8))
    share = float((first.view(torch.uint8) != value.view(torch.uint8)).float().mean())
    assert 0.015 < share < 0.02
