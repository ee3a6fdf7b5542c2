"""A drafted block off the wire: what is refused, and the tensors that it becomes."""

from collections.abc import Sequence

import pytest
import torch
from cascade.v1 import law_pb2

from services.errors import InvalidField
from services.expert.block import MAX_BLOCK, CheckedBlock, to_drafts
from services.pod.law import SessionLaw
from services.rules.distribution import MAX_DROP
from services.serving import law as laws

VOCABULARY = 100
CPU = torch.device("cpu")
LOSSLESS = law_pb2.Law(mode=law_pb2.MODE_SPECULATIVE, temperature=1)
OPT = law_pb2.Law(
    mode=law_pb2.MODE_SPECULATIVE_CASCADE, rule=law_pb2.RULE_OPT, alpha=0.3, temperature=1
)
CHOW, GATED_V1 = (
    law_pb2.Law(
        mode=law_pb2.MODE_SPECULATIVE_CASCADE,
        rule=rule,
        alpha=0.3,
        temperature=1,
        form=law_pb2.FORM_GATE,
    )
    for rule in (law_pb2.RULE_CHOW, law_pb2.RULE_TOKEN_V1)
)


def a_law(law: law_pb2.Law) -> SessionLaw:
    """With four candidates."""
    law = law_pb2.Law.FromString(law.SerializeToString())
    law.candidates, law.top_p = 4, 1
    return SessionLaw.from_proto(laws.with_defaults(law, alpha_given=True))


def drafted(
    token: int,
    ids: Sequence[int] = (),
    drops: Sequence[int] = (),
    *,
    top_log_prob: float | None = None,
    log_prob: float | None = None,
    defer: bool | None = None,
) -> law_pb2.DraftedToken:
    """A drafted token and what crosses with it."""
    return law_pb2.DraftedToken(
        id=token,
        candidates=law_pb2.Candidates(ids=ids, drops=drops),
        top_log_prob=top_log_prob,
        log_prob=log_prob,
        defer=defer,
    )


def read(law: law_pb2.Law, *tokens: law_pb2.DraftedToken) -> CheckedBlock:
    """As the expert reads it."""
    return CheckedBlock.read(tokens, a_law(law), VOCABULARY)


def test_blocks_are_padded_without_mass() -> None:
    one = read(LOSSLESS, drafted(7, [7], [0]), drafted(5, [2, 5, 1], [0, 9, 9]))
    two = read(LOSSLESS, drafted(3, [9, 3], [0, 512]), drafted(4, [4], [0]))
    both = to_drafts([one, two], CPU)
    assert both.ids.tolist() == [[7, 5], [3, 4]]
    assert both.candidates is not None
    assert both.candidates.ids.tolist() == [
        [[7, 7, 7], [2, 5, 1]],
        [[9, 3, 9], [4, 4, 4]],
    ]
    assert both.candidates.drops.tolist() == [
        [[0, -1, -1], [0, 9, 9]],
        [[0, 512, -1], [0, -1, -1]],
    ]
    assert both.candidates.probabilities()[0, 0].tolist() == [1.0, 0.0, 0.0]
    assert (both.top_log_prob, both.log_prob, both.defer) == (None, None, None)


def test_an_empty_block_is_none() -> None:
    assert read(LOSSLESS).ids == []


def test_each_law_reads_what_it_needs() -> None:
    opt = to_drafts([read(OPT, drafted(7, [7], [0], top_log_prob=-0.5))], CPU)
    assert opt.top_log_prob is not None
    assert opt.top_log_prob.tolist() == [[-0.5]]
    chow = to_drafts([read(CHOW, drafted(7, defer=True), drafted(8, defer=False))], CPU)
    assert chow.defer is not None
    assert chow.defer.tolist() == [[True, False]]
    assert chow.candidates is None
    gated = to_drafts([read(GATED_V1, drafted(7, log_prob=-2.0))], CPU)
    assert gated.log_prob is not None
    assert gated.log_prob.tolist() == [[-2.0]]


FINE = drafted(7, [7, 8], [0, 3])


@pytest.mark.parametrize(
    ("law", "token", "field", "what"),
    [
        (LOSSLESS, drafted(100, [7], [0]), "block[1]", "must be below 100, got 100"),
        (
            LOSSLESS,
            drafted(7),
            "block[1].candidates",
            "must have 1 to 4 ids and as many drops, got 0 and 0",
        ),
        (
            LOSSLESS,
            drafted(7, range(3, 8), range(5)),
            "block[1].candidates",
            "must have 1 to 4 ids and as many drops, got 5 and 5",
        ),
        (
            LOSSLESS,
            drafted(7, [7, 8], [0]),
            "block[1].candidates",
            "must have 1 to 4 ids and as many drops, got 2 and 1",
        ),
        (
            LOSSLESS,
            drafted(7, [7, 200], [0, 1]),
            "block[1].candidates.ids[1]",
            "must be below 100, got 200",
        ),
        (
            LOSSLESS,
            drafted(7, [7, 8, 8], [0, 1, 1]),
            "block[1].candidates",
            "ids must differ",
        ),
        (
            LOSSLESS,
            drafted(7, [8, 9], [0, 1]),
            "block[1].candidates",
            "must hold the drafted token 7",
        ),
        (
            LOSSLESS,
            drafted(7, [7, 9], [1, 1]),
            "block[1].candidates",
            "the first drop must be 0, got 1",
        ),
        (
            LOSSLESS,
            drafted(7, [7, 9], [0, MAX_DROP + 1]),
            "block[1].candidates",
            f"drops must be at most {MAX_DROP}, got {MAX_DROP + 1}",
        ),
    ],
)
def test_what_cannot_have_been_drafted_is_refused(
    law: law_pb2.Law, token: law_pb2.DraftedToken, field: str, what: str
) -> None:
    with pytest.raises(InvalidField) as caught:
        read(law, FINE, token)
    assert caught.value.violations == ((field, what),)


@pytest.mark.parametrize(
    ("law", "token", "what"),
    [
        (OPT, drafted(7, [7], [0]), "block[0].top_log_prob: must be set and at most 0, got none"),
        (
            OPT,
            drafted(7, [7], [0], top_log_prob=0.5),
            "block[0].top_log_prob: must be set and at most 0, got 0.5",
        ),
        (
            OPT,
            drafted(7, [7], [0], top_log_prob=float("nan")),
            "block[0].top_log_prob: must be set and at most 0, got nan",
        ),
        (GATED_V1, drafted(7), "block[0].log_prob: must be set and at most 0, got none"),
        (CHOW, drafted(7), "block[0].defer: must be set: the rule is the drafter's"),
        (
            CHOW,
            drafted(7, [7], [0], defer=True),
            "block[0].candidates: must be unset: the law needs none, got 1",
        ),
    ],
)
def test_what_a_law_needs_has_to_be_there(
    law: law_pb2.Law, token: law_pb2.DraftedToken, what: str
) -> None:
    with pytest.raises(InvalidField) as caught:
        read(law, token)
    assert str(caught.value) == what


def test_a_block_has_its_most_tokens() -> None:
    block = [drafted(7, defer=False)] * (MAX_BLOCK + 1)
    with pytest.raises(InvalidField, match=f"at most {MAX_BLOCK} tokens, got {MAX_BLOCK + 1}"):
        read(CHOW, *block)
    assert len(read(CHOW, *block[1:]).ids) == MAX_BLOCK
