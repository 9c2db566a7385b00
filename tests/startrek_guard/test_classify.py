"""What ``classify`` makes of its options."""

from __future__ import annotations

from typer.testing import CliRunner

from startrek_guard.app import app


def test_no_threads_are_an_error() -> None:
    """As with ``serve``, not silently another number."""
    done = CliRunner().invoke(app, ["classify", "--threads", "0", "Who is Spock?"])
    assert done.exit_code == 2
    assert "--threads" in done.output
