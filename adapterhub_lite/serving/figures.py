"""What a server counts, for Prometheus: by version, route and kind of error."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client import Counter as Count
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from adapterhub_lite.inference.fleet import Asked
from adapterhub_lite.predictions import Classified, Prediction, Several
from adapterhub_lite.serving.journal import Record

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Figures:
    """The metrics of one server.

    A label never holds what a client wrote: versions are those that the registry found, routes
    those that exist.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = self._count("requests", "Requests answered.", "route", "version", "status")
        self.latency = self._histogram(
            "request_seconds", "Seconds from request to answer.", _SECONDS, "route", "version"
        )
        self.waited = self._histogram(
            "queue_seconds", "Seconds that a request waited for the model.", _SECONDS, "version"
        )
        self.errors = self._count("errors", "Requests refused or failed.", "code", "version")
        self.labels = self._count("labels", "Labels given.", "version", "label")
        self.tokens = self._count("tokens", "Tokens read and written.", "version", "direction")
        self.batches = self._histogram("batch_size", "Inputs computed together.", _SIZES, "version")
        self.model_seconds = self._count("model_seconds", "Seconds that the model worked.")
        self.active = Gauge(
            "adapterhub_requests_active", "Requests being answered.", registry=self._registry
        )

    def watch(self, waiting: Callable[[], int], loaded: Callable[[], dict[str, int]]) -> None:
        """Read queue and loaded versions whenever somebody asks for the figures."""
        self._registry.register(_State(waiting, loaded))

    def observe_request(self, record: Record, status: int) -> None:
        """Count a request that is over; a refused one may have no version."""
        seconds = time.monotonic() - record.begun
        self.requests.labels(record.route, record.version, status).inc()
        self.latency.labels(record.route, record.version).observe(seconds)
        if record.code:
            self.errors.labels(record.code, record.version).inc()
        if record.batch:
            self.waited.labels(record.version).observe(record.queued)
        if record.tokens is not None:
            read, written = record.tokens
            self.tokens.labels(record.version, "read").inc(read)
            self.tokens.labels(record.version, "written").inc(written)

    def observe_batch(self, rows: Sequence[Asked], seconds: float) -> None:
        """Count a batch: its size once for each version in it."""
        self.model_seconds.inc(seconds)
        for version in {row.ref for row in rows}:
            self.batches.labels(version).observe(len(rows))

    def observe_answers(self, version: str, answers: Sequence[Prediction]) -> None:
        """Count the labels of classifiers' answers; where all members answer, ``member/label``."""
        given = Counter(label for one in answers for label in _labels(one))
        for label, number in given.items():
            self.labels.labels(version, label).inc(number)

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._registry)

    def _count(self, name: str, help_text: str, *labels: str) -> Count:
        return Count(f"adapterhub_{name}", help_text, labels, registry=self._registry)

    def _histogram(
        self, name: str, help_text: str, buckets: Sequence[float], *labels: str
    ) -> Histogram:
        return Histogram(
            f"adapterhub_{name}", help_text, labels, buckets=buckets, registry=self._registry
        )


class _State(Collector):
    """What is read when it is asked for: inputs that wait, versions that are loaded."""

    def __init__(self, waiting: Callable[[], int], loaded: Callable[[], dict[str, int]]) -> None:
        self._waiting, self._loaded = waiting, loaded

    def describe(self) -> list[GaugeMetricFamily]:
        """Return nothing: names are not needed before they are asked for."""
        return []

    def collect(self) -> list[GaugeMetricFamily]:
        """Return both gauges."""
        waiting = GaugeMetricFamily("adapterhub_queue_inputs", "Inputs that wait for the model.")
        waiting.add_metric([], self._waiting())
        loaded = GaugeMetricFamily(
            "adapterhub_loaded_bytes", "Bytes of a loaded version.", labels=["version"]
        )
        for version, size in self._loaded().items():
            loaded.add_metric([version], size)
        return [waiting, loaded]


def _labels(answer: Prediction) -> Iterator[str]:
    if isinstance(answer, Classified):
        yield from answer.labels
    elif isinstance(answer, Several):
        for name, one in answer.answers.items():
            yield from (f"{name}/{label}" for label in _labels(one))
