"""Measures one session at each point."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from statistics import median

import grpc
from cascade.v1 import law_pb2, router_pb2, router_pb2_grpc

from bench.bare import Sizes, bare
from bench.errors import ServiceFailed
from bench.network.predicted import Overlap, Point, Times, round_ms
from bench.relay import Link
from services.serving.options import CHANNEL_OPTIONS

_BARE_LENGTH = 4
"""Tokens of the blocks that bare streams wait for."""


@dataclass
class Measured:
    """A point's figures, of each repeat."""

    point: Point
    per_s: list[float] = field(default_factory=list)
    """Tokens a second, from the end of the first round to the end of the last."""
    predicted_per_s: list[float] = field(default_factory=list)
    """The same for the blocks as they were accepted: only times are predicted."""
    predicted_over_bare_per_s: list[float] = field(default_factory=list)
    """As predicted, with the round trip that bare streams take in place of the link's."""
    ready: list[float] = field(default_factory=list)
    """Share of the rounds after which the next block had been drafted."""
    foreseen: list[float] = field(default_factory=list)
    """Share of the rejections for which a block had been prepared."""

    @property
    def rate(self) -> float:
        """Median tokens a second."""
        return median(self.per_s)

    @property
    def of_predicted(self) -> float:
        """Median of measured / predicted."""
        return median(a / b for a, b in zip(self.per_s, self.predicted_per_s, strict=True))

    @property
    def of_predicted_over_bare(self) -> float:
        """Median of measured / predicted over bare streams."""
        pairs = zip(self.per_s, self.predicted_over_bare_per_s, strict=True)
        return median(a / b for a, b in pairs)


@dataclass
class Chosen:
    """The router's choice beside the best fixed block, in turn, answer by answer the same."""

    block_length: int
    """Of the fixed block."""
    per_s: list[float] = field(default_factory=list)
    """Tokens a second where the router chooses."""
    fixed_per_s: list[float] = field(default_factory=list)
    """With the fixed block."""

    @property
    def rate(self) -> float:
        """Median tokens a second where the router chooses."""
        return median(self.per_s)

    @property
    def fixed_rate(self) -> float:
        """Median tokens a second with the fixed block."""
        return median(self.fixed_per_s)

    @property
    def of_fixed(self) -> float:
        """Median of the router's choice / the fixed block."""
        return median(a / b for a, b in zip(self.per_s, self.fixed_per_s, strict=True))


def bare_trip_ms(address: str, link: Link | None, times: Times, seconds: float) -> float:
    """The round trip of bare streams over a link, as a round of one session sees it.

    Their peers take as long as the models do, and there is nothing else in a round: what is left of
    it is two round trips, with what this machine takes for four messages and for waking up.
    """
    request = make_request(law_pb2.MODE_SPECULATIVE, 64, seed=0)
    request.block_length, request.draft_ahead = _BARE_LENGTH, 0
    request.allow_expert_alone = False
    _, _, finished = answer(address, request)
    passes_ms = times.draft_ms * _BARE_LENGTH, times.pass_ms
    found = bare(
        Sizes.of_a_round(finished.statistics),
        sessions=1,
        seconds=seconds,
        passes_s=(passes_ms[0] / 1000, passes_ms[1] / 1000),
        link=link,
    )
    return (1000 / found.rounds_per_s - sum(passes_ms)) / 2


def measure(
    address: str, times: Times, into: Measured, tokens: int, seed: int, bare_trip_ms: float
) -> None:
    """One answer at a point.

    Args:
        address: the router's.
        times: of the steps.
        into: the point, and where its figures go.
        tokens: of the answer.
        seed: of the answer.
        bare_trip_ms: what the link's round trip takes bare streams.
    """
    point = into.point
    request = _fixed(point.block_length, point.overlap, tokens, seed)
    first, last, finished = answer(address, request)
    stats = finished.statistics
    accepted = list(stats.accepted_by_position)
    whole = accepted[point.block_length - 1] if len(accepted) >= point.block_length else 0
    ready = (whole + stats.forks_used) / stats.rounds if point.overlap.ahead else 0.0
    rounds = stats.rounds - 1
    emitted = finished.usage.completion_tokens - first[1]
    into.per_s.append(emitted / (last - first[0]))
    over_bare = replace(point, round_trip_ms=bare_trip_ms)
    for at, predicted in (
        (point, into.predicted_per_s),
        (over_bare, into.predicted_over_bare_per_s),
    ):
        predicted.append(1000 * emitted / (rounds * round_ms(times, at, ready)))
    into.ready.append(ready)
    rejections = stats.tokens_by_origin["ORIGIN_RESAMPLED"]
    into.foreseen.append(stats.forks_used / rejections if rejections else 0.0)


def measure_alone(address: str, tokens: int, seed: int) -> float:
    """Tokens a second of the expert alone, after the first."""
    return _rate(address, make_request(law_pb2.MODE_EXPERT, tokens, seed))


def measure_chosen(
    address: str, overlap: Overlap, into: Chosen, tokens: int, repeats: int
) -> Iterator[None]:
    """Answers where the router chooses and with the fixed block, in turn; one after each answer.

    A first one by choice, in which it learns, is left out.
    """
    for seed in range(-1, repeats):
        request = make_request(law_pb2.MODE_SPECULATIVE, tokens, seed % 256)
        _set_overlap(request, overlap)
        chosen = _rate(address, request)
        yield
        if seed < 0:
            continue
        into.per_s.append(chosen)
        fixed = _fixed(into.block_length, overlap, tokens, seed)
        into.fixed_per_s.append(_rate(address, fixed))
        yield


def _fixed(
    block_length: int, overlap: Overlap, tokens: int, seed: int
) -> router_pb2.GenerateRequest:
    request = make_request(law_pb2.MODE_SPECULATIVE, tokens, seed)
    request.block_length = block_length
    _set_overlap(request, overlap)
    request.allow_expert_alone = False
    return request


def _set_overlap(request: router_pb2.GenerateRequest, overlap: Overlap) -> None:
    request.draft_ahead, request.alternatives = overlap.ahead, overlap.alternatives


def _rate(address: str, request: router_pb2.GenerateRequest) -> float:
    first, last, finished = answer(address, request)
    return (finished.usage.completion_tokens - first[1]) / (last - first[0])


def make_request(
    mode: law_pb2.Mode.ValueType, tokens: int, seed: int
) -> router_pb2.GenerateRequest:
    """One of its kind for each seed, so that every way to answer makes the same tokens."""
    return router_pb2.GenerateRequest(
        token_ids=law_pb2.TokenIds(ids=[seed % 256, seed // 256, 1, 2]),
        mode=mode,
        temperature=1.0,
        seed=seed,
        max_tokens=tokens,
    )


def answer(
    address: str, request: router_pb2.GenerateRequest
) -> tuple[tuple[float, int], float, router_pb2.Finished]:
    """When the first tokens came, and how many; when the last came; how it ended."""
    first: tuple[float, int] | None = None
    last = 0.0
    finished = router_pb2.Finished()
    try:
        with grpc.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
            for response in router_pb2_grpc.RouterServiceStub(channel).Generate(request):
                now = time.perf_counter()
                if response.HasField("tokens"):
                    last = now
                    first = first or (now, len(response.tokens.tokens))
                elif response.HasField("finished"):
                    finished = response.finished
    except grpc.RpcError as error:
        raise ServiceFailed(f"Generate: {error}") from error
    assert first is not None, "an answer has tokens"
    return first, last, finished
