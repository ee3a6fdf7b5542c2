"""An echo through a relay takes the link's round trip, with what the relay itself takes in it."""

from bench.echo import latency_for


def test_what_the_relay_takes_itself_is_left_out_of_the_latency() -> None:
    assert latency_for(0.0) == 0.0, "it cannot be faster than it is"
    assert 0.01 < latency_for(0.04) < 0.02
