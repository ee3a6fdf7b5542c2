"""Loading: what is read, what is packed, what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    DiffLlamaConfig,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
)

from services.engine import linear, memory
from services.engine.batch import Part
from services.engine.fingerprint import tokenizer_fingerprint, weights_fingerprint
from services.engine.linear import FILLED_ROWS, PackedLinear, can_pack, choose_rows
from services.engine.model import INDUCTOR, Model, choose_dtype, load
from services.engine.pages import PAGE
from services.engine.support import check_attention, check_supported
from services.engine.weights import pack_linears
from services.errors import ModelUnsupported
from tests.services import TINY


def copy_of(tmp_path: Path, **config: Any) -> Path:
    """The tiny drafter with other configuration values."""
    folder = tmp_path / "model"
    shutil.copytree(TINY / "drafter", folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return folder


def llama(**more: Any) -> LlamaConfig:
    """A Llama's configuration with values that other models have."""
    return LlamaConfig(**more)


ROPE = {
    "rope_theta": 1e4,
    "factor": 2.0,
    "original_max_position_embeddings": 64,
    "short_factor": [1.0] * 64,
    "long_factor": [2.0] * 64,
}
"""All that any kind of rotary embedding asks for."""


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (MistralConfig(sliding_window=4096), "sliding"),
        (
            llama(layer_types=["full_attention", "sliding_attention"] * 16),
            "sliding_attention",
        ),
        (PretrainedConfig(is_encoder_decoder=True), "encoder-decoder"),
        (llama(attention_chunk_size=8192), "attention_chunk_size"),
        (PretrainedConfig(), "no attention layers"),
        (llama(rope_parameters=ROPE | {"rope_type": "longrope"}), "longrope"),
        (llama(rope_parameters=ROPE | {"rope_type": "dynamic"}), "dynamic"),
    ],
)
def test_what_cannot_be_rolled_back_is_refused(config: PretrainedConfig, text: str) -> None:
    with pytest.raises(ModelUnsupported, match=text):
        check_supported(config)


def test_full_attention_is_taken() -> None:
    check_supported(LlamaConfig())
    check_supported(llama(rope_parameters=ROPE | {"rope_type": "linear"}))
    check_supported(MistralConfig(sliding_window=None))


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        ("config.json", "no config.json"),
        ("tokenizer.json", "no tokenizer.json"),
        ("model.safetensors", r"no \*.safetensors"),
    ],
)
def test_an_incomplete_folder_is_refused(tmp_path: Path, missing: str, text: str) -> None:
    folder = copy_of(tmp_path)
    (folder / missing).unlink()
    with pytest.raises(ModelUnsupported, match=text):
        load(folder, device="cpu")


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    folder = copy_of(tmp_path)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["beyond"] = 5000
    path.write_text(json.dumps(content))
    with pytest.raises(ModelUnsupported, match="5001 entries, the model only 264"):
        load(folder, device="cpu")


def test_a_layer_that_computes_attention_twice_is_refused() -> None:
    """Its second keys and values would take the place of the first."""
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "num_hidden_layers": 2}
    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "vocab_size": 8, **heads}
    twice = AutoModelForCausalLM.from_config(DiffLlamaConfig(**sizes))
    with pytest.raises(ModelUnsupported, match="diffllama: layer 0 computes attention 2 times"):
        check_attention(twice)
    once = AutoModelForCausalLM.from_config(LlamaConfig(**sizes))
    before = once.config._attn_implementation
    check_attention(once)
    assert once.config._attn_implementation == before


def test_cuda_without_a_device_is_refused() -> None:
    if torch.cuda.is_available():
        assert load(TINY / "drafter", device="cuda").facts.device == "cuda"
    else:
        with pytest.raises(ModelUnsupported, match="no usable CUDA device"):
            load(TINY / "drafter", device="cuda")


def test_the_engine_computes_what_transformers_computes() -> None:
    tokens = list(b"def f(x):")
    for dtype, tolerance in (("float32", 1e-4), ("bfloat16", 0.25)):
        model = load(TINY / "expert", device="cpu", dtype=dtype)
        assert model.facts.dtype == dtype
        reference = AutoModelForCausalLM.from_pretrained(TINY / "expert", dtype=torch.float32)
        with torch.inference_mode():
            expected = reference(torch.tensor([tokens])).logits[0, :, :257]
        actual = model.logits(tokens, len(tokens))
        torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


