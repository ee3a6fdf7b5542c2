"""The token at a position depends on no block boundary, and is the oracle's."""

import pytest
from cascade.v1 import law_pb2

from services.serving.law import mode_name, rule_name
from tests.laws.rounds import END, SIZE, Pair, RandomFunction
from tests.oracle import answer as oracle

PROMPT = [3, 1]
TOKENS = 16
ANSWERS = 12


def law(
    mode: law_pb2.Mode.ValueType,
    rule: law_pb2.Rule.ValueType = law_pb2.RULE_UNSPECIFIED,
    alpha: float = 0.0,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> law_pb2.Law:
    return law_pb2.Law(
        mode=mode,
        rule=rule,
        alpha=alpha,
        form=law_pb2.FORM_RESIDUAL,
        candidates=5,
        coupling=law_pb2.COUPLING_INDEPENDENT,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        confidence_statistic=law_pb2.CONFIDENCE_STATISTIC_MEAN,
    )


SPECULATIVE = law_pb2.MODE_SPECULATIVE, law_pb2.RULE_LOSSLESS
CASCADE = law_pb2.MODE_SPECULATIVE_CASCADE, law_pb2.RULE_TOKEN_V3
SAMPLED = {
    "lossless": law(*SPECULATIVE),
    "token_v3 at 0.5": law(*CASCADE, 0.5),
    "token_v3 at 0.9": law(*CASCADE, 0.9),
    "lossless, scaled": law(*SPECULATIVE, temperature=0.7, top_k=5, top_p=0.9),
    "token_v3, scaled": law(*CASCADE, 0.8, temperature=1.5, top_k=6, top_p=0.8),
    "expert": law(law_pb2.MODE_EXPERT),
    "drafter": law(law_pb2.MODE_DRAFTER),
}
GREEDY = {
    "lossless": law(*SPECULATIVE, temperature=0),
    "token_v3 at 0.5": law(*CASCADE, 0.5, temperature=0),
    "expert": law(law_pb2.MODE_EXPERT, temperature=0),
    "drafter": law(law_pb2.MODE_DRAFTER, temperature=0),
}


def check(law: law_pb2.Law, blocks: list[int]) -> set[tuple[int, ...]]:
    """Compares answers by each block length with the oracle's; returns them."""
    answers = set()
    for family in range(ANSWERS):
        drafter = RandomFunction("drafter", family, 0.7)
        expert = RandomFunction("expert", family, 0.7)
        law.seed = 2**64 - 1 - family
        expected = oracle.answer(
            oracle.Law(
                mode_name(law.mode),
                rule_name(law.rule),
                law.alpha,
                law.temperature,
                law.top_k,
                law.top_p,
                law.candidates,
                law.seed,
            ),
            PROMPT,
            TOKENS,
            {END},
            drafter,
            expert,
        )
        ids = expected.ids + [END] * (expected.end_token_id is not None)
        for block in blocks:
            assert Pair(drafter, expert, law).answer(PROMPT, TOKENS, block) == ids
        answers.add(tuple(ids))
    assert any(ids[-1] == END for ids in answers), "no answer shows what an end token does"
    assert any(len(ids) == TOKENS for ids in answers), "no answer shows what max_tokens does"
    return answers


@pytest.mark.parametrize("name", SAMPLED)
def test_sampled_answers_are_the_oracles_whatever_the_blocks(name: str) -> None:
    check(SAMPLED[name], [1, 3, 7])


@pytest.mark.parametrize("name", GREEDY)
def test_greedy_answers_are_the_oracles_whatever_the_blocks(name: str) -> None:
    """Lossless: with a bonus token after every whole block, where drafting would have led, too."""
    check(GREEDY[name], [1, 2, 3, 4, 5])


def test_greedy_lossless_is_the_expert() -> None:
    assert check(GREEDY["lossless"], [4]) == check(GREEDY["expert"], [4])


def test_a_bonus_comes_only_where_it_is_allowed() -> None:
    """One round on two equal models: the block is accepted whole."""
    model = RandomFunction("both", 3, 1.0)
    for greedy, expected in ((True, [3, 4]), (False, [3, 3])):
        found = []
        for mode, rule in (CASCADE, SPECULATIVE):
            request = law(mode, rule, 0.5, temperature=0.0 if greedy else 1.0)
            request.candidates = SIZE
            found.append(len(Pair(model, model, request).one_round(PROMPT, 3)))
        assert found == expected


@pytest.mark.parametrize("name", ["lossless", "token_v3 at 0.5"])
def test_what_was_rejected_is_forgotten(name: str) -> None:
    """A session that went through a round goes on as one that never saw it."""
    for family in range(ANSWERS):
        drafter = RandomFunction("drafter", family, 0.3)
        expert = RandomFunction("expert", family, 0.3)
        for wanted in (SAMPLED[name], GREEDY[name]):
            used, fresh = Pair(drafter, expert, wanted), Pair(drafter, expert, wanted)
            after = [*PROMPT, *used.one_round(PROMPT, 4), 5]
            assert used.one_round(after, 4) == fresh.one_round(after, 4)
