"""The two labels and their order."""

from __future__ import annotations

import pytest

from guard.labels import DEFAULT_LABELS, Labels


def test_default_labels_are_the_predecessors_in_its_order() -> None:
    """Class id 0 is off topic, 1 on topic."""
    assert DEFAULT_LABELS.ordered == ("not_related", "related")


def test_class_id_is_the_place_in_order() -> None:
    """Ids and names agree."""
    assert [DEFAULT_LABELS.class_id(name) for name in DEFAULT_LABELS.ordered] == [0, 1]


def test_an_unknown_name_has_no_class_id() -> None:
    """A typing error in data is an error, not a class."""
    with pytest.raises(ValueError, match="unknown label 'relatd', wanted one of not_related, related"):
        DEFAULT_LABELS.class_id("relatd")


@pytest.mark.parametrize("names", [("", "on"), ("off", "on topic"), ("same", "same"), ("off\n", "on")])
def test_unusable_names_are_refused(names: tuple[str, str]) -> None:
    """A label has to be able to be one token, and the two to be told apart."""
    with pytest.raises(ValueError, match="label"):
        Labels(*names)
