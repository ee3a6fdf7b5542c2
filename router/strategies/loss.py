"""An error that comes while others still have something to hand on."""

from types import TracebackType

from services.errors import CascadeError


class Loss:
    """Holds the error that ends its block back, until whoever is concerned looks at it."""

    __slots__ = ("error",)

    def __init__(self) -> None:
        self.error: CascadeError | None = None
        """The last one; None: nothing is lost."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, CascadeError):
            return False
        self.error = error
        return True
