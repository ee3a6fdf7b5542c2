"""The order of measurements, and what is in memory together."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BadOption
from bench.prompts import Prompt
from bench.speed.plan import fits_together, groups, turns
from bench.speed.systems import System, check_assistable, parse_systems

SYSTEMS = list(System)
OURS = [System.EXPERT, System.SPECULATIVE, System.CASCADE]
THEIRS = [System.TRANSFORMERS, System.ASSISTED, System.ASSISTED_5]


def prompts(n: int) -> list[Prompt]:
    return [Prompt(f"HumanEval/{i}", (i,), chat=False) for i in range(n)]


@given(
    st.lists(st.sampled_from(SYSTEMS), min_size=1, unique=True),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_every_system_answers_every_prompt_in_each_repeat(
    systems: list[System], n: int, repeats: int
) -> None:
    taken = Counter(
        (t.repeat, t.prompt.name, t.system) for t in turns(systems, prompts(n), repeats)
    )
    assert set(taken.values()) == {1}
    assert len(taken) == repeats * n * len(systems)


def test_the_systems_take_turns_at_a_prompt_and_each_begins_equally_often() -> None:
    order = list(turns(SYSTEMS, prompts(3), repeats=4))
    rounds = [order[i : i + 6] for i in range(0, len(order), 6)]
    assert all(len({(t.repeat, t.prompt.name) for t in one}) == 1 for one in rounds)
    assert Counter(one[0].system for one in rounds) == dict.fromkeys(SYSTEMS, 2)


def test_both_fit_only_with_memory_for_twice_the_weights_and_more() -> None:
    gib = 1 << 30
    assert fits_together(9 * gib, 21 * gib)
    assert not fits_together(9 * gib, 20 * gib)
    assert not fits_together(0, gib)


def test_one_group_together_else_theirs_before_ours() -> None:
    mixed = [System.TRANSFORMERS, System.EXPERT, System.ASSISTED]
    assert groups(mixed, together=True) == [mixed]
    assert groups(mixed, together=False) == [
        [System.TRANSFORMERS, System.ASSISTED],
        [System.EXPERT],
    ]
    assert groups(OURS, together=False) == [OURS]


def test_only_the_services_are_ours() -> None:
    assert [s for s in System if s.is_ours] == OURS
    assert [s for s in System if not s.is_ours] == THEIRS


def test_systems_are_parsed_in_their_own_order() -> None:
    assert parse_systems("cascade, transformers") == [System.TRANSFORMERS, System.CASCADE]
    assert parse_systems("") == SYSTEMS
    with pytest.raises(BadOption, match=r"no warp; there are transformers, assisted"):
        parse_systems("cascade,warp")


def test_assisted_generation_needs_output_layers_of_one_size() -> None:
    check_assistable(SYSTEMS, (272, 272))
    check_assistable([System.TRANSFORMERS, *OURS], (264, 272))
    with pytest.raises(BadOption, match=r"assisted, assisted-5 with .* 264 and 272 entries"):
        check_assistable(SYSTEMS, (264, 272))
