"""The alphas that a rule is evaluated at where none are named.  Units: ``Rule`` in law.proto."""

from cascade.v1 import law_pb2

_TWENTIETHS = tuple(i / 20 for i in range(21))
_TENTHS_FROM_MINUS_ONE = tuple(i / 10 for i in range(-10, 11))
# Surprise and entropy have no upper end.  A token of 20 nats is one in 500 million, and no
# vocabulary has an entropy above 12.
_TO_ONE_NAT = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
_NATS = (*_TO_ONE_NAT, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 20.0)

_GRIDS: dict[int, tuple[float, ...]] = {
    law_pb2.RULE_LOSSLESS: (0.0,),
    law_pb2.RULE_LOSSY: (*_TWENTIETHS[:-1], 0.99),
    law_pb2.RULE_BILD: _NATS,
    law_pb2.RULE_ENSEMBLE: _TWENTIETHS,
    law_pb2.RULE_CHOW: _TWENTIETHS,
    law_pb2.RULE_CHOW_LOG: _NATS,
    law_pb2.RULE_DIFF: _TENTHS_FROM_MINUS_ONE,
    law_pb2.RULE_OPT: _TWENTIETHS,
    law_pb2.RULE_TOKEN_V1: _TENTHS_FROM_MINUS_ONE,
    law_pb2.RULE_TOKEN_V2: _TENTHS_FROM_MINUS_ONE,
    law_pb2.RULE_TOKEN_V3: _TWENTIETHS,
}

IN_NATS = frozenset({"bild", "chow_log"})
"""Rules whose alpha is in nats and has no upper end."""


def default_alphas(rule: str) -> tuple[float, ...]:
    """About twenty alphas over the range of a rule of the speculative modes, ascending."""
    return _GRIDS[law_pb2.Rule.Value(f"RULE_{rule.upper()}")]
