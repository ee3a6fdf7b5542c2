"""What a drafted token costs on the network: bytes of messages, law by law."""
