"""The registry of targets: one function ``(q1, p1, q, p, alpha) -> pi`` for each rule.

Each takes probabilities of shape [..., V] and returns ``pi`` of that shape.  ``q1`` is None for the
rules that do not look at it.  A new rule is a function in the file of its family and a line here.
"""

from collections.abc import Callable

from torch import Tensor

from services.rules import lossless, token

Target = Callable[[Tensor | None, Tensor, Tensor, Tensor, float], Tensor]

TARGETS: dict[str, Target] = {
    "lossless": lossless.lossless,
    "token_v3": token.token_v3,
}
"""By the rule's name: that of the proto's enum without its prefix, in lower case."""
