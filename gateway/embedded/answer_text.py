"""The text of an answer as it grows: bytes of tokens in, whole characters out, up to a stop text."""

from __future__ import annotations

import codecs


class AnswerText:
    """Turns the bytes of one token after another into text that may be sent.

    What could be the beginning of a stop text is held back until it is one or can't become one.

    Args:
        stops: texts that end the answer; none is empty.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._held = ""
        # A token may end inside a character: byte-level vocabularies cut anywhere.
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.stopped = False

    def push(self, piece: bytes) -> str:
        """The text that is certain after these bytes."""
        return self._take(self._decoder.decode(piece))

    def finish(self) -> str:
        """The rest, when no more tokens come."""
        ready = self._take(self._decoder.decode(b"", final=True))
        rest, self._held = self._held, ""
        return ready + rest

    def _take(self, text: str) -> str:
        if self.stopped:
            return ""
        self._held += text
        found = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            ready, self._held = self._held[: min(found)], ""
            return ready
        cut = len(self._held) - self._undecided()
        ready, self._held = self._held[:cut], self._held[cut:]
        return ready

    def _undecided(self) -> int:
        """How many characters at the end may be the beginning of a stop text."""
        longest = max((len(stop) - 1 for stop in self._stops), default=0)
        for size in range(min(longest, len(self._held)), 0, -1):
            tail = self._held[-size:]
            if any(stop.startswith(tail) for stop in self._stops):
                return size
        return 0
