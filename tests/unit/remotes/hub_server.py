"""A small hub on the loopback: model repositories as huggingface_hub asks for them, with faults.

After the library's own requests: create, refs, tree, paths-info, preupload, LFS batch and upload,
commit as JSON lines, tags, branches, resolve. A commit is a snapshot of its files.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.unit.remotes.oci_registry import Reply

LFS_ENDINGS = (".safetensors", ".bin")


@dataclass
class Commit:
    files: dict[str, bytes | str]
    """Path → bytes in git, or the SHA-256 of an LFS file."""
    parent: str | None
    title: str


@dataclass
class Repo:
    private: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.add("main", {".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")

    def add(self, branch: str, files: dict[str, bytes | str], title: str) -> str:
        parent = self.branches.get(branch)
        oid = hashlib.sha1(f"{len(self.commits)} {title}".encode()).hexdigest()
        self.commits[oid] = Commit(files, parent, title)
        self.branches[branch] = oid
        return oid

    def find(self, revision: str) -> str | None:
        found = self.branches.get(revision) or self.tags.get(revision)
        return found or (revision if revision in self.commits else None)


def reply(status: int, value: Any = None, **headers: str) -> Reply:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return status, {key.replace("_", "-"): text for key, text in headers.items()}, data


def missing(code: str) -> Reply:
    return reply(404, {"error": code}, X_Error_Code=code)


class Hub:
    """What is stored, what was asked, and what goes wrong."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.uploads: list[int] = []
        self.tokens: set[str] = {"Bearer hf_ann"}
        self.gated: set[str] = set()
        self.lfs_size = 10 << 20
        self.invalid_card: str | None = None
        self.fault: Callable[[str, str, Reply], Reply | None] = lambda method, path, told: told
        self.before: Callable[[str, str], None] = lambda method, path: None
        self.url = ""

    def reply(self, method: str, url: str, headers: Any, body: bytes) -> Reply:
        try:
            return self._answer(method, url, headers, body)
        except Exception as error:  # told at once: what breaks off is asked for again and again
            return reply(400, {"error": repr(error)})

    def _answer(self, method: str, url: str, headers: Any, body: bytes) -> Reply:
        path = unquote(urlsplit(url).path)
        self.asked.append((method, path))
        self.before(method, path)
        known = headers.get("Authorization") in self.tokens
        if path == "/api/agent-harnesses":  # the library asks this of its own accord, once
            return reply(200, {})
        if path == "/api/validate-yaml":
            return self._validate(json.loads(body)["content"])
        if path.startswith("/storage/"):
            return self._store(method, path.rpartition("/")[2], headers, body)
        if path == "/api/repos/create":
            return self._create(json.loads(body)) if known else reply(401, {"error": "who?"})
        for pattern, answer in (
            (r"/api/models/([^/]+/[^/]+)/(\w[\w-]*)(?:/(.*))?", self._api),
            (r"/([^/]+/[^/]+)\.git/(info)/lfs/objects/(batch)", self._batch),
            (r"/([^/]+/[^/]+)/(resolve)/(.*)", self._resolve),
        ):
            if (found := re.fullmatch(pattern, path)) is not None:
                name, verb, rest = found.groups()
                repo = self.repos.get(name)
                if repo is None or (repo.private and not known):
                    return reply(
                        401 if not known else 404, {"error": "no"}, X_Error_Code="RepoNotFound"
                    )
                if name in self.gated:
                    return reply(403, {"error": "gated"}, X_Error_Code="GatedRepo")
                if method != "GET" and verb not in ("paths-info",) and not known:
                    return reply(403, {"error": "you may only read"})
                return answer(repo, method, verb, rest or "", body, url)
        raise AssertionError(f"the hub is asked for {method} {url}")

    def _create(self, told: dict[str, Any]) -> Reply:
        name = f"{told['organization']}/{told['name']}"
        if name in self.repos:
            return reply(409, {"error": "there is one"})
        self.repos[name] = Repo(private=told.get("visibility") == "private" or told.get("private"))
        return reply(200, {"url": f"{self.url}/{name}"})

    def _validate(self, content: str) -> Reply:
        if self.invalid_card is not None and self.invalid_card in content:
            return reply(400, {"errors": [{"message": f"{self.invalid_card} is not valid"}]})
        assert content.startswith("---\n"), "the hub warns of a card without metadata"
        return reply(200, {"errors": [], "warnings": []})

    def _store(self, method: str, oid: str, headers: Any, body: bytes) -> Reply:
        if method == "PUT":
            assert hashlib.sha256(body).hexdigest() == oid
            self.uploads.append(len(body))
            self.blobs[oid] = body
            return reply(200, b"")
        assert headers.get("Authorization") is None, "a token was told to the storage"
        return reply(200, self.blobs[oid])

    def _batch(self, repo: Repo, method: str, verb: str, rest: str, body: bytes, _: str) -> Reply:
        objects = []
        for one in json.loads(body)["objects"]:
            if one["oid"] not in self.blobs:
                href = f"http://127.0.0.1:{self.url.rpartition(':')[2]}/storage/{one['oid']}"
                one = {**one, "actions": {"upload": {"href": href}}}
            objects.append(one)
        return reply(200, {"transfer": "basic", "objects": objects})

    def _resolve(self, repo: Repo, method: str, verb: str, rest: str, body: bytes, _: str) -> Reply:
        # a branch may have a slash in its name on the hub; none has here
        revision, _, path = rest.partition("/")
        commit = repo.find(revision)
        if commit is None:
            return missing("RevisionNotFound")
        found = repo.commits[commit].files.get(path)
        if found is None:
            return missing("EntryNotFound")
        if isinstance(found, bytes):
            tag = git_oid(found)
            return reply(200, found, X_Repo_Commit=commit, ETag=f'"{tag}"')
        place = f"http://127.0.0.1:{self.url.rpartition(':')[2]}/storage/{found}"
        size = str(len(self.blobs[found]))
        more = {"X_Linked_ETag": f'"{found}"', "X_Linked_Size": size, "Location": place}
        return reply(302, b"", X_Repo_Commit=commit, **more)

    def _api(self, repo: Repo, method: str, verb: str, rest: str, body: bytes, url: str) -> Reply:
        if verb == "refs":
            return reply(200, refs(repo))
        if verb == "preupload":
            return reply(200, {"files": [self._mode(one) for one in json.loads(body)["files"]]})
        if verb in ("tag", "branch"):
            return self._reference(repo, method, verb, rest, body)
        if verb == "commit":
            return self._commit(repo, rest, [json.loads(line) for line in body.splitlines()])
        revision, _, folder = rest.partition("/")
        commit = repo.find(revision)
        if commit is None:
            return missing("RevisionNotFound")
        files = repo.commits[commit].files
        if verb == "revision":
            return reply(200, {"id": "x/y", "sha": commit})
        if verb == "tree":
            found = self._tree(files, folder, recursive="recursive=true" in url.lower())
            return reply(200, found) if found or not folder else missing("EntryNotFound")
        if verb == "paths-info":
            paths = parse_qs(body.decode())["paths"]
            return reply(200, [self._entry(path, files[path]) for path in paths if path in files])
        raise AssertionError(f"the hub is asked for {method} {verb}")

    def _tree(
        self, files: dict[str, bytes | str], folder: str, *, recursive: bool
    ) -> list[dict[str, Any]]:
        start = f"{folder}/" if folder else ""
        below = {path: path.removeprefix(start) for path in files if path.startswith(start)}
        folders = {start + name.partition("/")[0] for name in below.values() if "/" in name}
        shown = [path for path, name in below.items() if recursive or "/" not in name]
        return [
            *({"type": "directory", "path": path, "oid": "0" * 40} for path in folders),
            *(self._entry(path, files[path]) for path in shown),
        ]

    def _mode(self, told: dict[str, Any]) -> dict[str, Any]:
        large = told["path"].endswith(LFS_ENDINGS) or told["size"] > self.lfs_size
        mode = "lfs" if large else "regular"
        return {
            "path": told["path"],
            "uploadMode": mode,
            "shouldIgnore": told["path"].endswith(".secret"),
        }

    def _entry(self, path: str, found: bytes | str) -> dict[str, Any]:
        if isinstance(found, bytes):
            return {"type": "file", "path": path, "size": len(found), "oid": git_oid(found)}
        size = len(self.blobs[found])
        lfs = {"size": size, "oid": found, "pointerSize": 130}
        return {
            "type": "file",
            "path": path,
            "size": size,
            "oid": git_oid(found.encode()),
            "lfs": lfs,
        }

    def _reference(self, repo: Repo, method: str, verb: str, rest: str, body: bytes) -> Reply:
        references = repo.tags if verb == "tag" else repo.branches
        if method == "DELETE":
            del references[rest]
            return reply(200, {})
        told = json.loads(body)
        name, start = (told["tag"], rest) if verb == "tag" else (rest, told["startingPoint"])
        if name in references:
            return reply(409, {"error": f"Reference {name} exists"})
        commit = repo.find(start)
        assert commit is not None
        references[name] = commit
        return reply(200, {})

    def _commit(self, repo: Repo, branch: str, lines: list[dict[str, Any]]) -> Reply:
        header = lines[0]["value"]
        if header["parentCommit"] != repo.branches[branch]:
            return reply(
                412, {"error": "A commit has happened since. Please refresh and try again."}
            )
        files = dict(repo.commits[repo.branches[branch]].files)
        for line in lines[1:]:
            told = line["value"]
            match line["key"]:
                case "file":
                    files[told["path"]] = base64.b64decode(told["content"])
                case "lfsFile":
                    assert told["oid"] in self.blobs, "an LFS file has to be uploaded first"
                    files[told["path"]] = told["oid"]
                case "deletedFile":
                    del files[told["path"]]
        oid = repo.add(branch, files, header["summary"])
        return reply(200, {"commitUrl": f"{self.url}/ann/tickets/commit/{oid}", "commitOid": oid})


def git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def refs(repo: Repo) -> dict[str, Any]:
    def listed(kind: str, found: dict[str, str]) -> list[dict[str, str]]:
        return [
            {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": commit}
            for name, commit in found.items()
        ]

    return {
        "branches": listed("heads", repo.branches),
        "tags": listed("tags", repo.tags),
        "converts": [],
    }
