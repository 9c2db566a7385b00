"""What docs/usage.md and the files beside it name is there, and nothing in them leads round the gateway."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped]

from gateway.channels import Channel, setting_name
from gateway.settings import OTHER_NAMES, PREFIX, Settings

FOLDER: Final = Path(__file__).parents[2] / "docs"
DOCUMENTS: Final = sorted(FOLDER.glob("*.md"))


def compose() -> dict[str, Any]:
    """The compose file."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
    return found


def test_nothing_reaches_ollama_but_the_gateway() -> None:
    """It publishes no port, and shares its one network with the gateway alone."""
    services, networks = compose()["services"], compose()["networks"]
    assert "ports" not in services["ollama"]
    assert services["ollama"]["networks"] == ["inside"]
    assert networks["inside"]["internal"] is True
    assert [name for name, service in services.items() if "inside" in service["networks"]] == ["ollama", "gateway"]


def test_published_ports_are_for_this_machine() -> None:
    """Whoever wants more has to say so."""
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_files_set_what_the_gateway_reads() -> None:
    """An unknown name or an unusable value would stop its start."""
    unit = dict(re.findall(r"^Environment=(\w+)=(.*)$", (FOLDER / "startrek-guard.service").read_text(), re.MULTILINE))
    contained = compose()["services"]["gateway"]["environment"]
    assert Settings.from_mapping(contained).upstream == "http://ollama:11434"
    assert Settings.from_mapping(unit).port == 11434


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.name))
def test_every_setting_that_is_named_exists(document: Path) -> None:
    """In every document."""
    known = {PREFIX + name.upper() for name in (*Settings.__dataclass_fields__, *OTHER_NAMES)}
    known |= {setting_name(channel) for channel in Channel} | {PREFIX + "REFUSAL_TEXT_DE"}
    # Ends in an underscore: the fixed part of a name with a placeholder.
    named = set(re.findall(r"STARTREK_GUARD_[A-Z_]+(?<!_)\b", document.read_text(encoding="utf-8")))
    assert named <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.name))
def test_every_link_leads_somewhere(document: Path) -> None:
    """To a file, and to a heading in it."""
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, heading = target.partition("#")
        path = (document.parent / name) if name else document
        assert path.exists(), target
        assert not heading or heading in _headings(path), target


def _headings(path: Path) -> set[str]:
    lines = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}
