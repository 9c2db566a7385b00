"""What is judged of a conversation, and what follows from it.

A conversation is cut into exchanges: from what the user says to before the user speaks again. Every text of the last
exchange decides; an earlier exchange with an off-topic text is left out, blocks, or is not looked at, as the settings
say. Each text is judged in the context of the turns before it that are kept, so that nothing refers to what is gone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeVar

import structlog

from gateway.answer_memory import AnswerMemory
from gateway.channels import Channel, Policy, setting_name
from gateway.conversation import Conversation, Edit, Message, Speaker, joined_forms
from gateway.dialects.control_tokens import chat_pieces, spoken, without_switches
from gateway.errors import ChannelDeniedError, GatewayError, GuardTimeoutError, TooLongError
from gateway.judging import Judge, Text
from gateway.metrics import Metrics
from gateway.settings import History, Settings
from guard.calibration import Decision
from guard.manifest import GuardManifest
from guard.prompt import MAX_EARLIER_TURNS, Role, Turn
from guard.verdict import Verdict

_log = structlog.stdlib.get_logger(__name__)
_Result = TypeVar("_Result")

MAX_REDACTION_ROUNDS: Final = 4
"""How often the turns after a dropped one are judged again without it; then all that are left before the last go."""

MESSAGES_A_TEXT: Final = 4
"""So many messages may come for each text that may be judged: answers, tools' results, and empty ones."""

FORMS_A_TEXT: Final = 4
"""So many may be judged of one on average: its parts joined in several ways, with what stands beside and without."""

_ALONE: Final = frozenset({Channel.SYSTEM, Channel.RAW})
"""A server answers each of several raw prompts by itself."""

