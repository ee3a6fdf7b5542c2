"""Asks the services for answers of each law."""

from collections.abc import Sequence

from bench.client import Client
from bench.progress import Bar
from bench.prompts import Prompt
from bench.wire.cases import Case, Setting
from bench.wire.traffic import Measured, traffic
from services.pod.law import SessionLaw


def ask(
    client: Client, cases: Sequence[Case], prompts: Sequence[Prompt], setting: Setting, bar: Bar
) -> dict[Case, Measured]:
    """One answer of each law to each prompt.

    Raises:
        ServiceFailed: a request failed.
    """
    measured = {}
    for case in cases:
        counted = []
        for prompt in prompts:
            bar.say(f"{case.name}: {prompt.name}")
            statistics = client.answer(case.request(prompt, setting)).statistics
            assert statistics is not None, "the router tells them"
            counted.append((prompt.token_ids, statistics))
            bar.advance()
        law = client.laws[case.mode]
        crossing = SessionLaw.from_proto(law).law.crossing
        measured[case] = Measured(law, crossing, traffic(counted))
    return measured
