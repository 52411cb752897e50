"""Trains nothing, and ends as told: `succeed`, `miss-gate`, `fail`, `full-disk`, `kill`, `wait`."""

import os
import signal

from raysmith.api import layout

from .script import Process, linger, order, pause, record

process = Process()
word = order("finetune")
process.claim()
process.progress("Loading")
linger()
process.progress("Training", 20, loss=2.5, tokens_per_second=1234.5, seconds_left=8)
linger()
commit = process.run / layout.checkpoint_folder(process.number, 20) / layout.COMMIT
commit.parent.mkdir(parents=True)
commit.write_text("{}")
if word == "wait":
    process.progress("Training", 34, loss=2.1, tokens_per_second=1234.5, seconds_left=6)
    pause()
if word == "fail":
    process.fail("TrainingFailed", "RuntimeError: something broke.", code=1, retryable=True)
if word == "full-disk":
    process.fail("StorageFull", "the disk is full; free some space and start the run again.", code=2, retryable=True)
if word == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
process.progress("EvaluatingTuned", 100, loss=0.1)
(process.run / "model").mkdir(exist_ok=True)
process.write(process.run / layout.RUN, record(process, promoted=word != "miss-gate"))
