"""The systems that are compared."""

from collections.abc import Sequence
from enum import StrEnum

from cascade.v1 import law_pb2

from bench.errors import BadOption
from bench.peers.transformers import Assistance


class System(StrEnum):
    """A way to answer; its value is its name on the command line."""

    TRANSFORMERS = "transformers"
    ASSISTED = "assisted"
    ASSISTED_5 = "assisted-5"
    EXPERT = "expert"
    SPECULATIVE = "speculative"
    CASCADE = "cascade"

    @property
    def label(self) -> str:
        """What a report calls it."""
        return _LABELS[self]

    @property
    def is_ours(self) -> bool:
        """Whether the services answer, and not transformers."""
        return self in MODES


_LABELS = {
    System.TRANSFORMERS: "(a) transformers, expert alone",
    System.ASSISTED: "(b) transformers, assisted as it comes",
    System.ASSISTED_5: "(c) transformers, assisted, constant block of 5",
    System.EXPERT: "(d) ours, EXPERT",
    System.SPECULATIVE: "(d) ours, SPECULATIVE",
    System.CASCADE: "(d) ours, SPECULATIVE_CASCADE",
}

MODES: dict[System, law_pb2.Mode.ValueType] = {
    System.EXPERT: law_pb2.MODE_EXPERT,
    System.SPECULATIVE: law_pb2.MODE_SPECULATIVE,
    System.CASCADE: law_pb2.MODE_SPECULATIVE_CASCADE,
}

ASSISTANCE = {
    System.TRANSFORMERS: Assistance.NONE,
    System.ASSISTED: Assistance.AS_IT_COMES,
    System.ASSISTED_5: Assistance.CONSTANT,
}

BASELINE = System.TRANSFORMERS
ASSISTED = (System.ASSISTED, System.ASSISTED_5)


def check_assistable(systems: Sequence[System], output_sizes: tuple[int, int]) -> None:
    """Refuses what transformers can't do: it takes models for strangers by their output layers.

    Raises:
        BadOption: assisted generation of a pair whose output layers differ in size.
    """
    drafter, expert = output_sizes
    if drafter != expert and (wanted := [s for s in systems if s in ASSISTED]):
        raise BadOption(
            f"--systems: transformers can't do {', '.join(wanted)} with output layers of {drafter} "
            f"and {expert} entries, even though the tokenizers are the same; leave them out"
        )


def parse_systems(text: str) -> list[System]:
    """Names with commas between, in the order of the class; empty means all.

    Raises:
        BadOption: an unknown name.
    """
    names = {name.strip() for name in text.split(",") if name.strip()}
    if unknown := names - set(System):
        raise BadOption(
            f"--systems: no {', '.join(sorted(unknown))}; there are {', '.join(System)}"
        )
    return [system for system in System if system in names or not names]
