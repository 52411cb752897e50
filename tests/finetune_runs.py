"""Fine-tunes with hand-made prepared data: what `python -m raysmith_workloads.prepare` would leave, a few tokens large."""

import json
import shutil
from collections.abc import Sequence as Items
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from objects import finetune
from raysmith.api import LLMFineTune, layout
from raysmith.api.common import to_wire
from raysmith.api.record import DataSplit, Prepared, RunRecord
from raysmith_workloads.prepare.shards import SCHEMA, Sequence

DIGEST = "sha256:" + "d" * 64
QUESTIONS = [{"messages": [{"role": "user", "content": "hello"}], "expected": "world"}]


@dataclass(frozen=True)
class Run:
    """A run on disk that `python -m raysmith_workloads.finetune --object` can start."""

    folder: Path
    object_file: Path

    def record(self) -> RunRecord:
        return RunRecord.model_validate_json((self.folder / layout.RUN).read_bytes())

    def json(self, path: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / path).read_text())
        return content

    @property
    def output(self) -> Path:
        """Where what it prints can be put, outside its folder."""
        return self.folder.with_suffix(".output")

    def losses(self) -> list[float]:
        """One for each step; none is missing, none there twice."""
        lines = [json.loads(line) for line in (self.folder / layout.METRICS).read_text().splitlines()]
        assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
        return [line["loss"] for line in lines]

    def start_attempt(self, number: int) -> Path:
        """The object file for another attempt."""
        document = json.loads(self.object_file.read_text())
        document["status"] = {**document.get("status", {}), "attempt": number}
        self.object_file.write_text(json.dumps(document))
        return self.object_file


def make_run(
    storage: Path,
    tokenizer: Path,
    train: Items[Sequence],
    *,
    name: str = "run",
    validation: Items[Sequence] = (),
    questions: Items[dict[str, Any]] = (),
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> Run:
    """A run named `name` below `storage`, with its data prepared."""
    document = finetune(name=name, **spec)
    document["metadata"]["uid"] = f"{name}-0000000"
    document["spec"].setdefault("output", {"storage": f"file://{storage}"})
    document["status"] = {"attempt": 1, **(status or {})}
    obj = LLMFineTune.model_validate(document)
    folder = Path(layout.run_folder(f"{storage}", obj.metadata))
    folder.mkdir(parents=True, exist_ok=True)
    digest = f"sha256:{name.encode().hex():0<64}"
    prepared = prepared_record(digest, train, validation, len(questions), obj.spec.data.max_length)
    shards = Path(layout.prepared_folder(f"{storage}", digest))
    write_prepared(shards, tokenizer, prepared, train, validation, questions)
    (folder / layout.PREPARED).write_text(json.dumps(to_wire(prepared)))
    object_file = folder / "given.json"
    object_file.write_text(json.dumps(to_wire(obj)))
    return Run(folder, object_file)


def small_run(storage: Path, folder: Path, *, status: dict[str, Any] | None = None, **changes: Any) -> Run:
    """18 steps on 48 sequences by one worker, from the model in `folder`, whose vocabulary has 1,024 tokens."""
    spec: dict[str, Any] = {
        "model": {"source": f"file://{folder}"},
        "data": {"train": [{"name": "rows", "source": "file://rows.jsonl"}], "maxLength": 128, "validation": {"fraction": 0.1}},
        "training": {"epochs": 3, "globalBatchSize": 8, "learningRate": 1e-3},
        "workers": {"resources": {"requests": {"cpu": "1"}}},
        "evaluation": {"maxNewTokens": 4},
    }
    train = random_sequences(48, vocabulary=1024)
    validation = random_sequences(6, vocabulary=1024, seed=1)
    return make_run(storage, folder, train, validation=validation, questions=QUESTIONS, status=status, **(spec | changes))


def prepared_record(
    digest: str, train: Items[Sequence], validation: Items[Sequence], questions: int, max_length: int
) -> Prepared:
    train_split, validation_split = (
        DataSplit(
            rows=sum(len(item.lengths) for item in items),
            sequences=len(items),
            tokens=sum(len(item.input_ids) for item in items),
            supervised_tokens=sum(int(item.loss_mask.sum()) for item in items),
        )
        for items in (train, validation)
    )
    return Prepared(
        digest=digest,
        data_digest=DIGEST,
        train=train_split,
        validation=validation_split,
        questions=questions,
        max_length=max_length,
    )


def write_prepared(
    folder: Path,
    tokenizer: Path,
    prepared: Prepared,
    train: Items[Sequence],
    validation: Items[Sequence],
    questions: Items[dict[str, Any]],
) -> None:
    """The folder of prepared data, as the trainer reads it."""
    folder.mkdir(parents=True)
    for split, items in (("train", train), ("validation", validation)):
        if items:
            columns = zip(*items, strict=True)
            with pa.OSFile(str(folder / f"{split}-00000.arrow"), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
                writer.write_batch(pa.record_batch([list(map(list, column)) for column in columns], schema=SCHEMA))
    copied = folder / layout.TOKENIZER
    copied.mkdir()
    for path in tokenizer.glob("*token*"):
        shutil.copy(path, copied)
    for path in tokenizer.glob("*.jinja"):
        shutil.copy(path, copied)
    if questions:
        (folder / layout.QUESTIONS).write_text("".join(json.dumps(question) + "\n" for question in questions))
    (folder / layout.MANIFEST).write_text(json.dumps(to_wire(prepared)))


def sequence(*documents: Items[int], supervised: int | None = None) -> Sequence:
    """Documents packed into one sequence; of each, only the last `supervised` tokens are learned."""
    lengths = [len(document) for document in documents]
    mask = [supervised is None or place >= length - supervised for length in lengths for place in range(length)]
    tokens = [token for document in documents for token in document]
    return Sequence(np.array(tokens, np.int32), np.array(mask, np.bool_), np.array(lengths, np.int32))


def random_sequences(count: int, *, vocabulary: int, seed: int = 0, longest: int = 24, packed: int = 3) -> list[Sequence]:
    """Sequences of up to `packed` documents of random tokens; the last half of each document is learned."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        documents = [
            random.integers(0, vocabulary, random.integers(4, longest)).tolist() for _ in range(random.integers(1, packed + 1))
        ]
        made.append(sequence(*documents, supervised=2))
    return made
