"""Seeds, prefetched and perturbed inputs."""

from __future__ import annotations

import random

import pytest
import torch

from kernel_harness.tools.errors import DatasetError
from kernel_harness.tools.judge.operators import input_sets
from kernel_harness.tools.judge.operators.input_sets import (
    InputGenerator,
    PrefetchedInputs,
    SeedBook,
    _perturbed_tensor,
    pick_families,
)
from kernel_harness.tools.judge.operators.operator_adapter import (
    Case,
    OperatorAdapter,
)
from kernel_harness.tools.schema.drawn_inputs import InputSource, RandomGenerator

from .examples import CASE, CPU, generic_definition, input_generator, tensor


def test_input_sets_are_never_the_same_twice_and_their_seeds_are_written_down(operator):
    made = input_generator(operator)
    seeds = [made.generate(CASE).seed for _ in range(20)]
    assert len(set(seeds)) == 20
    assert made.book.seeds["w"] == seeds and made.book.families["w"] == ["typical"] * 20
    assert all(0 <= seed < 2**53 for seed in seeds)


def test_recorded_seeds_replay_the_same_inputs(operator):
    first = input_generator(operator)
    input_sets = [first.generate(CASE), first.generate(CASE, "large")]
    second = input_generator(operator, replay=first.book.seeds)
    for before, family in zip(input_sets, ("typical", "large"), strict=True):
        after = second.generate(CASE, family)
        assert torch.equal(tensor(before.inputs["x"]), tensor(after.inputs["x"]))


@pytest.mark.parametrize("generator", RandomGenerator)
def test_a_seed_is_given_again_to_what_it_was_given_to(generator):
    operator = OperatorAdapter(generic_definition())
    first = input_generator(operator, source=InputSource(generator=generator))
    input_sets = [first.generate(CASE), first.generate(CASE, "offset")]
    seeds, families = first.book.seeds, first.book.families
    again = input_generator(
        operator, replay=seeds, replay_families=families, source=InputSource(generator=generator)
    )
    (other,) = set(RandomGenerator) - {generator}
    with_other = input_generator(
        operator, replay=seeds, replay_families=families, source=InputSource(generator=other)
    )
    for before in input_sets:
        x = tensor(before.inputs["x"])
        assert torch.equal(x, tensor(again.generate(CASE, before.family).inputs["x"]))
        assert not torch.equal(x, tensor(with_other.generate(CASE, before.family).inputs["x"]))


def test_what_one_generator_made_ahead_is_never_recorded_as_the_other_s():
    operator, prefetched = OperatorAdapter(generic_definition()), PrefetchedInputs(1 << 20)
    books = [SeedBook(source=InputSource(generator=generator)) for generator in RandomGenerator]
    replaying, later = (InputGenerator(operator, CPU, book, prefetched) for book in books)
    assert replaying.prefetch(CASE)
    kept = prefetched.seed(f"{operator.key} {books[0].source.generator}", CASE)
    assert kept is not None and later.first_seed(CASE) != kept
    assert later.generate(CASE).seed != kept and replaying.generate(CASE).seed == kept


def ahead(made: InputGenerator, count: int, *, stops_after: int = 99) -> list[int]:
    """Seeds of what was drawn ahead."""
    seeds: list[int] = []
    made.prepare_more(
        [CASE], count, lambda: len(seeds) < stops_after, lambda drawn: seeds.append(drawn.seed)
    )
    return seeds


def test_what_was_drawn_ahead_is_recorded_when_it_is_used_and_not_before(operator):
    made = input_generator(operator)
    seeds = ahead(made, 3)
    assert len(seeds) == 3 and not made.book.seeds and made.seconds == 0.0
    assert ahead(made, 3) == [], "three are ready"
    assert made.generate(CASE, "large").seed not in seeds
    assert [made.generate(CASE).seed for _ in range(2)] == seeds[:2]
    assert made.book.seeds["w"][1:] == seeds[:2]
    assert made.first_seed(CASE) == seeds[2] == made.generate(CASE).seed
    assert made.generate(CASE).seed not in seeds


def test_a_seed_that_was_promised_is_that_of_the_next_inputs_whatever_is_drawn_ahead(operator):
    made = input_generator(operator)
    promised = made.first_seed(CASE)
    assert ahead(made, 2)[0] == promised == made.generate(CASE).seed
    other = input_generator(operator)
    assert other.prefetch(CASE)
    kept = other.first_seed(CASE)
    assert ahead(other, 2)[0] == kept == other.generate(CASE).seed


