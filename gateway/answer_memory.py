"""Which answers this gateway has relayed: a client that sends one back is believed, one that makes one up is not.

An answer counts only after the very words it answered. Else a client could have the model say something harmless in
one conversation and pass it off as the answer to something else in another.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

ENTRY_BYTES: Final = 256
"""What one remembered answer takes: digest, time, the dictionary's own (measured 180 on CPython 3.11)."""

MAX_ANSWER_BYTES: Final = 65_536
"""A longer answer is not remembered, so that looking one up costs little whatever is sent."""

MAX_PARTS: Final = 2
"""Of an answer that is sent back: what was said, and what was thought before."""


class TextDigest:
    """The digest of one text that comes in pieces; clients trim answers, so its outer white space does not count.

    Args:
        key: of the memory.
        question: what is answered, as one text (:attr:`gateway.moderation._Run.key`).
    """

    def __init__(self, key: bytes, question: str) -> None:
        asked = hashlib.blake2b(question.encode(), key=key, digest_size=32).digest()
        self._hash = hashlib.blake2b(asked, key=key, digest_size=16)
        self._size = 0
        self._space = ""

    def update(self, text: str) -> None:
        """Add a piece."""
        if self._too_long:
            return
        if not self._size:
            text = text.lstrip()
        kept = text.rstrip()
        if kept:
            data = (self._space + kept).encode()
            self._hash.update(data)
            self._size += len(data)
            self._space = ""
        self._space += text[len(kept) :]

    def digest(self) -> bytes | None:
        """The digest so far; None for a text that is empty or too long to remember."""
        return self._hash.digest() if self._size and not self._too_long else None

    @property
    def _too_long(self) -> bool:
        return self._size + len(self._space) > MAX_ANSWER_BYTES


class AnswerMemory:
    """Digests of relayed answers, bounded in bytes and in age; no text can be told from them.

    Args:
        max_bytes: bound on what is remembered; 0 remembers nothing.
        ttl_seconds: bound on age, from when an answer was last relayed or sent back.
        clock: monotonic seconds.
    """

    def __init__(self, max_bytes: int, ttl_seconds: float, clock: Callable[[], float]) -> None:
        self._max_entries = max_bytes // ENTRY_BYTES
        self._ttl = ttl_seconds
        self._clock = clock
        # Of this process alone: digests of short answers could be guessed at otherwise.
        self._key = secrets.token_bytes(32)
        self._expiries: OrderedDict[bytes, float] = OrderedDict()
        self.recognised = 0

    def __len__(self) -> int:
        return len(self._expiries)

    @property
    def enabled(self) -> bool:
        """Whether anything is remembered at all."""
        return self._max_entries > 0

    def begin(self, question: str) -> TextDigest:
        """Start the digest of a text that answers ``question``."""
        return TextDigest(self._key, question)

    def remember(self, answer: TextDigest) -> None:
        """Note a text that was relayed whole."""
        digest = answer.digest()
        if digest is not None and self.enabled:
            self._note(digest)

    def knows(self, question: str, parts: Sequence[str]) -> bool:
        """Whether each of ``parts`` is a whole text that was relayed in answer to ``question``."""
        if not self._expiries or not 0 < len(parts) <= MAX_PARTS:
            return False
        known = all(self._knows(question, part) for part in parts)
        self.recognised += known
        return known

    def _knows(self, question: str, text: str) -> bool:
        if len(text) > 2 * MAX_ANSWER_BYTES:
            return False
        answer = self.begin(question)
        answer.update(text)
        digest = answer.digest()
        if digest is None or digest not in self._expiries:
            return False
        if self._clock() >= self._expiries[digest]:
            del self._expiries[digest]
            return False
        # A conversation that goes on keeps all of its answers.
        self._note(digest)
        return True

    def _note(self, digest: bytes) -> None:
        self._expiries[digest] = self._clock() + self._ttl
        self._expiries.move_to_end(digest)
        while len(self._expiries) > self._max_entries:
            self._expiries.popitem(last=False)
