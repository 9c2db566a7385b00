"""Undo the disguises of a text before a model reads it; the same function serves training and judging.

Sources: Unicode NFKC (UAX 15), confusables (UTS 39, the letters that pass for Latin ones in practice),
Unicode tag characters, variation selectors and format characters of no width (which hide ASCII, bytes and bits from the
eye, not from a model). Characters that are private, unassigned, or too new for Python's tables become U+FFFD, not
nothing: a model may know them.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections import Counter
from typing import Final

# Letters of other scripts that pass for Latin ones (the part of UTS 39 that people use for disguise).
_CYRILLIC_GREEK: Final = "аеорсухіјѕԁԛԝһАВЕКМНОРСТУХІЈЅΑΒΕΖΗΙΚΜΝΟΡΤΥΧαεικνορτυχгпмтькӏ"
_THEIR_LATIN: Final = "aeopcyxijsdqwhABEKMHOPCTYXIJSABEZHIKMNOPTYXaeikvoptuxrnmtbkl"
_SMALL_CAPITALS: Final = "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢɑɡıɩ"
_THEIR_LETTERS: Final = "abcdefghijklmnoprstuvwyzagii"
_HOMOGLYPHS: Final = dict(zip(_CYRILLIC_GREEK, _THEIR_LATIN, strict=True))
_COMBINING_CODES: Final = (*range(0x363, 0x370), 0x1ABF, 0x1AC0, *range(0x1ACC, 0x1ACF), *range(0x1DD3, 0x1DF5))
_COMBINING: Final = "".join(map(chr, _COMBINING_CODES))
"""Latin letters that are written above or below others: shown, lest they go the way of marks heaped on a letter."""
_THEIR_BASES: Final = "aeioucdhmrtvxwwgrtaæaacddggkllmnnrrsszabbeflopsuwaou"
_ALWAYS: Final = str.maketrans(
    dict(zip(_SMALL_CAPITALS, _THEIR_LETTERS, strict=True))
    | dict(zip(_COMBINING, _THEIR_BASES, strict=True))
    # Regional indicators and negative squared letters, which NFKC leaves alone.
    | {chr(0x1F1E6 + i): chr(ord("a") + i) for i in range(26)}
    | {chr(0x1F170 + i): chr(ord("a") + i) for i in range(26)}
    | {chr(0x1F150 + i): chr(ord("a") + i) for i in range(26)}
    # Tag characters carry hidden ASCII: make it visible, so that it is judged.
    | {chr(0xE0000 + i): chr(i) for i in range(0x20, 0x7F)}
    # Outlined capitals and digits, which NFKC folds from Unicode 16 on.
    | {chr(0x1CCD6 + i): chr(ord("A") + i) for i in range(26)}
    | {chr(0x1CCF0 + i): chr(ord("0") + i) for i in range(10)}
    # SentencePiece's own mark for a space, and the empty Braille cell.
    | {"\u2581": " ", "\u2800": " "}
    # Invisible though they count as letters or marks (Default_Ignorable_Code_Point less the format characters).
    | dict.fromkeys("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0", "")
)
_LEET: Final = str.maketrans("0134578@$", "oieastbas")

_ASCII_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_WORD: Final = re.compile(r"[^\W\d_]+")
# Marks that strike a letter through or ring it; behind an operator they make another (the negation of an equals sign).
_OVERLAYS: Final = re.compile("(?<=[\\w\\s.,!?])[\u0334-\u0338\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0\ufe20-\ufe2f]+")
_STACKED_MARKS: Final = re.compile(r"([^\W\d_])[\u0300-\u036f]{2,}")
_SPACED_LETTERS: Final = re.compile(r"(?<![^\W_])(?:[^\W\d_]([ .\-_*|/\ufffd]))(?:[^\W\d_]\1){2,}[^\W\d_](?![^\W_])")
_SELECTORS: Final = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]+")
"""Variation selectors: one chooses the look of the character before it, a run of them spells bytes."""

_ABOVE: Final = re.compile(f"[{_COMBINING}]")

_INVISIBLE: Final = "\u00ad\u200b-\u200f\u2060-\u2064\u2066-\u206f\ufeff"
_BIT: Final = re.compile(f"[{_INVISIBLE}]")
"""Format characters of no width: two kinds of them spell bits."""

_CONCEALING: Final = re.compile(f"[\U000e0020-\U000e007f\U000e0100-\U000e01ef\ufe00-\ufe0f{_COMBINING}{_INVISIBLE}]+")
"""Tag characters, variation selectors, combining letters and what spells bits."""

_PICTURES: Final = range(0x1F300, 0x1FB00)
"""Unicode's blocks of emoji."""

