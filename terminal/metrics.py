"""Counters and timings for the shop's monitoring, as Prometheus text on loopback. Nothing in them says who paid."""

from __future__ import annotations

import logging
import threading
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
SECONDS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0)


class Metrics:
    """One registry for one terminal."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.requests = Counter("palm_requests", "requests of the register by kind and outcome", ("kind", "outcome"), registry=r)
        self.undelivered = Counter("palm_undelivered", "approvals that the register did not acknowledge", registry=r)
        self.told = Histogram(
            "palm_hand_to_told_seconds", "from the first usable look to the register's being told", buckets=SECONDS, registry=r
        )
        self.asked = Histogram(
            "palm_probe_to_authorised_seconds", "from the first probe to the answer", buckets=SECONDS, registry=r
        )
        self.probes = Histogram("palm_probes", "probes of one authorised purchase", buckets=(1, 2, 3, 4, 6, 10, 20, 40), registry=r)
        self.write = Histogram("palm_journal_write_seconds", "one record with its sync", buckets=SECONDS, registry=r)
        self.frames = Gauge("palm_frames", "frames read since the start", registry=r)
        self.restarts = Gauge("palm_reader_restarts", "times the reader was opened again", registry=r)
        self.reconnects = Gauge("palm_service_connections", "connections to the service since the start", registry=r)
        self.reachable = Gauge("palm_service_reachable", "1 while the service is", registry=r)
        self.owed = Gauge("palm_owed", "debts to the service", registry=r)
        self.conflicts = Gauge("palm_conflicts", "debts that the service's books contradict; compare the ledger", registry=r)
        self._server: WSGIServer | None = None
        self._thread: threading.Thread | None = None

    def serve(self, port: int) -> int:
        """Answer on loopback; 0 lets the system choose. Returns the port. Raises OSError where it is taken."""
        self._server, self._thread = start_http_server(port, addr=HOST, registry=self.registry)
        chosen = int(self._server.server_port)
        log.info("metrics on %s:%d", HOST, chosen)
        return chosen

    def close(self) -> None:
        """Stop answering; harmless when it never did."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
