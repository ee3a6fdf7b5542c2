"""Layers of one input as one product: the same outputs, whoever asks first, and nothing kept."""

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from services.engine.joint import JointLinear, JointLinears, join_linears
from services.engine.quantized import QuantizedLinear
from services.engine.weights import Weights, lay_out, weight_bytes
from tests.services import TINY

SIZES = (48, 16, 32)


def the_layers(*biased: bool) -> list[nn.Linear]:
    torch.manual_seed(0)
    return [nn.Linear(64, size, bias=bias) for size, bias in zip(SIZES, biased, strict=True)]


class Attention(nn.Module):
    """As transformers' have them."""

    def __init__(self, q: nn.Module, k: nn.Module, v: nn.Module) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = q, k, v


@pytest.mark.parametrize("biased", [(False, False, False), (True, True, True), (True, False, True)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 1, 0)])
def test_each_layer_gives_what_it_gave(biased: tuple[bool, ...], order: tuple[int, ...]) -> None:
    layers = the_layers(*biased)
    joint = JointLinears(layers)
    with torch.inference_mode():
        for x in (torch.randn(3, 64), torch.randn(1, 5, 64)):
            for number in order:
                torch.testing.assert_close(joint.output(number, x), layers[number](x))


def test_inputs_that_take_turns_are_told_apart() -> None:
    layers = the_layers(False, False, False)
    joint = JointLinears(layers)
    with torch.inference_mode():
        one, other = torch.randn(2, 64), torch.randn(2, 64)
        for number in range(3):
            for x in (one, other):
                torch.testing.assert_close(joint.output(number, x), layers[number](x))


def test_siblings_take_one_product_and_keep_nothing_of_it() -> None:
    joint = JointLinears(the_layers(True, True, True))
    products = 0

    def count(module: nn.Module, args: object, output: object) -> None:
        nonlocal products
        products += 1

    joint.linear.register_forward_hook(count)
    with torch.inference_mode():
        x = torch.randn(2, 64)
        for number in range(3):
            joint.output(number, x)
    assert products == 1
    assert (joint._input, joint._outputs) == (None, ())


def test_only_linear_layers_of_one_width_are_joined() -> None:
    q, k, v = the_layers(False, False, False)
    for attention in (
        Attention(q, k, nn.Linear(32, 16)),
        Attention(q, k, nn.Identity()),
        nn.ModuleDict({"q_proj": q, "k_proj": k}),
    ):
        assert join_linears(nn.Sequential(attention)) == 0
    attention = Attention(q, k, v)
    assert join_linears(nn.Sequential(attention)) == 1
    assert isinstance(attention.v_proj, JointLinear)
    assert join_linears(attention) == 0  # there is nothing left to join


def test_a_model_gives_the_same_logits() -> None:
    plain = AutoModelForCausalLM.from_pretrained(TINY / "expert", dtype=torch.float32)
    joined = AutoModelForCausalLM.from_pretrained(TINY / "expert", dtype=torch.float32)
    assert join_linears(joined) == 2 * plain.config.num_hidden_layers
    assert weight_bytes(joined) == weight_bytes(plain)
    ids = torch.tensor([list(b"def main(")])
    with torch.inference_mode():
        torch.testing.assert_close(joined(ids).logits, plain(ids).logits)


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_a_joint_matrix_is_quantised_as_any_other(weights: Weights) -> None:
    layers = the_layers(True, True, True)
    apart = nn.Sequential(*[nn.Sequential(layer) for layer in layers])
    attention = Attention(*layers)
    for module in (apart, attention):
        lay_out(module, weights, torch.float32, torch.device("cpu"))
    assert isinstance(attention.q_proj.joint.linear, QuantizedLinear)
    assert weight_bytes(attention) == weight_bytes(apart)
    with torch.inference_mode():
        x = torch.randn(2, 64)
        for layer, alone in zip(attention.children(), apart, strict=True):
            torch.testing.assert_close(layer(x), alone(x))
