"""The router: answers clients by deciding, token by token, whose word counts."""
