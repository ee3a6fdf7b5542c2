"""The pods of both roles, found to fit together, and the tokenizer of both."""

import asyncio
from dataclasses import dataclass

import grpc
from cascade.v1 import model_pb2 as pb
from cascade.v1 import model_pb2_grpc

from router.pool import Pod, Pool
from router.text import Tokenizer
from services.errors import PairMismatch, PeerLost

_CALL_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Pair:
    """Drafters and experts that fit together.  What holds of the first of a role holds of all."""

    drafters: Pool
    experts: Pool
    tokenizer: Tokenizer
    end_token_ids: frozenset[int]
    """The union of both models' end tokens."""
    _first_length: int
    """What the first pods could hold, both of them."""

    @property
    def context_length(self) -> int:
        """What a pod of each role can hold now; without any, what the first ones could."""
        now = min(self.drafters.context_length, self.experts.context_length)
        return now or self._first_length

    async def close(self) -> None:
        """Closes all channels."""
        await self.drafters.close()
        await self.experts.close()


def check_fit(drafter: pb.GetModelInfoResponse, expert: pb.GetModelInfoResponse) -> None:
    """Refuses two models whose tokenizers differ in anything.

    Raises:
        PairMismatch: saying in what.
    """
    if drafter.tokenizer_fingerprint == expert.tokenizer_fingerprint:
        return
    sizes = (drafter.vocabulary_size, expert.vocabulary_size)
    why = (
        f"{sizes[0]} and {sizes[1]} entries"
        if sizes[0] != sizes[1]
        else f"{sizes[0]} entries each, but not the same ones"
    )
    raise PairMismatch(
        f"drafter {drafter.model} and expert {expert.model} have different tokenizers "
        f"({why}; fingerprints {drafter.tokenizer_fingerprint[:12]} and "
        f"{expert.tokenizer_fingerprint[:12]}): they can't serve as a pair"
    )


async def connect_pair(drafters: Pool, experts: Pool, timeout_s: float) -> Pair:
    """Starts both pools, checks that their first pods fit, and takes the tokenizer from an expert.

    Raises:
        PeerLost: a role has no pod that answers.
        PairMismatch: they do not fit together.
    """
    drafter, expert = await asyncio.gather(drafters.first(timeout_s), experts.first(timeout_s))
    infos = [pod.info for pod in (drafter, expert)]
    first, second = (info for info in infos if info is not None)
    check_fit(first, second)
    return Pair(
        drafters,
        experts,
        await _tokenizer(expert),
        frozenset(first.end_token_ids) | frozenset(second.end_token_ids),
        min(first.context_length, second.context_length),
    )


async def _tokenizer(pod: Pod) -> Tokenizer:
    stub = model_pb2_grpc.ModelServiceStub(pod.channel)
    parts: list[bytes] = []
    template, special = "", dict[str, str]()
    try:
        async for part in stub.GetTokenizer(pb.GetTokenizerRequest(), timeout=_CALL_TIMEOUT_S):
            if not parts:
                template, special = part.chat_template, dict(part.special_tokens)
            parts.append(part.tokenizer_json_part)
    except grpc.aio.AioRpcError as error:
        raise PeerLost(f"{pod.address} gave no tokenizer: {error.details()}") from error
    return Tokenizer(b"".join(parts), template or None, special)
