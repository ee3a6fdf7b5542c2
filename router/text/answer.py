"""The text of an answer: tokens in, final text out, up to the first stop string."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from router.text.detokenizer import detokenizer
from router.text.errors import AnswerEnded
from router.text.stop_strings import StopMatcher
from router.text.tokenizer import Tokenizer


class Released(NamedTuple):
    """A token of the answer whose text is final."""

    token_id: int
    text: str
    """The text that it completes; may be empty: special tokens, parts of a character."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A token whose text is known, but may yet be cut."""

    token_id: int
    start: int
    """Where its text begins: characters of the answer before it."""
    text: str

    @property
    def end(self) -> int:
        return self.start + len(self.text)


class AnswerText:
    """Releases an answer's tokens as soon as their text is final.

    The answer ends before the first stop string to be complete; of several that are complete with
    the same character, before the longest.  (So of two where one stands inside the other it is the
    inner one, and of two where one begins the other, the shorter.)  The token in which the stop
    string begins is released with its text cut; tokens whose text begins later are dropped.

    A token is held while its text has an incomplete character (with byte fallback: while it stands
    in an unfinished run of bytes), or reaches into what could be the beginning of a stop string.
    Tokens without text of their own begin where the next text does, but never wait for it.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        stop_strings: Sequence[str] = (),
        before: Sequence[int] = (),
    ) -> None:
        """No token yet.

        Args:
            tokenizer: of the tokens.
            stop_strings: each ends the answer.
            before: tokens that the answer continues, whose text it does not have; none: it begins.

        Raises:
            ValueError: for an empty stop string.
        """
        self.stop: str | None = None
        """The stop string that ended the answer."""
        self._detokenizer = detokenizer(tokenizer, before)
        self._matcher = StopMatcher(stop_strings) if stop_strings else None
        self._undecoded: deque[int] = deque()
        self._held: deque[_Held] = deque()
        self._length = 0
        """Characters of the answer so far."""
        self._ended = False

    def push(self, token_id: int) -> list[Released]:
        """The next token.  Returns those that are released by it, in order.

        Look at ``stop`` after each: raises AnswerEnded after a stop string or ``finish``.
        """
        if self._ended:
            reason = "finish" if self.stop is None else f"the stop string {self.stop!r}"
            raise AnswerEnded(f"token {token_id} comes after {reason}")
        self._undecoded.append(token_id)
        return self._take(self._detokenizer.push(token_id))

    def finish(self) -> list[Released]:
        """The end of the answer.  Returns what was held; may complete a stop string."""
        if self._ended:
            return []
        self._ended = True
        return self._take(self._detokenizer.finish()) + self._release_all()

    def _take(self, texts: list[str]) -> list[Released]:
        """Goes through the texts of the next tokens; nothing holds them where nothing stops."""
        if self._matcher is None:
            return [Released(self._undecoded.popleft(), text) for text in texts]
        for text in texts:
            self._held.append(_Held(self._undecoded.popleft(), self._length, text))
            for character in text:
                self._length += 1
                self.stop = self._matcher.step(character)
                if self.stop is not None:
                    return self._end_at(self._length - len(self.stop))
        if not self._matcher.held:
            return self._release_all()
        return self._release_before(self._length - self._matcher.held)

    def _end_at(self, stop_start: int) -> list[Released]:
        self._ended = True
        kept = [token for token in self._held if token.start < stop_start]
        self._held.clear()
        return [Released(token.token_id, token.text[: stop_start - token.start]) for token in kept]

    def _release_before(self, hold_start: int) -> list[Released]:
        released = []
        while self._held and self._held[0].start < hold_start >= self._held[0].end:
            token = self._held.popleft()
            released.append(Released(token.token_id, token.text))
        return released

    def _release_all(self) -> list[Released]:
        released = [Released(token.token_id, token.text) for token in self._held]
        self._held.clear()
        return released
