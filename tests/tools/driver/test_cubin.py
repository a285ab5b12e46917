"""Cubins are read for their kernels and variables, and nothing else is taken for one."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.driver import cubin
from kernel_harness.tools.driver.cubin import CubinError, read_cubin, section_names

from .fakes import make_cubin


def test_kernels_and_variables_are_named():
    found = read_cubin(make_cubin(("first", "_Z6secondPf"), {"counter": 4, "table": 32}))
    assert found.kernels == {"first", "_Z6secondPf"}
    assert found.globals() == {"counter": 4, "table": 32}


def test_what_the_driver_supplies_is_told_from_what_the_module_holds():
    data = make_cubin(("first",), {"counter": 4}, calls=("malloc", "vprintf"))
    found = read_cubin(data)
    assert found.system_calls() == {"malloc", "vprintf"}
    assert found.globals() == {"counter": 4}
    assert read_cubin(make_cubin()).system_calls() == set()


def test_code_is_told_from_names_of_files_and_tools():
    def digest(**sections: bytes) -> bytes:
        named = {f".{name.replace('__', '.')}": held for name, held in sections.items()}
        return read_cubin(make_cubin(sections=named)).code_digest()

    assert digest() == digest(debug_line=b"/tmp/a", note=b"ptxas")
    different = {digest(), digest(text__other=b"1"), digest(text__other=b"2")}
    different |= {digest(nv__info__first=b"x"), digest(nv__constant0__first=b"")}
    assert len(different) == 5


def test_the_names_of_sections_are_had_without_reading_them():
    names = section_names(make_cubin(("first", "second")))
    assert b".text.first\0" in names and b".text.second\0" in names
    with pytest.raises(CubinError):
        section_names(b"no cubin")


@pytest.mark.parametrize(
    "data", [b"", b".version 8.0\n.target sm_90" + b" " * 64, make_cubin(machine=62)]
)
def test_what_is_no_cubin_is_refused(data):
    with pytest.raises(CubinError):
        read_cubin(data)


def test_sections_that_lie_over_one_another_are_not_read_again_and_again():
    data = bytearray(make_cubin(sections={f".text.{n}": b"x" * 64 for n in range(8)}))
    (table,) = struct.unpack_from("<Q", data, 40)
    for number in range(2, 10):  # all of them are the whole file
        struct.pack_into("<QQ", data, table + 64 * number + 24, 0, len(data))
    with pytest.raises(CubinError, match="overlap"):
        read_cubin(bytes(data)).code_digest()


def test_names_that_are_more_than_the_file_are_not_kept(monkeypatch):
    names = [f"{'x' * 100}{number}" for number in range(8)]
    monkeypatch.setattr(cubin, "MOST_NAMES_BYTES", 400)
    with pytest.raises(CubinError, match="too long"):
        read_cubin(make_cubin(sections=dict.fromkeys(names, b"")))


@given(st.data())
def test_damaged_tables_lead_nowhere(data):
    damaged = bytearray(make_cubin(("first",), {"counter": 4}))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    try:
        tables = read_cubin(bytes(damaged[:cut]))
        assert isinstance(tables.globals(), dict)
        assert isinstance(tables.system_calls(), set)
    except CubinError:
        pass
