"""Writes the route tables of docs/api.md from ``gateway/routes.py``: ``python -m scripts.render_routes [--check]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from gateway.routes import Action, Api, Route, routes_of

DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "api.md"
BEGIN: Final = "<!-- routes: rendered by `python -m scripts.render_routes`; changes here are lost -->"
END: Final = "<!-- end of routes -->"

_TITLES: Final = {
    Action.GUARDED: ("Guarded", "Judged before they are forwarded; what can't be judged is not forwarded."),
    Action.COUNTED: (
        "Counted",
        "No model answers there, so texts are not judged; but places that the settings deny (images) are refused.",
    ),
    Action.PASSED: ("Passed", "Forwarded as they are: no text of theirs reaches a model that answers in words."),
    Action.DENIED: (
        "Denied",
        "They change the server, show its inside or act as its owner: 403 without `STARTREK_GUARD_ALLOW_MANAGEMENT`.",
    ),
    Action.OWN: ("Own", "Answered by the gateway itself."),
}
_UPSTREAMS: Final = {Api.OLLAMA: "Ollama", Api.LLAMA_SERVER: "llama-server"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the document, or with ``--check`` only say whether it is current.

    Args:
        arguments: of the command line.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the document is not current")
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    options = parser.parse_args(arguments)
    current = options.document.read_text(encoding="utf-8")
    rendered = with_routes(current)
    if options.check:
        if rendered != current:
            sys.stderr.write(f"{options.document} is not current: run python -m scripts.render_routes\n")
        return int(rendered != current)
    options.document.write_text(rendered, encoding="utf-8")
    return 0


def with_routes(document: str) -> str:
    """The document with its route tables as they should be.

    Raises:
        ValueError: if it has no place for them.
    """
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN!r} ... {END!r} in the document")
    return f"{head}{BEGIN}\n\n{tables()}\n{END}{tail}"


def tables() -> str:
    """A table for each action."""
    return "\n".join(line for action in _TITLES for line in _table(action))


def _table(action: Action) -> Iterator[str]:
    title, sentence = _TITLES[action]
    dialects = action in {Action.GUARDED, Action.COUNTED}
    yield f"### {title}"
    yield ""
    yield sentence
    yield ""
    yield "| method | path | with `--api` |" + " read as |" * dialects
    yield "|---|---|---|" + "---|" * dialects
    for (path, methods), found in _rows(action).items():
        cells = [methods, f"`{path}`", ", ".join(f"`{api}`" for api in found)]
        if dialects:
            cells.append(_dialects(found))
        yield f"| {' | '.join(cells)} |"
    yield ""


def _rows(action: Action) -> dict[tuple[str, str], dict[Api, Route]]:
    """Routes of one action by path and methods, and the tables that have them."""
    rows: dict[tuple[str, str], dict[Api, Route]] = {}
    for api in _UPSTREAMS:
        by_path: dict[str, list[Route]] = {}
        for route in routes_of(api):
            if route.action is action:
                by_path.setdefault(route.path, []).append(route)
        for path, routes in by_path.items():
            methods = ", ".join(route.method for route in routes)
            rows.setdefault((path, methods), {})[api] = routes[0]
    return rows


def _dialects(found: dict[Api, Route]) -> str:
    targets = {api: route.target for api, route in found.items()}
    if len(set(targets.values())) == 1:
        return f"`{next(iter(targets.values()))}`"
    return ", ".join(f"`{target}` ({_UPSTREAMS[api]})" for api, target in targets.items())


if __name__ == "__main__":
    sys.exit(main())
