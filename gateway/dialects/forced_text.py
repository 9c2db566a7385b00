"""What a grammar, or a pattern in a schema, makes a model write; read from its source as llama.cpp reads it.

The source itself says little: comments, escapes, single-character classes and rules in another order hide the text
that the model must write (llama.cpp src/llama-grammar.cpp, common/json-schema-to-grammar.cpp).
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from gateway.errors import BadRequestError

MAX_PIECES: Final = 32_768
MAX_CHARS: Final = 131_072
"""Of a source, and of what it unfolds to: rules within rules make very much of very little."""

_ESCAPE: Final = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.DOTALL)
_CONTROLS: Final = {"n": "\n", "r": "\r", "t": "\t"}
_MEMBER: Final = re.compile(_ESCAPE.pattern + "|[^\\\\]", re.DOTALL)
_FOREIGN: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]|\A\s*%")
"""What no grammar has: llama.cpp stops reading at a NUL, and ends the server at ``%llguidance``."""

_SURROGATES: Final = (0xD800, 0xDFFF)
_LAST_CHAR: Final = 0x10FFFF

# Possessive quantifiers keep these linear on what is unfinished.
_GRAMMAR_TOKEN: Final = re.compile(
    r"""
      \#[^\r\n]*+
    | "(?P<literal>(?:[^"\\]|\\.)*+)"
    | \[(?P<chars>(?:[^\]\\]|\\.)*+)\]
    | !<[^>]{0,200}+>
    | (?P<id><\[[0-9]++\]>)
    | (?P<token><[^>]{0,200}+>)
    | (?P<name>[A-Za-z0-9-]++)(?P<defines>[ \t]*+::=)?
    | (?P<mark>[(){}"\[<])
    """,
    re.VERBOSE | re.DOTALL,
)
_PATTERN_TOKEN: Final = re.compile(
    r"""
      \[(?P<chars>(?:[^\]\\]|\\.)*+)\]
    | \\[dDwWsSbB]
    | \{(?P<times>[0-9]{1,9})[^}]{0,20}+\}
    | (?P<mark>\((?:\?[:=!])?|\))
    | [\^$*+?|.]
    | (?P<literal>\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)|[^\\])
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class ForcedText:
    """What can be read of a grammar.

    Attributes:
        texts: that it makes a model write, as far as it leaves no choice.
        token_ids: whether it names tokens by their ids, which can't be read without the model's vocabulary.
    """

    texts: tuple[str, ...]
    token_ids: bool


@dataclass(frozen=True, slots=True)
class _Piece:
    """A text, or the name of a rule."""

    text: str
    is_name: bool = False


@dataclass(slots=True)
class _Sequence:
    """Pieces in order; a group or a piece can be repeated right after it was added."""

    pieces: list[_Piece] = field(default_factory=list)
    _last: int = 0
    _groups: list[int] = field(default_factory=list)

    def add(self, piece: _Piece) -> None:
        self._last = len(self.pieces)
        self.pieces.append(piece)

    def mark(self, bracket: str) -> None:
        if bracket.startswith("("):
            self._groups.append(len(self.pieces))
        elif bracket == ")" and self._groups:
            self._last = self._groups.pop()

    def repeat(self, times: int) -> None:
        if times == 1:
            return
        again = self.pieces[self._last :]
        if times == 0:
            del self.pieces[self._last :]
            return
        if len(self.pieces) + len(again) * times > MAX_PIECES:
            raise _too_much()
        self.pieces += again * (times - 1)


def grammar_text(source: str) -> ForcedText:
    """What a GBNF grammar makes a model write.

    Its literals are read in the order of the source, in one piece and as words, and in the order of the rules.

    Raises:
        BadRequestError: if it is no such grammar, or too much.
    """
    if len(source) > MAX_CHARS:
        raise _too_much()
    if _FOREIGN.search(source):
        raise BadRequestError("grammar has a control character or begins with %, wanted GBNF such as root ::= ...")
    reader = _GrammarReader()
    for match in _GRAMMAR_TOKEN.finditer(source):
        reader.take(match)
    if not reader.rules:
        raise BadRequestError("grammar has no rule, wanted GBNF such as root ::= ...")
    literals = [piece.text for piece in reader.literals]
    forms = ("".join(literals), " ".join(literals), _unfolded({name: s.pieces for name, s in reader.rules.items()}))
    return ForcedText(_readable(forms), reader.token_ids)


def pattern_texts(schema: object) -> tuple[str, ...]:
    """What the patterns of a JSON schema, at any depth, make a model write: all together, and those of several words.

    Raises:
        BadRequestError: if they are too much.
    """
    patterns = list(_patterns(schema))
    if sum(map(len, patterns)) > MAX_CHARS:
        raise _too_much()
    texts = [_pattern_text(pattern) for pattern in patterns]
    return _readable(["\n".join(texts), *(text for text in texts if len(text.split()) > 1)])