def test_packing_changes_the_layout_and_not_the_product() -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(300, 400), torch.nn.Sequential(torch.nn.Linear(400, 300, bias=False))
    )
    x = torch.randn(2, 5, 300)
    with torch.inference_mode():
        expected = module(x)
        assert pack_linears(module) == 2
        assert isinstance(module[0], PackedLinear)
        torch.testing.assert_close(module(x), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("given", [(1,), (2,), (1, 4), (1, 2, 3), (FILLED_ROWS,), (7,)])
def test_filling_up_rows_changes_no_product(given: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    plain = torch.nn.Linear(300, 400)
    layer = PackedLinear(plain)
    layer.least_rows = FILLED_ROWS
    x = torch.randn(*given, 300)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), plain(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(
    ("few_s", "filled_s", "chosen"), [(1.0, 0.8, FILLED_ROWS), (1.0, 0.97, 1), (0.8, 1.0, 1)]
)
def test_rows_are_filled_up_where_that_is_faster(
    few_s: float, filled_s: float, chosen: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 0.0

    def product(layer: PackedLinear, x: torch.Tensor) -> torch.Tensor:
        nonlocal clock
        given = x.numel() // layer.in_features
        assert given in (rows, FILLED_ROWS)
        clock += few_s if given == rows else filled_s
        return x

    layers = [PackedLinear(torch.nn.Linear(size, 400)) for size in (300, 200)]
    assert choose_rows(layers, torch.float32) == 1, "what fits the caches is not timed"
    monkeypatch.setattr(linear, "_CACHES", 0)
    monkeypatch.setattr("services.engine.linear.time.perf_counter", lambda: clock)
    monkeypatch.setattr(PackedLinear, "_product", product)
    assert choose_rows(layers, torch.float32, rows) == chosen
    assert [layer.least_rows for layer in layers] == [chosen] * 2


def test_auto_dtype_is_bfloat16_only_where_it_is_native() -> None:
    cpu = torch.device("cpu")
    native = can_pack(torch.bfloat16)
    assert choose_dtype("auto", cpu) == (torch.bfloat16 if native else torch.float32)
    assert choose_dtype("auto", torch.device("cuda")) == torch.bfloat16
    assert choose_dtype("float32", torch.device("cuda")) == torch.float32


def test_the_tokenizer_is_compared_whole() -> None:
    content = json.loads((TINY / "drafter" / "tokenizer.json").read_text())
    same = tokenizer_fingerprint(json.dumps(content, indent=3).encode())
    padded = content | {"padding": {"pad_id": 1}, "truncation": None}
    assert tokenizer_fingerprint(json.dumps(padded).encode()) == same
    vocab = dict(content["model"]["vocab"])
    first, second, *_ = vocab
    vocab[first], vocab[second] = vocab[second], vocab[first]
    swapped = content | {"model": content["model"] | {"vocab": vocab}}
    assert tokenizer_fingerprint(json.dumps(swapped).encode()) != same


def test_the_weights_are_fingerprinted_whole(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(TINY / "drafter", folder)
    same = weights_fingerprint(TINY / "drafter")
    assert weights_fingerprint(folder) == same
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert weights_fingerprint(folder) != same


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # inductor's own
@pytest.mark.parametrize("backend", ["aot_eager", INDUCTOR])
def test_a_compiled_model_computes_the_same(backend: str) -> None:
    """Once without the compiler's last stage, which needs one for C++."""
    if backend == INDUCTOR and shutil.which("g++") is None:
        pytest.skip("inductor needs g++")
    plain = load(TINY / "expert", device="cpu", dtype="float32")
    compiled = load(TINY / "expert", device="cpu", dtype="float32", backend=backend)
    slots = [(plain.new_slot(), compiled.new_slot()) for _ in range(3)]
    for pair in slots:
        for model, slot in zip((plain, compiled), pair, strict=True):
            model.forward(slot, list(b"abcdefg"), 1)
    for count, rows in ((1, 1), (2, 1), (2, 2)):
        results = []
        for model, mine in zip((plain, compiled), zip(*slots, strict=True), strict=True):
            for slot in mine:
                assert slot.reserve(count)
            results.append(
                model.run([Part(s, [70 + i, 71][:count], rows) for i, s in enumerate(mine)])
            )
        torch.testing.assert_close(results[1], results[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("pads", [False, True])
def test_sessions_that_share_calls_compute_the_same(pads: bool) -> None:
    """As on a device: gathered pages, padded to the longest session, and not in their order.

    What has become of another session's numbers is nothing to them.
    """
    alone, together = (load(TINY / "expert", device="cpu", dtype="float32") for _ in range(2))
    together.together, together._pads = True, pads
    for layer in (*together.cache.keys, *together.cache.values):
        layer.zero_()
    lengths = [3, 20, 17, 22, 41, 90, 60, 18]
    results = []
    for model in (alone, together):
        sick = model.new_slot()
        model.forward(sick, [1, 2, 3], 1)
        assert sick.pages == [0]
        for layer in (*model.cache.keys, *model.cache.values):
            layer[:PAGE] = torch.nan
        slots = [model.new_slot() for _ in lengths]
        for i, (slot, length) in enumerate(zip(slots, lengths, strict=True)):
            model.forward(slot, [(7 * i + j) % 256 for j in range(length)], 1)
        for count in (1, 4, 1):
            for slot in slots:
                assert slot.reserve(count + 1)
            parts = [Part(s, [65 + i] * (count + i % 2), 1 + i % 2) for i, s in enumerate(slots)]
            assert model is alone or model.packed(parts).order is not None
            results.append(model.run(parts))
    for one, other in zip(results[:3], results[3:], strict=True):
        torch.testing.assert_close(other, one, atol=1e-4, rtol=0)


def test_a_model_whose_passes_fail_is_refused_as_it_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A device without the kernel, or the memory, for it: not each session is to find that out."""

    def no_kernel(model: Model, packed: object) -> torch.Tensor:
        raise RuntimeError("no kernel image is available\nfor this device")

    monkeypatch.setattr(Model, "compute", no_kernel)
    with pytest.raises(ModelUnsupported, match=r"a pass fails: .*no kernel image is available$"):
        load(TINY / "drafter", device="cpu", dtype="float32")


def test_a_share_of_what_is_free_is_the_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_free", lambda device: 8 << 20)
    found = {
        share: load(TINY / "drafter", device="cpu", dtype="float32", cache_share=share).facts
        for share in (None, 0.25, 0.5)
    }
    assert found[None].cache_bytes == found[0.25].cache_bytes > 0
    assert found[0.5].cache_bytes == pytest.approx(4 << 20, rel=0.02)
