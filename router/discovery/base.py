"""What every discovery gives: the pods of one role, each time that they change."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Endpoint:
    """A pod, as the discovery sees it."""

    address: str
    """host:port."""
    ready: bool = True
    """Whether it may be given new sessions: it serves, and is not to end."""
    terminating: bool = False
    """Whether it is to end; its sessions may still finish."""
    zone: str = ""
    """Where it runs; empty where that is not known."""


View = Mapping[str, Endpoint]
"""All pods of a role, by address."""


class Discovery(ABC):
    """The pods of one role."""

    @abstractmethod
    def views(self) -> AsyncGenerator[View, None]:
        """All pods there are, now and after each change.  Never ends; closing it stops the work.

        Where nothing can be learnt, it goes on trying, and the last view stands.
        """

    @abstractmethod
    def look_again(self) -> None:
        """A pod failed: do not wait for the next regular look, where there is one."""
