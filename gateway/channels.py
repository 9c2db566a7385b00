"""The places of a request where a client could hide text, and what is done with each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Profile(StrEnum):
    """Who the clients are."""

    PUBLIC = "public"
    """Strangers: what can be read is judged, what can't be read is denied."""
    TRUSTED = "trusted"
    """One's own applications, whose system prompt, tools and images are their own."""


class Policy(StrEnum):
    """What is done with a channel that a request uses."""

    JUDGE = "judge"
    ALLOW = "allow"
    DENY = "deny"
    REPLACE = "replace"
    """Put the operator's own text in its place."""


class Channel(StrEnum):
    """A place for text other than the user's own turns."""

    SYSTEM = "system"
    """System and developer messages, ``system``, ``instructions``."""
    TOOLS = "tools"
    """Descriptions and schemas of tools; templates write them into the prompt."""
    TOOL_RESULTS = "tool_results"
    """What tools gave back: turns of the conversation that no user typed."""
    ASSISTANT = "assistant"
    """Earlier answers as the client tells them, reasoning and tool calls included."""
    PREFILL = "prefill"
    """A last message of the assistant, which the model continues."""
    FORMAT = "format"
    """JSON schemas, which make the model write what they say."""
    GRAMMAR = "grammar"
    """llama-server's grammars, which spell a text in more ways than can be read."""
    TEMPLATE = "template"
    """A prompt template, executed by the upstream."""
    TEMPLATE_KWARGS = "template_kwargs"
    """``chat_template_kwargs`` beyond the harmless ones: they can replace the judged messages."""
    SUFFIX = "suffix"
    """Text after the place to fill in, and further text around it."""
    CONTEXT = "context"
    """What the upstream itself puts before the model, or leaves out: token ids of an earlier answer, stored turns, web
    searches; a context that the client makes too small for what was judged."""
    RAW = "raw"
    """A prompt that brings its own control tokens."""
    IMAGES = "images"
    AUDIO = "audio"
    TOKEN_PROMPT = "token_prompt"  # noqa: S105 -- a channel, not a secret
    """A prompt of token ids, or of parts that are no text."""
    DEBUG_RENDER = "debug_render"
    """``_debug_render_only``: shows the rendered prompt, the model's system prompt included."""
    EMBEDDINGS = "embeddings"
    """Text of which only numbers come back."""


@dataclass(frozen=True, slots=True)
class ChannelRule:
    """The defaults of a channel and what it may be set to."""

    public: Policy
    trusted: Policy
    choices: frozenset[Policy]


_READABLE: Final = frozenset({Policy.JUDGE, Policy.ALLOW, Policy.DENY})
_UNREADABLE: Final = frozenset({Policy.ALLOW, Policy.DENY})

CHANNEL_RULES: Final[Mapping[Channel, ChannelRule]] = {
    Channel.SYSTEM: ChannelRule(Policy.JUDGE, Policy.ALLOW, _READABLE | {Policy.REPLACE}),
    Channel.TOOLS: ChannelRule(Policy.JUDGE, Policy.ALLOW, _READABLE),
    Channel.TOOL_RESULTS: ChannelRule(Policy.JUDGE, Policy.ALLOW, _READABLE),
    Channel.ASSISTANT: ChannelRule(Policy.JUDGE, Policy.ALLOW, _READABLE),
    Channel.PREFILL: ChannelRule(Policy.JUDGE, Policy.JUDGE, _READABLE),
    Channel.FORMAT: ChannelRule(Policy.JUDGE, Policy.ALLOW, _READABLE),
    Channel.GRAMMAR: ChannelRule(Policy.DENY, Policy.ALLOW, _READABLE),
    Channel.TEMPLATE: ChannelRule(Policy.DENY, Policy.ALLOW, _UNREADABLE),
    Channel.TEMPLATE_KWARGS: ChannelRule(Policy.DENY, Policy.DENY, _UNREADABLE),
    Channel.SUFFIX: ChannelRule(Policy.JUDGE, Policy.JUDGE, _READABLE),
    Channel.CONTEXT: ChannelRule(Policy.DENY, Policy.ALLOW, _UNREADABLE),
    Channel.RAW: ChannelRule(Policy.JUDGE, Policy.JUDGE, _READABLE),
    Channel.IMAGES: ChannelRule(Policy.DENY, Policy.ALLOW, _UNREADABLE),
    Channel.AUDIO: ChannelRule(Policy.DENY, Policy.ALLOW, _UNREADABLE),
    Channel.TOKEN_PROMPT: ChannelRule(Policy.DENY, Policy.DENY, _UNREADABLE),
    Channel.DEBUG_RENDER: ChannelRule(Policy.DENY, Policy.ALLOW, _UNREADABLE),
    Channel.EMBEDDINGS: ChannelRule(Policy.ALLOW, Policy.ALLOW, _READABLE),
}
"""Only text can be judged: a template is executed, token ids and images can't be read."""

SETTING_PREFIX: Final = "STARTREK_GUARD_CHANNEL_"


def setting_name(channel: Channel) -> str:
    """The setting that decides about ``channel``, as the user writes it."""
    return SETTING_PREFIX + channel.upper()


def default_policies(profile: Profile) -> dict[Channel, Policy]:
    """The policy of every channel under ``profile``."""
    return {
        channel: rule.public if profile is Profile.PUBLIC else rule.trusted for channel, rule in CHANNEL_RULES.items()
    }