class _GrammarReader:
    """Tokens of a grammar to its rules; the later one of a name counts.

    Attributes:
        rules: what each is made of.
        literals: in the order of the source.
        token_ids: see :class:`ForcedText`.
    """

    def __init__(self) -> None:
        self.rules: dict[str, _Sequence] = {}
        self.literals: list[_Piece] = []
        self.token_ids = False
        self._rule = _Sequence()
        self._count_wanted: bool | None = None
        """None outside of the braces of a repetition, where a number is no name."""

    def take(self, token: re.Match[str]) -> None:
        """One token more; comments have no group."""
        literal, chars, special = token["literal"], token["chars"], token["token"]
        if literal is not None:
            self._add_text(_unescaped(literal))
        elif chars is not None:
            self._add_text(_only_char(chars))
        elif special is not None:
            self._add_text(special)
        elif token["name"] is not None:
            self._take_name(token["name"], defines=token["defines"] is not None)
        elif token["mark"] is not None:
            self._take_mark(token["mark"])
        self.token_ids = self.token_ids or token["id"] is not None

    def _add_text(self, text: str) -> None:
        self._rule.add(_Piece(text))
        self.literals.append(_Piece(text))

    def _take_name(self, name: str, *, defines: bool) -> None:
        if self._count_wanted is not None:
            if self._count_wanted and name.isdigit():
                self._rule.repeat(_times(name))
            self._count_wanted = False
        elif defines:
            self._rule = self.rules[name] = _Sequence()
        else:
            self._rule.add(_Piece(name, is_name=True))

    def _take_mark(self, mark: str) -> None:
        if mark in {'"', "[", "<"}:
            raise BadRequestError('grammar leaves something open, wanted the closing one of "", [] or <>')
        if mark in {"{", "}"}:
            self._count_wanted = True if mark == "{" else None
        else:
            self._rule.mark(mark)


def _unfolded(rules: Mapping[str, Sequence[_Piece]]) -> str:
    """The text of the root with every rule in its place; a rule within itself is left out there."""
    found: list[str] = []
    steps = chars = 0
    path = {"root": iter(rules.get("root", ()))}
    while path:
        name = next(reversed(path))
        piece = next(path[name], None)
        if piece is None:
            del path[name]
        elif not piece.is_name:
            found.append(piece.text)
            chars += len(piece.text)
        elif piece.text not in path:
            path[piece.text] = iter(rules.get(piece.text, ()))
        steps += 1
        if steps > MAX_PIECES or chars > MAX_CHARS:
            raise _too_much()
    return "".join(found)


def _patterns(schema: object) -> Iterable[str]:
    stack = [schema]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if isinstance(pattern := item.get("pattern"), str):
                yield pattern
            stack.extend(reversed(item.values()))
        elif isinstance(item, list):
            stack.extend(reversed(item))


def _pattern_text(pattern: str) -> str:
    found = _Sequence()
    for token in _PATTERN_TOKEN.finditer(pattern):
        if token["literal"] is not None:
            found.add(_Piece(_unescaped(token["literal"])))
        elif token["chars"] is not None:
            found.add(_Piece(_only_char(token["chars"])))
        elif token["times"] is not None:
            found.repeat(_times(token["times"]))
        elif token["mark"] is not None:
            found.mark(token["mark"])
    return "".join(piece.text for piece in found.pieces)


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_char, text)


def _char(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2] or escape[3]
    if code is None:
        return _CONTROLS.get(escape[4], escape[4])
    number = int(code, 16)
    return "" if number > 0x10FFFF or 0xD800 <= number < 0xE000 else chr(number)


def _only_char(chars: str) -> str:
    """The character that a class leaves: all that ``[e]`` or a negated class of the others has, a spelling in ``[eE]``.

    Others in it do not count where it has one letter or digit of ASCII, or one at all: a model writes that.
    """
    spans = _spans(chars.removeprefix("^"))
    is_negated = chars.startswith("^")
    others = _complement(spans)
    points = _alphanumerics()
    # Twice turned round, what is named twice is there once.
    allowed = others if is_negated else _complement(others)
    places = [(bisect_left(points, low), bisect_right(points, high)) for low, high in allowed]
    of_ascii = bisect_left(points, 0x80)
    for end in (of_ascii, len(points)):
        within = [(first, min(last, end)) for first, last in places if first < min(last, end)]
        if sum(last - first for first, last in within) == 1:
            return chr(points[within[0][0]])
    # Without letters and digits, or with several: a choice of spellings, or of what to write.
    if is_negated or not spans or any(low != high for low, high in spans):
        return ""
    listed = [chr(low) for low, _ in spans]
    return next((char for char in listed if char.isalnum()), listed[0])


def _spans(members: str) -> list[tuple[int, int]]:
    """The characters of a class, as first and last of each of its ranges."""
    raw = [match.group() for match in _MEMBER.finditer(members)]
    spans: list[tuple[int, int]] = []
    place = 0
    while place < len(raw):
        is_range = raw[place + 1 : place + 2] == ["-"] and place + 2 < len(raw)
        first, last = _unescaped(raw[place]), _unescaped(raw[place + 2 if is_range else place])
        if first and last:
            spans.append((ord(first), ord(last)))
        place += 3 if is_range else 1
    return spans


def _complement(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    gaps: list[tuple[int, int]] = []
    after = 0
    for low, high in sorted([*spans, _SURROGATES]):
        if low > after:
            gaps.append((after, low - 1))
        after = max(after, high + 1)
    return [*gaps, (after, _LAST_CHAR)] if after <= _LAST_CHAR else gaps


@cache
def _alphanumerics() -> Sequence[int]:
    """Every letter and digit of Unicode, in order."""
    return array("I", (point for point in range(_LAST_CHAR + 1) if chr(point).isalnum()))


def _times(digits: str) -> int:
    return min(int(digits[:9]), MAX_PIECES)


def _readable(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if any(char.isalnum() for char in text)))


def _too_much() -> BadRequestError:
    return BadRequestError(
        "a grammar or pattern has too much text, or unfolds to too much: wanted less text and fewer repetitions"
    )
