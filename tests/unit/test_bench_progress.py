"""A long run tells how far it is, on a terminal or in a file."""

import pytest

from bench.progress import progress_bar


def test_a_line_for_each_step_where_there_is_no_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with progress_bar(2) as bar:
        for point in ("a = [0.6]", "a = [0.7]"):
            bar.say(point)
            bar.advance()
            told = capfd.readouterr().err
            assert told.strip().endswith(point)
    assert "2 of 2" in told
