"""Many variants of one program: made, compiled, thinned out, raced, and put together again.

places            a constant's value in a source, and the source with another
constants         a program's named constants, and the program with other values of them
python_constants  where Python sources hold a constant: assignments, tables, launches
macros            where CUDA and C++ sources hold a constant: macros and constexpr
variants          the variants that a call asks for, each a solution
pruning           what compiling shows that need not be run
equal_code        variants that have the same machine code
race/             a race of variants on a device: short runs that rank them
compiling         many static evaluations at once
results           what became of the variants of a call
service           variants evaluated: compiled, thinned out, raced, the winners judged
"""
