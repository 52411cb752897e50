"""Prepares nothing, or fails as told: `succeed`, `refuse`."""

from raysmith.api import layout

from .script import Process, order, prepared

process = Process()
if order("prepare") == "refuse":
    if process.check:
        raise SystemExit("error: data.jsonl:731: this is not JSON; correct the line.")
    process.claim()
    process.fail("DataRefused", "data.jsonl:731: this is not JSON; correct the line.", code=2, retryable=False)
if not process.check:
    process.claim()
    process.progress("Preparing")
    process.write(process.run / layout.PREPARED, prepared())
