"""The systems that are compared, and what has to run for each."""

from collections.abc import Sequence
from enum import StrEnum

from cascade.v1 import law_pb2

from bench.errors import BadOption
from bench.pair import Pair
from bench.peers import llama_cpp, vllm
from bench.peers.transformers import Assistance


class Engine(StrEnum):
    """What is started, and answers for one system or several."""

    OURS = "our services"
    TRANSFORMERS = "transformers"
    VLLM = "vLLM"
    VLLM_SERVER = "vLLM's server"
    VLLM_DRAFT = "vLLM with its draft model"
    LLAMA_CPP = "llama.cpp"
    LLAMA_CPP_DRAFT = "llama.cpp with its draft model"


class System(StrEnum):
    """Who answers; its value is its name on the command line."""

    TRANSFORMERS = "transformers"
    ASSISTED = "assisted"
    VLLM = "vllm"
    VLLM_SERVER = "vllm-server"
    VLLM_DRAFT = "vllm-draft"
    LLAMA_CPP = "llama-cpp"
    LLAMA_CPP_DRAFT = "llama-cpp-draft"
    EXPERT = "expert"
    DRAFTER = "drafter"
    SEQUENCE_CASCADE = "sequence-cascade"
    TOKEN_CASCADE = "token-cascade"
    SPECULATIVE = "speculative"
    CASCADE = "cascade"

    @property
    def label(self) -> str:
        """What a report calls it."""
        return _LABELS[self]

    @property
    def engine(self) -> Engine:
        """What answers for it."""
        return _ENGINES.get(self, Engine.OURS)

    def answers(self, streams: int) -> bool:
        """Whether it can answer so many at once."""
        return streams == 1 or self.engine is not Engine.TRANSFORMERS


_LABELS = {
    System.TRANSFORMERS: "transformers, expert alone",
    System.ASSISTED: "transformers, assisted, constant block of 5",
    System.VLLM: "vLLM, expert alone",
    System.VLLM_SERVER: "vLLM's server, expert alone",
    System.VLLM_DRAFT: "vLLM, with its draft model",
    System.LLAMA_CPP: "llama.cpp, expert alone",
    System.LLAMA_CPP_DRAFT: "llama.cpp, with its draft model",
    System.EXPERT: "ours, EXPERT",
    System.DRAFTER: "ours, DRAFTER",
    System.SEQUENCE_CASCADE: "ours, SEQUENCE_CASCADE",
    System.TOKEN_CASCADE: "ours, TOKEN_CASCADE",
    System.SPECULATIVE: "ours, SPECULATIVE",
    System.CASCADE: "ours, SPECULATIVE_CASCADE",
}

_ENGINES = {
    System.TRANSFORMERS: Engine.TRANSFORMERS,
    System.ASSISTED: Engine.TRANSFORMERS,
    System.VLLM: Engine.VLLM,
    System.VLLM_SERVER: Engine.VLLM_SERVER,
    System.VLLM_DRAFT: Engine.VLLM_DRAFT,
    System.LLAMA_CPP: Engine.LLAMA_CPP,
    System.LLAMA_CPP_DRAFT: Engine.LLAMA_CPP_DRAFT,
}

MODES: dict[System, law_pb2.Mode.ValueType] = {
    System.EXPERT: law_pb2.MODE_EXPERT,
    System.DRAFTER: law_pb2.MODE_DRAFTER,
    System.SEQUENCE_CASCADE: law_pb2.MODE_SEQUENCE_CASCADE,
    System.TOKEN_CASCADE: law_pb2.MODE_TOKEN_CASCADE,
    System.SPECULATIVE: law_pb2.MODE_SPECULATIVE,
    System.CASCADE: law_pb2.MODE_SPECULATIVE_CASCADE,
}

ASSISTANCE = {
    System.TRANSFORMERS: Assistance.NONE,
    System.ASSISTED: Assistance.CONSTANT,
}

KEEPS_EXPERTS_LAW = (System.EXPERT, System.SPECULATIVE)
"""Of ours: what may be set against those of the others, which all do."""


def choose(asked: Sequence[System], pair: Pair) -> tuple[list[System], list[str]]:
    """Those that are asked for and can answer; none asked for: all that can.

    Returns:
        The systems, and a line for each peer that is left out.

    Raises:
        BadOption: one that is asked for can't answer.
    """
    missing = _missing(pair)
    if unmet := [system for system in asked if system.engine in missing]:
        raise BadOption(f"--systems: {missing[unmet[0].engine]}")
    chosen = [s for s in System if s in (asked or System) and s.engine not in missing]
    return chosen, list(dict.fromkeys(f"left out: {why}" for why in missing.values()))


def _missing(pair: Pair) -> dict[Engine, str]:
    """Why an engine can't run here."""
    missing = {}
    drafter, expert = pair.output_sizes
    if drafter != expert:
        missing[Engine.TRANSFORMERS] = (
            f"transformers can't assist with output layers of {drafter} and {expert} entries"
        )
    if not vllm.installed():
        why = "vLLM is not installed; `make peer-vllm` does it"
        missing |= dict.fromkeys((Engine.VLLM, Engine.VLLM_SERVER, Engine.VLLM_DRAFT), why)
    if why := llama_cpp.missing(pair):
        missing |= {Engine.LLAMA_CPP: why, Engine.LLAMA_CPP_DRAFT: why}
    return missing
