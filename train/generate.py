"""Compose labelled rows from an authored corpus; deterministic by seed.

Every authored piece is first given its side of the split by a hash of its origin, and rows are composed of pieces
of one side only: no entity, frame, wrapper or authored prompt stands on two. Wrappers, disguises and frames are laid
round both labels alike, so that none of them decides by itself.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from guard.labels import Labels
from guard.prompt import Role, Turn
from train.corpus import Corpus, Dialogue, Name, Piece
from train.disguise import mistype, obfuscate, recase, strew
from train.rows import Row


class Side(StrEnum):
    """The sides of a split."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Mixture:
    """How many rows of each kind are composed for the training side; the other sides get their share of it.

    Attributes:
        variants: share of the authored prompts that is also written with typos, other casing or politeness.
        named: rows about a name of the topic or a confusable, in a frame or bare.
        wrapped: prompts in an injection's or a character's wrapper.
        obfuscated: disguised prompts.
        buried: long texts of one subject with an ask of the same or the other in them.
        strewn: asks with names of the topic, or of elsewhere, strewn round them.
        long: long texts put together from several prompts of one label.
        composed_dialogues: dialogues of two authored prompts, elliptical follow-ups and small talk.
        validation_share: of the origins.
        test_share: of the origins.
    """

    variants: float = 0.2
    named: int = 8000
    wrapped: int = 2600
    obfuscated: int = 3000
    buried: int = 2000
    strewn: int = 2000
    long: int = 350
    composed_dialogues: int = 1600
    validation_share: float = 0.03
    test_share: float = 0.03


DEFAULT_MIXTURE: Final = Mixture()


def generate(corpus: Corpus, labels: Labels, seed: int, mixture: Mixture = DEFAULT_MIXTURE) -> dict[Side, list[Row]]:
    """Rows by side, shuffled, before duplicates are removed (:mod:`train.dataset` does that)."""
    share = {
        Side.VALIDATION: mixture.validation_share,
        Side.TEST: mixture.test_share,
        Side.TRAIN: 1.0 - mixture.validation_share - mixture.test_share,
    }
    sides = {}
    for side in Side:
        pool = _Pool(corpus, labels, side, seed, mixture)
        rows = list(_Composer(pool, mixture, scale=share[side] / share[Side.TRAIN]).rows())
        pool.random.shuffle(rows)
        sides[side] = rows
    return sides


def side_of(origin: str, seed: int, mixture: Mixture) -> Side:
    """The side on which everything made of this origin stands."""
    place = int.from_bytes(hashlib.sha256(f"{seed}/{origin}".encode()).digest()[:8], "big") / 2**64
    if place < mixture.test_share:
        return Side.TEST
    return Side.VALIDATION if place < mixture.test_share + mixture.validation_share else Side.TRAIN


class _Pool:
    """The corpus' pieces of one side."""

    def __init__(self, corpus: Corpus, labels: Labels, side: Side, seed: int, mixture: Mixture) -> None:
        def here(pieces: Sequence[Piece]) -> list[Piece]:
            return [piece for piece in pieces if side_of(piece.origin, seed, mixture) is side]

        self.labels = labels
        self.random = random.Random(f"{seed}/{side}")  # noqa: S311 - reproducible, not secret
        self.prompts = here(corpus.prompts)
        self.twins = here(corpus.twins)
        self.dialogues = [d for d in corpus.dialogues if side_of(d.origin, seed, mixture) is side]
        self.names = [n for n in corpus.names if side_of(n.origin, seed, mixture) is side]
        # A side without a frame of some kind would have no rows of it: small sides borrow none, they go without.
        self.frames = _by_kind(here(corpus.frames))
        self.parts = _by_kind(here(corpus.dialogue_parts))
        self.wrappers = _by_kind(here(corpus.wrappers))
        self.on_topic_words = {n.text.casefold() for n in corpus.names if n.on_topic}
        self.other_words = {n.text.casefold() for n in corpus.names if not n.on_topic}

    def of(self, *, on_topic: bool, longest: int = 10**6, kinds: frozenset[str] | None = None) -> list[Piece]:
        """Authored prompts of one label, up to a length in characters."""
        return [
            piece
            for piece in self.prompts
            if piece.on_topic is on_topic and len(piece.text) <= longest and (kinds is None or piece.kind in kinds)
        ]

    def label(self, on_topic: bool | None) -> str:
        return self.labels.on_topic if on_topic else self.labels.off_topic


