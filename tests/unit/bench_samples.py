"""Answers as a benchmark measures them."""

from typing import Any

from cascade.v1.router_pb2 import Statistics

from bench.answer import Answer


def an_answer(tokens: int = 4, **values: Any) -> Answer:
    """An answer of the tokens 0, 1, 2, ...; 1 s to the first, 2 s in all, unless told otherwise."""
    defaults = {
        "token_ids": tuple(range(tokens)),
        "end_token_id": None,
        "first_s": 1.0,
        "total_s": 2.0,
        "groups": tokens,
    }
    return Answer(**(defaults | values))


def statistics(**values: Any) -> Statistics:
    """Of two rounds of 1 s in all, of which 0.6 s drafting and 0.3 s verifying."""
    defaults = {
        "rounds": 2,
        "drafted": 10,
        "reached": 8,
        "accepted": 6,
        "draft_ms": 600.0,
        "verify_ms": 300.0,
        "queue_ms": 20.0,
        "other_ms": 80.0,
        "total_ms": 1000.0,
    }
    return Statistics(**(defaults | values))
