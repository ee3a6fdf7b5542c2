"""``cascade up``: starts the three services here and waits until they serve."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from router.cli.errors import INTERRUPTED, StartFailed
from router.cli.interrupts import interruptible
from router.cli.loading import Loading
from router.cli.preflight import Models, check_memory, check_port, find_models, needed_memory
from router.cli.processes import find, stop
from router.cli.start import STOP_GRACE_S, Start
from router.cli.state import ROLES, State, StateStore
from router.cli.terminal import plain_console

DEFAULT_PORT = 50050


@dataclass(frozen=True)
class Wanted:
    """What ``up`` was asked for.  None: whatever is the default, or runs already."""

    pair: str | None = None
    drafter: Path | None = None
    expert: Path | None = None
    dtype: str = "auto"
    device: str = "auto"
    drafter_weights: str = "auto"
    expert_weights: str = "auto"
    port: int | None = None

    @property
    def weights(self) -> dict[str, str]:
        """What each role's weights are to be kept in."""
        return {"drafter": self.drafter_weights, "expert": self.expert_weights}


def up(wanted: Wanted) -> int:
    """Starts the services, unless they run already.

    Returns:
        The exit status: 0, or 130 where Ctrl-C stopped it, and with it what it had started.

    Raises:
        CliError: they can't start, or another pair runs.
    """
    store, out = StateStore.default(), plain_console()
    models = find_models(wanted.pair, wanted.drafter, wanted.expert)
    with store.locked(), interruptible():
        state = store.read()
        if state and (gone := _gone(state)):
            stop(state.services, STOP_GRACE_S)
            out.print(f"no {' and no '.join(gone)} any more: all are started anew", markup=False)
        elif state:
            _check_same(state, wanted, models)
            out.print(f"already running: {state.title} at {state.address}", markup=False)
            return 0
        needed = needed_memory(models, wanted.dtype, wanted.device, wanted.weights)
        check_memory(needed, wanted.dtype)
        port = DEFAULT_PORT if wanted.port is None else wanted.port
        check_port(port)
        begin = time.monotonic()
        try:
            with Loading(Console(stderr=True)) as display:
                start = Start(store, display, needed)
                state = start.run(models, wanted.dtype, wanted.device, wanted.weights, port)
        except KeyboardInterrupt:
            print("interrupted; what was started is stopped", file=sys.stderr)
            return INTERRUPTED
        where = f"{state.title} at {state.address}"
        out.print(f"running: {where}, ready in {time.monotonic() - begin:.1f} s", markup=False)
    return 0


def _gone(state: State) -> list[str]:
    """The services that have ended, or never came to serve."""
    known = {service.role: service for service in state.services if service.address}
    return [role for role in ROLES if role not in known or find(known[role]) is None]


def _check_same(state: State, wanted: Wanted, models: Models) -> None:
    """Passes if what runs is what is wanted.

    Raises:
        StartFailed: it is something else.
    """
    compared = {
        "pair": ((str(models.drafter), str(models.expert)), (state.drafter, state.expert)),
        "dtype": (wanted.dtype, state.dtype),
        "device": (wanted.device, state.device),
        "drafter weights": (wanted.drafter_weights, state.drafter_weights),
        "expert weights": (wanted.expert_weights, state.expert_weights),
        "port": (wanted.port, int((state.address or "").rpartition(":")[2])),
    }
    other = [
        name for name, (ours, theirs) in compared.items() if ours not in (theirs, "auto", None)
    ]
    if other:
        raise StartFailed(
            f"already running, with another {' and '.join(other)}: "
            f"{state.title} at {state.address}; `cascade down` stops it"
        )
