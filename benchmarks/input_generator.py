"""How fast inputs are drawn: Philox on the device beside torch's generator, in TB/s and ms.

    python benchmarks/input_generator.py [--repeat 20] [--json FILE]

Needs an NVIDIA GPU. The first rows fill memory; the others make inputs of the mixture of experts,
whose weights are 1.4 GB, as the judge makes them: drawn, copied, compared with the copies, and the
outputs that are expected. Times are medians of CUDA events around each; what a first use costs is
in the caption.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from kernel_harness.tools.judge.calls.compared_bytes import copy_bytes, differing
from kernel_harness.tools.judge.operators.operator_adapter import Case, OperatorAdapter
from kernel_harness.tools.judge.philox.device_kernels import PhiloxKernels, kernels_on
from kernel_harness.tools.judge.philox.generator import PhiloxGenerator, TorchGenerator
from kernel_harness.tools.schema.drawn_inputs import RandomGenerator
from kernel_harness.tools.schema.flashinfer_trace import Definition

EXPERTS = "moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e32_h7168_i2048"
KERNELS = Path(__file__).resolve().parents[1] / "kernels"
WEIGHTS = 32 * 3 * 2048 * 7168
TOKENS = (1, 80, 901, 14_107)
SPREAD = 448.0 / 4.2
SEED = 5
console = Console(width=120)


def median_ms(draw: Callable[[], object], repeat: int) -> float:
    """Median time of a draw on the device, with the host's gaps in it."""
    draw()
    times = []
    for _ in range(repeat):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        draw()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def fills(
    device: torch.device, kernels: PhiloxKernels
) -> dict[str, tuple[int, Callable[[], object]]]:
    """What fills memory, and how many bytes of it."""
    philox, torch_s = PhiloxGenerator(SEED, device, kernels), TorchGenerator(SEED, device)
    generator = torch.Generator(device).manual_seed(SEED)
    memory = torch.empty(WEIGHTS, dtype=torch.uint8, device=device)
    count = WEIGHTS // 4

    def quantised() -> None:
        for part in memory.view(torch.float8_e4m3fn).view(32, -1):
            values = torch.empty(part.shape, device=device).normal_(
                0.0, SPREAD, generator=generator
            )
            part.copy_(values.clamp_(-448.0, 448.0).to(torch.float8_e4m3fn))

    return {
        "zeros": (WEIGHTS, memory.zero_),
        "Philox, e4m3": (WEIGHTS, lambda: philox.normal_e4m3("w", (WEIGHTS,), SPREAD)),
        "torch, e4m3": (WEIGHTS, quantised),
        "Philox, normal float32": (WEIGHTS, lambda: philox.normal("x", (count,))),
        "torch, normal float32": (WEIGHTS, lambda: torch_s.normal("x", (count,))),
        "Philox, uniform float32": (WEIGHTS, lambda: philox.uniform("x", (count,))),
        "torch, uniform float32": (WEIGHTS, lambda: torch_s.uniform("x", (count,))),
        "Philox, integers": (2 * WEIGHTS, lambda: philox.integers("x", -9, 99, (count,))),
        "torch, integers": (2 * WEIGHTS, lambda: torch_s.integers("x", -9, 99, (count,))),
    }


def experts(device: torch.device) -> dict[str, tuple[int, Callable[[], object]]]:
    """What makes inputs of the mixture of experts, and how many bytes they have."""
    folder = KERNELS / EXPERTS
    definition = Definition.model_validate_json((folder / "definition.json").read_text())
    operator = OperatorAdapter(definition, folder)
    made: dict[str, tuple[int, Callable[[], object]]] = {}
    for tokens in TOKENS:
        case = Case("w", {"seq_len": tokens}, scalars={"local_expert_offset": 32})
        nbytes = operator.input_bytes(case)
        for generator in RandomGenerator:

            def draw(case: Case = case, generator: RandomGenerator = generator) -> object:
                return operator.make_inputs(case, SEED, "typical", device, generator)

            made[f"experts, {tokens} tokens, {generator}"] = (nbytes, draw)
        inputs = operator.make_inputs(case, SEED, "typical", device)

        def together(case: Case = case, inputs: dict = inputs) -> object:
            return operator.expected_outputs(case, inputs)

        def apart(case: Case = case, inputs: dict = inputs) -> object:
            return operator.oracle(case, inputs), operator.trusted(case, inputs)

        pairs = [(v.clone(), v) for v in inputs.values() if isinstance(v, torch.Tensor)]
        made[f"experts, {tokens} tokens, placed"] = (nbytes, lambda pairs=pairs: copy_bytes(pairs))
        made[f"experts, {tokens} tokens, compared"] = (nbytes, lambda pairs=pairs: differing(pairs))
        made[f"experts, {tokens} tokens, expected outputs"] = (nbytes, together)
        made[f"experts, {tokens} tokens, the two apart"] = (nbytes, apart)
    return made


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--json", type=Path)
    choices = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("This needs an NVIDIA GPU that torch can use.")
    device = torch.device("cuda", 0)
    torch.zeros(1, device=device)
    began = time.perf_counter()
    kernels, reason = kernels_on(device)
    first_ms = 1_000 * (time.perf_counter() - began)
    if kernels is None:
        raise SystemExit(f"Inputs are drawn by torch here: {reason}")
    table = Table(
        title=f"Drawing inputs on {torch.cuda.get_device_name(device)}",
        caption=f"First use: {first_ms:.0f} ms to compile the kernels and compare them",
    )
    for column in ("what", "GB", "ms", "TB/s"):
        table.add_column(column, justify="left" if column == "what" else "right")
    rows = []
    for part in (lambda: fills(device, kernels), lambda: experts(device)):
        for name, (nbytes, draw) in part().items():
            ms = median_ms(draw, choices.repeat)
            rows.append({"what": name, "bytes": nbytes, "ms": ms, "tb_s": nbytes / ms / 1e9})
            table.add_row(name, f"{nbytes / 1e9:.2f}", f"{ms:.3f}", f"{nbytes / ms / 1e9:.2f}")
        torch.cuda.empty_cache()
    console.print(table)
    if choices.json:
        choices.json.write_text(json.dumps({"first_use_ms": first_ms, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
