"""What is counted, in a registry of its own; labels come from the code, never from a request."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

_GUARD_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The gateway's numbers."""

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry()
        self.requests: Final = Counter(
            "startrek_guard_requests",
            "Requests by route of the table and status of the answer.",
            ("route", "status"),
            registry=self.registry,
        )
        self.decisions: Final = Counter(
            "startrek_guard_decisions",
            "Judged requests by decision and reason.",
            ("decision", "reason"),
            registry=self.registry,
        )
        self.failures: Final = Counter(
            "startrek_guard_failures",
            "Requests without a verdict, by reason and by what became of them.",
            ("reason", "outcome"),
            registry=self.registry,
        )
        self.redacted: Final = Counter(
            "startrek_guard_redacted_messages",
            "Messages of earlier turns left out of what was forwarded.",
            registry=self.registry,
        )
        self.upstream_errors: Final = Counter(
            "startrek_guard_upstream_errors",
            "Answers of the upstream that never began or broke off.",
            ("kind",),
            registry=self.registry,
        )
        self.vanished: Final = Counter(
            "startrek_guard_vanished_clients",
            "Clients that left before their answer was complete.",
            registry=self.registry,
        )
        self.guard_seconds: Final = Histogram(
            "startrek_guard_judging_seconds",
            "Time to judge one request, remembered verdicts included.",
            buckets=_GUARD_SECONDS,
            registry=self.registry,
        )
        self.cache_hits: Final = Gauge(
            "startrek_guard_cache_hits", "Verdicts that were remembered, since the start.", registry=self.registry
        )
        self.cache_misses: Final = Gauge(
            "startrek_guard_cache_misses", "Verdicts that the guard was asked for.", registry=self.registry
        )
        self.recognised: Final = Gauge(
            "startrek_guard_recognised_answers",
            "Earlier answers that were not judged because they were relayed here, since the start.",
            registry=self.registry,
        )
        self.waiting: Final = Gauge(
            "startrek_guard_waiting_prompts", "Prompts that wait for the guard.", registry=self.registry
        )

    def exposition(self) -> bytes:
        """Prometheus text."""
        return generate_latest(self.registry)
