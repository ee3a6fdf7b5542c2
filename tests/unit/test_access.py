"""API keys and their limits: what is found, what is refused, and when it fits again."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from router.access import Guard, load_keys
from router.access.allowance import Allowance
from router.access.keys import ApiKey, find, hash_key, new_key
from router.metrics import RouterMetrics
from router.settings import RouterSettings
from services.errors import CascadeError, InvalidField, NoPodLeft, Overloaded, Unauthenticated
from services.serving.settings import problems, read
from services.serving.slots import Slots
from services.serving.tls import TlsFiles
from services.serving.watched import Watched
from tests.certificates import Authority


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def entry(name: str = "ann", key: str = "k", **limits: int) -> ApiKey:
    return ApiKey(name=name, sha256=hash_key(key), **limits)


def write(path: Path, *keys: ApiKey) -> str:
    lines = []
    for key in keys:
        lines += [f"[keys.{key.name}]", f'sha256 = "{key.sha256}"']
        limits = {"max_sessions": key.max_sessions, "tokens_per_minute": key.tokens_per_minute}
        lines += [f"{name} = {value}" for name, value in limits.items() if value]
    part = path.with_suffix(".part")
    part.write_text("\n".join(lines))
    part.rename(path)
    return str(path)


def guard(path: str, slots: int = 8, waiting: int = 0) -> Guard:
    places = Slots(slots, waiting)
    return Guard(places, Watched([path], lambda: load_keys(path)), RouterMetrics(places))


def bearing(key: str) -> list[tuple[str, str | bytes]]:
    return [("user-agent", "x"), ("authorization", f"Bearer {key}")]


def test_a_key_is_found_by_its_hash_alone(tmp_path: Path) -> None:
    keys = {name: new_key() for name in ("ann", "bob")}
    path = write(tmp_path / "keys", *(entry(name, key) for name, key in keys.items()))
    found = load_keys(path)
    for name, key in keys.items():
        known = find(key, found)
        assert known is not None
        assert known.name == name
        assert find(key[:-1], found) is None
        assert key not in Path(path).read_text()
        assert known.sha256 not in repr(found)
    assert find("", found) is None
    assert find(found[0].sha256, found) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("keys = 1", "must have tables"),
        ("[keys.a", "is no TOML"),
        ("[keys.a]", "keys.a.sha256: Field required"),
        ('[keys.a]\nsha256 = "secret-key"', "keys.a.sha256: String should match"),
        ('[keys."a b"]\nsha256 = "x"', "keys.a b: a key's name is"),
        (f'[keys.a]\nsha256 = "{"0" * 64}"\nmax_sessions = 0', "keys.a.max_sessions"),
        (f'[keys.a]\nsha256 = "{"0" * 64}"\ntokens = 1', "keys.a.tokens: Extra"),
        (f'[keys.a]\nsha256="{"0" * 64}"\n[keys.b]\nsha256="{"0" * 64}"', "under two names"),
    ],
)
def test_a_bad_file_is_told_in_one_line(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(ValueError, match="--api-keys-file") as caught:
        load_keys(str(path))
    assert why in str(caught.value)
    assert "secret-key" not in str(caught.value)


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ([], "an API key is needed"),
        ([("authorization", "Basic secret-key")], "must be `Bearer KEY`"),
        ([("authorization", "Bearer ")], "must be `Bearer KEY`"),
        (bearing("secret-key") + bearing("secret-key"), "once"),
        (bearing("secret-key"), "not known"),
    ],
)
async def test_who_is_not_known_is_refused(tmp_path: Path, metadata: Any, why: str) -> None:
    checked = guard(write(tmp_path / "keys", entry()))
    with pytest.raises(Unauthenticated) as caught:
        async with checked.admit(metadata):
            pass
    assert why in str(caught.value)
    assert "secret-key" not in str(caught.value)


async def test_a_changed_file_counts_at_once_and_a_bad_one_does_not(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    checked = guard(write(path, entry("ann", "first")))
    async with checked.admit(bearing("first")) as caller:
        assert caller.name == "ann"
        write(path, entry("ann", "second"))
        async with checked.admit(bearing("second")):
            pass
    with pytest.raises(Unauthenticated):
        async with checked.admit(bearing("first")):
            pass
    path.write_text("nonsense")
    async with checked.admit(bearing("second")):
        pass
    path.unlink()
    async with checked.admit(bearing("second")):
        pass


async def test_a_keys_sessions_and_the_routers(tmp_path: Path) -> None:
    keys = [entry("ann", "a", max_sessions=1), entry("bob", "b")]
    checked = guard(write(tmp_path / "keys", *keys), slots=2)
    async with checked.admit(bearing("a")):
        with pytest.raises(Overloaded, match="key ann: all 1 sessions"):
            async with checked.admit(bearing("a")):
                pass
        async with checked.admit(bearing("b")):
            with pytest.raises(Overloaded, match="all 2 slots are taken"):
                async with checked.admit(bearing("b")):
                    pass
    async with checked.admit(bearing("a")):
        pass


async def use(checked: Guard, key: str, tokens: int) -> None:
    """An answer to a prompt of so many tokens."""
    async with checked.admit(bearing(key)) as caller:
        with caller.prompt(tokens, lambda: True):
            pass


async def test_what_was_used_stays_with_the_name_when_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    checked = guard(write(path, entry("ann", "a", tokens_per_minute=10)))
    await use(checked, "a", 10)
    write(path, entry("ann", "new", tokens_per_minute=20))
    with pytest.raises(Overloaded):
        await use(checked, "new", 11)


@pytest.mark.parametrize(
    ("error", "began", "left"),
    [
        (NoPodLeft("drafter", "gone"), False, 10),
        (Overloaded("full"), False, 10),
        (NoPodLeft("drafter", "gone"), True, 0),
        (InvalidField(("prompt", "bad")), False, 0),
    ],
)
async def test_a_prompt_that_nothing_came_of_costs_nothing(
    error: CascadeError, began: bool, left: int, tmp_path: Path
) -> None:
    path = write(tmp_path / "keys", entry("ann", "a", tokens_per_minute=10))
    checked = guard(path)
    async with checked.admit(bearing("a")) as caller:
        with pytest.raises(type(error)), caller.prompt(10, lambda: began):
            raise error
        with ExitStack() as stack:
            if not left:
                stack.enter_context(pytest.raises(Overloaded))
            with caller.prompt(10, lambda: True):
                pass


def test_the_time_until_it_fits_is_told_and_is_right() -> None:
    clock = Clock()
    allowance = Allowance(entry(tokens_per_minute=60), clock)
    allowance.prompt(40)
    allowance.delivered(50)
    with pytest.raises(Overloaded, match="60 tokens a minute") as caught, allowance.session():
        pass
    assert caught.value.retry_after_s == pytest.approx(31.0)
    clock.now += caught.value.retry_after_s
    with allowance.session():
        allowance.prompt(1)
    with pytest.raises(InvalidField, match="at most the 60 tokens a minute of key ann, got 61"):
        allowance.prompt(61)


USES = st.lists(
    st.tuples(st.floats(0, 200), st.integers(1, 100), st.integers(0, 50)), min_size=1, max_size=40
)


def refusal(allowance: Allowance, prompt: int) -> Overloaded | None:
    """Takes a prompt out, unless it does not fit."""
    try:
        allowance.prompt(prompt)
    except Overloaded as error:
        return error
    return None


@given(USES)
def test_never_more_than_a_bucket_and_its_refill(uses: list[tuple[float, int, int]]) -> None:
    """Before every answer, what was taken is at most a minute's tokens and what flowed in since;
    and who waits as long as told is let in."""
    limit, taken, clock = 100, 0, Clock()
    allowance = Allowance(entry(tokens_per_minute=limit), clock)
    for pause, prompt, answer in uses:
        clock.now += pause
        if refused := refusal(allowance, prompt):
            assert refused.retry_after_s > 0
            clock.now += refused.retry_after_s
            assert refusal(allowance, prompt) is None
        taken += prompt
        assert taken <= limit + clock.now * limit / 60 + 1e-3
        allowance.delivered(answer)
        taken += answer


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--tls-cert", "{server.pem}"], "--tls-cert needs --tls-key"),
        (["--tls-ca", "{authority.pem}"], "--tls-ca needs --tls-cert and --tls-key"),
        (
            ["--tls-cert", "{absent}", "--tls-key", "{server.key}"],
            "--tls-cert: can't read {absent}: No such file or directory",
        ),
        (
            ["--tls-cert", "{server.pem}", "--tls-key", "{other.key}"],
            "--tls-cert, --tls-key: {server.pem} and {other.key} are no certificate and its key",
        ),
        (["--peer-tls-ca", "{server.key}"], "--peer-tls-ca: no certificates in {server.key}"),
        (["--peer-tls-name", "x"], "need --peer-tls-ca"),
        (["--api-keys-file", "{absent}"], "--api-keys-file: can't read {absent}: No such file"),
    ],
)
def test_bad_files_refuse_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], why: str
) -> None:
    authority = Authority(tmp_path)
    authority.issue("server")
    authority.issue("other")

    def filled(text: str) -> str:
        for name in ("server.pem", "server.key", "other.key", "authority.pem", "absent"):
            text = text.replace(f"{{{name}}}", str(tmp_path / name))
        return text

    peers = ["--drafter", "a:1", "--expert", "b:1"]
    monkeypatch.setattr("sys.argv", ["router", *peers, *map(filled, flags)])
    with pytest.raises(ValidationError) as caught:
        read(RouterSettings)
    (line,) = problems(caught.value)
    assert filled(why) in line
    assert "Value error" not in line


def test_keys_never_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = Authority(tmp_path).issue("server")
    pem = TlsFiles(*issued.paths).load()
    assert pem.key is not None
    assert "PRIVATE" not in repr(pem)
    monkeypatch.setattr(
        "sys.argv",
        [
            *("router", "--drafter", "a:1", "--expert", "b:1"),
            *("--tls-cert", issued.paths[0], "--tls-key", issued.paths[1]),
            *("--api-keys-file", write(tmp_path / "keys", entry(key="secret-key"))),
        ],
    )
    settings = read(RouterSettings)
    shown = json.dumps(settings.model_dump()) + repr(settings)
    assert "secret-key" not in shown
    assert hash_key("secret-key") not in shown
    assert "PRIVATE" not in shown
