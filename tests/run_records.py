"""Records of finished runs, for whoever reads them."""

from datetime import UTC, datetime
from typing import Any

from raysmith.api.record import RunRecord

DIGEST = "sha256:" + "a" * 64
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def run_record(uri: str = "pvc://store/run", *, digest: str = DIGEST, **changes: Any) -> RunRecord:
    """The record of a promoted run whose folder is `uri`, trained on the hub model acme/base; `changes` are its fields."""
    split = {"rows": 1}
    record = {
        "name": "run",
        "namespace": "default",
        "uid": "7f1d9a52",
        "spec": {},
        "base": {"source": "hf://acme/base", "digest": "sha256:" + "b" * 64},
        "data": {"digest": "d", "dataDigest": "d", "train": split, "validation": split, "maxLength": 128},
        "training": {
            "steps": 1,
            "tokens": 1,
            "seconds": 1.0,
            "loss": 1.0,
            "workers": 1,
            "device": "cpu",
            "trainedParameters": 1,
            "parameters": 1,
        },
        "baseMetrics": {},
        "tunedMetrics": {},
        "gate": [],
        "promoted": True,
        "message": "There is no gate.",
        "samples": [],
        "artifact": {"uri": uri, "digest": digest},
        "artifactKind": "model",
        "attempts": [],
        "versions": {},
        "startTime": NOW.isoformat(),
        "endTime": NOW.isoformat(),
    }
    return RunRecord.model_validate(record | changes)
