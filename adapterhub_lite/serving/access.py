"""Who may ask: a token, or on this machine alone nobody's leave."""

import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from adapterhub_lite.errors import UserError
from adapterhub_lite.serving.failures import RefusedError

OPEN_PATHS: Final = frozenset({"/", "/health", "/ready"})
"""What needs no token: the page holds no data, and probes have none."""
_SHORTEST = 16


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask. Without a token, requests are for this machine's own names alone.

    That a request names this machine is asked so that a page in somebody's browser cannot reach the
    server through a name of its own that leads here (DNS rebinding).
    """

    token: str | None
    host: str

    def __post_init__(self) -> None:
        if self.token is None and not is_loopback(self.host):
            raise UserError(
                f"{self.host} can be reached by others, and there is no token",
                hint="set AHL_TOKEN, say --token-file FILE, or bind 127.0.0.1",
            )
        if self.token is not None and len(self.token) < _SHORTEST:
            raise UserError(
                f"the token is shorter than {_SHORTEST} characters",
                hint="make one: python -c 'import secrets; print(secrets.token_urlsafe())'",
            )
        if self.token is not None and not (self.token.isascii() and self.token.isprintable()):
            raise UserError(
                "the token has characters that no HTTP header holds", hint="use ASCII letters"
            )

    def check(self, path: str, headers: Mapping[bytes, bytes]) -> None:
        """Raise RefusedError: 401 without the right token, 403 for another machine's name."""
        if self.token is None:
            self._check_host(headers.get(b"host", b""))
        elif path not in OPEN_PATHS:
            self._check_token(self.token, headers.get(b"authorization", b""))

    def _check_token(self, token: str, given: bytes) -> None:
        scheme, _, value = given.partition(b" ")
        # The comparison takes as long whatever the first wrong character is.
        right = hmac.compare_digest(value.strip(), token.encode("ascii"))
        if scheme.lower() != b"bearer" or not right:
            raise RefusedError(
                "the token is missing or wrong",
                status=401,
                code="invalid_api_key",
                hint="send: Authorization: Bearer TOKEN",
            )

    def _check_host(self, header: bytes) -> None:
        name = re.sub(r":[0-9]*$", "", header.decode("latin-1"))
        if not is_loopback(name.strip("[]")):
            raise RefusedError(
                "this server answers to names of this machine alone",
                status=403,
                code="wrong_host",
                hint="ask http://127.0.0.1, or serve with a token",
            )


@lru_cache(64)
def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine's own, reached by nobody else."""
    if host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
