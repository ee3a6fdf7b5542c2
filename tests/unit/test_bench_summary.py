"""From measured answers to figures."""

import pytest

from bench.speed.summary import rate, summarise, typical
from tests.unit.bench_samples import an_answer, statistics


def test_the_typical_answer_is_of_median_time() -> None:
    three = [an_answer(total_s=s) for s in (5.0, 2.0, 3.0)]
    assert typical(three).total_s == 3.0
    assert typical(three[:2]).total_s == 2.0


def test_rate_is_all_tokens_by_all_time_and_no_mean_of_rates() -> None:
    assert rate([an_answer(10, total_s=1.0), an_answer(10, total_s=4.0)]) == 4.0


def test_figures_over_problems() -> None:
    summary = summarise(
        {
            "one": [
                an_answer(11, first_s=1.0, total_s=2.0),
                an_answer(11, first_s=9, total_s=22.0),
            ],
            "two": [an_answer(5, first_s=3.0, total_s=6.0), an_answer(5, first_s=9, total_s=10.0)],
        },
        grouped=False,
    )
    assert summary.tokens == 16
    assert summary.tokens_per_s == 16 / 8
    assert (summary.slowest_per_s, summary.fastest_per_s) == (16 / 32, 16 / 8)
    assert summary.first_ms == 2000
    assert summary.decode_per_s == (10 + 4) / (1 + 3)
    assert summary.tokens_per_round is None
    assert summary.acceptance is None
    assert summary.round is None


def test_what_comes_with_the_first_token_took_no_time_of_decoding() -> None:
    """A drafted round's tokens come together, and so no faster than one alone."""
    answers = [an_answer(11, first_s=1.0, total_s=2.0, first_tokens=6)]
    assert summarise({"one": answers}, grouped=False).decode_per_s == 5


def test_an_end_token_is_emitted_in_a_round_but_no_token_of_the_answer() -> None:
    summary = summarise({"one": [an_answer(5, end_token_id=9, groups=2)]}, grouped=True)
    assert summary.tokens == 5
    assert summary.tokens_per_round == 6 / 2


def test_acceptance_and_rounds_as_the_router_counted_them() -> None:
    summary = summarise(
        {
            "one": [an_answer(8, groups=7, statistics=statistics())],
            "two": [
                an_answer(
                    2,
                    statistics=statistics(rounds=1, drafted=2, reached=2, accepted=0),
                )
            ],
        },
        grouped=False,
    )
    assert summary.acceptance == 6 / 10
    assert summary.draft_efficiency == 6 / 12
    assert summary.tokens_per_round == 10 / 3


def test_where_the_time_of_a_round_goes() -> None:
    """100 ms that the router saw, and 60 ms between it and the client, are everything else."""
    answer = an_answer(first_s=0.5, total_s=1.06, statistics=statistics())
    found = summarise({"one": [answer]}, grouped=False).round
    assert found is not None
    assert found.rounds == 2
    assert (found.draft_ms, found.verify_ms) == (300.0, 150.0)
    assert found.else_ms == pytest.approx(80.0)
    assert found.total_ms == pytest.approx(530.0)
    assert found.share(found.else_ms) == pytest.approx(80 / 530)
    assert found.else_of_decoding == pytest.approx(160 / 560)


def test_without_drafting_no_tokens_a_round() -> None:
    alone = statistics(rounds=1, drafted=0, reached=0, accepted=0, draft_ms=0.0)
    summary = summarise({"one": [an_answer(statistics=alone)]}, grouped=False)
    assert summary.tokens_per_round is None
    assert summary.acceptance is None
    assert summary.round is not None


def test_an_answer_of_one_token_has_no_decode_rate() -> None:
    assert summarise({"one": [an_answer(1, first_s=2.0)]}, grouped=False).decode_per_s is None
