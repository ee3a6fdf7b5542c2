"""The simulated model: its agreement, its step times, and that an engine runs it as any other."""

import math
import time

import pytest
import torch
from pydantic import ValidationError

from services.engine.batch import Part
from services.engine.engine import Engine
from services.engine.simulated import SimulatedModel, Simulation
from tests.unit.test_engine_fairness import Reader

PREFIXES = 3000


def favourites(model: SimulatedModel) -> list[list[int]]:
    """First and second choice after each of many prefixes."""
    found = []
    for i in range(PREFIXES):
        logits = model.logits([i % 256, i // 256, 7, i * 5 % 256], 1)[0]
        found.append(torch.topk(logits, 2).indices.tolist())
    return found


@pytest.mark.parametrize("agreement", [0.0, 0.6, 0.95, 1.0])
def test_the_expert_agrees_as_often_as_told(agreement: float) -> None:
    """Deviations beyond 6 standard errors: fewer than 4e-9 of them by chance (binomial)."""
    simulation = Simulation(agreement=agreement, second=0.5)
    drafter, expert = (favourites(SimulatedModel(simulation, drafts=d)) for d in (True, False))
    agreed = [d[0] == e[0] for d, e in zip(drafter, expert, strict=True)]
    differing = [(d, e) for d, e in zip(drafter, expert, strict=True) if d[0] != e[0]]
    seconds = sum(d[1] == e[0] for d, e in differing)
    for count, total, share in (
        (sum(agreed), PREFIXES, agreement),
        (seconds, len(differing), 0.5),
    ):
        assert abs(count - share * total) <= 6 * math.sqrt(total * share * (1 - share))


def test_all_mass_is_on_one_token_and_none_on_the_end() -> None:
    model = SimulatedModel(Simulation(), drafts=True)
    p = model.logits([1, 2, 3], 3).softmax(-1)
    assert p.shape == (3, model.facts.vocabulary_size)
    assert (p.max(-1).values > 1 - 1e-6).all()
    (end,) = model.facts.end_token_ids
    assert p[:, end].max() < 1e-9


def test_a_distribution_depends_on_position_and_last_tokens_alone() -> None:
    model = SimulatedModel(Simulation(), drafts=False)
    one, other = model.logits([9, 1, 2, 3, 4], 2), model.logits([8, 1, 2, 3, 4], 2)
    assert torch.equal(one[1], other[1])
    rows = model.logits([5, 6, 1, 2, 3, 4], 1)
    assert not torch.equal(one[1], rows[0])


def test_passes_that_follow_each_other_keep_to_their_times() -> None:
    """What sleeping overshoots is no part of the next pass's time."""
    model = SimulatedModel(Simulation(pass_ms=3, token_ms=0.5, session_ms=1), drafts=True)
    slot = model.new_slot()
    assert slot.reserve(100)
    start = time.perf_counter()
    for _ in range(20):
        model.to_host(model.run([Part(slot, [1, 2], 1)])[0])
    assert time.perf_counter() - start >= 20 * 0.005


def test_what_decides_on_the_logits_is_within_the_time_of_the_pass() -> None:
    model = SimulatedModel(Simulation(pass_ms=300), drafts=False)
    slot = model.new_slot()
    assert slot.reserve(1)
    start = time.perf_counter()
    logits = model.run([Part(slot, [1], 1)])
    queued = time.perf_counter()
    values = model.to_host(logits[0])
    there = time.perf_counter()
    assert values == logits[0].tolist()
    assert there - start >= 0.3
    assert queued - start < there - queued


def test_choosing_who_takes_part_is_within_the_time_of_the_pass() -> None:
    """It took 200 of the 300 ms: about 100 are left."""
    model = SimulatedModel(Simulation(pass_ms=300), drafts=False)
    slot = model.new_slot()
    assert slot.reserve(2)

    def passes() -> float:
        start = time.perf_counter()
        model.to_host(model.run([Part(slot, [1], 1)])[0])
        return time.perf_counter() - start

    model.begin_turn()
    time.sleep(0.2)
    behind_a_choice = passes()
    time.sleep(0.1)  # or it would count from the end of the one before
    assert behind_a_choice < 0.8 * passes()


def test_an_engine_runs_it_as_any_other() -> None:
    engine = Engine(lambda: SimulatedModel(Simulation(), drafts=True))
    try:
        reader = Reader([1, 2, 3], 20, [])
        engine.submit(engine.open(), reader)
        reader.done.result(20)
        model, seen = engine.model, [1, 2, 3]
        for token in reader.tokens:
            assert token == int(model.logits(seen, 1)[0].argmax())
            seen.append(token)
    finally:
        engine.stop()


def test_what_cannot_be_is_refused() -> None:
    for values in ({"agreement": 1.5}, {"second": -0.1}, {"pass_ms": -1.0}):
        with pytest.raises(ValidationError):
            Simulation(**values)
