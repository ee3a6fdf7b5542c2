"""An answer's text, shares and agreement; a message as plain values."""

import json

import pytest
from cascade.v1 import expert_pb2, law_pb2, router_pb2
from hypothesis import given
from hypothesis import strategies as st

from router.cli.answer import Answer, agreement, common_prefix, origin_name, plain

IDS = st.lists(st.integers(0, 2), max_size=6)


def answer(*tokens: tuple[int, str, expert_pb2.Origin.ValueType]) -> Answer:
    """An answer that has come to its end."""
    found = Answer()
    found.take(
        router_pb2.GenerateResponse(started=router_pb2.Started(law=law_pb2.Law(seed=2**64 - 1)))
    )
    for token_id, text, origin in tokens:
        token = router_pb2.GeneratedToken(id=token_id, text=text, origin=origin)
        found.take(router_pb2.GenerateResponse(tokens=router_pb2.GeneratedTokens(tokens=[token])))
    finished = router_pb2.Finished(
        reason=router_pb2.FINISH_REASON_MAX_TOKENS, statistics=router_pb2.Statistics(total_ms=500)
    )
    found.take(router_pb2.GenerateResponse(finished=finished))
    return found


def test_text_ids_and_origins_are_the_tokens() -> None:
    found = answer((1, "a", expert_pb2.ORIGIN_ACCEPTED), (2, "é", expert_pb2.ORIGIN_EXPERT))
    assert (found.text, found.ids, found.origins) == ("aé", [1, 2], ["accepted", "expert"])
    assert found.tokens_per_second == pytest.approx(4)


def test_the_drafters_share_counts_accepted_trusted_and_alone() -> None:
    origins = [expert_pb2.Origin.ValueType(n) for n in expert_pb2.Origin.values() if n]
    found = answer(*((0, "", origin) for origin in origins))
    assert found.drafter_share == pytest.approx(3 / 7)
    assert answer().drafter_share is None


@given(IDS, IDS)
def test_agreement_is_the_common_prefix_by_the_longer(ids: list[int], others: list[int]) -> None:
    n = common_prefix(ids, others)
    assert ids[:n] == others[:n]
    assert ids[n : n + 1] != others[n : n + 1] or n == len(ids) == len(others)
    assert n == common_prefix(others, ids)
    assert (agreement(ids, others) == 1) == (ids == others)
    assert agreement(ids, others) * max(len(ids), len(others)) == pytest.approx(n)


def test_plain_values_are_json_with_short_names_and_whole_seeds() -> None:
    values = json.loads(json.dumps(answer((7, "a", expert_pb2.ORIGIN_BONUS)).plain()))
    assert values["seed"] == values["law"]["seed"] == 2**64 - 1
    assert values["finish_reason"] == "max_tokens"
    assert values["end_token_id"] is None
    assert values["statistics"]["acceptance_rate"] is None
    assert values["statistics"]["rounds"] == 0
    assert values["statistics"]["drafter_share"] == 0
    assert values["statistics"]["tokens_per_second"] == pytest.approx(2)


def test_plain_values_of_every_kind_of_field() -> None:
    message = router_pb2.GenerateRequest(
        chat=router_pb2.Chat(messages=[router_pb2.ChatMessage(role="user", content="hi")]),
        mode=law_pb2.MODE_TOKEN_CASCADE,
        stop_token_ids=[3, 4],
    )
    values = plain(message)
    assert values["chat"] == {"messages": [{"role": "user", "content": "hi"}]}
    assert (values["mode"], values["stop_token_ids"]) == ("token_cascade", [3, 4])
    assert values["alpha"] is values["text"] is None
    statistics = router_pb2.Statistics(tokens_by_origin={"x": 2})
    assert plain(statistics)["tokens_by_origin"] == {"x": 2}


def test_an_answer_cut_off_says_so() -> None:
    cut = answer((1, "a", expert_pb2.ORIGIN_DRAFTER))
    cut.finished = None
    values = cut.plain()
    assert (values["finish_reason"], values["statistics"], values["text"]) == (
        "cancelled",
        None,
        "a",
    )


def test_an_origin_of_a_newer_router_is_its_number() -> None:
    assert origin_name(77) == "77"
