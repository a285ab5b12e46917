"""A disassembly as nvdisasm prints it, shortened: a loop, and a function that is inlined."""

SASS = """\
\t.target\tsm_90a


//--------------------- .text.step               --------------------------
\t.section\t.text.step,"ax",@progbits
        .global         step
step:
.text.step:
\t//## File "/c/candidate_0a1b/kernel.py", line 8
        /*0000*/                   LDC R1, c[0x0][0x28] ;
.L_x_0:
\t//## File "/c/candidate_0a1b/kernel.py", line 12
        /*0010*/                   LDG.E R9, desc[UR8][R6.64] ;
        /*0020*/              @!P0 LDG.E.128 R13, desc[UR8][R6.64+0x200] ;
\t//## File "/lib/triton/standard.py", line 40 inlined at "/c/candidate_0a1b/kernel.py", line 13
\t//## File "/c/candidate_0a1b/kernel.py", line 13
        /*0030*/                   MUFU.EX2 R10, R9 ;
        /*0040*/                   BAR.SYNC.DEFER_BLOCKING 0x0 ;
        /*0050*/              @!P1 BRA `(.L_x_0) ;
        /*0060*/                   HMMA.16816.F32.BF16 R4, R8, R10, R4 ;
        /*0070*/                   EXIT ;
.L_x_1:
        /*0080*/                   BRA `(.L_x_1);
        /*0090*/                   NOP;


//--------------------- .text.other               --------------------------
\t.section\t.text.other,"ax",@progbits
        /*0000*/                   STL [R1], R2 ;
        /*0010*/                   EXIT ;
"""

PTX = """\
.version 8.8
.target sm_90a
.visible .entry step(
)
{
    .loc 1 12 0
    ret;
}
.visible .entry other(
)
{
    ret;
}
"""
