"""The services' noise is the oracle's, bit for bit; and both are SplitMix64's."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from services.rules import noise as services_noise
from services.rules.noise import Purpose
from tests.oracle import noise

SEEDS = st.integers(0, 2**64 - 1)
POSITIONS = st.integers(0, 2**32 - 1)
PURPOSES = st.sampled_from(list(Purpose))
VECTOR = ["0x1.58bc390a23179p-1", "0x1.7560f49c00db3p-1", "0x1.14107b31fb348p-4"]


def key(seed: int, position: int, purpose: Purpose) -> torch.Tensor:
    return services_noise.keys(
        services_noise.seeds_tensor([seed]), torch.tensor([position]), purpose
    )


def test_mixing_is_splitmix64() -> None:
    # The first outputs of the published generator, seeded with 0.
    outputs = [noise._mix(n * noise._WEYL) for n in (1, 2, 3)]
    assert outputs == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_purposes_have_their_numbers() -> None:
    assert [int(p) for p in (Purpose.EXPERT, Purpose.DRAFT, Purpose.ACCEPT, Purpose.RESAMPLE)] == [
        noise.EXPERT,
        noise.DRAFT,
        noise.ACCEPT,
        noise.RESAMPLE,
    ]


@given(SEEDS, POSITIONS, PURPOSES)
@example(2**64 - 1, 0, Purpose.ACCEPT)
@example(2**63, 2**32 - 1, Purpose.DRAFT)
def test_uniform_equals_the_oracle(seed: int, position: int, purpose: Purpose) -> None:
    value = services_noise.uniform(key(seed, position, purpose)).item()
    assert value == noise.uniform(seed, position, purpose)
    assert 0 < value < 1


@given(SEEDS, POSITIONS, PURPOSES, st.lists(st.integers(0, 200_000), min_size=1, max_size=8))
def test_gumbel_equals_the_oracle(
    seed: int, position: int, purpose: Purpose, ids: list[int]
) -> None:
    values = services_noise.gumbel_at(
        key(seed, position, purpose), torch.tensor([ids]), max(ids) + 1
    )[0]
    # The counters are equal bit for bit; two libraries' logarithms may differ in the last one.
    expected = [noise.gumbel(seed, position, purpose, token) for token in ids]
    assert values.tolist() == pytest.approx(expected, rel=1e-14, abs=1e-15)


@given(SEEDS, POSITIONS, PURPOSES, st.integers(1, 300))
def test_the_whole_vocabularys_gumbel_is_that_of_chosen_tokens(
    seed: int, position: int, purpose: Purpose, size: int
) -> None:
    here = key(seed, position, purpose)
    everywhere = services_noise.gumbel(here, size)
    assert torch.equal(
        everywhere, services_noise.gumbel_at(here, torch.arange(size).unsqueeze(0), size)
    )


def test_known_vector() -> None:
    """Pinned: another generator would change every seeded answer that anyone has kept."""
    drawn = [
        float(services_noise.uniform(key(seed, position, purpose))).hex()
        for seed, position, purpose in (
            (0, 0, Purpose.ACCEPT),
            (42, 7, Purpose.ACCEPT),
            (2**64 - 1, 511, Purpose.RESAMPLE),
        )
    ]
    assert drawn == VECTOR


@pytest.mark.parametrize("bits", [-1, -(1 << 11), 0, (1 << 63) - 1])
def test_extreme_bits_stay_inside_the_open_interval(bits: int) -> None:
    value = services_noise._unit(torch.tensor([bits])).item()
    assert value == noise._unit(bits % 2**64)
    assert 0 < value < 1
