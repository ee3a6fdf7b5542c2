"""The token at a position depends on no block boundary, and is the oracle's."""

import pytest
from cascade.v1 import law_pb2

from tests.laws.laws import BY_TOKEN, Cell, to_oracle
from tests.laws.rounds import END, SIZE, Pair, RandomFunction
from tests.oracle import answer as oracle

PROMPT = [3, 1]
TOKENS = 16
ANSWERS = 12
K = 5
LOSSLESS = Cell(law_pb2.MODE_SPECULATIVE, law_pb2.RULE_LOSSLESS)
COUPLED = Cell(law_pb2.MODE_SPECULATIVE, law_pb2.RULE_LOSSLESS, coupled=True)
TOKEN_V3 = Cell(law_pb2.MODE_SPECULATIVE_CASCADE, law_pb2.RULE_TOKEN_V3, 0.5)
EXPERT = Cell(law_pb2.MODE_EXPERT)


def check(law: law_pb2.Law, blocks: list[int]) -> set[tuple[int, ...]]:
    """Compares answers by each block length with the oracle's; returns them."""
    answers = set()
    for family in range(ANSWERS):
        drafter = RandomFunction("drafter", family, 0.7)
        expert = RandomFunction("expert", family, 0.7)
        law.seed = 2**64 - 1 - family
        expected = oracle.answer(to_oracle(law), PROMPT, TOKENS, {END}, drafter, expert)
        ids = expected.ids + [END] * (expected.end_token_id is not None)
        for block in blocks:
            assert Pair(drafter, expert, law).answer(PROMPT, TOKENS, block) == ids
        answers.add(tuple(ids))
    assert any(ids[-1] == END for ids in answers), "no answer shows what an end token does"
    assert any(len(ids) == TOKENS for ids in answers), "no answer shows what max_tokens does"
    return answers


@pytest.mark.parametrize("cell", BY_TOKEN, ids=str)
def test_sampled_answers_are_the_oracles_whatever_the_blocks(cell: Cell) -> None:
    check(cell.law(1.0, candidates=K), [1, 3, 7])


@pytest.mark.parametrize("cell", BY_TOKEN, ids=str)
def test_scaled_answers_are_the_oracles_whatever_the_blocks(cell: Cell) -> None:
    check(cell.law(0.7, top_k=6, top_p=0.9, candidates=K), [1, 4])


@pytest.mark.parametrize("cell", BY_TOKEN, ids=str)
def test_greedy_answers_are_the_oracles_whatever_the_blocks(cell: Cell) -> None:
    """Lossless: with a bonus token after every whole block, where drafting would have led, too."""
    check(cell.law(0.0, candidates=K), [1, 2, 3, 4, 5])


def test_greedy_lossless_is_the_expert() -> None:
    assert check(LOSSLESS.law(0.0), [4]) == check(EXPERT.law(0.0), [4])


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.5])
def test_coupled_lossless_is_the_expert_whatever_the_drafter(temperature: float) -> None:
    """Token for token, by blocks of every length, with a drafter that agrees much or little."""
    law = COUPLED.law(temperature, top_p=0.9)
    for family in range(ANSWERS):
        expert = RandomFunction("expert", family, 0.7)
        alone = EXPERT.law(temperature, top_p=0.9, seed=family)
        law.seed = family
        own = Pair(expert, expert, alone).answer(PROMPT, TOKENS, 16)
        for name in ("drafter", "another", "expert"):
            drafter = RandomFunction(name, family, 0.7)
            for block in (1, 2, 5, 8):
                assert Pair(drafter, expert, law).answer(PROMPT, TOKENS, block) == own


def test_a_bonus_comes_only_where_it_is_allowed() -> None:
    """One round on two equal models: the block is accepted whole."""
    model = RandomFunction("both", 3, 1.0)
    for temperature, expected in ((0.0, [3, 4, 4]), (1.0, [3, 3, 4])):
        found = []
        for cell in (TOKEN_V3, LOSSLESS, COUPLED):
            law = cell.law(temperature, candidates=SIZE)
            found.append(len(Pair(model, model, law).one_round(PROMPT, 3)))
        assert found == expected


@pytest.mark.parametrize("cell", [LOSSLESS, TOKEN_V3, COUPLED], ids=str)
def test_what_was_rejected_is_forgotten(cell: Cell) -> None:
    """A session that went through a round goes on as one that never saw it."""
    for family in range(ANSWERS):
        drafter = RandomFunction("drafter", family, 0.3)
        expert = RandomFunction("expert", family, 0.3)
        for wanted in (cell.law(1.0, candidates=K), cell.law(0.0, candidates=K)):
            used, fresh = Pair(drafter, expert, wanted), Pair(drafter, expert, wanted)
            after = [*PROMPT, *used.one_round(PROMPT, 4), 5]
            assert used.one_round(after, 4) == fresh.one_round(after, 4)
