"""Prepares nothing, or fails as told: `succeed`, `refuse`."""

import json
import sys

from raysmith.api import layout

from .script import Process, order, prepared

REFUSED = "data.jsonl:731: this is not JSON; correct the line."

process = Process()
word = order("prepare")
if process.check:
    problems = [{"field": "spec.data", "message": REFUSED}] if word == "refuse" else []
    print(json.dumps({"notes": ["2 rows would be cut at 64 tokens."], "problems": problems}))
    print("not a part of the report", file=sys.stderr)
    sys.exit(2 if problems else 0)
process.claim()
if word == "refuse":
    process.fail("DataRefused", REFUSED, code=2, retryable=False)
process.progress("Preparing")
process.write(process.run / layout.PREPARED, prepared())
