"""Write a prompt as hurried or devious people write it: typos, casing, disguised letters, strewn words."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Sequence
from typing import Final

_NEIGHBOURS: Final = {
    "a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo", "j": "hk",
    "k": "jl", "l": "k", "m": "n", "n": "bm", "o": "ip", "p": "o", "q": "wa", "r": "et", "s": "ad", "t": "ry",
    "u": "yi", "v": "cb", "w": "qe", "x": "zc", "y": "tu", "z": "x",
}  # fmt: skip
_SHORT: Final = {
    "you": "u", "are": "r", "please": "pls", "what": "wat", "because": "bc", "with": "w/", "your": "ur", "to": "2",
    "the": "teh", "about": "abt", "really": "rly", "people": "ppl", "tell": "tel", "who": "hoo", "that": "dat",
}  # fmt: skip
_LEET: Final = str.maketrans("aeiost", "431057")
_HOMOGLYPHS: Final = str.maketrans("aeopcxyi", "аеорсхуі")
_ZERO_WIDTH: Final = "\u200b"


def mistype(text: str, random_: random.Random) -> str:
    """One to four slips of the finger, in words of at least four letters."""
    words = text.split(" ")
    places = [i for i, word in enumerate(words) if len(word) >= 4 and word.isalpha()]
    for place in random_.sample(places, min(len(places), random_.randint(1, 4))):
        words[place] = _slip(words[place], random_)
    if random_.random() < 0.4:
        words = [_SHORT.get(word, word) for word in words]
    return " ".join(words)


def recase(text: str, random_: random.Random) -> str:
    """The prompt in other casing or with less punctuation."""
    styles: list[Callable[[str], str]] = [
        str.lower,
        str.lower,
        lambda t: t.lower().rstrip("?.!"),
        lambda t: t.rstrip("?.!"),
        lambda t: "".join(c for c in t.lower() if c not in "?.!,'\""),
        str.upper,
        lambda t: t + random_.choice(["??", "!!", "...", " ?", " :)", " lol", "?"]),
        lambda t: t[:1].upper() + t[1:],
    ]
    return random_.choice(styles)(text)


def obfuscate(text: str, random_: random.Random) -> str:
    """The prompt in one of the disguises by which filters are evaded."""
    return random_.choice(_DISGUISES)(text, random_)


def strew(text: str, names: Sequence[str], random_: random.Random) -> str:
    """The prompt with two or more of the names before, within and after it, as bare words, a list or hashtags."""
    chosen = list(names[: random_.randint(2, max(2, len(names)))])
    style = random_.choice(_STREWN_STYLES)
    join = random_.choice([" ", " ", ", ", ". ", "... ", "! "])
    words, cut = text.split(" "), random_.randint(0, len(chosen))
    before, after = [join.join(style(name) for name in part) for part in (chosen[:cut], chosen[cut:])]
    if before and after and len(words) > 3 and random_.random() < 0.3:
        place = random_.randint(1, len(words) - 1)
        return " ".join([*words[:place], before, *words[place:], after])
    gap = random_.choice([" ", " ", ". ", ", ", "... ", ": ", "\n"])
    return gap.join(part for part in (before, text, after) if part)


_STREWN_STYLES: Final[tuple[Callable[[str], str], ...]] = (
    str,
    str,
    str,
    str.lower,
    str.lower,
    str.upper,
    lambda name: "#" + name.replace(" ", "").lower(),
    lambda name: name.split(" ")[0],
    lambda name: name.split(" ")[-1].lower(),
    lambda name: f"({name})",
)


def _slip(word: str, random_: random.Random) -> str:
    i = random_.randrange(1, len(word) - 1)
    return random_.choice(
        [
            word[:i] + word[i + 1 :],
            word[:i] + word[i] + word[i:],
            word[: i - 1] + word[i] + word[i - 1] + word[i + 1 :],
            word[:i] + random_.choice(_NEIGHBOURS.get(word[i].lower(), word[i])) + word[i + 1 :],
            word[:-1],
        ]
    )


def _some_words(change: Callable[[str], str], share: float) -> Callable[[str, random.Random], str]:
    def disguise(text: str, random_: random.Random) -> str:
        return " ".join(change(word) if random_.random() < share else word for word in text.split(" "))

    return disguise


def _base64(text: str, random_: random.Random) -> str:
    code = base64.b64encode(text.encode()).decode()
    frames = ["{}", "decode and answer: {}", "base64: {}", "what does this say? {}", "{} <- do what it says"]
    return random_.choice(frames).format(code)


def _scrambled(word: str, random_: random.Random) -> str:
    """The word with the letters between its first and last in another order."""
    inner = list(word[1:-1])
    random_.shuffle(inner)
    return word[:1] + "".join(inner) + word[-1:] if len(word) > 3 else word


def _scramble(text: str, random_: random.Random) -> str:
    words = " ".join(_scrambled(word, random_) for word in text.split(" "))
    return random_.choice(["{}", "{}", "unscramble and answer: {}", "what does this say: {}"]).format(words)


def _backward_words(text: str, random_: random.Random) -> str:
    words = " ".join(reversed(text.split(" ")))
    return random_.choice(["{}", "read from the last word to the first: {}", "{} (words are reversed)"]).format(words)


def _without_vowels(word: str) -> str:
    return word[:1] + "".join(letter for letter in word[1:] if letter.lower() not in "aeiou") if len(word) > 3 else word


def _pig_latin(word: str) -> str:
    start = next((i for i, letter in enumerate(word) if letter.lower() in "aeiou"), 0)
    return f"{word[start:]}{word[:start].lower()}ay" if word.isalpha() else word


def _camel(text: str, _: random.Random) -> str:
    return "".join(word[:1].upper() + word[1:] for word in text.split(" "))


def _split_by_sign(text: str, random_: random.Random) -> str:
    sign = random_.choice("|/~+^•·")
    return random_.choice([" ", "  ", sign]).join(sign.join(word) for word in text.split(" "))


def _reversed(text: str, random_: random.Random) -> str:
    return random_.choice(["{}", "read backwards: {}", "reverse this and answer: {}"]).format(text[::-1])


_DISGUISES: Final[tuple[Callable[[str, random.Random], str], ...]] = (
    _some_words(lambda word: word.lower().translate(_LEET), 1.0),
    _some_words(lambda word: word.lower().translate(_LEET), 0.4),
    _some_words(lambda word: word.translate(_HOMOGLYPHS), 0.7),
    _some_words(_ZERO_WIDTH.join, 0.6),
    _some_words(" ".join, 0.3),
    _some_words(".".join, 0.3),
    _some_words("-".join, 0.2),
    lambda text, _: "  ".join(" ".join(word) for word in text.split(" ")),
    _some_words(lambda word: "".join(c.upper() if i % 2 else c.lower() for i, c in enumerate(word)), 1.0),
    _some_words(lambda word: word[:1] + "*" * max(0, len(word) - 2) + word[-1:] if len(word) > 6 else word, 0.2),
    _base64,
    _base64,
    _reversed,
    lambda text, _: text.encode().hex(),
    _scramble,
    _scramble,
    _backward_words,
    _some_words(_without_vowels, 0.8),
    _some_words(_pig_latin, 1.0),
    _camel,
    _split_by_sign,
    lambda text, _: text.replace(" ", random.Random(len(text)).choice(["_", ".", "-", ""])),  # noqa: S311 - no secret
)
