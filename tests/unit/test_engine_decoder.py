"""The decoder computes what the model's own forward does, and takes on no model that has more."""

import copy
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)
from transformers.models.granite import GraniteConfig

from services.engine import attention
from services.engine.batch import Part
from services.engine.cache import KeyValueCache
from services.engine.decoder import Decoder, can_decode, join_projections
from services.engine.linear import COPY_ROWS, FILLED_ROWS, PackedLinear, can_pack
from services.engine.model import Model, load
from services.engine.weights import Weights, pack_linears, weight_bytes
from tests.services import TINY

SIZES: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
CONFIGS = {
    "llama": LlamaConfig(**SIZES),
    "llama with biases": LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True),
    "heads of another size": LlamaConfig(**SIZES, head_dim=32),
    "mistral": MistralConfig(**SIZES, sliding_window=None),
    "qwen2": Qwen2Config(**SIZES),
}


def a_module(config: PretrainedConfig, dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    module = AutoModelForCausalLM.from_config(config, attn_implementation=attention.NAME)
    for parameter in module.parameters():  # norms and biases, too, that are constant at first
        torch.nn.init.normal_(parameter, std=0.1)
    return module.to(dtype).eval()


def both(module: Any, *, packed: bool = False, gates: bool = False) -> tuple[Model, Model]:
    """A model that goes through its own forward, and one of the same weights by the decoder."""
    facts = load(TINY / "drafter", device="cpu", dtype="float32").facts
    cpu = torch.device("cpu")
    joined = copy.deepcopy(module)
    join_projections(joined, gates=gates)
    models = []
    for one in (module, joined):
        assert not packed or pack_linears(one) > 0
        size = module.model.layers[0].self_attn.head_dim
        cache = KeyValueCache(2, 2, size, 40, module.dtype, cpu)
        models.append(Model(one, facts, cache, cpu, decodes=one is joined))
    return models[0], models[1]


def logits(model: Model) -> list[torch.Tensor]:
    """Of prompts, then of several sessions at once, each with another block."""
    slots = [model.new_slot() for _ in range(3)]
    found = [
        model.forward(slot, [(5 * i + j) % 250 for j in range(20 + 9 * i)], 2)
        for i, slot in enumerate(slots)
    ]
    for counts in ((1,), (1, 1, 1), (4, 1, 6), (9, 2, 1)):
        parts = []
        for slot, count in zip(slots, counts, strict=False):
            assert slot.reserve(count)
            parts.append(Part(slot, range(3, 3 + count), count))
        found.append(model.run(parts))
    return found


@pytest.mark.parametrize("gates", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", CONFIGS)
def test_the_decoder_computes_what_the_model_does(kind: str, packed: bool, gates: bool) -> None:
    own, decoded = both(a_module(CONFIGS[kind]), packed=packed, gates=gates)
    for actual, expected in zip(logits(decoded), logits(own), strict=True):
        torch.testing.assert_close(actual, expected, atol=2e-4, rtol=0)


def test_rows_are_filled_up_once_for_all_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    own, decoded = both(a_module(LlamaConfig(**SIZES)), packed=True)
    expected = logits(own)
    given: list[int] = []
    plus = PackedLinear.plus

    def noted(layer: PackedLinear, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        given.append(len(x))
        return plus(layer, x, other)

    monkeypatch.setattr(PackedLinear, "plus", noted)
    module: Any = decoded._forward
    for layer in module.model.modules():
        if isinstance(layer, PackedLinear):
            layer.least_rows = FILLED_ROWS
    for actual, wanted in zip(logits(decoded), expected, strict=True):
        torch.testing.assert_close(actual, wanted, atol=2e-4, rtol=0)
    # Two products of each layer, for passes of 20, 29, 38, 1, 3, 11 and 12 tokens; of the prompts
    # the last one has two rows, whose logits are wanted.
    prompts = [rows for n in (20, 29, 38) for rows in (n, n, 6, 6)]
    assert given == [*prompts, *[6] * 8, *[11] * 4, *[12] * 4]
    slot = decoded.new_slot()
    assert slot.reserve(3)
    packed = decoded.packed([Part(slot, (3, 4, 5), 1)])
    assert decoded.compute(packed).shape == (1, 1, SIZES["vocab_size"])


def test_in_bfloat16_the_decoder_is_as_near_to_float32() -> None:
    exact = logits(both(a_module(Qwen2Config(**SIZES)))[0])
    module = a_module(Qwen2Config(**SIZES), torch.bfloat16)
    errors = [
        sum(float((a - b).pow(2).sum()) for a, b in zip(logits(model), exact, strict=True))
        for model in both(module, packed=can_pack(torch.bfloat16))
    ]
    assert errors[1] < 1.1 * errors[0]


@pytest.mark.parametrize(
    ("config", "whether"),
    [
        *((config, True) for config in CONFIGS.values()),
        (LlamaConfig(**SIZES, hidden_act="gelu"), False),
        (Qwen3Config(**SIZES, head_dim=64), False),
        (GraniteConfig(**SIZES, residual_multiplier=0.5), False),
    ],
)
def test_only_models_of_the_common_kind_are_decoded(
    config: PretrainedConfig, whether: bool
) -> None:
    assert can_decode(a_module(config)) is whether


@pytest.mark.parametrize("part", ["", "self_attn", "mlp"])
def test_a_layer_with_more_parts_is_not_decoded(part: str) -> None:
    module = a_module(LlamaConfig(**SIZES))
    module.model.layers[1].get_submodule(part).more = torch.nn.LayerNorm(64)
    assert not can_decode(module)


@pytest.mark.parametrize(
    "name",
    ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj"],
)
def test_projections_that_are_not_alike_are_not_joined(name: str) -> None:
    module = a_module(LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True))
    assert can_decode(module)
    layer = module.model.layers[1]
    projection: Any = layer.get_submodule(name)
    projection.bias = None
    assert not can_decode(module)

    class Quantized(torch.nn.Linear):
        """As transformers' are: linear layers, and more."""

    layer.set_submodule(name, Quantized(projection.in_features, projection.out_features))
    assert not can_decode(module)


def test_joined_projections_replace_those_that_they_are_made_of() -> None:
    module = a_module(CONFIGS["qwen2"])
    before = weight_bytes(module)
    join_projections(module, gates=True)
    assert weight_bytes(module) == before
    layer = module.model.layers[0]
    assert {name for name, _ in layer.self_attn.named_children()} == {"qkv_proj", "o_proj"}
    assert {name for name, _ in layer.mlp.named_children()} == {
        "gate_up_proj",
        "down_proj",
        "act_fn",
    }


@pytest.mark.parametrize(("weights", "gates"), [("auto", False), ("int8", True), ("int4", True)])
def test_gates_are_joined_where_no_kernel_does_more_than_their_product(
    weights: Weights, gates: bool
) -> None:
    model = load(TINY / "drafter", device="cpu", weights=weights)
    module: Any = model._forward
    assert all(hasattr(layer.mlp, "gate_up_proj") is gates for layer in module.model.layers)


def test_a_layer_without_a_copy_does_not_fill_up_the_others_rows() -> None:
    module = a_module(LlamaConfig(**SIZES))
    join_projections(module, gates=False)
    pack_linears(module)
    packed: list[Any] = [part for part in module.modules() if isinstance(part, PackedLinear)]
    for layer in packed:
        layer.least_rows, layer._few = FILLED_ROWS, torch.nn.Identity()
    module.model.layers[1].self_attn.qkv_proj._few = None
    decoder = Decoder(module)
    assert decoder._rows_for(1) == 1
    assert decoder._rows_for(COPY_ROWS + 1) == FILLED_ROWS


def test_what_is_compiled_or_of_another_kind_is_not_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = load(TINY / "expert", device="cpu", dtype="float32", backend="aot_eager")
    assert model._decoder is None
    plain = load(TINY / "expert", device="cpu", dtype="float32")
    assert isinstance(plain._decoder, Decoder)
    monkeypatch.setattr("services.engine.model.can_decode", lambda module: False)
    other = load(TINY / "expert", device="cpu", dtype="float32")
    assert other._decoder is None
    tokens = list(range(3, 40))
    torch.testing.assert_close(other.logits(tokens, 3), plain.logits(tokens, 3), atol=1e-4, rtol=0)