def test_inputs_by_which_nothing_is_judged_are_not_recorded_and_leave_the_promised_ones(operator):
    made = input_generator(operator)
    seeds = ahead(made, 2)
    assert made.unrecorded(CASE).seed == seeds[1] and made.unrecorded(CASE).seed not in seeds
    assert not made.book.seeds
    assert made.generate(CASE).seed == seeds[0]


def test_drawing_ahead_ends_when_nothing_is_awaited_and_leaves_what_takes_long(
    operator, monkeypatch
):
    assert len(ahead(input_generator(operator), 9, stops_after=2)) == 2
    monkeypatch.setattr(input_sets, "PREPARED_S", 0.0)
    made = input_generator(operator)
    assert len(ahead(made, 9)) == 1
    assert made.generate(CASE).drawn_s > 0.0
    assert ahead(made, 9) == [], "what took long is known"
    replaying = input_generator(operator, replay={"w": [1, 2]})
    assert ahead(replaying, 9) == []


def test_all_that_is_drawn_ahead_takes_no_more_memory_however_often_something_is_awaited(
    operator, monkeypatch
):
    """Each time that something was awaited as much was drawn again."""
    made = input_generator(operator)
    (seed,) = ahead(made, 1)
    first = made.generate(CASE)
    assert first.seed == seed
    monkeypatch.setattr(input_sets, "PREPARED_BYTES", 3 * first.nbytes - 1)
    drawn = [seed for _ in range(5) for seed in ahead(made, 9)]
    assert len(drawn) == 3
    assert made.generate(CASE).seed == drawn[0]
    assert len(ahead(made, 9)) == 1, "as much as was taken"


def test_perturbed_inputs_differ_in_a_few_places_and_their_outputs_follow(operator):
    made = input_generator(operator)
    input_set = made.generate(Case("w", {"m": 64}, scalars={"alpha": 0.5}))
    perturbed = made.perturbed(input_set)
    share = float((tensor(perturbed.inputs["x"]) != tensor(input_set.inputs["x"])).float().mean())
    assert 0 < share < 0.1
    assert torch.equal(tensor(perturbed.inputs["table"]), tensor(input_set.inputs["table"]))
    assert not torch.equal(perturbed.expected["y"], input_set.expected["y"])
    assert torch.equal(
        perturbed.expected["y"], operator.oracle(input_set.case, perturbed.inputs)["y"]
    )


def test_an_element_that_is_replaced_twice_has_the_later_value():
    value = torch.arange(2_000.0)
    changed = _perturbed_tensor(value, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    at, source = (torch.randint(0, 2_000, (40,), generator=generator).tolist() for _ in range(2))
    assert len(set(at)) < len(at), "one is"
    expected = value.tolist()
    for place, other in zip(at, source, strict=True):
        expected[place] = float(other)
    assert changed.tolist() == expected


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "bfloat16", "int32", "bool"])
def test_inputs_of_every_dtype_can_be_perturbed(dtype):
    inputs = {"x": {"shape": ["m", "n"], "dtype": dtype}}
    source = "def run(x):\n    return x.float().bfloat16()\n"
    operator = OperatorAdapter(generic_definition(inputs=inputs, reference=source))
    made = input_generator(operator)
    input_set = made.generate(Case("w", {"m": 64}))
    assert not torch.equal(made.perturbed(input_set).expected["y"], input_set.expected["y"])


