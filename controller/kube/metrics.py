"""What the operator tells Prometheus. A search's own numbers are gauges computed from its status, never counted up."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from controller.kube.observe import Key
from controller.reconcile.model import Observed, SearchState

SEARCH_LABELS = ("namespace", "search")


class Metrics:
    """The metrics of one operator process."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.registry = registry
        self.queue_depth = Gauge(
            "autosel_queue_depth", "Searches that wait or are handled.", registry=registry
        )
        self.queue_age = Gauge(
            "autosel_queue_oldest_seconds", "Age of the oldest of them.", registry=registry
        )
        self.leader = Gauge("autosel_leader", "1 while this process holds the lease.", registry=registry)
        self.reconciles = Histogram(
            "autosel_reconcile_seconds", "Duration of passes by outcome.", ["outcome"], registry=registry
        )
        self.calls = Histogram(
            "autosel_api_seconds", "Calls to the API server.", ["verb", "resource"], registry=registry
        )
        self.errors = Counter(
            "autosel_api_errors", "Calls that failed.", ["verb", "resource", "error"], registry=registry
        )
        self.trials = Gauge(
            "autosel_trials", "Trials of a search by outcome.", [*SEARCH_LABELS, "outcome"], registry=registry
        )
        self.accelerator_seconds = Gauge(
            "autosel_accelerator_seconds",
            "Accelerator-seconds of a search.",
            SEARCH_LABELS,
            registry=registry,
        )
        self.cache_hits = Gauge(
            "autosel_cache_hits",
            "Steps of a search that found their result in the store.",
            SEARCH_LABELS,
            registry=registry,
        )
        self.best = Gauge(
            "autosel_best_score",
            "Best score of a search on its search half.",
            SEARCH_LABELS,
            registry=registry,
        )

    def count_call(self, verb: str, plural: str, outcome: str, seconds: float) -> None:
        """Count one call to the API server. Watches last as long as they like and are not timed."""
        if verb != "watch":
            self.calls.labels(verb, plural).observe(seconds)
        if outcome != "ok":
            self.errors.labels(verb, plural, outcome).inc()

    def watch_queue(self, depth: Callable[[], int], oldest: Callable[[], float]) -> None:
        """Read the queue whenever somebody asks."""
        self.queue_depth.set_function(depth)
        self.queue_age.set_function(oldest)

    def show(self, key: Key, observed: Observed, state: SearchState) -> None:
        """Show one search as it is now."""
        counts = {
            "succeeded": state.evaluations,
            "running": state.running,
            "failed": state.failed,
            "invalid": state.invalid,
            "reused": state.reused,
        }
        for outcome, number in counts.items():
            self.trials.labels(key.namespace, key.name, outcome).set(number)
        self.accelerator_seconds.labels(key.namespace, key.name).set(state.accelerator_seconds)
        hits = sum(bool(result.summary.get("cached")) for result in observed.steps.values())
        self.cache_hits.labels(key.namespace, key.name).set(hits)
        if state.best_score is not None:
            self.best.labels(key.namespace, key.name).set(state.best_score)

    def forget(self, key: Key) -> None:
        """Drop the numbers of a search that is gone."""
        for gauge in (self.trials, self.accelerator_seconds, self.cache_hits, self.best):
            gauge.remove_by_labels({"namespace": key.namespace, "search": key.name})

    def text(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self.registry)
