"""`report.html`: the record for people, in one file that needs neither network nor script."""

import logging
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from raysmith.api import API_VERSION, layout
from raysmith.api.common import MetricName
from raysmith.api.record import GateVerdict, Prepared, RunRecord
from raysmith_workloads.finetune.curve import Point
from raysmith_workloads.finetune.gate import NAMES
from raysmith_workloads.finetune.plot import curve_svg

log = logging.getLogger(__name__)

TEMPLATE: Final = Path(__file__).with_name("page.html.jinja")
SHARES: Final = (MetricName.EXACT_MATCH, MetricName.STOP_RATE)
# kubectl takes more words for numbers and truth values than PyYAML quotes: 2e-4, 12e34567 (a hash), y, n.
QUOTED: Final = re.compile(r"[-+.0-9].*|[yYnN]", re.DOTALL)


class Verdict(NamedTuple):
    """The gate's verdict in a word, and the colour of it."""

    word: str
    tone: str


class MetricCard(NamedTuple):
    """One metric of both models, as it is shown. Shares, from 0 to 1, get a bar beside the number."""

    title: str
    base: str
    tuned: str
    base_share: float | None
    tuned_share: float | None
    verdicts: list[GateVerdict]


def write_page(run: Path, record: RunRecord, points: list[Point]) -> None:
    """Write `report.html` into the folder `run`, whole or not at all.

    The record is written and the run complete without it: whatever goes wrong here is said and does no harm.
    """
    path = run / layout.REPORT
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(page(record, points), encoding="utf-8")
        beside.replace(path)
    except Exception as error:
        log.warning("%s cannot be written (%s: %s); the run is complete without it.", path, type(error).__name__, error)
        _remove(beside)


def page(record: RunRecord, points: list[Point]) -> str:
    """The page. Whatever comes from rows, models and objects is escaped."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        record=record,
        verdict=verdict(record),
        facts=facts(record),
        metrics=metric_cards(record),
        curve=Markup(curve_svg(points, record.base_metrics, record.tuned_metrics)),  # noqa: S704 - it holds numbers only
        counts=counts(record.data),
        parts=parts(record),
        spec=spec_yaml(record),
        moment=moment,
    )


def verdict(record: RunRecord) -> Verdict:
    """Whether the result may be served, and whether a gate has said so."""
    if not record.gate:
        return Verdict("No gate", "")
    return Verdict("Gate passed", "good") if record.promoted else Verdict("Gate missed", "bad")


def facts(record: RunRecord) -> list[tuple[str, str]]:
    """What was done, in numbers."""
    training = record.training
    speed = [("tokens a second", f"{training.tokens / training.seconds:,.0f}")] if training.seconds else []
    every = training.trained_parameters == training.parameters
    return [
        ("training", duration(training.seconds)),
        ("steps", f"{training.steps:,}"),
        ("tokens", f"{training.tokens:,}"),
        *speed,
        ("workers", f"{training.workers:,} ({training.device})"),
        ("weights trained", f"{'all' if every else f'{training.trained_parameters:,} of'} {training.parameters:,}"),
    ]


def metric_cards(record: RunRecord) -> list[MetricCard]:
    """Every metric that was measured, or that the gate asks for."""
    cards = []
    for metric in MetricName:
        base, tuned = record.base_metrics.value(metric), record.tuned_metrics.value(metric)
        verdicts = [found for found in record.gate if found.gate.metric is metric]
        if base is not None or tuned is not None or verdicts:
            shares = (base, tuned) if metric in SHARES else (None, None)
            title = NAMES[metric].capitalize()
            cards.append(MetricCard(title, number(metric, base), number(metric, tuned), *shares, verdicts))
    return cards


def counts(data: Prepared) -> list[tuple[str, int, int]]:
    """What there was on both sides of the data."""
    titles = {
        "rows": "rows",
        "sequences": "sequences",
        "tokens": "tokens",
        "supervised_tokens": "tokens to learn from",
        "truncated_rows": "rows that were cut",
        "duplicate_rows": "rows that stood there before",
    }
    return [(title, getattr(data.train, name), getattr(data.validation, name)) for name, title in titles.items()]


def parts(record: RunRecord) -> list[tuple[str, str]]:
    """Where everything came from, and what came out."""
    base = record.base.source or (record.base.artifact.uri if record.base.artifact else "-")
    return [
        ("base model", base),
        ("base model's digest", record.base.digest),
        ("data's digest", record.data.data_digest),
        (f"artefact ({record.artifact_kind})", record.artifact.uri),
        ("artefact's digest", record.artifact.digest),
    ]


def spec_yaml(record: RunRecord) -> str:
    """The object as it could be applied again."""
    metadata = {"name": record.name, "namespace": record.namespace}
    document = {"apiVersion": API_VERSION, "kind": "LLMFineTune", "metadata": metadata, "spec": record.spec}
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def number(metric: MetricName, value: float | None) -> str:
    """`97.5 %` for a share, `1.234` or `1,005` for anything else, a dash for what was not measured."""
    if value is None:
        return "-"
    return f"{100 * value:.1f} %" if metric in SHARES else f"{value:.3f}" if value < 100 else f"{value:,.0f}"


def duration(seconds: float) -> str:
    """Seconds as people say them: `4.2 s`, `80 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s" if whole >= 10 else f"{seconds:.1f} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 7200 else f"{whole // 3600} h {whole % 3600 // 60} min"


def moment(time: datetime) -> str:
    """To the minute. In UTC: who reads the page may be anywhere."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s cannot be deleted (%s).", path, error.strerror)


class _Dumper(yaml.SafeDumper):
    """Text in blocks or in quotes where it would not stay text."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> Any:
    style = "|" if "\n" in text else '"' if QUOTED.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
