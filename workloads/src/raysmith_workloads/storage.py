"""Where data, models and results lie: addresses to local paths, downloads from the hub, writes that are whole or not at all.

file:///abs, file://rel     this machine; a relative path starts at the current folder
pvc://claim/path            the claim's mount below $RAYSMITH_VOLUMES
hf://owner/name[@revision]  a model on the hub; hf://datasets/owner/name[/path][@revision] a data set
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from raysmith.api import LLMFineTune, hub, layout
from raysmith.api.layout import VOLUMES_VARIABLE
from raysmith_workloads.errors import Refused

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_PERMISSION: Final = (errno.EACCES, errno.EPERM, errno.EROFS)

# Weights as safetensors only: the other formats are pickles, which run code when they are read.
TOKENIZER_FILES: Final = ("*.json", "*.jinja", "*.txt", "*.model")
MODEL_FILES: Final = (*TOKENIZER_FILES, "*.safetensors")


class HubDataset(NamedTuple):
    """A downloaded data set repository and the part of it that was asked for (empty: all of it)."""

    folder: Path
    path: str


def local_path(uri: str) -> Path:
    """Path of a `file://` or `pvc://` address on this machine. Raises Refused for another scheme or a way out of the volume."""
    scheme, _, rest = uri.partition("://")
    if scheme == "file" and rest:
        return Path(rest)
    if scheme == "pvc" and rest.strip("/"):
        return _volume_path(uri, rest)
    raise Refused("AddressInvalid", f"{uri} is no folder or file that can be reached here; use file:// or pvc://claim/path.")


def run_folder(obj: LLMFineTune) -> Path:
    """Folder of the run of `obj` on this machine. Raises Refused for an object without a uid, and as `local_path` does."""
    try:
        return local_path(layout.run_folder(obj.spec.output.storage, obj.metadata)).absolute()
    except ValueError as error:
        raise Refused("ObjectInvalid", f"{error}; set metadata.uid, or start the run with `raysmith run`.") from error


def _volume_path(uri: str, rest: str) -> Path:
    claim, _, inner = rest.strip("/").partition("/")
    volumes = os.environ.get(VOLUMES_VARIABLE)
    if not volumes:
        raise Refused(
            "VolumeNotFound",
            f"{uri} needs the environment variable {VOLUMES_VARIABLE}: the folder that holds the volume {claim}.",
        )
    volume = Path(volumes) / claim
    path = volume / inner
    if claim in (".", "..") or not path.resolve().is_relative_to(volume.resolve()):
        raise Refused("AddressInvalid", f"{uri} leads out of the volume {claim}; name a path inside it.")
    return path


def fetch_model(uri: str) -> Path:
    """Folder of the model at `uri` (`file://`, `pvc://`, `hf://`), with weights as safetensors.

    Raises Refused: `ModelNotFound` if there is no such folder or repository, `ModelRefused` if it holds no weights.
    """
    folder = _fetch(uri, MODEL_FILES)
    if next(folder.glob("*.safetensors"), None) is None:
        raise Refused(
            "ModelRefused",
            f"{uri} holds no weights (*.safetensors); save the model there with save_pretrained, or name another folder.",
        )
    return folder


def fetch_tokenizer(uri: str) -> Path:
    """Folder of the tokenizer of the model at `uri`, without downloading weights. Raises Refused as `fetch_model` does."""
    return _fetch(uri, TOKENIZER_FILES)


def fetch_dataset(uri: str) -> HubDataset:
    """The data set at `hf://datasets/owner/name[/path][@revision]`. Raises Refused with reason `DataNotFound`."""
    match = hub.DATA_SET.fullmatch(uri)
    if match is None:
        raise Refused("DataNotFound", hub.not_a_data_set(uri))
    path = match["path"] or ""
    patterns = [path, f"{path.rstrip('/')}/*"] if path else None
    folder = _snapshot(uri, match["repo"], "dataset", match["revision"], patterns, not_found="DataNotFound")
    return HubDataset(folder, path)


def _fetch(uri: str, patterns: tuple[str, ...]) -> Path:
    if uri.startswith("hf://"):
        match = hub.MODEL.fullmatch(uri)
        if match is None:
            raise Refused("ModelNotFound", hub.not_a_model(uri))
        return _snapshot(uri, match["repo"], "model", match["revision"], list(patterns), not_found="ModelNotFound")
    folder = local_path(uri)
    if not folder.is_dir():
        raise Refused("ModelNotFound", f"{uri} is not there: {folder} is no folder. Check the address of the model.")
    return folder


def _snapshot(uri: str, repo: str, repo_type: str, revision: str | None, patterns: list[str] | None, *, not_found: str) -> Path:
    """Download what matches `patterns`. The client honours HF_TOKEN, HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    try:
        folder = snapshot_download(repo, repo_type=repo_type, revision=revision, allow_patterns=patterns)
    except GatedRepoError as error:
        raise Refused(
            not_found, f"{uri} is gated: accept its terms on the hub and give a token that may read it (HF_TOKEN, secretRef)."
        ) from error
    except RevisionNotFoundError as error:
        raise Refused(not_found, f"{uri}: the repository has no revision {revision}.") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise Refused(
            not_found,
            f"{uri} was not found on the hub; check the name, or give a token that may read it (HF_TOKEN, secretRef).",
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError) as error:
        raise Refused(
            "HubUnreachable", f"{uri} could not be downloaded: the hub does not answer. Try again.", retryable=True
        ) from error
    except OSError as error:
        raise storage_refusal(error, "the hub's download folder (HF_HOME)") or error from error
    return Path(folder)


def storage_refusal(error: OSError, where: Path | str) -> Refused | None:
    """What a failed write means to a person: a full disk or a missing permission; None for anything else."""
    place = error.filename or where
    if error.errno in _NO_ROOM:
        return Refused(
            "StorageFull", f"No room left to write {place}; free some space there, then start again.", retryable=True
        )
    if error.errno in _NO_PERMISSION:
        return Refused(
            "StorageDenied", f"{place} may not be written; give this user write permission there, or choose another place."
        )
    return None


@contextmanager
def storage_errors(where: Path | str) -> Iterator[None]:
    """Around writes below `where`: a full disk or a missing permission becomes Refused (`StorageFull`, `StorageDenied`)."""
    try:
        yield
    except OSError as error:
        refusal = storage_refusal(error, where)
        if refusal is None:
            raise
        raise refusal from error


@contextmanager
def folder_made_whole(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that becomes it when the block ends well, and is removed when it does not.

    If another process has made `folder` meanwhile, its folder stays. Raises Refused for a full disk or no permission.
    """
    temporary = folder.with_name(f".{folder.name}.{os.uname().nodename}.{os.getpid()}.tmp")
    with storage_errors(folder):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            _take_place(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _take_place(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