_UNKNOWN: Final = "\ufffd"
_UNKNOWN_RUN: Final = re.compile(f"{_UNKNOWN}{{2,}}")
_WIDE_GAP: Final = re.compile(r"[ \t]{2,}")
_STRETCHED: Final = re.compile(r"([^\W\d_])\1{3,}")
_LEET_RUN: Final = re.compile(r"[\w@$]+(\.\w)?")
_LEET_INSIDE: Final = re.compile(r"[a-zA-Z][0134578@$]{1,2}[a-zA-Z]")
_LEET_WORD: Final = re.compile(r"(?=[^a-zA-Z]*[a-zA-Z])[0134578@$]{0,2}(?:[a-zA-Z]+[0134578@$]{1,2})*[a-zA-Z]*")
_BASE64: Final = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,}={0,2}(?![A-Za-z0-9+/_=-])")
_HEXADECIMAL: Final = re.compile(r"(?<!\w)(?:0x)?(?:[0-9a-fA-F]{2}[ :]?){8,}(?!\w)")
_BINARY: Final = re.compile(r"(?<!\w)(?:[01]{8}\s?){4,}(?!\w)")
_PERCENT: Final = re.compile(r"(?:%[0-9a-fA-F]{2}){2,}")
_ENTITY: Final = re.compile(r"&#(?:x([0-9a-fA-F]{1,6})|(\d{1,7}));")
_CONTROL_OPENER: Final = re.compile(r"<(?=\S)|\[(?=[A-Za-z/|])")
_BLANKS: Final = re.compile(r"[^\S\n]+")
_LINES: Final = re.compile(r" ?\n[ \n]*")

MAX_MARKS: Final = 8
"""Combining marks in a row; no language stacks as many."""

MAX_DECODING_ROUNDS: Final = 3
"""How often a decoded text is searched for further encoded text."""

_LEAST_SELECTORS: Final = 3
"""That spell bytes; no script and no emoji has more than one in a row."""

_LEAST_ABOVE: Final = 6
"""Of combining letters that may be a text; the old scripts that have them have a few."""

_LEAST_BITS: Final = 32
"""Four letters; languages that need such characters have fewer, or they spell nothing."""


def without_concealed(text: str) -> str:
    """The text without characters that hide others from the eye: a model may not know what they spell.

    :func:`normalise` shows what they spell, since a model may; read with the rest, it could make an innocent whole of
    what is none without it.
    """
    return text if text.isascii() else _CONCEALING.sub("", text)


def written_above(text: str) -> str:
    """The letters that stand above others, as a text of their own; empty where they are too few for one.

    :func:`normalise` shows them between the others, where a guard can't tell the two texts apart.
    """
    letters = "" if text.isascii() else "".join(_ABOVE.findall(text))
    return letters.translate(_ALWAYS) if len(letters) >= _LEAST_ABOVE else ""


def normalise(text: str) -> str:
    """The text as the guard reads it: disguises undone, white space collapsed, no control token possible.

    Raises:
        ValueError: if ``text`` has a lone surrogate, which is no Unicode text.
    """
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("the text has a lone surrogate, wanted well-formed Unicode")
    for _ in range(MAX_DECODING_ROUNDS):
        text = _fold(text)
        decoded = _decode(text)
        if decoded == text:
            break
        text = decoded
    else:
        text = _fold(text)
    # Last, since stretched letters and digits between letters also occur in code, which would no longer be read.
    text = _fold_leet(_STRETCHED.sub(r"\1\1", text))
    text = _CONTROL_OPENER.sub(lambda match: match.group() + " ", text)
    return _LINES.sub("\n", _BLANKS.sub(" ", text)).strip()


