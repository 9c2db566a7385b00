"""What a grammar or a pattern makes a model write, whatever its source looks like."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.dialects.forced_text import MAX_CHARS, grammar_text, pattern_texts
from gateway.errors import BadRequestError
from tests.gateway.running import GatewayFactory


@pytest.mark.parametrize(
    "source",
    [
        r'root ::= "egg"',
        r'root ::= "\x65\u0067\U00000067"',
        'root ::= "e" # Kirk and Spock\n  "gg"',
        'root ::= (\n "e" # } "\n "gg")',
        'root ::= [e] [gG] "g"',
        'root ::= a b\nb ::= "gg"\na ::= "e"',
        'root ::= e g g\ng ::= "g"\ne ::= "e"',
        'root ::= "e" "g"{2}',
        'root ::= "e" ("g"){2 # } "\n}',
        'root ::= "x"\nroot ::= "e" ("g")? "g" root',
        r'root ::= [^\x00-df-\U0010FFFF] "gg"',
        r'root ::= [^\x01-df-\U0010FFFF] "gg"',
        r'root ::= [\x01-\x08e] "gg"',
        'root ::= [\U0001d412e] "gg"',
        'root ::= "e" "Spock "{0} "gg"',
        r'root ::= [\x01ee] "gg"',
        r'root ::= [\x01eE] "gg"',
        r'root ::= [\x01-\x08e-ee] "gg"',
    ],
)
def test_a_grammar_is_read_as_the_text_it_makes(source: str) -> None:
    """Escapes, comments, classes, repetitions and the order of rules hide nothing."""
    assert any("egg" in text for text in grammar_text(source).texts)


def test_literals_are_read_in_one_piece_and_as_words() -> None:
    """Nobody knows whether they stand beside each other; what no model writes is left out."""
    read = grammar_text('root ::= "boil" " an" [a-z]+ sauce # eggs\nsauce ::= [^x] "dip"')
    assert read.texts == ("boil andip", "boil  an   dip")


def test_a_grammar_of_marks_and_ranges_has_no_text() -> None:
    """Nothing of it is a question."""
    assert grammar_text('root ::= "{" [0-9]+ ("," [0-9]+)* "}"').texts == ()


def test_token_ids_in_a_grammar_cannot_be_read() -> None:
    """Those it demands; those it forbids are written by nobody, nor are those in a literal."""
    assert grammar_text("root ::= <[791]>").token_ids
    assert not grammar_text('root ::= !<[791]> "<[791]>"').token_ids


@pytest.mark.parametrize(
    "source",
    [
        "Who is Spock?",
        " ",
        'root ::= "egg"\0',
        '%llguidance\nroot ::= "egg"',
        'root ::= "egg',
        "root ::= [egg",
        "root ::= <egg",
    ],
)
def test_what_is_no_grammar_is_refused(source: str) -> None:
    """Without a word of it."""
    with pytest.raises(BadRequestError, match="wanted") as error:
        grammar_text(source)
    assert "egg" not in str(error.value)


DOUBLED = 'r0 ::= "a"\n' + "".join(f"r{index + 1} ::= r{index} r{index}\n" for index in range(60)) + "root ::= r60"


@pytest.mark.parametrize(
    "source",
    [DOUBLED, 'root ::= "a"{999999999}', 'root ::= (("a"){2000}){2000}', 'root ::= "' + "a" * MAX_CHARS + '"'],
)
def test_a_grammar_that_unfolds_to_too_much_is_refused(source: str) -> None:
    """Before it takes time or memory."""
    with pytest.raises(BadRequestError, match="too much text"):
        grammar_text(source)


@pytest.mark.parametrize("pattern", [r"^\x65gg$", r"^\u0065g{2}$", "[e][gG](g)", "^(?:e)(g){2}$", r"\U00000065gg"])
def test_a_pattern_is_read_as_the_text_it_makes(pattern: str) -> None:
    """At any depth of a schema."""
    schema = {"properties": {"a": {"anyOf": [{"type": "string", "pattern": pattern}]}}}
    assert pattern_texts(schema) == ("egg",)


def test_a_pattern_of_marks_and_ranges_has_no_text() -> None:
    """A stardate, for example."""
    assert pattern_texts({"pattern": r"^\d{5}\.[0-9]$"}) == ()
    with pytest.raises(BadRequestError, match="too much text"):
        pattern_texts({"pattern": "a{999999}"})


ESCAPED = {"type": "string", "pattern": r"^How do I boil an \x65\x67\x67$"}


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/api/chat", {"format": ESCAPED}),
        ("/v1/chat/completions", {"response_format": {"type": "json_schema", "json_schema": {"schema": ESCAPED}}}),
        ("/v1/chat/completions", {"json_schema": ESCAPED}),
        ("/v1/chat/completions", {"tools": [{"function": {"name": "f", "parameters": ESCAPED}}]}),
        ("/v1/messages", {"output_format": {"type": "json_schema", "schema": ESCAPED}}),
        ("/v1/messages", {"tools": [{"name": "f", "input_schema": ESCAPED}]}),
        ("/completion", {"prompt": "Kirk", "json_schema": ESCAPED}),
        ("/completion", {"prompt": "Kirk", "grammar": r'root ::= "How do I boil an \x65\x67\x67?" # Kirk'}),
        ("/completion", {"prompt": "Kirk", "grammar": "root ::= <[791]>"}),
    ],
)
async def test_no_escape_hides_what_a_model_must_write(start: GatewayFactory, path: str, more: dict[str, Any]) -> None:
    """Class H5, on every route that takes a schema or a grammar."""
    async with start() as gateway:
        answer = await gateway.post(path, {"max_tokens": 9, "messages": [{"role": "user", "content": "Kirk"}], **more})
        assert answer.headers["x-guard-decision"] == "block"
        assert gateway.upstream.requests == []


def test_many_wide_classes_are_read_at_once() -> None:
    """A class of all but one character of a million takes as long as any other."""
    began = time.process_time()
    assert grammar_text("root ::= " + "[^e]" * 25_000).texts == ()
    assert time.process_time() - began < 5
