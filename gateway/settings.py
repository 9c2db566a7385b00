"""Everything that can be set, read once at the edge; nothing below reads the environment."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from gateway.channels import CHANNEL_RULES, SETTING_PREFIX, Channel, Policy, Profile, default_policies, setting_name
from gateway.routes import Api

PREFIX: Final = "STARTREK_GUARD_"

DEFAULT_UPSTREAM: Final = "http://127.0.0.1:11434"

FAILURE_REASONS: Final = frozenset({"guard_timeout", "guard_unavailable", "queue_full", "too_long"})
"""Why there may be no verdict; each can be let through by ``fail_open``, none is by default."""

_PORT_WANTED: Final = "a port from 0 to 65535"

_Value = TypeVar("_Value")
_Choice = TypeVar("_Choice", bound=StrEnum)


class SettingsError(ValueError):
    """A setting that can't be used; the message has its name, its value and what was wanted."""


class History(StrEnum):
    """What is done with earlier turns that are off topic."""

    REDACT = "redact"
    """They and their answers are left out of what is forwarded."""
    BLOCK = "block"
    """The request is refused."""
    IGNORE = "ignore"
    """They are not judged."""


class RefusalMode(StrEnum):
    """How a refusal is delivered."""

    MESSAGE = "message"
    """As a turn of the assistant, HTTP 200."""
    ERROR = "error"
    """As an error of the caller's API, HTTP 400."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The gateway's settings.

    Attributes:
        host: address to listen on.
        port: to listen on; 0 takes a free one.
        upstream: ``http://``, ``https://`` or ``unix:/path/to.sock``.
        api: whose routes are served.
        profile: who the clients are; decides the channels' defaults and whether scores are shown.
        channels: the policy of every channel.
        history: what is done with earlier turns that are off topic.
        refusal_mode: how a refusal is delivered.
        refusal_text: what it says; ``{topic}`` stands for the guard's topic.
        refusal_texts: the same by language ("de"), chosen by the client's Accept-Language.
        system_text: the operator's system text, where the channel ``system`` is set to ``replace``.
        shadow: judge, mark and log, but forward everything that can be read.
        allow_management: forward the routes that change the server.
        fail_open: reasons (of :data:`FAILURE_REASONS`) for which a request without a verdict is forwarded.
        max_body_bytes: bound on a request body; management routes have none.
        guard_timeout_seconds: for the whole judging of one request.
        client_timeout_seconds: for a client to go on with a request that it began, or with taking its answer.
        connect_timeout_seconds: for a connection to the upstream; nothing else there has a time limit.
        queue_prompts: how many prompts may wait for the guard.
        queue_bytes: and how many bytes of them.
        max_judged_bytes: of text in one request, UTF-8; more is answered with 413.
        max_judged_texts: turns and other texts in one request; more is answered with 413.
        cache_max_bytes: for remembered verdicts; 0 remembers none.
        cache_ttl_seconds: how long a verdict is remembered.
        answers_max_bytes: for remembering which answers were relayed here, so that they are not judged when clients
            send them back; 0 remembers none, and every earlier answer is judged.
        answers_ttl_seconds: how long an answer is remembered after it was last seen.
        allowed_origins: besides Ollama's defaults; one ``*`` in each.
        allowed_hosts: names by which the gateway may be asked, besides local ones, when it listens on loopback.
        log_prompts: write judged texts to the log.
    """

    host: str = "127.0.0.1"
    port: int = 11435
    upstream: str = DEFAULT_UPSTREAM
    api: Api = Api.AUTO
    profile: Profile = Profile.PUBLIC
    channels: Mapping[Channel, Policy] = field(default_factory=lambda: default_policies(Profile.PUBLIC))
    history: History = History.REDACT
    refusal_mode: RefusalMode = RefusalMode.MESSAGE
    refusal_text: str = "I can only help with {topic} topics."
    refusal_texts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    system_text: str = ""
    shadow: bool = False
    allow_management: bool = False
    fail_open: frozenset[str] = frozenset()
    max_body_bytes: int = 64 * 1024 * 1024
    guard_timeout_seconds: float = 30.0
    client_timeout_seconds: float = 60.0
    connect_timeout_seconds: float = 10.0
    queue_prompts: int = 1024
    queue_bytes: int = 8 * 1024 * 1024
    max_judged_bytes: int = 64 * 1024
    max_judged_texts: int = 256
    cache_max_bytes: int = 16 * 1024 * 1024
    cache_ttl_seconds: float = 3600.0
    answers_max_bytes: int = 4 * 1024 * 1024
    answers_ttl_seconds: float = 86_400.0
    allowed_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    log_prompts: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise _error(PREFIX + "PORT", str(self.port), _PORT_WANTED)
        check_upstream(self.upstream)
        for channel, policy in self.channels.items():
            choices = CHANNEL_RULES[channel].choices
            if policy not in choices:
                raise _error(setting_name(channel), str(policy), _either(sorted(choices)))
        if self.channels.get(Channel.SYSTEM) is Policy.REPLACE and not self.system_text:
            raise _error(PREFIX + "SYSTEM_TEXT", "", "the text that replaces the client's system prompt")
        for language, text in {"": self.refusal_text, **self.refusal_texts}.items():
            _check_placeholders("REFUSAL_TEXT" + f"_{language.upper()}" * bool(language), text)
        if unknown := self.fail_open - FAILURE_REASONS:
            raise _error(PREFIX + "FAIL_OPEN", ",".join(sorted(unknown)), _either(sorted(FAILURE_REASONS)))

    @classmethod
    def from_mapping(cls, environ: Mapping[str, str]) -> Settings:
        """The settings of an environment: ``STARTREK_GUARD_<FIELD>``, and ``OLLAMA_HOST`` for the upstream.

        Raises:
            SettingsError: if a value can't be used, or a name with our prefix is unknown.
        """
        given = {key: value for key, value in environ.items() if key.startswith(PREFIX) and value != ""}
        _check_names(given)
        values: dict[str, Any] = {
            name: read(PREFIX + name.upper(), given[PREFIX + name.upper()])
            for name, read in _READERS.items()
            if PREFIX + name.upper() in given
        }
        profile = values.get("profile", Profile.PUBLIC)
        values["channels"] = default_policies(profile) | _channels(given)
        values["refusal_texts"] = {
            key.removeprefix(_LANGUAGE_PREFIX).lower(): value
            for key, value in given.items()
            if key.startswith(_LANGUAGE_PREFIX)
        }
        if "upstream" not in values and environ.get("OLLAMA_HOST", "").strip():
            values["upstream"] = upstream_from_ollama_host(environ["OLLAMA_HOST"])
        return cls(**values)


