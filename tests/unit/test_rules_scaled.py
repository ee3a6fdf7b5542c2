"""A truncated distribution over a large vocabulary, kept as a list, is the one over all tokens."""

import pytest
import torch

from services.rules.distribution import Sampling, Scaled
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
