"""Settings are read once, checked, and complained about by name."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext

import pytest

from gateway.channels import CHANNEL_RULES, Channel, Policy
from gateway.routes import Api
from gateway.settings import _READERS, Settings, SettingsError, check_not_itself, upstream_from_ollama_host


def test_an_empty_environment_gives_the_defaults() -> None:
    """Strangers, and Ollama where it always is."""
    assert Settings.from_mapping({}) == Settings()
    assert Settings().upstream == "http://127.0.0.1:11434"


def test_every_field_can_be_set() -> None:
    """But for the tables, which have names of their own."""
    fields = {field.name for field in dataclasses.fields(Settings)}
    assert fields - set(_READERS) == {"channels", "refusal_texts"}


def test_values_are_read_by_their_type() -> None:
    """Numbers, switches, choices, lists, channels, languages."""
    settings = Settings.from_mapping(
        {
            "STARTREK_GUARD_PORT": "0",
            "STARTREK_GUARD_API": "llama-server",
            "STARTREK_GUARD_SHADOW": "yes",
            "STARTREK_GUARD_GUARD_TIMEOUT_SECONDS": "2.5",
            "STARTREK_GUARD_ALLOWED_ORIGINS": "https://a.example, chrome-extension://*",
            "STARTREK_GUARD_FAIL_OPEN": "guard_timeout,queue_full",
            "STARTREK_GUARD_PROFILE": "trusted",
            "STARTREK_GUARD_CHANNEL_IMAGES": "deny",
            "STARTREK_GUARD_REFUSAL_TEXT_DE": "Nur {topic}.",
            "OTHER": "x",
        }
    )
    assert (settings.port, settings.api, settings.shadow, settings.guard_timeout_seconds) == (
        0,
        Api.LLAMA_SERVER,
        True,
        2.5,
    )
    assert settings.allowed_origins == ("https://a.example", "chrome-extension://*")
    assert settings.fail_open == {"guard_timeout", "queue_full"}
    assert (settings.channels[Channel.IMAGES], settings.channels[Channel.SYSTEM]) == (Policy.DENY, Policy.ALLOW)
    assert settings.refusal_texts == {"de": "Nur {topic}."}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PORT", "x"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("SHADOW", "maybe"),
        ("PROFILE", "friends"),
        ("GUARD_TIMEOUT_SECONDS", "0"),
        ("GUARD_TIMEOUT_SECONDS", "nan"),
        ("GUARD_TIMEOUT_SECONDS", "inf"),
        ("MAX_BODY_BYTES", "1.5"),
        ("FAIL_OPEN", "always"),
        ("CHANNEL_IMAGES", "judge"),
        ("CHANNEL_TOOLS", "replace"),
        ("CHANNEL_TOOLS", "x"),
        ("UPSTREAM", "ftp://x"),
        ("UPSTREAM", "http://"),
        ("UPSTREAM", "http://h:99999"),
        ("UPSTREAM", "http://h/?q"),
        ("UPSTREAM", "unix:relative"),
        ("REFUSAL_TEXT", "Only {topics}, please."),
        ("REFUSAL_TEXT", "Only { topic }, please."),
        ("REFUSAL_TEXT_DE", "Nur {thema}, bitte."),
        ("CHANEL_IMAGES", "allow"),
        ("CHANNEL_FILMS", "allow"),
    ],
)
def test_an_unusable_value_is_named(key: str, value: str) -> None:
    """With its setting and what was wanted."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping({"STARTREK_GUARD_" + key: value})
    assert f"STARTREK_GUARD_{key}=" in str(caught.value)
    assert ", wanted " in str(caught.value)


def test_a_policy_that_a_channel_can_not_have_is_quoted_as_it_was_written() -> None:
    """Not as Python writes a member of an enumeration."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping({"STARTREK_GUARD_CHANNEL_IMAGES": "judge"})
    assert str(caught.value) == "STARTREK_GUARD_CHANNEL_IMAGES='judge', wanted allow or deny"


@pytest.mark.parametrize(
    ("host", "upstream", "own"),
    [
        ("127.0.0.1", "http://localhost:11434", True),
        ("0.0.0.0", "http://127.0.0.1:11434", True),
        ("127.0.0.1", "http://127.0.0.1:11500", False),
        ("0.0.0.0", "http://ollama:11434", False),
        ("192.168.0.2", "http://127.0.0.1:11434", False),
    ],
)
def test_a_gateway_is_not_its_own_upstream(host: str, upstream: str, own: bool) -> None:
    """``--port 11434`` alone would name Ollama's old address as the upstream, which is then the gateway's."""
    with pytest.raises(SettingsError, match="than the gateway's own") if own else nullcontext():
        check_not_itself(Settings(host=host, port=11434, upstream=upstream))


def test_replacing_needs_a_text() -> None:
    """Else the model would have none at all."""
    with pytest.raises(SettingsError, match="SYSTEM_TEXT"):
        Settings.from_mapping({"STARTREK_GUARD_CHANNEL_SYSTEM": "replace"})


@pytest.mark.parametrize("policy", ["deny", "allow"])
def test_a_profile_keeps_what_was_set(policy: str) -> None:
    """Also what the other profile has by default."""
    environ = {"STARTREK_GUARD_PROFILE": "trusted", "STARTREK_GUARD_CHANNEL_IMAGES": policy}
    assert Settings.from_mapping(environ).channels[Channel.IMAGES] == policy


def test_a_refusal_in_a_language_that_is_never_asked_for_is_an_error() -> None:
    """Clients' regions do not count."""
    with pytest.raises(SettingsError, match="without a region"):
        Settings.from_mapping({"STARTREK_GUARD_REFUSAL_TEXT_PT_BR": "Só Star Trek."})


def test_every_channel_has_a_rule_and_defaults_that_it_allows() -> None:
    """Also those to come."""
    assert set(CHANNEL_RULES) == set(Channel)
    assert all({rule.public, rule.trusted} <= rule.choices for rule in CHANNEL_RULES.values())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1.2.3.4", "http://1.2.3.4:11434"),
        (":1234", "http://127.0.0.1:1234"),
        ("1.2.3.4:1234", "http://1.2.3.4:1234"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("https://1.2.3.4:1234", "https://1.2.3.4:1234"),
        ("example.com", "http://example.com:11434"),
        ("https://example.com/ollama/", "https://example.com:443/ollama"),
        ("example.com/ollama", "http://example.com:11434/ollama"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:1337", "http://[::1]:1337"),
        ("::1", "http://[::1]:11434"),
        ("[::]", "http://[::1]:11434"),
        ('"1.2.3.4"', "http://1.2.3.4:11434"),
        (" ' example.com ' ", "http://example.com:11434"),
        ("example.com:", "http://example.com:11434"),
        ("example.com:abc", "http://example.com:11434"),
        ("example.com:66000", "http://example.com:11434"),
        ("https://example.com:66000", "https://example.com:443"),
        ("", "http://127.0.0.1:11434"),
    ],
)
def test_ollama_host_is_read_by_ollamas_rules(value: str, expected: str) -> None:
    """Its own test table (envconfig/config_test.go), as a client reads it."""
    assert upstream_from_ollama_host(value) == expected


def test_ollama_host_is_the_upstream_where_none_is_set() -> None:
    """Ours goes before."""
    assert Settings.from_mapping({"OLLAMA_HOST": "h:1"}).upstream == "http://h:1"
    both = {"OLLAMA_HOST": "h:1", "STARTREK_GUARD_UPSTREAM": "http://other"}
    assert Settings.from_mapping(both).upstream == "http://other"
