"""What the driver refuses before it claims an attempt."""

from pathlib import Path
from typing import Any

import pytest

from objects import finetune
from raysmith.api import LLMFineTune
from raysmith_workloads.errors import Refused
from raysmith_workloads.finetune.run import run


@pytest.mark.parametrize(
    ("changes", "reason", "message"),
    [
        ({"suspend": True}, "Suspended", "late is suspended; set spec.suspend to false to start it."),
        ({"objective": "DPO"}, "NotBuilt", "spec.objective: DPO is not built yet; use SFT or Pretrain."),
    ],
)
def test_what_cannot_run_is_refused_and_nothing_is_written(
    changes: dict[str, Any], reason: str, message: str, tmp_path: Path
) -> None:
    document = finetune(name="late", output={"storage": f"file://{tmp_path}"}, **changes)
    document["metadata"]["uid"] = "0123456789abcdef"
    with pytest.raises(Refused) as refused:
        run(LLMFineTune.model_validate(document))
    assert (refused.value.reason, refused.value.message) == (reason, message)
    assert list(tmp_path.iterdir()) == []
