"""The GPUs that CUDA shows on this machine, and which of them the settings choose.

Devices are named as CUDA numbers them here, 'cuda:0'; a model is what the driver calls a board.
"""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import RequestError
from ..schema.evaluation import DeviceInfo, Executor
from ..settings import Settings, candidate_environment

CLUSTER = "cluster"
"""Stands for the GPUs of other machines, which are known once they have been reached."""


@lru_cache(maxsize=1)
def nvidia_devices() -> tuple[DeviceInfo, ...]:
    """The GPUs that CUDA shows, in its numbering, as NVML tells them; empty without a driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no library, no driver or no permission all mean: no device for us
        return ()
    try:
        return tuple(_described(pynvml, handle) for handle in _visible(pynvml))
    finally:
        pynvml.nvmlShutdown()


def _visible(nvml: Any) -> list[Any]:
    """Handles of the GPUs that CUDA shows, in its numbering.

    As CUDA reads CUDA_VISIBLE_DEVICES: numbers, or UUIDs that may be cut short; nothing after the
    first that names no device counts. Unequal GPUs are numbered as NVML does only where
    CUDA_DEVICE_ORDER is PCI_BUS_ID.
    """
    every = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(nvml.nvmlDeviceGetCount())]
    said = candidate_environment().get("CUDA_VISIBLE_DEVICES")  # as the judge has it
    if said is None:
        return every
    uuids = [str(nvml.nvmlDeviceGetUUID(handle)) for handle in every]
    found: list[Any] = []
    for entry in map(str.strip, said.split(",")):
        if entry.isdecimal() and int(entry) < len(every):
            found.append(every[int(entry)])
        elif entry.startswith("MIG-"):
            try:
                found.append(nvml.nvmlDeviceGetHandleByUUID(entry))
            except nvml.NVMLError:
                break
        elif entry and (
            named := [h for h, u in zip(every, uuids, strict=True) if u.startswith(entry)]
        ):
            found.append(named[0])
        else:
            break
    return found


def _described(nvml: Any, handle: Any) -> DeviceInfo:
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    return DeviceInfo(
        name=str(nvml.nvmlDeviceGetName(handle)),
        executor=Executor.CUDA,
        compute_capability=f"{major}.{minor}",
        memory_bytes=int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
        driver=str(nvml.nvmlSystemGetDriverVersion()),
        uuid=str(nvml.nvmlDeviceGetUUID(handle)),
    )


@lru_cache(maxsize=1)
def torch_has_cuda() -> bool:
    """Whether the installed torch was built for CUDA, read from its files without importing it."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return False
    version = Path(spec.submodule_search_locations[0]) / "version.py"
    text = version.read_text(encoding="utf-8") if version.is_file() else ""
    found = re.search(r"^cuda\b.*=\s*(.+)$", text, re.MULTILINE)
    return bool(found and "None" not in found.group(1))


def chosen_devices(settings: Settings) -> tuple[str, ...]:
    """The devices that trials run on: GPUs of one model, as set; ('cpu',) where none can be used.

    'auto' is every GPU of the model that there are most of. A number that this machine has not is
    kept: what is asked of it says so.

    Raises:
        RequestError: when the setting names no model of this machine, or GPUs of several.
    """
    said = settings.device
    if settings.cluster:
        return ("cpu" if said == "cpu" else CLUSTER,)
    if said == "cpu" or (said == "auto" and not (torch_has_cuda() and nvidia_devices())):
        return ("cpu",)
    if said == "auto":
        return next(iter(_by_model().values()))
    if not said.startswith("cuda:"):
        more = " 'auto', 'cpu' and 'cuda:N' can be set as well."
        return _by_model()[_model_called(said, list(_by_model()), "Setting 'device':", more)]
    numbers = [int(number) for number in said.removeprefix("cuda:").split(",")]
    gpus = nvidia_devices() if len(numbers) > 1 else ()
    models = dict.fromkeys(gpus[n].name for n in numbers if n < len(gpus))
    if len(models) > 1:
        raise RequestError(
            f"Setting 'device' names GPUs of several models: {', '.join(models)}",
            where=said,
            remedy="Times of different models are not compared: name GPUs of one, or the model.",
        )
    return tuple(f"cuda:{number}" for number in numbers)


def device_pools(settings: Settings) -> dict[str, tuple[str, ...]]:
    """By model, the GPUs that a call may name: of every model with 'auto', else those that are set.

    The first are those that run what names none. Empty without a GPU here, and with a cluster.

    Raises:
        RequestError: as `chosen_devices` does.
    """
    chosen = chosen_devices(settings)
    if settings.device == "auto" and chosen[0].startswith("cuda:"):
        return _by_model()
    gpu = gpu_of(chosen[0])
    return {gpu.name: chosen} if gpu is not None else {}


