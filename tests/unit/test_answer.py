"""What ended an answer, where a stop string is known to be complete only with its end."""

import pytest
from cascade.v1 import expert_pb2, law_pb2
from cascade.v1 import router_pb2 as pb

from router.answer import Answer
from router.pace import Overlap
from router.request import Request
from router.text import AnswerText
from tests.unit.text_samples import SAMPLES, piece

END, STOP = 900, 901
A, NEWLINE = piece("a"), 0x0A
"""A byte of a byte-fallback vocabulary waits for those that may follow it."""


def answered(tokens: list[int], max_tokens: int, *stops: str) -> tuple[list[int], pb.Finished]:
    request = Request(
        prompt=[1],
        law=law_pb2.Law(mode=law_pb2.MODE_EXPERT),
        max_tokens=max_tokens,
        block_length=None,
        stop_strings=stops,
        end_token_ids=frozenset({END}),
        stop_token_ids=frozenset({STOP}),
        early_stop=0,
        log_probs=False,
        echo_prompt=False,
        overlap=Overlap(0, 0),
        allow_expert_alone=False,
    )
    answer = Answer(request, AnswerText(SAMPLES["llama"], stops))
    emitted = [
        expert_pb2.EmittedToken(id=token, origin=expert_pb2.ORIGIN_EXPERT) for token in tokens
    ]
    return [token.id for token in answer.take(emitted)], answer.finished()


@pytest.mark.parametrize("last", [[], [END], [STOP]], ids=["length", "end token", "stop token"])
def test_a_stop_string_wins_over_what_else_ends_the_answer(last: list[int]) -> None:
    delivered, finished = answered([A, NEWLINE, *last], 2 + len(last), "\n")
    assert delivered == [A]
    assert finished.reason == pb.FINISH_REASON_STOP_STRING
    assert finished.stop_string == "\n"
    assert not finished.HasField("end_token_id")
    assert finished.usage.completion_tokens == 1


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        ([], pb.FINISH_REASON_MAX_TOKENS),
        ([END], pb.FINISH_REASON_END_TOKEN),
        ([STOP], pb.FINISH_REASON_STOP_TOKEN),
    ],
)
def test_without_it_they_end_the_answer(last: list[int], reason: pb.FinishReason.ValueType) -> None:
    delivered, finished = answered([A, NEWLINE, *last], 2 + len(last), "\n\n")
    assert delivered == [A, NEWLINE]
    assert finished.reason == reason
    assert not finished.HasField("stop_string")
    assert finished.HasField("end_token_id") == bool(last)
