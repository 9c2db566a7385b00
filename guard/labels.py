"""The two labels of a guard and their order, which is also the order of the classifier's logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Labels:
    """The label names; class id 0 is ``off_topic``, class id 1 is ``on_topic``.

    Raises:
        ValueError: if a name is empty, has white space, or both are the same.
    """

    off_topic: str
    on_topic: str

    def __post_init__(self) -> None:
        for name in (self.off_topic, self.on_topic):
            if not name or any(character.isspace() for character in name):
                raise ValueError(f"a label is one word without white space, not {name!r}")
        if self.off_topic == self.on_topic:
            raise ValueError(f"the two labels have to differ, both are {self.on_topic!r}")

    @property
    def ordered(self) -> tuple[str, str]:
        """The names by class id."""
        return (self.off_topic, self.on_topic)

    def class_id(self, name: str) -> int:
        """The class id of ``name``.

        Raises:
            ValueError: if ``name`` is neither label.
        """
        if name not in self.ordered:
            raise ValueError(f"unknown label {name!r}, wanted one of {', '.join(self.ordered)}")
        return self.ordered.index(name)


DEFAULT_LABELS: Final = Labels(off_topic="not_related", on_topic="related")
"""The labels of the published predecessor, in its order: ``{"not_related": 0, "related": 1}``."""
