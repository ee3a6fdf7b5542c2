"""``cascade status``: the three services, where they are and how they do."""

import json
from dataclasses import asdict, dataclass

from cascade.v1 import model_pb2
from rich.markup import escape
from rich.table import Table

from router.cli.client import health, model_info
from router.cli.preflight import gigabytes
from router.cli.processes import find, resident_bytes
from router.cli.state import ROLES, State, StateStore
from router.cli.terminal import new_table, plain_console


@dataclass(frozen=True)
class ServiceStatus:
    """What can be said of one service; None where it is not known."""

    role: str
    health: str
    """``serving``, or what it is instead."""
    pid: int | None = None
    address: str | None = None
    model: str | None = None
    dtype: str | None = None
    slots_free: int | None = None
    slots_total: int | None = None
    sessions_waiting: int | None = None
    memory_bytes: int | None = None


def status(*, as_json: bool) -> int:
    """Prints a table, or JSON.

    Returns:
        The exit status: 0 if all three serve, else 1.

    Raises:
        CliError: the state file can't be read.
    """
    state = StateStore.default().read()
    found = [service_status(state, role) for role in ROLES] if state else []
    serves = bool(found) and all(service.health == "serving" for service in found)
    out = plain_console()
    if as_json:
        services = [asdict(service) for service in found]
        print(json.dumps({"serving": serves, "pair": state and state.pair, "services": services}))
    elif state is None:
        out.print("nothing runs: `cascade up` starts the services", markup=False)
    else:
        out.print(state.title, markup=False)
        out.print(_table(found), soft_wrap=False)
    return 0 if serves else 1


def service_status(state: State, role: str) -> ServiceStatus:
    """Asks one service."""
    service = state.service(role)
    if service is None:
        return ServiceStatus(role, "not started")
    if find(service) is None:
        return ServiceStatus(role, "ended", service.pid, service.address)
    memory = resident_bytes(service)
    if service.address is None:
        return ServiceStatus(role, "starting", service.pid, memory_bytes=memory)
    known = ServiceStatus(
        role, health(service.address), service.pid, service.address, memory_bytes=memory
    )
    info = model_info(service.address) if role != "router" else None
    if info is None:
        return known
    return ServiceStatus(
        **(
            asdict(known)
            | {
                "model": info.model,
                "dtype": _precision(info),
                "slots_free": info.slots_free,
                "slots_total": info.slots_total,
                "sessions_waiting": info.sessions_waiting,
            }
        )
    )


def _precision(info: model_pb2.GetModelInfoResponse) -> str:
    """``bfloat16 cpu``; ``int4 bfloat16 cpu, 32768 tokens`` of other weights and a short head."""
    kept = f"{info.weights} " if info.weights not in ("", info.dtype) else ""
    short = f", {info.draft_vocabulary} tokens" if info.draft_vocabulary else ""
    return f"{kept}{info.dtype} {info.device}{short}"


def _table(found: list[ServiceStatus]) -> Table:
    table = new_table("service", "pid", "address", "health", "model", "dtype")
    for name in ("free", "waiting", "memory"):
        table.add_column(name, justify="right", no_wrap=True)
    for service in found:
        slots = None if service.slots_total is None else (service.slots_free, service.slots_total)
        good = service.health == "serving"
        cells = (
            service.role,
            service.pid,
            service.address,
            service.health,
            service.model,
            service.dtype,
            slots and f"{slots[0]}/{slots[1]}",
            service.sessions_waiting,
            service.memory_bytes and gigabytes(service.memory_bytes),
        )
        table.add_row(
            *("-" if cell is None else escape(str(cell)) for cell in cells),
            style="" if good else "red",
        )
    return table
