"""Many sessions on one expert, whose passes take longer the more rows they have: by their clock.

What all together make by the pace that each chooses, beside what the best block length for all
makes, and beside the expert alone.
"""

import random
from dataclasses import dataclass
from statistics import mean

import pytest

from router.pace import Draft, History, Overlap, Pace, Pass
from router.pace.load import Load, Loads

MINUTE_MS = 60_000.0


@dataclass(frozen=True)
class Hardware:
    """Milliseconds."""

    draft: float
    """Of a drafted token."""
    level: float
    """Of a pass of the expert."""
    row: float
    """Of each row in it, beside that."""
    slowed: float = 1.0
    """So much longer a pass takes while others draft on the same hardware."""

    def pass_ms(self, rows: float) -> float:
        return self.level + self.row * rows


@dataclass
class Session:
    """One that never ends."""

    pace: Pace
    ready_ms: float
    length: int = 0
    """Of the block that it waits with; 0: it decodes alone."""
    began_ms: float = 0.0

    def go_on(self, now_ms: float, hardware: Hardware) -> None:
        """Chooses what it waits for next."""
        self.began_ms = now_ms
        self.length = 0 if self.pace.alone else self.pace.length
        self.ready_ms = now_ms + hardware.draft * self.length

    def served(
        self, now_ms: float, one: Pass, chance: random.Random, acceptance: float, hardware: Hardware
    ) -> int:
        """Takes part in a pass that begins now; the tokens that it got of it."""
        ended_ms = now_ms + one.ms
        if not self.length:
            self.pace.decoded_alone(1, ended_ms - self.ready_ms, one)
            return 1
        n = self.length
        accepted = next((j for j in range(n) if chance.random() >= acceptance), n)
        self.pace.history.verified(n, one, now_ms - self.ready_ms, Draft(hardware.draft, 0.0))
        self.pace.verified(accepted, min(accepted + 1, n))
        self.pace.emitted(accepted + 1, ended_ms - self.began_ms)
        return accepted + 1


@dataclass
class Pod:
    """An expert, and the sessions that it has."""

    sessions: list[Session]
    free_ms: float = 0.0

    @property
    def next_ms(self) -> float:
        """When its next pass begins."""
        return max(self.free_ms, min(session.ready_ms for session in self.sessions))


def made(
    history: History,
    hardware: Hardware,
    sessions: int,
    *,
    pods: int = 1,
    acceptance: float = 0.85,
    fixed: int | None = None,
    may_go_alone: bool = True,
    ms: float = 2 * MINUTE_MS,
    seed: int = 0,
) -> float:
    """Tokens a second that so many sessions on each of so many experts make together."""
    chance = random.Random(seed)
    experts = [
        Pod(
            [
                Session(a_pace(history, fixed=fixed, may_go_alone=may_go_alone), 0.0)
                for _ in range(sessions)
            ]
        )
        for _ in range(pods)
    ]
    for session in (session for pod in experts for session in pod.sessions):
        session.pace.begin()
        session.go_on(0.0, hardware)
    tokens = 0
    while (pod := min(experts, key=lambda pod: pod.next_ms)).next_ms < ms:
        now = pod.next_ms
        served = [session for session in pod.sessions if session.ready_ms <= now]
        rows = sum(session.length + 1 for session in served)
        drafting = any(session.length for session in pod.sessions)
        slowed = hardware.slowed if drafting else 1.0
        one = Pass(slowed * hardware.pass_ms(rows), rows, sessions)
        pod.free_ms = now + one.ms
        for session in served:
            tokens += session.served(now, one, chance, acceptance, hardware)
            session.go_on(pod.free_ms, hardware)
    for session in (session for pod in experts for session in pod.sessions):
        session.pace.end()
    return 1000 * tokens / ms


def a_pace(history: History, *, fixed: int | None, may_go_alone: bool) -> Pace:
    return Pace(
        history,
        fixed=fixed,
        start=5,
        bonus=True,
        overlap=Overlap(),
        may_go_alone=may_go_alone,
    )


def alone(hardware: Hardware, sessions: int) -> float:
    """Tokens a second of the expert alone."""
    return 1000 * sessions / hardware.pass_ms(sessions)


GPU = Hardware(draft=4.0, level=30.0, row=0.05)
BUSY = Hardware(draft=10.0, level=30.0, row=3.0)
SHARED = Hardware(draft=60.0, level=110.0, row=8.0)
STEEP = Hardware(draft=28.0, level=125.0, row=7.0)


