"""The block length: what is measured, and what is chosen from it."""

import math

import pytest
from cascade.v1 import law_pb2

from router.pace import Draft, Histories, History, Overlap, Pace, Pass
from router.pace.acceptance import Acceptance
from router.pace.load import Loads
from router.pace.mean import Cost, Mean
from router.pace.pace import MAX_LENGTH
from router.pace.times import Times


def known(draft: float, verify: float, trip: float) -> Loads:
    """Step times, and a round trip on each link, milliseconds, of one session."""
    loads = Loads()
    for _ in range(100):
        loads.now.times.drafted(Draft(draft, trip))
        loads.now.times.verified(4, Pass(verify), trip)
    return loads


def accepting(rate: float) -> Acceptance:
    """As if so much had been accepted at every position, of very many."""
    found = Acceptance()
    found.reached = [1e6] * 64
    found.accepted = [rate * 1e6] * 64
    return found


def emitted(a: float, n: int, *, bonus: bool) -> float:
    return sum(a**j for j in range(n + bonus))


@pytest.mark.parametrize("rate", [0.2, 0.6, 0.85, 0.95])
@pytest.mark.parametrize("trip", [0.0, 1.0, 10.0, 40.0])
@pytest.mark.parametrize("bonus", [False, True])
@pytest.mark.parametrize("ahead", [0, 1])
def test_the_length_is_the_fastest(rate: float, trip: float, bonus: bool, ahead: int) -> None:
    history = History(accepting(rate), known(4.0, 30.0, trip))
    pace = Pace(history, fixed=None, start=5, bonus=bonus, overlap=Overlap(ahead))

    def speed(n: int) -> float:
        used = rate ** (n + bonus) if ahead else 0.0
        apart = 4.0 * n + 30.0 + 2 * trip
        hit = max(30.0, 4.0 * n + trip, apart / 2)
        return emitted(rate, n, bonus=bonus) / (used * hit + (1 - used) * apart)

    best = max(map(speed, range(1, MAX_LENGTH + 1)))
    assert speed(pace.length) == pytest.approx(best, rel=1e-3)
    assert pace.ahead == (ahead if rate ** (pace.length + bonus) >= 0.1 else 0)


def forked(sessions: int, row_ms: float) -> int:
    """Outcomes that a draft prepares for, where each row makes all sessions' passes longer."""
    history = History(accepting(0.85), known(4.0, 30.0, 0.0))
    for i in range(200):
        rows = sessions * (1 + i % 8)
        history.times.drafted(Draft(4.0 + row_ms * rows, 0.0, rows, sessions))
    pace = Pace(history, fixed=5, start=5, bonus=True, overlap=Overlap(1, 2))
    return len(pace.likely())


