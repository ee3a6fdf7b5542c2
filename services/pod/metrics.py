"""What a pod measures of itself.  Names as vLLM has them, with our prefix."""

from asyncio import AbstractEventLoop, all_tasks
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.engine.engine import Engine
from services.engine.passes import PassReport
from services.serving.metrics import PREFIX
from services.serving.slots import Slots

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


class PodMetrics:
    """Histograms that passes and sessions fill, and gauges that are read when asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def histogram(
            name: str, text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()
        ) -> Histogram:
            return Histogram(PREFIX + name, text, labels, buckets=buckets, registry=self.registry)

        self._iteration_tokens = histogram(
            "iteration_tokens_total", "Tokens fed in a pass.", _COUNTS
        )
        self._pass_sessions = histogram("pass_sessions", "Sessions in a pass.", _COUNTS)
        self._pass_seconds = histogram(
            "pass_seconds",
            "Time of a pass; prefill: a part of a long prompt is in it; part: the model, or all "
            "that is done with its logits.",
            _SECONDS,
            ("phase", "part"),
        )
        self.queue_seconds = histogram(
            "request_queue_time_seconds", "Time that a session waited for a slot.", _SECONDS
        )
        self.first_token_seconds = histogram(
            "time_to_first_token_seconds",
            "Time from a session's first step to its first token.",
            _SECONDS,
        )
        self.token_seconds = histogram(
            "request_time_per_output_token_seconds",
            "Time of a session after its first token, for each further token.",
            _SECONDS,
        )

    def on_pass(self, report: PassReport) -> None:
        """Counts a pass.  Called on the worker thread."""
        phase = "prefill" if report.prefill else "decode"
        self._iteration_tokens.observe(report.tokens)
        self._pass_sessions.observe(report.sessions)
        self._pass_seconds.labels(phase, "model").observe(report.model_s)
        self._pass_seconds.labels(phase, "after").observe(report.after_s)

    def watch(self, engine: Engine, slots: Slots, loop: AbstractEventLoop) -> None:
        """Reads the state of a pod whenever it is asked for."""
        self.registry.register(_State(engine, slots, loop))


class _State(Collector):
    """Gauges and counters that the engine and the slots keep."""

    def __init__(self, engine: Engine, slots: Slots, loop: AbstractEventLoop) -> None:
        self._engine = engine
        self._slots = slots
        self._loop = loop

    def collect(self) -> Iterable[Metric]:
        """The values now."""
        slots, cache, facts = self._slots, self._engine.model.cache, self._engine.model.facts
        for name, text, value in (
            ("num_requests_running", "Sessions that hold a slot.", slots.total - slots.free),
            ("num_requests_waiting", "Sessions that wait for a slot.", slots.waiting),
            ("kv_cache_usage_perc", "Share of the cache that sessions hold, 0 to 1.", cache.used),
            ("slots", "Sessions at once.", slots.total),
            ("tasks", "Tasks of the event loop.", len(all_tasks(self._loop))),
            ("cache_bytes", "Memory of the cache when it is full.", facts.cache_bytes),
            ("weight_bytes", "Memory of every copy of the weights.", facts.weight_bytes),
        ):
            yield GaugeMetricFamily(PREFIX + name, text, value)
        for name, text, value in (
            ("prefix_cache_queries", "Tokens that were looked for.", cache.queried_tokens),
            ("prefix_cache_hits", "Tokens that were there.", cache.found_tokens),
            ("num_preemptions", "Sessions whose pages others needed.", cache.preemptions),
        ):
            yield CounterMetricFamily(PREFIX + name, text, value)
