"""Binds its configuration by a partial application, and hides its name behind a decorator."""

import functools

EXPECT = {
    "long": True,
    "status": "PASSED",
    "style": "value",
    "checks": {"held_out": 1, "determinism_runs": 2},
}


CALLS = {"made": 0}


def counted(function):
    @functools.wraps(function)
    def called(*arguments):
        CALLS["made"] += 1
        return function(*arguments)

    return called


@counted
def affine(offset, x, w, table, alpha):
    y = x[table.long()] * w * alpha + offset
    return y, y.sum(dim=-1)


run = functools.partial(affine, 1.0)
