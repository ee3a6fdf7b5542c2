"""Finding stop strings in a text that arrives character by character.

An Aho-Corasick automaton: its state is the longest end of the text that begins a stop string, so
the cost of a character does not depend on the number or the length of the stop strings.
"""

from collections import deque
from collections.abc import Sequence


class StopMatcher:
    """Looks for the first stop string to be complete."""

    def __init__(self, stop_strings: Sequence[str]) -> None:
        """Raises ValueError for an empty stop string."""
        self._next: list[dict[str, int]] = [{}]
        self._fallback = [0]
        """For each state the one of the longest shorter end."""
        self._depth = [0]
        self._match: list[str | None] = [None]
        """For each state the longest stop string that is complete there."""
        for stop in stop_strings:
            self._add(stop)
        self._link()
        self._state = 0

    @property
    def held(self) -> int:
        """Characters at the end of the text that could be the beginning of a stop string."""
        return self._depth[self._state]

    def step(self, character: str) -> str | None:
        """The next character of the text.

        Returns the stop string that it completes, if any; of several the longest.
        """
        self._state = self._follow(self._state, character)
        return self._match[self._state]

    def _follow(self, state: int, character: str) -> int:
        while state and character not in self._next[state]:
            state = self._fallback[state]
        return self._next[state].get(character, 0)

    def _add(self, stop: str) -> None:
        if not stop:
            raise ValueError("a stop string is empty")
        state = 0
        for character in stop:
            if character not in self._next[state]:
                self._next[state][character] = len(self._next)
                self._next.append({})
                self._fallback.append(0)
                self._depth.append(self._depth[state] + 1)
                self._match.append(None)
            state = self._next[state][character]
        self._match[state] = stop

    def _link(self) -> None:
        """Sets the fallbacks, shallow states first."""
        states = deque(self._next[0].values())
        while states:
            state = states.popleft()
            fallback = self._fallback[state]
            if self._match[state] is None:
                self._match[state] = self._match[fallback]
            for character, child in self._next[state].items():
                self._fallback[child] = self._follow(fallback, character)
                states.append(child)
