"""``python -m bench.engine``: the engine's step, its overhead, and many sessions at once."""

from dataclasses import replace
from typing import Annotated

import typer
from cascade.v1 import law_pb2

from bench import options, results
from bench.engine import intrusion, limits, operators, overhead, steps, together
from bench.engine.report import Run, to_json, to_markdown
from bench.machine import Watch
from bench.pair import choose_pair
from bench.progress import progress_bar
from bench.prompts import check_room, read_prompts
from bench.services import running
from services.engine.allocator import give_back_large_memory, keep_freed_memory
from services.engine.model import load

STEPS = [
    steps.Case("expert", "auto", 1, 1.7),
    steps.Case("expert", "auto", 6, 1.7),
    steps.Case("expert", "bfloat16+float16", 1, 1.7),
    steps.Case("drafter", "auto", 1, 1.7),
    steps.Case("drafter", "bfloat16+float16", 1, 1.7),
    steps.Case("drafter", "int8", 1, 1.7),
    steps.Case("drafter", "int4", 1, 2.8),
]

TOGETHER = [
    together.Case("EXPERT", law_pb2.MODE_EXPERT, "auto", 5),
    *(
        together.Case(name + ways, law_pb2.MODE_SPECULATIVE, drafter_weights, limit, alone)
        for name, drafter_weights, limit in (
            ("SPECULATIVE", "auto", 3),
            ("SPECULATIVE, drafter int4", "int4", 2),
        )
        for ways, alone in (("", True), (", never the expert alone", False))
    ),
]


def steps_in(dtype: str) -> list[steps.Case]:
    """Those that a model of this dtype has: weights are kept twice in bfloat16 alone."""
    return [s for s in STEPS if dtype == "bfloat16" or s.weights != "bfloat16+float16"]


def engine(
    pair: options.Pair = None,
    drafter: options.Drafter = None,
    expert: options.Expert = None,
    dtype: options.Dtype = "auto",
    max_tokens: options.MaxTokens = 64,
    repeats: Annotated[int, typer.Option(min=1, help="Steps of each kind")] = 25,
    rate_repeats: Annotated[int, typer.Option(min=1, help="Rates of each kind")] = 3,
    out: options.Out = options.RESULTS,
) -> None:
    """Measure the engine on the CPU, beside transformers and beside itself with one session."""
    watch = Watch("bench.engine")
    give_back_large_memory()  # as a pod does
    models = choose_pair(pair, drafter, expert, dtype)
    folders = {"drafter": models.drafter, "expert": models.expert}
    prompts = read_prompts(models.expert)
    check_room(prompts, max_tokens, models.context_length)
    cases = steps_in(models.dtype)
    rates = [together.Rates(case) for case in TOGETHER]
    with progress_bar(len(cases) + 5 + len(TOGETHER) * rate_repeats) as bar:
        found = steps.measure(folders, models.dtype, cases, repeats, bar)
        bar.say("loading the expert")
        model = load(models.expert, device="cpu", dtype=models.dtype)
        keep_freed_memory()
        overheads = [overhead.measure(model, sessions, repeats, bar) for sessions in (1, 8)]
        where = operators.measure(model, models.expert, repeats, bar)
        del model
        long = min(intrusion.PROMPT, models.context_length - 1)
        intruded = intrusion.measure(models.expert, models.dtype, long, bar)
        full = limits.measure(models.expert, models.dtype, limits.BUDGET, bar)
        for weights in dict.fromkeys(rate.case.drafter_weights for rate in rates):
            bar.say("starting the services")
            with running(replace(models, drafter_weights=weights)) as router:
                for rate in rates:
                    if rate.case.drafter_weights == weights:
                        together.measure(
                            router, rate.case, prompts, max_tokens, rate_repeats, rate, bar
                        )
    run = Run(
        machine=watch.machine(),
        models=models.names,
        dtype=models.dtype,
        max_tokens=max_tokens,
        repeats=repeats,
        rate_repeats=rate_repeats,
        steps=found,
        overheads=overheads,
        operators=where,
        intrusion=intruded,
        limits=full,
        rates=rates,
    )
    path = results.write(out, "engine", to_markdown(run), to_json(run))
    print(path.read_text())
    print(f"Written to {path} and {path.with_suffix('.json')}")


if __name__ == "__main__":
    options.run(engine)
