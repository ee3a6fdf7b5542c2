"""Any mix of sessions gives each one the greedy tokens that it has alone.

A state machine opens, steps, rolls back, interrupts and closes sessions on a real engine.  Its
cache is too small for all of them: they share prefixes, and give way to each other.
"""

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import pytest
import torch
from cascade.v1 import drafter_pb2, expert_pb2, law_pb2
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from services.drafter.draft import DraftStep
from services.engine import schedule
from services.engine.engine import Engine
from services.engine.model import Model, load
from services.engine.pages import PAGE
from services.engine.session import Session
from services.errors import CascadeError
from services.expert.decode import DecodeStep
from services.expert.verify import VerifyStep
from services.pod.law import SessionLaw
from services.serving import law as laws
from services.tokens import TokenSequence
from tests.services import TINY

SESSIONS = 16
PAGES = 30
"""Of the cache: less than sixteen sessions need."""

PREFIXES = [
    b"The quick brown fox jumps over the lazy dog. " * 2,
    b"import os\n\n\ndef main() -> None:\n",
]

NEAR_TIE = 1e-4
"""Logits nearer than that differ by rounding alone."""

Block = drafter_pb2.DraftedBlock | expert_pb2.Verdict | expert_pb2.DecodedTokens

Forks = list[drafter_pb2.Fork]


def a_law(mode: law_pb2.Mode.ValueType) -> SessionLaw:
    """Greedy."""
    law = laws.with_defaults(law_pb2.Law(mode=mode, top_p=1, candidates=8), alpha_given=False)
    return SessionLaw.from_proto(law)


EXPERT, SPECULATIVE = a_law(law_pb2.MODE_EXPERT), a_law(law_pb2.MODE_SPECULATIVE)


