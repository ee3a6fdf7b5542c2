"""Encoding and chat templates as transformers has them."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Raw
from tokenizers import models
from transformers import PreTrainedTokenizerFast

from router.text import ChatTemplateError, Message, Tokenizer, TokenizerError
from tests.unit.text_samples import END, SAMPLES, dump, raw_trained

QWEN = (Path(__file__).parent / "data" / "qwen_chat_template.jinja").read_text()
SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": END}
TEMPLATES = {
    "qwen": QWEN,
    "special tokens": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ pad_token }}",
    "variables": "{{ tools }}|{{ documents }}|{{ add_generation_prompt }}|{{ messages }}",
    "whitespace": "{% for m in messages %}\n  {% if m.role %}\n {{ m.role }}\n  {% endif %}\n"
    "{% endfor %}\n",
    "json": "{{ messages | tojson }}{{ messages[0] | tojson(indent=2, sort_keys=true) }}"
    "{{ '<é&>' | tojson(ensure_ascii=true) }}{{ [1, 2] | tojson(separators=(',', ':')) }}",
    "loop controls": "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}"
    "{{ m.content }}{% break %}{% endfor %}",
    "generation": "{% set x = 'out' %}{% for m in messages %}{% generation %}\n"
    "{% set x = 'in' %}{{ x }} {{ loop.index }} {{ m.content }}"
    "{%- endgeneration %}{% endfor %}{% generation %}{% set x = 'in' %}{% endgeneration %}{{ x }}",
    "namespace": "{% set ns = namespace(a=1, self=2) %}{% for m in messages %}"
    "{% set ns.a = ns.a + 1 %}{% endfor %}{{ ns.a }}{{ ns.self }}",
    "dict": "{{ dict(a=1) }}{{ dict.fromkeys(['b'], 2) }}{{ dict([('c', 3)], d=4) }}"
    "{{ dict.copy is defined }}",
    "date": "{{ strftime_now('%Y') }}",
    "escapes": "{{ '<b>' }}{{ messages[0].content | trim | upper }}",
}
FAILING = {
    "{{ raise_exception('roles must\n alternate') }}": "roles must alternate",
    "{{ messages[0].content + 1 }}": "can only concatenate str",
    "{{ messages[5].content }}": "has no element 5",
    "{{ messages.append(1) }}": "append",
    "{{ messages.__class__.__mro__ }}": "unsafe|undefined|no attribute",
    "{% set ns = namespace(_a=1) %}": "'_a'",
    "{% set ns = namespace() %}{% set ns.__a = 1 %}": "'__a'",
    "{{ 1 // 0 }}": "zero",
    "{{ 'x' * 3 | int + none }}": "unsupported|NoneType",
    "{{ raise_exception('x' * 5000) }}": "x{200,299}…$",
}
CHAT = [
    Message("system", " Be <terse> & é. "),
    Message("user", "Who is Buzz Aldrin?"),
    Message("assistant", "An astronaut.\n"),
    Message("user", '"Sure"?'),
]


def theirs(chat_template: str | None = None) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=raw_trained(), chat_template=chat_template, **SPECIAL_TOKENS
    )


def ours(chat_template: str | None = None) -> Tokenizer:
    return Tokenizer(dump(raw_trained()), chat_template, SPECIAL_TOKENS)


THEIRS = theirs()


@given(text=st.text() | st.text("ab <>|end/sOΩ日"))
def test_encoding_is_that_of_transformers(text: str) -> None:
    tokenizer = SAMPLES["trained"]
    for special in (True, False):
        expected = THEIRS.encode(text, add_special_tokens=special)
        assert tokenizer.encode(text, special=special) == expected
    assert tokenizer.decode(expected) == THEIRS.decode(expected, skip_special_tokens=True)


def test_special_says_whether_the_begin_token_is_added() -> None:
    tokenizer = SAMPLES["trained"]
    assert tokenizer.encode("a", special=True) == [0, *tokenizer.encode("a", special=False)]
    assert tokenizer.encode(f"<s>a{END}", special=False)[::2] == [0, 1]


def test_bytes_are_their_own_ids() -> None:
    tokenizer = SAMPLES["bytes_only"]
    assert tokenizer.encode(f"aé{END}", special=True) == [*"aé".encode(), 256]
    assert tokenizer.size == 257


def test_settings_of_the_training_do_not_count() -> None:
    raw = raw_trained()
    raw.enable_truncation(2)
    raw.enable_padding(length=50)
    ids = Tokenizer(dump(raw)).encode("Who is he?", special=True)
    assert ids == SAMPLES["trained"].encode("Who is he?", special=True)


def test_ids_may_have_gaps() -> None:
    tokenizer = Tokenizer(dump(Raw(models.BPE({"a": 1, "b": 5}, []))))
    assert tokenizer.size == 6
    assert [i for i in range(-2, 10) if tokenizer.contains(i)] == [1, 5]
    assert not tokenizer.contains(2**40)


def test_tokens_without_text_have_no_string() -> None:
    tokenizer = SAMPLES["bytes_only"]
    assert [tokenizer.token(i) for i in (-1, 65, 256, 257)] == [None, "A", None, None]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[]", b'{"model": {"type": "X"}}'])
def test_what_is_no_tokenizer_is_refused(content: bytes) -> None:
    with pytest.raises(TokenizerError, match=r"^tokenizer.json can't be read: .+$"):
        Tokenizer(content)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("length", range(1, len(CHAT) + 1))
def test_rendering_is_that_of_transformers(name: str, length: int) -> None:
    chat = CHAT[:length]
    messages = [{"role": message.role, "content": message.content} for message in chat]
    expected = theirs(TEMPLATES[name]).apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    tokenizer = ours(TEMPLATES[name])
    rendered = tokenizer.render_chat(chat)
    assert rendered == expected
    assert tokenizer.has_chat_template


def test_a_rendered_chat_is_encoded_as_by_transformers() -> None:
    messages: list[dict[str, Any]] = [{"role": m.role, "content": m.content} for m in CHAT]
    encoded = theirs(QWEN).apply_chat_template(
        messages, add_generation_prompt=True, return_dict=False
    )
    tokenizer = ours(QWEN)
    assert tokenizer.encode(tokenizer.render_chat(CHAT), special=False) == encoded


def test_rendering_reads_as_the_model_expects() -> None:
    assert ours(QWEN).render_chat([Message("user", "Hi")]) == (
        "<|im_start|>system\n"
        "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(("template", "reason"), FAILING.items())
def test_a_template_that_fails_gives_one_line(template: str, reason: str) -> None:
    with pytest.raises(ChatTemplateError, match=reason) as caught:
        ours(template).render_chat(CHAT)
    assert str(caught.value).startswith("chat template failed on the messages: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("template", "start"),
    [
        ("\n\n{% if %}", "chat template, line 3: "),
        ("{{ a | nonsense }}", "chat template, line 1: .*nonsense"),
        ("{% generation %}", "chat template, line 1: "),
        ("{% break %}", "chat template can't be compiled: 'break' outside loop"),
    ],
)
def test_what_is_no_template_is_refused_at_once(template: str, start: str) -> None:
    with pytest.raises(ChatTemplateError, match=f"^{start}.*$") as caught:
        ours(template)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("template", [None, ""])
def test_a_model_may_have_no_template(template: str | None) -> None:
    tokenizer = ours(template)
    assert not tokenizer.has_chat_template
    with pytest.raises(ChatTemplateError, match="no chat template"):
        tokenizer.render_chat(CHAT)


def test_a_chat_has_messages() -> None:
    with pytest.raises(ChatTemplateError, match="at least one message"):
        ours(QWEN).render_chat([])


def test_other_threads_go_on_while_a_long_text_is_encoded() -> None:
    """The event loop among them, which many answers share: an encoder may not hold them all up."""
    tokenizer = Tokenizer(dump(raw_trained()))
    text, took, moments = 1000 * "def f(x): return x + 1\n", 0.0, [0.0]
    while took < 0.3:
        text *= 2
        moments = [began := time.perf_counter()]
        with ThreadPoolExecutor(1) as pool:
            encoding = pool.submit(tokenizer.encode, text, special=False)
            while not encoding.done():
                moments.append(time.perf_counter())
        took = moments[-1] - began
    assert max(b - a for a, b in pairwise(moments)) < took / 2
