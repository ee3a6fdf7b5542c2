"""Sessions that outlive their pods.

A strategy drives a SurvivingDrafter or a SurvivingExpert as any other session.  Each mirrors the
session's tokens; where its pod is lost, it opens a session on another one, sends the tokens and
what was not answered yet, and goes on.  Tokens depend on the tokens before them and on keyed noise
alone, so the answer is the same (docs/architecture.md, "When a pod is lost").
"""

from router.survival.drafter import SurvivingDrafter
from router.survival.expert import SurvivingExpert
from router.survival.opener import Opener
from router.survival.order import SlotOrder

__all__ = ["Opener", "SlotOrder", "SurvivingDrafter", "SurvivingExpert"]
