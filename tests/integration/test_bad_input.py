"""A caller's mistakes: INVALID_ARGUMENT that names the field and the limit, at nobody's cost."""

import contextlib
import math
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import pytest
from cascade.v1 import law_pb2
from cascade.v1 import router_pb2 as pb
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.client import Client, connected, make_request
from tests.services import Services
from tests.tls import open_channel
from tests.until import until

GATE, GUMBEL = law_pb2.FORM_GATE, law_pb2.COUPLING_GUMBEL
CHAT = pb.Chat(messages=[pb.ChatMessage(role="user", content="hi")])

BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "no prompt": ({"prompt": None}, "prompt", "none"),
    "empty text": ({"prompt": ""}, "text", "at least 1"),
    "empty ids": ({"prompt": []}, "token_ids.ids", "at least 1"),
    "id outside": ({"prompt": [5, 257]}, "token_ids.ids[1]", "257"),
    "chat without template": ({"prompt": None, "chat": CHAT}, "chat", "no chat template"),
    "prompt too long": ({"prompt": "x" * 600}, "text", "511"),
    "with max_tokens too long": ({"prompt": "x" * 400, "max_tokens": 200}, "max_tokens", "112"),
    "max_tokens 0": ({"max_tokens": 0}, "max_tokens", "[1, "),
    "unknown mode": ({"mode": 99}, "mode", "99"),
    "unknown rule": ({"rule": 77}, "rule", "77"),
    "rule of another mode": (
        {"mode": law_pb2.MODE_SPECULATIVE, "rule": law_pb2.RULE_OPT},
        "rule",
        "lossless, lossy",
    ),
    "alpha above": ({"alpha": 1.5}, "alpha", "[0, 1]"),
    "alpha nan": ({"alpha": math.nan}, "alpha", "finite"),
    "temperature below": ({"temperature": -1.0}, "temperature", "[0.001, 100]"),
    "temperature nan": ({"temperature": math.nan}, "temperature", "[0.001, 100]"),
    "top_p 0": ({"top_p": 0.0}, "top_p", "(0, 1]"),
    "candidates 0": ({"candidates": 0}, "candidates", "[1, 1024]"),
    "candidates too many": ({"candidates": 5000}, "candidates", "5000"),
    "block length 0": ({"block_length": 0}, "block_length", "[1, 64]"),
    "block length too large": ({"block_length": 65}, "block_length", "[1, 64]"),
    "too far ahead": ({"draft_ahead": 9}, "draft_ahead", "[0, 8]"),
    "alternatives": ({"alternatives": 9}, "alternatives", "[0, 8]"),
    "nothing ahead": (
        {"alternatives": 1, "draft_ahead": 0},
        "alternatives",
        "must be 0 where draft_ahead is 0, got 1",
    ),
    "10,000 stops": ({"stop_strings": ["x"] * 10_000}, "stop_strings", "at most 16"),
    "empty stop": ({"stop_strings": ["a", ""]}, "stop_strings[1]", "got 0"),
    "long stop": ({"stop_strings": ["a" * 257]}, "stop_strings[0]", "257"),
    "stop id outside": ({"stop_token_ids": [999]}, "stop_token_ids[0]", "999"),
    "early stop": ({"early_stop": 2.0}, "early_stop", "[0, 1]"),
    "alpha of lossy": (
        {"mode": law_pb2.MODE_SPECULATIVE, "rule": law_pb2.RULE_LOSSY, "alpha": 1.0},
        "alpha",
        "[0, 1)",
    ),
    "gate without a deferral": ({"rule": law_pb2.RULE_ENSEMBLE, "form": GATE}, "form", "ensemble"),
    "gate in a mode without a rule": (
        {"mode": law_pb2.MODE_DRAFTER, "form": GATE},
        "form",
        "got mode drafter",
    ),
    "coupled token rule": ({"coupling": GUMBEL}, "coupling", "token_v3"),
    "coupled lossy": (
        {"mode": law_pb2.MODE_SPECULATIVE, "rule": law_pb2.RULE_LOSSY, "coupling": GUMBEL},
        "coupling",
        "got mode speculative and rule lossy",
    ),
    "gate and coupled": (
        {"rule": law_pb2.RULE_CHOW, "form": GATE, "coupling": GUMBEL},
        "form",
        "residual with coupling gumbel",
    ),
    "quantile 1": (
        {
            "mode": law_pb2.MODE_SEQUENCE_CASCADE,
            "confidence_statistic": law_pb2.CONFIDENCE_STATISTIC_QUANTILE,
            "confidence_quantile": 1.0,
        },
        "confidence_quantile",
        "(0, 1)",
    ),
    "quantile of a mean": ({"confidence_quantile": 0.5}, "confidence_quantile", "0.5"),
}


