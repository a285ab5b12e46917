"""Raises an exception that ends the process when anybody asks for its words."""

import os

EXPECT = {"status": "RUNTIME_ERROR", "kind": "crash", "words": "exited with code 0"}


class Mute(Exception):
    def __str__(self):
        os._exit(0)


def run(x, w, table, alpha, y, row):
    raise Mute
