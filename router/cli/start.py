"""One start of the three services: processes, waiting, and the way back where one fails."""

import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import psutil

from router.cli.client import health
from router.cli.errors import StartFailed
from router.cli.interrupts import uninterrupted
from router.cli.loading import Loading
from router.cli.pods import PodPlan
from router.cli.preflight import HOST
from router.cli.processes import last_words, resident_bytes, start, stop
from router.cli.state import Service, State, StateStore

MODULES = {"drafter": "services.drafter", "expert": "services.expert", "router": "router"}
STOP_GRACE_S = 10.0
_GRACE_S = 3600.0
"""Of the services themselves: ``cascade down`` kills what takes longer than it was told to."""
_POLL_S = 0.1


class Start:
    """One start of the three services; all or nothing."""

    def __init__(self, store: StateStore, display: Loading) -> None:
        self._store = store
        self._display = display
        self._processes: dict[str, psutil.Popen] = {}

    def run(self, state: State, pods: Sequence[PodPlan], router_flags: Sequence[str]) -> State:
        """Starts the two pods together, then the router, and waits until they serve.

        Args:
            state: what is started, without services.
            pods: the drafter and the expert.
            router_flags: all but its peers.

        Returns:
            What runs then, as the state file has it.

        Raises:
            StartFailed: one has ended; the others are stopped then, as on Ctrl-C.
        """
        self._store.clear()
        self._state = state
        try:
            for role, pod in zip(("drafter", "expert"), pods, strict=True):
                self._start(role, pod.title, [*pod.flags, "--port", "0"], pod.needed)
            addresses = self._wait(["drafter", "expert"])
            peers = [f"--{role}={address}" for role, address in addresses.items()]
            self._start("router", "connects to the two", [*peers, *router_flags])
            self._wait(["router"])
            return self._state
        except BaseException:
            with uninterrupted():
                stop(self._state.services, STOP_GRACE_S)
                self._store.clear()
            raise

    def _start(self, role: str, what: str, flags: list[str], needed: int | None = None) -> None:
        port_file = ["--port-file", str(self._store.port_file(role))]
        own = ["--host", HOST, "--grace-s", str(_GRACE_S)]
        command = [sys.executable, "-m", MODULES[role], *own, *port_file, *flags]
        with uninterrupted():
            self._processes[role], service = start(role, command, self._store.log(role))
            self._remember(service)
        self._display.begin(role, what, needed)

    def _remember(self, service: Service) -> None:
        self._state = self._state.with_service(service)
        self._store.write(self._state)

    def _wait(self, roles: list[str]) -> dict[str, str]:
        """Waits until all of these serve; gives their addresses in that order.

        Raises:
            StartFailed: one that was started has ended.
        """
        addresses: dict[str, str] = {}
        while len(addresses) < len(roles):
            for role in self._processes:
                self._check_alive(role)
            for role in roles:
                if role not in addresses and (address := self._serving(role)):
                    addresses[role] = address
                    self._display.serves(role, address)
            time.sleep(_POLL_S)
        return {role: addresses[role] for role in roles}

    def _check_alive(self, role: str) -> None:
        status = self._processes[role].poll()
        if status is None:
            return
        log = self._store.log(role)
        if status < 0:
            advice = ": out of memory?" if status == -signal.SIGKILL else ""
            why = f"killed by {signal.Signals(-status).name}{advice}"
        else:
            why = last_words(log) or f"exit status {status}"
        raise StartFailed(f"the {role} did not start: {why} (log: {log})")

    def _serving(self, role: str) -> str | None:
        """The service's address once it serves."""
        service = self._state.service(role)
        if service is None:
            return None
        self._display.memory(role, resident_bytes(service))
        try:
            address = f"{HOST}:{int(self._store.port_file(role).read_text())}"
        except FileNotFoundError:
            return None
        if health(address) != "serving":
            return None
        self._remember(replace(service, address=address))
        return address
