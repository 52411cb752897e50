"""What came of one `raysmith run`, and the file that tells it to benchmarks and to `raysmith chat`."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from raysmith.api.common import Artifact
from raysmith.cli.data_dir import write_json
from raysmith.cli.errors import FAILED
from raysmith.cli.records import artifact_of
from raysmith.cli.side_by_side import Comparison, Endpoint, Finished
from raysmith.cli.stages import StageClock

Key = tuple[str, str]
"""Namespace and name of an LLMFineTune."""


@dataclass
class Outcome:
    """What came of a command so far."""

    finished: dict[Key, Finished] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    exit_code: int = 0
    """What the command ends with; bad input, which the user must correct, counts more than what failed."""
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    clock: StageClock = field(default_factory=StageClock)

    def fail(self, sentence: str, exit_code: int = FAILED) -> None:
        """Something was not done."""
        self.failures.append(sentence)
        self.exit_code = max(self.exit_code, exit_code)

    def artifacts(self) -> dict[Key, Artifact]:
        """What references resolve to: runs that are finished and passed their gate."""
        return {key: artifact_of(done.obj, done.record) for key, done in self.finished.items() if done.record.promoted}

    def summary(self) -> dict[str, object]:
        """What `last-run.json` holds."""
        return {
            "totalSeconds": round(self.clock.total(), 2),
            "stages": [{**stage._asdict(), "seconds": round(stage.seconds, 2)} for stage in self.clock.stages],
            "failures": self.failures,
            "services": [{"name": name, "url": at.url, "model": at.model} for name, at in self.endpoints.items()],
            "sideBySide": [{**side._asdict(), "rows": [row._asdict() for row in side.rows]} for side in self.comparisons],
        }

    @contextmanager
    def written_to(self, path: Path) -> Iterator[None]:
        """Write the summary when the body has ended. Where that fails too, the body's own error is the one to tell."""
        try:
            yield
        except BaseException:
            with suppress(OSError):
                write_json(path, self.summary())
            raise
        write_json(path, self.summary())
