"""From the options of a command to a request."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cascade.v1 import law_pb2, router_pb2

from router.cli.errors import UsageError


@dataclass(frozen=True)
class Ask:
    """A prompt and how to answer it; what is None is left to the router."""

    prompt: str
    raw: bool = False
    mode: str | None = None
    rule: str | None = None
    alpha: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    block_length: int | None = None
    early_stop: float | None = None
    form: str | None = None
    coupling: str | None = None
    candidates: int | None = None
    confidence_quantile: float | None = None
    expert_alone: bool | None = None
    log_probs: bool = False

    def of_mode(self, mode: str, seed: int | None) -> "Ask":
        """The same of another mode; rule and alpha are the speculative cascade's alone."""
        cascade = mode == "speculative_cascade"
        return replace(
            self,
            mode=mode,
            seed=seed,
            rule=self.rule if cascade else None,
            alpha=self.alpha if cascade else None,
        )

    def request(self) -> router_pb2.GenerateRequest:
        """The request; what is None stays unset.

        Raises:
            UsageError: a text is not Unicode.
        """
        try:
            return router_pb2.GenerateRequest(
                text=self.prompt,
                raw=self.raw,
                mode=law_pb2.Mode.Value(f"MODE_{(self.mode or 'unspecified').upper()}"),
                rule=law_pb2.Rule.Value(f"RULE_{(self.rule or 'unspecified').upper()}"),
                alpha=self.alpha,
                block_length=self.block_length,
                early_stop=self.early_stop,
                temperature=self.temperature,
                top_k=self.top_k or 0,
                top_p=self.top_p,
                seed=self.seed,
                max_tokens=self.max_tokens,
                stop_strings=self.stop,
                form=law_pb2.Form.Value(f"FORM_{(self.form or 'unspecified').upper()}"),
                coupling=law_pb2.Coupling.Value(
                    f"COUPLING_{(self.coupling or 'unspecified').upper()}"
                ),
                candidates=self.candidates,
                confidence_statistic=(
                    law_pb2.CONFIDENCE_STATISTIC_UNSPECIFIED
                    if self.confidence_quantile is None
                    else law_pb2.CONFIDENCE_STATISTIC_QUANTILE
                ),
                confidence_quantile=self.confidence_quantile,
                allow_expert_alone=self.expert_alone,
                log_probs=self.log_probs,
            )
        except UnicodeEncodeError as error:
            raise UsageError("the prompt or a stop text is not valid UTF-8") from error


def read_prompt(given: str | None) -> str:
    """The prompt as given; for ``-`` or nothing, all of standard input less one final newline.

    Raises:
        UsageError: there is none, or it is not UTF-8.
    """
    if given is not None and given != "-":
        return given
    if given is None and sys.stdin.isatty():
        raise UsageError("no prompt: give one, or pipe one in")
    try:
        return sys.stdin.buffer.read().decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise UsageError("the prompt is not valid UTF-8") from error
