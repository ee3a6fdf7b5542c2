"""The expert: the Verify RPC around an engine with the large model."""

from services.threads import sleep_soon

sleep_soon()
