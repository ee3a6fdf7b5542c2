"""Weights in int8 and int4: what they stand for, and that both paths compute it."""

from importlib.util import find_spec

import pytest
import torch

from services.engine.linear import can_pack
from services.engine.model import INDUCTOR, load
from services.engine.quantized import FEW_ROWS, GROUP, Quantized, QuantizedLinear, can_quantize
from services.engine.weights import quantize_with_torchao, weight_bytes
from services.errors import ModelUnsupported
from tests.services import TINY

BITS = {"int8": 8, "int4": 4}


def a_layer(dtype: torch.dtype) -> torch.nn.Linear:
    torch.manual_seed(0)
    return torch.nn.Linear(8 * GROUP, 320).to(dtype)


@pytest.mark.parametrize("weights", ["int8", "int4"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_few_rows_and_many_compute_the_same(weights: Quantized, dtype: torch.dtype) -> None:
    if not can_pack(dtype):
        pytest.skip(f"this CPU packs no {dtype}")
    layer = a_layer(dtype)
    with torch.inference_mode():
        quantized = QuantizedLinear(layer, weights)
        x = torch.randn(FEW_ROWS + 1, 8 * GROUP).to(dtype)
        many = quantized(x)
        few = torch.cat([quantized(x[:1]), quantized(x[1:])])
        assert few.dtype == many.dtype == dtype
        tolerance = 0.05  # of bfloat16
        torch.testing.assert_close(few, many, atol=tolerance, rtol=0)
        if dtype == torch.float32:  # both round alike: only the order of sums parts them
            assert (few != many).float().mean() < 0.02
        # Half a step of the rounding, on each of the inputs.
        exact = layer(x).float()
        step = 2 * layer.weight.abs().max().float() / (2 ** BITS[weights] - 1)
        bound = step / 2 * x.float().abs().sum(-1, keepdim=True) + tolerance
        assert bool(((many.float() - exact).abs() <= bound).all())
        assert bool((many.float() - exact).abs().mean() > 0)


def test_both_copies_are_counted() -> None:
    layer = a_layer(torch.float32)
    count = layer.weight.numel()
    assert QuantizedLinear(layer, "int8").weight_bytes == count * (1 + 4) + 320 * 2
    assert (
        QuantizedLinear(layer, "int4").weight_bytes == count // 2 + count * 4 + count // GROUP * 4
    )


def test_shapes_that_the_kernels_do_not_take_are_left() -> None:
    assert not can_quantize(torch.nn.Linear(GROUP + 1, 16))
    assert not can_quantize(torch.nn.Linear(GROUP, 17))
    with pytest.raises(ValueError, match="33 inputs and 16 outputs"):
        QuantizedLinear(torch.nn.Linear(33, 16), "int4")


def test_a_model_says_what_its_weights_are_kept_in() -> None:
    plain = load(TINY / "expert", device="cpu", dtype="float32")
    int4 = load(TINY / "expert", device="cpu", dtype="float32", weights="int4")
    assert (plain.facts.weights, int4.facts.weights) == ("float32", "int4")
    assert int4.facts.weight_bytes > plain.facts.weight_bytes
    tokens = list(b"def main(")
    one, other = plain.logits(tokens, 1)[0], int4.logits(tokens, 1)[0]
    difference = (one.softmax(-1) - other.softmax(-1)).abs().sum() / 2
    assert 0 < difference < 0.3
    step = int4.new_slot()
    for token in tokens:
        logits = int4.forward(step, [token], 1)[0]
    # A layer's output that is rounded the other way is a step of bfloat16, here and further on.
    torch.testing.assert_close(logits, other, atol=0.07, rtol=0)


def test_bfloat16_weights_exclude_float32() -> None:
    with pytest.raises(ModelUnsupported, match="exclude each other"):
        load(TINY / "expert", device="cpu", dtype="float32", weights="bfloat16")


def test_quantised_weights_of_a_compiled_model_are_refused_on_the_cpu() -> None:
    refused: tuple[Quantized, ...] = ("int8", "int4")
    for weights in refused:
        with pytest.raises(ModelUnsupported, match=f"weights {weights}: on the CPU not of a comp"):
            load(TINY / "expert", device="cpu", weights=weights, backend=INDUCTOR)


def test_without_torchao_a_device_is_refused() -> None:
    if find_spec("torchao") is not None:
        pytest.skip("torchao is installed")
    for weights in ("int8", "int4"):
        with pytest.raises(ModelUnsupported, match=f"weights {weights} on CUDA take torchao"):
            quantize_with_torchao(torch.nn.Sequential(a_layer(torch.bfloat16)), weights)


def test_torchao_rounds_where_its_kernels_are() -> None:
    """What CUDA is given, as far as a CPU runs it: int8."""
    pytest.importorskip("torchao")
    layer = a_layer(torch.bfloat16)
    x = torch.randn(3, 8 * GROUP).to(torch.bfloat16)
    with torch.inference_mode():
        exact = layer(x)
    module = torch.nn.Sequential(layer)
    before = weight_bytes(module)
    quantize_with_torchao(module, "int8")
    assert weight_bytes(module) < 0.6 * before
    with torch.inference_mode():
        torch.testing.assert_close(module(x), exact, atol=0.1, rtol=0)
    with pytest.raises(ModelUnsupported, match="weights int4 on CUDA take torchao"):
        quantize_with_torchao(torch.nn.Sequential(a_layer(torch.bfloat16)), "int4")
