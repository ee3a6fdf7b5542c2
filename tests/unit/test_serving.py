"""What every server shares: the law's ranges, errors as codes, slots, settings, token hashes."""

import asyncio
import math
from pathlib import Path
from typing import Any

import grpc
import pytest
from cascade.v1 import law_pb2 as pb
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services import errors
from services.pod.settings import PodSettings
from services.serving import law as laws
from services.serving.settings import is_loopback, problems
from services.serving.slots import Slots
from services.serving.status import STATUS_CODES, from_rpc_error, rich_status
from services.serving.watched import Watched
from services.tokens import TokenSequence, extend_hash
from tests.until import until


def law(**fields: Any) -> pb.Law:
    return laws.with_defaults(
        pb.Law(**({"candidates": 64, "top_p": 1.0} | fields)),
        alpha_given="alpha" in fields,
    )


def test_every_mode_has_a_default_rule_that_is_allowed() -> None:
    for mode in pb.Mode.values():
        if mode:
            assert laws.violations(law(mode=mode)) == []


def test_the_defaults_are_those_of_the_documentation() -> None:
    greedy, warm = law(), law(temperature=1.0)
    assert (greedy.mode, greedy.rule) == (pb.MODE_SPECULATIVE_CASCADE, pb.RULE_TOKEN_V3)
    assert (greedy.alpha, warm.alpha) == (0.5, 0.8)
    assert law(mode=pb.MODE_SPECULATIVE).rule == pb.RULE_LOSSLESS


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.001, 1.001])
def test_alpha_outside_its_range(value: float) -> None:
    ((field, text),) = laws.violations(law(alpha=value))
    assert field == "alpha"
    assert "[0, 1]" in text


def test_lossy_excludes_one() -> None:
    lossy = {"mode": pb.MODE_SPECULATIVE, "rule": pb.RULE_LOSSY}
    assert laws.violations(law(alpha=0.999, **lossy)) == []
    assert laws.violations(law(alpha=1.0, **lossy))[0] == (
        "alpha",
        "must be finite and in [0, 1) for rule lossy, got 1",
    )


def test_only_expert_and_lossless_keep_the_experts_law() -> None:
    keep = {
        (law(mode=mode, rule=rule).mode, rule)
        for mode in pb.Mode.values()
        for rule in pb.Rule.values()
        if mode and not laws.may_change_expert_law(law(mode=mode, rule=rule))
    }
    assert {mode for mode, _ in keep} == {pb.MODE_EXPERT, pb.MODE_SPECULATIVE}
    assert {rule for mode, rule in keep if mode == pb.MODE_SPECULATIVE} <= {0, pb.RULE_LOSSLESS}


def subclasses(cls: type[errors.CascadeError]) -> set[type[errors.CascadeError]]:
    return {sub for one in cls.__subclasses__() for sub in (one, *subclasses(one))}


def test_every_error_has_a_row_in_the_table() -> None:
    assert set(STATUS_CODES) == subclasses(errors.CascadeError)


EXAMPLES = [
    (errors.InvalidField(("f", "bad")), grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NotServed("x"), grpc.StatusCode.UNIMPLEMENTED),
    (errors.Unauthenticated("x"), grpc.StatusCode.UNAUTHENTICATED),
    (errors.Overloaded("x", 2.5), grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.DeadlinePassed("x"), grpc.StatusCode.DEADLINE_EXCEEDED),
    (errors.PeerLost("x"), grpc.StatusCode.UNAVAILABLE),
    (errors.NoPodLeft("expert", "x"), grpc.StatusCode.UNAVAILABLE),
    (errors.EngineFailed("x"), grpc.StatusCode.INTERNAL),
    (errors.ModelUnsupported("x"), grpc.StatusCode.FAILED_PRECONDITION),
    (errors.PairMismatch("x"), grpc.StatusCode.FAILED_PRECONDITION),
]


@pytest.mark.parametrize(("error", "code"), EXAMPLES)
def test_each_row(error: errors.CascadeError, code: grpc.StatusCode) -> None:
    status = rich_status(error)
    assert status.code == code.value[0]
    assert status.message == str(error)
    if isinstance(error, errors.InvalidField):
        bad = error_details_pb2.BadRequest()
        assert status.details[0].Unpack(bad)
        assert [(v.field, v.description) for v in bad.field_violations] == [("f", "bad")]
    if isinstance(error, errors.Overloaded):
        retry = error_details_pb2.RetryInfo()
        assert status.details[0].Unpack(retry)
        assert retry.retry_delay.ToMilliseconds() == 2500


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.Overloaded),
        (grpc.StatusCode.UNIMPLEMENTED, errors.NotServed),
        (grpc.StatusCode.UNAVAILABLE, errors.PeerLost),
        (grpc.StatusCode.CANCELLED, errors.PeerLost),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.DeadlinePassed),
        (grpc.StatusCode.INTERNAL, errors.EngineFailed),
    ],
)
def test_a_peers_status_is_passed_on(
    code: grpc.StatusCode, error: type[errors.CascadeError]
) -> None:
    none = grpc.aio.Metadata()
    passed = from_rpc_error(grpc.aio.AioRpcError(code, none, none, "why"), "expert")
    assert type(passed) is error
    assert "expert" in str(passed)
    assert "why" in str(passed)