def _check_placeholders(name: str, text: str) -> None:
    """A misspelt ``{topic}`` would be shown to every client that is refused."""
    unknown = [found for found in _PLACEHOLDER.findall(text) if found != "{topic}"]
    if unknown:
        raise _error(PREFIX + name, text, f"{{topic}} as the only word in braces, not {unknown[0]}")


def check_upstream(value: str) -> None:
    """See that an upstream's address can be used.

    Raises:
        SettingsError: if it can't.
    """
    wanted = "http://host[:port], https://host[:port] or unix:/path/to.sock"
    if value.startswith("unix:"):
        if not value.removeprefix("unix:").removeprefix("//").startswith("/"):
            raise _error(PREFIX + "UPSTREAM", value, wanted)
        return
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise _error(PREFIX + "UPSTREAM", value, wanted)


def check_not_itself(settings: Settings) -> None:
    """See that the gateway is not its own upstream: each request would be another one without end.

    Raises:
        SettingsError: if it is.
    """
    if _is_own_address(settings.upstream, settings.host, settings.port):
        raise _error(PREFIX + "UPSTREAM", settings.upstream, "another address than the gateway's own")


def _is_own_address(upstream: str, host: str, port: int) -> bool:
    if upstream.startswith("unix:"):
        return False
    parts = urlsplit(upstream)
    if port != (parts.port or (443 if parts.scheme == "https" else 80)):
        return False
    here, there = _address(_by_number(host)), _address(_by_number(parts.hostname or ""))
    if here is None or there is None:
        return host == parts.hostname
    everywhere = here.is_unspecified and here.version == there.version and (there.is_loopback or there.is_unspecified)
    return here == there or everywhere