class Alone:
    """The greedy tokens of a session that has the model for itself."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._known: dict[tuple[int, ...], torch.Tensor] = {}
        self.near_ties = 0

    def logits(self, prefix: list[int]) -> torch.Tensor:
        """After the prefix: [V]."""
        key = tuple(prefix)
        if key not in self._known:
            self._known[key] = self._model.logits(prefix, 1)[0]
        return self._known[key]

    def next(self, prefix: list[int]) -> int:
        """The favourite after the prefix."""
        return int(self.logits(prefix).argmax())

    def check(self, prefix: list[int], tokens: list[int]) -> None:
        """Each token is the favourite after all before it."""
        for j, token in enumerate(tokens):
            logits = self.logits([*prefix, *tokens[:j]])
            if token != int(logits.argmax()):
                assert logits.max() - logits[token] < NEAR_TIE
                self.near_ties += 1


@dataclass
class Open:
    """A session, what it holds, and the step that is under way."""

    session: Session
    tokens: list[int]
    results: SimpleQueue[Block | CascadeError] = field(default_factory=SimpleQueue)
    pending: bool = False
    forks: Forks = field(default_factory=list)
    """Those of a draft that is under way."""
    forked: SimpleQueue[drafter_pb2.DraftedForks | CascadeError] = field(
        default_factory=SimpleQueue
    )
    other: list[list[int]] = field(default_factory=list)
    """What the forks of the last draft ended with: all their tokens."""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    torch.set_num_threads(1)
    whole = load(TINY / "expert", device="cpu", dtype="float32").facts
    budget = PAGES * PAGE * whole.cache_bytes // whole.cache_tokens
    engine = Engine(
        lambda: load(TINY / "expert", device="cpu", dtype="float32", cache_bytes=budget), chunk=24
    )
    yield engine
    engine.stop()


@pytest.fixture(scope="module")
def alone() -> Alone:
    return Alone(load(TINY / "expert", device="cpu", dtype="float32"))


class Sessions(RuleBasedStateMachine):
    """Up to sixteen sessions, each with at most one step under way."""

    engine: Engine
    alone: Alone
    forked: int
    """Blocks that were drafted on forks, by all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[Open] = []
        self.left: list[Future[None]] = []

    @precondition(lambda self: len(self.open) < SESSIONS)
    @rule(
        prefix=st.sampled_from(PREFIXES),
        length=st.integers(1, 70),
        tail=st.binary(max_size=40),
        n=st.integers(1, 4),
    )
    def join(self, prefix: bytes, length: int, tail: bytes, n: int) -> None:
        """Opens a session with a prompt and decodes."""
        new = Open(self.engine.open(), [])
        self.open.append(new)
        self._decode(new, 0, list(prefix[:length] + tail), n)

    @precondition(lambda self: self.open)
    @rule(
        which=st.integers(0, SESSIONS),
        back=st.integers(0, 30),
        tail=st.binary(max_size=40),
        n=st.integers(1, 6),
    )
    def decode(self, which: int, back: int, tail: bytes, n: int) -> None:
        """Goes on from some tokens back, with others in their place."""
        one = self._settled(which)
        position = max(len(one.tokens) - back, 1)
        self._decode(one, position, list(tail), n)

    @precondition(lambda self: self.open)
    @rule(
        which=st.integers(0, SESSIONS),
        back=st.integers(0, 20),
        n=st.integers(1, 5),
        forks=st.lists(st.tuples(st.integers(1, 20), st.integers(0, 255)), max_size=4),
        fork_tokens=st.integers(1, 5),
    )
    def draft(
        self, which: int, back: int, n: int, forks: list[tuple[int, int]], fork_tokens: int
    ) -> None:
        """Drafts from some tokens back, and on forks that leave some tokens before that."""
        one = self._settled(which)
        position = max(len(one.tokens) - back, 1)
        self._draft(one, position, [], n, forks, fork_tokens)

    @precondition(lambda self: any(one.other for one in self.open))
    @rule(
        i=st.integers(0, 100),
        cut=st.integers(0, 2),
        n=st.integers(1, 5),
        forks=st.lists(st.tuples(st.integers(1, 20), st.integers(0, 255)), max_size=2),
    )
    def follow(self, i: int, cut: int, n: int, forks: list[tuple[int, int]]) -> None:
        """Drafts on from what a fork of the last draft ended with."""
        one = next(one for one in self.open if one.other)
        other = one.other[i % len(one.other)]
        self._settled(self.open.index(one))
        other = other[: max(len(other) - cut, 1)]
        same = [a == b for a, b in zip(other, one.tokens, strict=False)]
        common = same.index(False) if False in same else len(same)
        self._draft(one, common, other[common:], n, forks, 2)

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, SESSIONS), n=st.integers(0, 8), wrong=st.integers(0, 10))
    def verify(self, which: int, n: int, wrong: int) -> None:
        """Verifies a block that is right up to token ``wrong``."""
        one = self._settled(which)
        block: list[int] = []
        for j in range(n):
            right = self.alone.next([*one.tokens, *block])
            block.append(right if j < wrong else (right + 1) % 256)
        request = expert_pb2.VerifyStep(
            position=len(one.tokens),
            prefix_hash=TokenSequence(one.tokens).hash(),
            block=[law_pb2.DraftedToken(id=token) for token in block],
        )
        facts = self.engine.model.facts
        self._submit(one, VerifyStep(request, facts, SPECULATIVE, frozenset(), one.results.put))

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, SESSIONS), n=st.integers(1, 4))
    def supersede(self, which: int, n: int) -> None:
        """A long step, and at once another in its place."""
        one = self._settled(which)
        position, before = len(one.tokens), list(one.tokens)
        self._decode(one, position, [], 60, piece=60)
        one.tokens = before
        one.results = SimpleQueue()
        self._decode(one, position, [], n)

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, SESSIONS))
    def leave(self, which: int) -> None:
        """Closes a session, whatever it does."""
        one = self.open.pop(which % len(self.open))
        self.left.append(self.engine.close(one.session))

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, SESSIONS))
    def settle(self, which: int) -> None:
        """Waits for a session."""
        self._settled(which)

    def teardown(self) -> None:
        """All that is under way ends right, and all pages are free."""
        for which in range(len(self.open)):
            self._settled(which)
        self.left += [self.engine.close(one.session) for one in self.open]
        for left in self.left:
            left.result(20)
        pool = self.engine.model.cache.pool
        assert pool.free == pool.total
        assert self.alone.near_ties <= 2

    def _decode(self, one: Open, position: int, append: list[int], n: int, piece: int = 0) -> None:
        del one.tokens[position:]
        one.tokens.extend(append)
        request = expert_pb2.DecodeStep(
            position=position,
            append=append,
            prefix_hash=TokenSequence(one.tokens).hash(),
            max_tokens=n,
            piece_length=piece or n,
        )
        facts = self.engine.model.facts
        self._submit(one, DecodeStep(request, facts, EXPERT, frozenset(), one.results.put))

    def _draft(
        self,
        one: Open,
        position: int,
        append: list[int],
        n: int,
        forks: list[tuple[int, int]],
        fork_tokens: int,
    ) -> None:
        del one.tokens[position:]
        one.tokens.extend(append)
        base = len(one.tokens)
        one.forks = [
            drafter_pb2.Fork(position=base - back, id=token) for back, token in forks if back < base
        ]
        request = drafter_pb2.DraftStep(
            position=position,
            append=append,
            max_tokens=n,
            forks=one.forks,
            fork_tokens=fork_tokens,
        )
        facts = self.engine.model.facts
        step = DraftStep(
            request, facts, SPECULATIVE, frozenset(), one.results.put, emit_forks=one.forked.put
        )
        self._submit(one, step)

    def _submit(self, one: Open, step: DecodeStep | DraftStep | VerifyStep) -> None:
        one.pending = True
        self.engine.submit(one.session, step)

    def _settled(self, which: int) -> Open:
        one = self.open[which % len(self.open)]
        if one.pending:
            result = one.results.get(timeout=20)
            assert not isinstance(result, CascadeError), result
            if not isinstance(result, drafter_pb2.DraftedBlock):
                assert not result.stale
            one.other.clear()
            if one.forks:
                self._check_forks(one)
            tokens = [token.id for token in result.tokens]
            self.alone.check(one.tokens, tokens)
            one.tokens.extend(tokens)
            one.pending = False
        return one

    def _check_forks(self, one: Open) -> None:
        forked = one.forked.get(timeout=20)
        assert not isinstance(forked, CascadeError), forked
        for fork, block in zip(one.forks, forked.blocks, strict=True):
            tokens = [token.id for token in block.tokens]
            before = [*one.tokens[: fork.position], fork.id]
            self.alone.check(before, tokens)
            if tokens:
                one.other.append([*before, *tokens])
        type(self).forked += len(one.other)
        one.forks = []


def test_any_mix_of_sessions_equals_each_alone(
    engine: Engine, alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "IDLE_S", 0.0)  # so that they give way often
    make_room, made = schedule._make_room, list[bool]()

    def counted(*args: Any) -> bool:
        made.append(make_room(*args))
        return made[-1]

    monkeypatch.setattr(schedule, "_make_room", counted)

    class Machine(Sessions):
        pass

    Machine.engine, Machine.alone, Machine.forked = engine, alone, 0
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert engine.model.cache.found_tokens > 1000, "prefixes were shared"
    assert any(made), "some gave way"
    assert Machine.forked > 100
