"""The router: answers clients by deciding, token by token, whose word counts."""

import services as services  # first: what it sets, gRPC reads when it is imported
