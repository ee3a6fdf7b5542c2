"""``python -m bench.fallback``: a hard case, its end, and a case that only looks like one."""

from typing import Annotated

import typer
from cascade.v1 import law_pb2

from bench import options, results
from bench.echo import latency_for
from bench.fallback.measure import Session, running
from bench.fallback.report import Run, to_json, to_markdown
from bench.machine import Watch
from bench.network.predicted import Times
from bench.progress import progress_bar

HARD, EASY, FAIR = 0.2, 0.85, 0.6
FAIR_ROUND_TRIP_MS, FAIR_TOKENS = 1.0, 128


def fallback(
    round_trip_ms: Annotated[float, typer.Option(min=0, help="Of each link")] = 10.0,
    max_tokens: options.MaxTokens = 512,
    sessions: Annotated[int, typer.Option(min=2, help="Hard ones, and easy ones")] = 4,
    fair_sessions: Annotated[int, typer.Option(min=1, help="With an acceptance that pays")] = 50,
    out: options.Out = options.RESULTS,
) -> None:
    """Measure what a hard case costs, and how soon the router knows that it is over."""
    watch = Watch("bench.fallback")
    times = Times()
    with (
        progress_bar(3 * sessions + fair_sessions + 2) as bar,
        running(times, [HARD, EASY, FAIR]) as (bench, new_router),
    ):

        def ask(mode: law_pb2.Mode.ValueType, tokens: int, seed: int) -> Session:
            session = bench.session(mode, tokens, seed)
            bar.advance()
            return session

        bench.link.latency_s = latency_for(round_trip_ms / 1000)
        new_router()
        bar.say(f"acceptance {HARD:g}")
        expert = [ask(law_pb2.MODE_EXPERT, max_tokens, 0)]
        hard = []
        for seed in range(sessions):
            hard.append(ask(law_pb2.MODE_SPECULATIVE, max_tokens, seed))
            expert.append(ask(law_pb2.MODE_EXPERT, max_tokens, seed))
        bar.say(f"acceptance {EASY:g}")
        bench.agree(EASY)
        easy = [ask(law_pb2.MODE_SPECULATIVE, max_tokens, 100 + s) for s in range(sessions)]
        bar.say(f"acceptance {FAIR:g}")
        bench.agree(FAIR)
        bench.link.latency_s = latency_for(FAIR_ROUND_TRIP_MS / 1000)
        new_router()
        fair_expert = ask(law_pb2.MODE_EXPERT, FAIR_TOKENS, 0)
        fair = [ask(law_pb2.MODE_SPECULATIVE, FAIR_TOKENS, s) for s in range(fair_sessions)]
    run = Run(
        machine=watch.machine(),
        times=times,
        round_trip_ms=round_trip_ms,
        tokens=max_tokens,
        hard=HARD,
        easy=EASY,
        expert=expert,
        hard_sessions=hard,
        easy_sessions=easy,
        fair=FAIR,
        fair_round_trip_ms=FAIR_ROUND_TRIP_MS,
        fair_tokens=FAIR_TOKENS,
        fair_expert=fair_expert.per_s,
        fair_sessions=fair,
    )
    path = results.write(out, "fallback", to_markdown(run), to_json(run))
    print(path.read_text())
    print(f"Written to {path} and {path.with_suffix('.json')}")


if __name__ == "__main__":
    options.run(fallback)
