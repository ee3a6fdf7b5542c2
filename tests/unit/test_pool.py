"""Which pod gets a session, and when a pod that fails is left alone."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cascade.v1 import model_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from router.discovery import Endpoint
from router.pair import Pair
from router.pool import Pool
from router.pool.breaker import FAILURES, Breaker, BreakerState
from router.pool.choice import AFFINE_TOKENS, Load, choose
from router.pool.lease import Lease
from router.pool.patience import Patience
from router.pool.pod import Pod

ZONES = ["", "a", "b"]


@st.composite
def loads(draw: st.DrawFn) -> list[Load]:
    count = draw(st.integers(1, 8))
    found = []
    for i in range(count):
        slots = draw(st.integers(1, 32))
        free = draw(st.integers(0, slots))
        waiting = 0 if free else draw(st.integers(0, 64))
        found.append(Load(f"10.0.0.{i}:7", draw(st.sampled_from(ZONES)), slots, free, waiting))
    return found


@given(loads(), st.sampled_from(ZONES), st.lists(st.integers(0, 99), min_size=1), st.data())
def test_a_pod_whose_steps_fail_comes_behind_all_others(
    pods: list[Load], zone: str, prompt: list[int], data: st.DataObject
) -> None:
    """Its slots are free, since nothing holds them for long."""
    failing = data.draw(st.lists(st.booleans(), min_size=len(pods), max_size=len(pods)))
    marked = [replace(pod, failing=fails) for pod, fails in zip(pods, failing, strict=True)]
    best = choose(marked, zone, prompt)
    well = [pod for pod in marked if not pod.failing]
    assert best == choose(well or marked, zone, prompt)


PROMPTS = st.lists(st.integers(0, 2**17), min_size=1, max_size=64)


@given(loads(), st.sampled_from(ZONES), PROMPTS)
def test_a_queue_is_the_last_resort_and_the_own_zone_comes_first(
    pods: list[Load], zone: str, prompt: list[int]
) -> None:
    best = choose(pods, zone, prompt)
    assert best is not None
    free = [pod for pod in pods if pod.free]
    near = [pod for pod in free or pods if not zone or pod.zone == zone]
    assert best in (near or free or pods)
    for pod in near or free or pods:
        if free:
            assert pod.free / pod.slots <= best.free / best.slots + 0.25, "within a quarter"
        else:
            assert pod.waiting / pod.slots >= best.waiting / best.slots


@given(loads(), st.sampled_from(ZONES), PROMPTS, PROMPTS)
def test_it_depends_on_the_prompts_beginning_and_on_no_order(
    pods: list[Load], zone: str, prompt: list[int], rest: list[int]
) -> None:
    head = (prompt * AFFINE_TOKENS)[:AFFINE_TOKENS]
    best = choose(pods, zone, head)
    assert choose(list(reversed(pods)), zone, head + rest) == best


@given(st.integers(2, 6), st.lists(PROMPTS, min_size=8, max_size=8), st.integers(0, 5))
def test_a_pod_that_goes_moves_only_its_own_prompts(
    count: int, prompts: list[list[int]], gone: int
) -> None:
    pods = [Load(f"10.0.0.{i}:7", "", 8, 8, 0) for i in range(count)]
    left = [pod for i, pod in enumerate(pods) if i != gone % count]
    for prompt in prompts:
        before = choose(pods, "", prompt)
        if before in left:
            assert choose(left, "", prompt) == before


def test_prompts_spread_over_equal_pods() -> None:
    pods = [Load(f"10.0.0.{i}:7", "", 8, 8, 0) for i in range(4)]
    chosen = [choose(pods, "", [i, i + 1]) for i in range(400)]
    counts = [chosen.count(pod) for pod in pods]
    assert sum(counts) == 400
    assert min(counts) > 60, "of 100 on average; fixed prompts, so always the same"


def test_no_pod_no_choice() -> None:
    assert choose([], "a", [1]) is None


class BreakerMachine(RuleBasedStateMachine):
    """A breaker beside what it promises, on a clock of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.breaker = Breaker(lambda: self.now, lambda: 0.5)
        self.row = 0
        """Failures in a row, of sessions that began after the one before."""
        self.running: list[int] = []
        """Of each session, how many failures it began after."""
        self.failures = 0
        self.opened_at: float | None = None
        self.trial = False

    @rule(seconds=st.floats(0.01, 60))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.breaker.allows)
    @rule()
    def session_begins(self) -> None:
        self.running.append(self.breaker.began())
        assert self.running[-1] == self.failures
        self.trial = self.opened_at is not None

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def session_fails(self, data: st.DataObject) -> None:
        already = self.opened_at is not None and not self.trial
        began = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.breaker.failed(began)
        if already or began < self.failures:
            return
        self.failures += 1
        self.row += 1
        if self.trial or self.row >= FAILURES:
            self.opened_at, self.trial = self.now, False

    @rule()
    def session_succeeds(self) -> None:
        already = self.opened_at is not None and not self.trial
        self.breaker.succeeded()
        if not already:
            self.row, self.opened_at, self.trial = 0, None, False

    @precondition(lambda self: self.trial)
    @rule()
    def trial_is_open(self) -> None:
        self.breaker.opened()
        self.opened_at, self.trial = None, False

    @precondition(lambda self: self.trial)
    @rule()
    def trial_is_abandoned(self) -> None:
        self.breaker.abandoned()
        self.trial = False
        assert self.breaker.allows, "the next one may try"

    @invariant()
    def keeps_its_promises(self) -> None:
        if self.opened_at is None:
            assert self.breaker.state is BreakerState.CLOSED
            assert self.breaker.allows
        elif self.trial:
            assert self.breaker.state is BreakerState.TRIED
            assert not self.breaker.allows, "one trial at a time"
        else:
            assert self.breaker.state is BreakerState.OPEN
            if self.now - self.opened_at < 0.25:
                assert not self.breaker.allows, "it is left alone"
            if self.now - self.opened_at > 30:
                assert self.breaker.allows, "never for longer than this"


