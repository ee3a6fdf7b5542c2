"""A client's request, checked and with its defaults filled in."""

import math
import secrets
from dataclasses import dataclass
from functools import cached_property

from cascade.v1 import law_pb2, router_pb2

from router.pace import Overlap
from router.prompt import at_most, outside, prompt_tokens, prompt_violations, uses_template
from router.text import Tokenizer
from services.errors import InvalidField
from services.serving import law as laws
from services.tokens import TokenSequence

MAX_STOP_STRINGS = 16
MAX_STOP_STRING_LENGTH = 256
MAX_STOP_TOKEN_IDS = 64
MAX_BLOCK_LENGTH = 64
MAX_DRAFT_AHEAD = 8
MAX_ALTERNATIVES = 8
DEFAULT_MAX_TOKENS = 512
_SEED_BITS = 53
"""Of a seed that is drawn: it is printed, and many readers of JSON round larger numbers."""


@dataclass(frozen=True)
class Request:
    """What is to be answered, and how."""

    prompt: list[int]
    law: law_pb2.Law
    max_tokens: int
    block_length: int | None
    """None: the strategy chooses."""
    stop_strings: tuple[str, ...]
    end_token_ids: frozenset[int]
    stop_token_ids: frozenset[int]
    early_stop: float | None
    """None: the strategy chooses."""
    log_probs: bool
    echo_prompt: bool
    overlap: Overlap
    allow_expert_alone: bool
    """Whether the expert may go on alone where speculation does not pay."""
    outlives_drafter: bool = False
    """Whether the expert goes on alone where no drafter is left."""
    outlives_expert: bool = False
    """Whether the drafter goes on alone where no expert is left."""
    continues: bool = False
    """Whether the prompt is a text that goes on as it stands, and no conversation."""

    @cached_property
    def _hashed(self) -> TokenSequence:
        return TokenSequence(self.prompt)

    def tokens(self) -> TokenSequence:
        """The prompt, for an answer to grow from.  The first time takes a moment for each token."""
        return self._hashed.first(len(self.prompt))

    @property
    def final_token_ids(self) -> frozenset[int]:
        """Every token that ends the answer."""
        return self.end_token_ids | self.stop_token_ids


def resolve(
    request: router_pb2.GenerateRequest,
    tokenizer: Tokenizer,
    *,
    context_length: int,
    end_token_ids: frozenset[int],
    overlap: Overlap,
) -> Request:
    """Checks a request and fills in its defaults.  Tokenises: a long one is not for the event loop.

    Args:
        request: the client's.
        tokenizer: of both models.
        context_length: what both can hold.
        end_token_ids: of both.
        overlap: the router's default.

    Raises:
        InvalidField: naming every field that is wrong, its limit and its value.
    """
    law = _law(request)
    expert_alone = (
        request.allow_expert_alone
        if request.HasField("allow_expert_alone")
        else law.rule == law_pb2.RULE_LOSSLESS
    )
    violations = [
        *laws.violations(law),
        *_option_violations(request, tokenizer, overlap),
        *prompt_violations(request, tokenizer, context_length),
    ]
    if violations:
        raise InvalidField(*violations)
    laws.check(law)
    prompt = prompt_tokens(request, tokenizer, context_length)
    resolved = Request(
        prompt=prompt,
        law=law,
        max_tokens=_max_tokens(request, len(prompt), context_length),
        block_length=request.block_length if request.HasField("block_length") else None,
        stop_strings=tuple(request.stop_strings),
        end_token_ids=frozenset() if request.ignore_end_tokens else end_token_ids,
        stop_token_ids=frozenset(request.stop_token_ids),
        early_stop=_early_stop(request),
        log_probs=request.log_probs,
        echo_prompt=request.echo_prompt,
        overlap=_overlap(request, overlap),
        allow_expert_alone=expert_alone,
        outlives_drafter=request.on_drafter_loss == router_pb2.ON_LOSS_CONTINUE
        or (
            request.on_drafter_loss == router_pb2.ON_LOSS_UNSPECIFIED
            and expert_alone
            and law.mode != law_pb2.MODE_DRAFTER
        ),
        outlives_expert=request.on_expert_loss == router_pb2.ON_LOSS_CONTINUE,
        continues=not uses_template(request, tokenizer),
    )
    resolved.tokens()  # here, where a long prompt holds nobody up
    return resolved


