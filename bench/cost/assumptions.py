"""What the report takes for granted, each in a sentence of its own."""

_ALWAYS = [
    "Devices of one role are alike, a request may go to any of them, and work is spread evenly; "
    "waiting is not modelled, the utilisation stands for it",
    "A pod is one device, and busy time grows with the tokens: an answer twice as long takes twice "
    "the time, though attention over a longer context takes more",
    "The gain of several sessions divides the time of both roles alike, and holds at every load: a "
    "small load, or one spread over many pods, may not have so many sessions at once",
    "Cost is busy time by the price of a device hour; a pod's idle time is in *cost an hour* "
    "alone. Routers, network, storage and spare pods are in neither",
]

_MEASURED = [
    "A device is the whole machine that was measured: with one session at a time drafter and "
    "expert take turns, each with all cores, so the seconds of each are those of a machine of "
    "its own",
    "The gain was measured with drafter, expert and router on the same cores; as the two take "
    "turns, it is one of their summed device time. How it is split between them is not known",
    "The gain of `streams.json` has the passes over the prompts in it; that of `engine.json` "
    "(`--gains engine`) is of another number of sessions, of decoding alone, and divides the "
    "prompts' passes, too, which gain less: costs with it are too low",
    "Seconds of the expert alone and of the speculative modes include the passes over the prompts "
    "that were measured, so an answer of any length is charged the same share of prompt: too much "
    "for answers longer than the measured ones beside prompts of the same length",
    "The drafter alone is its answers in `streams.json` by the clock: messages and router are in "
    "it, which the other rows leave out",
    "The speculative modes' seconds are of answers that speculate to their end; their gain in "
    "`streams.json` is of answers in which the router may let the expert go on alone, and does "
    "where that pays: how the seconds of several sessions divide into drafter and expert is not "
    "known, and pods of drafters are an upper bound",
    "Greedy decoding of few prompts of one kind, and the block lengths that the router chose on "
    "this machine: rounds and acceptance differ with the task",
]

_GIVEN = [
    "Times given with `--times` are of one step of one session; the passes over the prompts are "
    "left out in every mode",
    "Tokens drafted and delivered in a round are those of `speed.json` unless given: acceptance is "
    "one of the models and the task, but the router chooses block lengths by the step times, and "
    "would choose others",
    "A mode whose gain is not given has a gain of 1; the gains measured on another machine are "
    "not used",
]


def assumed(*, given: bool) -> list[str]:
    """The assumptions of a report; ``given``: whether its step times came with ``--times``."""
    return [*(_GIVEN if given else _MEASURED), *_ALWAYS]
