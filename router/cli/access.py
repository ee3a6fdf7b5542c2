"""Where flags of ``cascade`` leave what they are given: in the environment."""

import os

from services.serving.access import PREFIX, Access


def remember(tls_ca: str, tls_cert: str, tls_key: str, tls_name: str) -> None:
    """Puts what flags gave where ``Access`` finds it."""
    given = {"TLS_CA": tls_ca, "TLS_CERT": tls_cert, "TLS_KEY": tls_key, "TLS_NAME": tls_name}
    os.environ.update({PREFIX + name: value for name, value in given.items() if value})


def forget() -> None:
    """Takes out of it what is of no service that runs here: these are plain and open."""
    for name in Access.model_fields:
        os.environ.pop(PREFIX + name.upper(), None)
