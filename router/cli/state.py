"""What runs here: one JSON file in the state directory, written whole or not at all."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from router.cli.errors import UsageError

REPOSITORY = Path(__file__).resolve().parents[2]
STATE_DIR_VARIABLE = "CASCADE_STATE_DIR"
ROLES = ("drafter", "expert", "router")
"""The three services, in the order in which they start."""


@dataclass(frozen=True)
class Service:
    """A process of ours."""

    role: str
    pid: int
    started: float
    """When the process began, seconds since 1970: another process of this pid began later."""
    command: tuple[str, ...]
    log: str
    """The file that its output goes to."""
    address: str | None = None
    """host:port once it serves."""


@dataclass(frozen=True)
class State:
    """The three services and what they were started with."""

    pair: str | None
    """Name of the pair, None for two folders."""
    drafter: str
    """Folder of its model."""
    expert: str
    """Folder of its model."""
    dtype: str
    device: str
    drafter_weights: str = "auto"
    expert_weights: str = "auto"
    draft_vocabulary: int = 0
    services: tuple[Service, ...] = ()
    """In the order of ``ROLES``."""

    @property
    def title(self) -> str:
        """The pair, for people."""
        return f"pair {self.pair}" if self.pair else f"{self.drafter} and {self.expert}"

    @property
    def address(self) -> str | None:
        """The router's host:port once it serves."""
        router = self.service("router")
        return router.address if router else None

    def service(self, role: str) -> Service | None:
        """The service of this role, if it was started."""
        return next((service for service in self.services if service.role == role), None)

    def with_service(self, service: Service) -> "State":
        """A copy with this service, in place of an earlier one of its role."""
        known = {other.role: other for other in (*self.services, service)}
        return replace(self, services=tuple(known[role] for role in ROLES if role in known))


class StateError(UsageError):
    """The state directory can't be used."""


class StateStore:
    """The state directory: the state file, a lock, log files, and the files that ports come in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def default(cls) -> "StateStore":
        """In $CASCADE_STATE_DIR, or `.run` in the repository."""
        chosen = os.environ.get(STATE_DIR_VARIABLE)
        return cls(Path(chosen).expanduser().absolute() if chosen else REPOSITORY / ".run")

    @property
    def path(self) -> Path:
        """The state file."""
        return self.directory / "state.json"

    def log(self, role: str) -> Path:
        """The log file of a service."""
        return self.directory / f"{role}.log"

    def port_file(self, role: str) -> Path:
        """The file that a service writes its port to."""
        return self.directory / f"{role}.port"

    def read(self) -> State | None:
        """What was started; None: nothing.

        Raises:
            StateError: the file is damaged or can't be read.
        """
        try:
            table = json.loads(self.path.read_text(encoding="utf-8"))
            services = tuple(
                Service(**(service | {"command": tuple(service["command"])}))
                for service in table.pop("services")
            )
            return State(**table, services=services)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateError(f"{self.path} is damaged; remove it") from error
        except OSError as error:
            raise StateError(f"can't read {self.path}: {error.strerror}") from error

    def write(self, state: State) -> None:
        """Replaces the state file as a whole.

        Raises:
            StateError: the directory can't be written.
        """
        part = self.path.with_suffix(".part")
        try:
            part.write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")
            part.rename(self.path)
        except OSError as error:
            raise StateError(f"can't write {self.path}: {error.strerror}") from error

    def clear(self) -> None:
        """Forgets what was started.  Log files stay."""
        for path in (self.path, *map(self.port_file, ROLES)):
            path.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second ``up`` or ``down`` away while the block runs.

        Raises:
            StateError: another one is at work, or the directory can't be written.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            file = (self.directory / "lock").open("w")
        except OSError as error:
            raise StateError(f"can't write {self.directory}: {error.strerror}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StateError(
                    f"another `cascade up` or `cascade down` is at work in {self.directory}"
                ) from error
            yield
