"""Requests to an OCI registry: within limits, over TLS, and with a log-in where it is asked for."""

import json
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import httpx2

from adapterhub_lite.errors import IntegrityError, NotFoundError, RemoteError
from adapterhub_lite.plugins import one_line
from adapterhub_lite_remotes import layout
from adapterhub_lite_remotes.oci_address import PLAIN_SCHEME, Address, is_loopback
from adapterhub_lite_remotes.oci_login import HINT, Login, basic, find_login, parse_challenge

SMALL: Final = 4 << 20
"""No manifest, list or error has more bytes: what the specification advises registries to bear."""
TIMEOUT: Final = httpx2.Timeout(30, read=120, write=120)
LONGEST_REASON: Final = 200
OK: Final = 200
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
TOO_MANY: Final = 429
SERVER_ERRORS: Final = 500
TOKEN: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a registry answered."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def follow(self, reference: str) -> str:
        """Return a URL that the registry gave, which may be relative to the one asked."""
        try:
            return urljoin(self.url, reference)
        except ValueError as error:
            raise IntegrityError(f"the registry gives no URL: {reference!r}") from error

    def json(self) -> dict[str, Any]:
        """Return the object in the body; raises IntegrityError."""
        return parse_object(self.body, "the registry's answer")


def parse_object(data: bytes, where: str) -> dict[str, Any]:
    """Return a JSON object; raises IntegrityError."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{where} is no JSON") from error
    if not isinstance(found, dict):
        raise IntegrityError(f"{where} is no JSON object")
    return found


class Client:
    """Asks one registry."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._origin = urlsplit(address.url)[:2]
        self._authorization: str | None = None
        self._http = httpx2.Client(
            base_url=address.url,
            timeout=TIMEOUT,
            follow_redirects=True,
            verify=_trusted(),
            headers={"User-Agent": "adapterhub-lite", "Accept-Encoding": "identity"},
            event_hooks={"request": [self._require_tls]},
        )

    def ask(
        self,
        method: str,
        url: str,
        *,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        accept: tuple[int, ...] = (200,),
    ) -> Answer:
        """Return an answer with one of the statuses in ``accept``; raises RemoteError."""
        with self._answered(method, url, content, headers or {}) as response:
            answer = self._read(response)
        if answer.status not in accept:
            raise self._refusal(answer)
        return answer

    def stream(self, url: str) -> Iterator[bytes]:
        """Yield a file's bytes as they come; raises NotFoundError, RemoteError."""
        with self._answered("GET", url, b"", {}) as response:
            if response.status_code == NOT_FOUND:
                raise NotFoundError(f"{self._address.text} lacks {url.rpartition('/')[2]}")
            if response.status_code != OK:
                raise self._refusal(self._read(response))
            yield from response.iter_raw(layout.CHUNK)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    @contextmanager
    def _answered(
        self, method: str, url: str, content: bytes, headers: Mapping[str, str]
    ) -> Iterator[httpx2.Response]:
        """Send a request, and once more with what the registry wants to be told of who asks."""
        try:
            response = self._send(method, url, content, headers)
            if response.status_code == UNAUTHORIZED and self._is_own(str(response.url)):
                response.close()
                self._log_in(response.headers.get("WWW-Authenticate", ""))
                response = self._send(method, url, content, headers)
            with closing(response):
                yield response
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise RemoteError(
                f"{self._address.text} cannot be reached, or breaks off: {one_line(error)}",
                remote=self._address.text,
                hint="try again; what has been transferred is kept",
            ) from error

    def _send(
        self, method: str, url: str, content: bytes, headers: Mapping[str, str]
    ) -> httpx2.Response:
        request = self._http.build_request(method, url, content=content, headers=dict(headers))
        if self._authorization is not None and self._is_own(str(request.url)):
            request.headers["Authorization"] = self._authorization
        return self._http.send(request, stream=True)

    def _log_in(self, challenge: str) -> None:
        """Do what the registry asks for: a password, or a token that is had for one."""
        scheme, asked = parse_challenge(challenge)
        login = find_login(self._address.host)
        if scheme == "basic" and login is not None:
            self._authorization = basic(login)
        elif scheme == "bearer" and "realm" in asked:
            self._authorization = f"Bearer {self._token(asked, login)}"

    def _token(self, asked: Mapping[str, str], login: Login | None) -> str:
        wanted = {key: asked[key] for key in ("service", "scope") if key in asked}
        headers = {"Authorization": basic(login)} if login is not None else {}
        url = httpx2.URL(asked["realm"]).copy_merge_params(wanted)
        response = self._http.send(
            self._http.build_request("GET", url, headers=headers), stream=True
        )
        with closing(response):
            answer = self._read(response)
        if answer.status != OK:
            raise self._refusal(answer)
        found = answer.json()
        token = found.get("token") or found.get("access_token")
        if not isinstance(token, str) or not TOKEN.fullmatch(token):
            raise IntegrityError(f"{asked['realm']} gives no token")
        return token

    def _read(self, response: httpx2.Response) -> Answer:
        body = bytearray()
        for chunk in response.iter_raw(layout.CHUNK):
            body += chunk
            if len(body) > SMALL:
                raise IntegrityError(f"{self._address.text} answers with more than {SMALL:,} bytes")
        return Answer(str(response.url), response.status_code, response.headers, bytes(body))

    def _refusal(self, answer: Answer) -> RemoteError:
        reason = f"HTTP {answer.status}{_told_by(answer.body)}"
        if answer.status in (UNAUTHORIZED, FORBIDDEN):
            hint = HINT
        elif answer.status >= SERVER_ERRORS or answer.status == TOO_MANY:
            hint = "try again later; what has been transferred is kept"
        else:
            hint = ""
        return RemoteError(
            f"{self._address.text} refuses: {reason}", remote=self._address.text, hint=hint
        )

    def _is_own(self, url: str) -> bool:
        """Say whether a URL is the registry's own: no other may be told who asks."""
        return urlsplit(url)[:2] == self._origin

    def _require_tls(self, request: httpx2.Request) -> None:
        """Refuse to be led from TLS, or from this machine, to where anybody can listen."""
        url = str(request.url)
        if request.url.scheme == "https" or is_loopback(url):
            return
        if not (self._address.plain and self._is_own(url)):
            raise RemoteError(
                f"{self._address.text} leads to {request.url.host} without TLS",
                remote=self._address.text,
                hint=f"where that is meant, write {PLAIN_SCHEME}://",
            )


@cache
def _trusted() -> ssl.SSLContext:
    """Return the machine's certificates, which take a while to read."""
    return httpx2.create_ssl_context()


def _told_by(body: bytes) -> str:
    """Return the reason in an error's body, as one line; nothing where there is none."""
    try:
        first = parse_object(body, "the error")["errors"][0]
        text = " ".join(str(first.get("message") or first["code"]).split())
    except (IntegrityError, LookupError, TypeError, AttributeError):
        return ""
    return ": " + "".join(filter(str.isprintable, text))[:LONGEST_REASON]
