"""What reaches a model of schemas and tools."""

from __future__ import annotations

import time

from gateway.dialects.schemas import forced_words, shown_tool_text


def test_a_schema_forces_values_and_names() -> None:
    """At any depth, in the order of the document."""
    schema = {"properties": {"a": {"const": "Kirk"}, "b": {"items": {"enum": ["Spock", "Sulu"]}}}}
    assert forced_words({"json_schema": {"schema": schema}}) == ("a\nb\nKirk\nSpock\nSulu",)


def test_what_no_grammar_has_is_left_out() -> None:
    """Comments, unknown keys, what need not occur, and definitions that nothing refers to."""
    schema = {
        "title": "x",
        "description": "x",
        "properties": {"a": {"const": "Kirk", "default": "x"}, "x": {}},
        "required": ["a", "y"],
        "$defs": {"d": {"const": "x"}},
    }
    assert forced_words(schema) == ("a\nKirk",)


def test_references_are_followed_once() -> None:
    """Also where they go round."""
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"const": "Kirk"}, {"$ref": "#/$defs/a"}]}}}
    assert forced_words(schema) == ("Kirk",)


def test_a_schema_without_words_has_no_text() -> None:
    """Nor has what is no schema."""
    for schema in ({}, {"type": "object"}, [], None, "Kirk", {"properties": []}, {"enum": [1, None]}):
        assert forced_words(schema) == ()


def test_of_tools_names_descriptions_and_choices_are_shown() -> None:
    """In OpenAI's shape and in Anthropic's."""
    parameters = {"properties": {"who": {"description": "Whom?", "enum": ["Kirk"], "x": "y"}}, "x": "y"}
    function = {"name": "hail", "description": "Hails.", "x": "y", "parameters": parameters}
    assert shown_tool_text([{"type": "function", "x": "y", "function": function}]) == (
        "hail\nHails.\nwho\nWhom?\nKirk",
    )
    assert shown_tool_text([{"name": "hail", "input_schema": parameters}]) == ("hail\nwho\nWhom?\nKirk",)


def test_time_grows_with_length_only() -> None:
    """Of references, too."""
    definitions = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(20_000)}
    started = time.process_time()
    forced_words({"$ref": "#/$defs/d0", "$defs": definitions})
    assert time.process_time() - started < 2.0
