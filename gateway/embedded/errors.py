"""Every way a call of the embedded upstream can fail.

::

    EmbeddedError
    ├── BadCallError          400  the body is no JSON, has a wrong type, or asks for what the model can't do
    ├── ModelNotFoundError    404  another model was asked for
    ├── ServerBusyError       503  too many calls wait for the model
    ├── ShuttingDownError     503  the server stops
    ├── GenerationFailedError 500  llama.cpp broke off
    └── WeightsError          500  the weights are missing, damaged, or can't be loaded
"""

from __future__ import annotations

from typing import ClassVar


class EmbeddedError(Exception):
    """A failure with a status; its text is for the client and never quotes a prompt.

    Attributes:
        status: of the HTTP answer.
    """

    status: ClassVar[int] = 500


class BadCallError(EmbeddedError):
    """The body is no JSON, has a wrong type, or asks for what the model can't do."""

    status = 400


class ModelNotFoundError(EmbeddedError):
    """Another model was asked for."""

    status = 404

    def __init__(self, name: str) -> None:
        super().__init__(f"model '{name}' not found")


class ServerBusyError(EmbeddedError):
    """Too many calls wait for the model."""

    status = 503

    def __init__(self) -> None:
        # Ollama's own words, with both spaces: clients look for them.
        super().__init__("server busy, please try again.  maximum pending requests exceeded")


class ShuttingDownError(EmbeddedError):
    """The server stops, and with it every call."""

    status = 503

    def __init__(self) -> None:
        super().__init__("the embedded model is shutting down")


class GenerationFailedError(EmbeddedError):
    """llama.cpp broke off in the middle of an answer."""


class WeightsError(EmbeddedError):
    """The weights are missing, damaged, or can't be loaded."""
