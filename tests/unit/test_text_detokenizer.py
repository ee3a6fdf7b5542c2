"""Incremental detokenisation equals decoding at once, and waits for no longer than it must."""

import codecs
from collections.abc import Sequence
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders

from router.text import Tokenizer, TokenizerError
from router.text.byte_level import token_bytes
from router.text.detokenizer import detokenizer
from tests.unit.text_samples import (
    CROSSING,
    END,
    GEMMA,
    LLAMA,
    PIECES,
    SAMPLES,
    crossing,
    piece,
    pieces,
)

HARD_BYTES = bytes.fromhex(
    "0a 20 41 80 8f 90 9f a0 bf bd c0 c1 c3 e0 e2 96 81 e3 ed ef f0 f4 f5 ff"
)
"""Where UTF-8 has its borders, a space, a line's end, a letter, and the bytes of ▁ and U+FFFD."""
LONGEST_WAIT = 7
"""Tokens: four that share a character, the last of which begins another, and two more of that."""


def is_hard(token: str | None) -> bool:
    """Whether a token is one of the hard bytes, or of those in which characters cross."""
    if token is None:
        return False
    by_fallback = token in {f"<0x{byte:02X}>" for byte in HARD_BYTES}
    return by_fallback or token_bytes(token) in {bytes([byte]) for byte in HARD_BYTES} | {*CROSSING}


HARD_TOKENS = {
    name: [i for i in range(tokenizer.size) if is_hard(tokenizer.token(i))]
    for name, tokenizer in SAMPLES.items()
}


def answers(name: str) -> st.SearchStrategy[list[int]]:
    """Token ids: many parts of characters, many long ones, some special or unknown."""
    last = SAMPLES[name].size + 2
    hard = st.sampled_from(HARD_TOKENS[name])
    return st.lists(hard | st.integers(256, last) | st.integers(0, last), max_size=20)


def stream(tokenizer: Tokenizer, ids: Sequence[int]) -> list[list[str]]:
    """What each push returns, and at last finish."""
    stream = detokenizer(tokenizer)
    return [*(stream.push(token_id) for token_id in ids), stream.finish()]


@pytest.mark.parametrize("name", SAMPLES)
@given(data=st.data())
def test_all_texts_are_the_decoded_answer(name: str, data: st.DataObject) -> None:
    tokenizer, ids = SAMPLES[name], data.draw(answers(name))
    texts = list(chain(*stream(tokenizer, ids)))
    assert len(texts) == len(ids)
    assert "".join(texts) == tokenizer.decode(ids)


@given(text=st.text())
def test_text_comes_back(text: str) -> None:
    for name in ("bytes_only", "trained"):
        ids = SAMPLES[name].encode(text.replace(END, ""), special=False)
        assert "".join(chain(*stream(SAMPLES[name], ids))) == text.replace(END, "")


@given(ids=st.lists(st.sampled_from(HARD_BYTES), max_size=20))
def test_each_byte_brings_all_that_is_certain(ids: list[int]) -> None:
    reference = codecs.getincrementaldecoder("utf-8")("replace")
    for token_id, texts in zip(ids, stream(SAMPLES["bytes_only"], ids), strict=False):
        assert "".join(texts) == reference.decode(bytes([token_id]))


@given(data=st.data())
def test_few_tokens_wait(data: st.DataObject) -> None:
    tokenizer = SAMPLES["crossing"]
    ids = [i for i in data.draw(answers("crossing")) if tokenizer.token(i) is not None]
    waiting = 0
    for texts in stream(tokenizer, ids)[:-1]:
        waiting += 1 - len(texts)
        assert waiting <= LONGEST_WAIT


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("あ", [[], [], ["", "", "あ"], []]),
        ("aé", [["a"], [], ["", "é"], []]),
    ],
)
def test_a_character_is_the_text_of_its_last_byte(answer: str, expected: list[list[str]]) -> None:
    assert stream(SAMPLES["bytes_only"], list(answer.encode())) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"\x80A", [["�"], ["A"], []]),
        (b"\xe3A", [[], ["�", "A"], []]),
        (b"\xe3\x81A", [[], [], ["", "�", "A"], []]),
        (b"\xe3\xe3\xe3", [[], ["�"], ["�"], ["�"]]),
        (b"\xe3\x81", [[], [], ["", "�"]]),
        (b"\xef\xbf\xbd", [[], [], ["", "", "�"], []]),
    ],
)
def test_bytes_that_are_no_character_are_replaced_at_once(
    answer: bytes, expected: list[list[str]]
) -> None:
    assert stream(SAMPLES["bytes_only"], list(answer)) == expected


def test_added_tokens_may_be_plain_text() -> None:
    """Their characters need not be those by which byte-level BPE writes bytes."""
    ids = SAMPLES["trained"].encode("two words<tool>", special=False)
    assert stream(SAMPLES["trained"], ids) == [["two words"], ["<tool>"], []]


def test_special_and_unknown_tokens_have_no_text_and_split_no_character() -> None:
    assert stream(SAMPLES["bytes_only"], [65, 256, 999, 0xC3, 256, 0xA9, 0xC3, 256]) == [
        ["A"],
        [""],
        [""],
        [],
        [],
        ["", "", "é"],
        [],
        [],
        ["�", ""],
    ]
    assert stream(SAMPLES["llama"], [piece("▁a"), 999, 0xC3, 999, 0xA9]) == [
        ["a"],
        [""],
        [],
        [],
        [],
        ["", "", "é"],
    ]


