"""What a router measures of its pods."""

from collections import Counter as Count
from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.serving.metrics import PREFIX

if TYPE_CHECKING:
    from router.pool.pool import Pool

_STATES = ("available", "draining", "left_alone", "unreachable", "refused")


class PoolMetrics(Collector):
    """Counters that pools fill, and gauges that are read when asked for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._pools: list[Pool] = []
        self._refused = Counter(
            PREFIX + "pods_refused",
            "Pods that serve another model than the role's first.",
            ("role",),
            registry=registry,
        )
        self._lost = Counter(
            PREFIX + "pods_lost",
            "Pods that were reached, and then no more.",
            ("role",),
            registry=registry,
        )
        self._failovers = Counter(
            PREFIX + "failovers",
            "Sessions opened anew on another pod.",
            ("role",),
            registry=registry,
        )
        registry.register(self)

    def watch(self, pool: "Pool") -> None:
        """Reads the pods of a pool whenever it is asked for."""
        self._pools.append(pool)

    def refused(self, role: str) -> None:
        """A pod was."""
        self._refused.labels(role).inc()

    def lost(self, role: str) -> None:
        """A pod was."""
        self._lost.labels(role).inc()

    def failed_over(self, role: str) -> None:
        """A session was opened anew."""
        self._failovers.labels(role).inc()

    def collect(self) -> Iterable[Metric]:
        """The values now."""
        pods = GaugeMetricFamily(PREFIX + "pods", "Discovered pods.", labels=("role", "state"))
        breakers = GaugeMetricFamily(
            PREFIX + "pod_breaker",
            "0: closed; 1: one session tries the pod; 2: open, the pod is left alone.",
            labels=("role", "pod"),
        )
        for pool in self._pools:
            states = Count(pod.state for pod in pool.pods)
            for state in _STATES:
                pods.add_metric((pool.role, state), states[state])
            for pod in pool.pods:
                breakers.add_metric((pool.role, pod.address), pod.breaker.state.value)
        yield pods
        yield breakers
