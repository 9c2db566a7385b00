"""The chat page is served, and its policy lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

from typing_extensions import override

from tests.gateway.running import Gateway, GatewayFactory


class Elements(HTMLParser):
    """Every start tag of a page with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.found.append((tag, dict(attrs)))


async def test_the_page_is_served_by_the_gateway_itself(gateway: Gateway) -> None:
    """HEAD as well; the upstream hears nothing of it."""
    answer = await gateway.client.get("/-/chat")
    head = await gateway.client.head("/-/chat")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.text.startswith("<!doctype html>")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(answer.content)))
    assert gateway.upstream.requests == []


async def test_the_policy_names_the_pages_own_script_and_style_only(gateway: Gateway) -> None:
    """By their hashes; nothing inline beside them, nothing from elsewhere."""
    answer = await gateway.client.get("/-/chat")
    policy = dict(rule.strip().split(" ", 1) for rule in answer.headers["content-security-policy"].split(";"))
    for tag in ("script", "style"):
        [text] = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[f"{tag}-src"] == f"'sha256-{digest}'"
    assert (policy["default-src"], policy["connect-src"], policy["frame-ancestors"]) == ("'none'", "'self'", "'none'")
    assert "unsafe" not in answer.headers["content-security-policy"]


async def test_the_page_loads_nothing_and_runs_nothing_inline(gateway: Gateway) -> None:
    """No address of another host, no style or handler in an attribute, no markup made from text."""
    html = (await gateway.client.get("/-/chat")).text
    assert not re.search(r"https?://|//[a-z]|innerHTML|insertAdjacentHTML|document\.write", html)
    for _, attributes in Elements(html).found:
        assert not any(name == "style" or name.startswith("on") for name in attributes)
        assert attributes.get("href") in {None, "data:,"}
        assert "src" not in attributes


async def test_every_field_of_the_page_has_a_label(gateway: Gateway) -> None:
    """For those who do not see it; the conversation is announced as it grows."""
    found = Elements((await gateway.client.get("/-/chat")).text).found
    labelled = {attributes.get("for") for tag, attributes in found if tag == "label"}
    fields = {attributes.get("id") for tag, attributes in found if tag in {"textarea", "select", "input"}}
    assert fields <= labelled
    assert any(attributes.get("aria-live") == "polite" for _, attributes in found)


async def test_the_page_may_ask_the_gateway_it_came_from(gateway: Gateway) -> None:
    """Its requests have an Origin; answers and refusals tell it the decision."""
    headers = {"Origin": gateway.url}
    for text, decision in (("Who is Spock?", "allow"), ("How do I boil an egg?", "block")):
        body = {"model": "m", "messages": [{"role": "user", "content": text}]}
        answer = await gateway.post("/api/chat", body, headers=headers)
        assert (answer.status_code, answer.headers["x-guard-decision"]) == (200, decision)


async def test_the_page_is_for_ollama(start: GatewayFactory) -> None:
    """llama-server's own ``/api/chat`` is another protocol."""
    async with start(api="llama-server") as gateway:
        assert (await gateway.client.get("/-/chat")).status_code == 404
