"""The reading that all dialects with JSON bodies share."""

from __future__ import annotations

from typing import ClassVar

from gateway.errors import UnsupportedMediaError
from gateway.intake import JsonObject, KeyRules, RawBody, read_object
from gateway.styles import JSON


class JsonBody:
    """Mixin of a dialect whose requests are JSON objects; a subclass says which keys it knows."""

    request_content_type: str | None = JSON

    key_rules: ClassVar[KeyRules]

    def read(self, body: RawBody) -> JsonObject:
        """The body as an object; see :meth:`gateway.dialects.base.Dialect.read`."""
        # llama-server makes an object of a form's fields on every route, so a form must not look like JSON to us.
        if body.content_type.strip().lower().startswith("multipart/"):
            raise UnsupportedMediaError("this route takes JSON, not a form")
        return read_object(body.data, self.key_rules)
