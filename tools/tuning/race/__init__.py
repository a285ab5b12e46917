"""A race of variants on a device: short runs that rank them before any is judged.

main_effects  times foretold from those of variants that share values
halving       successive halving: who is measured again, and who is not
finals        the last of each regime, told apart by calls that take turns
races         a race of variants on a device, by evaluations
"""