def test_tokens_with_the_end_of_one_character_and_the_beginning_of_the_next() -> None:
    """They wait for the next one, and with them what went into the one that they complete."""
    middle = crossing(b"\x81\x82\xe3")
    ids = [0xE3, middle, middle, 0x81, crossing(b"\x82\xe3"), middle, 0x41]
    assert stream(SAMPLES["crossing"], ids) == [
        [],
        [],
        ["", "あ"],
        [],
        ["あ"],
        ["", "あ"],
        ["あ�", "A"],
        [],
    ]
    ids = [crossing(b" \xf0\x9f"), crossing(b"\x98\x80"), crossing(b"b\xc3")]
    assert stream(SAMPLES["crossing"], ids) == [[], [" ", "😀"], [], ["b�"]]


def test_the_first_space_depends_on_what_comes_before() -> None:
    a, space = piece("▁a"), piece("▁")
    for name in ("llama", "metaspace", "metaspace_first"):
        assert stream(SAMPLES[name], [a, a]) == [["a"], [" a"], []]
        assert stream(SAMPLES[name], [space, a, space]) == [[""], [" a"], [" "], []]
        assert stream(SAMPLES[name], [256 + len(PIECES), a]) == [[""], ["a"], []]
    for name in ("gemma", "metaspace_never"):
        assert stream(SAMPLES[name], [a, a]) == [[" a"], [" a"], []]


def test_a_run_of_byte_tokens_is_final_at_its_end() -> None:
    """Before, one invalid byte would turn all of its characters into U+FFFD."""
    a = piece("▁a")
    for name in ("llama", "gemma"):
        ids = [a, 0xC3, 0xA9, 0x0A, a]
        assert stream(SAMPLES[name], ids)[1:] == [[], [], [], ["", "é", "\n", " a"], []]
        ids = [a, 0xC3, 0xA9, 0xFF, a]
        assert stream(SAMPLES[name], ids)[1:] == [[], [], [], ["�", "�", "�", " a"], []]
        assert stream(SAMPLES[name], [a, 0xC3])[1:] == [[], ["�"]]


def test_characters_of_a_run_belong_to_the_tokens_with_their_last_bytes() -> None:
    run = [0x0A, 0xC3, 0xA9, 0x0A]
    assert stream(SAMPLES["gemma"], run)[-1] == ["\n", "", "é", "\n"]
    assert stream(SAMPLES["llama"], [0x20, 0xC3, 0xA9])[-1] == ["", "", "é"]


def test_tokens_without_text_that_are_not_special_end_a_run_too() -> None:
    assert stream(SAMPLES["gemma"], [0xC3, piece(""), 0x0A]) == [[], ["�", ""], [], ["\n"]]


def test_byte_tokens_are_ordinary_text_without_byte_fallback() -> None:
    assert stream(SAMPLES["metaspace"], [0x41]) == [["<0x41>"], []]


class CountingTokenizer:
    """A tokenizer that counts the tokens that it is given to decode."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tokens = 0
        decode = Tokenizer.decode

        def counting(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
            self.tokens += len(ids)
            return decode(tokenizer, ids)

        monkeypatch.setattr(Tokenizer, "decode", counting)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_token_costs_the_same_in_a_long_answer(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = CountingTokenizer(monkeypatch)
    a, space, no_text = piece("▁a"), piece("▁"), piece("##")
    for ids in ([0x80], [0xC3, 0xA9], [a], [0x0A, a], [space], [no_text], [999]):
        counter.tokens = 0
        stream(SAMPLES[name], [a] + ids * 1000)
        assert counter.tokens <= 7 * len(ids) * 1000


@pytest.mark.parametrize(
    "decoder",
    [
        decoders.CTC(),
        [decoders.ByteLevel(), decoders.Strip(" ", 1, 0)],
        [*GEMMA, decoders.Strip(" ", 0, 1)],
        [*GEMMA, decoders.Strip(" ", 2, 0)],
        [*GEMMA, decoders.Replace("a b", "")],
        [decoders.Fuse(), decoders.ByteFallback()],
    ],
)
def test_decoders_in_which_later_tokens_change_earlier_text_are_refused(
    decoder: decoders.Decoder | list[decoders.Decoder],
) -> None:
    with pytest.raises(TokenizerError, match=r"^tokenizer.json: can't stream text through \w+"):
        pieces(decoder)


def test_nested_sequences_of_decoders_are_followed() -> None:
    nested = pieces([decoders.Sequence(LLAMA[:2]), decoders.Sequence(LLAMA[2:])])
    assert nested.streaming is SAMPLES["llama"].streaming
    fused = pieces([decoders.ByteLevel(), decoders.Fuse()])
    assert fused.streaming is SAMPLES["bytes_only"].streaming


@pytest.mark.parametrize("name", ["llama", "gemma", "metaspace", "metaspace_first", "bytes_only"])
@given(data=st.data())
def test_an_answer_that_continues_a_text_keeps_its_first_space(
    name: str, data: st.DataObject
) -> None:
    """Decoders strip a space at the beginning of a text, which the answer's is not."""
    tokenizer = SAMPLES[name]
    words = [i for i in range(256, tokenizer.size) if tokenizer.token(i)] or [*range(97, 123)]
    before = data.draw(st.lists(st.sampled_from(words), min_size=1, max_size=20))
    ids = data.draw(answers(name))
    made = detokenizer(tokenizer, before)
    texts = [*chain(*(made.push(token_id) for token_id in ids)), *made.finish()]
    assert tokenizer.decode(before) + "".join(texts) == tokenizer.decode([*before, *ids])