def _fold(text: str) -> str:
    # Most texts are ASCII, where controls are all there is to fold; the way of the others takes as long as all else.
    text = _ASCII_CONTROL.sub(" ", text) if text.isascii() else _fold_unicode(text)
    return _join_spaced_letters(text)


def _fold_unicode(text: str) -> str:
    text = _show(text)
    # Spelt selectors may spell selectors. Each round has a third of those before at the most, so it ends.
    while _SELECTORS.search(text):
        text = _show(_SELECTORS.sub(_read_selectors, text) + _read_scattered(text))
    text = unicodedata.normalize("NFKC", _without_heaps(text))
    text = _OVERLAYS.sub("", _STACKED_MARKS.sub(r"\1", unicodedata.normalize("NFD", text)))
    return _UNKNOWN_RUN.sub(_UNKNOWN, _fold_homoglyphs(unicodedata.normalize("NFC", text)))


def _show(text: str) -> str:
    """The text without what is invisible, which between the characters of a run would hide that it is one."""
    return "".join(_visible(character) for character in (text + _read_bits(text)).translate(_ALWAYS))


def _without_heaps(text: str) -> str:
    """The text with at most :data:`MAX_MARKS` combining marks in a row: putting them in order takes their square."""
    kept: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= MAX_MARKS:
            kept.append(character)
    return "".join(kept)


def _visible(character: str) -> str:
    if character in "\n\t":
        return character
    category = unicodedata.category(character)
    if category == "Cf":
        return ""
    if category in {"Co", "Cn"}:
        # Pictures that are newer than Python's tables are common, and no letters.
        return " " if category == "Cn" and ord(character) in _PICTURES else _UNKNOWN
    return " " if category in {"Cc", "Zl", "Zp"} else character


def _read_selectors(match: re.Match[str]) -> str:
    """The text whose bytes a run of variation selectors spells; nothing where they are few, or spell controls only."""
    run = match.group()
    return _spelt(_bytes_of(run)) if len(run) >= _LEAST_SELECTORS else ""


def _read_scattered(text: str) -> str:
    """What selectors spell that stand singly or in pairs, one behind each letter of another text."""
    singly = "".join(run for run in _SELECTORS.findall(text) if len(run) < _LEAST_SELECTORS)
    # Those that choose a look, of emoji and ideographs, are the first ones: control characters.
    data = bytes(byte for byte in _bytes_of(singly) if byte >= 0x20)
    return _spelt(data) if len(data) >= _LEAST_SELECTORS else ""


def _bytes_of(selectors: str) -> bytes:
    return bytes(ord(c) - 0xFE00 if c <= "\ufe0f" else ord(c) - 0xE0100 + 16 for c in selectors)


def _spelt(data: bytes) -> str:
    decoded = _ASCII_CONTROL.sub("", data.decode("utf-8", errors="replace")).strip()
    return f" {decoded} " if decoded else ""


