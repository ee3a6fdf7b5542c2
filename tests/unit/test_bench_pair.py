"""Which models are measured, and what of them the systems must share."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors import safe_open

from bench.errors import BadOption
from bench.pair import Pair, choose_pair
from services.models.errors import CatalogError

TINY = Path(__file__).parents[1] / "tiny"
DRAFTER, EXPERT = TINY / "drafter", TINY / "expert"


def test_a_pair_by_name_and_by_folders() -> None:
    by_name = choose_pair("tiny", None, None, "float32")
    by_folder = choose_pair(None, DRAFTER, EXPERT, "float32")
    assert [f.resolve() for f in by_name.folders] == [f.resolve() for f in by_folder.folders]
    assert by_folder.names == ("tiny/drafter", "tiny/expert")


def test_auto_is_a_precision_that_all_systems_share() -> None:
    assert choose_pair("tiny", None, None, "auto").dtype in ("float32", "bfloat16")
    assert choose_pair("tiny", None, None, "bfloat16").dtype == "bfloat16"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ((None, DRAFTER, None, "auto"), "both --drafter and --expert"),
        (("tiny", DRAFTER, EXPERT, "auto"), "either --pair"),
        ((None, DRAFTER, TINY, "auto"), "no config.json"),
        (("tiny", None, None, "float16"), "got 'float16'"),
    ],
)
def test_options_that_do_not_go_together(
    options: tuple[str | None, Path | None, Path | None, str], reason: str
) -> None:
    with pytest.raises(BadOption, match=reason):
        choose_pair(*options)


def test_an_unknown_pair() -> None:
    with pytest.raises(CatalogError, match="nope"):
        choose_pair("nope", None, None, "auto")


def test_weights_take_as_much_as_their_precision_does() -> None:
    numbers = 0
    for folder in (DRAFTER, EXPERT):
        with safe_open(folder / "model.safetensors", framework="pt") as file:
            names = file.keys()
            numbers += sum(file.get_tensor(name).numel() for name in names)
    assert Pair(DRAFTER, EXPERT, "float32").weights_bytes == 4 * numbers
    assert Pair(DRAFTER, EXPERT, "bfloat16").weights_bytes == 2 * numbers


def test_output_layers_are_told_with_their_padding() -> None:
    assert Pair(DRAFTER, EXPERT, "float32").output_sizes == (264, 272)


def test_end_tokens_and_context_are_of_both_models(tmp_path: Path) -> None:
    other = shutil.copytree(DRAFTER, tmp_path / "drafter")
    for name, values in {
        "generation_config.json": {"eos_token_id": [10, 256]},
        "config.json": {"max_position_embeddings": 100},
    }.items():
        path = other / name
        path.write_text(json.dumps(json.loads(path.read_text()) | values))
    pair = Pair(other, EXPERT, "float32")
    assert pair.end_token_ids == (10, 256)
    assert pair.context_length == 100


def test_without_generation_settings_the_configuration_names_the_end_token(tmp_path: Path) -> None:
    other = shutil.copytree(DRAFTER, tmp_path / "drafter")
    (other / "generation_config.json").unlink()
    assert Pair(other, other, "float32").end_token_ids == (256,)
