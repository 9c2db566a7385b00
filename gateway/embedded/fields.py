"""Typed reading of a JSON request body, with errors that name the field and never quote its value."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Final, NoReturn

from gateway.embedded.errors import BadCallError

_KINDS: Final = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def read_object(data: bytes) -> Fields:
    """The JSON object of a request body.

    Raises:
        BadCallError: if the body is empty, no JSON, not UTF-8, or another JSON value.
    """
    if not data.strip():
        raise BadCallError("missing request body")
    try:
        value = json.loads(data.decode(), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise BadCallError("invalid JSON: exceeded max depth") from error
    except json.JSONDecodeError as error:
        raise BadCallError(f"invalid JSON: {error}") from error
    except ValueError as error:
        raise BadCallError("invalid JSON: not UTF-8, or a number that can't be read") from error
    if not isinstance(value, dict):
        raise BadCallError(f"the request body must be an object, not {kind(value)}")
    return Fields(value)


def kind(value: object) -> str:
    """The JSON type of ``value`` with its article, for error messages."""
    return _KINDS.get(type(value), "null")


class Fields:
    """A JSON object whose fields are read with their types. An absent field and ``null`` are the same, as in Go.

    Args:
        values: the object.
        path: where it stands in the body, empty for the body itself; for error messages.
    """

    def __init__(self, values: Mapping[str, object], path: str = "") -> None:
        self._values = values
        self._path = path

    def raw(self, key: str) -> object:
        """The field as it came, None where absent."""
        return self._values.get(key)

    def text(self, key: str, default: str = "") -> str:
        """A string, with U+FFFD or ``?`` for what is no character.

        Raises:
            BadCallError: if it is something else; so for all methods below.
        """
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            self._refuse(key, "a string", value)
        # Half a surrogate pair can't be encoded again, neither for the model nor in an answer.
        return value.encode(errors="replace").decode()

    def flag(self, key: str, *, default: bool) -> bool:
        """A boolean."""
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self._refuse(key, "a boolean", value)
        return value

    def number(self, key: str) -> float | None:
        """A finite number."""
        value = self._values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
            self._refuse(key, "a number", value)
        return float(value)

    def integer(self, key: str) -> int | None:
        """A number without a fraction; Go reads ``3.0`` as three where any JSON number may stand."""
        value = self.number(key)
        if value is None:
            return None
        if not value.is_integer():
            self._refuse(key, "an integer", value)
        return int(value)

    def strings(self, key: str) -> tuple[str, ...]:
        """An array of strings."""
        return tuple(Fields({key: item}, self._path).text(key) for item in self._array(key))

    def integers(self, key: str) -> tuple[int, ...]:
        """An array of integers."""
        items = (Fields({key: item}, self._path).integer(key) for item in self._array(key))
        return tuple(item for item in items if item is not None)

    def nested(self, key: str) -> Fields:
        """An object, empty where absent."""
        value = self._values.get(key)
        if value is None:
            return Fields({}, self._join(key))
        if not isinstance(value, dict):
            self._refuse(key, "an object", value)
        return Fields(value, self._join(key))

    def mapping(self) -> Mapping[str, object]:
        """All fields as they came."""
        return self._values

    def nested_list(self, key: str) -> list[Fields]:
        """An array of objects."""
        found = []
        for index, item in enumerate(self._array(key)):
            if not isinstance(item, dict):
                self._refuse(f"{key}[{index}]", "an object", item)
            found.append(Fields(item, self._join(f"{key}[{index}]")))
        return found

    def _array(self, key: str) -> list[object]:
        value = self._values.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self._refuse(key, "an array", value)
        return value

    def _join(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def _refuse(self, key: str, wanted: str, value: object) -> NoReturn:
        raise BadCallError(f"field '{self._join(key)}' must be {wanted}, not {kind(value)}")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False  # an integer beyond every float


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and the infinities, which Python reads and Go does not
