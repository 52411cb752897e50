"""A model folder's config.json. Only JSON is read, no code and no weights: a model that cannot work is refused at once."""

import json
from pathlib import Path
from typing import Any

from raysmith_workloads.errors import Refused


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of the model in `folder`. Raises Refused (`ModelRefused`) if there is none."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused(
            "ModelRefused", f"{path} is missing; name a complete model folder, as save_pretrained writes it."
        ) from error
    except ValueError as error:
        raise Refused("ModelRefused", f"{path} is not JSON ({error}); save the model again.") from error
    if not isinstance(config, dict):
        raise Refused("ModelRefused", f"{path} is not an object; save the model again.")
    return {**config, **config.get("text_config", {})}


def check_length(config: dict[str, Any], model: Path | str, max_length: int) -> None:
    """Raises Refused (`MaxLengthTooLong`) if `model`, which has this configuration, cannot read `max_length` tokens."""
    positions = config.get("max_position_embeddings") or config.get("n_positions")
    if positions is not None and max_length > positions:
        raise Refused(
            "MaxLengthTooLong",
            f"spec.data.maxLength is {max_length}, but {model} was made for {positions} positions; "
            f"set maxLength to {positions} or less.",
        )
