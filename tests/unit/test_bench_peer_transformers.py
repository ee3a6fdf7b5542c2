"""transformers' side of the comparison, on the tiny pair."""

from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from bench.answer import Answer
from bench.pair import Pair
from bench.peers.transformers import Assistance, Peers

TINY = Path(__file__).parents[1] / "tiny"
PROMPT = list(b"def add(a, b):\n    return a")


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Peers:
    """The tiny pair, the drafter's output layer padded to the expert's, as transformers asks."""
    folder = tmp_path_factory.mktemp("padded")
    drafter = AutoModelForCausalLM.from_pretrained(TINY / "drafter")
    drafter.resize_token_embeddings(Pair(TINY / "drafter", TINY / "expert", "").output_sizes[1])
    drafter.save_pretrained(folder)
    return Peers(Pair(folder, TINY / "expert", "float32"))


@pytest.fixture(scope="module")
def alone(peers: Peers) -> Answer:
    return peers.answer(Assistance.NONE, PROMPT, 24)


def test_alone_every_token_comes_by_itself(alone: Answer) -> None:
    assert len(alone.emitted) == alone.groups
    assert 0 < alone.first_s < alone.total_s


@pytest.mark.parametrize("assistance", [Assistance.AS_IT_COMES, Assistance.CONSTANT])
def test_assisted_gives_the_same_answer_in_fewer_pieces(
    peers: Peers, alone: Answer, assistance: Assistance
) -> None:
    assisted = peers.answer(assistance, PROMPT, 24)
    assert assisted.emitted == alone.emitted
    assert assisted.groups < alone.groups


def test_sampling_keeps_to_its_seed(peers: Peers, alone: Answer) -> None:
    def sampled(seed: int) -> Answer:
        return peers.answer(Assistance.NONE, PROMPT, 24, temperature=1.0, seed=seed)

    assert sampled(1).emitted == sampled(1).emitted
    assert len({sampled(1).emitted, sampled(2).emitted, alone.emitted}) == 3


def test_a_constant_block_of_5_is_drafted_in_each_round(
    peers: Peers, alone: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafted: list[int] = []
    forward = peers._drafter.forward

    def counting(*args: object, **kwargs: object) -> object:
        drafted.append(1)
        return forward(*args, **kwargs)

    monkeypatch.setattr(peers._drafter, "forward", counting)
    assisted = peers.answer(Assistance.CONSTANT, PROMPT, 24)
    assert 5 * (assisted.groups - 1) <= len(drafted) <= 5 * assisted.groups
