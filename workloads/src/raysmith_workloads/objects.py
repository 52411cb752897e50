"""The object that a workload works for, read from the file that the operator mounts or the command line writes."""

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from raysmith.api import LLMFineTune, LLMService, layout
from raysmith_workloads.errors import Refused
from raysmith_workloads.report import write_record
from raysmith_workloads.storage import storage_errors

T = TypeVar("T", LLMFineTune, LLMService)


def read_object(path: Path, kind: type[T]) -> T:
    """The object in the JSON file at `path`. Raises Refused if there is none or it is of another kind or shape."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise Refused("ObjectNotFound", f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Refused("ObjectInvalid", f"{path} is not a valid {kind.__name__}: {field}: {first['msg']}.") from error


def keep_object(obj: LLMFineTune, folder: Path) -> None:
    """Write `obj` into the folder of its run, unless it is there: it says whose the folder is. Raises Refused."""
    if not (folder / layout.OBJECT).exists():
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_record(folder / layout.OBJECT, obj)
