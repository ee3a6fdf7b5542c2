"""How the two pods are started: with a pair's models, or simulated."""

from dataclasses import dataclass

from router.cli.preflight import POD_BYTES, Models, needed_memory
from services.serving.settings import SHARED_CACHE, SHARED_GATHER

SIMULATED = "simulated"
"""What stands in place of a pair's name."""


@dataclass(frozen=True)
class PodPlan:
    """How a pod is started."""

    title: str
    """What it runs, for people."""
    flags: list[str]
    needed: int
    """Bytes that it will take, about, without its sessions."""


@dataclass(frozen=True)
class Simulated:
    """Models that are simulated."""

    agreement: float = 0.8
    """How often the expert's word is the drafter's first choice."""
    drafter_ms: float = 4.0
    """Of a pass, and so of a drafted token."""
    expert_ms: float = 30.0
    """Of a pass."""


def model_pods(
    models: Models, dtype: str, device: str, weights: dict[str, str], draft_vocabulary: int = 0
) -> list[PodPlan]:
    """Drafter and expert with a pair's models.

    Raises:
        StartFailed: a model has no readable weights.
    """
    needed = needed_memory(models, dtype, device, weights)
    own = {"drafter": ["--draft-vocabulary", str(draft_vocabulary)] if draft_vocabulary else []}
    return [
        PodPlan(
            str(folder),
            [
                *("--model", str(folder), "--dtype", dtype, "--device", device),
                *("--weights", weights[role], "--gather", str(SHARED_GATHER)),
                *("--cache-share", str(SHARED_CACHE)),
                *own.get(role, []),
            ],
            needed[role],
        )
        for role, folder in (("drafter", models.drafter), ("expert", models.expert))
    ]


def simulated_pods(simulated: Simulated) -> list[PodPlan]:
    """Drafter and expert without models."""
    return [
        PodPlan(
            f"{SIMULATED}, agreement {simulated.agreement:g}, {step_ms:g} ms a pass",
            [
                *("--simulate.agreement", str(simulated.agreement)),
                *("--simulate.pass-ms", str(step_ms)),
            ],
            POD_BYTES,
        )
        for step_ms in (simulated.drafter_ms, simulated.expert_ms)
    ]
