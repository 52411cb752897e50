"""Asks both services of the quickstart what the record of the tuned model asks, and fails if the tuned one is wrong.

hack/cluster-demo.sh has it run in a pod that serves the tuned model: there the services' addresses lead somewhere, and the
record lies beside the model.

    python - OBJECT BASE_URL TUNED_URL      # OBJECT: the file with the LLMService `tuned`, as its pods have it
"""

import sys
from pathlib import Path

from raysmith.api import LLMService, layout
from raysmith.api.record import RunRecord
from raysmith.cli.errors import RunFailed
from raysmith.cli.openai_client import ask
from raysmith.cli.side_by_side import QUESTIONS, Comparison, Endpoint, Pair, Row, compare
from raysmith_workloads.storage import local_path

ENOUGH = 0.8
"""Share of right answers. The run's gate asked for nine of ten among many more questions."""


def main() -> None:
    """Ask, print the answers, and judge them."""
    object_file, base_url, tuned_url = sys.argv[1:]
    record = _record(Path(object_file))
    most_tokens = record.spec["evaluation"]["maxNewTokens"]
    pair = Pair(Endpoint(tuned_url, "tuned"), Endpoint(base_url, "base"), record.samples[:QUESTIONS], most_tokens)
    try:
        comparison = compare(pair, ask)
    except RunFailed as error:
        sys.exit(f"A service does not answer: {error}")
    for row in comparison.rows:
        print(f"{row.prompt}\n  right: {row.expected}\n  base:  {_in_a_line(row.base)}\n  tuned: {_in_a_line(row.tuned)}")
    _judge(comparison)


def _record(object_file: Path) -> RunRecord:
    """The record of the run whose model is served."""
    service = LLMService.model_validate_json(object_file.read_bytes())
    if not (service.status and service.status.model):
        sys.exit(f"{object_file} does not say which run's model is served.")
    return RunRecord.model_validate_json((local_path(service.status.model.uri) / layout.RUN).read_bytes())


def _judge(comparison: Comparison) -> None:
    count = len(comparison.rows)
    base = sum(_is_right(row, row.base) for row in comparison.rows)
    tuned = sum(_is_right(row, row.tuned) for row in comparison.rows)
    if tuned < max(1, ENOUGH * count):
        sys.exit(f"The tuned model answers {tuned} of {count} questions right, and its run's gate promised nearly all.")
    print(f"The tuned model answers {tuned} of {count} questions right, the base model {base}.")


def _is_right(row: Row, answer: str | None) -> bool:
    return answer is not None and answer.strip() == row.expected


def _in_a_line(answer: str | None) -> str:
    return " ".join((answer or "").split())[:100]


if __name__ == "__main__":
    main()