def _by_kind(pieces: Sequence[Piece]) -> dict[str, list[Piece]]:
    kinds: dict[str, list[Piece]] = {}
    for piece in pieces:
        kinds.setdefault(piece.kind, []).append(piece)
    return kinds


_FRAME_KINDS: Final = {
    "ship": ("ship", "starship", "freighter", "runabout", "shuttle", "spacecraft", "probe", "vessel", "yacht"),
    "place": ("planet", "moon", "city", "town", "region", "colony", "station", "starbase", "system", "nebula", "star",
              "place", "country", "quadrant", "sector", "island", "street", "bar", "restaurant"),
    "species": ("species", "people", "race", "tribe"),
    "work": ("episode", "film", "novel", "book", "game", "comic", "series", "show", "album", "song", "short"),
    "actor": ("actor", "actress", "voice_actor"),
    "person": ("character", "android", "hologram", "person", "astronaut", "scientist", "god", "player", "athlete",
               "musician", "writer", "astronomer", "robot"),
}  # fmt: skip


def frame_kind(kind: str) -> str:
    """Which frames fit a kind of name: the first whose word stands in it, else ``thing``."""
    words = kind.split("_")
    for frames, markers in _FRAME_KINDS.items():
        if any(word in markers or word.rstrip("s") in markers for word in words):
            return frames
    return "thing"


