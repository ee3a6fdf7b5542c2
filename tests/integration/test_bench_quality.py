"""The quality bench asks real processes, and goes on where an earlier run has ended."""

from pathlib import Path

from bench.pair import Pair
from bench.progress import progress_bar
from bench.quality.ask import Asking, ask, settings
from bench.quality.judge import judge
from bench.quality.kept import keeping
from bench.quality.problems import read_problems
from bench.quality.summary import beside, summarise
from bench.quality.systems import DRAFTER, EXPERT, LOSSLESS
from tests.services import TINY

PAIR = Pair(TINY / "drafter", TINY / "expert", "float32")
SYSTEMS = [DRAFTER, EXPERT, LOSSLESS]
ASKING = Asking(max_tokens=20, at_once=2, chat=False)


def test_problems_are_asked_at_once_and_never_twice(tmp_path: Path) -> None:
    problems = read_problems(4)
    with keeping(tmp_path, settings(PAIR, ASKING)) as kept, progress_bar(36) as bar:
        assert ask(SYSTEMS[:2], PAIR, problems[:2], kept, bar, ASKING) == 0
        assert ask(SYSTEMS, PAIR, problems, kept, bar, ASKING) == 4
        assert ask(SYSTEMS, PAIR, problems, kept, bar, ASKING) == 12
        judged = judge(SYSTEMS, problems, kept, bar)
    expert, lossless = summarise(judged[EXPERT]), summarise(judged[LOSSLESS])
    assert expert.calls_per_token == 1.0
    assert 0 < lossless.calls_per_token < 1
    assert beside(judged[LOSSLESS], judged[EXPERT]).identical == len(problems)
    assert summarise(judged[DRAFTER]).calls_per_token == 0
