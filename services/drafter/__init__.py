"""The drafter: the Draft RPC around an engine with the small model."""

from services.threads import sleep_soon

sleep_soon()
