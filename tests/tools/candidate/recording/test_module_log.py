"""A function's cubin is that of its module's handle; names alone decide only where they must."""

from kernel_harness.tools.candidate.recording.module_log import ModuleLog

from ...driver.fakes import make_cubin

SMALL, LARGE = make_cubin(("step",)), make_cubin(("step", "more"))


def test_the_handle_decides_between_cubins_with_one_name():
    log = ModuleLog()
    log.add(SMALL, 0xA)
    log.add(LARGE, 0xB)
    assert log.candidates("step", 0xA) == [SMALL]
    assert log.candidates("step", 0xB) == [LARGE]


def test_the_newest_cubin_of_a_handle_counts():
    log = ModuleLog()
    log.add(SMALL, 0xA)
    log.add(LARGE, 0xA)
    assert log.candidates("step", 0xA) == [LARGE]


def test_without_a_handle_every_library_cubin_with_the_name_is_a_candidate():
    log = ModuleLog()
    for cubin in (SMALL, LARGE, SMALL, make_cubin(("other",)), b"no cubin", b""):
        log.add(cubin, None)
    log.add(LARGE, 0xB)
    assert log.candidates("step", 0xC) == [SMALL, LARGE]


def test_what_is_loaded_after_a_search_is_found_by_the_next():
    log = ModuleLog()
    log.add(SMALL, None)
    assert log.candidates("more", 0xA) == []
    log.add(LARGE, None)
    log.add(SMALL, 0xA)
    assert log.candidates("more", 0xA) == [LARGE]
    assert log.candidates("step", 0xA) == [SMALL]


def test_a_name_inside_another_is_none_of_its_own():
    log = ModuleLog()
    log.add(make_cubin(("a_step_more",)), None)
    assert log.candidates("step", 0xA) == []
