"""The kernels in PTX, which the driver compiles for its device: no compiler is needed.

    philox_words      random words
    philox_uniforms   values in [0, 1) in float32
    philox_normals    standard normal values in float32
    philox_quantiles  bytes out of a table of 65,536

Each thread computes 16 bytes at a time. The keys of the rounds are parameters, so that they are
operands of the instructions and take no registers. The steps are those of `blocks` and `tables`;
.rn keeps products and sums from being fused.
"""

from __future__ import annotations

from .blocks import MULTIPLIERS, ROUNDS
from .tables import QUANTILES

THREADS = 512
"""The most in a block."""
PARAMETERS = (
    ".param .u64 p_out, .param .u64 p_table, .param .u64 p_chunks, .param .u32 p_number, "
    f".param .align 4 .b8 p_keys[{8 * ROUNDS}]"
)
_HEADER = """\
.version 7.8
.target sm_80
.address_size 64
.extern .shared .align 16 .b8 dynamic_shared[];
"""
_BEGIN = """\
.visible .entry {name}({parameters})
.maxntid {threads}, 1, 1
{{
    .reg .pred %done;
    .reg .u32 %block, %threads, %thread, %blocks, %number, %key;
    .reg .u64 %out, %table, %chunks, %chunk, %stride, %at, %p, %q, %position;
    .reg .u32 %p_low, %p_high, %q_low, %q_high;
    .reg .u32 %a<4>, %b<4>, %v<4>;
    ld.param.u64 %out, [p_out];
    ld.param.u64 %table, [p_table];
    ld.param.u64 %chunks, [p_chunks];
    ld.param.u32 %number, [p_number];
    mov.u32 %block, %ctaid.x;
    mov.u32 %threads, %ntid.x;
    mov.u32 %thread, %tid.x;
    mov.u32 %blocks, %nctaid.x;
    mul.wide.u32 %stride, %threads, %blocks;
    mul.wide.u32 %chunk, %block, %threads;
    cvt.u64.u32 %at, %thread;
    add.u64 %chunk, %chunk, %at;
"""
_LOOP = """\
NEXT:
    setp.ge.u64 %done, %chunk, %chunks;
    @%done bra END;
"""
_END = """\
    shl.b64 %at, %chunk, 4;
    add.u64 %at, %at, %out;
    st.global.v4.u32 [%at], {%v0, %v1, %v2, %v3};
    add.u64 %chunk, %chunk, %stride;
    bra NEXT;
END:
    ret;
}
"""
_COUNTER = """\
    mov.b64 {{%{c}0, %{c}1}}, %position;
    mov.u32 %{c}2, %number;
    mov.u32 %{c}3, 0;
"""
_ROUND = """\
    mul.wide.u32 %p, %{c}0, {first:#010x};
    mul.wide.u32 %q, %{c}2, {second:#010x};
    mov.b64 {{%p_low, %p_high}}, %p;
    mov.b64 {{%q_low, %q_high}}, %q;
    ld.param.u32 %key, [p_keys+{at}];
    xor.b32 %q_high, %q_high, %{c}1;
    xor.b32 %{c}0, %q_high, %key;
    ld.param.u32 %key, [p_keys+{at}+4];
    xor.b32 %p_high, %p_high, %{c}3;
    xor.b32 %{c}2, %p_high, %key;
    mov.u32 %{c}1, %q_low;
    mov.u32 %{c}3, %p_low;
"""
_UNIFORM_REGISTERS = """\
    .reg .u32 %bits;
    .reg .f32 %value;
"""
_UNIFORM = """\
    shr.u32 %bits, %a{i}, 8;
    cvt.rn.f32.u32 %value, %bits;
    mul.rn.f32 %value, %value, 0f33800000;
    mov.b32 %v{i}, %value;
"""
_NORMAL_REGISTERS = """\
    .reg .u32 %tail, %zeros, %segment, %row, %bits, %sign;
    .reg .f32 %place, %value, %c0, %c1, %c2, %c3;
"""
_NORMAL = """\
    shl.b32 %tail, %a{i}, 1;
    or.b32 %tail, %tail, 1;
    clz.b32 %zeros, %tail;
    shl.b32 %tail, %tail, %zeros;
    bfe.u32 %segment, %tail, 26, 5;
    mad.lo.u32 %row, %zeros, 32, %segment;
    mul.wide.u32 %at, %row, 16;
    add.u64 %at, %at, %table;
    ld.global.nc.v4.f32 {{%c0, %c1, %c2, %c3}}, [%at];
    bfe.u32 %bits, %tail, 2, 24;
    cvt.rn.f32.u32 %place, %bits;
    mul.rn.f32 %place, %place, 0f33800000;
    mul.rn.f32 %value, %c3, %place;
    add.rn.f32 %value, %value, %c2;
    mul.rn.f32 %value, %value, %place;
    add.rn.f32 %value, %value, %c1;
    mul.rn.f32 %value, %value, %place;
    add.rn.f32 %value, %value, %c0;
    mov.b32 %bits, %value;
    and.b32 %sign, %a{i}, 0x80000000;
    xor.b32 %v{i}, %bits, %sign;
"""
_TABLE_COPY = f"""\
    .reg .u32 %base, %half, %low, %high, %e<4>;
    mov.u32 %base, dynamic_shared;
    shl.b32 %thread, %thread, 4;
    shl.b32 %threads, %threads, 4;
COPY:
    setp.ge.u32 %done, %thread, {QUANTILES};
    @%done bra COPIED;
    cvt.u64.u32 %at, %thread;
    add.u64 %at, %at, %table;
    ld.global.nc.v4.u32 {{%v0, %v1, %v2, %v3}}, [%at];
    add.u32 %half, %thread, %base;
    st.shared.v4.u32 [%half], {{%v0, %v1, %v2, %v3}};
    add.u32 %thread, %thread, %threads;
    bra COPY;
COPIED:
    bar.sync 0;
"""
_LOOK_UP = """\
    and.b32 %half, %{word}, 0xFFFF;
    add.u32 %half, %half, %base;
    ld.shared.u8 %e{low}, [%half];
    shr.u32 %half, %{word}, 16;
    add.u32 %half, %half, %base;
    ld.shared.u8 %e{high}, [%half];
"""
_PACK = """\
    prmt.b32 %low, %e0, %e1, 0x0040;
    prmt.b32 %high, %e2, %e3, 0x0040;
    prmt.b32 %v{i}, %low, %high, 0x5410;
"""


