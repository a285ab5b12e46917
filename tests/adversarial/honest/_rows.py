"""Gathers rows; a part of `relative_imports`."""

OFFSET = 1.0


def gathered(x, table):
    return x[table.long()]
