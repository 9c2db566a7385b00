"""docs/api.md names every route, error and header that there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from gateway import errors
from gateway.errors import GatewayError
from gateway.routes import OWN_ROUTES, Api, routes_of
from guard.verdict import Reason
from scripts.render_routes import DOCUMENT, main, with_routes

TEXT: Final = DOCUMENT.read_text(encoding="utf-8")


def test_the_route_tables_are_current() -> None:
    """Rendered from the table that routes requests."""
    assert main(["--check"]) == 0
    assert all(f"`{route.path}`" in TEXT for api in Api for route in routes_of(api))


def test_a_stale_document_is_found_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the command that mends it."""
    document = tmp_path / "api.md"
    document.write_text(TEXT.replace("`/api/generate`", "`/api/old`"), encoding="utf-8")
    assert main(["--check", "--document", str(document)]) == 1
    assert "scripts.render_routes" in capsys.readouterr().err
    assert main(["--document", str(document)]) == 0
    assert document.read_text(encoding="utf-8") == TEXT


def test_a_document_without_a_place_for_routes_is_refused() -> None:
    """Rather than written over."""
    with pytest.raises(ValueError, match="in the document"):
        with_routes("# API\n")


def test_every_own_route_has_a_section() -> None:
    """With its method."""
    sections = re.findall(r"^### `(?:GET|POST) (\S+)`$", TEXT, re.MULTILINE)
    assert set(sections) == {route.path for route in OWN_ROUTES}


def test_every_failure_has_a_row_with_its_status() -> None:
    """Those without a verdict by their reason, the others by their status."""
    rows = re.findall(r"^\| (\d{3})[^|]*\|(.*?)\|", TEXT, re.MULTILINE)
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GatewayError)]
    for kind in kinds:
        if kind is not GatewayError:
            same = [reasons for status, reasons in rows if int(status) == kind.status]
            assert any(f"`{kind.reason}`" in reasons or not reasons.strip() for reasons in same), kind


def test_every_reason_of_a_verdict_is_named() -> None:
    """Beside the header that has it."""
    [cell] = re.findall(r"^\| `x-guard-reason` \|(.*)\|$", TEXT, re.MULTILINE)
    assert all(f"`{reason}`" in cell for reason in (*Reason, "redacted", "nothing_to_judge"))
