"""A truncated distribution over a large vocabulary, kept as a list, is the one over all tokens."""

import pytest
import torch

from services.rules.distribution import Sampling, Scaled, candidates, scaled
from services.rules.noise import Purpose, gumbel, keys
from services.rules.sampling import sample

SIZE = 20_000


@pytest.mark.parametrize(
    "sampling", [Sampling(1.0, 40), Sampling(0.7, 0, 0.9), Sampling(1.3, 90, 0.8)], ids=str
)
def test_a_list_and_the_whole_agree(sampling: Sampling) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 5, SIZE, generator=generator, dtype=torch.float64) * 5
    listed = Scaled.of(logits, sampling)
    assert listed.ids is not None, "short enough for a list"
    whole = Scaled(listed.spread(), None, listed.normalizer, SIZE)
    asked = torch.randint(0, SIZE, (2, 5, 300), generator=generator)
    asked[..., :40] = logits.topk(40).indices
    assert torch.equal(listed.at(asked), whole.at(asked))
    assert listed.at(asked).sum(-1).min() > 0
    assert torch.allclose(whole.dense().sum(-1), torch.ones(2, 5, dtype=torch.float64))
    assert torch.equal(listed.favourite, logits.argmax(-1))
    key = keys(torch.arange(2).unsqueeze(1), torch.arange(5), Purpose.EXPERT)
    expected = (whole.spread() + gumbel(key, SIZE)).argmax(-1)
    assert torch.equal(sample(listed, key), expected)
    assert torch.equal(sample(whole, key), expected)
    assert torch.equal(sample(listed[:, 1:3], key[:, 1:3]), expected[:, 1:3])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_of_tokens_that_are_as_likely_the_first_is_taken(dtype: torch.dtype) -> None:
    """By both models, whose logits in bfloat16 are often the same."""
    logits = torch.zeros(3, SIZE, dtype=dtype)
    for row, alike in enumerate([(7, 19_000), (0, 1), (12_345, 12_346, 19_999)]):
        logits[row, list(alike)] = 4.0
    greedy = Sampling(temperature=0.0)
    first = torch.tensor([7, 0, 12_345])
    assert torch.equal(Scaled.of(logits, greedy).favourite, first)
    assert torch.equal(candidates(logits, greedy, 64).ids.squeeze(-1), first)
    assert torch.equal(scaled(logits, greedy).argmax(-1), first)


def test_what_top_p_leaves_depends_on_nothing_else_in_the_call() -> None:
    """Logits in bfloat16 are often the same, and sorted otherwise among other rows."""
    generator = torch.Generator().manual_seed(5)
    sampling = Sampling(1.0, 0, 0.9)
    flat = torch.zeros(SIZE)
    for _ in range(100):
        spread = float(torch.rand(1, generator=generator)) * 6 + 3
        row = (torch.randn(SIZE, generator=generator) * spread).bfloat16().float()
        alone = scaled(row, sampling)
        assert torch.equal(alone > 0, scaled(torch.stack([row, flat]), sampling)[0] > 0)
        assert (row[alone > 0].min() > row[alone == 0]).all(), "none is left out that is as likely"
        above = row > row[alone > 0].min()
        assert row.softmax(-1)[above].sum() < 0.9 + 1e-4, "nor is more kept than is needed"


def test_the_drafters_own_top_p_is_cut_likewise() -> None:
    logits = torch.tensor([3.0, 1.0, 2.0, 2.0, 2.0, 0.0]).log()
    found = candidates(logits, Sampling(1.0, 0, 0.4), 5)
    kept = found.ids[found.drops >= 0]
    assert sorted(kept.tolist()) == [0, 2, 3, 4]
