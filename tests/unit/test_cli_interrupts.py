"""Signals end a block as Ctrl-C does, or wait for its end."""

import signal

import pytest

from router.cli.interrupts import interruptible, uninterrupted

ENDING = [signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", [signal.SIGINT, *ENDING])
def test_a_block_that_is_not_to_be_cut_is_finished_first(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    done = []

    def block() -> None:
        with uninterrupted():
            signal.raise_signal(number)
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done
    assert signal.getsignal(number) is before
    with uninterrupted():
        pass


@pytest.mark.parametrize("number", ENDING)
def test_signals_end_an_interruptible_block(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before