def pool_called(named: str, settings: Settings) -> tuple[str, ...]:
    """The GPUs of the model that a call names: 'h200' is 'NVIDIA H200'.

    Raises:
        RequestError: when trials run on none of that model, or it could be several.
    """
    pools = device_pools(settings)
    if not pools:
        raise RequestError(
            f"Argument 'device': {named!r}, but no GPU can be chosen by a call",
            remedy="Leave it out. What a cluster or the processor judges on is set by 'device'.",
        )
    return pools[_model_called(named, list(pools), "Argument 'device':")]


def pools_text(pools: Mapping[str, Sequence[str]]) -> str:
    """Models with how many GPUs of each, the one that runs what names none first."""
    each = [f"{model} ({len(devices)})" for model, devices in pools.items()]
    return ", ".join(each)


def _by_model() -> dict[str, tuple[str, ...]]:
    """By model all its GPUs, the model that there are most of first."""
    models = Counter(gpu.name for gpu in nvidia_devices()).most_common()
    return {
        name: tuple(f"cuda:{n}" for n, gpu in enumerate(nvidia_devices()) if gpu.name == name)
        for name, _ in models
    }


def _model_called(named: str, models: Sequence[str], by: str, more: str = "") -> str:
    """The one of some models that is meant.

    Args:
        by: what names it.
        more: what can be named as well.

    Raises:
        RequestError: when none or several could be.
    """
    words = set(_words(named))
    exact = [model for model in models if set(_words(model)) - {"nvidia"} == words - {"nvidia"}]
    found = exact or [model for model in models if is_called(model, named)]
    if len(found) == 1:
        return found[0]
    here = ", ".join(found or models) or "no GPU that CUDA shows"
    problem = "fits several models" if found else "is no GPU that can be used"
    raise RequestError(f"{by} {named!r} {problem}", remedy=f"Here: {here}.{more}")


def is_called(model: str, named: str) -> bool:
    """Whether a model can be meant by some words: 'h200' is 'NVIDIA H200', and not 'GH200'."""
    words = set(_words(named))
    return bool(words) and words <= set(_words(model))


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name.lower())


def devices_text(devices: Sequence[str]) -> str:
    """Devices as the setting writes them: 'cuda:0,1'."""
    numbers = [d.removeprefix("cuda:") for d in devices if d.startswith("cuda:")]
    return f"cuda:{','.join(numbers)}" if numbers else devices[0]


def every_device() -> list[str]:
    """The names of all devices that trials can run on at once: every GPU, or the processor."""
    count = len(nvidia_devices()) if torch_has_cuda() else 0
    return [f"cuda:{n}" for n in range(count)] or ["cpu"]


def gpu_of(device: str) -> DeviceInfo | None:
    """What the driver says of a device; None of the processor, and where it says nothing."""
    kind, _, number = device.partition(":")
    if kind != "cuda":
        return None
    known = nvidia_devices()
    return known[int(number or 0)] if int(number or 0) < len(known) else None


def devices_here(gpu: DeviceInfo | None) -> tuple[str, ...]:
    """The device that a record's GPU is here; empty where it is none of this machine's."""
    uuid = _bare(gpu.uuid) if gpu else None
    known = enumerate(nvidia_devices())
    return tuple(f"cuda:{n}" for n, one in known if uuid and _bare(one.uuid) == uuid)


def alike(ran_on: DeviceInfo, devices: Sequence[str], *, itself: bool) -> bool:
    """Whether what ran on a GPU says how fast it is on the devices; yes where the driver is mute.

    Args:
        itself: it must have been one of them; otherwise one of their model will do.
    """
    gpus = [gpu for gpu in map(gpu_of, devices) if gpu is not None]
    if not gpus:
        return True
    if itself:
        return any(_bare(gpu.uuid) == _bare(ran_on.uuid) for gpu in gpus)
    return any(_words(gpu.name) == _words(ran_on.name) for gpu in gpus)


def _bare(uuid: str | None) -> str | None:
    """A UUID without the prefix that NVML writes before it and torch does not."""
    return uuid.removeprefix("GPU-").lower() if uuid else None


def seen_alone(device: str) -> tuple[str, dict[str, str]]:
    """A device's name in a process that sees no other, and the environment which hides them.

    Where there is no other, nothing is changed.
    """
    gpu = gpu_of(device)
    if gpu is None or gpu.uuid is None or len(nvidia_devices()) < 2:
        return device, {}
    return "cuda:0", {"CUDA_VISIBLE_DEVICES": gpu.uuid}
