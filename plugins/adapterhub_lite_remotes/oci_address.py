"""``oci://host[:port]/repository[:tag]``, taken apart."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from adapterhub_lite.errors import RemoteError

PLAIN_SCHEME: Final = "oci+http"
PART: Final = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
REPOSITORY: Final = re.compile(rf"({PART}(?:/{PART})*)(?::([A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}))?")
HOST: Final = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")
ALSO_CALLED: Final = {"docker.io": "registry-1.docker.io"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a repository is: its registry's host as it was written, and the URL to ask."""

    text: str
    host: str
    repository: str
    tag: str | None
    plain: bool

    @property
    def url(self) -> str:
        """The URL that all of the registry's interface is below."""
        host = ALSO_CALLED.get(self.host, self.host)
        return f"{'http' if self.plain else 'https'}://{host}/v2/"


def parse_address(text: str) -> Address:
    """Take an address apart; raises RemoteError for one that names no repository."""
    scheme, _, rest = text.partition("://")
    host, _, path = rest.partition("/")
    found = REPOSITORY.fullmatch(path)
    if HOST.fullmatch(host) is None or found is None:
        raise RemoteError(
            f"{text!r} names no repository of an OCI registry",
            remote=text,
            hint="write oci://HOST/REPOSITORY, in lower case, as in oci://ghcr.io/acme/tickets",
        )
    plain = scheme.lower() == PLAIN_SCHEME or is_loopback(f"http://{host}")
    return Address(text, host, found[1], found[2], plain)


def is_loopback(url: str) -> bool:
    """Say whether a URL is one of this machine, which nobody else can listen to."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
