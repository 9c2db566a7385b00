"""Errors in the four styles, against the golden ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.styles import ErrorStyle, error_answer, method_not_allowed, not_found
from tests.gateway.golden import FOLDER

STYLES = {"A": ErrorStyle.NATIVE, "O": ErrorStyle.OPENAI, "N": ErrorStyle.ANTHROPIC, "L": ErrorStyle.LLAMA_SERVER}
NONCE = "0123456789abcdef0123456789abcdef"
# Not of the style that their name says, or with more than a message.
ODD = {"A_unauthorized_cloud", "O_cloud_disabled_is_A", "L_ctx"}
CASES = [
    pytest.param(case, id=case["id"])
    for case in json.loads((FOLDER / "errors.json").read_text(encoding="utf-8"))["cases"]
    if case["id"][:2] in {"A_", "O_", "N_", "L_"} and "body" in case["upstream"] and case["id"] not in ODD
]


@pytest.mark.parametrize("case", CASES)
def test_an_error_looks_like_the_familys_own(case: dict[str, Any]) -> None:
    """Body, type and content type."""
    expected = case["upstream"]
    error = expected["body"]["error"]
    message = error if isinstance(error, str) else error["message"]
    got = error_answer(STYLES[case["id"][0]], expected["status"], message, NONCE)
    assert json.loads(got.body) == expected["body"]
    assert got.content_type == expected["headers"]["Content-Type"]


def test_llama_server_has_no_405() -> None:
    """It does not know a path by another method."""
    style = ErrorStyle.LLAMA_SERVER
    assert method_not_allowed(style, ("GET",)) == not_found(style)
    assert json.loads(not_found(style).body)["error"]["message"] == "File Not Found"
