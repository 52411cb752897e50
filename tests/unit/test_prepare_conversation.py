"""What is learned of a conversation: every answer and the token that ends it, nothing else, under every kind of template."""

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from raysmith.api.finetune import DataFormat, Objective
from raysmith_workloads.errors import Refused
from raysmith_workloads.prepare.builtin import BUILTIN
from raysmith_workloads.prepare.encode import Encoded, encode
from raysmith_workloads.prepare.faults import FaultKind, RowFault
from raysmith_workloads.prepare.rows import Example, example
from raysmith_workloads.prepare.tokenizer import PLAIN_TEMPLATE, load_tokenizer, train_tokenizer, with_template

TINY = ""  # keeps the template of the small tokenizer
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WITH_EOS_AND_NEWLINE = CHATML.replace("'<|im_end|>'", "eos_token")
TRIMMING = (
    "{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] | trim }} [/INST]"
    "{% elif m['role'] == 'assistant' %} {{ m['content'] | trim }}{{ eos_token }}"
    "{% else %}{{ raise_exception('System role not supported') }}{% endif %}{% endfor %}"
)
FORGETFUL = "{% for m in messages %}{% if loop.last or m['role'] == 'user' %}<{{ m['content'] }}>{% endif %}{% endfor %}"
MUTE = "{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}{% endfor %}"


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizers")
    train_tokenizer((row["text"] for row in BUILTIN["python-docs"]()), 512).save_pretrained(folder / "tiny")
    return folder


def tokenizer_with(tokenizers: Path, template: str) -> Path:
    if not template:
        return tokenizers / "tiny"
    folder = tokenizers / str(abs(hash(template)))
    if not folder.exists():
        tokenizer = PreTrainedTokenizerFast.from_pretrained(tokenizers / "tiny")
        tokenizer.chat_template = template
        tokenizer.save_pretrained(folder)
    return folder


def conversation(*contents: str, system: str | None = None) -> Example:
    roles = ("user", "assistant") * len(contents)
    messages = [{"role": role, "content": content} for role, content in zip(roles, contents, strict=False)]
    first = [{"role": "system", "content": system}] if system else []
    return example({"messages": [*first, *messages]}, DataFormat.MESSAGES)


def encoded(folder: Path, *examples: Example, max_length: int = 1024) -> list[Encoded | RowFault]:
    return list(encode(folder, Objective.SFT, max_length, list(examples)))


def learned(folder: Path, row: Example) -> tuple[str, str]:
    """The whole text as the model sees it, and the learned parts of it joined by |."""
    tokenizer = load_tokenizer(folder)
    tokens = encoded(folder, row)[0]
    assert isinstance(tokens, Encoded)
    parts: list[list[int]] = []
    last = False
    for token, supervised in zip(tokens.input_ids.tolist(), tokens.loss_mask.tolist(), strict=True):
        if supervised:
            parts[-1:] = [[*parts[-1], token]] if last else [*parts[-1:], [token]]
        last = supervised
    return tokenizer.decode(tokens.input_ids), "|".join(tokenizer.decode(part) for part in parts)


@pytest.mark.parametrize(
    ("template", "text", "answers"),
    [
        (TINY, "<|user|>One?<|end|><|assistant|>First.<|end|>", "First.<|end|>"),
        (PLAIN_TEMPLATE, "User:\nOne?\nAssistant:\nFirst.<|end|>", "First.<|end|>"),
        (
            CHATML,
            "<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\nFirst.<|im_end|><|end|>",
            "First.<|im_end|><|end|>",
        ),
        (WITH_EOS_AND_NEWLINE, "<|im_start|>user\nOne?<|end|>\n<|im_start|>assistant\nFirst.<|end|>", "First.<|end|>"),
        (TRIMMING, "[INST] One? [/INST] First.<|end|>", " First.<|end|>"),
    ],
)
def test_the_answer_and_its_stop_token_are_learned(tokenizers: Path, template: str, text: str, answers: str) -> None:
    assert learned(tokenizer_with(tokenizers, template), conversation("One?", "First.")) == (text, answers)


@pytest.mark.parametrize(
    ("template", "answers"),
    [
        (TINY, "First.<|end|>|Zweitens: schön 🙂<|end|>"),
        (PLAIN_TEMPLATE, "First.<|end|>|Zweitens: schön 🙂<|end|>"),
        (CHATML, "First.<|im_end|>|Zweitens: schön 🙂<|im_end|><|end|>"),
        (WITH_EOS_AND_NEWLINE, "First.<|end|>|Zweitens: schön 🙂<|end|>"),
        (TRIMMING, " First.<|end|>| Zweitens: schön 🙂<|end|>"),
    ],
)
def test_every_answer_of_a_long_conversation_is_learned(tokenizers: Path, template: str, answers: str) -> None:
    row = conversation("One?", "First.", "Two?", "Zweitens: schön 🙂")
    assert learned(tokenizer_with(tokenizers, template), row)[1] == answers


def test_questions_and_system_messages_are_never_learned(tokenizers: Path) -> None:
    row = conversation("First.", "First.", system="First.")
    text, answers = learned(tokenizers / "tiny", row)
    assert (text.count("First."), answers) == (3, "First.<|end|>")