@pytest.mark.parametrize("sessions", [1, 4, 16, 64])
@pytest.mark.parametrize("hardware", [GPU, BUSY, SHARED], ids=["gpu", "busy", "shared"])
def test_together_they_make_what_the_best_length_makes(hardware: Hardware, sessions: int) -> None:
    history = History()
    made(history, hardware, sessions)
    found = made(history, hardware, sessions)
    best = max(
        made(History(), hardware, sessions, fixed=n, may_go_alone=False, ms=MINUTE_MS / 3)
        for n in range(1, 13)
    )
    assert found >= 0.88 * best
    assert found >= 0.94 * alone(hardware, sessions)


@pytest.mark.parametrize("sessions", [8, 16])
@pytest.mark.parametrize("hardware", [BUSY, SHARED, STEEP], ids=["busy", "shared", "steep"])
def test_who_is_left_behind_a_burst_goes_on_as_if_there_had_been_none(
    hardware: Hardware, sessions: int
) -> None:
    """At once: what was found with many sessions does not hold for one."""
    shares = []
    for seed in range(8):
        undisturbed, burst = History(), History()
        made(undisturbed, hardware, 1, ms=MINUTE_MS / 4, seed=seed)
        made(burst, hardware, 1, ms=MINUTE_MS / 4, seed=seed)
        made(burst, hardware, sessions, ms=MINUTE_MS / 4, seed=seed)
        found = (made(history, hardware, 1, ms=6000, seed=seed) for history in (burst, undisturbed))
        shares.append(next(found) / next(found))
    assert mean(shares) >= 0.95


def test_no_new_session_is_held_back_by_what_was_measured_with_many() -> None:
    """Those left behind a burst may end before a draft has told what it takes them."""
    history = History()
    for seed in range(4):
        made(history, SHARED, 64, seed=seed)
    for _ in range(100):
        history.times.drafted(Draft(1000.0))
    assert history.load.left, "the expert goes alone"
    left_behind = a_pace(history, fixed=None, may_go_alone=True)
    left_behind.begin()
    while left_behind.alone:
        left_behind.decoded_alone(1, SHARED.pass_ms(1), Pass(SHARED.pass_ms(1), 1, 1))
    assert a_pace(history, fixed=None, may_go_alone=True).alone == 0


def test_who_is_left_behind_drafts_what_is_best_for_one() -> None:
    """At once, in blocks as long as those of a session that begins then."""
    history = History()
    made(history, SHARED, 1)
    made(history, SHARED, 64)
    left_behind = a_pace(history, fixed=None, may_go_alone=True)
    left_behind.begin()
    assert left_behind.alone
    with_many = left_behind.length
    while left_behind.alone:
        left_behind.decoded_alone(1, SHARED.pass_ms(1), Pass(SHARED.pass_ms(1), 1, 1))
    assert left_behind.length == a_pace(history, fixed=None, may_go_alone=True).length != with_many


def test_when_most_sessions_have_ended_speculation_is_tried_again() -> None:
    """However long the expert had gone alone for all of them."""
    history = History()
    for seed in range(4):
        made(history, SHARED, 64, seed=seed)
    assert "does not pay" in history.load.reason
    found = made(history, SHARED, 1)
    assert found >= 0.95 * made(History(), SHARED, 1)


def test_when_many_sessions_come_the_expert_goes_alone() -> None:
    history = History()
    made(history, BUSY, 1)
    found = made(history, BUSY, 64)
    assert found >= 0.95 * alone(BUSY, 64)


def test_trials_take_as_little_with_many_experts() -> None:
    """The sessions of all of them share one stretch of the expert alone."""
    history = History()
    made(history, SHARED, 8, pods=16, acceptance=0.2, ms=MINUTE_MS / 2)
    found = made(history, SHARED, 8, pods=16, acceptance=0.2, ms=MINUTE_MS)
    assert found >= 0.98 * 16 * alone(SHARED, 8)


def test_the_next_trial_comes_after_so_many_tokens_of_each_experts_sessions() -> None:
    history = History()
    for _ in range(10):
        history.loads.passed(Pass(1.0, sessions=2))
    paces = [a_pace(history, fixed=None, may_go_alone=True) for _ in range(8)]
    for pace in paces:
        pace.begin()
    assert history.load.begin_trial()
    begun = []
    for _ in range(4):
        for pace in paces:
            pace.emitted(100, 1.0)
        begun.append(history.load.begin_trial())
    assert begun == [False, False, False, True]


