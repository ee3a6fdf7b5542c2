"""``python -m bench.acceptance``: accepting and rejecting beside the pass that it follows."""

from typing import Annotated

import torch
import typer

from bench import options, results
from bench.acceptance.cases import CASES
from bench.acceptance.drafting import LEAST_ANSWER
from bench.acceptance.measure import draft, measure
from bench.acceptance.operations import operations, shown
from bench.acceptance.report import Run, to_json, to_markdown
from bench.acceptance.verifying import Expert
from bench.machine import Watch
from bench.pair import choose_pair
from bench.progress import progress_bar
from bench.prompts import check_room, read_prompts
from services.engine.allocator import give_back_large_memory, keep_freed_memory
from services.engine.model import load


def acceptance(
    pair: options.Pair = None,
    drafter: options.Drafter = None,
    expert: options.Expert = None,
    dtype: options.Dtype = "auto",
    limit: options.Limit = None,
    repeats: Annotated[int, typer.Option(min=1, help="Passes of each law and block length")] = 27,
    profile: Annotated[
        bool, typer.Option("--profile", help="Also print each law's longest operations")
    ] = False,
    out: options.Out = options.RESULTS,
) -> None:
    """Measure what a verify step does after its pass, as a share of the pass."""
    watch = Watch("bench.acceptance")
    give_back_large_memory()  # as a pod does
    models = choose_pair(pair, drafter, expert, dtype)
    prompts = read_prompts(models.expert, limit)
    check_room(prompts, LEAST_ANSWER, models.context_length)
    with progress_bar(1 + repeats + len(CASES)) as bar:
        bar.say("drafting")
        drafted = draft(models, prompts, CASES)
        bar.say("loading the expert")
        model = load(models.expert, device="cpu", dtype=models.dtype)
        keep_freed_memory()
        verifier = Expert(model, drafted.contexts, CASES[0])
        measured = measure(verifier, drafted, CASES, repeats, bar)
    run = Run(
        machine=watch.machine(),
        models=models.names,
        dtype=models.dtype,
        vocabulary_size=model.facts.vocabulary_size,
        threads=torch.get_num_threads(),
        contexts=len(drafted.contexts),
        repeats=repeats,
        measured=measured,
    )
    path = results.write(out, "acceptance", to_markdown(run), to_json(run))
    print(path.read_text())
    if profile:
        for case in CASES:
            print(shown(case, operations(verifier, case, drafted.blocks[case])))
    print(f"Written to {path} and {path.with_suffix('.json')}")


if __name__ == "__main__":
    options.run(acceptance)
