"""Activity records are read at their places, and loaded modules are told with their handles."""

import ctypes
import struct
from types import SimpleNamespace

import pytest

from kernel_harness.tools.driver import cupti
from kernel_harness.tools.driver.cupti import (
    ActivityRecorder,
    Cupti,
    CuptiError,
    DeviceActivity,
    ModuleCallbacks,
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
    assert read(bytes(raw)) == DeviceActivity(word, 10, 20, 44, 3, f"{word} 4096 bytes", 4096)


def test_records_of_other_kinds_are_left_out():
    assert read(struct.pack("<II", 4, 0)) is None


class Activities(SimpleNamespace):
    """CUPTI with one buffer of one memset, delivered when it is flushed."""

    def cuptiActivityRegisterCallbacks(self, requested, completed):
        self.requested, self.completed = requested, completed
        return 0

    def cuptiActivityEnable(self, kind):
        self.__dict__.setdefault("enabled", []).append(kind.value)
        return 0

    def cuptiActivityDisable(self, kind):
        self.enabled.remove(kind.value)
        return 0

    def cuptiActivityFlushAll(self, _flag):
        buffer, size, most = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
        self.requested(ctypes.pointer(buffer), ctypes.pointer(size), ctypes.pointer(most))
        raw = bytearray(96)
        struct.pack_into("<I", raw, 0, cupti.MEMSET)
        struct.pack_into("<QQQ", raw, 8, 4096, 10, 20)
        ctypes.memmove(buffer, bytes(raw), len(raw))
        self.left = [buffer.value]
        self.completed(None, 0, buffer.value, size.value, len(raw))
        return 0

    def cuptiActivityGetNextRecord(self, _buffer, _valid, record):
        if not self.left:
            return 1
        record._obj.value = self.left.pop()
        return 0

    def cuptiActivityGetNumDroppedRecords(self, _context, _stream, count):
        count._obj.value = 2
        return 0


def test_what_was_delivered_is_collected_once_and_counted():
    library = Activities()
    recorder = ActivityRecorder(Cupti(library))
    assert library.enabled == [cupti.MEMCPY, cupti.MEMSET, cupti.KERNEL]
    (activity,) = recorder.collect()
    assert (activity.kind, activity.nbytes) == ("memset", 4096)
    assert recorder.counts == {"requested": 1, "delivered": 1, "memset": 1, "dropped": 2}


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


def announce(library: Library, cubin: bytes, number: int = 1, times: int = 1) -> None:
    image = ctypes.create_string_buffer(cubin, len(cubin))
    module = (ctypes.c_uint64 * 3)(number, len(cubin), ctypes.addressof(image))
    resource = (ctypes.c_uint64 * 3)(0, 0, ctypes.addressof(module))
    told = (cupti.RESOURCE_DOMAIN, cupti.MODULE_LOADED, ctypes.addressof(resource))
    for _ in range(times):
        library.callback(None, *told)


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
    announce(library, b"of triton", number=2)
    load_call(library, 0xABC, leaving=True)
    assert loaded == [(b"of a library", None), (b"of triton", 0xABC)]
    assert callbacks


def test_a_module_that_is_announced_again_is_handed_over_once():
    library, loaded = Library(), []
    callbacks = ModuleCallbacks(Cupti(library), lambda *told: loaded.append(told))
    announce(library, b"of a library", number=1, times=3)
    announce(library, b"of a library", number=2)
    assert loaded == [(b"of a library", None)] * 2
    assert callbacks


def driver_call(library: Library, number: int, parameters: int, *, leaving: bool) -> None:
    data = (ctypes.c_uint64 * 4)(int(leaving), 0, parameters, 0)
    library.callback(None, cupti.DRIVER_DOMAIN, number, ctypes.addressof(data))


def test_other_driver_calls_are_announced_as_they_begin_and_only_while_watched():
    library, entered = Library(), []
    callbacks = ModuleCallbacks(Cupti(library), lambda *_: None)
    with callbacks.watching((307,), lambda *told: entered.append(told)):
        driver_call(library, 307, 0x500, leaving=False)
        driver_call(library, 307, 0x500, leaving=True)
    driver_call(library, 307, 0x600, leaving=False)
    assert entered == [(307, 0x500)]


@pytest.mark.parametrize(("number", "words"), cupti.OBJECT_CREATIONS.items())
def test_textures_and_surfaces_are_known_by_the_handles_that_their_making_gave(number, words):
    library = Library()
    callbacks = ModuleCallbacks(Cupti(library), lambda *_: None)
    handle = ctypes.c_uint64(0xABC)
    parameters = ctypes.c_uint64(ctypes.addressof(handle))
    driver_call(library, number, ctypes.addressof(parameters), leaving=False)
    assert not callbacks.objects
    driver_call(library, number, ctypes.addressof(parameters), leaving=True)
    assert callbacks.objects == {0xABC: words}


def test_a_refused_subscription_says_what_cupti_said():
    library = Library()
    library.code = 39
    with pytest.raises(CuptiError, match="MULTIPLE_SUBSCRIBERS"):
        ModuleCallbacks(Cupti(library), lambda *_: None)


def test_nothing_is_recorded_during_a_pause_and_everything_after_it():
    library = Activities()
    recorder = ActivityRecorder(Cupti(library))
    before = list(library.enabled)
    with pytest.raises(KeyError), recorder.paused():
        assert not library.enabled
        raise KeyError
    assert library.enabled == before
