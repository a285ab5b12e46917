"""Each judge has its own cores, whole ones, and none has too few."""

import pytest

from kernel_harness.tools.distributed.processors import processors_of


@pytest.fixture
def machine(tmp_path):
    """Sixteen processors: cores of two threads, numbered as Linux does on servers."""
    for n in range(16):
        folder = tmp_path / f"cpu{n}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{n % 8},{n % 8 + 8}\n")
    return tmp_path


def test_the_threads_of_a_core_stay_together(machine):
    shares = [processors_of(n, 2, range(16), machine) for n in range(2)]
    assert shares == [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]]


@pytest.mark.parametrize("devices", [2, 3])
def test_every_processor_is_of_one_device(machine, devices):
    shares = [processors_of(n, devices, range(16), machine) for n in range(devices)]
    assert sorted(sum(shares, [])) == list(range(16)) and min(map(len, shares)) >= 4


@pytest.mark.parametrize(("number", "devices"), [(0, 1), (0, 8), (2, 2)])
def test_all_are_shared_where_a_share_would_be_too_small_or_nobody_shares(machine, number, devices):
    assert processors_of(number, devices, range(16), machine) == []


def test_only_what_this_process_may_use_is_given(machine, tmp_path):
    allowed = [0, 1, 2, 3, 4, 5, 6, 8]
    shares = [processors_of(n, 2, allowed, machine) for n in range(2)]
    assert sorted(sum(shares, [])) == allowed and shares[0][:2] == [0, 1]
    nothing_known = [processors_of(n, 2, allowed, tmp_path / "none") for n in range(2)]
    assert nothing_known == [allowed[:4], allowed[4:]]


def test_ranges_are_read(tmp_path):
    for n in range(8):
        (tmp_path / f"cpu{n}/topology").mkdir(parents=True)
        text = "0-2,7\n" if n in (0, 1, 2, 7) else f"{n}\n"
        (tmp_path / f"cpu{n}/topology/thread_siblings_list").write_text(text)
    # Five cores: the one of four threads and one more, then the other three.
    assert processors_of(0, 2, range(8), tmp_path) == [0, 1, 2, 3, 7]
