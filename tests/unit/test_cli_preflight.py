"""What can't start is refused before anything starts, in a line that names it."""

import socket
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from safetensors.torch import save_file

from router.cli.errors import StartFailed, UsageError
from router.cli.pods import Simulated, model_pods
from router.cli.preflight import (
    POD_BYTES,
    Models,
    check_memory,
    check_port,
    find_models,
    needed_memory,
)
from router.cli.up import Wanted, up
from router.cli.weights import has_bfloat16, loaded_bytes, parameters


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of 6 + 4 + 1 weights in two files."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    tensors = {"a": torch.zeros(2, 3, dtype=torch.bfloat16), "scalar": torch.tensor(1.0)}
    save_file(tensors, folder / "model-1.safetensors", metadata={"format": "pt"})
    save_file({"b": torch.zeros(4)}, folder / "model-2.safetensors")
    return folder


def test_weights_are_counted_by_their_number(model: Path) -> None:
    assert parameters(model) == 11
    assert loaded_bytes(model, "float32", "cpu") == 44
    assert loaded_bytes(model, "bfloat16", "cpu") == 22
    assert loaded_bytes(model, "auto", "cuda") == 22
    assert loaded_bytes(model, "bfloat16", "cpu", "int8") == 33
    assert loaded_bytes(model, "auto", "cpu", "bfloat16+float16") == 44
    assert loaded_bytes(model, "float32", "cpu", "bfloat16") == 22


def test_both_pods_are_counted(model: Path) -> None:
    needed = needed_memory(
        Models(None, model, model), "float32", "cpu", {"drafter": "auto", "expert": "auto"}
    )
    assert needed == {"drafter": 44 + POD_BYTES, "expert": 44 + POD_BYTES}


@pytest.mark.parametrize(
    "content", [b"", b"1234", b"\xff" * 8, b"\x02" + b"\0" * 7 + b"[]", b"\x09" + b"\0" * 7 + b"{"]
)
def test_a_file_that_is_no_safetensors_is_named(model: Path, content: bytes) -> None:
    (model / "model-2.safetensors").write_bytes(content)
    with pytest.raises(StartFailed, match=r"model-2\.safetensors is not in safetensors' format"):
        parameters(model)


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=r"no \*\.safetensors there"):
        parameters(tmp_path)


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("fpu avx512f avx512bw avx512vl avx512dq", True),
        ("fpu avx2 avx512f", False),
        ("avx2 avx_ne_convert", True),
    ],
)
def test_auto_follows_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, has: bool
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor\t: 0\nflags\t\t: {flags}\n\n")
    assert has_bfloat16("cpu", info) is has
    assert has_bfloat16("cpu", tmp_path / "none")


def test_this_cpu_is_judged_as_the_engine_judges_it() -> None:
    assert has_bfloat16("cpu") == torch.ops.mkldnn._is_mkldnn_bf16_supported()


def test_too_little_memory_is_told_in_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = {"drafter": 1_000_000_000, "expert": 3_000_000_000}
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=3_900_000_000))
    expected = r"4\.0 GB needed \(drafter 1\.0 GB, expert 3\.0 GB\), 3\.9 GB available"
    with pytest.raises(StartFailed, match=expected + "; --dtype bfloat16"):
        check_memory(needed, "float32")
    with pytest.raises(StartFailed, match=expected + "$"):
        check_memory(needed, "auto")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=4_000_000_000))
    check_memory(needed, "auto")


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartFailed, match=rf"127\.0\.0\.1:{port}: .*; choose another"):
            check_port(port)
    check_port(port)


def test_half_a_pair_is_refused(model: Path) -> None:
    with pytest.raises(UsageError, match="go together"):
        find_models(None, model, None)
    with pytest.raises(UsageError, match="go together"):
        find_models("tiny", None, model)
    with pytest.raises(UsageError, match="either --pair or"):
        find_models("tiny", model, model)


def test_folders_of_ones_own(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model)
    assert find_models(None, Path(), model) == Models(None, model, model)
    with pytest.raises(StartFailed, match="--expert: no model in other"):
        find_models(None, model, Path("other"))


def test_a_pair_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASCADE_MODELS_DIR", str(tmp_path))
    for role in ("drafter", "expert"):
        with pytest.raises(StartFailed, match=rf"the {role} .* run: cascade models fetch"):
            find_models(None, None, None)
        (tmp_path / "qwen2.5-coder" / role).mkdir(parents=True)
        (tmp_path / "qwen2.5-coder" / role / "config.json").touch()
    found = find_models(None, None, None)
    assert found == find_models("qwen2.5-coder", None, None)
    assert found.drafter == tmp_path / "qwen2.5-coder" / "drafter"
    with pytest.raises(StartFailed, match="no pair 'nobody'"):
        find_models("nobody", None, None)


def test_the_drafter_alone_has_its_vocabulary_shortened(model: Path) -> None:
    weights = {"drafter": "int4", "expert": "auto"}

    def flags(draft_vocabulary: int) -> list[list[str]]:
        models = Models("pair", model, model)
        return [pod.flags for pod in model_pods(models, "auto", "cpu", weights, draft_vocabulary)]

    whole, short = flags(0), flags(32768)
    assert short[0] == [*whole[0], "--draft-vocabulary", "32768"]
    assert short[1] == whole[1]
    assert not [flag for flag in whole[0] if "vocabulary" in flag]


def test_simulated_models_have_no_vocabulary_to_shorten() -> None:
    with pytest.raises(UsageError, match="--simulate takes no --draft-vocabulary"):
        up(Wanted(draft_vocabulary=32768, simulated=Simulated()))
