"""Counts and timings for monitoring: no person, no palm, no purchase, no till."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """One set of metrics for one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.purchases = Counter("palm_identity_purchases", "decisions on purchases", ["outcome"], registry=self.registry)
        self.settled = Counter("palm_identity_settled", "captures, reversals and voids answered", ["how"], registry=self.registry)
        self.probes = Counter("palm_identity_probes", "probes taken in", registry=self.registry)
        self.enrolments = Counter("palm_identity_enrolments", "enrolment requests answered", ["outcome"], registry=self.registry)
        self.expired = Counter("palm_identity_expired", "authorised payments that nobody settled in time", registry=self.registry)
        self.streams = Gauge("palm_identity_streams", "purchases in progress", registry=self.registry)
        self.people = Gauge("palm_identity_people", "people who can be recognised", registry=self.registry)
        self.templates = Gauge("palm_identity_templates", "templates in the gallery", registry=self.registry)
        self.search_s = Histogram("palm_identity_search_seconds", "one probe against all", buckets=SECONDS, registry=self.registry)
        self.books_s = Histogram("palm_identity_books_seconds", "one change of the books", buckets=SECONDS, registry=self.registry)
        self.decision_s = Histogram(
            "palm_identity_decision_seconds", "first probe to decision", buckets=SECONDS, registry=self.registry
        )

    def serve(self, port: int) -> int:
        """Answer on 127.0.0.1 from a thread; returns the port. Raises OSError where it is taken."""
        server, _thread = start_http_server(port, "127.0.0.1", self.registry)
        return int(server.server_port)