def _read_bits(text: str) -> str:
    """What the two most frequent kinds of invisible characters spell in bits, wherever they stand, if it is a text."""
    marks = _BIT.findall(text)
    if len(marks) < _LEAST_BITS:
        return ""
    kinds = [kind for kind, _ in Counter(marks).most_common(2)]
    for one in kinds if len(kinds) == 2 else ():
        bits = "".join("1" if mark == one else "0" for mark in marks if mark in kinds)
        bits = bits[: len(bits) - len(bits) % 8]
        if bits and (found := _readable(int(bits, 2).to_bytes(len(bits) // 8, "big"), "")):
            return found
    return ""


def _fold_homoglyphs(text: str) -> str:
    """Fold words that mix Latin with look-alikes, and words of look-alikes alone in an otherwise Latin text."""
    if text.isascii() or not any(character in _HOMOGLYPHS for character in text):
        return text
    latin = sum(character.isascii() and character.isalpha() for character in text)
    mostly_latin = latin * 2 > sum(character.isalpha() for character in text)

    def fold(match: re.Match[str]) -> str:
        word = match.group()
        mixed = any(character.isascii() for character in word)
        disguised = mostly_latin and all(character in _HOMOGLYPHS for character in word)
        if not (mixed or disguised):
            return word
        return "".join(_HOMOGLYPHS.get(character, character) for character in word)

    return _WORD.sub(fold, text)


def _join_spaced_letters(text: str) -> str:
    """``S p o c k`` becomes ``Spock``; a wider gap between two spaced words stays a gap."""

    def join(match: re.Match[str]) -> str:
        return match.group().replace(match.group(1), "")

    pieces = _WIDE_GAP.split(text)
    joined = [_SPACED_LETTERS.sub(join, piece) for piece in pieces]
    return text if joined == pieces else " ".join(joined)


def _fold_leet(text: str) -> str:
    """Fold ``sp0ck``-like words, if at least two (or most) of the words are so: one alone may be a name.

    Only digits between letters say that a text is so written (``8am``, ``5V`` and ``mp3`` are not); where it is,
    those at a word's ends are folded too.
    """
    if not _LEET_INSIDE.search(text):
        return text
    count = sum(_is_leet(run) and _LEET_INSIDE.search(run.group()) is not None for run in _LEET_RUN.finditer(text))
    if count == 0 or (count < 2 and len(text.split()) > 2):
        return text
    return _LEET_RUN.sub(lambda run: run.group().translate(_LEET) if _is_leet(run) else run.group(), text)


def _is_leet(run: re.Match[str]) -> bool:
    """Whether a run mixes letters with a few digits that pass for letters, and is no part of an address."""
    return run.group(1) is None and _LEET_WORD.fullmatch(run.group()) is not None


def _decode(text: str) -> str:
    """Replace runs of base64, hexadecimal, binary, percent and entity codes that hold readable text by that text."""
    text = _ENTITY.sub(_read_entity, text)
    text = _PERCENT.sub(lambda match: _readable(bytes.fromhex(match.group().replace("%", "")), match.group()), text)
    text = _BINARY.sub(_read_binary, text)
    text = _HEXADECIMAL.sub(_read_hexadecimal, text)
    return _BASE64.sub(_read_base64, text)


def _read_entity(match: re.Match[str]) -> str:
    code = int(match.group(1), 16) if match.group(1) else int(match.group(2))
    surrogate = 0xD800 <= code <= 0xDFFF
    return match.group() if code > 0x10FFFF or code == 0 or surrogate else chr(code)


def _read_binary(match: re.Match[str]) -> str:
    bits = "".join(match.group().split())
    return _readable(int(bits, 2).to_bytes(len(bits) // 8, "big"), match.group())


def _read_hexadecimal(match: re.Match[str]) -> str:
    digits = match.group().removeprefix("0x").replace(" ", "").replace(":", "")
    return _readable(bytes.fromhex(digits), match.group())


def _read_base64(match: re.Match[str]) -> str:
    run = match.group().rstrip("=").replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(run + "=" * (-len(run) % 4), validate=True)
    except binascii.Error:
        return match.group()
    decoded = _readable(data, "")
    # Mixed-case words may be base64, too, and what is decoded takes their place: it must be words itself, or base64 of
    # words. Random bytes are hardly ever letters of one case with spaces between.
    inner = _BASE64.sub(_read_base64, decoded)
    return inner if decoded and (inner != decoded or _are_words(decoded)) else match.group()


def _readable(data: bytes, otherwise: str) -> str:
    """``data`` as text if a person could read it, else ``otherwise``: random bytes are hardly ever letters in UTF-8."""
    try:
        decoded = data.decode("utf-8")
    except UnicodeDecodeError:
        return otherwise
    plain = sum(character.isalnum() or character in " \n.,:;!?'\"-()/" for character in decoded)
    return f" {decoded} " if decoded and plain >= 0.9 * len(decoded) else otherwise


def _are_words(text: str) -> bool:
    foreign = sum(character.isalpha() and not character.isascii() for character in text)
    spaces = sum(character.isspace() for character in text)
    lower, upper = sum(map(str.islower, text)), sum(map(str.isupper, text))
    one_case = max(lower, upper) + spaces >= _WORDLIKE * len(text)
    return foreign * 2 > len(text) or (one_case and spaces * _LONGEST_WORD >= len(text))


_WORDLIKE: Final = 0.7
_LONGEST_WORD: Final = 12
