"""Nothing is forwarded that the table does not name."""

from __future__ import annotations

import pytest

from gateway.routes import Action, Api, Match, Miss, routes_of, table_for
from gateway.styles import ErrorStyle
from tests.gateway.route_lists import LLAMA_SERVER, OLLAMA, PROMPT_ROUTES, routes


def sample(path: str) -> bytes:
    """A path as a client would send it."""
    return path.replace(":digest", "sha256:" + "a" * 64).replace(":", "x").encode()


@pytest.mark.parametrize(("api", "listing"), [(Api.OLLAMA, OLLAMA), (Api.LLAMA_SERVER, LLAMA_SERVER)])
def test_every_route_of_an_upstream_is_in_its_table(api: Api, listing: str) -> None:
    """A new one must be thought about, not slip through."""
    table = table_for(api)
    missing = [(m, p) for m, p in routes(listing) if not isinstance(table.find(m, sample(p)), Match)]
    assert missing == []


def test_auto_serves_both() -> None:
    """Every route of either."""
    table = table_for(Api.AUTO)
    both = [*routes(OLLAMA), *routes(LLAMA_SERVER)]
    assert all(isinstance(table.find(method, sample(path)), Match) for method, path in both)


@pytest.mark.parametrize("api", list(Api))
def test_a_route_on_which_a_model_answers_in_words_is_guarded(api: Api) -> None:
    """In every table it stands in."""
    found = {(route.method, route.path): route.action for route in routes_of(api)}
    assert {found[key] for key in routes(PROMPT_ROUTES) if key in found} == {Action.GUARDED}


@pytest.mark.parametrize(
    "path",
    [
        *["/api%2Fchat", "/api/%63hat", "/%61pi/chat", "//api/chat", "/api//chat", "/api/./chat", "/api/x/../chat"],
        *["/api/chat/", "/api/chat%23", "/api/chat;x", "/API/chat", "/api/Chat", "/api/chat%00", "/api/chat?x"],
        *["http://any/api/chat", "/v1/models/..", "/v1/models/a%2Fb", "/v1/models/", "/api/blobs/../chat", "", "*"],
    ],
)
def test_a_path_that_a_server_behind_would_read_otherwise_matches_nothing(path: str) -> None:
    """Class C3: only the table's own bytes."""
    assert isinstance(table_for(Api.AUTO).find("POST", path.encode()), Miss)


def test_a_wrong_method_names_the_right_ones() -> None:
    """As Ollama's router does."""
    assert table_for(Api.OLLAMA).find("GET", b"/api/chat") == Miss(ErrorStyle.NATIVE, ("POST",))


@pytest.mark.parametrize("api", list(Api))
def test_the_upstream_is_asked_for_the_path_of_the_table(api: Api) -> None:
    """Class C3 again: never for one that was put together from the client's text."""
    for route in routes_of(api):
        match = table_for(api).find(route.method, sample(route.path))
        assert isinstance(match, Match)
        assert match.upstream_path == sample(route.path)