@pytest.fixture
async def client(tiny_services: Services) -> AsyncIterator[Client]:
    async with connected(tiny_services.address) as client:
        yield client


async def refusal(client: Client, fields: dict[str, Any]) -> grpc.aio.AioRpcError:
    """The error that a request is answered with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.generate(**({"prompt": "The"} | fields))
    return caught.value


@pytest.mark.parametrize("case", BAD)
async def test_bad_values_are_named(client: Client, case: str) -> None:
    fields, field, text = BAD[case]
    error = await refusal(client, fields)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    status = rpc_status.from_call(cast(grpc.Call, error))
    assert status is not None
    bad = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad)
    by_field = {v.field: v.description for v in bad.field_violations}
    assert text in by_field[field]
    assert field in (error.details() or "")


async def test_every_bad_field_is_named_at_once(client: Client) -> None:
    error = await refusal(client, {"temperature": -1.0, "top_p": 2.0, "stop_strings": [""]})
    for field in ("temperature", "top_p", "stop_strings[0]"):
        assert field in (error.details() or "")


@pytest.mark.parametrize(("size", "code"), [(4 << 20, None), ((4 << 20) + 1, "too large")])
async def test_the_message_cap_is_exact(client: Client, size: int, code: str | None) -> None:
    """A request of the cap's size is read (and its prompt refused); one byte more is not."""
    request = pb.GenerateRequest(text="")
    request.text = "x" * (size - 10)
    while request.ByteSize() > size:
        request.text = request.text[:-1]
    while request.ByteSize() < size:
        request.text += "x"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in client.stub.Generate(request, timeout=60):
            pass
    expected = grpc.StatusCode.RESOURCE_EXHAUSTED if code else grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.code() == expected


@pytest.mark.parametrize("data", [b"\x0a\x02\xff\xfe", b"\xff\xff", b"\x0a\x05ab"], ids=repr)
async def test_bytes_that_are_no_message_are_a_callers_mistake(
    tiny_services: Services, data: bytes
) -> None:
    """Text that is no UTF-8, an unknown field's wire type, the end in the middle of one."""
    async with (
        open_channel(tiny_services.address) as router,
        open_channel(tiny_services.drafter.address) as drafter,
    ):
        generate: Any = router.unary_stream("/cascade.v1.RouterService/Generate")
        ask: Any = drafter.unary_unary("/cascade.v1.ModelService/GetModelInfo")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await generate(data).read()
        with pytest.raises(grpc.aio.AioRpcError) as asked:
            await ask(b"\xff\xff")
    for error in (refused.value, asked.value):
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert error.details() == "request: its bytes are no message of this service"


@pytest.mark.parametrize("path", [b"x", b"/x", b"/cascade.v1.RouterService/x", b"/no/x"])
async def test_a_call_of_nothing_is_unimplemented(client: Client, path: bytes) -> None:
    call: Any = client.channel.unary_unary(cast(Any, path))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"")
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_a_path_that_is_no_text_ends_no_answer_and_no_server(
    client: Client, tiny_services: Services
) -> None:
    """grpcio closes its port for good (`services/serving/listener.py`)."""
    for _ in range(2):
        running: Any = client.stub.Generate(make_request(prompt="The", max_tokens=300))
        while not (await running.read()).HasField("tokens"):
            pass
        for address in (tiny_services.address, tiny_services.expert.address):
            async with open_channel(address) as channel:
                call: Any = channel.unary_unary(cast(Any, b"/\xff/x"))
                with pytest.raises(grpc.aio.AioRpcError):
                    await call(b"")
        while not (await running.read()).HasField("finished"):
            pass

        async def answers() -> bool:
            with contextlib.suppress(grpc.aio.AioRpcError):
                return len((await client.generate(prompt="The", max_tokens=2)).ids) == 2
            return False

        await until(answers)
