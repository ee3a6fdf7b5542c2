"""What a law lets a strategy expect (docs/rules.md)."""

from cascade.v1 import law_pb2


def takes_bonus(law: law_pb2.Law) -> bool:
    """Whether a bonus token follows a block that was accepted whole (docs/rules.md).

    The expert decides that; here it only chooses how many tokens are worth drafting.
    """
    coupled = law.coupling == law_pb2.COUPLING_GUMBEL
    return law.rule == law_pb2.RULE_LOSSLESS and (coupled or law.temperature == 0)


def follows_a_token_cascade(law: law_pb2.Law) -> bool:
    """Whether the tokens are the drafter's own, and the expert's own where the drafter defers.

    The drafter decides alone, and what replaces a rejected token depends on nothing of it
    (docs/rules.md, "Chow and ChowLog").
    """
    coupled = law.coupling == law_pb2.COUPLING_GUMBEL
    own = coupled or law.form == law_pb2.FORM_GATE or law.temperature == 0
    return law.rule in (law_pb2.RULE_CHOW, law_pb2.RULE_CHOW_LOG) and own
