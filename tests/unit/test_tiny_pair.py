"""The committed tiny pair: that it loads, fits together, and is as good as its report says."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from tests.tiny.corpus import MAX_BYTES, MIN_BYTES, Corpus, load_corpus
from tests.tiny.measure import PairMeasure, measure_pair
from tests.tiny.tokenizer import CONTEXT, END, END_ID, TOKENS, encode_document
from tests.tiny.train import DRAFTER, EXPERT, Recipe, train

TINY = Path(__file__).parents[1] / "tiny"
FILES = {
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}
REPORT: dict[str, Any] = json.loads((TINY / "report.json").read_text())
TOKENIZER: Any = AutoTokenizer.from_pretrained(TINY / "expert")
both = pytest.mark.parametrize("recipe", [DRAFTER, EXPERT], ids=lambda recipe: recipe.name)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in training: models this small gain nothing from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def load(recipe: Recipe) -> LlamaForCausalLM:
    model = AutoModelForCausalLM.from_pretrained(TINY / recipe.name)
    assert isinstance(model, LlamaForCausalLM)
    return model


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_corpus()


@pytest.fixture(scope="module")
def measured(corpus: Corpus) -> PairMeasure:
    return measure_pair(load(DRAFTER), load(EXPERT), corpus.held_out)


@both
def test_a_folder_holds_a_whole_model(recipe: Recipe) -> None:
    model = load(recipe)
    assert {path.name for path in (TINY / recipe.name).iterdir()} == FILES
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.get_output_embeddings().weight.shape[0] == recipe.vocabulary > TOKENS
    assert model.config.max_position_embeddings == CONTEXT
    assert model.config.eos_token_id == model.generation_config.eos_token_id == END_ID
    assert model.config.bos_token_id is None


def test_the_output_layers_are_padded_differently() -> None:
    assert DRAFTER.vocabulary != EXPERT.vocabulary


def test_the_pair_is_small_enough_to_commit() -> None:
    folders = (TINY / recipe.name for recipe in (DRAFTER, EXPERT))
    assert sum(path.stat().st_size for folder in folders for path in folder.iterdir()) < 5_000_000


@both
def test_the_report_is_about_these_weights(recipe: Recipe) -> None:
    weights = (TINY / recipe.name / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == REPORT[recipe.name]["weights_sha256"]


def test_the_tokenizers_are_identical() -> None:
    drafter, expert = (TINY / name / "tokenizer.json" for name in ("drafter", "expert"))
    assert drafter.read_bytes() == expert.read_bytes()


def test_the_tokenizer_has_bytes_and_an_end_token() -> None:
    assert len(TOKENIZER) == TOKENS
    assert TOKENIZER.eos_token == END
    assert TOKENIZER.eos_token_id == TOKENIZER.convert_tokens_to_ids(END) == END_ID
    assert TOKENIZER.bos_token is None
    assert TOKENIZER.chat_template is None


@given(st.text())
@example(" a  b .\r\n\t\0")
@example("é ﬁ 한 😀 e\u0301 \u200d \ufeff")
@example("Isn't it ? 'll we 've")
@example("<|end|")
def test_any_text_is_its_bytes_and_comes_back(text: str) -> None:
    ids = TOKENIZER.encode(text)
    assert ids == list(text.encode())
    assert TOKENIZER.decode(ids) == text


@given(st.text(), st.text())
def test_an_end_token_in_a_text_is_one_token(before: str, after: str) -> None:
    ids = TOKENIZER.encode(before + END + after)
    assert ids == [*before.encode(), END_ID, *after.encode()]
    assert TOKENIZER.decode(ids) == before + END + after
    assert TOKENIZER.decode(ids, skip_special_tokens=True) == before + after


def test_documents_are_short_and_none_is_trained_on_and_held_out(corpus: Corpus) -> None:
    documents = corpus.train + corpus.held_out
    assert len(set(documents)) == len(documents)
    assert all(MIN_BYTES <= len(document.encode()) <= MAX_BYTES for document in documents)
    assert all(max(encode_document(document)[:-1]) < END_ID for document in documents)


def test_the_losses_are_those_of_the_report(measured: PairMeasure) -> None:
    # Another release of Python brings a few other documents.
    for name in ("drafter", "expert"):
        loss = getattr(measured, name).nats_per_byte
        assert loss == pytest.approx(REPORT[name]["nats_per_byte"], abs=0.05)
    assert measured.acceptance == pytest.approx(REPORT["acceptance"], abs=0.02)
    assert measured.greedy_agreement == pytest.approx(REPORT["greedy_agreement"], abs=0.03)


def test_the_expert_is_clearly_better(measured: PairMeasure) -> None:
    assert measured.expert.nats_per_byte < measured.drafter.nats_per_byte - 0.3


def test_the_padding_entries_have_probability_to_mask(measured: PairMeasure) -> None:
    assert measured.drafter.padding_mass > 0.005
    assert measured.expert.padding_mass > 0.005


def test_training_again_gives_the_same_weights(corpus: Corpus) -> None:
    short = replace(DRAFTER, steps=2)
    documents = corpus.train[:100]
    first, second = (train(short, documents).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = train(replace(short, steps=1), documents).state_dict()
    assert not all(torch.equal(first[name], other[name]) for name in first)
