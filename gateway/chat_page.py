"""The chat page at ``/-/chat``: one file, whose policy lets in nothing but what stands in it."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Final

from gateway.styles import Answer

_SCRIPT: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_STYLE: Final = re.compile(r"<style>(.*?)</style>", re.DOTALL)


@cache
def chat_page() -> Answer:
    """The page with its headers."""
    html = files("gateway").joinpath("static/index.html").read_text(encoding="utf-8")
    headers = (
        ("content-security-policy", _policy(html)),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-cache"),
    )
    return Answer(200, "text/html; charset=utf-8", html.encode(), headers)


def _policy(html: str) -> str:
    """Script and style by their hashes, requests to this origin, and nothing else."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hashes(_SCRIPT, html)}",
            f"style-src {_hashes(_STYLE, html)}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            # Whatever a model says can't become markup, even by a mistake in the script.
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _hashes(pattern: re.Pattern[str], html: str) -> str:
    digests = (hashlib.sha256(text.encode()).digest() for text in pattern.findall(html))
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
