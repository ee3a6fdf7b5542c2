"""The drafter's and the expert's services, and what every server of the system shares."""

import os

# gRPC's older poller, in which the thread that waits for the socket is the one that wakes the event
# loop: one thread fewer on the way of every message, a sixth less of the router's CPU time for a
# round.  gRPC reads this once, when it is imported.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")

# The router tokenises one text at a time, on a thread of its own: a pool of others is of no use,
# and would not outlive a fork.  tokenizers reads this at each batch.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
