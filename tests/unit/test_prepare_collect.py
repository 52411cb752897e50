"""What becomes of the rows: sides kept apart, doubles counted, questions chosen, and nothing to learn refused."""

from pathlib import Path

import pyarrow as pa
import pytest

from raysmith.api.finetune import DataFormat, Objective, Validation
from raysmith_workloads.errors import Refused
from raysmith_workloads.prepare.collect import Collected, Collector
from raysmith_workloads.prepare.notes import check_enough, notes
from raysmith_workloads.prepare.plan import Chunk
from raysmith_workloads.prepare.stream import Part, Settings, process
from raysmith_workloads.prepare.tokenizer import train_tokenizer


def collected(
    folder: Path, *sources: tuple[list[str], bool], fraction: float = 0, max_length: int = 64, questions: int = 100
) -> Collected:
    """Collect sources of (questions, whether they are for validation); the answer is the question in capitals."""
    train_tokenizer(["what is the answer " * 20], 64).save_pretrained(folder / "tokenizer")
    settings = Settings(Objective.SFT, max_length, fraction, folder / "tokenizer")
    collector = Collector(folder, max_length, packing=True, questions=questions)
    for number, (prompts, validation) in enumerate(sources):
        path = folder / f"{number}.csv"
        path.write_text("prompt,completion\n" + "".join(f"{prompt},{prompt.upper()}\n" for prompt in prompts))
        chunk = Chunk(str(path), path.name, "csv", 1, 0, path.stat().st_size)
        for table in process(Part(chunk, DataFormat.PROMPT_COMPLETION, validation), settings):
            collector.take(table)
    return collector.finish()


def names(number: int) -> list[str]:
    return [f"row {n}" for n in range(number)]


def test_training_rows_that_are_validation_rows_too_are_left_out(tmp_path: Path) -> None:
    result = collected(tmp_path, (["a", "b"], True), (["b", "c", "d", "b"], False))
    assert (result.train.rows, result.validation.rows, result.leaked) == (2, 2, 2)
    assert list(notes(result, 64)) == ["Left out of training, because they are validation rows too: 2 rows."]


def test_equal_rows_stay_on_one_side_and_are_counted(tmp_path: Path) -> None:
    result = collected(tmp_path, (names(400) * 2, False), fraction=0.25)
    assert result.train.rows + result.validation.rows == 800
    assert result.train.duplicate_rows == result.train.rows / 2
    assert result.validation.duplicate_rows == result.validation.rows / 2 > 0
    assert f"Found more than once, word for word: {result.train.rows // 2:,} of {result.train.rows:,} training rows." in notes(
        result, 64
    )


def test_questions_are_chosen_by_content_and_not_by_place(tmp_path: Path) -> None:
    questions = collected(tmp_path, (names(300), True), (["x"], False), questions=20).questions
    assert len(questions) == 20
    assert questions == collected(tmp_path, (names(300)[::-1], True), (["x"], False), questions=20).questions


def test_rows_whose_answers_are_cut_away_are_counted_and_left_out(tmp_path: Path) -> None:
    result = collected(tmp_path, (["short", "long " * 60], False), max_length=24)
    assert (result.train.rows, result.train.truncated_rows, result.unlearnable, result.train.sequences) == (2, 1, 1, 1)
    assert list(notes(result, 24)) == [
        "Cut at data.maxLength (24 tokens): 1 of 2 training rows.",
        "Left out, because their answers lie beyond data.maxLength: 1 rows.",
    ]


def test_counts_agree_with_what_is_written(tmp_path: Path) -> None:
    from raysmith_workloads.prepare.shards import ShardReader

    result = collected(tmp_path, (names(300), False), fraction=0.2)
    for split, counts in (("train", result.train), ("validation", result.validation)):
        reader = ShardReader(tmp_path, split)
        sequences = [reader[index] for index in range(len(reader))]
        assert counts.sequences == len(sequences)
        assert counts.tokens == sum(len(sequence.input_ids) for sequence in sequences)
        assert counts.supervised_tokens == sum(sequence.loss_mask.sum() for sequence in sequences)
        assert counts.rows == sum(len(sequence.lengths) for sequence in sequences)


