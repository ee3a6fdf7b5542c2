"""The state file comes back as it was written, and only one start or stop is at work."""

from pathlib import Path

import pytest

from router.cli.state import Service, State, StateError, StateStore

SERVICE = Service("router", 12, 1.5, ("python", "-m", "router"), "/x/router.log", "127.0.0.1:5")
STATE = State("tiny", "/d", "/e", "auto", "cpu", services=(SERVICE,))


@pytest.fixture
def store(tmp_path: Path) -> StateStore:
    return StateStore(tmp_path)


def test_what_is_written_is_read(store: StateStore) -> None:
    assert store.read() is None
    store.write(STATE)
    assert store.read() == STATE
    store.clear()
    assert store.read() is None


def test_a_service_takes_the_place_of_its_role() -> None:
    newer = Service("router", 13, 2.5, (), "")
    drafter = Service("drafter", 14, 2.5, (), "")
    state = STATE.with_service(newer).with_service(drafter)
    assert state.services == (drafter, newer)
    assert (state.service("router"), state.service("expert")) == (newer, None)
    assert (STATE.address, state.address) == ("127.0.0.1:5", None)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", '{"services": [3]}', '{"services": [{"command": 1}]}', "{}"]
)
def test_a_damaged_file_is_named(store: StateStore, content: str) -> None:
    store.path.write_text(content)
    with pytest.raises(StateError, match=r"state\.json is damaged; remove it"):
        store.read()


@pytest.mark.parametrize("step", ["write_text", "rename"])
def test_a_failed_write_leaves_the_old_state(
    store: StateStore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store.write(STATE)

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, step, full)
    with pytest.raises(StateError, match="No space left"):
        store.write(STATE.with_service(Service("drafter", 1, 1.0, (), "")))
    monkeypatch.undo()
    assert store.read() == STATE


def test_only_one_is_at_work(store: StateStore) -> None:
    with store.locked(), pytest.raises(StateError, match="another `cascade up`"), store.locked():
        pass
    with store.locked():
        pass


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StateError, match=r"can't write .*file/run"),
        StateStore(tmp_path / "file" / "run").locked(),
    ):
        pass


def test_the_directory_is_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASCADE_STATE_DIR", str(tmp_path))
    assert StateStore.default().directory == tmp_path
    monkeypatch.delenv("CASCADE_STATE_DIR")
    assert StateStore.default().directory == Path(__file__).parents[2] / ".run"
