"""What Prometheus reads at /metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
DISTANCES = (0.5, 0.75, 1, 1.25, 1.5, 2, 3, 5, 10)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts of one server."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        ProcessCollector(registry=own)
        PlatformCollector(registry=own)
        self.requests = Counter(
            "polymodal_requests",
            "Requests by what was answered.",
            ["route", "status"],
            registry=own,
        )
        self.seconds = Histogram(
            "polymodal_request_seconds",
            "From the first byte in to the last byte out.",
            ["route"],
            buckets=SECONDS,
            registry=own,
        )
        self.in_hand = Gauge("polymodal_requests_in_hand", "Not answered yet.", registry=own)
        self.held = Gauge("polymodal_bytes_held", "Of requests in hand.", registry=own)
        self.rows = Counter("polymodal_rows", "Answered.", ["model", "sort"], registry=own)
        # What a team watches to know when the world has moved away from the training rows.
        self.missing = Counter(
            "polymodal_cells_missing", "Of rows answered.", ["model", "column"], registry=own
        )
        self.strange = Counter(
            "polymodal_cells_strange",
            "Cut off, or of a value that training rows did not have.",
            ["model", "column"],
            registry=own,
        )
        self.outside = Counter(
            "polymodal_cells_outside",
            "Numbers smaller or larger than all of training rows.",
            ["model", "column"],
            registry=own,
        )
        self.distance = Histogram(
            "polymodal_row_distance",
            "Of some rows' vectors from the mean of training rows'; those are at 1 on average.",
            ["model"],
            buckets=DISTANCES,
            registry=own,
        )
        self.waiting = Gauge("polymodal_rows_waiting", "In the queue.", ["model"], registry=own)
        self.ready = Gauge("polymodal_workers_ready", "Of a model.", ["model"], registry=own)
        self.batch = Histogram(
            "polymodal_batch_rows", "Computed at once.", ["model"], buckets=ROWS, registry=own
        )
        self.batch_seconds = Histogram(
            "polymodal_batch_seconds",
            "That a batch took.",
            ["model"],
            buckets=SECONDS,
            registry=own,
        )
        self.workers = Counter(
            "polymodal_workers", "Lost and restarted.", ["model", "event"], registry=own
        )

    def of_lane(self, model: str, event: str, rows: int = 0, seconds: float = 0.0) -> None:
        """What a `Lane` tells."""
        if event == "batch":
            self.batch.labels(model).observe(rows)
            self.batch_seconds.labels(model).observe(seconds)
        else:
            self.workers.labels(model, event).inc()

    def of_answer(
        self, model: str, sort: str, wanted: Mapping[str, Any], found: Mapping[str, Any]
    ) -> None:
        """Rows that were answered: what they lacked, and what of them was strange.

        Args:
            wanted: with "rows", and the "columns" of the run.
            found: with "warnings", and "drift" where rows are held against others.
        """
        rows = wanted["rows"]
        self.rows.labels(model, sort).inc(len(rows))
        for name in wanted["columns"]:
            gone = sum(row.get(name) is None for row in rows)
            if gone:
                self.missing.labels(model, name).inc(gone)
        for one in found["warnings"]:
            self.strange.labels(model, one["column"]).inc()
        drift = found.get("drift", {})
        for name in drift.get("outside", ()):
            self.outside.labels(model, name).inc()
        for far in drift.get("distances", ()):
            self.distance.labels(model).observe(far)

    def text(self, lanes: Sequence[tuple[str, int, int]]) -> bytes:
        """The page.

        Args:
            lanes: each model's name, waiting rows and ready workers.
        """
        for name, waiting, ready in lanes:
            self.waiting.labels(name).set(waiting)
            self.ready.labels(name).set(ready)
        return generate_latest(self.registry)
