"""The laws, through real services."""