@pytest.mark.parametrize(
    ("sources", "options", "validation", "sentence"),
    [
        (
            [(["long " * 60, "longer " * 60], False)],
            {"max_length": 24},
            None,
            (
                "Nothing is left to learn: in all 2 training rows the answer begins beyond data.maxLength (24 tokens). "
                "Raise data.maxLength."
            ),
        ),
        (
            [(["a", "b"], True), (["b"], False)],
            {},
            {"datasets": [{"name": "v", "source": "file:///v.csv"}]},
            "No row is left to train on. All 1 training rows are validation rows too. Give more rows.",
        ),
        (
            [(["a", "b", "c"], False)],
            {"fraction": 1e-9},
            {"fraction": 1e-9},
            "data.validation.fraction 1e-09 of 3 rows holds no row back to measure on; give more rows or a larger fraction.",
        ),
        (
            [(["long " * 60], True), (["a"], False)],
            {"max_length": 24},
            {"datasets": [{"name": "v", "source": "file:///v.csv"}]},
            (
                "Nothing is left to measure on: in all validation rows the answer begins beyond data.maxLength (24 tokens). "
                "Raise data.maxLength."
            ),
        ),
    ],
)
def test_nothing_to_learn_is_refused(
    tmp_path: Path,
    sources: list[tuple[list[str], bool]],
    options: dict[str, float],
    validation: dict[str, object] | None,
    sentence: str,
) -> None:
    result = collected(tmp_path, *sources, **options)  # type: ignore[arg-type]  # a table of options
    with pytest.raises(Refused) as refused:
        check_enough(
            result,
            Validation.model_validate(validation) if validation else None,
            int(options.get("max_length", 64)),
            encoded=True,
        )
    assert (refused.value.reason, refused.value.message) == ("DataRefused", sentence)


def test_nothing_is_written_once_there_is_a_fault(tmp_path: Path) -> None:
    collector = Collector(tmp_path, 64, packing=True, questions=1)
    path = tmp_path / "bad.jsonl"
    path.write_text('{"prompt": "q"}\n')
    part = Part(Chunk(str(path), "bad.jsonl", "jsonl", 1, 0, 16), DataFormat.PROMPT_COMPLETION, validation=False)
    for table in process(part, Settings(Objective.SFT, 64, 0, None)):
        assert isinstance(table, pa.Table)
        collector.take(table)
    assert collector.faults.refusal(collector.rows).message == (
        "bad.jsonl:1: the row has no answer (column completion). Correct the row or take it out, then start again."
    )
    assert not list(tmp_path.glob("*.arrow"))


@pytest.mark.parametrize(
    ("name", "content", "form", "sentence"),
    [
        (
            "a.csv",
            b"prompt,completion\nWho?,Ren\xe9\n",
            "PromptCompletion",
            "a.csv:2: the row holds characters that are not UTF-8.",
        ),
        (
            "a.csv",
            b"prompt,completion\nWho?,Me\nWhat?,\n",
            "PromptCompletion",
            "a.csv:3: the answer is empty (column completion).",
        ),
        ("a.json", b'[{"text": "x"},\n\n {"text": " "}]', "Text", "a.json:3: the text is empty."),
        ("a.jsonl", b'{"text": "\\ud800"}\n', "Text", "a.jsonl:1: the row holds characters that are not UTF-8."),
    ],
)
def test_bad_rows_are_named_in_every_kind_of_file(tmp_path: Path, name: str, content: bytes, form: str, sentence: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    part = Part(Chunk(str(path), name, path.suffix[1:], 1, 0, len(content)), DataFormat(form), validation=False)
    collector = Collector(None, 64, packing=True, questions=1)
    for table in process(part, Settings(Objective.SFT, 64, 0, None)):
        collector.take(table)
    assert collector.faults.refusal(collector.rows).message == f"{sentence} Correct the row or take it out, then start again."
