"""A repository of the Hugging Face hub, through huggingface_hub: failures become RemoteErrors.

The library finds the token, the endpoint and the proxy, and uploads in parts or by chunks.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    constants,
    get_session,
    hf_hub_url,
)
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # it exports them lazily
    are_progress_bars_disabled,
    build_hf_headers,
    disable_progress_bars,
    enable_progress_bars,
    hf_raise_for_status,
)

from adapterhub_lite.errors import AdapterHubError, IntegrityError, NotFoundError, RemoteError
from adapterhub_lite.plugins import one_line
from adapterhub_lite_remotes import layout

Operation: TypeAlias = CommitOperationAdd | CommitOperationCopy | CommitOperationDelete
MAIN: Final = "main"
LARGE: Final = 10 << 20
"""A file of more bytes is never kept in git, whatever its name is: the hub demands LFS."""
PATHS: Final = 500
"""The hub tells of no more paths at once than a thousand."""
LIBRARY: Final = "adapterhub-lite"
FORBIDDEN: Final = (401, 403)
MOVED: Final = (409, 412)
TAKEN: Final = 409
TOO_MANY: Final = 429
SERVER_ERRORS: Final = 500
LOG_IN: Final = "log in with 'hf auth login', or set HF_TOKEN"
TRY_AGAIN: Final = "try again later; large files that were sent are kept"
OFFLINE: Final = ("cannot be reached: HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE")
LONGEST_REASON: Final = 300


@dataclass(frozen=True, slots=True)
class Place:
    """Where a content lies."""

    commit: str
    path: str


@dataclass(frozen=True, slots=True)
class References:
    """The branches and tags of a repository, and the commits that they lead to."""

    branches: dict[str, str]
    tags: dict[str, str]


class Repository:
    """One model repository."""

    def __init__(self, address: str, repo_id: str) -> None:
        self.address = address
        self._id = repo_id
        self._api = HfApi(library_name=LIBRARY)

    def references(self) -> References:
        """Return the branches and tags as they are now."""
        with self._told():
            found = self._api.list_repo_refs(self._id)
        return References(
            branches={one.name: one.target_commit for one in found.branches},
            tags={one.name: one.target_commit for one in found.tags},
        )

    def create_missing(self) -> None:
        """Make the repository, a private one, unless it is there."""
        with self._told():
            try:
                self._api.list_repo_refs(self._id)
            except RepositoryNotFoundError:
                self._api.create_repo(self._id, private=True, exist_ok=True)

    def entries(self, revision: str, folder: str | None = None) -> list[str]:
        """Return the paths of what lies in a folder, or at the root; none where it is not there."""
        with self._told():
            try:
                found = list(self._api.list_repo_tree(self._id, folder, revision=revision))
            except EntryNotFoundError:
                return []
        return [entry.path for entry in found]

    def files(self, commit: str, paths: Sequence[str]) -> list[RepoFile]:
        """Return what the hub knows of those of the files that are there."""
        found = []
        with self._told():
            for start in range(0, len(paths), PATHS):
                some = list(paths[start : start + PATHS])
                found += self._api.get_paths_info(self._id, some, revision=commit)
        return [entry for entry in found if isinstance(entry, RepoFile)]

    def read(self, revision: str, path: str) -> Iterator[bytes]:
        """Yield a file's bytes as they come; raises NotFoundError."""
        with self._told(), self._answered(revision, path) as response:
            yield from response.iter_bytes(layout.CHUNK)

    def read_small(self, revision: str, path: str, limit: int) -> tuple[bytes, str] | None:
        """Return a short file and the commit that it is of, or None where there is none.

        Of a longer file enough is returned to be refused.
        """
        try:
            with self._told(), self._answered(revision, path) as response:
                commit = response.headers.get(constants.HUGGINGFACE_HEADER_X_REPO_COMMIT)
                data = bytearray()
                for chunk in response.iter_bytes(limit + 1):
                    data += chunk
                    if len(data) > limit:
                        break
        except NotFoundError:
            return None
        if commit is None:
            raise IntegrityError(f"{self.address} does not say of which commit {path} is")
        return bytes(data), str(commit)

    def stage(self, file: Path, sha256: str, size: int) -> CommitOperationAdd:
        """Make a file ready for a commit; a large one is uploaded now, and deleted here.

        Content that the hub's storage has already is not sent.
        """
        with self._told(), _without_bars():
            addition = CommitOperationAdd(path_in_repo=sha256, path_or_fileobj=file)
            addition.upload_info.sha256 = bytes.fromhex(sha256)
            if size > LARGE:
                self._api.preupload_lfs_files(self._id, [addition])
        if addition.path_or_fileobj == b"":  # what stands there when it has been uploaded
            file.unlink()
        return addition

    def commit(
        self, branch: str, parent: str, operations: Sequence[Operation], message: str
    ) -> str | None:
        """Add a commit to a branch and return it; None when the branch is not at ``parent``."""
        with self._told(), _without_bars():
            try:
                done = self._api.create_commit(
                    self._id,
                    operations,
                    commit_message=message,
                    revision=branch,
                    parent_commit=parent,
                )
            except HfHubHTTPError as error:
                if error.response.status_code in MOVED:
                    return None
                raise
        return str(done.oid)

    def create_tag(self, tag: str, commit: str) -> bool:
        """Create a tag; False where there is one."""
        with self._told():
            try:
                self._api.create_tag(self._id, tag=tag, revision=commit)
            except HfHubHTTPError as error:
                if error.response.status_code == TAKEN:
                    return False
                raise
        return True

    def create_branch(self, branch: str, commit: str) -> bool:
        """Create a branch; False where there is one."""
        with self._told():
            try:
                self._api.create_branch(self._id, branch=branch, revision=commit)
            except HfHubHTTPError as error:
                if error.response.status_code == TAKEN:
                    return False
                raise
        return True

    def delete_branch(self, branch: str) -> None:
        """Delete a branch."""
        with self._told():
            self._api.delete_branch(self._id, branch=branch)

    @contextmanager
    def _answered(self, revision: str, path: str) -> Iterator[Any]:
        """Ask for a file; raises NotFoundError."""
        url = hf_hub_url(self._id, path, revision=revision, endpoint=self._api.endpoint)
        headers = build_hf_headers(library_name=LIBRARY)
        with get_session().stream("GET", url, headers=headers) as response:
            try:
                hf_raise_for_status(response)
            except (EntryNotFoundError, RevisionNotFoundError) as error:
                raise NotFoundError(f"{self.address} has no {path} at {revision}") from error
            yield response

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the library raises into ours."""
        try:
            yield
        except AdapterHubError:
            raise
        except Exception as error:
            raise self._refusal(error) from error

    def _refusal(self, error: Exception) -> RemoteError:
        if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
            error = error.__cause__  # "Error while uploading", and this is why
        message, hint = self._reason(error)
        return RemoteError(f"{self.address} {message}", remote=self.address, hint=hint)

    def _reason(self, error: Exception) -> tuple[str, str]:
        match error:
            case OfflineModeIsEnabled():
                return OFFLINE
            case GatedRepoError():
                page = f"{self._api.endpoint}/{self._id}"
                return "is gated", f"ask for access at {page}; then {LOG_IN}"
            case DisabledRepoError():
                return "was disabled by the hub", ""
            case RepositoryNotFoundError():
                return "is not there, or is private", f"look at the name; if it is right, {LOG_IN}"
            case HfHubHTTPError():
                return self._http_reason(error)
            case ValueError():  # the card's metadata, or a path that no file may have there
                return f"refuses: {_flat(str(error))}", ""
            case _:
                return f"cannot be reached, or breaks off: {one_line(error)}", TRY_AGAIN

    def _http_reason(self, error: HfHubHTTPError) -> tuple[str, str]:
        status = error.response.status_code
        told = f": {_flat(error.server_message)}" if error.server_message else ""
        hint = ""
        if status in FORBIDDEN:
            hint = f"{LOG_IN}, with a token that may do that"
        elif status == TOO_MANY or status >= SERVER_ERRORS:
            hint = TRY_AGAIN
        return f"refuses: HTTP {status}{told}", hint


def _flat(text: str) -> str:
    """Return what a server tells as one short line without control characters."""
    return "".join(filter(str.isprintable, " ".join(text.split())))[:LONGEST_REASON]


@contextmanager
def _without_bars() -> Iterator[None]:
    """Keep the library's progress bars away: the command shows its own."""
    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