def test_a_second_burst_goes_on_as_the_first_one_ended() -> None:
    """The trials of whether speculation pays were made, and what one session does is its own."""
    history = History()
    made(history, BUSY, 64)
    assert history.load.left, "the expert goes alone"
    one = made(history, BUSY, 1, ms=MINUTE_MS / 4)
    assert one >= 1.3 * alone(BUSY, 1)
    assert made(history, BUSY, 64, ms=12_000) >= 0.97 * alone(BUSY, 64)


def test_what_no_pass_of_blocks_tells_is_found_by_trying() -> None:
    """The expert alone is faster than a pass says, since nobody drafts then."""
    slowed = Hardware(draft=4.0, level=60.0, row=0.5, slowed=3.0)
    history = History()
    before = made(History(), slowed, 8, may_go_alone=False)
    assert before < 0.8 * alone(slowed, 8)
    made(history, slowed, 8, seed=10)
    assert made(history, slowed, 8, seed=11) >= 0.88 * alone(slowed, 8)


def test_what_the_expert_makes_alone_counts_where_all_sessions_are_in_its_pass() -> None:
    load = Load()
    load.decoded(Pass(40.0, rows=20, sessions=4), 50.0)  # others verify in it
    load.decoded(Pass(40.0, rows=2, sessions=4), 50.0)  # others draft meanwhile
    load.decoded(Pass(40.0, rows=4, sessions=4))  # what a token took is not known
    load.speculated(3, 100.0, 4)
    assert not load.known
    load.decoded(Pass(40.0, rows=4, sessions=4), 45.0)
    assert load.known
    assert (load.alone.value, load.speed) == (45.0, 0.03)


def test_each_trial_of_the_expert_alone_is_followed_by_a_longer_time_without_one() -> None:
    load, waited = Load(), []
    assert load.begin_trial(), "nothing is known"
    for _ in range(6):
        rounds = 0
        while not load.begin_trial():
            load.speculated(4, 100.0, sessions=2)
            rounds += 1
        waited.append(rounds * 4 / 2)
    assert waited == [400, 800, 1600, 3200, 6400, 6400]


def test_loads_are_alike_for_about_as_many_sessions() -> None:
    loads, found = Loads(), []
    for sessions in (1, 4, 5, 8, 1):
        for _ in range(10):
            loads.passed(Pass(1.0, sessions=sessions))
        found.append(loads.now)
    one, four, five, eight, again = found
    assert one is again
    assert not one.shared
    assert four.shared
    assert four is five is not eight
    for sessions in [12] * 10 + [10, 12] * 10:
        loads.passed(Pass(1.0, sessions=sessions))
        found.append(loads.now)
    assert set(map(id, found[-25:])) == {id(loads.now)}, "between two it stays what it was"


def test_what_steps_take_with_many_sessions_is_no_measure_of_one() -> None:
    """Not even the first drafts of a burst, made while the last pass had told of one session."""
    history = History()

    def rounds(count: int, sessions: int, draft_ms: float) -> None:
        found = Pass(sessions * 100.0, 6 * sessions, sessions)
        for _ in range(count):
            history.verified(5, found, trip_ms=draft_ms, draft=Draft(draft_ms, draft_ms))

    rounds(10, sessions=1, draft_ms=10.0)
    one = history.times
    alone_ms, round_ms = one.alone_ms, one.round_ms(5)
    rounds(8, sessions=8, draft_ms=100.0)
    assert history.load.shared
    assert history.times.round_ms(5) == pytest.approx(5 * 100 + 100 + 800 + 100)
    rounds(10, sessions=1, draft_ms=10.0)
    assert history.times is one
    assert (one.alone_ms, one.round_ms(5)) == pytest.approx((alone_ms, round_ms))
    rounds(8, sessions=8, draft_ms=100.0)
    assert history.times.draft.value == pytest.approx(100), "what was found before is kept"


def test_with_other_sessions_one_goes_by_what_is_known_until_there_is_more() -> None:
    history = History()
    for _ in range(10):
        history.verified(5, Pass(30.0, 6), 1.0, Draft(4.0, 1.0))
    before = history.times
    history.verified(5, Pass(90.0, 48, 8), 9.0, Draft(9.0, 9.0))
    assert history.times is not before, "of neither"
    assert history.times.round_ms(5) == pytest.approx(before.round_ms(5))
    assert not history.times.tell
    for _ in range(3):
        history.verified(5, Pass(90.0, 48, 8), 9.0, Draft(9.0, 9.0))
    assert history.times.draft.value == pytest.approx(9.0)
