"""``cascade down``: stops the services that ``up`` started."""

from rich.console import Console

from router.cli.processes import find, stop
from router.cli.state import Service, StateStore
from router.cli.terminal import plain_console

_ORDER = (("router",), ("drafter", "expert"))
"""The router first: its answers need the two others."""


def down(grace_s: float) -> int:
    """Lets the services finish what they do, and kills what is left after ``grace_s`` seconds.

    Raises:
        CliError: another ``up`` or ``down`` is at work.
    """
    store, out = StateStore.default(), plain_console()
    with store.locked():
        state = store.read()
        services = state.services if state else ()
        if not any(map(find, services)):
            store.clear()
            out.print("nothing runs")
            return 0
        for roles in _ORDER:
            _stop([service for service in services if service.role in roles], grace_s, out)
        store.clear()
    return 0


def _stop(services: list[Service], grace_s: float, out: Console) -> None:
    killed = stop(services, grace_s)
    for service in services:
        if service.role not in killed:
            how = "had ended"
        else:
            how = f"killed after {grace_s:g} s" if killed[service.role] else "stopped"
        out.print(f"{service.role} (pid {service.pid}): {how}", markup=False)
