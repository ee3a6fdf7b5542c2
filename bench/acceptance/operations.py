"""Which of torch's operations the work after a pass consists of."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch.profiler import ProfilerActivity, profile

from bench.acceptance.cases import Case
from bench.acceptance.drafting import Block
from bench.acceptance.verifying import Expert
from bench.markdown import document, table

_SHOWN = 8


@dataclass(frozen=True)
class Operation:
    """One of torch's operations in the work after one pass, on average."""

    name: str
    self_ms: float
    """Without the operations that it calls; the profiler's own cost is in it."""
    calls: float


def operations(expert: Expert, case: Case, blocks: Sequence[Block]) -> list[Operation]:
    """Profiles the work after one pass for each context: the longest first."""
    spent: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for i, block in enumerate(blocks):
        session, step = expert.sessions[i], expert.step(case, i, block)
        step.begin(session)
        feed = step.feed(session)
        logits = expert.model.forward(session.slot, feed.tokens, feed.rows)
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            step.take(session, step.decide([step], logits.unsqueeze(0))[0].tolist())
        for event in profiled.key_averages():
            spent[event.key] += event.self_cpu_time_total
            calls[event.key] += event.count
    n = len(blocks)
    return [
        Operation(name, self_us / 1000 / n, calls[name] / n)
        for name, self_us in spent.most_common()
    ]


def shown(case: Case, found: Sequence[Operation]) -> str:
    """The longest operations of a law, as Markdown."""
    total = sum(operation.self_ms for operation in found)
    return document(
        f"## {case.name}: {total:.2f} ms",
        table(
            ["operation", "self, ms", "calls"],
            [[o.name, f"{o.self_ms:.3f}", f"{o.calls:.1f}"] for o in found[:_SHOWN]],
        ),
    )
