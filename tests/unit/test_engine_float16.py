"""Weights in float16, alone or as a copy: only where nothing is lost, and the same products."""

from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from services.engine.float16 import Float16Linear, copied, halved, has_kernels
from services.engine.linear import COPY_ROWS, PackedLinear, can_pack
from services.engine.model import INDUCTOR, load
from services.engine.weights import halve_linears, pack_linears, weight_bytes
from services.errors import ModelUnsupported
from tests.services import TINY

# That no layer is kept so without them is tested everywhere.
with_kernels = pytest.mark.skipif(not has_kernels(), reason="no AVX2")  # FBGEMM has no others

ROWS = (1, 2, 5, 6, 7, 13, 64)


def a_layer(
    inputs: int = 96, outputs: int = 130, *, factor: float = 0.02, bias: bool = True
) -> torch.nn.Linear:
    """One whose weights were rounded to bfloat16 once, as published ones are."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(inputs, outputs, bias=bias)
    weight = factor * torch.randn(outputs, inputs)
    layer.weight = torch.nn.Parameter(weight.bfloat16().float(), requires_grad=False)
    return layer


@with_kernels
@pytest.mark.parametrize("factor", [0.02, 1e-6, 1e6, 0.0])
@pytest.mark.parametrize("bias", [True, False])
def test_products_are_those_of_float32(factor: float, bias: bool) -> None:
    """Also where a power of two has to be taken out of the weights first."""
    layer = a_layer(factor=factor, bias=bias)
    kept = halved(layer)
    assert kept is not None
    assert kept.weight_bytes == layer.weight.nbytes // 2
    with torch.inference_mode():
        for rows in ROWS:
            x = torch.randn(1, rows, 96)
            # Of sums in two orders: a few units in the last place of their terms' magnitudes.
            bound = 1e-5 * (x.abs() @ layer.weight.abs().T + 1)
            got = kept(x)
            assert got.shape == (1, rows, 130)
            assert bool(((got - layer(x)).abs() <= bound).all())


def test_what_float16_does_not_hold_stays() -> None:
    layer = a_layer()
    layer.weight[3, 5] = 0.1  # of float32, not of bfloat16
    assert halved(layer) is None
    layer = a_layer()
    layer.weight[0, 0], layer.weight[129, 95] = 2.0**20, 2.0**-30
    assert halved(layer) is None
    assert halved(a_layer(factor=1e-38)) is None
    layer = a_layer()
    layer.weight[7, 7] = torch.inf
    assert halved(layer) is None


@with_kernels
def test_only_the_layers_that_it_holds_are_replaced() -> None:
    exact, other, small = a_layer(512, 256, bias=False), torch.nn.Linear(512, 256), a_layer()
    module = torch.nn.Sequential(exact, other, small)
    before = weight_bytes(module)
    assert halve_linears(module) == 1
    assert (module[1], module[2]) == (other, small)
    assert weight_bytes(module) == before - exact.weight.nbytes // 2


@pytest.mark.parametrize("kernels", [pytest.param(True, marks=with_kernels), False])
def test_a_model_of_16_bit_weights_is_read_in_16_bits(
    kernels: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are kernels, and it says so; its logits are those of transformers in float32."""
    monkeypatch.setattr("services.engine.weights.has_kernels", lambda: kernels)
    monkeypatch.setattr("services.engine.weights._AT_LEAST", 1)  # the tiny pair has small layers
    published = AutoModelForCausalLM.from_pretrained(TINY / "expert", dtype=torch.bfloat16)
    published.save_pretrained(tmp_path)
    for file in (TINY / "expert").iterdir():
        if not (tmp_path / file.name).exists():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    reference = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    model = load(tmp_path, device="cpu", dtype="float32")
    whole = load(TINY / "expert", device="cpu", dtype="float32")
    weights = "float16" if kernels else "float32"
    assert (model.facts.dtype, model.facts.weights) == ("float32", weights)
    assert (whole.facts.dtype, whole.facts.weights) == ("float32", "float32")
    assert (model.facts.weight_bytes < whole.facts.weight_bytes) == kernels
    tokens = list(b"def main(argv):\n    return")
    with torch.inference_mode():
        expected = reference(input_ids=torch.tensor([tokens])).logits[0]
    got = model.logits(tokens, len(tokens))
    torch.testing.assert_close(got, expected[:, : got.shape[1]], atol=1e-4, rtol=0)