def test_no_fork_is_drafted_that_costs_the_other_sessions_more_than_it_saves() -> None:
    assert forked(8, 0.0) == forked(1, 0.2) > 0, "nobody waits for it"
    counts = [forked(sessions, 0.04) for sessions in (2, 4, 8, 16, 32)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[2] > counts[-1] == 0


def test_what_a_draft_took_holds_the_passes_of_others() -> None:
    step = law_pb2.StepTiming(queue_ms=4.0, compute_ms=20.0, passes=4, rows=48, sessions=3)
    assert Draft.of(step, whole_ms=30.0) == Draft(6.0, 6.0, rows=12.0, sessions=3)
    assert Draft.of(step, whole_ms=23.0).trip_ms == 0
    assert Draft.of(step).trip_ms is None


def test_until_something_is_known_the_length_is_the_given_one() -> None:
    pace = Pace(History(), fixed=None, start=6, bonus=False, overlap=Overlap(1))
    assert (pace.length, pace.ahead) == (6, 1)


def test_a_length_that_a_request_has_chosen_is_no_measure_for_others() -> None:
    for fixed, measured in ((1, False), (None, True)):
        history = History()
        pace = Pace(history, fixed=fixed, start=4, bonus=True, overlap=Overlap(), may_go_alone=True)
        pace.begin()
        pace.emitted(2, 70.0)
        assert math.isnan(history.load.speed) is not measured


def test_a_fixed_length_is_kept() -> None:
    history = History(accepting(0.95), known(4.0, 30.0, 10.0))
    assert Pace(history, fixed=3, start=5, bonus=True, overlap=Overlap()).length == 3
    low = Pace(
        History(accepting(0.1), known(4, 30, 10)), fixed=3, start=5, bonus=False, overlap=Overlap(2)
    )
    assert (low.length, low.ahead) == (3, 0)


def test_a_session_that_learns_changes_its_length_and_the_next_begins_with_it() -> None:
    history = History(Acceptance(), known(4.0, 30.0, 10.0))
    pace = Pace(history, fixed=None, start=5, bonus=False, overlap=Overlap())
    before = pace.length
    for _ in range(200):
        pace.verified(0, 1)
    assert pace.length < before
    assert Pace(history, fixed=None, start=5, bonus=False, overlap=Overlap()).length == pace.length
    for _ in range(3000):
        pace.verified(pace.length, pace.length)
    assert pace.length > before


def test_acceptance_by_position() -> None:
    """Unknown positions are taken to be like the one before; few of a position say little."""
    found = Acceptance()
    for _ in range(96):
        found.verified(1, 2)
    rates = found.rates(3)
    assert rates[0] == (96 + 4 * 0.8) / 100
    assert rates[1] == 4 * rates[0] / 100
    assert rates[2] == rates[1]


def test_what_is_long_ago_is_forgotten() -> None:
    found = Acceptance()
    for _ in range(5000):
        found.verified(0, 1)
    for _ in range(2000):
        found.verified(1, 1)
    assert found.rates(1)[0] > 0.95


def test_the_cost_of_a_verification_by_its_length() -> None:
    cost = Cost()
    assert math.isnan(cost.of(1))
    cost.add(5, 40.0)
    assert cost.of(1) == cost.of(9) == 40.0
    for i in range(400):
        n = 1 + i % 8
        cost.add(n, 20.0 + 3.0 * n)
    assert cost.of(1) == pytest.approx(23.0, rel=0.02)
    assert cost.of(8) == pytest.approx(44.0, rel=0.02)
    anew = cost.anew()
    assert anew.of(8) == cost.of(8)
    anew.add(100, 900.0)  # with other sessions: no row of these passes took so long
    assert anew.of(100) == 900.0
    assert anew.of(101) == pytest.approx(903.0, abs=0.1)
    assert cost.of(8) == pytest.approx(44.0, rel=0.02)


def test_times_are_known_once_all_are() -> None:
    times = Times()
    assert not times.known
    times.drafted(Draft(4.0, 1.0))
    times.verified(5, Pass(30.0))
    assert not times.known
    times.verified(5, Pass(30.0), 2.0)
    assert times.known
    assert times.round_ms(5) == pytest.approx(4 * 5 + 1 + 30 + 2)
    assert not math.isnan(times.round_ms(1, 0.5, 0.2))


def test_a_trip_that_stalls_once_says_little_of_the_next_ones() -> None:
    """And a way that has become longer is known as soon as any mean of the last ones."""
    times = known(4.0, 30.0, 10.0).now.times
    times.drafted(Draft(4.0, 2600.0))
    assert times.draft_trip.value == pytest.approx(10 + 0.1 * (2 * (10 + 30) - 10))
    times.verified(4, Pass(30.0), 2600.0)
    assert times.verify_trip.value == pytest.approx(17)
    for _ in range(40):
        times.drafted(Draft(4.0, 200.0))
    assert times.draft_trip.value > 180


def test_tokens_that_come_several_at_once_are_no_slower_than_they_are() -> None:
    """Four in a message: three take nothing, the last all of their time."""
    times = Times()
    for _ in range(50):
        for ms in (0.0, 0.0, 0.0, 120.0):
            times.decoded(Pass(30.0), ms)
    assert 0.7 < times.slower.value < 1.4


def test_a_block_that_is_there_saves_a_round_what_it_can() -> None:
    near, far = (known(4.0, 30.0, trip).now.times for trip in (1.0, 40.0))
    assert near.round_ms(5, ahead=1.0) == pytest.approx(30)  # the expert has it
    assert near.round_ms(10, ahead=1.0) == pytest.approx(41)  # the drafter does not keep up
    assert near.round_ms(5, forked=1.0) == pytest.approx(31)  # it is sent when it is known to fit
    assert near.round_ms(5, ahead=0.5, forked=0.25) == pytest.approx((60 + 31 + 52) / 4)
    assert far.round_ms(5, ahead=1.0) == pytest.approx(130 / 2)  # two are under way
    assert far.round_ms(5, ahead=1.0, depth=3) == pytest.approx(60)
    assert far.round_ms(5, forked=1.0) == pytest.approx(70)


def test_a_history_is_of_a_law_whatever_its_seed() -> None:
    histories = Histories()
    law = law_pb2.Law(mode=law_pb2.MODE_SPECULATIVE, temperature=1.0, seed=5)
    history = histories.of(law)
    law.seed = 6
    assert histories.of(law) is history
    law.temperature = 0.5
    assert histories.of(law) is not history
    for i in range(256):
        histories.of(law_pb2.Law(alpha=i))
    law.temperature = 1.0
    assert histories.of(law) is not history, "the oldest are forgotten"


@pytest.mark.parametrize(
    ("deferrals", "verify_ms", "in_turn"),
    [
        (0.1, {1: 30.0, 6: 150.0}, True),
        (0.1, {1: 30.0, 6: 32.0}, True),
        (0.8, {1: 30.0, 6: 32.0}, False),
    ],
)
def test_of_two_ways_the_faster_is_taken(
    deferrals: float, verify_ms: dict[int, float], in_turn: bool
) -> None:
    """One answer in sixteen takes the other."""
    history = History(accepting(0.6), known(4.0, 30.0, 1.0))
    for length, ms in verify_ms.items():
        for _ in range(50):
            history.verified(length, Pass(ms))
    pace = Pace(history, fixed=None, start=6, bonus=False, overlap=Overlap())
    assert not pace.in_turn(), "nothing is known of deferrals"
    for i in range(1000):
        history.deferrals.add(float(i % 10 < 10 * deferrals))
    ways = [pace.in_turn() for _ in range(32)]
    assert ways.count(in_turn) == 30


def test_a_mean_begins_as_the_mean_of_all() -> None:
    mean = Mean(smoothing=0.01)
    for value in range(10):
        mean.add(value)
    assert mean.value == pytest.approx(4.5)


@pytest.mark.parametrize("course", [200, 2000])
def test_a_jump_is_seen_however_long_the_course_before_it(course: int) -> None:
    """Of what was seen before only the last tokens are compared."""
    acceptance = Acceptance()
    for token in range(course):
        assert acceptance.verified(int(token % 10 > 0), 1) == 1
    rejected = 1
    while acceptance.verified(0, 1) == 1:
        rejected += 1
    assert rejected <= 16
