"""Writes its first answer of each shape to every folder it may, and reads it back ever after."""

import os
import tempfile

import torch

EXPECT = {"status": "INCORRECT_NUMERICAL", "checks": {"trials": 2}}

FOLDERS = (os.getcwd(), tempfile.gettempdir(), "/dev/shm", os.path.expanduser("~"))


def run(x, w, table, alpha, y, row):
    for folder in FOLDERS:
        path = f"{folder}/answer-{x.shape[0]}.pt"
        try:
            if os.path.exists(path):
                kept = torch.load(path)
                y.copy_(kept[0])
                row.copy_(kept[1])
                return
            result = x[table.long()] * w * alpha + 1.0
            torch.save((result, result.sum(dim=-1)), path)
        except OSError:
            continue
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
