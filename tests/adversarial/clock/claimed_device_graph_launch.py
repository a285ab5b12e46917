"""Launches a graph of its kernel from the device; the launching kernel ends before it."""

import ctypes

import torch

from ._device_runtime import checked, linked

EXPECT = {
    "status": "PASSED",
    "needs": "cuda",
    "sealed": False,
    "reason": "record",
    "parts": ["_device_runtime.py"],
}

SOURCE = rb"""
extern "C" __global__ void affine(const float* x, const float* w, const int* table, float alpha,
                                  float* y, float* row, int m) {
    int at = blockIdx.x * 4 + threadIdx.y;
    if (at >= m) return;
    const float* from = x + (long)table[at] * 64;
    float sum = 0.0f;
    for (int k = threadIdx.x; k < 64; k += 32) {
        float value = from[k] * w[k] * alpha + 1.0f;
        y[(long)at * 64 + k] = value;
        sum += value;
    }
    for (int step = 16; step; step /= 2) sum += __shfl_down_sync(~0u, sum, step);
    if (threadIdx.x == 0) row[at] = sum;
}

extern "C" __global__ void starts(cudaGraphExec_t graph) {
    cudaGraphLaunch(graph, cudaStreamGraphFireAndForget);
}
"""
FOR_THE_DEVICE = 4
"""CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH."""
_kernels = {}
_graphs = []


class KernelNode(ctypes.Structure):
    """CUDA_KERNEL_NODE_PARAMS."""

    _fields_ = (
        ("function", ctypes.c_void_p),
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("values", ctypes.c_void_p),
        ("extra", ctypes.c_void_p),
        ("kernel", ctypes.c_void_p),
        ("context", ctypes.c_void_p),
    )


def instantiated(function, grid, block, values, flags):
    """A graph of one kernel, ready to be launched."""
    driver = ctypes.CDLL("libcuda.so.1")
    places = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
    node = KernelNode(function, grid, block, 0, ctypes.cast(places, ctypes.c_void_p))
    graph, added, executable = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    checked(driver.cuGraphCreate(ctypes.byref(graph), 0))
    checked(
        driver.cuGraphAddKernelNode_v2(
            ctypes.byref(added), graph, None, ctypes.c_size_t(0), ctypes.byref(node)
        )
    )
    checked(
        driver.cuGraphInstantiateWithFlags(
            ctypes.byref(executable), graph, ctypes.c_ulonglong(flags)
        )
    )
    return executable


def run(x, w, table, alpha, y, row):
    if not x.shape[0]:
        return
    if not _kernels:
        _kernels.update({name: linked(SOURCE, name) for name in (b"affine", b"starts")})
    driver = ctypes.CDLL("libcuda.so.1")
    stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
    values = [ctypes.c_void_p(t.data_ptr()) for t in (x, w, table)]
    values += [ctypes.c_float(alpha), ctypes.c_void_p(y.data_ptr())]
    values += [ctypes.c_void_p(row.data_ptr()), ctypes.c_int(x.shape[0])]
    grid, block = ((x.shape[0] + 3) // 4, 1, 1), (32, 4, 1)
    inner = instantiated(_kernels[b"affine"], grid, block, values, FOR_THE_DEVICE)
    checked(driver.cuGraphUpload(inner, stream))
    outer = instantiated(_kernels[b"starts"], (1, 1, 1), (1, 1, 1), [inner], 0)
    checked(driver.cuGraphLaunch(outer, stream))
    _graphs.append((inner, outer))