_SEVERITY: Final = {Decision.ALLOW: 0, Decision.FLAG: 1, Decision.BLOCK: 2}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is done with a request.

    Attributes:
        decision: forward, forward and mark, or refuse.
        reason: one word.
        score: the least of the deciding verdicts, probability of on topic; None where nothing was judged.
        edit: what to change before forwarding.
        question: what the model will answer (:attr:`_Run.key`), if its answer is to be believed when it is sent back.
    """

    decision: Decision
    reason: str
    score: float | None = None
    edit: Edit = field(default_factory=Edit)
    question: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class _Run:
    """Neighbouring messages of one side; what is made of them is looked at several times.

    Attributes:
        role: user for users and tools alike.
        messages: in order.
        judged: whether its texts are judged, by its channel's policy.
    """

    role: Role
    messages: tuple[Message, ...]
    judged: bool

    @cached_property
    def turn(self) -> Turn:
        """As context of what comes later."""
        return Turn(self.role, "\n".join(map(_said, self.messages)))

    @cached_property
    def forms(self) -> tuple[str, ...]:
        """The texts to judge."""
        if not self.judged:
            return ()
        groups: list[Sequence[Message]] = [self.messages]
        speakers = dict.fromkeys(message.speaker for message in self.messages)
        if len(speakers) > 1:
            # Templates without tools show none of their results.
            groups += [[message for message in self.messages if message.speaker is speaker] for speaker in speakers]
        # Nor do all show those of role `function`.
        groups += [[message] for message in self.messages if message.speaker is Speaker.TOOL]
        forms = dict.fromkeys(form for group in groups for form in joined_forms(group))
        said = [text for form in forms for text in spoken(form)] if self.role is Role.ASSISTANT else []
        return _with_pieces([*forms, *said])

    @cached_property
    def later(self) -> tuple[Text, ...]:
        """What is said after something else in it, each as a turn after that: not all upstreams show what is before.

        Ollama drops messages one by one until the rest fits its context (server/prompt.go), and its templates without
        messages show the last prompt alone where a tool, or a role that they do not know, stands between two
        (template/template.go, ``Execute``).
        """
        found: list[Text] = []
        for begin, group in _later_groups(self.messages) if self.judged else ():
            before = self.messages[max(0, begin - MAX_EARLIER_TURNS) : begin]
            context = tuple(Turn(self.role, _said(message)) for message in before)
            found += [Text(context, form) for form in _with_pieces(joined_forms(group))]
        return tuple(found)

    @property
    def texts(self) -> tuple[str, ...]:
        """All that is judged of it."""
        return (*self.forms, *(text.text for text in self.later))

    @cached_property
    def key(self) -> str:
        """What an answer to it answers, as one text: what was said, apart from what stands beside it."""
        texts = [["".join(message.parts), message.beside, message.unread] for message in self.messages]
        return json.dumps(texts) if any(message.texts for message in self.messages) else ""


@dataclass(frozen=True, slots=True)
class _Exchange:
    """What a user says and everything until the user speaks again."""

    runs: tuple[_Run, ...]

    @property
    def positions(self) -> frozenset[int]:
        """Where its messages stand in the body."""
        return frozenset(m.position for run in self.runs for m in run.messages if m.position is not None)

    def texts(self, context: tuple[Turn, ...]) -> list[Text]:
        """Its texts, each after ``context`` and what precedes it here."""
        found: list[Text] = []
        for run in self.runs:
            found.extend(Text(context, form) for form in run.forms)
            found.extend(Text((*context, *text.context), text.text) for text in run.later)
            context = _after(context, (run,))
        return found


class Moderator:
    """Judges conversations with one guard.

    Args:
        settings: policies and bounds.
        judge: of texts.
        answers: which earlier answers are the model's own.
        metrics: what is counted.
        clock: monotonic seconds.
    """

    def __init__(
        self, settings: Settings, judge: Judge, answers: AnswerMemory, metrics: Metrics, clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._judge = judge
        self._answers = answers
        self._metrics = metrics
        self._clock = clock

    @property
    def manifest(self) -> GuardManifest:
        """The guard's."""
        return self._judge.manifest

    async def moderate(self, conversation: Conversation) -> Outcome:
        """What to do with a conversation.

        Raises:
            ChannelDeniedError: if it uses a channel that is denied.
            GatewayError: if there is no verdict, and the settings do not let that reason through.
        """
        if conversation.empty_load:
            return Outcome(Decision.ALLOW, "nothing_to_judge")
        started = self._clock()
        refused: list[Verdict] = []
        try:
            outcome = await self._within_time(self._decide(conversation, refused))
        except GatewayError as error:
            outcome = self._outcome(refused, frozenset()) if refused else self._without_verdict(error)
        self._metrics.guard_seconds.observe(self._clock() - started)
        if self._settings.shadow:
            outcome = self._in_shadow(outcome)
        self._metrics.decisions.labels(outcome.decision, outcome.reason).inc()
        self._metrics.redacted.inc(len(outcome.edit.drop))
        return outcome

    async def verdicts(self, conversations: Sequence[Sequence[Turn]]) -> list[Verdict]:
        """The verdict on the last turn of each conversation, for those who ask the guard itself; one asker's turn each.

        Raises:
            GatewayError: if they are too long together, or there is none on any of them.
        """
        texts = [Text(tuple(turns[:-1]), turns[-1].text) for turns in conversations]
        self._check_bounds([[text.text] for text in texts])
        return await self._within_time(self._judge.verdicts(texts))

    async def _within_time(self, work: Awaitable[_Result]) -> _Result:
        try:
            async with asyncio.timeout(self._settings.guard_timeout_seconds):
                return await work
        except TimeoutError:
            raise GuardTimeoutError("the guard did not answer in time") from None

    def _without_verdict(self, error: GatewayError) -> Outcome:
        """Shadow mode and ``fail_open`` forward what has no verdict; anything else raises."""
        if self._settings.shadow:
            fate = "shadow"
        elif error.reason in self._settings.fail_open:
            fate = "failed_open"
        else:
            self._metrics.failures.labels(error.reason, "refused").inc()
            raise error
        self._metrics.failures.labels(error.reason, fate).inc()
        _log.warning("forwarded without a verdict", reason=error.reason, fate=fate)
        return Outcome(Decision.FLAG, error.reason, edit=self._own_system())

    def _in_shadow(self, outcome: Outcome) -> Outcome:
        """Nothing is refused or left out; what would have been is marked."""
        if outcome.decision is not Decision.BLOCK and not outcome.edit.drop:
            return outcome
        return dataclasses.replace(outcome, decision=Decision.FLAG, edit=self._own_system())

    def _own_system(self) -> Edit:
        """The operator's system text, which takes the place of the client's whatever else is decided."""
        replaces = self._policy(Channel.SYSTEM) is Policy.REPLACE
        return Edit(system=self._settings.system_text if replaces else None)

    async def _decide(self, conversation: Conversation, refused: list[Verdict]) -> Outcome:
        """What to do; ``refused`` gets verdicts that stand even if there are no others."""
        # First what is denied: `fail_open` may let the rest through.
        self._check_denied(conversation)
        self._check_length(conversation)
        exchanges = _exchanges(conversation.messages, self._settings, self._answers)
        if self._settings.fail_open and exchanges:
            # Whoever can bring about a failure by texts before the last must not get a refusal forgotten by it.
            refused += [verdict for verdict in await self._judge_last(exchanges) if verdict.blocked]
        # As they came first: making forms of megabytes, or looking for turns in them, holds up everybody for seconds.
        self._check_bounds([*self._channel_forms(conversation, _whole), *map(_as_said, _all_runs(exchanges))])
        extra = self._channel_texts(conversation, exchanges)
        self._check_bounds(
            [*self._channel_forms(conversation, _with_pieces), *(run.texts for run in _all_runs(exchanges))]
        )
        verdicts = await self._judge.verdicts(extra)
        if any(verdict.blocked for verdict in verdicts):
            return self._outcome(verdicts, frozenset())
        last, dropped = await self._judge_exchanges(exchanges)
        if dropped:
            # What was read after turns that are gone now is read without them, as the model will.
            kept = [exchange for exchange in exchanges if exchange.positions.isdisjoint(dropped)]
            verdicts = await self._judge.verdicts(self._channel_texts(conversation, kept))
        outcome = self._outcome([*verdicts, *last], dropped)
        return dataclasses.replace(outcome, question=self._question(conversation, exchanges, outcome))

    def _question(self, conversation: Conversation, exchanges: Sequence[_Exchange], outcome: Outcome) -> str | None:
        """What the model is about to answer in its own words; None if that is not to be remembered."""
        judging = self._policy(Channel.ASSISTANT) is Policy.JUDGE and self._settings.history is not History.IGNORE
        if not (judging and self._answers.enabled and exchanges) or outcome.decision is not Decision.ALLOW:
            return None
        last = exchanges[-1].runs[-1]
        # With a prefill, a schema or a bias on single tokens the words are the client's.
        forced = any(use.channel in {Channel.FORMAT, Channel.GRAMMAR, Channel.PREFILL} for use in conversation.channels)
        forced = forced or bool(conversation.body.get("logit_bias"))
        if forced or last.role is Role.ASSISTANT or outcome.score is None:
            return None
        return last.key or None

    def _outcome(self, verdicts: Sequence[Verdict], dropped: frozenset[int]) -> Outcome:
        edit = dataclasses.replace(self._own_system(), drop=dropped)
        if not verdicts:
            return Outcome(Decision.ALLOW, "redacted" if dropped else "nothing_to_judge", None, edit)
        worst = max(verdicts, key=lambda verdict: (_SEVERITY[verdict.decision], _badness(verdict.score)))
        if worst.decision is Decision.BLOCK:
            return Outcome(worst.decision, worst.reason, worst.score)
        reason = "redacted" if dropped else str(worst.reason)
        return Outcome(worst.decision, reason, worst.score, edit)

    def _policy(self, channel: Channel) -> Policy:
        return self._settings.channels[channel]

    def _check_denied(self, conversation: Conversation) -> None:
        for use in conversation.channels:
            self._check_channel(use.channel, use.where)
        messages = conversation.messages
        if any(message.speaker is Speaker.TOOL for message in messages):
            self._check_channel(Channel.TOOL_RESULTS, "a tool's result")
        if messages and messages[-1].speaker is Speaker.ASSISTANT:
            self._check_channel(Channel.PREFILL, "a last message of the assistant")
        if any(message.speaker is Speaker.ASSISTANT for message in messages[:-1]):
            self._check_channel(Channel.ASSISTANT, "an earlier answer")

    def _check_channel(self, channel: Channel, where: str) -> None:
        if self._policy(channel) is Policy.DENY:
            raise ChannelDeniedError(f"{where} is not let through by this gateway (setting {setting_name(channel)})")

    def _channel_texts(self, conversation: Conversation, exchanges: Sequence[_Exchange]) -> list[Text]:
        """System texts and raw prompts stand alone; schemas, tools and the rest are read as what comes after turns."""
        context = _after((), _all_runs(exchanges))
        judged = [use for use in conversation.channels if self._policy(use.channel) is Policy.JUDGE]
        texts = [
            Text(() if use.channel in _ALONE else context, text) for use in judged for text in _with_pieces(use.texts)
        ]
        return [*texts, *(Text(context, piece) for use in judged for piece in _with_pieces(use.pieces))]

    def _check_length(self, conversation: Conversation) -> None:
        """Messages without text are no texts to judge, but work all the same."""
        most = MESSAGES_A_TEXT * self._settings.max_judged_texts
        if len(conversation.messages) > most:
            raise TooLongError(f"{len(conversation.messages)} messages, this gateway reads {most} at the most")

    def _check_bounds(self, places: Sequence[Sequence[str]]) -> None:
        """What is at one place counts once, by its longest form; all forms together may be some times as much."""
        sizes = [[len(form.encode()) for form in forms] for forms in places if forms]
        size = max(sum(map(max, sizes)), sum(map(sum, sizes)) // FORMS_A_TEXT)
        count = max(len(sizes), sum(map(len, sizes)) // FORMS_A_TEXT)
        if size > self._settings.max_judged_bytes:
            raise TooLongError(
                f"{size} bytes of text to judge, this gateway judges {self._settings.max_judged_bytes} at the most"
            )
        if count > self._settings.max_judged_texts:
            raise TooLongError(
                f"{count} texts to judge, this gateway judges {self._settings.max_judged_texts} at the most"
            )

    def _channel_forms(
        self, conversation: Conversation, made: Callable[[Iterable[str]], tuple[str, ...]]
    ) -> list[tuple[str, ...]]:
        """What is made of the texts of each use; several raw prompts are several places."""
        judged = [use for use in conversation.channels if self._policy(use.channel) is Policy.JUDGE]
        whole = [made((*use.texts, *use.pieces)) for use in judged if use.channel is not Channel.RAW]
        return [*whole, *((text,) for use in judged if use.channel is Channel.RAW for text in made(use.texts))]

    async def _judge_last(self, exchanges: Sequence[_Exchange]) -> list[Verdict]:
        """The verdicts on what the user says last, as if all that stands before it were kept."""
        self._check_bounds([_as_said(run) for run in exchanges[-1].runs])
        self._check_bounds([run.texts for run in exchanges[-1].runs])
        return await self._judge.verdicts(exchanges[-1].texts(_after((), _all_runs(exchanges[:-1]))))

    async def _judge_exchanges(self, exchanges: Sequence[_Exchange]) -> tuple[list[Verdict], frozenset[int]]:
        """The deciding verdicts, and the positions of the messages to leave out.

        All exchanges are judged at once as if all were kept. What comes after an off-topic one is then judged again
        without it, as it was when it was new; most verdicts are remembered by then.
        """
        if not exchanges:
            return [], frozenset()
        if self._settings.history is History.IGNORE:
            return await self._judge_last(exchanges), frozenset()
        kept: list[_Exchange] = []
        dropped: frozenset[int] = frozenset()
        rest = list(exchanges)
        for round_number in range(MAX_REDACTION_ROUNDS + 1):
            verdicts = await self._judge_in_order(kept, rest)
            strays = [index for index in range(len(rest) - 1) if _blocked(verdicts[index])]
            if strays and self._settings.history is History.BLOCK:
                return verdicts[strays[0]], frozenset()
            if not strays:
                return verdicts[-1], dropped
            if round_number == MAX_REDACTION_ROUNDS:
                break
            dropped |= rest[strays[0]].positions
            kept += rest[: strays[0]]
            rest = rest[strays[0] + 1 :]
        # What follows the first of those that are left was only judged after it, so it goes with it.
        kept += rest[: strays[0]]
        dropped = dropped.union(*(exchange.positions for exchange in rest[strays[0] : -1]))
        return (await self._judge_in_order(kept, rest[-1:]))[0], dropped

    async def _judge_in_order(self, kept: Sequence[_Exchange], rest: Sequence[_Exchange]) -> list[list[Verdict]]:
        """The verdicts on each exchange of ``rest``, each after ``kept`` and those before it."""
        context = _after((), _all_runs(kept))
        texts: list[list[Text]] = []
        for exchange in rest:
            texts.append(exchange.texts(context))
            context = _after(context, exchange.runs)
        verdicts = iter(await self._judge.verdicts([text for group in texts for text in group]))
        return [[next(verdicts) for _ in group] for group in texts]


def _with_pieces(texts: Iterable[str]) -> tuple[str, ...]:
    """The texts, as templates change them, and what their tokens would make turns of; no empty ones, none twice."""
    whole = _whole(texts)
    switched = [less for text in whole if (less := without_switches(text)) != text and less.strip()]
    return tuple(dict.fromkeys([*whole, *switched, *(piece for text in whole for piece in chat_pieces(text))]))


def _whole(texts: Iterable[str]) -> tuple[str, ...]:
    """The texts as they came; no empty ones, none twice."""
    whole = [text for text in texts if text]
    # What joins messages without a text of their own is none either.
    return tuple(dict.fromkeys([text for text in whole if text.strip()] or whole))


def _as_said(run: _Run) -> tuple[str, ...]:
    """All of a run's words, which the longest of its forms has, too; none where it is not judged."""
    return _whole(["".join(text for message in run.messages for text in message.texts)]) if run.judged else ()


def _said(message: Message) -> str:
    # What a client put beside the parts need not be what the model read.
    return "".join(message.parts or message.texts)


def _later_groups(messages: Sequence[Message]) -> Iterable[tuple[int, Sequence[Message]]]:
    """Messages after the first that say something, and those of them that stand together, with where they begin.

    Tools' results are judged one by one anyway, and so are prompts, which have no place among messages.
    """
    stretches: list[list[int]] = []
    for index, message in enumerate(messages):
        if message.speaker is Speaker.TOOL or message.position is None or not message.parts:
            continue
        before = messages[index - 1].position if stretches and stretches[-1][-1] == index - 1 else None
        if before is None or message.position > before + 1:
            stretches.append([])
        stretches[-1].append(index)
    for index in [index for stretch in stretches for index in stretch][1:]:
        yield index, messages[index : index + 1]
    for stretch in stretches[1:]:
        if len(stretch) > 1:
            yield stretch[0], messages[stretch[0] : stretch[-1] + 1]


def _all_runs(exchanges: Sequence[_Exchange]) -> list[_Run]:
    return [run for exchange in exchanges for run in exchange.runs]


def _after(context: tuple[Turn, ...], runs: Sequence[_Run]) -> tuple[Turn, ...]:
    """The context after more turns; of more than are read, the last."""
    return (*context, *(run.turn for run in runs[-MAX_EARLIER_TURNS:]))[-MAX_EARLIER_TURNS:]


def _exchanges(messages: Sequence[Message], settings: Settings, answers: AnswerMemory) -> list[_Exchange]:
    """Cut before each run in which a user speaks."""
    found: list[list[_Run]] = []
    for run in _runs(messages, settings, answers):
        speaks = any(message.speaker is Speaker.USER for message in run.messages)
        if speaks or not found:
            found.append([])
        found[-1].append(run)
    return [_Exchange(tuple(runs)) for runs in found]


def _runs(messages: Sequence[Message], settings: Settings, answers: AnswerMemory) -> Iterable[_Run]:
    groups: list[list[Message]] = []
    for message in messages:
        if not groups or _role(groups[-1][0]) is not _role(message):
            groups.append([])
        groups[-1].append(message)
    asked: _Run | None = None
    for index, group in enumerate(groups):
        if _role(group[0]) is Role.USER:
            run = _Run(Role.USER, tuple(_readable(message, settings) for message in group), judged=True)
            asked = run
            yield run
            continue
        last = index == len(groups) - 1
        judged = settings.channels[Channel.PREFILL if last else Channel.ASSISTANT] is Policy.JUDGE
        if judged and not last and len(group) == 1:
            judged = not answers.knows(asked.key if asked else "", group[0].texts)
        yield _Run(Role.ASSISTANT, tuple(group), judged)


def _role(message: Message) -> Role:
    return Role.ASSISTANT if message.speaker is Speaker.ASSISTANT else Role.USER


def _readable(message: Message, settings: Settings) -> Message:
    """The message, without its text if that is a tool's and tools are trusted."""
    if message.speaker is Speaker.TOOL and settings.channels[Channel.TOOL_RESULTS] is Policy.ALLOW:
        return Message(message.speaker, (), message.position)
    return message


def _blocked(verdicts: Sequence[Verdict]) -> bool:
    return any(verdict.blocked for verdict in verdicts)


def _badness(score: float) -> float:
    return math.inf if math.isnan(score) else -score