def source() -> bytes:
    """All kernels, as the driver takes them."""
    return "\n".join((_HEADER, _words(), _uniforms(), _normals(), _quantiles())).encode()


def _words() -> str:
    block = "    mov.u64 %position, %chunk;\n" + _block("a")
    stored = "".join(f"    mov.u32 %v{i}, %a{i};\n" for i in range(4))
    return _begin("philox_words") + _LOOP + block + stored + _END


def _uniforms() -> str:
    block = "    mov.u64 %position, %chunk;\n" + _block("a")
    values = "".join(_UNIFORM.format(i=i) for i in range(4))
    return _begin("philox_uniforms") + _UNIFORM_REGISTERS + _LOOP + block + values + _END


def _normals() -> str:
    block = "    mov.u64 %position, %chunk;\n" + _block("a")
    values = "".join(_NORMAL.format(i=i) for i in range(4))
    return _begin("philox_normals") + _NORMAL_REGISTERS + _LOOP + block + values + _END


def _quantiles() -> str:
    """Two blocks for each chunk: eight bytes come of one."""
    both = "    shl.b64 %position, %chunk, 1;\n" + _block("a")
    both += "    add.u64 %position, %position, 1;\n" + _block("b")
    values = ""
    for i in range(4):
        words = [f"{'ab'[i // 2]}{2 * (i % 2) + n}" for n in range(2)]
        values += "".join(
            _LOOK_UP.format(word=word, low=2 * n, high=2 * n + 1) for n, word in enumerate(words)
        )
        values += _PACK.format(i=i)
    return _begin("philox_quantiles") + _TABLE_COPY + _LOOP + both + values + _END


def _begin(name: str) -> str:
    return _BEGIN.format(name=name, parameters=PARAMETERS, threads=THREADS)


def _block(registers: str) -> str:
    """A block of random words into four registers, at the position."""
    first, second = MULTIPLIERS
    rounds = (
        _ROUND.format(c=registers, first=first, second=second, at=8 * number)
        for number in range(ROUNDS)
    )
    return _COUNTER.format(c=registers) + "".join(rounds)