TestBreaker = BreakerMachine.TestCase


@given(st.integers(1, 10))
def test_each_trial_that_fails_is_followed_by_a_longer_wait(trials: int) -> None:
    now = [0.0]
    breaker = Breaker(lambda: now[0], lambda: 0.999)
    for _ in range(FAILURES):
        breaker.failed(breaker.began())
    waits = []
    for _ in range(trials):
        began = now[0]
        while not breaker.allows:
            now[0] += 0.05
        waits.append(now[0] - began)
        breaker.failed(breaker.began())
    assert all(b > a or b > 29 for a, b in pairwise(waits))


def test_sessions_that_are_lost_at_once_count_as_one_failure() -> None:
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        for began in [breaker.began() for _ in range(10)]:
            breaker.failed(began)
        assert breaker.state is BreakerState.CLOSED
    breaker.failed(breaker.began())
    assert breaker.state is BreakerState.OPEN


class NoMetrics:
    """Of a pool that nobody watches."""

    def watch(self, pool: Pool) -> None:
        """Nobody looks."""


def pool_of(lengths: Sequence[int]) -> Pool:
    """A pool whose pods hold so many tokens of a session; 0: it does not say."""
    discovery: Any = SimpleNamespace(look_again=lambda: None)
    pool = Pool(pb.ROLE_EXPERT, discovery, cast(Any, NoMetrics()))
    for port, length in enumerate(lengths, 1):
        pod = Pod(Endpoint(f"127.0.0.1:{port}"))
        pod.serving = True
        if length:
            pod.info = pb.GetModelInfoResponse(context_length=length, slots_total=1, slots_free=1)
        pool._pods[pod.address] = pod
    return pool


@pytest.mark.parametrize(
    ("drafters", "experts", "length"),
    [([], [], 99), ([4096], [], 99), ([4096], [0], 99), ([4096, 64], [512, 0], 512)],
)
async def test_a_pair_holds_what_a_pod_of_each_role_holds_now(
    drafters: list[int], experts: list[int], length: int
) -> None:
    tokenizer: Any = None
    pair = Pair(pool_of(drafters), pool_of(experts), tokenizer, frozenset(), 99)
    assert pair.context_length == length
    for pod in (*pair.drafters.pods, *pair.experts.pods):
        await pod.channel.close()


async def test_a_session_goes_where_it_has_room_to_its_end() -> None:
    pool = pool_of([4096, 1024, 0])
    large, small, silent = pool.pods
    assert pool.context_length == 4096
    long = pool.lease([1], 1025)
    assert long is not None
    assert long.pod is large
    assert pool.lease([1], 1025, without={large}) is None
    short = pool.lease([1], 1024)
    assert short is not None
    assert short.pod is small, "the other one's slot is taken"
    large.refused = "another model"
    assert pool.context_length == 1024
    for pod in (large, small, silent):
        await pod.channel.close()


async def test_a_lease_tells_the_breaker_once() -> None:
    pod, lost, over = Pod(Endpoint("127.0.0.1:1")), list[int](), list[Pod]()

    def lease() -> Lease:
        return Lease(pod, lambda: lost.append(1), over.append)

    for n in range(1, FAILURES + 1):
        failing = lease()
        failing.lost()
        failing.lost()
        failing.close()
        assert len(lost) == len(over) == n
    assert pod.state == "unreachable"
    assert not pod.breaker.allows
    assert pod.sessions == 0
    await pod.channel.close()


@given(st.lists(st.floats(0, 100), max_size=200))
def test_patience_is_a_second_at_least_and_five_times_the_longest_at_most(
    waits: Sequence[float],
) -> None:
    patience = Patience()
    for seconds in waits:
        patience.waited(seconds)
    assert 1.0 <= patience.limit_s() <= max(1.0, 5 * max(waits, default=0.0) + 1e-9)
