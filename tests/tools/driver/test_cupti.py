"""Activity records are read at their places, and loaded modules are told with their handles."""

import ctypes
import struct
from types import SimpleNamespace

import pytest

from kernel_harness.tools.driver import cupti
from kernel_harness.tools.driver.cupti import (
    Cupti,
    CuptiError,
    DeviceActivity,
    ModuleCallbacks,
    marked,
    parse_record,
)


def read(raw: bytes):
    buffer = ctypes.create_string_buffer(raw, max(len(raw), 256))
    return parse_record(ctypes.addressof(buffer))


def test_a_kernel_record_gives_times_stream_and_name():
    name = ctypes.create_string_buffer(b"step")
    raw = bytearray(208)
    struct.pack_into("<I", raw, 0, cupti.KERNEL)
    struct.pack_into("<QQ", raw, 16, 100, 250)
    struct.pack_into("<I", raw, 48, 7)
    struct.pack_into("<I", raw, 92, 33)
    struct.pack_into("<Q", raw, 104, ctypes.addressof(name))
    assert read(bytes(raw)) == DeviceActivity("kernel", 100, 250, 33, 7, "step")


@pytest.mark.parametrize(("kind", "word"), [(cupti.MEMCPY, "memcpy"), (cupti.MEMSET, "memset")])
def test_a_copy_or_memset_is_named_by_its_size(kind, word):
    raw = bytearray(96)
    struct.pack_into("<I", raw, 0, kind)
    struct.pack_into("<QQQ", raw, 8, 4096, 10, 20)
    struct.pack_into("<II", raw, 40, 3, 44)
    assert read(bytes(raw)) == DeviceActivity(word, 10, 20, 44, 3, f"{word} 4096 bytes")


def test_marks_belong_to_launches_and_those_of_others_are_left_out():
    ours = struct.pack("<IIQII", cupti.EXTERNAL, cupti.OWN_IDS, 5, 33, 0)
    theirs = struct.pack("<IIQII", cupti.EXTERNAL, 1, 5, 33, 0)
    assert read(ours) == (33, 5)
    assert read(theirs) is None
    assert marked(DeviceActivity("kernel", 1, 2, 33, 0), {33: 5}).mark == 5
    assert marked(DeviceActivity("kernel", 1, 2, 34, 0), {33: 5}).mark is None


class Library(SimpleNamespace):
    """Remembers the callback that is subscribed."""

    code = 0

    def cuptiSubscribe(self, _subscriber, callback, _user):
        self.callback = callback
        return self.code

    def cuptiEnableCallback(self, *_):
        return 0

    def cuptiGetResultString(self, _code, words):
        words._obj.value = b"CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED"


def announce(library: Library, cubin: bytes) -> None:
    image = ctypes.create_string_buffer(cubin, len(cubin))
    module = (ctypes.c_uint64 * 3)(1, len(cubin), ctypes.addressof(image))
    resource = (ctypes.c_uint64 * 3)(0, 0, ctypes.addressof(module))
    library.callback(None, cupti.RESOURCE_DOMAIN, cupti.MODULE_LOADED, ctypes.addressof(resource))


def load_call(library: Library, handle: int, *, leaving: bool) -> None:
    module = ctypes.c_uint64(handle)
    parameters = ctypes.c_uint64(ctypes.addressof(module))
    data = (ctypes.c_uint64 * 4)(int(leaving), 0, ctypes.addressof(parameters), 0)
    library.callback(None, cupti.DRIVER_DOMAIN, 19, ctypes.addressof(data))


def test_a_module_is_told_with_the_handle_that_its_load_gave():
    library, loaded = Library(), []
    callbacks = ModuleCallbacks(Cupti(library), lambda *told: loaded.append(told))
    announce(library, b"of a library")
    load_call(library, 0, leaving=False)
    announce(library, b"of triton")
    load_call(library, 0xABC, leaving=True)
    assert loaded == [(b"of a library", None), (b"of triton", 0xABC)]
    assert callbacks


def test_a_refused_subscription_says_what_cupti_said():
    library = Library()
    library.code = 39
    with pytest.raises(CuptiError, match="MULTIPLE_SUBSCRIBERS"):
        ModuleCallbacks(Cupti(library), lambda *_: None)
