"""``cascade calibrate``: what each leniency of a rule costs and buys on prompts of one's own.

Evaluating rules needs torch, so it is a command of ``services``, which takes this process's place
and with it the terminal.  What this part knows is where the services are.
"""

import os
import sys
from collections.abc import Mapping
from typing import NoReturn

from router.cli.access import forget
from router.cli.errors import NotRunning, UsageError
from router.cli.processes import find
from router.cli.state import ROLES, StateStore

OPTIONS = {
    "router": "--address",
    "drafter": "--drafter-address",
    "expert": "--expert-address",
}
"""By the role of the service whose host:port they take."""


def calibrate(
    prompts: str,
    options: Mapping[str, str | bool | None],
    addresses: Mapping[str, str | None],
) -> NoReturn:
    """Becomes ``python -m services.calibrate``.

    Args:
        prompts: the file of prompts.
        options: by name; what is None or false is not given.
        addresses: of the three services, by role; None: the one that runs here.

    Raises:
        CliError: no services run here, or only some addresses are given.
    """
    where = service_addresses(addresses, StateStore.default())
    if not all(addresses.get(role) for role in ROLES):
        forget()
    arguments = [f"{OPTIONS[role]}={where[role]}" for role in ROLES]
    for name, value in options.items():
        if value is True:
            arguments.append(name)
        elif isinstance(value, str):
            arguments.append(f"{name}={value}")
    sys.stdout.flush()
    command = [sys.executable, "-P", "-m", "services.calibrate", *arguments, "--", prompts]
    os.execv(sys.executable, command)


def service_addresses(given: Mapping[str, str | None], store: StateStore) -> dict[str, str]:
    """Where the three services are, by role: as given, or those that run here.

    Raises:
        NotRunning: none are given, and not all run.
        UsageError: some are given; the others may be those of another pair.
    """
    chosen = {role: address for role in ROLES if (address := given.get(role))}
    if len(chosen) == len(ROLES):
        return chosen
    if chosen:
        missing = " and ".join(option for role, option in OPTIONS.items() if role not in chosen)
        raise UsageError(f"{missing}: missing; give all three addresses, or none of them")
    state = store.read()
    for role in ROLES:
        service = state.service(role) if state else None
        if service is None or service.address is None or find(service) is None:
            every = ", ".join(OPTIONS.values())
            raise NotRunning(f"no {role} runs here: start one with `cascade up`, or give {every}")
        chosen[role] = service.address
    return chosen
