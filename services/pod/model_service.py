"""ModelService: what a pod says of its model, and the tokenizer for routers."""

from collections.abc import AsyncIterator

import grpc
from cascade.v1 import model_pb2 as pb
from cascade.v1 import model_pb2_grpc

from services.engine.facts import ModelFacts
from services.serving.slots import Slots

_PART_BYTES = 1 << 20


class ModelServicer(model_pb2_grpc.ModelServiceServicer):
    """Serves the facts of one model and the load of its pod."""

    def __init__(self, role: pb.Role.ValueType, facts: ModelFacts, slots: Slots) -> None:
        self._role = role
        self._facts = facts
        self._slots = slots

    async def GetModelInfo(
        self,
        request: pb.GetModelInfoRequest,
        context: grpc.aio.ServicerContext[pb.GetModelInfoRequest, pb.GetModelInfoResponse],
    ) -> pb.GetModelInfoResponse:
        """The model, its fingerprints and limits, and the load of the pod."""
        facts, slots = self._facts, self._slots
        return pb.GetModelInfoResponse(
            role=self._role,
            model=facts.name,
            weights_fingerprint=facts.weights_fingerprint,
            tokenizer_fingerprint=facts.tokenizer_fingerprint,
            vocabulary_size=facts.vocabulary_size,
            context_length=facts.context_length,
            end_token_ids=facts.end_token_ids,
            dtype=facts.dtype,
            device=facts.device,
            slots_total=slots.total,
            slots_free=slots.free,
            sessions_waiting=slots.waiting,
            has_chat_template=bool(facts.chat_template),
            weights=facts.weights,
            weight_bytes=facts.weight_bytes,
            cache_bytes=facts.cache_bytes,
            cache_tokens=facts.cache_tokens,
            draft_vocabulary=facts.draft_vocabulary,
        )

    async def GetTokenizer(
        self,
        request: pb.GetTokenizerRequest,
        context: grpc.aio.ServicerContext[pb.GetTokenizerRequest, pb.GetTokenizerResponse],
    ) -> AsyncIterator[pb.GetTokenizerResponse]:
        """tokenizer.json in parts; the first carries the chat template."""
        facts = self._facts
        for start in range(0, len(facts.tokenizer_json), _PART_BYTES):
            response = pb.GetTokenizerResponse(
                tokenizer_json_part=facts.tokenizer_json[start : start + _PART_BYTES]
            )
            if start == 0:
                response.chat_template = facts.chat_template
                response.special_tokens.update(facts.special_tokens)
                response.tokenizer_fingerprint = facts.tokenizer_fingerprint
            yield response
