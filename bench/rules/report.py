"""The report of all rules, as Markdown and as JSON."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.machine import Machine
from bench.markdown import Cell, bullets, document, table
from bench.rules.measure import Curves, Measured
from services.calibrate.plain import plain_point

DISTANCES = (0.01, 0.02, 0.05, 0.1, 0.2)
REGRETS = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Nats above the regret of the expert's own tokens."""

Price = Callable[[Measured], float]
"""What a rule at an alpha costs."""


def best_within(points: Sequence[Measured], price: Price, budget: float) -> Measured | None:
    """The point of the highest acceptance among those that cost at most ``budget``."""
    fitting = [measured for measured in points if price(measured) <= budget + 1e-9]
    return max(fitting, key=lambda measured: measured.point.acceptance, default=None)


def to_markdown(machine: Machine, all_curves: Sequence[Curves], images: Sequence[str]) -> str:
    """The report for people; ``images`` are the pictures' paths from where it lies."""
    parts = [
        "# Rules: the acceptance that a distance buys",
        bullets(
            [
                *machine.lines(),
                "Every rule is evaluated on the same positions: continuations of the expert's law, "
                "scored once by both models. That is off-policy: answers of a rule itself take "
                "other turns where it departs from the expert",
                "Distance: the mean TV(pi, p) of a token. No rule has an acceptance above the "
                "lossless one's plus its distance, and every rule whose pi lies between q and p "
                "has exactly that: lossy, ensemble, the rules that decide once for a position, "
                "and at temperature 0 all. Where a table of distances tells such rules apart, "
                "their alphas lie apart",
                "Regret: the mean of log max p1 - log p1(v) over the tokens v that a rule emits, "
                "in nats: how much less likely than its favourite the expert finds them. It tells "
                "rules apart by the tokens that they spend their distance on",
            ]
        ),
    ]
    for curves, image in zip(all_curves, images, strict=True):
        parts += _section(curves, image)
    return document(*parts)


def to_json(machine: Machine, all_curves: Sequence[Curves]) -> dict[str, Any]:
    """The report for programs: every point."""
    return {
        "machine": machine.to_json(),
        "off_policy": True,
        "curves": [
            {
                "pair": curves.pair,
                "prompts_are": curves.prompts_are,
                "prompts": curves.prompts,
                "tokens": curves.tokens,
                "temperature": curves.setting.temperature,
                "candidates": curves.setting.candidates,
                "block_length": curves.setting.block_length,
                "max_tokens": curves.setting.max_tokens,
                "lossless": _plain(curves.lossless),
                "rules": {
                    name: [_plain(measured) for measured in points]
                    for name, points in curves.rules.items()
                },
            }
            for curves in all_curves
        ],
    }


def _plain(measured: Measured) -> dict[str, float | None]:
    values = plain_point(measured.point)
    del values["speed_up"]  # no cost is measured here
    return {**values, "regret": measured.regret}


def _section(curves: Curves, image: str) -> list[str]:
    setting, lossless = curves.setting, curves.lossless
    title = f"{curves.pair} at temperature {setting.temperature:g}"
    return [
        f"## {title}",
        f"![Acceptance against distance and regret, {title}]({Path(image).as_posix()})",
        f"{curves.prompts} prompts ({curves.prompts_are}), {curves.tokens} tokens, K "
        f"{setting.candidates}, at most {setting.max_tokens} tokens an answer. Lossless: "
        f"acceptance {lossless.point.acceptance:.3f}, regret {lossless.regret:.3f}. The highest "
        "acceptance of each rule within a distance, and the alpha that has it; the highest sum "
        "comes first:",
        _best(curves.rules, lambda m: m.point.distance.mean, DISTANCES),
        "The same within a regret above the lossless rule's:",
        _best(curves.rules, lambda m: m.regret - lossless.regret, REGRETS),
    ]


def _best(rules: Mapping[str, Sequence[Measured]], price: Price, budgets: Sequence[float]) -> str:
    """A row for each rule, a column for each budget."""
    found = {
        name: [best_within(points, price, budget) for budget in budgets]
        for name, points in rules.items()
    }

    def merit(name: str) -> float:
        return sum(best.point.acceptance for best in found[name] if best is not None)

    rows = [[name, *map(_cell, found[name])] for name in sorted(found, key=merit, reverse=True)]
    return table(["rule", *(f"within {budget:g}" for budget in budgets)], rows)


def _cell(best: Measured | None) -> Cell:
    return None if best is None else f"{best.point.acceptance:.3f} ({best.point.alpha:g})"