@dataclass
class _Composer:
    """Makes the rows of one side."""

    pool: _Pool
    mixture: Mixture
    scale: float
    _short_on: list[Piece] = field(init=False)
    _short_off: list[Piece] = field(init=False)
    _asks: dict[bool, list[Piece]] = field(init=False)
    _bodies: dict[bool, list[Piece]] = field(init=False)
    _words: dict[bool, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self._short_on = self.pool.of(on_topic=True, longest=220)
        self._short_off = self.pool.of(on_topic=False, longest=220)
        self._asks = {
            True: [piece for piece in self._short_on if _is_ask(piece)],
            False: [piece for piece in self._short_off if _is_ask(piece) and piece.kind in _PLAINLY_ELSEWHERE],
        }
        self._bodies = {
            True: _telling(self.pool.of(on_topic=True, kinds=_TELLING)),
            False: _telling(self.pool.of(on_topic=False, kinds=_TELLING_ELSEWHERE)),
        }
        self._words = {
            of_topic: [name.text for name in self.pool.names if name.on_topic is of_topic and len(name.text) <= 20]
            for of_topic in (True, False)
        }

    def rows(self) -> Iterator[Row]:
        yield from self._authored()
        yield from self._lone_small_talk()
        makers: list[tuple[int, Callable[[bool], Row | None]]] = [
            (self.mixture.wrapped, self._wrapped),
            (self.mixture.obfuscated, self._obfuscated),
            (self.mixture.buried, self._buried),
            (self.mixture.strewn, self._strewn),
            (self.mixture.long, self._long),
            (self.mixture.composed_dialogues, self._composed_dialogue),
        ]
        yield from self._named()
        for count, make in makers:
            for number in range(round(count * self.scale)):
                if (row := make(number % 2 == 0)) is not None:
                    yield row

    def _authored(self) -> Iterator[Row]:
        for piece in self.pool.prompts:
            yield self._row(piece.text, piece.on_topic, f"{piece.kind}", piece.origin, "prompts")
            if len(piece.text) < 400 and self.pool.random.random() < self.mixture.variants:
                yield self._row(self._variant(piece.text), piece.on_topic, piece.kind, piece.origin, "variants")
        for piece in self.pool.twins:
            yield self._row(piece.text, piece.on_topic, f"evasion_{piece.kind}", piece.origin, "twins")
            if self.pool.random.random() < self.mixture.variants / 2:
                text = recase(piece.text, self.pool.random)
                yield self._row(text, piece.on_topic, f"evasion_{piece.kind}", piece.origin, "twins")
        for dialogue in self.pool.dialogues:
            yield from self._dialogue_rows(dialogue)

    def _dialogue_rows(self, dialogue: Dialogue) -> Iterator[Row]:
        for place, on_topic in enumerate(dialogue.on_topic):
            if on_topic is not None:
                turns = dialogue.turns[: place + 1]
                kind = f"dialogue_{dialogue.kind}"
                yield Row(turns, self.pool.label(on_topic), kind, dialogue.origin, "dialogues")

    def _lone_small_talk(self) -> Iterator[Row]:
        for kind in ("lone", "small_talk"):
            for piece in self.pool.parts.get(kind, []):
                yield self._row(
                    piece.text, on_topic=False, slice_="small_talk", origin=piece.origin, source="small talk"
                )

    def _named(self) -> Iterator[Row]:
        """Every name once or more: framed, with its series, or bare where the bare name is unmistakable."""
        for on_topic in (True, False):
            names = [name for name in self.pool.names if name.on_topic is on_topic]
            wanted = round(self.mixture.named * self.scale * (0.6 if on_topic else 0.4))
            for number in range(wanted if names else 0):
                name = names[number % len(names)]
                if (row := self._name_row(name)) is not None:
                    yield row

    def _name_row(self, name: Name) -> Row | None:
        kind = frame_kind(name.kind)
        ambiguous = self._ambiguous(name)
        chance = self.pool.random.random()
        if chance < 0.2 and not ambiguous and kind != "actor":
            return self._row(self._maybe_recased(name.text), name.on_topic, "short", name.origin, "names")
        # A name that means something else elsewhere needs its world beside it.
        if ambiguous or (chance < 0.35 and name.on_topic and kind != "actor"):
            kind = "series"
        frames = [f for f in self.pool.frames.get(kind, []) if f.on_topic in (None, name.on_topic)]
        if not frames or (kind == "series" and not self._where(name)):
            return None
        frame = self.pool.random.choice(frames).text
        text = frame.replace("{name}", name.text).replace("{series}", self._where(name))
        return self._row(self._maybe_recased(text), name.on_topic, "names", name.origin, "names")

    def _ambiguous(self, name: Name) -> bool:
        others = self.pool.other_words if name.on_topic else self.pool.on_topic_words
        common = name.on_topic and " " not in name.text and name.text.isalpha() and len(name.text) <= 5
        return name.text.casefold() in others or common

    def _where(self, name: Name) -> str:
        if not name.on_topic:
            return name.where
        known = [SERIES_NAMES[code] for code in name.where.split("+") if code in SERIES_NAMES]
        return self.pool.random.choice(self.pool.random.choice(known)) if known else ""

    def _wrapped(self, on_topic: bool) -> Row | None:
        kind = self.pool.random.choices(["neutral", "injection", "trek_dress"], [2, 4, 4])[0]
        wrappers, prompt = self.pool.wrappers.get(kind), self._pick(on_topic)
        if not wrappers or prompt is None:
            return None
        text = self.pool.random.choice(wrappers).text.replace("{prompt}", prompt.text)
        slice_ = prompt.kind if kind == "neutral" else f"evasion_{kind}"
        return self._row(self._maybe_recased(text, 0.1), on_topic, slice_, prompt.origin, "wrapped")

    def _obfuscated(self, on_topic: bool) -> Row | None:
        prompt = self._pick(on_topic)
        if prompt is None:
            return None
        text = obfuscate(prompt.text, self.pool.random)
        return self._row(text, on_topic, "evasion_obfuscation", prompt.origin, "obfuscated")

    def _buried(self, on_topic: bool) -> Row | None:
        """A long text of one subject with an ask in it: of the same subject, or of the other."""
        of_topic = self.pool.random.random() < _BODIES_OF_TOPIC
        bodies, asks = self._bodies[of_topic], self._asks[on_topic]
        if not bodies or not asks:
            return None
        ask = self.pool.random.choice(asks)
        sentences = [piece.text for piece in self.pool.random.choices(bodies, k=self.pool.random.randint(2, 6))]
        sentences.insert(self.pool.random.randint(0, len(sentences)), ask.text)
        text = self.pool.random.choice([" ", " ", "\n"]).join(_sentence(s) for s in sentences)
        return self._row(text, on_topic, "evasion_buried", ask.origin, "buried")

    def _strewn(self, on_topic: bool) -> Row | None:
        """An ask with bare names before, in and after it: of the topic, or of elsewhere round an ask of the topic."""
        of_topic = not on_topic or self.pool.random.random() < 0.5
        asks, names = self._asks[on_topic], self._words[of_topic]
        if not asks or not names:
            return None
        ask = self.pool.random.choice(asks)
        text = strew(ask.text, self.pool.random.sample(names, min(len(names), 6)), self.pool.random)
        return self._row(self._maybe_recased(text), on_topic, "evasion_strewn_words", ask.origin, "strewn")

    def _long(self, on_topic: bool) -> Row | None:
        bodies = self.pool.of(on_topic=on_topic, longest=300)
        if not bodies:
            return None
        first = self.pool.random.choice(bodies)
        same = [piece for piece in bodies if piece.kind == first.kind]
        pieces = [first, *self.pool.random.choices(same, k=self.pool.random.randint(3, 12))]
        text = self.pool.random.choice([" ", " ", "\n"]).join(_sentence(piece.text) for piece in pieces)
        return self._row(text, on_topic, "long", first.origin, "long")

    def _composed_dialogue(self, on_topic: bool) -> Row | None:
        """One or two exchanges of one subject, then a turn whose own words or whose context decide."""
        shape = self.pool.random.choices(["switch", "stay", "follow", "small_talk"], [4, 3, 5, 2])[0]
        before = not on_topic if shape == "switch" else on_topic
        turns: list[Turn] = []
        for _ in range(self.pool.random.choice([1, 1, 1, 2])):
            asked = self._pick(before)
            if asked is None:
                return None
            turns += [Turn(Role.USER, asked.text), Turn(Role.ASSISTANT, self._answer(before))]
        last = self._pick(on_topic) if shape in ("switch", "stay") else self._part(shape)
        if last is None:
            return None
        origin = last.origin if shape in ("switch", "stay") else turns[0].text.casefold()
        turns.append(Turn(Role.USER, self._maybe_recased(last.text)))
        return Row(tuple(turns), self.pool.label(on_topic), f"dialogue_{shape}", origin, "composed")

    def _part(self, shape: str) -> Piece | None:
        parts = self.pool.parts.get({"follow": "followups"}.get(shape, shape))
        return self.pool.random.choice(parts) if parts else None

    def _answer(self, on_topic: bool) -> str:
        """What the assistant said: a stretch of an authored answer, a vague one, or nothing that was kept."""
        refusals, answers = self.pool.parts.get("refusals"), self.pool.parts.get("answers")
        if not on_topic and refusals and self.pool.random.random() < 0.3:
            return self.pool.random.choice(refusals).text
        authored = [
            turn.text
            for dialogue in self.pool.random.sample(self.pool.dialogues, min(6, len(self.pool.dialogues)))
            for turn, before in zip(dialogue.turns[1:], dialogue.on_topic, strict=False)
            if turn.role is Role.ASSISTANT and before is on_topic
        ]
        if authored and self.pool.random.random() < 0.5:
            return self.pool.random.choice(authored)
        return self.pool.random.choice(answers).text if answers else ""

    def _pick(self, on_topic: bool) -> Piece | None:
        prompts = self._short_on if on_topic else self._short_off
        return self.pool.random.choice(prompts) if prompts else None

    def _variant(self, text: str) -> str:
        chance = self.pool.random.random()
        if chance < 0.4:
            return recase(text, self.pool.random)
        if chance < 0.75:
            return self._maybe_recased(mistype(text, self.pool.random), 0.5)
        wrappers = self.pool.wrappers.get("neutral")
        if not wrappers:
            return recase(text, self.pool.random)
        return self.pool.random.choice(wrappers).text.replace("{prompt}", text)

    def _maybe_recased(self, text: str, share: float = 0.35) -> str:
        return recase(text, self.pool.random) if self.pool.random.random() < share else text

    def _row(self, text: str, on_topic: bool | None, slice_: str, origin: str, source: str) -> Row:
        return Row((Turn(Role.USER, text),), self.pool.label(on_topic), slice_, origin, source)


_TELLING: Final = frozenset(
    {"statements", "canon", "obscure", "new_series", "plots", "chatty", "long", "characters", "works", "things"}
)
"""Slices whose prompts can stand as sentences of a longer text."""

_TELLING_ELSEWHERE: Final = frozenset({"statements"})
"""The same, of what is not the topic; other slices ask for something also without a question mark."""

_BODIES_OF_TOPIC: Final = 0.65
"""Of the texts that an ask is buried in."""

_PLAINLY_ELSEWHERE: Final = frozenset(
    {"everyday", "coding", "general", "creative", "space_science", "typos", "languages"}
)
"""Slices that no name of the topic beside them draws to it, as it may draw another film."""

_WORDS_OF_AN_ASK: Final = 4
"""Fewer might be one more of the names."""


def _is_ask(piece: Piece) -> bool:
    return piece.text.count(" ") + 1 >= _WORDS_OF_AN_ASK


def _telling(pieces: Sequence[Piece]) -> list[Piece]:
    """Those that ask nothing: an ask buried among them is then the only one."""
    return [piece for piece in pieces if "?" not in piece.text]


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?", "。", "？", "！")) else f"{text}."


SERIES_NAMES: Final[dict[str, list[str]]] = {
    "TOS": ["TOS", "Star Trek", "the original series", "the original Star Trek"],
    "TAS": ["TAS", "the animated series", "Star Trek"],
    "TNG": ["TNG", "Next Generation", "Star Trek TNG", "The Next Generation"],
    "DS9": ["DS9", "Deep Space Nine", "deep space 9"],
    "VOY": ["VOY", "Voyager", "Star Trek Voyager"],
    "ENT": ["Star Trek Enterprise", "ENT", "Enterprise (the prequel)"],
    "DIS": ["Discovery", "DISCO", "Star Trek Discovery"],
    "PIC": ["Star Trek Picard", "Picard season 3", "PIC"],
    "SNW": ["Strange New Worlds", "SNW"],
    "LD": ["Lower Decks", "Star Trek Lower Decks"],
    "PRO": ["Star Trek Prodigy", "Prodigy"],
    "SA": ["Starfleet Academy"],
    "S31": ["Section 31", "the Section 31 movie"],
    "KEL": ["the Kelvin movies", "Star Trek 2009", "the JJ Abrams Trek films"],
    "FILM": ["the Star Trek movies", "the Trek films"],
    "BOOK": ["the Star Trek novels", "Trek lit"],
    "GAME": ["the Star Trek games", "Star Trek Online"],
    "PROD": ["Star Trek", "Trek"],
}
"""How people call the series whose codes stand in the lists of names."""
