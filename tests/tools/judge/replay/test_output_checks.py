"""Every timed output is compared, and the first that differs is told."""

import torch

from kernel_harness.tools.judge.replay.output_checks import check_outputs, poison_bytes, same_bits


def outputs(*values: float) -> list[dict[str, torch.Tensor]]:
    return [{"y": torch.full((4,), value)} for value in values]


def test_equal_outputs_are_right_nans_included():
    found = check_outputs(outputs(1.0, float("nan")), outputs(1.0, float("nan")), same_bits)
    assert (found.checked, found.wrong, found.first) == (2, 0, "")


def test_a_wrong_output_is_counted_and_the_first_is_told():
    found = check_outputs(outputs(1.0, 2.0, 3.0), outputs(1.0, 5.0, 5.0), same_bits)
    assert (found.checked, found.wrong) == (3, 2)
    assert found.first.startswith("replay 1, output y")


def test_neighbouring_calls_have_other_poison():
    found = poison_bytes(9, seed=2)
    assert all(a != b for a, b in zip(found, found[1:], strict=False))