@with_kernels
@pytest.mark.parametrize("bias", [True, False])
def test_passes_of_few_rows_are_read_from_the_copy(
    bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same products, up to the order of sums, by whichever kernel."""
    given: list[int] = []
    forward = Float16Linear.forward

    def seen(layer: Float16Linear, x: torch.Tensor) -> torch.Tensor:
        given.append(x.numel() // 96)
        return forward(layer, x)

    monkeypatch.setattr(Float16Linear, "forward", seen)
    plain = a_layer(bias=bias)
    layer = PackedLinear(plain, copied(plain))
    with torch.inference_mode():
        for shape in [(1,), (1, 1), (2,), (1, 2), (2, 1), (3,), (1, 7)]:
            x = torch.randn(*shape, 96)
            bound = 1e-5 * (x.abs() @ plain.weight.abs().T + 1)
            got = layer(x)
            assert got.shape == (*shape, 130)
            assert bool(((got - plain(x)).abs() <= bound).all())
    assert given == [1, 1, 2, 2, 2]


@with_kernels
def test_a_copy_is_kept_of_what_float16_holds_alone() -> None:
    exact, other, small = a_layer(512, 256, bias=False), torch.nn.Linear(512, 256), a_layer()
    module = torch.nn.Sequential(exact, other, small)
    once = torch.nn.Sequential(exact, other, small)
    assert pack_linears(once) == pack_linears(module, copies=True) == 2
    assert isinstance(module[0], PackedLinear)
    assert isinstance(module[1], PackedLinear)
    assert module[2] is small
    assert weight_bytes(module) == weight_bytes(once) + exact.weight.nbytes // 2


@pytest.mark.parametrize("kernels", [pytest.param(True, marks=with_kernels), False])
def test_weights_kept_twice(kernels: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the CPU has both kernels, and it says so; else it is refused by name."""
    monkeypatch.setattr("services.engine.weights.has_kernels", lambda: kernels)
    monkeypatch.setattr("services.engine.weights._AT_LEAST", 1)
    timed: list[int] = []
    monkeypatch.setattr(
        "services.engine.weights.choose_rows", lambda layers, dtype, rows=1: timed.append(rows)
    )
    twice = partial(load, TINY / "expert", device="cpu", weights="bfloat16+float16")
    with pytest.raises(ModelUnsupported, match=r"weights bfloat16\+float16 and dtype float32"):
        twice(dtype="float32")
    with pytest.raises(ModelUnsupported, match=r"weights bfloat16\+float16: .* not compiled"):
        twice(backend=INDUCTOR)
    if not (kernels and can_pack(torch.bfloat16)):
        with pytest.raises(ModelUnsupported, match="only on a CPU that multiplies bfloat16"):
            twice()
        return
    model, once = twice(), load(TINY / "expert", device="cpu", dtype="bfloat16")
    assert (model.facts.weights, model.facts.dtype) == ("bfloat16+float16", "bfloat16")
    assert once.facts.weight_bytes < model.facts.weight_bytes <= 2 * once.facts.weight_bytes
    assert timed == [COPY_ROWS + 1, 1], "the fewest rows that the packed weights are given"
    tokens = list(b"def f(x):\n    return x")
    slots = [one.new_slot() for one in (model, once)]
    for fed in (tokens[:8], tokens[8:9], tokens[9:11], tokens[11:]):
        got, expected = (
            one.forward(slot, fed, len(fed)) for one, slot in zip((model, once), slots, strict=True)
        )
        torch.testing.assert_close(got, expected, atol=0.25, rtol=0)
