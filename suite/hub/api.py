"""What a repository of the Hugging Face hub holds at one commit, and its files' bytes. No remote code is run.

Only three things are asked of a hub: what a repository is (its commit), the list of its files, and bytes of a
file. A mirror is named by HF_ENDPOINT; a token is taken from where `hf auth login` keeps it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from suite.errors import UserError, one_line

Kind = Literal["dataset", "model"]
Moved = Callable[[int], None]


@dataclass(frozen=True)
class Repository:
    """A data set or model at one commit (40 hex digits)."""

    kind: Kind
    id: str
    commit: str
    licence: str | None = None


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository; `sha256` is known of large ones."""

    repository: Repository
    path: str
    size: int
    sha256: str | None = None


def resolve(kind: Kind, name: str, revision: str | None = None) -> Repository:
    """The repository at a revision, the newest if None."""
    with told(kind, name, revision):
        info = _api().repo_info(name, revision=revision, repo_type=kind, timeout=30)
    card = info.card_data
    licence = None if card is None else card.get("license")
    if isinstance(licence, list):
        licence = ", ".join(map(str, licence))
    if not info.sha:
        raise UserError(f"{_called(kind)} {name!r}: the hub tells no commit of it; try again later")
    return Repository(kind, name, info.sha, licence)


def files(repository: Repository, folder: str = "") -> list[RemoteFile]:
    """The files right below a folder ('' is the root) in the order of their names."""
    from huggingface_hub import RepoFile

    with told(repository.kind, repository.id, repository.commit):
        entries = _api().list_repo_tree(
            repository.id, folder or None, revision=repository.commit, repo_type=repository.kind
        )
        found = [
            RemoteFile(repository, entry.path, entry.size, entry.lfs.sha256 if entry.lfs else None)
            for entry in entries
            if isinstance(entry, RepoFile)
        ]
    for file in found:
        parent, _, name = file.path.rpartition("/")
        if parent != folder or name in ("", ".", "..") or any(c in name for c in "\\:\0"):
            raise UserError(f"{_called(repository.kind)} {repository.id!r}: no name of a file: {file.path!r}")
    return sorted(found, key=lambda file: file.path)


def content(file: RemoteFile, start: int, end: int) -> bytes:
    """The bytes from `start` up to, not including, `end`."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    kind, name, commit = file.repository.kind, file.repository.id, file.repository.commit
    url = hf_hub_url(name, file.path, repo_type=kind, revision=commit, endpoint=_endpoint())
    headers = build_hf_headers() | {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
    with told(kind, name, commit):
        data = _get(url, headers)
    if len(data) == file.size and end - start < file.size:  # a server that knows no ranges sends all of it
        data = data[start:end]
    if len(data) != end - start:
        raise UserError(
            f"{name}: {file.path}: {len(data)} bytes came where {end - start} were asked for; try again"
        )
    return data


def download(url: str) -> bytes:
    """All of a small file that is not on the hub."""
    with told("page", url, None):
        return _get(url, {})


class Reader(io.RawIOBase):
    """A file of a repository, read in ranges as it is asked for; `moved` hears of every piece's bytes."""

    def __init__(self, file: RemoteFile, moved: Moved) -> None:
        self.file, self.moved, self.place = file, moved, 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The place that is read next."""
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, counted from the start, here or the end."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.file.size}[whence]
        self.place = max(0, start + offset)
        return self.place

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the file goes; returns how many bytes were read."""
        end = min(self.place + len(buffer), self.file.size)
        if end <= self.place:
            return 0
        data = content(self.file, self.place, end)
        buffer[: len(data)] = data
        self.place = end
        self.moved(len(data))
        return len(data)


@contextmanager
def told(kind: str, name: str, revision: str | None) -> Iterator[None]:
    """What goes wrong with the hub, as one line."""
    from httpx2 import HTTPError
    from huggingface_hub import errors

    what = f"{_called(kind)} {name!r}"
    place = "https://huggingface.co/" + ("datasets/" if kind == "dataset" else "") + name
    try:
        yield
    except errors.GatedRepoError:
        raise UserError(
            f"{what} is gated: accept its terms at {place}, then log in with `hf auth login` or set HF_TOKEN"
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(f"{what} has no revision {revision!r}; give a branch, tag or commit of it") from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"{what} is not on the hub, or not for everyone; check the name, or log in with `hf auth login`"
        ) from None
    except errors.EntryNotFoundError as error:
        raise UserError(f"{what}: {one_line(error, 120)}") from None
    except errors.HFValidationError:
        raise UserError(f"{what}: no name of a repository; expected owner/name") from None
    except errors.OfflineModeIsEnabled:
        raise UserError(
            f"{what} cannot be fetched: HF_HUB_OFFLINE is set; unset it, or give a fetched folder with --data"
        ) from None
    except errors.HfHubHTTPError as error:
        raise UserError(f"{what}: the hub answered {_status(error)}; try again later") from None
    except (HTTPError, OSError) as error:
        raise UserError(
            f"{what}: the network cannot be reached ({one_line(error, 100)}); fetch on a connected machine, "
            "then run with --offline --data DIR"
        ) from None


def _get(url: str, headers: dict[str, str]) -> bytes:
    from huggingface_hub.utils import hf_raise_for_status, http_backoff

    answer = http_backoff("GET", url, headers=headers, timeout=60, follow_redirects=True)
    hf_raise_for_status(answer)
    return answer.content


def _status(error: Any) -> str:
    answer = getattr(error, "response", None)
    return str(getattr(answer, "status_code", None) or one_line(error, 100))


def _called(kind: str) -> str:
    return {"dataset": "data set", "model": "model"}.get(kind, kind)


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _api() -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=_endpoint())
