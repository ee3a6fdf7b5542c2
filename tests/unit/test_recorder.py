"""What an answer's statistics count."""

from cascade.v1 import law_pb2

from router.recorder import Recorder


def timing(passes: int) -> law_pb2.StepTiming:
    return law_pb2.StepTiming(passes=passes, tokens=passes, compute_ms=10.0 * passes)


def test_a_step_that_goes_on_on_another_pod_was_work_on_both() -> None:
    """Where it is one step, of a model alone, all of the lost pod's passes are in it."""
    recorder = Recorder(law_pb2.Law(mode=law_pb2.MODE_EXPERT))
    for passes in (1, 2, 3):
        recorder.expert_step(timing(passes), last=False)
    for passes in (1, 2):
        recorder.expert_step(timing(passes), last=False)
    recorder.expert_step(timing(3))
    found = recorder.statistics()
    assert (found.expert_tokens, found.expert_calls, found.verify_ms) == (6, 2, 60.0)


def test_a_step_that_goes_on_counts_once() -> None:
    recorder = Recorder(law_pb2.Law(mode=law_pb2.MODE_DRAFTER))
    for passes in (1, 2, 3):
        recorder.drafter_step(timing(passes), last=False)
    assert recorder.statistics().drafter_tokens == 3, "the answer may end in the middle of one"
    recorder.drafter_step(timing(4))
    recorder.drafter_step(timing(2))
    assert recorder.statistics().draft_ms == 60.0
