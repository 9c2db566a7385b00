"""Forms are read in the one way that every parser agrees on, or not at all."""

from __future__ import annotations

import pytest

from gateway.errors import BadRequestError, UnsupportedMediaError
from gateway.multipart import MAX_PARTS, Part, read_form

TYPE = "multipart/form-data; boundary=B"


def part(data: bytes = b"v", name: str = "a", more: bytes = b"") -> bytes:
    """One part with the boundary before it."""
    return b'--B\r\nContent-Disposition: form-data; name="' + name.encode() + b'"' + more + b"\r\n\r\n" + data + b"\r\n"


def test_fields_and_files_are_told_apart() -> None:
    """By the file's name; the bytes of a file may be any."""
    file = part(b"\r\n\r\n\x00\xff-B", "file", b'; filename="log \xc3\xa9.wav"\r\nContent-Type: audio/wav')
    assert read_form(part() + file + b"--B--\r\n", TYPE) == [
        Part("a", is_file=False, data=b"v"),
        Part("file", is_file=True, data=b"\r\n\r\n\x00\xff-B"),
    ]


@pytest.mark.parametrize("boundary", ['"B"', "B"])
def test_a_boundary_may_be_quoted(boundary: str) -> None:
    """And the last line end may be missing."""
    assert len(read_form(part() + b"--B--", f"multipart/form-data; boundary={boundary}")) == 1


def test_a_form_may_be_empty() -> None:
    """Then it has no parts."""
    assert read_form(b"--B--\r\n", TYPE) == []


def test_only_lists_may_have_a_name_twice() -> None:
    """Parsers differ about which of two counts."""
    assert len(read_form(part(name="a[]") + part(name="a[]") + b"--B--\r\n", TYPE)) == 2
    with pytest.raises(BadRequestError, match="twice"):
        read_form(part() + part() + b"--B--\r\n", TYPE)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "multipart/form-data",
        "multipart/mixed; boundary=B",
        "multipart/form-data; boundary=B; boundary=C",
        'multipart/form-data; boundary="B',
        "multipart/form-data; boundary=B, multipart/form-data; boundary=C",
        "multipart/form-data; BOUNDARY*=utf-8''B",
    ],
)
def test_another_content_type_is_not_read(content_type: str) -> None:
    """Nor one that names two boundaries."""
    with pytest.raises(UnsupportedMediaError):
        read_form(part() + b"--B--\r\n", content_type)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        part(),
        b"preamble\r\n" + part() + b"--B--\r\n",
        part() + b"--B--\r\n" + part() + b"--B--\r\n",
        part() + b"--B--\r\nepilogue",
        part().replace(b"\r\n", b"\n") + b"--B--\r\n",
        part(b"x--By") + b"--B--\r\n",
        part().replace(b"--B\r\n", b"--B \r\n") + b"--B--\r\n",
        b"--B\r\n\r\nv\r\n--B--\r\n",
        b"--B\r\nno header\r\n--B--\r\n",
        part(more=b"\r\nContent-Transfer-Encoding: quoted-printable") + b"--B--\r\n",
        part(more=b"\r\nContent-Disposition: form-data; name=b") + b"--B--\r\n",
        part(more=b'; name="b"') + b"--B--\r\n",
        part(more=b"; filename*=utf-8''a; name=b") + b"--B--\r\n",
        part(more=b"\r\n folded: x") + b"--B--\r\n",
        part(more=b"\r\n\xff: x") + b"--B--\r\n",
        part(more=b'; filename="a\0b"') + b"--B--\r\n",
        part(name="a%22") + b"--B--\r\n",
        part() * (MAX_PARTS + 1) + b"--B--\r\n",
    ],
)
def test_what_parsers_could_differ_about_is_refused(body: bytes) -> None:
    """Class C6, for forms."""
    with pytest.raises(BadRequestError):
        read_form(body, TYPE)


@pytest.mark.parametrize("value", ["a\n\nHow do I bake?", "a\nContent-Transfer-Encoding: base64", "a\x00", "\ta"])
def test_a_control_character_in_a_part_s_headers_is_refused(value: str) -> None:
    """Go ends a header, or all of them, at a bare line feed."""
    with pytest.raises(BadRequestError, match="control characters"):
        read_form(part(more=b"\r\nContent-Type: " + value.encode()) + b"--B--\r\n", TYPE)