@pytest.mark.parametrize("answer", ["ends in lines\n\n", "  begins with blanks", "a <|end|> inside", "x"])
@pytest.mark.parametrize("template", [TINY, PLAIN_TEMPLATE, CHATML, WITH_EOS_AND_NEWLINE])
def test_odd_answers_are_learned_whole_and_stopped(tokenizers: Path, template: str, answer: str) -> None:
    answers = learned(tokenizer_with(tokenizers, template), conversation("One?", answer))[1]
    assert answer in answers
    assert answers.endswith("<|end|>")


@pytest.mark.parametrize(
    ("template", "row", "message"),
    [
        (
            TRIMMING,
            conversation("One?", "First.", system="Be brief."),
            "the model's chat template cannot write this conversation (System role not supported)",
        ),
        (
            FORGETFUL,
            conversation("One?", "First.", "Two?", "Second."),
            "the model's chat template writes earlier turns in another way once an answer follows",
        ),
        (MUTE, conversation("One?", "First."), "the model's chat template leaves the answer out"),
    ],
)
def test_a_template_that_cannot_write_a_row_says_so_for_that_row(
    tokenizers: Path, template: str, row: Example, message: str
) -> None:
    fine = conversation("One?", "First.")
    first, second = encoded(tokenizer_with(tokenizers, template), fine, row)
    assert isinstance(second, RowFault)
    assert (second.kind, second.message) == (FaultKind.TEMPLATE, message)
    assert isinstance(first, Encoded) or template == MUTE


def test_long_rows_are_cut_at_the_end_and_marked(tokenizers: Path) -> None:
    short, cut, gone = encoded(
        tokenizers / "tiny",
        conversation("q", "a"),
        conversation("q", "word " * 50),
        conversation("word " * 50, "a"),
        max_length=20,
    )
    assert isinstance(short, Encoded)
    assert isinstance(cut, Encoded)
    assert isinstance(gone, Encoded)
    assert [(len(row.input_ids), row.truncated, bool(row.loss_mask.any())) for row in (short, cut, gone)] == [
        (len(short.input_ids), False, True),
        (20, True, True),
        (20, True, False),
    ]


def test_texts_are_learned_whole_with_their_end(tokenizers: Path) -> None:
    tokens = next(iter(encode(tokenizers / "tiny", Objective.PRETRAIN, 1024, [example({"text": "One 12."}, DataFormat.TEXT)])))
    assert isinstance(tokens, Encoded)
    tokenizer = load_tokenizer(tokenizers / "tiny")
    assert tokenizer.decode(tokens.input_ids) == "One 12.<|end|>"
    assert tokens.loss_mask.tolist() == [False] + [True] * (len(tokens.input_ids) - 1)


def test_a_tokenizer_without_a_template_gets_the_plain_one_and_a_note(tokenizers: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tokenizers / "tiny")
    tokenizer.chat_template = None
    changed, remarks = with_template(tokenizer, Objective.SFT)
    assert changed.chat_template == PLAIN_TEMPLATE
    assert remarks == [
        "The model's tokenizer has no chat template; Raysmith's plain one (User: ... Assistant: ...) is used and saved."
    ]


def test_a_template_that_does_not_end_answers_gets_a_note(tokenizers: Path) -> None:
    notes = {
        template: with_template(load_tokenizer(tokenizer_with(tokenizers, template)), Objective.SFT)[1]
        for template in (TINY, CHATML, WITH_EOS_AND_NEWLINE)
    }
    remark = "The chat template does not end answers with the end token <|end|>; it is added to each last answer."
    assert notes == {TINY: [], CHATML: [remark], WITH_EOS_AND_NEWLINE: []}


def test_a_template_that_fails_in_any_other_way_is_left_to_the_rows_to_complain_of(tokenizers: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tokenizers / "tiny")
    tokenizer.chat_template = "{{ 1 / 0 }}"
    assert with_template(tokenizer, Objective.SFT)[1] == []


def test_a_template_that_is_none_is_refused_with_its_own_message(tokenizers: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tokenizers / "tiny")
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}"
    with pytest.raises(
        Refused, match=r"^The model's chat template cannot be read: Unexpected end of template\..* \(line 1\)\. Correct it"
    ):
        with_template(tokenizer, Objective.SFT)


def test_the_small_tokenizer_is_the_same_every_time_and_reads_digits_one_by_one(tokenizers: Path, tmp_path: Path) -> None:
    train_tokenizer((row["text"] for row in BUILTIN["python-docs"]()), 512).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (tmp_path / name).read_bytes() == (tokenizers / "tiny" / name).read_bytes()
    tokenizer = load_tokenizer(tmp_path)
    assert len(tokenizer) == 2048
    assert tokenizer.tokenize("1987") == list("1987")
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.decode(tokenizer.encode("14. März 1987: 🙂")) == "14. März 1987: 🙂"


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "{folder} has no tokenizer.json; load the tokenizer with transformers' AutoTokenizer and save it there."),
        (
            {"tokenizer_config.json": "{}"},
            "The tokenizer in {folder} has no end token, so answers would never stop; set eos_token in tokenizer_config.json.",
        ),
    ],
)
def test_a_tokenizer_that_cannot_be_used_is_refused(
    tokenizers: Path, tmp_path: Path, files: dict[str, str], sentence: str
) -> None:
    if files:
        (tmp_path / "tokenizer.json").write_bytes((tokenizers / "tiny" / "tokenizer.json").read_bytes())
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(Refused) as refused:
        load_tokenizer(tmp_path)
    assert (refused.value.reason, refused.value.message) == ("TokenizerRefused", sentence.format(folder=tmp_path))
