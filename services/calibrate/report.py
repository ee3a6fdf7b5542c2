"""A calibration for people: a table over alpha, the recommendation, and how it ran."""

from rich.console import Console
from rich.table import Table

from services.calibrate.calibration import Calibration
from services.calibrate.curve import Point
from services.calibrate.estimate import Estimate
from services.calibrate.live import Live
from services.calibrate.setting import Limits

_PIPE_WIDTH = 160


def print_report(found: Calibration) -> None:
    """Prints all of it on standard output."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    for line in head(found):
        console.print(line, markup=False)
    console.print()
    console.print(points_table(found), soft_wrap=False)
    console.print()
    for line in foot(found):
        console.print(line, markup=False)
    if found.chosen is not None and found.live is not None:
        console.print()
        console.print(live_table(found.chosen, found.live), soft_wrap=False)
        console.print()
        console.print(promise(found), markup=False)


def head(found: Calibration) -> list[str]:
    """What was asked of whom."""
    s = found.setting
    parts = [f"rule {s.rule}", f"temperature {s.temperature:g}", f"K {s.candidates}"]
    parts += [f"top-k {s.top_k}"] * (s.top_k > 0) + [f"top-p {s.top_p:g}"] * (s.top_p < 1)
    parts += [f"block length {s.block_length}", f"seed {s.seed}"]
    lines = [
        f"drafter {found.models['drafter']}, expert {found.models['expert']}",
        ", ".join(parts),
        f"{found.prompts} prompts, {found.tokens} tokens of the expert's law; every alpha is "
        "evaluated on these (off-policy)",
    ]
    if found.costs is not None:
        c = found.costs
        lines.append(
            f"a step of the expert takes {c.expert_step_ms:.1f} ms, of the drafter "
            f"{c.drafter_step_ms:.1f} ms (c {c.drafter:.2f}), a round {c.round_ms:.1f} ms "
            f"(o {c.other:.2f})"
        )
    return lines


def points_table(found: Calibration) -> Table:
    """One row for each alpha, the lossless rule above them, the recommendation marked."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for name in (
        "alpha",
        "acceptance",
        "tokens\na round",
        "speed-up",
        "distance",
        "at most\n(95 %)",
        "expert\nshare",
        "at most\n(95 %)",
        "agreement",
        "",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row("lossless", *_cells(found.lossless))
    for point in found.points:
        chosen = point is found.chosen
        table.add_row(
            f"{point.alpha:g}",
            *_cells(point),
            "recommended" if chosen else "",
            style="bold" if chosen else "",
        )
    return table


def foot(found: Calibration) -> list[str]:
    """How to read the table, and what is recommended."""
    lines = [
        "acceptance, distance (TV from the expert's law), expert share (of the drafter's word that "
        "is deferred) and agreement (with the expert's greedy answer): means over prompts",
        "speed-up: of decoding, against the expert alone, predicted: "
        "tokens a round / (block length * c + 1 + o)",
    ]
    if not found.limits:
        return lines
    wanted = limits_text(found.limits)
    if found.chosen is None:
        lines.append(f"no recommendation: no alpha of these keeps {wanted} with 95 % confidence")
        if found.limits.max_distance is not None:
            nearest = min(found.points, key=lambda point: point.distance.bound or 0.0)
            lines.append(
                f"the nearest to the expert, alpha {nearest.alpha:g}, has a distance of at most "
                f"{nearest.distance.bound:.4f}"
            )
        return lines
    largest = "largest" if found.limits.max_distance is not None else "smallest"
    return [
        *lines,
        f"recommended: alpha {found.chosen.alpha:g}, the {largest} that keeps {wanted} with 95 % "
        "confidence",
    ]


def limits_text(limits: Limits) -> str:
    """The limits in words."""
    parts = []
    if limits.max_distance is not None:
        parts.append(f"the distance within {limits.max_distance:g}")
    if limits.max_expert_share is not None:
        parts.append(f"the expert's share within {limits.max_expert_share:g}")
    return " and ".join(parts)


def live_table(chosen: Point, live: Live) -> Table:
    """The recommendation: predicted beside measured."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    table.add_column(f"alpha {chosen.alpha:g}")
    for name in ("predicted", "measured live"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row("distance", _mean_and_bound(chosen.distance), _mean_and_bound(live.distance))
    for name, predicted, measured, digits in (
        ("acceptance", chosen.acceptance, live.acceptance, 3),
        ("tokens a round", chosen.tokens_per_round, live.tokens_per_round, 2),
        ("speed-up of decoding", chosen.speed_up, live.decoding_speed_up, 2),
        ("speed-up, prompts included", None, live.speed_up, 2),
        ("tokens/s, prompts included", None, live.tokens_per_s, 2),
        ("tokens/s of the expert alone", None, live.expert_tokens_per_s, 2),
    ):
        table.add_row(name, _number(predicted, digits), _number(measured, digits))
    return table


def promise(found: Calibration) -> str:
    """Whether the live distance is what was promised."""
    limit, live = found.limits.max_distance, found.live
    if limit is None or live is None:
        return "no limit of the distance was given, so none is promised"
    verdict = "is within" if found.within_promise else "EXCEEDS"
    return f"the live distance {live.distance.mean:.4f} {verdict} {limit:g}, the limit"


def _cells(point: Point) -> list[str]:
    share = point.expert_share
    return [
        _number(point.acceptance, 3),
        _number(point.tokens_per_round, 2),
        _number(point.speed_up, 2),
        _number(point.distance.mean, 4),
        _number(point.distance.bound, 4),
        _number(None if share is None else share.mean, 3),
        _number(None if share is None else share.bound, 3),
        _number(point.agreement, 3),
    ]


def _mean_and_bound(value: Estimate) -> str:
    bound = "" if value.bound is None else f" (at most {value.bound:.4f})"
    return f"{value.mean:.4f}{bound}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
