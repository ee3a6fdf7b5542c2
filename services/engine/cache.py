"""The key-value cache of one session: exact roll-back, no copy of the past at a step.

The only place that knows how much of a session the model has seen.  transformers' own dynamic layer
copies the whole past to append to it; this one writes into room that it doubles when it is full, so
that rolling back is only a shorter length.
"""

from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

_FIRST_ROOM = 256


class SlotLayer(DynamicLayer):
    """Keys and values of one layer: [1, heads, room, head size], of which ``length`` are valid."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        self.length = 0
        self._room: list[Tensor] = []

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Makes the first room, from the shape of the first keys and values."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self._room = [_grown(t, 0, _FIRST_ROOM) for t in (key_states, value_states)]
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Appends [1, heads, n, head size] and returns all that is valid."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, end = self.length, self.length + key_states.shape[-2]
        if end > self._room[0].shape[-2]:
            size = max(end, 2 * self._room[0].shape[-2])
            self._room = [_grown(t, start, size) for t in self._room]
        for room, new in zip(self._room, (key_states, value_states), strict=True):
            room[..., start:end, :] = new
        self.length = end
        keys, values = (room[..., :end, :] for room in self._room)
        return keys, values

    def get_seq_length(self) -> int:
        """Number of valid tokens."""
        return self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Key length and offset of the mask for ``query_length`` further tokens."""
        return self.length + query_length, 0


def _grown(t: Tensor, length: int, room: int) -> Tensor:
    grown = t.new_empty(*t.shape[:-2], room, t.shape[-1])
    grown[..., :length, :] = t[..., :length, :]
    return grown


class Slot:
    """The key-value cache of one session on one model."""

    def __init__(self, layers: int) -> None:
        self._layers = [SlotLayer() for _ in range(layers)]
        self.cache = Cache(layers=list(self._layers))
        """What a transformers model takes as ``past_key_values``."""

    @property
    def length(self) -> int:
        """Tokens that the model has seen."""
        return self._layers[0].length

    def truncate(self, length: int) -> None:
        """Rolls back to the first ``length`` tokens; does nothing where there are no more."""
        for layer in self._layers:
            layer.length = min(layer.length, length)
