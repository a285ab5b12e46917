"""Captures a graph at its first call of a shape and replays it, whatever the addresses are now."""

import torch

EXPECT = {"status": "INCORRECT_NUMERICAL", "needs": "cuda"}

_graphs = {}


def run(x, w, table, alpha, y, row):
    if x.shape not in _graphs:
        own = [t.clone() for t in (x, w, table)]
        result = own[0][own[2].long()] * own[1] * alpha + 1.0
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = own[0][own[2].long()] * own[1] * alpha + 1.0
        _graphs[x.shape] = (graph, result)
    graph, result = _graphs[x.shape]
    graph.replay()
    y.copy_(result)
    row.copy_(result.sum(dim=-1))
