"""Strict reading of a multipart form: what two parsers could read differently is refused.

Go's parser (mime/multipart) takes bare line feeds and decodes transfer encodings, llama-server's (cpp-httplib) does
neither; both skip a preamble. A form is only forwarded as it came if none of that can matter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.errors import BadRequestError, UnsupportedMediaError

MAX_PARTS: Final = 64

_CONTENT_TYPE: Final = re.compile(r'multipart/form-data; ?boundary=("?)([A-Za-z0-9\'()+_,./:=?-]{1,70})\1', re.ASCII)
"""RFC 2046's boundary, less the space."""

_DISPOSITION: Final = re.compile(
    r'form-data; name="([A-Za-z0-9_\[\]]{1,64})"(; filename="[^"\\\r\n\0]*")?(; filename\*=[^;"\\\r\n\0]*)?'
)
_HARMLESS_HEADERS: Final = frozenset({"content-type", "content-length"})


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form.

    Attributes:
        name: of its field.
        is_file: whether it has a file name.
        data: its bytes.
    """

    name: str
    is_file: bool
    data: bytes


def read_form(data: bytes, content_type: str) -> list[Part]:
    """The parts that any parser would read from ``data``.

    Args:
        data: the body.
        content_type: its header.

    Raises:
        UnsupportedMediaError: if the header names no form.
        BadRequestError: if the body is no form, or parsers could differ about it.
    """
    header = _CONTENT_TYPE.fullmatch(content_type)
    if header is None:
        raise UnsupportedMediaError("this route takes a form, wanted multipart/form-data with a boundary")
    # Wherever it occurs: parsers differ about what may stand around a boundary.
    first, *pieces = data.split(b"--" + header[2].encode(), MAX_PARTS + 2)
    if first or not pieces or pieces[-1] not in {b"--", b"--\r\n"} or len(pieces) > MAX_PARTS + 1:
        raise BadRequestError("the body is not a well-formed form")
    return _unique([_part(piece) for piece in pieces[:-1]])


def _part(piece: bytes) -> Part:
    head, blank, rest = piece.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    if not blank or not rest.endswith(b"\r\n") or lines[0]:
        raise BadRequestError("the form has a part that is not well-formed")
    name, is_file = _disposition(lines[1:])
    return Part(name, is_file, rest[:-2])


def _disposition(lines: Sequence[bytes]) -> tuple[str, bool]:
    """The name of a part's field, and whether it has a file's.

    Raises:
        BadRequestError: if the headers say anything else that changes what is read.
    """
    try:
        headers = [line.decode().partition(":") for line in lines]
    except UnicodeDecodeError:
        raise BadRequestError("the form has a header that is not well-formed UTF-8") from None
    if any(char < " " or char == "\x7f" for header in headers for part in header for char in part):
        raise BadRequestError("the form has a part with control characters in its headers")
    named = {name.lower(): value.strip(" ") for name, _, value in headers}
    found = _DISPOSITION.fullmatch(named.pop("content-disposition", ""))
    if found is None or len(named) + 1 != len(headers) or not named.keys() <= _HARMLESS_HEADERS:
        raise BadRequestError("the form has a part with headers that are not read here")
    return found[1], bool(found[2] or found[3])


def _unique(parts: list[Part]) -> list[Part]:
    single = [part.name for part in parts if not part.name.endswith("[]")]
    if len(set(single)) != len(single):
        raise BadRequestError("the form has the same field twice")
    return parts
