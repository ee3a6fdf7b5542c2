"""Memory that a pod frees is used again."""

import subprocess
import sys

# Page faults of ten arrays of 60 MB on a thread of their own, after as many that find their places;
# each is freed before the next.
PROGRAM = """
import resource, sys, threading
from services.engine.allocator import give_back_large_memory, keep_freed_memory
import torch
if sys.argv[1] == "kept":
    assert give_back_large_memory() and keep_freed_memory()
def fill():
    for _ in range(10):
        torch.ones(15_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(15_000_000)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
thread = threading.Thread(target=fill)
thread.start()
thread.join()
"""


def faults(how: str) -> int:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    return int(run.stdout)


def test_large_arrays_come_from_memory_that_is_there() -> None:
    assert 20 * faults("kept") < faults("as it comes")