def _law(request: router_pb2.GenerateRequest) -> law_pb2.Law:
    law = law_pb2.Law(
        mode=request.mode,
        rule=request.rule,
        alpha=request.alpha,
        form=request.form,
        candidates=(
            request.candidates if request.HasField("candidates") else laws.DEFAULT_CANDIDATES
        ),
        coupling=request.coupling,
        temperature=request.temperature,
        top_k=request.top_k,
        top_p=request.top_p if request.HasField("top_p") else 1.0,
        seed=request.seed if request.HasField("seed") else secrets.randbits(_SEED_BITS),
        confidence_statistic=request.confidence_statistic,
        confidence_quantile=request.confidence_quantile,
    )
    return laws.with_defaults(law, alpha_given=request.HasField("alpha"))


def _early_stop(request: router_pb2.GenerateRequest) -> float | None:
    """A block whose length is given is drafted whole, unless the request says otherwise."""
    chosen = request.HasField("early_stop") or request.HasField("block_length")
    return request.early_stop if chosen else None


def _overlap(request: router_pb2.GenerateRequest, default: Overlap) -> Overlap:
    ahead = request.draft_ahead if request.HasField("draft_ahead") else default.draft_ahead
    known = request.HasField("alternatives")
    alternatives = request.alternatives if known else default.alternatives
    return Overlap(ahead, alternatives if ahead else 0)


def _option_violations(
    request: router_pb2.GenerateRequest, tokenizer: Tokenizer, overlap: Overlap
) -> list[tuple[str, str]]:
    """What is wrong with the request beside its law and its prompt's length."""
    found: list[tuple[str, str]] = []

    def check(ok: bool, field: str, text: str) -> None:
        if not ok:
            found.append((field, text))

    if request.HasField("block_length"):
        n = request.block_length
        check(
            1 <= n <= MAX_BLOCK_LENGTH,
            "block_length",
            f"must be in [1, {MAX_BLOCK_LENGTH}], got {n}",
        )
    if request.HasField("draft_ahead"):
        ahead = request.draft_ahead
        check(
            ahead <= MAX_DRAFT_AHEAD,
            "draft_ahead",
            f"must be in [0, {MAX_DRAFT_AHEAD}], got {ahead}",
        )
    if alternatives := request.alternatives:
        check(
            alternatives <= MAX_ALTERNATIVES,
            "alternatives",
            f"must be in [0, {MAX_ALTERNATIVES}], got {alternatives}",
        )
        check(
            _overlap(request, overlap).draft_ahead > 0,
            "alternatives",
            f"must be 0 where draft_ahead is 0, got {alternatives}",
        )
    early_stop = request.early_stop
    check(
        math.isfinite(early_stop) and 0 <= early_stop <= 1,
        "early_stop",
        f"must be in [0, 1], got {early_stop:g}",
    )
    stops = request.stop_strings
    if len(stops) > MAX_STOP_STRINGS:
        check(False, "stop_strings", f"must be at most {MAX_STOP_STRINGS}, got {len(stops)}")
    else:
        for i, stop in enumerate(stops):
            check(
                1 <= len(stop) <= MAX_STOP_STRING_LENGTH,
                f"stop_strings[{i}]",
                f"must have 1 to {MAX_STOP_STRING_LENGTH} characters, got {len(stop)}",
            )
    ids = request.stop_token_ids
    if len(ids) > MAX_STOP_TOKEN_IDS:
        check(False, "stop_token_ids", f"must be at most {MAX_STOP_TOKEN_IDS}, got {len(ids)}")
    else:
        found.extend(outside("stop_token_ids", list(ids), tokenizer))
    for name, enum, value in (
        ("on_drafter_loss", router_pb2.OnLoss, request.on_drafter_loss),
        ("on_expert_loss", router_pb2.OnLoss, request.on_expert_loss),
    ):
        check(value in enum.values(), name, f"must be one of {enum.values()}, got {value}")
    return found


def _max_tokens(request: router_pb2.GenerateRequest, prompt: int, context_length: int) -> int:
    """The most tokens of the answer.

    Raises:
        InvalidField: prompt and answer together exceed the context.
    """
    field = request.WhichOneof("prompt") or "prompt"
    if prompt == 0:
        raise InvalidField((field, "must have at least 1 token, got 0"))
    room = context_length - prompt
    if room < 1:
        raise InvalidField((field, at_most(context_length, str(prompt))))
    if not request.HasField("max_tokens"):
        return min(DEFAULT_MAX_TOKENS, room)
    if not 1 <= request.max_tokens <= room:
        raise InvalidField(
            (
                "max_tokens",
                f"must be in [1, {room}] for a prompt of {prompt} tokens and a context of "
                f"{context_length}, got {request.max_tokens}",
            )
        )
    return request.max_tokens
