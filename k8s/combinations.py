"""Which renderings are checked: every overlay, every component alone, and all of them together."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

from k8s.objects import Object
from k8s.render import components, overlays, render_overlay, render_with

ALTERNATIVES = (
    ("weights-from-hub", "weights-from-volume"),
    ("autoscaling", "autoscaling-cpu", "fixed-replicas"),
)
"""Components of which one excludes the other."""

NEEDS = {"pair-tiny": "weights-from-volume"}
"""Components that go with another one."""

Rendering = Callable[[], list[Object]]


def together() -> Iterator[tuple[str, ...]]:
    """All components at once, for each choice among the alternatives."""
    chosen = {name for names in ALTERNATIVES for name in names}
    for choice in product(*ALTERNATIVES):
        rest = [
            name
            for name in components()
            if name not in chosen and NEEDS.get(name, "") in ("", *choice)
        ]
        yield (*choice, *rest)


def renderings() -> dict[str, Rendering]:
    """Each rendering by its name."""
    found: dict[str, Rendering] = {"base": render_with}
    for name in overlays():
        found[f"overlay {name}"] = partial(render_overlay, name)
    for name in components():
        needed = (NEEDS[name],) if name in NEEDS else ()
        found[f"component {name}"] = partial(render_with, *needed, name)
    for names in together():
        found["all: " + ", ".join(names)] = partial(render_with, *names)
    return found
