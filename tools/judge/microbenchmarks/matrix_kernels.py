"""CUDA source of kernels that do nothing but tensor-core instructions of one shape.

Operands are finite random values: on zeros an instruction draws less power and runs faster. What
is computed is not looked at; the addresses that a descriptor names lie in the block's own memory.
"""

from __future__ import annotations

from dataclasses import dataclass

ROWS = 64
"""Of the result of one wgmma instruction."""
STEPS = 4
"""Instructions that a row of 128 bytes in shared memory, the widest swizzle, has operands for."""
REPEATS = 4
K_BYTES = 32
"""Of the inner dimension of one instruction, in every precision."""
_PRECISIONS = {"bf16": ("bf16", 2), "fp8": ("e4m3", 1)}


@dataclass(frozen=True)
class WgmmaShape:
    """One shape of Hopper's instruction, and how it is issued."""

    precision: str
    """'bf16' or 'fp8'."""
    n: int
    warpgroups: int
    registers: bool = False
    """Whether the left operand lies in registers, and not in shared memory."""

    @property
    def k(self) -> int:
        """The inner dimension of one instruction."""
        return K_BYTES // _PRECISIONS[self.precision][1]

    @property
    def words(self) -> str:
        """As PTX names the shape."""
        return f"m{ROWS}n{self.n}k{self.k}"

    def flops(self, steps: int) -> float:
        """Operations of one block that makes so many steps."""
        each = 2.0 * ROWS * self.n * self.k
        return each * STEPS * REPEATS * steps * self.warpgroups

    def source(self) -> str:
        """A kernel `wgmma_rate(data, out, steps)`; `data` holds 48 KiB of operands."""
        count = self.n // 2
        results = ", ".join(f"%{i}" for i in range(count))
        kind = _PRECISIONS[self.precision][0]
        transposed = "" if self.precision != "bf16" else ", 0" if self.registers else ", 0, 0"
        rights = [f"%{count + k}" for k in range(STEPS)]
        if self.registers:
            lefts = ["{" + ", ".join(f"%{count + STEPS + i}" for i in range(4)) + "}"] * STEPS
            given = [f'"r"(a[{i}])' for i in range(4)]
        else:
            lefts = [f"%{count + STEPS + k}" for k in range(STEPS)]
            given = [f'"l"(a + {2 * k})' for k in range(STEPS)]
        shape = f"m{ROWS}n{self.n}k{self.k}.f32.{kind}.{kind}"
        instructions = [
            f'"wgmma.mma_async.sync.aligned.{shape} {{{results}}}, {left}, {right}, 1, 1, 1'
            f'{transposed};\\n"'
            for left, right in zip(lefts, rights, strict=True)
        ]
        outputs = ", ".join(f'"+f"(sum[{i}])' for i in range(count))
        inputs = ", ".join([f'"l"(b + {2 * k})' for k in range(STEPS)] + given)
        return _WGMMA % {
            "count": count,
            "left": _LEFT_REGISTERS if self.registers else _LEFT_SHARED,
            "instructions": "\n".join(instructions * REPEATS),
            "operands": f": {outputs} : {inputs}",
        }


_LEFT_REGISTERS = "unsigned a[4] = {data[t], data[t + 128], data[t + 256], data[t + 384]};"
_LEFT_SHARED = "const unsigned long long a = descriptor(operands + (t / 128) * 2048);"
_WGMMA = """
__device__ inline unsigned long long descriptor(const unsigned* tile) {
    // Rows of 128 bytes, swizzled; eight of them to the next eight are 1024 bytes.
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(tile));
    return ((address & 0x3ffffull) >> 4) | (1ull << 16) | (64ull << 32) | (1ull << 62);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    wgmma_rate(const unsigned* data, float* out, int steps) {
    __shared__ __align__(1024) unsigned operands[12288];
    const int t = threadIdx.x;
    for (int i = t; i < 12288; i += blockDim.x) operands[i] = data[i];
    asm volatile("fence.proxy.async;" ::: "memory");
    __syncthreads();
    %(left)s
    const unsigned long long b = descriptor(operands + 4096);
    float sum[%(count)d];
    for (int i = 0; i < %(count)d; ++i) sum[i] = 0.0f;
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
        asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
        asm volatile(%(instructions)s %(operands)s);
        asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
        asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    }
    float all = 0.0f;
    for (int i = 0; i < %(count)d; ++i) all += sum[i];
    out[blockIdx.x * blockDim.x + t] = all;
}
"""

MMA_TILES = 8
"""Independent results of each warp, so that one instruction does not wait for the one before."""
MMA_FLOPS = 2.0 * 16 * 8 * 16
MMA = """
extern "C" __global__ void mma_rate(const unsigned* data, float* out, int steps) {
    const int t = threadIdx.x;
    unsigned a[4], b[2];
    for (int i = 0; i < 4; ++i) a[i] = data[t + 32 * i];
    for (int i = 0; i < 2; ++i) b[i] = data[t + 32 * (i + 4)];
    float sum[8][4] = {};
    for (int step = 0; step < steps; ++step) {
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            asm volatile(
                "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
                "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                : "+f"(sum[i][0]), "+f"(sum[i][1]), "+f"(sum[i][2]), "+f"(sum[i][3])
                : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
        }
    }
    float all = 0.0f;
    for (int i = 0; i < 8; ++i) all += sum[i][0] + sum[i][1] + sum[i][2] + sum[i][3];
    out[blockIdx.x * blockDim.x + t] = all;
}
"""
"""A kernel `mma_rate(data, out, steps)` of mma.sync, which every architecture since sm_80 has."""
