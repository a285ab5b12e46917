"""What was put in an attribute's place goes as it came."""

from types import SimpleNamespace

from kernel_harness.tools.applying.replaced_attribute import replace_attribute


class Base:
    """Has an attribute that its children inherit."""

    value = 1


class Child(Base):
    """Has none of its own."""


def test_an_own_attribute_is_given_back():
    owner = SimpleNamespace(value=1)
    restore = replace_attribute(owner, "value", 2)
    assert owner.value == 2
    restore()
    assert owner.value == 1


def test_an_inherited_one_is_inherited_again():
    restore = replace_attribute(Child, "value", 2)
    assert (Child.value, Base.value) == (2, 1)
    restore()
    assert Child.value == 1 and "value" not in vars(Child)


def test_what_lies_over_it_since_stays():
    owner = SimpleNamespace(value=1)
    restore = replace_attribute(owner, "value", 2)
    owner.value = 3
    restore()
    assert owner.value == 3
