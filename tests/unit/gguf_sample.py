"""A GGUF file of a very small model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, TokenType, quants
from tokenizers.pre_tokenizers import ByteLevel

HIDDEN, INNER, HEADS, PADDING = 64, 96, 2, 6


def write_gguf(path: Path) -> None:
    """A Qwen2 of one layer with quantised weights, a byte vocabulary, and padding entries."""
    tokens = [*sorted(ByteLevel.alphabet()), "he", "<|im_end|>", "<|endoftext|>"]
    types = [TokenType.NORMAL] * 257 + [TokenType.CONTROL] * 2
    tokens += [f"[PAD{len(tokens) + n}]" for n in range(PADDING)]
    types += [TokenType.UNUSED] * PADDING
    writer = GGUFWriter(path, "qwen2")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(["h e"])
    writer.add_eos_token_id(257)
    writer.add_bos_token_id(258)
    writer.add_pad_token_id(258)
    writer.add_chat_template("{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}")
    random = np.random.default_rng(1)
    half = HIDDEN // HEADS
    matrices = {
        "token_embd": (len(tokens), HIDDEN, GGMLQuantizationType.Q5_0),
        "output": (len(tokens), HIDDEN, GGMLQuantizationType.Q8_0),
        "blk.0.attn_q": (HIDDEN, HIDDEN, GGMLQuantizationType.Q5_0),
        "blk.0.attn_k": (half, HIDDEN, GGMLQuantizationType.Q8_0),
        "blk.0.attn_v": (half, HIDDEN, GGMLQuantizationType.Q8_0),
        "blk.0.attn_output": (HIDDEN, HIDDEN, GGMLQuantizationType.Q5_0),
        "blk.0.ffn_gate": (INNER, HIDDEN, GGMLQuantizationType.Q5_0),
        "blk.0.ffn_up": (INNER, HIDDEN, GGMLQuantizationType.Q5_0),
        "blk.0.ffn_down": (HIDDEN, INNER, GGMLQuantizationType.Q8_0),
    }
    for name, (rows, columns, kind) in matrices.items():
        weights = random.standard_normal((rows, columns), dtype=np.float32)
        writer.add_tensor(f"{name}.weight", quants.quantize(weights, kind), raw_dtype=kind)
    for name, length in {"attn_q": HIDDEN, "attn_k": half, "attn_v": half}.items():
        bias = random.standard_normal(length, dtype=np.float32)
        writer.add_tensor(f"blk.0.{name}.bias", bias)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", random.standard_normal(HIDDEN, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
