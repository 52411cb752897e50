"""`python -m raysmith_workloads.delete --object FILE` deletes the run's folder: artefact, record, checkpoints, logs."""

import argparse
import logging
import shutil
import sys
from pathlib import Path

from pydantic import ValidationError

from raysmith.api import LLMFineTune, layout
from raysmith_workloads.errors import Refused
from raysmith_workloads.objects import read_object
from raysmith_workloads.report import exit_code
from raysmith_workloads.storage import local_path, run_folder, storage_errors
from raysmith_workloads.termination import reason_told

log = logging.getLogger(__name__)


def delete(obj: LLMFineTune) -> None:
    """Delete the folder of the run of `obj`, and nothing else: prepared data may be another run's too.

    Raises Refused if a link leads elsewhere, or if the folder is not of this very object.
    """
    folder = run_folder(obj)
    if not folder.exists():
        log.info("%s is not there; nothing is deleted.", folder)
        return
    _check_place(folder, local_path(obj.spec.output.storage))
    _check_owner(folder, obj)
    with storage_errors(folder):
        for entry in folder.iterdir():
            if entry.name != layout.OBJECT:
                _remove(entry)
        # Last, so that a deletion that was cut off can be made again.
        (folder / layout.OBJECT).unlink()
        folder.rmdir()
    log.info("%s is deleted.", folder)


def _check_place(folder: Path, storage: Path) -> None:
    if folder.resolve() != storage.resolve() / folder.parent.name / folder.name:
        raise Refused("FolderRefused", f"{folder} is, or lies behind, a link to {folder.resolve()}; delete it by hand.")


def _check_owner(folder: Path, obj: LLMFineTune) -> None:
    path = folder / layout.OBJECT
    try:
        owner = LLMFineTune.model_validate_json(path.read_bytes()).metadata
    except (OSError, ValidationError) as error:
        raise Refused("FolderRefused", f"{path} cannot be read, so {folder} may be anybody's; delete it by hand.") from error
    mine = obj.metadata
    if (owner.namespace, owner.name, owner.uid) != (mine.namespace, mine.name, mine.uid):
        raise Refused(
            "FolderRefused",
            f"{folder} belongs to {owner.namespace}/{owner.name} with uid {owner.uid}, not to {mine.namespace}/{mine.name} "
            f"with uid {mine.uid}; it is left alone.",
        )


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()


def main() -> int:
    """Exit code: 0 deleted, or nothing there; 1 failed, 2 refused, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m raysmith_workloads.delete", description="Delete the folder of a run.")
    parser.add_argument("--object", type=Path, required=True, help="file with the LLMFineTune, as JSON")
    arguments = parser.parse_args()
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")

    def work() -> None:
        with reason_told("DeletionFailed"):
            delete(read_object(arguments.object, LLMFineTune))

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
