"""An output layer without its rare tokens: what it knows is as before, and it says nothing else."""

import json

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from services.engine.linear import can_pack
from services.engine.model import load
from services.engine.quantized import QuantizedLinear
from services.engine.short_head import ShortHead, shorten_head
from services.engine.weights import Weights, lay_out, weight_bytes
from services.errors import ModelUnsupported
from tests.services import TINY

PROMPT = list(b"The quick brown")
KNOWN = [*range(127), 256]
"""112 tokens and the end token, filled up to a multiple of 16."""


@pytest.mark.parametrize("bias", [False, True])
def test_known_tokens_have_their_logits_and_others_none(bias: bool) -> None:
    torch.manual_seed(0)
    whole = nn.Linear(32, 100, bias=bias)
    short = ShortHead(whole, 40, torch.tensor([71, 99]))
    known = [*range(40), 71, 99]
    x = torch.randn(2, 3, 32)
    with torch.inference_mode():
        logits, expected = short(x), whole(x)
    torch.testing.assert_close(logits[..., known], expected[..., known])
    unknown = sorted(set(range(100)) - set(known))
    assert bool((logits[..., unknown] == -torch.inf).all())


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_it_is_quantised_as_any_other_layer(weights: Weights) -> None:
    if not can_pack(torch.float32):
        pytest.skip("this CPU packs no weights")
    torch.manual_seed(0)
    head = nn.Linear(64, 160, bias=False)
    whole, short = nn.Sequential(head), ShortHead(head, 46, torch.tensor([100, 159]))
    for module in (whole, short):
        lay_out(module, weights, torch.float32, torch.device("cpu"))
    assert isinstance(short.linear, QuantizedLinear)
    assert weight_bytes(short) == weight_bytes(whole) * 48 // 160
    known = [*range(46), 100, 159]
    x = torch.randn(1, 64)
    with torch.inference_mode():
        torch.testing.assert_close(short(x)[:, known], whole(x)[:, known])


def test_a_loaded_drafter_says_only_what_it_knows() -> None:
    whole = load(TINY / "drafter", device="cpu", dtype="float32")
    short = load(TINY / "drafter", device="cpu", dtype="float32", draft_vocabulary=112)
    assert (short.facts.weights, short.facts.draft_vocabulary) == ("float32", 112)
    assert whole.facts.draft_vocabulary == 0
    assert short.facts.vocabulary_size == whole.facts.vocabulary_size
    assert short.facts.weight_bytes < whole.facts.weight_bytes
    prompt = [*PROMPT, 200]  # it reads every token, whether it says it or not
    logits, expected = short.logits(prompt, 4), whole.logits(prompt, 4)
    torch.testing.assert_close(logits[:, KNOWN], expected[:, KNOWN])
    assert (logits > -torch.inf).sum() == 4 * len(KNOWN)


def test_a_vocabulary_that_is_no_shorter_is_refused() -> None:
    size = json.loads((TINY / "drafter/config.json").read_text())["vocab_size"]
    with pytest.raises(
        ModelUnsupported, match=f"300, rounded up to 304: the model has no more than {size}"
    ):
        load(TINY / "drafter", device="cpu", dtype="float32", draft_vocabulary=300)


def test_the_tokens_that_end_an_answer_are_kept_whatever_they_are() -> None:
    module = AutoModelForCausalLM.from_pretrained(TINY / "drafter")
    shorten_head(module, {}, 96, [200, 256])
    with torch.inference_mode():
        logits = module(torch.tensor([PROMPT])).logits[0, -1]
    known = (logits > -torch.inf).nonzero().flatten().tolist()
    assert known == [*range(110), 200, 256]


def test_logits_that_are_capped_after_the_layer_are_refused() -> None:
    module = AutoModelForCausalLM.from_pretrained(TINY / "drafter")
    module.config.final_logit_softcapping = 15.0
    with pytest.raises(ModelUnsupported, match="not those of a linear output layer"):
        shorten_head(module, {}, 96, [])