async def test_slots_are_fair_and_bounded() -> None:
    slots = Slots(total=2, max_waiting=1)
    order: list[int] = []
    release = asyncio.Event()

    async def hold(i: int) -> None:
        async with slots.hold():
            order.append(i)
            await release.wait()

    tasks = [asyncio.create_task(hold(i)) for i in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (order, slots.free, slots.waiting) == ([0, 1], 0, 1)
    with pytest.raises(errors.Overloaded, match="all 2 slots are taken and 1 sessions wait"):
        async with slots.hold():
            pass
    tasks[2].cancel()
    await asyncio.gather(tasks[2], return_exceptions=True)
    assert slots.waiting == 0
    release.set()
    await asyncio.gather(*tasks[:2])
    assert slots.free == 2


async def test_slots_that_refuse_let_go_of_those_that_wait() -> None:
    slots = Slots(total=1, max_waiting=4)

    async def hold() -> None:
        async with slots.hold():
            raise AssertionError("nobody gets a place")

    async with slots.hold():
        waiting = [asyncio.create_task(hold()) for _ in range(3)]
        await until(lambda: slots.waiting == 3)
        slots.refuse(errors.PeerLost("it is to end"))
        ends = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 20)
        assert [type(end) for end in ends] == [errors.PeerLost] * 3
    assert (slots.free, slots.waiting) == (1, 0)
    with pytest.raises(errors.PeerLost):
        async with slots.hold():
            pass


def test_settings_name_the_flag_and_refuse_unknown_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["pod", "--model", "m", "--slots=-1", "--dtype", "int3"])
    with pytest.raises(ValidationError) as caught:
        PodSettings()
    lines = "\n".join(problems(caught.value))
    assert "--slots" in lines
    assert "--dtype" in lines
    monkeypatch.setattr("sys.argv", ["pod", "--model", "m", "--unheard-of", "1"])
    with pytest.raises((ValidationError, SystemExit)):
        PodSettings()


def test_settings_come_from_the_environment_and_flags_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASCADE_POD_SLOTS", "32")
    monkeypatch.setenv("CASCADE_POD_MAX_WAITING", "7")
    monkeypatch.setattr("sys.argv", ["pod", "--model", "m", "--max-waiting", "9"])
    settings = PodSettings()
    assert (settings.slots, settings.max_waiting) == (32, 9)


def test_which_hosts_only_this_machine_reaches() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.0.1", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "10.0.0.1", "::", "expert.test", "")))


TOKENS = st.lists(st.integers(0, 200_000), max_size=40)


@given(TOKENS, TOKENS, st.integers(0, 40))
def test_a_hash_is_of_the_tokens_and_not_of_how_they_came(
    first: list[int], second: list[int], cut: int
) -> None:
    sequence = TokenSequence(first)
    sequence.truncate(cut)
    sequence.extend(second)
    expected = first[:cut] + second
    assert sequence.ids == expected
    assert sequence.hash() == TokenSequence(expected).hash()
    assert sequence.hash() == extend_hash(TokenSequence(first[:cut]).hash(), second)
    assert sequence.since(2) == expected[2:]


@given(TOKENS, TOKENS)
def test_other_tokens_have_another_hash(first: list[int], second: list[int]) -> None:
    same = TokenSequence(first).hash() == TokenSequence(second).hash()
    assert same == (first == second)


def test_known_hashes() -> None:
    """The contract's definition: another implementation must find these."""
    assert TokenSequence().hash() == 0
    assert TokenSequence([0]).hash() == 0xE220A8397B1DCDAF


def test_a_file_is_tried_again_once_its_rights_have_changed(tmp_path: Path) -> None:
    """Its content is what it was."""
    file, loads = tmp_path / "key", list[str]()
    file.write_text("one")

    def load() -> str:
        loads.append(file.read_text())
        if len(loads) == 2:
            raise PermissionError("not to be read")
        return loads[-1]

    watched = Watched([str(file)], load)
    file.write_text("another")
    assert watched.current() == "one"
    assert watched.current() == "one"
    assert len(loads) == 2, "as long as nothing changes"
    file.chmod(0o640)
    assert watched.current() == "another"
