"""A step's timing, for the wire."""

from cascade.v1 import law_pb2 as pb

from services.engine.step import Timing


def to_proto(timing: Timing) -> pb.StepTiming:
    """Milliseconds so far."""
    return pb.StepTiming(
        queue_ms=timing.queue_s * 1000,
        compute_ms=timing.compute_s * 1000,
        passes=timing.passes,
        tokens=timing.tokens,
        rows=timing.rows,
        sessions=timing.sessions,
    )
