"""Cut a long text into overlapping windows, so that all of it is read."""

from __future__ import annotations


def clip_utf8(text: str, max_bytes: int) -> str:
    """The longest prefix of ``text`` of at most ``max_bytes`` UTF-8 bytes."""
    return text.encode()[:max_bytes].decode(errors="ignore")


def split_windows(text: str, window_bytes: int, overlap_bytes: int) -> list[str]:
    """Windows of at most ``window_bytes`` UTF-8 bytes whose union is the whole text.

    Neighbours share ``overlap_bytes``, less what it takes to begin and end between words where there are words.

    Raises:
        ValueError: if the overlap is not smaller than half the window.
    """
    if not 0 <= overlap_bytes * 2 < window_bytes:
        raise ValueError(f"overlap of {overlap_bytes} bytes, wanted less than half the window of {window_bytes}")
    data = text.encode()
    windows: list[str] = []
    start = 0
    while len(data) - start > window_bytes:
        end = _cut(data, start + window_bytes, floor=start + window_bytes - overlap_bytes // 2)
        windows.append(data[start:end].decode())
        start = _cut(data, end - overlap_bytes, floor=end - overlap_bytes - overlap_bytes // 2)
    windows.append(data[start:].decode())
    return windows


def _cut(data: bytes, position: int, floor: int) -> int:
    """The nearest place at or before ``position`` after white space, else between two characters."""
    for index in range(position, floor, -1):
        if data[index - 1] in b" \n":
            return index
    while data[position] & 0xC0 == 0x80:
        position -= 1
    return position
