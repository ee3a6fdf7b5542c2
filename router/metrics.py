"""What a router measures of its answers.  Names as vLLM has them, with our prefix."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cascade.v1 import router_pb2
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from router.pool.metrics import PoolMetrics
from services.serving.metrics import PREFIX
from services.serving.slots import Slots

_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)


class RouterMetrics:
    """Counters and histograms that answers fill."""

    def __init__(self, slots: Slots) -> None:
        """``slots``: of the answers under way."""
        self.registry = CollectorRegistry()

        def counter(name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(PREFIX + name, text, labels, registry=self.registry)

        def histogram(name: str, text: str) -> Histogram:
            return Histogram(PREFIX + name, text, buckets=_SECONDS, registry=self.registry)

        def gauge(name: str, text: str, value: Callable[[], float]) -> None:
            Gauge(PREFIX + name, text, registry=self.registry).set_function(value)

        gauge("num_requests_running", "Answers under way.", lambda: slots.total - slots.free)
        gauge("num_requests_waiting", "Requests that wait.", lambda: slots.waiting)
        self._finished = counter(
            "request_success", "Answers that came to their end.", ("finished_reason",)
        )
        self._failed = counter("request_failure", "Answers that did not.", ("error",))
        self._prompt = counter("prompt_tokens", "Tokens of prompts.")
        self._tokens = counter(
            "generation_tokens", "Tokens decided, by whose they are.", ("origin",)
        )
        self._rounds = counter("spec_decode_num_drafts", "Rounds.")
        self._drafted = counter("spec_decode_num_draft_tokens", "Tokens sent to the expert.")
        self._accepted = counter("spec_decode_num_accepted_tokens", "Those that it accepted.")
        self._ahead = counter(
            "spec_decode_num_drafts_ahead",
            "Blocks sent before the verdict on the one before; used: built on what it said.",
            ("used",),
        )
        self._forks = counter(
            "spec_decode_num_forks",
            "Blocks prepared for likely rejections; used: what the expert then said.",
            ("used",),
        )
        self._alone = counter(
            "expert_alone",
            "Answers in which one model went on alone: it paid, was tried, or the other was lost.",
        )
        self.pods = PoolMetrics(self.registry)
        """Of the pods."""
        self._asked = counter(
            "key_requests", "Requests with a key, by its name and how they ended.", ("key", "end")
        )
        self._used = counter("key_tokens", "Tokens that count for a key's limit.", ("key",))
        self._first = histogram("time_to_first_token_seconds", "From the call to the first token.")
        self._whole = histogram("e2e_request_latency_seconds", "From the call to the last token.")

    @contextmanager
    def answering(self) -> Iterator[None]:
        """While a request is seen to."""
        try:
            yield
        except BaseException as error:
            self.failed(error)
            raise

    def failed(self, error: BaseException) -> None:
        """A request ended with an error."""
        self._failed.labels(type(error).__name__).inc()

    @contextmanager
    def asked(self, key: str) -> Iterator[None]:
        """While a request of the key with this name is seen to; no name: there are no keys."""
        end = "finished"
        try:
            yield
        except BaseException as error:
            end = type(error).__name__
            raise
        finally:
            if key:
                self._asked.labels(key, end).inc()

    def used(self, key: str, tokens: int) -> None:
        """Tokens of a prompt or an answer were charged."""
        if key:
            self._used.labels(key).inc(tokens)

    def finished(self, finished: router_pb2.Finished) -> None:
        """An answer has come to its end."""
        statistics = finished.statistics
        reason = router_pb2.FinishReason.Name(finished.reason).removeprefix("FINISH_REASON_")
        self._finished.labels(reason.lower()).inc()
        self._prompt.inc(finished.usage.prompt_tokens)
        for origin, count in statistics.tokens_by_origin.items():
            self._tokens.labels(origin.removeprefix("ORIGIN_").lower()).inc(count)
        self._rounds.inc(statistics.rounds)
        self._drafted.inc(statistics.drafted)
        self._accepted.inc(statistics.accepted)
        self._ahead.labels("yes").inc(statistics.blocks_ahead_used)
        self._ahead.labels("no").inc(statistics.blocks_ahead - statistics.blocks_ahead_used)
        self._forks.labels("yes").inc(statistics.forks_used)
        self._forks.labels("no").inc(statistics.forks - statistics.forks_used)
        self._alone.inc(bool(statistics.alone_reasons))
        self._first.observe(statistics.time_to_first_token_ms / 1000)
        self._whole.observe(statistics.total_ms / 1000)
