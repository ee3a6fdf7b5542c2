"""An answer's text ends before the first stop string, and waits for no longer than it must."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.text import AnswerEnded, AnswerText, Released, Tokenizer
from router.text.detokenizer import detokenizer
from router.text.stop_strings import StopMatcher
from tests.unit.text_samples import CROSSING, SAMPLES, piece

A, B, C, X, END = *b"abcx", 256
ALPHABETS = {
    "bytes_only": [A, A, B, B, C, END, *"é".encode(), 0xFF],
    "crossing": [A, B, END, 0xC3, 0xA9, *(257 + n for n in range(len(CROSSING)))],
    "llama": [piece("▁a"), piece("a"), piece("b"), piece("ab"), A, *"é".encode(), 0xFF, 999],
    "metaspace": [piece("▁"), piece("▁a"), piece("a"), piece("ab"), piece("b"), 999],
    "trained": [*SAMPLES["trained"].encode("ab aé b<|end|> Ω", special=False)],
}
"""Few tokens, so that they meet the stop strings often."""
ANSWERS = st.sampled_from(sorted(ALPHABETS)).flatmap(
    lambda name: st.tuples(
        st.just(SAMPLES[name]), st.lists(st.sampled_from(ALPHABETS[name]), max_size=16)
    )
)
STOPS = st.lists(st.text("aabbcé� ", min_size=1, max_size=4), max_size=4)


class Answer:
    """What an AnswerText gave for a list of tokens."""

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str], ids: Sequence[int]) -> None:
        answer = AnswerText(tokenizer, stops)
        self.pushes: list[list[Released]] = []
        """One entry for each token up to the stop."""
        for token_id in ids:
            self.pushes.append(answer.push(token_id))
            if answer.stop is not None:
                break
        self.last = answer.finish()
        self.stop = answer.stop

    @property
    def tokens(self) -> list[Released]:
        return [*chain(*self.pushes), *self.last]

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens)


def first_stop(text: str, stops: Sequence[str]) -> tuple[int, str | None]:
    """Where the first stop string to be complete begins, and which it is."""
    for end in range(len(text) + 1):
        if complete := [stop for stop in stops if text[:end].endswith(stop)]:
            longest = max(complete, key=len)
            return end - len(longest), longest
    return len(text), None


def longest_beginning(text: str, stops: Sequence[str]) -> int:
    """Characters at the end of the text that begin a stop string."""
    beginnings = {stop[:n] for stop in stops for n in range(len(stop))}
    return max((len(part) for part in beginnings if text.endswith(part)), default=0)


def released(text: str, ids: Sequence[int] | None = None) -> list[Released]:
    """Tokens of one character each."""
    ids = list(text.encode()) if ids is None else ids
    return [Released(i, character) for i, character in zip(ids, text, strict=True)]


@given(answer=ANSWERS, stops=STOPS)
def test_text_and_tokens_end_before_the_first_stop_string(
    answer: tuple[Tokenizer, list[int]], stops: list[str]
) -> None:
    tokenizer, ids = answer
    text = tokenizer.decode(ids)
    cut, stop = first_stop(text, stops)
    got = Answer(tokenizer, stops, ids)
    assert got.stop == stop
    assert got.text == text[:cut]
    assert [token.token_id for token in got.tokens] == ids[: len(got.tokens)]
    if stop is None:
        assert len(got.tokens) == len(ids)
        return
    stream = detokenizer(tokenizer)
    texts = [*chain(*(stream.push(token_id) for token_id in ids)), *stream.finish()]
    starts = [len("".join(texts[:n])) for n in range(len(texts))]
    kept = sum(start < cut for start in starts)
    assert len(got.tokens) >= kept
    assert all(not token.text for token in got.tokens[kept:])
    assert all(not text for text in texts[kept : len(got.tokens)])


@given(answer=ANSWERS, stops=STOPS)
def test_no_more_is_held_than_what_may_be_cut(
    answer: tuple[Tokenizer, list[int]], stops: list[str]
) -> None:
    """Whatever lies before the longest beginning of a stop string is released, token by token."""
    tokenizer, ids = answer
    got = Answer(tokenizer, stops, ids)
    stream = detokenizer(tokenizer)
    texts: list[str] = []
    count = 0
    for token_id, push in zip(ids, got.pushes, strict=False):
        texts += stream.push(token_id)
        count += len(push)
        text = "".join(texts)
        if first_stop(text, stops)[1] is not None:
            break
        held = longest_beginning(text, stops)
        first_held = next(iter(texts[count:]), None)
        if first_held is not None:
            start = len("".join(texts[:count]))
            assert held
            assert start + max(len(first_held), 1) > len(text) - held


@pytest.mark.parametrize("stops", [[], ["xyz"]])
def test_each_token_is_released_by_its_own_push(stops: list[str]) -> None:
    got = Answer(SAMPLES["bytes_only"], stops, list(b"abc"))
    assert got.pushes == [[token] for token in released("abc")]
    assert got.last == []
    assert got.stop is None


def test_a_token_waits_while_it_may_begin_a_stop_string() -> None:
    got = Answer(SAMPLES["bytes_only"], ["abc"], list(b"aabxab"))
    assert got.pushes == [[], released("a"), [], released("abx", b"abx"), [], []]
    assert got.last == released("ab")
    assert got.stop is None


def test_tokens_of_the_stop_string_are_dropped() -> None:
    got = Answer(SAMPLES["bytes_only"], ["bc"], list(b"abcx"))
    assert got.pushes == [released("a"), [], []]
    assert got.last == []
    assert got.stop == "bc"


def test_the_token_in_which_the_stop_string_begins_is_cut() -> None:
    ids = [piece("▁a"), piece("ab"), piece("a")]
    got = Answer(SAMPLES["llama"], ["ba"], ids)
    assert got.pushes == [[Released(ids[0], "a")], [], [Released(ids[1], "a")]]
    assert got.stop == "ba"


@pytest.mark.parametrize(("stop", "kept"), [("é", []), ("b", [(0xC3, ""), (0xA9, "é")])])
def test_the_parts_of_a_character_stay_together(stop: str, kept: list[tuple[int, str]]) -> None:
    got = Answer(SAMPLES["bytes_only"], [stop], list("éb".encode()))
    assert got.tokens == [Released(*token) for token in kept]
    assert got.stop == stop


def test_a_character_waits_whole_while_it_may_begin_a_stop_string() -> None:
    got = Answer(SAMPLES["bytes_only"], ["éb"], list("éa".encode()))
    assert got.pushes == [[], [], [Released(0xC3, ""), Released(0xA9, "é"), Released(A, "a")]]


@pytest.mark.parametrize(
    ("stops", "text", "stop", "before"),
    [
        (["ab", "abc"], "xabc", "ab", "x"),
        (["b", "ab"], "xab", "ab", "x"),
        (["abcd", "bc"], "abcd", "bc", "a"),
        (["ab", "ab"], "ab", "ab", ""),
        (["aab"], "aaab", "aab", "a"),
        (["abac", "bab"], "ababac", "bab", "a"),
    ],
    ids=["beginning", "end", "inside", "twice", "overlap", "fallback"],
)
def test_the_first_stop_string_to_be_complete_wins(
    stops: list[str], text: str, stop: str, before: str
) -> None:
    got = Answer(SAMPLES["bytes_only"], stops, list(text.encode()))
    assert (got.stop, got.text) == (stop, before)


def test_one_token_may_hold_a_whole_stop_string_and_more() -> None:
    tool = SAMPLES["trained"].encode("<tool>", special=False)
    assert len(tool) == 1
    assert Answer(SAMPLES["trained"], ["oo"], tool).pushes == [[Released(tool[0], "<t")]]


def test_special_tokens_wait_only_behind_held_text() -> None:
    got = Answer(SAMPLES["bytes_only"], ["bc"], [A, END, B, END, X])
    assert got.pushes == [
        [Released(A, "a")],
        [Released(END, "")],
        [],
        [],
        [Released(B, "b"), Released(END, ""), Released(X, "x")],
    ]
    assert Answer(SAMPLES["bytes_only"], ["bc"], [A, B, END, C]).tokens == [Released(A, "a")]


def test_finish_releases_an_incomplete_character() -> None:
    got = Answer(SAMPLES["bytes_only"], ["x"], [A, 0xC3])
    assert got.last == [Released(0xC3, "�")]


def test_finish_may_complete_a_stop_string() -> None:
    """The byte tokens of the two line ends are a run that only the end of the answer ends."""
    got = Answer(SAMPLES["llama"], ["\n\n"], [piece("▁a"), 0x0A, 0x0A])
    assert got.tokens == [Released(piece("▁a"), "a")]
    assert got.stop == "\n\n"


def test_nothing_comes_after_the_end() -> None:
    answer = AnswerText(SAMPLES["bytes_only"], ["b"])
    answer.push(B)
    with pytest.raises(AnswerEnded, match=r"^token 97 comes after the stop string 'b'$"):
        answer.push(A)
    assert answer.finish() == []
    assert Answer(SAMPLES["bytes_only"], ["�"], [0xE3, 0xE3]).tokens == []
    answer = AnswerText(SAMPLES["bytes_only"])
    answer.finish()
    with pytest.raises(AnswerEnded, match=r"^token 97 comes after finish$"):
        answer.push(A)


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        AnswerText(SAMPLES["bytes_only"], ["a", ""])


@given(text=st.text("ab", max_size=40), stops=st.lists(st.text("ab", min_size=1), max_size=6))
@example(text="ababababb", stops=["ababb", "babaa"])
def test_the_matcher_holds_the_longest_beginning(text: str, stops: list[str]) -> None:
    matcher = StopMatcher(stops)
    for end in range(1, len(text) + 1):
        stop = matcher.step(text[end - 1])
        assert stop == first_stop(text[:end], stops)[1]
        if stop is not None:
            break
        assert matcher.held == longest_beginning(text[:end], stops)


class CountingList(list[int]):
    """A list that counts how often it is read."""

    reads = 0

    def __getitem__(self, index: Any) -> Any:
        self.reads += 1
        return super().__getitem__(index)


def test_a_character_costs_the_same_for_many_long_stop_strings() -> None:
    stops = ["a" * length + "b" for length in range(240, 256)]
    matcher = StopMatcher(stops)
    fallback = matcher._fallback = CountingList(matcher._fallback)
    text = ("a" * 300 + "c") * 20
    for character in text:
        assert matcher.step(character) is None
    assert len(text) / 2 < fallback.reads < 2 * len(text)
