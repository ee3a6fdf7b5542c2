"""A session's hold on a pod, and what the session tells of it."""

from collections.abc import Callable

from router.pool.pod import Pod


class Lease:
    """From before a session is opened to its end."""

    def __init__(
        self, pod: Pod, on_loss: Callable[[], None], on_end: Callable[[Pod], None]
    ) -> None:
        """The session begins.

        Args:
            pod: where.
            on_loss: told when the pod is lost.
            on_end: told at the end.
        """
        self.pod = pod
        self._on_loss = on_loss
        self._on_end = on_end
        self._told = self._over = False
        pod.sessions += 1
        pod.opened += 1
        self._began = pod.breaker.began()

    def opened(self) -> None:
        """The pod is there: what others wait for, if it was left alone before."""
        self.pod.breaker.opened()

    def answered(self) -> None:
        """The pod did what a session asked for."""
        if not self._told:
            self._told = True
            self.pod.breaker.succeeded()

    def lost(self) -> None:
        """The pod can't be reached, or went away."""
        if not self._over:
            self._told = True
            self.pod.breaker.failed(self._began)
            self._on_loss()
        self.close()

    def close(self) -> None:
        """The session is over."""
        if self._over:
            return
        self._over = True
        if not self._told:
            self.pod.breaker.abandoned()
        self.pod.sessions -= 1
        self._on_end(self.pod)
