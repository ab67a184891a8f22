"""A small OCI registry on the loopback, after the distribution specification 1.1, with faults."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Reply = tuple[int, dict[str, str], bytes]
PAGE = 2


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class OciRegistry:
    """What is stored, what was asked, and what goes wrong."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.tags: dict[str, bytes] = {}
        self.uploads: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, str | None]] = []
        self.fault: Callable[[str, str, Reply], Reply | None] = lambda method, path, reply: reply
        self.auth: str | None = None
        self.least = 0
        self.parts: list[int] = []
        self.url = ""
        self.upload_to = ""

    def reply(self, method: str, url: str, headers: Any, body: bytes) -> Reply:
        path, query = urlsplit(url).path, parse_qs(urlsplit(url).query)
        self.asked.append((method, url, headers.get("Authorization")))
        if path == "/token":
            return self._token(query, headers.get("Authorization"))
        if (refusal := self._refusal(method, headers.get("Authorization"))) is not None:
            return refusal
        if path == "/v2/":
            return 200, {}, b"{}"
        kind, place = re.fullmatch(r"/v2/acme/tickets/(\w+)/(.+?)/?", path).groups()  # type: ignore[union-attr]
        if kind == "tags":
            return self._list(int(query.get("from", ["0"])[0]))
        if kind == "manifests":
            return self._manifest(method, place, headers, body)
        if place.startswith("uploads"):
            return self._upload(method, place, query, headers, body)
        data = self.blobs.get(place)
        return (404, {}, b"") if data is None else (200, {}, data)

    def _refusal(self, method: str, given: str | None) -> Reply | None:
        if self.auth == "basic" and given != "Basic " + base64.b64encode(b"ann:pass:word").decode():
            return 401, {"WWW-Authenticate": 'Basic realm="here"'}, b"{}"
        if self.auth == "bearer":
            scope = "repository:acme/tickets:pull" + ("" if method in ("GET", "HEAD") else ",push")
            if given not in (f"Bearer {scope}", f"Bearer {scope},push"):
                asks = f'Bearer realm="{self.url}/token",service="s",scope="{scope}"'
                return 401, {"WWW-Authenticate": asks}, b"{}"
        return None

    def _token(self, query: dict[str, list[str]], given: str | None) -> Reply:
        assert query["service"] == ["s"]
        if "push" in query["scope"][0] and given is None:
            return 403, {}, b'{"errors": [{"code": "DENIED", "message": "no\\nbody"}]}'
        return 200, {}, json.dumps({"token": query["scope"][0]}).encode()

    def _list(self, start: int) -> Reply:
        if not self.tags:
            return 404, {}, b"{}"
        page = sorted(self.tags)[start : start + PAGE]
        more = start + PAGE < len(self.tags)
        link = f'</v2/acme/tickets/tags/list?from={start + PAGE}>; rel="next"'
        return 200, {"Link": link} if more else {}, json.dumps({"tags": page}).encode()

    def _manifest(self, method: str, tag: str, headers: Any, body: bytes) -> Reply:
        if method != "PUT":
            data = self.tags.get(tag)
            return (404, {}, b"") if data is None else (200, {}, data)
        assert headers["Content-Type"] == "application/vnd.oci.image.manifest.v1+json"
        told = json.loads(body)
        for part in (told["config"], *told["layers"]):
            assert len(self.blobs[part["digest"]]) == part["size"]
        self.tags[tag] = body
        return 201, {}, b""

    def _upload(
        self, method: str, place: str, query: dict[str, list[str]], headers: Any, body: bytes
    ) -> Reply:
        if method in ("PATCH", "PUT"):
            self.parts.append(len(body))
        if method == "POST":
            place = f"uploads/{len(self.asked)}"
            self.uploads[place] = b""
        elif method == "DELETE":
            del self.uploads[place]
            return 204, {}, b""
        elif method == "PATCH":
            start, end = headers["Content-Range"].split("-")
            if int(start) != len(self.uploads[place]) or int(end) - int(start) + 1 != len(body):
                return 416, {}, b""
            self.uploads[place] += body
        else:
            data = self.uploads[place] + body
            if digest_of(data) != query["digest"][0]:
                return 400, {}, b'{"errors": [{"code": "DIGEST_INVALID"}]}'
            self.blobs[digest_of(data)] = data
            del self.uploads[place]
            return 201, {}, b""
        where = {"Location": f"{self.upload_to}/v2/acme/tickets/blobs/{place}?state=x"}
        return 202, where | {"OCI-Chunk-Min-Length": str(self.least)}, b""


@contextmanager
def serving(registry: Any) -> Iterator[str]:
    """Serve a registry; yield its host and port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            reply = registry.reply(self.command, self.path, self.headers, body)
            found = registry.fault(self.command, self.path, reply)
            if found is None:  # it hangs up
                self.close_connection = True
                return
            status, headers, data = found
            self.send_response(status)
            for key, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                with suppress(ConnectionError):  # who asked has read enough
                    self.wfile.write(data)
            if headers.get("Content-Length", str(len(data))) != str(len(data)):
                self.close_connection = True

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        host = f"localhost:{server.server_port}"
        registry.url = f"http://{host}"
        yield host
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
