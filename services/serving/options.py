"""gRPC options that both ends share: a finite message cap, and matching keepalive pairs."""

MAX_MESSAGE_BYTES = 4 << 20
"""The largest message that any server or client takes."""

_PING_EVERY_MS = 10_000
_PING_TIMEOUT_MS = 5_000

Options = list[tuple[str, str | int]]

_BOTH_ENDS: Options = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", _PING_EVERY_MS),
    ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_MS),
    ("grpc.http2.max_pings_without_data", 0),
]
SERVER_OPTIONS: Options = [
    *_BOTH_ENDS,
    ("grpc.keepalive_permit_without_calls", 1),
    # Half of what both ends keep to: a ping that comes a moment early is no strike.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", _PING_EVERY_MS // 2),
    # On a busy machine pings come late, and the next one early: none of them ends a connection.
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.so_reuseport", 0),
]
# Of servers for clients: a connection is closed after a while, running calls excepted, and the next
# one may find another router, such as one that came later.
MORTAL_CONNECTIONS: Options = [("grpc.max_connection_age_ms", 300_000)]
# Pods and routers are reached directly, whatever proxy the environment names for the world outside.
CHANNEL_OPTIONS: Options = [*_BOTH_ENDS, ("grpc.enable_http_proxy", 0)]
