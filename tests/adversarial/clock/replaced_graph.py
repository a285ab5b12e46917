"""Replaces torch's class of graphs by one that shows the graph of half of the work."""

import torch

from ._inside import once
from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "half of the work",
    "refused": ["INTEGRITY_VIOLATION", "claimed"],
    "parts": ["_rows.py", "_inside.py"],
}

_call = []


@once
def mount():
    honest = torch.cuda.CUDAGraph

    class Forged(honest):
        def raw_cuda_graph(self):
            graph, stream = honest(keep_graph=True), torch.cuda.Stream()
            with torch.cuda.stream(stream):
                graph.capture_begin(capture_error_mode="thread_local")
                launch(*_call, rows=_call[0].shape[0] // 2)
                graph.capture_end()
            _call.append(graph)
            return graph.raw_cuda_graph()

    torch.cuda.CUDAGraph = Forged


def run(*arguments):
    mount()
    _call[:] = arguments
    launch(*arguments)
