"""The Triton solutions of sparse attention, indexer and experts, in Triton's interpreter.

In a process of its own, since Triton decides at import whether it interprets.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

KERNELS = Path(__file__).resolve().parents[2] / "kernels"
SCRIPT = """
import json, sys
from pathlib import Path
import torch
from kernel_harness.tools.candidate.cpu.triton_patches import patch_interpreter
from kernel_harness.tools.judge.numerics.correctness import check_output
from kernel_harness.tools.judge.numerics.limits import tolerance_limits
from kernel_harness.tools.workloads.operators import load_anew
from kernel_harness.tools.workloads.policy import read_policy

patch_interpreter()  # as the process of a candidate does before any fork
kernels, every, found = Path(sys.argv[1]), sys.argv[2] == "every", {}

folder = kernels / "dsa_sparse_attention_h16_ckv512_kpe64_topk2048_ps64"
inputs, oracle = load_anew(folder / "inputs.py"), load_anew(folder / "oracle.py")
kernel = load_anew(folder / "solutions" / "triton_split_k" / "kernel.py")
policy = read_policy(folder / "policy.toml")
for family in ("scattered_padding", "typical", "peaked")[: None if every else 1]:
    drawn = inputs.generate(
        {"num_tokens": 4, "num_pages": 40}, scalars={}, device="cpu", family=family,
        structure={"valid_indices_per_token": [2048, 0, 17, 1100]},
        generator=torch.Generator().manual_seed(1),
    )
    expected, trusted = oracle.oracle(**drawn), oracle.trusted(**drawn)
    got = {"output": torch.full((4, 16, 512), float("nan"), dtype=torch.bfloat16),
           "lse": torch.full((4, 16), float("nan"))}
    kernel.run(*drawn.values(), *got.values())
    for name, value in got.items():
        limits = tolerance_limits(policy, name)
        mismatch = check_output(name, value, expected[name], trusted[name], limits)[1]
        found[f"attention {family} {name}"] = "" if mismatch is None else mismatch.message

folder = kernels / "dsa_topk_indexer_fp8_h64_d128_topk2048_ps64"
inputs, oracle = load_anew(folder / "inputs.py"), load_anew(folder / "oracle.py")
compare = load_anew(folder / "compare.py").compare
kernel = load_anew(folder / "solutions" / "pass_through" / "kernel.py")
for lengths in ([3, 0, 2048], [2300, 64, 2049, 0]):
    for family in ("wild_table", "tied_scores")[: None if every else 1]:
        drawn = inputs.generate(
            {"batch_size": len(lengths), "max_num_pages": -(-max(lengths) // 64), "num_pages": 90},
            scalars={}, device="cpu", family=family, structure={"seq_lens": lengths},
            generator=torch.Generator().manual_seed(1),
        )
        expected = oracle.oracle(**drawn)["topk_indices"]
        got = torch.full_like(expected, 77)
        kernel.run(*drawn.values(), got)
        found[f"indexer {lengths} {family}"] = compare("topk", drawn, expected, got, {})["message"]

folder = kernels / "moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e32_h7168_i2048"
inputs, oracle = load_anew(folder / "inputs.py"), load_anew(folder / "oracle.py")
kernel = load_anew(folder / "solutions" / "triton_grouped" / "kernel.py")
policy = read_policy(folder / "policy.toml")
for tokens, offset, family in ((5, 192, "signed_scales"), (3, 0, "none_local"),
                               (1, 32, "typical"), (20, 40, "negative_selection"),
                               )[: None if every else 2]:
    drawn = inputs.generate(
        {"seq_len": tokens, "hidden_size": 256, "intermediate_size": 128}, structure={},
        scalars={"local_expert_offset": offset, "routed_scaling_factor": 2.5},
        device="cpu", family=family, generator=torch.Generator().manual_seed(1),
    )
    expected, trusted = oracle.oracle(**drawn)["output"], oracle.trusted(**drawn)["output"]
    got = torch.full_like(trusted, float("nan"))
    kernel.run(*drawn.values(), got)
    limits = tolerance_limits(policy, "output")
    mismatch = check_output("output", got, expected, trusted, limits)[1]
    found[f"experts {tokens} {family}"] = "" if mismatch is None else mismatch.message

sys.stdout.write(json.dumps(found))
"""


@pytest.mark.parametrize(
    ("chosen", "count"),
    [("some", 2 + 2 + 2), pytest.param("every", 3 * 2 + 2 * 2 + 4, marks=pytest.mark.long)],
)
@pytest.mark.long
def test_triton_solutions_are_right_in_the_interpreter(chosen, count):
    command = ["env", "TRITON_INTERPRET=1", sys.executable, "-c", SCRIPT, str(KERNELS), chosen]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-3000:]
    found = json.loads(finished.stdout)
    assert len(found) == count
    assert not {what: why for what, why in found.items() if why}
