"""Answers by rounds in process: the services' own steps, on models that are random functions."""

import random
from collections.abc import Sequence
from typing import TypeVar

import torch
from cascade.v1 import drafter_pb2, expert_pb2, law_pb2
from torch import Tensor

from services.drafter.draft import DraftStep
from services.engine.batch import Part
from services.engine.cache import KeyValueCache
from services.engine.facts import ModelFacts
from services.engine.model import Model
from services.engine.pages import PAGE
from services.engine.passes import begin, run
from services.engine.schedule import CHUNK, choose, left
from services.engine.session import Queued, Session
from services.engine.step import Step
from services.errors import CascadeError
from services.expert.decode import DecodeStep
from services.expert.verify import VerifyStep
from services.pod.law import SessionLaw
from services.tokens import TokenSequence, extend_hash

SIZE = 7
END = 0
CONTEXT = 64

Response = TypeVar("Response")


class RandomFunction:
    """A model: random logits for each prefix, the same for the same prefix; seldom an end token.

    Two with the same family and different names agree in part.
    """

    def __init__(self, name: str, family: int, agreement: float) -> None:
        self._name = name
        self._family = family
        self._agreement = agreement
        self._known: dict[int, list[float]] = {}

    def __call__(self, prefix: Sequence[int]) -> list[float]:
        """The logits after ``prefix``: float32 values."""
        at = extend_hash(self._family, prefix)
        if at not in self._known:
            common, own = random.Random(f"{at}"), random.Random(f"{at} {self._name}")
            a = self._agreement
            logits = [a * common.gauss(0, 2) + (1 - a) * own.gauss(0, 2) for _ in range(SIZE)]
            logits[END] -= 1.5
            self._known[at] = torch.tensor(logits).tolist()
        return self._known[at]


class FunctionModel(Model):
    """A function of the prefix in the place of a model: sees what it was fed, and nothing else."""

    def __init__(self, function: RandomFunction) -> None:
        facts = ModelFacts(
            name="function",
            weights_fingerprint="",
            tokenizer_fingerprint="",
            tokenizer_json=b"",
            chat_template="",
            special_tokens={},
            vocabulary_size=SIZE,
            context_length=CONTEXT,
            end_token_ids=(END,),
            dtype="float32",
            device="cpu",
            weights="float32",
            weight_bytes=0,
            slots=2,
            cache_tokens=2 * CONTEXT,
            cache_bytes=0,
        )
        self.facts, self.device, self._function = facts, torch.device("cpu"), function
        # A slot knows the tokens that the model has seen: all that a function of them needs.
        self.cache = KeyValueCache(0, 1, 1, 2 * CONTEXT // PAGE, torch.float32, self.device)

    def run(self, parts: Sequence[Part]) -> Tensor:
        """The logits after the last tokens of each part."""
        rows = []
        for part in parts:
            assert 0 <= part.rows <= len(part.tokens)
            part.slot.extend(part.tokens)
            seen = part.slot.tokens
            lengths = range(len(seen) - part.rows + 1, len(seen) + 1)
            rows += [self._function(seen[:length]) for length in lengths]
        return torch.tensor(rows).view(-1, SIZE)


def carry_out(session: Session, model: Model, step: Step) -> None:
    """Carries out a step, pass by pass, as the engine's worker does."""
    queued = Queued(step)
    begin(session, queued)
    while not queued.over:
        left(session, queued)
        run(model, choose([(session, queued)], [session], CHUNK))


def only(results: "list[Response | CascadeError]") -> Response:
    """The one result of a step.

    Raises:
        CascadeError: the step failed.
    """
    (result,) = results
    if isinstance(result, CascadeError):
        raise result
    return result


class Pair:
    """A drafter and an expert, each with one session."""

    def __init__(self, drafter: RandomFunction, expert: RandomFunction, law: law_pb2.Law) -> None:
        self._drafter, self._expert = FunctionModel(drafter), FunctionModel(expert)
        self._law = SessionLaw.from_proto(law)
        self._mode = law.mode
        self._ends = frozenset({END})
        self._at_drafter, self._at_expert = Session(self._drafter), Session(self._expert)

    def answer(self, prompt: list[int], max_tokens: int, block: int) -> list[int]:
        """The answer's ids, an end token included, by rounds of ``block`` tokens.

        Not in MODE_SEQUENCE_CASCADE, which is the router's to carry out.
        """
        tokens = TokenSequence(prompt)
        end = len(prompt) + max_tokens
        while len(tokens) < end:
            n = min(block, end - len(tokens))
            match self._mode:
                case law_pb2.MODE_DRAFTER:
                    ids = [token.id for token in self._draft(tokens, n)]
                case law_pb2.MODE_EXPERT:
                    ids = self._decode(tokens, n)
                case law_pb2.MODE_TOKEN_CASCADE:
                    drafted = self._draft(tokens, n)
                    ids = [token.id for token in drafted if not token.defer]
                    assert not any(token.defer for token in drafted[:-1]), "drafted on"
                    if drafted[-1].defer:
                        ids += self._decode(TokenSequence([*tokens.ids, *ids]), 1)
                case _:
                    ids = self._verify(tokens, self._draft(tokens, n))
            tokens.extend(ids[: end - len(tokens)])
            if tokens.ids[-1] == END:
                break
        return tokens.ids[len(prompt) :]

    def one_round(self, prompt: list[int], block: int) -> list[int]:
        """What one round emits."""
        tokens = TokenSequence(prompt)
        return self._verify(tokens, self._draft(tokens, block))

    def _draft(self, tokens: TokenSequence, n: int) -> list[law_pb2.DraftedToken]:
        position = _shared(self._at_drafter, tokens)
        request = drafter_pb2.DraftStep(
            position=position, append=tokens.since(position), max_tokens=n
        )
        results: list[drafter_pb2.DraftedBlock | CascadeError] = []
        facts = self._drafter.facts
        step = DraftStep(request, facts, self._law, self._ends, results.append)
        carry_out(self._at_drafter, self._drafter, step)
        block = list(only(results).tokens)
        assert END not in [token.id for token in block[:-1]], "drafted beyond an end token"
        return block

    def _verify(self, tokens: TokenSequence, block: list[law_pb2.DraftedToken]) -> list[int]:
        position = _shared(self._at_expert, tokens)
        request = expert_pb2.VerifyStep(
            position=position,
            append=tokens.since(position),
            prefix_hash=tokens.hash(),
            block=block,
        )
        results: list[expert_pb2.Verdict | CascadeError] = []
        facts = self._expert.facts
        step = VerifyStep(request, facts, self._law, self._ends, results.append)
        carry_out(self._at_expert, self._expert, step)
        verdict = only(results)
        assert not verdict.stale
        return [token.id for token in verdict.tokens]

    def _decode(self, tokens: TokenSequence, n: int) -> list[int]:
        position = _shared(self._at_expert, tokens)
        request = expert_pb2.DecodeStep(
            position=position,
            append=tokens.since(position),
            prefix_hash=tokens.hash(),
            max_tokens=n,
            piece_length=n,
        )
        results: list[expert_pb2.DecodedTokens | CascadeError] = []
        facts = self._expert.facts
        step = DecodeStep(request, facts, self._law, self._ends, results.append)
        carry_out(self._at_expert, self._expert, step)
        return [token.id for token in only(results).tokens]


def _shared(session: Session, tokens: TokenSequence) -> int:
    """How many of the tokens the session has already."""
    pairs = zip(session.tokens.ids, tokens.ids, strict=False)
    return next(
        (i for i, (a, b) in enumerate(pairs) if a != b), min(len(session.tokens), len(tokens))
    )
