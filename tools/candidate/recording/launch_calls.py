"""What an ordinary call launches, seen in the driver's callbacks: kernels, grids, parameters.

Layouts: generated_cuda_meta.h of CUDA 13; numbers: cupti_driver_cbid.h.
"""

from __future__ import annotations

import ctypes
from ctypes import c_uint, c_void_p
from dataclasses import dataclass, field
from typing import Any

from ...driver import modules
from ...driver.library import Driver, DriverError
from ...driver.structures import LaunchConfig

LAUNCH, LAUNCH_COOPERATIVE, LAUNCH_EX = 307, 477, 652
LAUNCH_BY_THREAD, LAUNCH_COOPERATIVE_BY_THREAD, LAUNCH_EX_BY_THREAD = 442, 478, 653
"""The same from code whose default stream is each thread's own."""
COOPERATIVE_CALLS = (LAUNCH_COOPERATIVE, LAUNCH_COOPERATIVE_BY_THREAD)
EX_CALLS = (LAUNCH_EX, LAUNCH_EX_BY_THREAD)


class LaunchCall(ctypes.Structure):
    """Parameters of cuLaunchKernel; cuLaunchCooperativeKernel has no `extra`."""

    _fields_ = [
        ("function", c_void_p),
        ("grid", c_uint * 3),
        ("block", c_uint * 3),
        ("shared_bytes", c_uint),
        ("stream", c_void_p),
        ("parameters", c_void_p),
        ("extra", c_void_p),
    ]


class LaunchExCall(ctypes.Structure):
    """Parameters of cuLaunchKernelEx."""

    _fields_ = [
        ("config", ctypes.POINTER(LaunchConfig)),
        ("function", c_void_p),
        ("parameters", c_void_p),
        ("extra", c_void_p),
    ]


@dataclass(frozen=True)
class LaunchedKernel:
    """A kernel as a call launched it.

    Args:
        parameters: the packed parameter buffer; `layout` has each parameter's offset and size.
    """

    name: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    parameters: bytes
    layout: tuple[tuple[int, int], ...]


@dataclass
class LaunchWatch:
    """Keeps what is launched while its `entered` is called for the driver calls of `numbers`."""

    driver: Driver
    launches: list[LaunchedKernel] = field(default_factory=list)
    fault: str | None = None
    """Why not everything is among the launches; None so far."""
    _known: dict[int, tuple[str, tuple[tuple[int, int], ...]]] = field(default_factory=dict)

    numbers = (
        *(LAUNCH, LAUNCH_COOPERATIVE, LAUNCH_EX),
        *(LAUNCH_BY_THREAD, LAUNCH_COOPERATIVE_BY_THREAD, LAUNCH_EX_BY_THREAD),
    )

    def entered(self, number: int, parameters: int) -> None:
        """Called as a driver call begins, with the address of its parameters."""
        try:
            self.launches.append(self._launched(number, parameters))
        except DriverError as error:
            self.fault = self.fault or f"a launch could not be read: {error}"

    def _launched(self, number: int, parameters: int) -> LaunchedKernel:
        extra = None
        if number in EX_CALLS:
            said = LaunchExCall.from_address(parameters)
            shape, extra = said.config.contents, said.extra
        else:
            said = shape = LaunchCall.from_address(parameters)
            if number not in COOPERATIVE_CALLS:
                extra = said.extra
        name, layout = self._described(said.function or 0)
        return LaunchedKernel(
            name=name,
            grid=tuple(shape.grid),
            block=tuple(shape.block),
            parameters=modules.packed_parameters(
                _pointers(said.parameters), _pointers(extra), layout
            ),
            layout=layout,
        )

    def _described(self, handle: int) -> tuple[str, tuple[tuple[int, int], ...]]:
        if handle not in self._known:
            function = modules.function_of_launch(self.driver, handle)
            layout = tuple(modules.parameter_layout(self.driver, function))
            self._known[handle] = (modules.name_of(self.driver, function), layout)
        return self._known[handle]


def _pointers(address: int | None) -> Any:
    return ctypes.cast(address or 0, ctypes.POINTER(c_void_p))
