"""What a benchmark finds, kept as JSON and rendered as ``docs/performance.md``.

Sections are measured one by one and kept side by side, so that one can be measured again without the others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from export.atomic import replacing

RESULTS: Final = Path("docs/performance.json")
PAGE: Final = Path("docs/performance.md")


@dataclass(frozen=True, slots=True)
class Target:
    """A figure with the bound that it is to keep.

    Attributes:
        text: what is asked, with the figures of this run in it: ``engine p50 <= 1.15x its floor``.
        value: measured.
        limit: its bound, in the same unit.
        at_most: whether the bound is from above.
    """

    text: str
    value: float
    limit: float
    at_most: bool = True

    @property
    def passed(self) -> bool:
        """Whether the bound is kept."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit


@dataclass(frozen=True, slots=True)
class Table:
    """Columns, and rows of as many cells, ready to print."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Section:
    """What one benchmark found.

    Attributes:
        name: of the benchmark's module.
        title: its heading.
        text: what was measured and how, a paragraph or two of Markdown.
        tables: of figures.
        targets: with their verdicts.
        plots: names of SVG files beside ``performance.md`` in ``performance/``.
    """

    name: str
    title: str
    text: str
    tables: Sequence[Table]
    targets: Sequence[Target] = ()
    plots: Sequence[str] = ()


def keep(section: Section, machine: Mapping[str, Any], path: Path = RESULTS) -> None:
    """Put a section into the results, in place of an older one of its name."""
    kept: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    kept[section.name] = {"machine": dict(machine), **asdict(section)}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")


def render(order: Sequence[str], path: Path = RESULTS, page: Path = PAGE) -> None:
    """Write the page of all sections kept, in this order."""
    kept: dict[str, Any] = json.loads(path.read_text("utf-8"))
    sections = [(kept[name]["machine"], _section(kept[name])) for name in order if name in kept]
    parts = [_INTRODUCTION, _verdicts([section for _, section in sections])]
    parts += [_part(machine, section) for machine, section in sections]
    with replacing(page) as temporary:
        temporary.write_text("\n".join(parts), "utf-8")


_INTRODUCTION: Final = """# Performance

Rendered by `make bench`; `.venv/bin/python -m benchmarks NAME ...` measures single sections again. Whatever is compared
was measured in one run, in rounds that alternate, so that a noisy machine is noisy for all; medians are told. Ratios
carry over to another machine better than milliseconds do.
"""


def _section(raw: Mapping[str, Any]) -> Section:
    return Section(
        name=raw["name"],
        title=raw["title"],
        text=raw["text"],
        tables=[Table(**table) for table in raw["tables"]],
        targets=[Target(**target) for target in raw["targets"]],
        plots=raw["plots"],
    )


def _verdicts(sections: Sequence[Section]) -> str:
    rows = [
        [target.text, f"{target.value:.3g}", f"{'≤' if target.at_most else '≥'} {target.limit:g}", _verdict(target)]
        for section in sections
        for target in section.targets
    ]
    return "## Targets\n\n" + _table(Table(["what", "measured", "wanted", ""], rows))


def _verdict(target: Target) -> str:
    return "passed" if target.passed else "**missed**"


def _part(machine: Mapping[str, Any], section: Section) -> str:
    where = ", ".join(f"{key} {value}" for key, value in machine.items())
    tables = "\n".join(map(_table, section.tables))
    plots = "".join(f"\n![{section.title}](performance/{name})\n" for name in section.plots)
    return f"## {section.title}\n\n{section.text.strip()}\n\n{tables}{plots}\nMeasured with: {where}.\n"


def _table(table: Table) -> str:
    lines = [table.columns, ["---"] + ["---:"] * (len(table.columns) - 1), *table.rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
