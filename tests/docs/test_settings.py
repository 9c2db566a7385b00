"""docs/settings.md says what the code does: a setting, channel or metric without a true row fails here."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, Final

from gateway.channels import CHANNEL_RULES, Channel
from gateway.metrics import Metrics
from gateway.settings import OTHER_NAMES, PREFIX, Settings

TEXT: Final = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")


def rows(name: str) -> dict[str, list[str]]:
    """The cells after the first of each row whose first cell is a name of this form."""
    lines = re.findall(rf"^\| `({name})` \|(.*)\|$", TEXT, re.MULTILINE)
    found = {first: [cell.strip() for cell in rest.split(" | ")] for first, rest in lines}
    assert len(found) == len(lines), "a row stands twice"
    return found


def written(value: Any) -> str:
    """A default as the document has it."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value not in ("", (), frozenset()) else ""


def test_every_setting_has_a_row_with_its_default() -> None:
    """And no row is of a setting that is gone."""
    fields = {field.name: getattr(Settings(), field.name) for field in dataclasses.fields(Settings)}
    del fields["channels"], fields["refusal_texts"]
    documented = rows(PREFIX + "[A-Z_<>]+")
    expected = {PREFIX + name.upper(): written(value) for name, value in fields.items()}
    others = {PREFIX + name for name in OTHER_NAMES} | {PREFIX + "REFUSAL_TEXT_<LANGUAGE>"}
    assert {name: cells[0] for name, cells in documented.items() if name not in others} == expected
    assert others <= set(documented)


def test_every_channel_has_a_row_with_its_rule() -> None:
    """Defaults by profile, and what it may be set to."""
    names = "|".join(Channel)
    expected = {
        str(channel): [f"`{rule.public}`", f"`{rule.trusted}`", ", ".join(f"`{c}`" for c in sorted(rule.choices))]
        for channel, rule in CHANNEL_RULES.items()
    }
    assert {name: cells[:3] for name, cells in rows(names).items()} == expected


def test_every_metric_has_a_row_with_its_labels() -> None:
    """By the name under which it is scraped."""
    documented = rows("startrek_guard_[a-z_]+")
    expected = {}
    for metric in Metrics().registry.collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        expected[name] = metric.type == "histogram"
    assert set(documented) == set(expected)
    assert all((documented[name][0] == "`le`") == histogram for name, histogram in expected.items())


def test_labels_are_those_of_the_code() -> None:
    """In the code's order."""
    metrics = Metrics()
    counters = (metrics.requests, metrics.decisions, metrics.failures, metrics.upstream_errors)
    documented = rows("startrek_guard_[a-z_]+")
    for counter in counters:
        labels = ", ".join(f"`{label}`" for label in counter._labelnames)
        assert documented[f"{counter._name}_total"][0] == labels