def _by_number(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host


def upstream_from_ollama_host(value: str) -> str:
    """The address that Ollama's own clients would use for a value of ``OLLAMA_HOST`` (envconfig/config.go, Host).

    Without a scheme the port defaults to 11434, with ``http://`` to 80, with ``https://`` to 443; a port that is none
    gives the default; an address to listen on everywhere is asked at loopback.
    """
    text = value.strip().strip("\"' ")
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest, port = "http", text, 11434
    else:
        port = 443 if scheme == "https" else 80
    host_and_port, slash, path = rest.partition("/")
    host, port = _split_port(host_and_port, port)
    address = _address(host)
    if address is not None:
        if address.is_unspecified:
            address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
        host = f"[{address}]" if address.version == 6 else str(address)
    suffix = (slash + path).rstrip("/")
    return f"{scheme}://{host or '127.0.0.1'}:{port}{suffix}"


def _split_port(text: str, default: int) -> tuple[str, int]:
    host, colon, digits = text.rpartition(":")
    bare_ipv6 = text.count(":") > 1 and not text.startswith("[")
    if not colon or bare_ipv6 or text.endswith("]"):
        return text.strip("[]"), default
    port = int(digits) if digits.isascii() and digits.isdigit() else -1
    return host.strip("[]"), port if 0 <= port <= 65535 else default


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _error(key: str, value: str, wanted: str) -> SettingsError:
    return SettingsError(f"{key}={value!r}, wanted {wanted}")


def _either(choices: list[Any]) -> str:
    return " or ".join(str(choice) for choice in choices)


def _text(_: str, value: str) -> str:
    return value


def _boolean(key: str, value: str) -> bool:
    lowered = value.strip().lower()
    if lowered in {"1", "true", "yes", "on"}:
        return True
    if lowered in {"0", "false", "no", "off"}:
        return False
    raise _error(key, value, "true or false")


def _number(convert: Callable[[str], _Value], minimum: float, wanted: str) -> Callable[[str, str], _Value]:
    def read(key: str, value: str) -> _Value:
        try:
            number: Any = convert(value)
        except ValueError:
            raise _error(key, value, wanted) from None
        if not minimum <= number < float("inf"):
            raise _error(key, value, wanted)
        return number  # type: ignore[no-any-return]

    return read


def _choice(kind: type[_Choice]) -> Callable[[str, str], _Choice]:
    def read(key: str, value: str) -> _Choice:
        try:
            return kind(value.strip().lower())
        except ValueError:
            raise _error(key, value, _either(list(kind))) from None

    return read


def _words(_: str, value: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in value.split(",") if word.strip())


_COUNT: Final = _number(int, 1, "a whole number of at least 1")
_SIZE: Final = _number(int, 0, "a whole number of bytes")
_SECONDS: Final = _number(float, 0.001, "a positive number of seconds")

_READERS: Final[Mapping[str, Callable[[str, str], Any]]] = {
    "host": _text,
    "port": _number(int, 0, _PORT_WANTED),
    "upstream": _text,
    "api": _choice(Api),
    "profile": _choice(Profile),
    "history": _choice(History),
    "refusal_mode": _choice(RefusalMode),
    "refusal_text": _text,
    "system_text": _text,
    "shadow": _boolean,
    "allow_management": _boolean,
    "fail_open": lambda key, value: frozenset(_words(key, value)),
    "max_body_bytes": _COUNT,
    "guard_timeout_seconds": _SECONDS,
    "client_timeout_seconds": _SECONDS,
    "connect_timeout_seconds": _SECONDS,
    "queue_prompts": _COUNT,
    "queue_bytes": _COUNT,
    "max_judged_bytes": _COUNT,
    "max_judged_texts": _COUNT,
    "cache_max_bytes": _SIZE,
    "cache_ttl_seconds": _SECONDS,
    "answers_max_bytes": _SIZE,
    "answers_ttl_seconds": _SECONDS,
    "allowed_origins": _words,
    "allowed_hosts": _words,
    "log_prompts": _boolean,
}

_LANGUAGE_PREFIX: Final = PREFIX + "REFUSAL_TEXT_"

OTHER_NAMES: Final = frozenset({"CACHE", "GUARD", "GUARD_MANIFEST", "THREADS"})
"""Names with our prefix that the command line reads itself: which guard, its threads, where built ones are kept."""

_LANGUAGE: Final = re.compile("[A-Z]{2,3}")

_PLACEHOLDER: Final = re.compile(r"\{\s*\w+\s*\}")


def _check_names(given: Mapping[str, str]) -> None:
    """A misspelt setting must not pass for a set one: the default it leaves behind may be the opposite."""
    known = {PREFIX + name.upper() for name in (*_READERS, *OTHER_NAMES)} | {setting_name(c) for c in Channel}
    for key, value in given.items():
        language = key.removeprefix(_LANGUAGE_PREFIX) if key.startswith(_LANGUAGE_PREFIX) else None
        if language is not None and not _LANGUAGE.fullmatch(language):
            raise _error(key, value, "a language of two or three letters, without a region")
        if key not in known and language is None:
            raise _error(key, value, "a known setting")


def _channels(given: Mapping[str, str]) -> dict[Channel, Policy]:
    found: dict[Channel, Policy] = {}
    for key, value in given.items():
        if key.startswith(SETTING_PREFIX):
            channel = Channel(key.removeprefix(SETTING_PREFIX).lower())
            try:
                found[channel] = Policy(value.strip().lower())
            except ValueError:
                raise _error(key, value, _either(sorted(CHANNEL_RULES[channel].choices))) from None
    return found