@pytest.mark.parametrize("rows", [1, 64])
def test_perturbed_probabilities_are_probabilities_still(rows):
    """A sampler by top_p was refused in one trial of ninety: its rows had a sum of 0.9."""
    definition = generic_definition(
        op_type="sampling",
        axes={"b": {"type": "var"}, "n": {"type": "const", "value": 50}},
        inputs={
            "probs": {"shape": ["b", "n"], "dtype": "float32"},
            "top_p": {"shape": ["b"], "dtype": "float32"},
        },
        outputs={"y": {"shape": ["b"], "dtype": "int64"}},
        reference="import torch\n\n\ndef run(probs, top_p):\n    return probs.argmax(-1)\n",
    )
    made = input_generator(OperatorAdapter(definition))
    input_set = made.generate(Case("w", {"b": rows}))
    before, after = (
        tensor(input_set.inputs["probs"]),
        tensor(made.perturbed(input_set).inputs["probs"]),
    )
    changed = (before != after).any(-1)
    assert 1 <= int(changed.sum()) <= max(1, rows // 50)
    assert torch.equal(before.sort(-1).values, after.sort(-1).values)


def test_a_prepared_input_set_is_used_once(operator):
    made = input_generator(operator)
    made.prepare(CASE)
    (prepared,) = made._prepared["w"]
    made.prepare(CASE)
    first, second = made.generate(CASE), made.generate(CASE)
    assert first is prepared and first.seed != second.seed
    assert made.book.seeds["w"] == [first.seed, second.seed]


def test_a_prefetched_input_set_serves_one_other_trial_once(operator):
    prefetched = PrefetchedInputs(1 << 20)
    assert InputGenerator(operator, CPU, SeedBook(), prefetched).prefetch(CASE)
    assert not InputGenerator(operator, CPU, SeedBook(), prefetched).prefetch(CASE)
    later = InputGenerator(operator, CPU, SeedBook(), prefetched)
    assert later.generate(CASE).seed != later.generate(CASE).seed
    assert not prefetched.has(operator.key, CASE)


def test_a_replay_uses_nothing_that_was_prepared(operator):
    prefetched = PrefetchedInputs(1 << 20)
    InputGenerator(operator, CPU, SeedBook(), prefetched).prefetch(CASE)
    replaying = InputGenerator(operator, CPU, SeedBook(replay={"w": [7]}), prefetched)
    assert replaying.generate(CASE).seed == 7


def test_prefetched_inputs_keep_their_bound_of_bytes(operator):
    made = InputGenerator(operator, CPU, SeedBook(), PrefetchedInputs(10))
    assert not made.prefetch(CASE)
    large = Case("large", {"m": 1 << 18}, scalars={"alpha": 0.5})
    assert not input_generator(operator).prefetch(large)


def test_families_are_picked_without_the_typical_one_and_without_repeats():
    rng = random.Random(1)
    assert sorted(pick_families(("typical", "a", "b"), 2, rng)) == ["a", "b"]
    assert pick_families(("typical",), 2, rng) == []
    assert len(pick_families(("typical", "a"), 3, rng)) == 3


@pytest.mark.parametrize(
    "value, allowed, refused",
    [
        *(("nan", "none", True), ("nan", "negative_infinity", True), ("nan", "any", False)),
        *(("-inf", "none", True), ("-inf", "negative_infinity", False)),
        *(("inf", "negative_infinity", True), ("1", "none", False)),
    ],
)
def test_a_reference_gives_no_values_that_the_policy_does_not_allow(
    value, allowed, refused, tmp_path
):
    (tmp_path / "policy.toml").write_text(f"[tolerance]\nnonfinite = '{allowed}'\n")
    body = f"x = x.clone(); x.view(-1)[0] = float('{value}'); return x"
    reference = f"import torch\ndef run(x, s):\n    {body}\n"
    operator = OperatorAdapter(generic_definition(reference=reference), tmp_path)
    generator = InputGenerator(operator, CPU, SeedBook(), PrefetchedInputs(0))
    if not refused:
        generator.generate(Case("w", {"m": 4}))
        return
    with pytest.raises(DatasetError, match="NaN or an infinity in 1 elements of 'y'"):
        generator.generate(Case("w", {"m": 4}))


@pytest.mark.parametrize("whole", [True, False])
def test_inputs_that_are_right_only_as_a_whole_are_drawn_anew(whole, tmp_path):
    (tmp_path / "inputs.py").write_text(
        f"import torch\nWHOLE = {whole}\n"
        "def generate(axes, *, structure, scalars, generator, device, family):\n"
        "    a = torch.randn(axes['m'], 8, generator=generator).bfloat16()\n"
        "    a[:, 4:] = a[:, :4]\n"
        "    return {'x': a, 's': 2.0}\n"
    )
    operator = OperatorAdapter(generic_definition(), tmp_path)
    generator = InputGenerator(operator, CPU, SeedBook(), PrefetchedInputs(0))
    first = generator.generate(Case("w", {"m": 64}))
    other = tensor(generator.perturbed(first).inputs["x"])
    assert torch.equal(other[:, 4:], other[:, :4]) is whole
    assert not torch.equal(other, tensor(first.inputs["x"]))
