"""Links CUDA C++ with the device's runtime, as kernels that launch others need it."""

import ctypes
import glob

import torch

LIBRARIES = ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so")
RUNTIMES = ("/usr/local/cuda*/lib64", "/usr/lib/x86_64-linux-gnu", "/opt/conda/lib")
AS_PTX, AS_LIBRARY = 1, 4
"""Of CUjitInputType."""


def checked(code):
    if code:
        raise RuntimeError(f"CUDA error {code}")


def compiled(source):
    """PTX whose calls of other modules are open."""
    nvrtc = ctypes.CDLL(next(name for name in LIBRARIES if _loads(name)))
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    major, minor = torch.cuda.get_device_capability()
    options = [
        b"--relocatable-device-code=true",
        b"--gpu-architecture=compute_%d%d" % (major, minor),
    ]
    given = (ctypes.c_char_p * len(options))(*options)
    checked(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, b"k.cu", 0, None, None))
    checked(nvrtc.nvrtcCompileProgram(program, len(options), given))
    checked(nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size)))
    ptx = ctypes.create_string_buffer(size.value)
    checked(nvrtc.nvrtcGetPTX(program, ptx))
    return ptx.raw


def linked(source, name):
    """The driver's handle of a kernel, linked with the device's runtime."""
    driver = ctypes.CDLL("libcuda.so.1")
    ptx = compiled(source)
    runtime = next(f for folder in RUNTIMES for f in glob.glob(f"{folder}/libcudadevrt.a"))
    state, cubin, size = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_size_t()
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    checked(driver.cuLinkCreate_v2(0, None, None, ctypes.byref(state)))
    checked(
        driver.cuLinkAddData_v2(
            state, AS_PTX, ptx, ctypes.c_size_t(len(ptx)), b"k.ptx", 0, None, None
        )
    )
    checked(driver.cuLinkAddFile_v2(state, AS_LIBRARY, runtime.encode(), 0, None, None))
    checked(driver.cuLinkComplete(state, ctypes.byref(cubin), ctypes.byref(size)))
    checked(driver.cuModuleLoadData(ctypes.byref(module), cubin))
    checked(driver.cuModuleGetFunction(ctypes.byref(function), module, name))
    checked(driver.cuLinkDestroy(state))
    return function


def launch(function, grid, block, values):
    """Launches a kernel on the caller's stream; the values are numbers of ctypes."""
    places = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
    stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
    driver = ctypes.CDLL("libcuda.so.1")
    checked(driver.cuLaunchKernel(function, *grid, *block, 0, stream, places, None))


def _loads(name):
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
