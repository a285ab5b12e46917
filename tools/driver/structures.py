"""Structures of cuda.h, 13.0, that cross the driver's interface; layouts checked by a test."""

from __future__ import annotations

import ctypes
from ctypes import c_int, c_size_t, c_ubyte, c_uint, c_uint64, c_void_p


class MemLocation(ctypes.Structure):
    """CUmemLocation: type 1 is a device."""

    _fields_ = [("type", c_int), ("id", c_int)]


class MemAllocationProp(ctypes.Structure):
    """CUmemAllocationProp."""

    _fields_ = [
        ("type", c_int),
        ("handle_types", c_int),
        ("location", MemLocation),
        ("win32", c_void_p),
        ("flags", c_ubyte * 8),
    ]


class MemAccessDesc(ctypes.Structure):
    """CUmemAccessDesc: flags 3 is read and write."""

    _fields_ = [("location", MemLocation), ("flags", c_int)]


class KernelNodeParams(ctypes.Structure):
    """CUDA_KERNEL_NODE_PARAMS_v2."""

    _fields_ = [
        ("function", c_void_p),
        ("grid", c_uint * 3),
        ("block", c_uint * 3),
        ("shared_bytes", c_uint),
        ("parameters", ctypes.POINTER(c_void_p)),
        ("extra", ctypes.POINTER(c_void_p)),
        ("kernel", c_void_p),
        ("context", c_void_p),
    ]


class MemsetNodeParams(ctypes.Structure):
    """CUDA_MEMSET_NODE_PARAMS_v1."""

    _fields_ = [
        ("destination", c_uint64),
        ("pitch", c_size_t),
        ("value", c_uint),
        ("element_bytes", c_uint),
        ("width", c_size_t),
        ("height", c_size_t),
    ]


class CopySide(ctypes.Structure):
    """One half of CUDA_MEMCPY3D."""

    _fields_ = [
        ("x_bytes", c_size_t),
        ("y", c_size_t),
        ("z", c_size_t),
        ("level", c_size_t),
        ("memory_type", c_int),
        ("host", c_void_p),
        ("device", c_uint64),
        ("array", c_void_p),
        ("reserved", c_void_p),
        ("pitch", c_size_t),
        ("height", c_size_t),
    ]


class Copy3D(ctypes.Structure):
    """CUDA_MEMCPY3D_v2."""

    _fields_ = [
        ("source", CopySide),
        ("destination", CopySide),
        ("width_bytes", c_size_t),
        ("height", c_size_t),
        ("depth", c_size_t),
    ]


class GraphEdgeData(ctypes.Structure):
    """CUgraphEdgeData: type 1 is programmatic dependent launch."""

    _fields_ = [
        ("from_port", c_ubyte),
        ("to_port", c_ubyte),
        ("type", c_ubyte),
        ("reserved", c_ubyte * 5),
    ]


class MemAllocNodeParams(ctypes.Structure):
    """CUDA_MEM_ALLOC_NODE_PARAMS_v1; the properties of its pool are not read."""

    _fields_ = [
        ("pool", c_uint64 * 11),
        ("access", c_void_p),
        ("access_count", c_size_t),
        ("nbytes", c_size_t),
        ("address", c_uint64),
    ]


class LaunchValue(ctypes.Union):
    """CUlaunchAttributeValue, the members used here."""

    _fields_ = [("padding", c_ubyte * 64), ("number", c_int), ("extent", c_uint * 3)]


class LaunchAttribute(ctypes.Structure):
    """CUlaunchAttribute."""

    _fields_ = [("id", c_int), ("padding", c_ubyte * 4), ("value", LaunchValue)]


class LaunchConfig(ctypes.Structure):
    """CUlaunchConfig."""

    _fields_ = [
        ("grid", c_uint * 3),
        ("block", c_uint * 3),
        ("shared_bytes", c_uint),
        ("stream", c_void_p),
        ("attributes", ctypes.POINTER(LaunchAttribute)),
        ("attribute_count", c_uint),
    ]
