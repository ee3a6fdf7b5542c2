"""``cascade up``: starts the three services here and waits until they serve."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from router.cli.errors import INTERRUPTED, StartFailed, UsageError
from router.cli.interrupts import interruptible
from router.cli.loading import Loading
from router.cli.pods import SIMULATED, PodPlan, Simulated, model_pods, simulated_pods
from router.cli.preflight import check_memory, check_port, find_models
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
    draft_vocabulary: int = 0
    port: int | None = None
    simulated: Simulated | None = None
    """In place of models."""

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
    new, pods, flags = _plan(wanted)
    with store.locked(), interruptible():
        state = store.read()
        if state and (gone := _gone(state)):
            stop(state.services, STOP_GRACE_S)
            out.print(f"no {' and no '.join(gone)} any more: all are started anew", markup=False)
        elif state:
            _check_same(state, wanted, new)
            out.print(f"already running: {state.title} at {state.address}", markup=False)
            return 0
        needed = dict(zip(("drafter", "expert"), (pod.needed for pod in pods), strict=True))
        check_memory(needed, wanted.dtype)
        port = DEFAULT_PORT if wanted.port is None else wanted.port
        check_port(port)
        begin = time.monotonic()
        try:
            with Loading(Console(stderr=True)) as display:
                state = Start(store, display).run(new, pods, [*flags, "--port", str(port)])
        except KeyboardInterrupt:
            print("interrupted; what was started is stopped", file=sys.stderr)
            return INTERRUPTED
        where = f"{state.title} at {state.address}"
        out.print(f"running: {where}, ready in {time.monotonic() - begin:.1f} s", markup=False)
    return 0


def _plan(wanted: Wanted) -> tuple[State, list[PodPlan], list[str]]:
    """What is to run, its drafter and expert, and flags of its router.

    Raises:
        UsageError: models, and none.
        StartFailed: a model is not there.
    """
    if wanted.simulated is not None:
        if wanted.pair or wanted.drafter or wanted.expert:
            raise UsageError("--simulate takes no models: give neither --pair nor folders")
        if wanted.draft_vocabulary:
            raise UsageError("--simulate takes no --draft-vocabulary: there is no model to shorten")
        pods = simulated_pods(wanted.simulated)
        return State(SIMULATED, pods[0].title, pods[1].title, "auto", "auto"), pods, []
    models = find_models(wanted.pair, wanted.drafter, wanted.expert)
    pods = model_pods(models, wanted.dtype, wanted.device, wanted.weights, wanted.draft_vocabulary)
    state = State(
        models.name,
        str(models.drafter),
        str(models.expert),
        wanted.dtype,
        wanted.device,
        wanted.drafter_weights,
        wanted.expert_weights,
        wanted.draft_vocabulary,
    )
    # Both models share this machine: drafting ahead would take from the expert.
    return state, pods, ["--draft-ahead", "0"]


def _gone(state: State) -> list[str]:
    """The services that have ended, or never came to serve."""
    known = {service.role: service for service in state.services if service.address}
    return [role for role in ROLES if role not in known or find(known[role]) is None]


def _check_same(state: State, wanted: Wanted, new: State) -> None:
    """Passes if what runs is what is wanted.

    Raises:
        StartFailed: it is something else.
    """
    compared = {
        "pair": ((new.drafter, new.expert), (state.drafter, state.expert)),
        "dtype": (wanted.dtype, state.dtype),
        "device": (wanted.device, state.device),
        "drafter weights": (wanted.drafter_weights, state.drafter_weights),
        "expert weights": (wanted.expert_weights, state.expert_weights),
        "draft vocabulary": (wanted.draft_vocabulary or None, state.draft_vocabulary),
        "port": (wanted.port or None, int((state.address or "").rpartition(":")[2])),
    }
    other = [
        name for name, (ours, theirs) in compared.items() if ours not in (theirs, "auto", None)
    ]
    if other:
        raise StartFailed(
            f"already running, with another {' and '.join(other)}: "
            f"{state.title} at {state.address}; `cascade down` stops it"
        )
