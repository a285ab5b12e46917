"""Replays a graph of its own after copying each call's inputs to where the graph reads them."""

import torch

EXPECT = {
    "status": "PASSED",
    "needs": "cuda",
    "checks": {"trials": 2, "timed": True, "pairs_per_block": 4, "max_pairs": 4},
}

_graphs = {}


def _captured(x, w, table, alpha):
    own = [t.clone() for t in (x, w, table)]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        _ = own[0][own[2].long()] * own[1] * alpha + 1.0
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = own[0][own[2].long()] * own[1] * alpha + 1.0
        row = y.sum(dim=-1)
    return graph, own, y, row


def run(x, w, table, alpha, y, row):
    if not x.numel():
        return
    key = (tuple(x.shape), alpha)
    if key not in _graphs:
        _graphs[key] = _captured(x, w, table, alpha)
    graph, own, graph_y, graph_row = _graphs[key]
    for mine, given in zip(own, (x, w, table), strict=True):
        mine.copy_(given)
    graph.replay()
    y.copy_(graph_y)
    row.copy_(graph_row)
