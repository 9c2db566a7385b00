"""Every way a request can fail at the gateway, before or instead of the upstream's answer.

::

    GatewayError
    ├── BadRequestError          400  the body could be read in two ways, or is not of the dialect
    ├── UnsupportedMediaError    415  a content encoding that is not read on this route
    ├── BodyTooLargeError        413  more bytes than the gateway reads
    ├── TooLongError             413  more text than the guard judges
    ├── ChannelDeniedError       400  a place for text that the settings do not let through
    ├── ManagementDeniedError    403  a route that changes the server
    ├── NotImplementedHereError  501  a guarded route this gateway can't read yet
    ├── GuardTimeoutError        503  the guard gave no verdict in time
    ├── GuardUnavailableError    503  the guard is gone or gave no usable answer
    ├── QueueFullError           503  too many texts wait for the guard
    └── UpstreamUnavailableError 502  the upstream can't be reached, or broke off before its answer began
"""

from __future__ import annotations

from typing import ClassVar


class GatewayError(Exception):
    """A failure with a status and a reason; its text is for the client and never quotes a prompt.

    Attributes:
        status: of the HTTP answer.
        reason: one word for headers, logs, metrics and settings.
        retry_after_seconds: when a client may try again; None where trying again is of no use.
    """

    status: ClassVar[int] = 500
    reason: ClassVar[str] = "internal"
    retry_after_seconds: ClassVar[int | None] = None


class BadRequestError(GatewayError):
    """The body could be read in two ways, or is not what the route takes."""

    status = 400
    reason = "bad_request"


class UnsupportedMediaError(GatewayError):
    """The body has an encoding or a content type that is not read on this route."""

    status = 415
    reason = "unsupported_media"


class BodyTooLargeError(GatewayError):
    """The body has more bytes than the gateway reads."""

    status = 413
    reason = "body_too_large"


class TooLongError(GatewayError):
    """The conversation has more text than the guard judges."""

    status = 413
    reason = "too_long"


class ChannelDeniedError(GatewayError):
    """The body uses a place for text that the settings do not let through."""

    status = 400
    reason = "channel_denied"


class ManagementDeniedError(GatewayError):
    """The route changes the server or shows its inside."""

    status = 403
    reason = "management_denied"


class NotImplementedHereError(GatewayError):
    """The route takes prompts in a form that this gateway can't read, so nothing is forwarded."""

    status = 501
    reason = "not_implemented"


class GuardTimeoutError(GatewayError):
    """The guard gave no verdict in time."""

    status = 503
    reason = "guard_timeout"
    retry_after_seconds = 1


class GuardUnavailableError(GatewayError):
    """The guard is gone, or gave no usable answer."""

    status = 503
    reason = "guard_unavailable"
    retry_after_seconds = 5


class QueueFullError(GatewayError):
    """Too many texts wait for the guard."""

    status = 503
    reason = "queue_full"
    retry_after_seconds = 1


class UpstreamUnavailableError(GatewayError):
    """The upstream can't be reached, or broke off before its answer began."""

    status = 502
    reason = "upstream_unavailable"
