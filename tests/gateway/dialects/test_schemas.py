"""What reaches a model of schemas and tools."""

from __future__ import annotations

import time

import pytest

from gateway.dialects.schemas import forced_words, shown_tool_texts
from gateway.errors import BadRequestError

ASK = "bake bread"


def test_a_schema_forces_values_and_names_in_their_order() -> None:
    """Each name before its value, at any depth."""
    schema = {"properties": {"a": {"const": ASK}, "b": {"items": {"enum": ["Mr Spock", "Sulu"]}}}}
    assert forced_words({"json_schema": {"schema": schema}}) == (f"a\n{ASK}\nb\nMr Spock\nSulu",)


@pytest.mark.parametrize(
    "schema",
    [
        {"title": "x", "description": "x", "const": ASK, "default": "x"},
        {"const": ASK, "enum": ["x"]},
        {"$ref": "#/$defs/a", "const": "x", "$defs": {"a": {"const": ASK}, "b": {"const": "x"}}},
        {"$ref": "#/x/0", "x": [{"const": ASK}]},
        {"$ref": "#/a~1b", "a/b": {"const": ASK}},
        {"anyOf": [{"const": ASK}], "const": "x"},
        {"allOf": [{"properties": {ASK: {}}, "required": []}]},
        {"properties": {ASK: {"default": "x"}, "x": {}}, "required": [ASK, "y"]},
        {"properties": {ASK: {}}, "required": "none"},
    ],
)
def test_what_no_grammar_has_is_left_out(schema: object) -> None:
    """Comments, unknown keys, what need not occur, what another key outdoes, definitions that nothing refers to."""
    assert forced_words(schema) == (ASK,)


def test_every_place_of_a_schema_is_looked_at() -> None:
    """Ollama's own routes have it without a wrapper, whatever it is called."""
    assert forced_words({"schema": {"const": "Mr Spock"}, "const": ASK}) == ("Mr Spock", ASK)


def test_references_are_followed_once() -> None:
    """Also where they go round."""
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"const": ASK}, {"$ref": "#/$defs/a"}]}}}
    assert forced_words(schema) == (ASK,)


@pytest.mark.parametrize(
    "schema", [{}, {"type": "object"}, [], None, "Kirk", {"properties": []}, {"enum": [1, None, "a", "b"]}]
)
def test_a_schema_that_asks_for_nothing_has_no_text(schema: object) -> None:
    """Nor has what is no schema."""
    assert forced_words(schema) == ()


def test_of_tools_names_descriptions_and_choices_are_shown() -> None:
    """In OpenAI's shape, in Anthropic's, and within a namespace."""
    parameters = {"description": "x", "properties": {"who": {"description": "Whom?", "enum": ["Kirk"], "x": "x"}}}
    function = {"name": "hail", "description": ASK, "x": "x", "parameters": parameters}
    shown = f"hail\n{ASK}\nwho\nWhom?\nKirk"
    assert shown_tool_texts([{"type": "function", "description": "x", "function": function}]) == (shown,)
    assert shown_tool_texts([{"name": "hail", "description": ASK, "input_schema": parameters}]) == (shown,)
    assert shown in shown_tool_texts([{"type": "namespace", "description": "x", "tools": [function]}])


@pytest.mark.parametrize(
    "tool",
    [
        {"name": "f", "Description": ASK},
        {"Type": "web_search"},
        {"Function": {"name": "f", "description": ASK}},
        {"function": {"name": "f", "De\u017fcription": ASK}},
        {"input_schema": {"Properties": {ASK: {}}}},
        {"function": {"parameters": {"properties": {"a": {"Enum": [ASK]}}}}},
        {"function": {"parameters": {"properties": {"a": {"anyof": [{"description": ASK}]}}}}},
        {"type": "namespace", "Tools": [{"description": ASK}]},
    ],
)
def test_a_key_of_a_tool_in_another_case_is_refused(tool: object) -> None:
    """Class C4: Go reads it, and what stands beside it would hide it."""
    with pytest.raises(BadRequestError, match="another case"):
        shown_tool_texts([tool])


@pytest.mark.parametrize("shown", [{"type": ASK}, {"items": {"x": [ASK]}}])
def test_what_stands_around_a_function_is_shown(shown: dict[str, object]) -> None:
    """Ollama keeps its type, whatever that says, and its items."""
    texts = shown_tool_texts([{"x": "Kirk", **shown, "function": {"name": "f"}}])
    assert any(ASK in text and "Kirk" not in text for text in texts)


def test_the_names_of_a_tools_properties_are_the_clients_own() -> None:
    """In any case."""
    properties = {"Name": {"description": "Whom?", "title": "x"}, "Type": {"enum": ["Kirk"]}}
    assert shown_tool_texts([{"name": "hail", "input_schema": {"properties": properties}}]) == (
        "hail\nName\nWhom?\nType\nKirk",
    )


def test_tools_of_which_nothing_is_left_out_have_one_text() -> None:
    """Which is read anyway."""
    parameters = {"type": "object", "properties": {"who": {"type": "string"}}, "required": ["who"]}
    assert shown_tool_texts([{"type": "function", "function": {"name": "hail", "parameters": parameters}}]) == ()


def test_a_reference_to_a_text_is_none() -> None:
    """It would be as much text as there are references; nor does an odd path raise."""
    schema = {"x": ASK * 1000, "allOf": [{}], "anyOf": [{"$ref": "#/x"}] * 1000 + [{"$ref": "#/allOf/\u00b2"}, ASK]}
    assert forced_words(schema) == ()


@pytest.mark.parametrize("last", ["d", None])
def test_time_grows_with_length_only(last: str | None) -> None:
    """Of references, too, whether they have a last part in common or not."""
    count = 5_000
    references = [{"$ref": f"#/x/{number}/{last or number}"} for number in range(count)]
    schema = {"anyOf": references, "x": [{"properties": {last or str(number): {}}} for number in range(count)]}
    started = time.process_time()
    forced_words(schema)
    shown_tool_texts(schema)
    assert time.process_time() - started < 2.0
