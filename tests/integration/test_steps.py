"""The steps of a session, as a pod takes them from whoever speaks to it."""

import asyncio
from typing import Any

import grpc
import pytest
from cascade.v1 import (
    drafter_pb2,
    drafter_pb2_grpc,
    expert_pb2,
    expert_pb2_grpc,
    law_pb2,
    model_pb2_grpc,
)
from cascade.v1 import model_pb2 as pb

from services.tokens import TokenSequence
from tests.services import Services
from tests.tls import open_channel
from tests.until import until

LAW = law_pb2.Law(
    mode=law_pb2.MODE_SPECULATIVE,
    rule=law_pb2.RULE_LOSSLESS,
    form=law_pb2.FORM_RESIDUAL,
    coupling=law_pb2.COUPLING_INDEPENDENT,
    candidates=64,
    top_p=1.0,
)


async def test_stale_blocks_change_nothing(tiny_services: Services) -> None:
    """A block on a rejected one is stale; the next on the right tokens is not."""
    async with open_channel(tiny_services.expert.address) as channel:
        call = expert_pb2_grpc.ExpertServiceStub(channel).Verify()
        answers = aiter(call)
        await call.write(expert_pb2.VerifyRequest(open=expert_pb2.OpenVerify(law=LAW)))
        assert (await anext(answers)).HasField("opened")
        prompt = list(b"The value")

        async def verify(
            step_id: int, position: int, append: list[int], known: list[int], block: list[int]
        ) -> expert_pb2.Verdict:
            await call.write(
                expert_pb2.VerifyRequest(
                    verify=expert_pb2.VerifyStep(
                        step_id=step_id,
                        position=position,
                        append=append,
                        prefix_hash=TokenSequence(known).hash(),
                        block=[law_pb2.DraftedToken(id=i) for i in block],
                    )
                )
            )
            verdict = (await anext(answers)).verdict
            assert verdict.step_id == step_id
            return verdict

        first = await verify(1, 0, prompt, prompt, [0, 1])
        assert (first.stale, first.accepted, len(first.tokens)) == (False, 0, 1)
        rejected = [*prompt, 0, 1]
        assert (await verify(2, len(rejected), [], rejected, [2])).stale
        known = [*prompt, first.tokens[0].id]
        wrong = [*prompt, (first.tokens[0].id + 1) % 256]
        assert (await verify(3, len(known), [], wrong, [2])).stale
        again = await verify(4, len(known), [], known, [2])
        assert not again.stale
        repeated = await verify(5, len(known), [], known, [2])
        assert [t.id for t in repeated.tokens] == [t.id for t in again.tokens]
        call.cancel()


async def test_a_newer_draft_supersedes_a_running_one(tiny_services: Services) -> None:
    """The newer step is answered long before the older could have been finished."""
    async with open_channel(tiny_services.drafter.address) as channel:
        call = drafter_pb2_grpc.DrafterServiceStub(channel).Draft()
        answers = aiter(call)
        await call.write(drafter_pb2.DraftRequest(open=drafter_pb2.OpenDraft(law=LAW)))
        assert (await anext(answers)).HasField("opened")
        for step_id, count in ((1, 400), (2, 3)):
            await call.write(
                drafter_pb2.DraftRequest(
                    draft=drafter_pb2.DraftStep(
                        step_id=step_id,
                        position=0,
                        append=list(b"The value"),
                        max_tokens=count,
                        piece_length=1,
                    )
                )
            )
        old = new = 0
        while new < 3:
            block = (await anext(answers)).block
            if block.step_id == 2:
                new += len(block.tokens)
            else:
                old += len(block.tokens)
        assert old < 400
        call.cancel()


async def test_steps_that_cannot_be_are_refused(tiny_services: Services) -> None:
    """INVALID_ARGUMENT that names the field, from the pods themselves."""
    bad_steps = {
        "position": drafter_pb2.DraftStep(step_id=1, position=5, append=[1], max_tokens=1),
        "append[0]": drafter_pb2.DraftStep(step_id=1, append=[5000], max_tokens=1),
        "max_tokens": drafter_pb2.DraftStep(step_id=1, append=[1], max_tokens=600),
        "append": drafter_pb2.DraftStep(step_id=1, max_tokens=1),
        "early_stop": drafter_pb2.DraftStep(step_id=1, append=[1], early_stop=1.5),
        "acceptance": drafter_pb2.DraftStep(step_id=1, append=[1], acceptance=[0.5] * 65),
        "acceptance[1]": drafter_pb2.DraftStep(
            step_id=1, append=[1], acceptance=[1, float("nan")], least_chance=0.5
        ),
        "least_chance": drafter_pb2.DraftStep(step_id=1, append=[1], least_chance=0.5),
    }
    async with open_channel(tiny_services.drafter.address) as channel:
        for field, step in bad_steps.items():
            call = drafter_pb2_grpc.DrafterServiceStub(channel).Draft()
            await call.write(drafter_pb2.DraftRequest(open=drafter_pb2.OpenDraft(law=LAW)))
            await call.write(drafter_pb2.DraftRequest(draft=step))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                [answer async for answer in call]
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert (caught.value.details() or "").startswith(field + ":")


BEYOND = 2**32 - 1
"""The largest position that a message holds: what comes after it is no position."""


@pytest.mark.parametrize(
    ("step", "field"),
    [
        (expert_pb2.VerifyStep(position=BEYOND, append=[1]), "block"),
        (expert_pb2.DecodeStep(position=BEYOND, append=[1], max_tokens=1), "max_tokens"),
        (b"\xff\xff no message", "request"),
    ],
    ids=["verify", "decode", "no message"],
)
async def test_a_step_that_the_expert_cannot_take_ends_its_session(
    step: expert_pb2.VerifyStep | expert_pb2.DecodeStep | bytes, field: str, tiny_services: Services
) -> None:
    """And frees its slot, though the caller, who has said all, still waits."""
    async with open_channel(tiny_services.expert.address) as channel:
        call: Any = channel.stream_stream("/cascade.v1.ExpertService/Verify")()
        opening = expert_pb2.VerifyRequest(open=expert_pb2.OpenVerify(law=LAW))
        await call.write(opening.SerializeToString())
        if isinstance(step, expert_pb2.VerifyStep):
            step = expert_pb2.VerifyRequest(verify=step).SerializeToString()
        elif isinstance(step, expert_pb2.DecodeStep):
            step = expert_pb2.VerifyRequest(decode=step).SerializeToString()
        await call.write(step)
        await call.done_writing()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async with asyncio.timeout(20):
                [answer async for answer in call]
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert (caught.value.details() or "").startswith(field + ":")
        models = model_pb2_grpc.ModelServiceStub(channel)

        async def free() -> bool:
            load = await models.GetModelInfo(pb.GetModelInfoRequest())
            return load.slots_free == load.slots_total

        await until(free)


async def test_a_first_message_that_is_none_is_refused(tiny_services: Services) -> None:
    async with open_channel(tiny_services.drafter.address) as channel:
        call: Any = channel.stream_stream("/cascade.v1.DrafterService/Draft")()
        await call.write(b"\xff\xff no message")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            [answer async for answer in call]
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
