"""Addresses lead where they say and nowhere else; what is written is whole or not there."""

import errno
import os
from pathlib import Path

import pytest

from hub_mirror import hub_mirror
from raysmith.api.finetune import Dataset
from raysmith_workloads.errors import Refused
from raysmith_workloads.prepare.sources import source_files
from raysmith_workloads.storage import fetch_model, folder_made_whole, local_path, storage_refusal


@pytest.fixture
def volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAYSMITH_VOLUMES", str(tmp_path / "volumes"))
    (tmp_path / "volumes" / "data").mkdir(parents=True)
    return tmp_path / "volumes"


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x\n")


def test_addresses_become_paths(volumes: Path) -> None:
    assert local_path("file:///a/b") == Path("/a/b")
    assert local_path("file://a/b") == Path("a/b")
    assert local_path("pvc://data/a/b") == volumes / "data/a/b"
    assert local_path("pvc://data") == volumes / "data"


@pytest.mark.parametrize(
    "uri", ["pvc://data/../other", "pvc://..", "pvc://./x", "pvc://data/out/x", "s3://bucket/key", "file://", "pvc://"]
)
def test_addresses_that_lead_elsewhere_are_refused(volumes: Path, uri: str) -> None:
    (volumes / "data" / "out").symlink_to("/")
    with pytest.raises(Refused) as refused:
        local_path(uri)
    assert refused.value.reason == "AddressInvalid"


def test_a_volume_needs_its_folder_to_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAYSMITH_VOLUMES", raising=False)
    with pytest.raises(Refused, match=r"^pvc://data/x needs the environment variable RAYSMITH_VOLUMES: the folder that holds"):
        local_path("pvc://data/x")


def files(uri: str) -> list[str]:
    return [file.label for file in source_files(Dataset(name="d", source=uri)).files]


def test_a_file_a_folder_and_a_glob_are_sources(volumes: Path) -> None:
    data = volumes / "data"
    touch(data / "b.jsonl", data / "a.csv", data / "deep/er/c.parquet", data / "README.md", data / ".hidden/d.jsonl")
    assert files(f"file://{data}/b.jsonl") == [f"{data}/b.jsonl"]
    assert files(f"file://{data}") == [f"{data}/a.csv", f"{data}/b.jsonl", f"{data}/deep/er/c.parquet"]
    assert files(f"file://{data}/*.jsonl") == [f"{data}/b.jsonl"]
    assert files("pvc://data/deep") == ["pvc://data/deep/er/c.parquet"]
    assert files("pvc://data/[ab].*") == ["pvc://data/a.csv", "pvc://data/b.jsonl"]
    assert source_files(Dataset(name="d", source="pvc://data")).unread == ["README.md"]


def test_a_relative_file_is_named_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "rows.jsonl", tmp_path / "data/rows.jsonl")
    monkeypatch.chdir(tmp_path)
    assert [files("file://rows.jsonl"), files("file://data/rows.jsonl")] == [["rows.jsonl"], ["data/rows.jsonl"]]


@pytest.mark.parametrize(
    ("uri", "reason", "sentence"),
    [
        ("file:///no/such.jsonl", "DataNotFound", "file:///no/such.jsonl is not there: /no/such.jsonl is no file or folder. "),
        (
            "builtin://poems",
            "DataNotFound",
            "builtin://poems is no data set that comes with Raysmith; there are builtin://python-docs, ",
        ),
        ("pvc://data/*.jsonl", "DataNotFound", "pvc://data/*.jsonl is not there: "),
        ("pvc://data/empty", "DataNotFound", "pvc://data/empty holds no data; the files' names must end in .jsonl, .ndjson, "),
        ("pvc://data/rows.xml", "DataRefused", "pvc://data/rows.xml is of no kind that can be read; its name must end in "),
        ("pvc://data/links", "AddressInvalid", "pvc://data/links/out.jsonl leads out of the volume data; "),
        ("hf://owner/name", "DataNotFound", "hf://owner/name is not the address of a data set; write hf://datasets/owner/name"),
    ],
)
def test_a_source_that_is_not_there_is_refused(volumes: Path, tmp_path: Path, uri: str, reason: str, sentence: str) -> None:
    touch(volumes / "data/rows.xml", tmp_path / "outside.jsonl")
    (volumes / "data/empty").mkdir()
    (volumes / "data/links").mkdir()
    (volumes / "data/links/out.jsonl").symlink_to(tmp_path / "outside.jsonl")
    with pytest.raises(Refused) as refused:
        files(uri)
    assert refused.value.reason == reason
    assert refused.value.message.startswith(sentence)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Root of the mirror's repositories; the client downloads below tmp_path."""
    root = tmp_path / "hub"
    touch(
        root / "datasets/owner/rows/data/train.jsonl",
        root / "datasets/owner/rows/README.md",
        root / "models/owner/model/model.safetensors",
        root / "models/owner/model/config.json",
        root / "models/owner/model/pytorch_model.bin",
        root / "models/owner/pickles/pytorch_model.bin",
    )
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return root


def use(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants, hf_api

    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(hf_api.api, "endpoint", endpoint)


def test_data_sets_and_models_come_from_the_hub(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub_mirror(hub) as endpoint:
        use(endpoint, monkeypatch)
        assert files("hf://datasets/owner/rows") == ["hf://datasets/owner/rows/data/train.jsonl"]
        assert files("hf://datasets/owner/rows/data/train.jsonl@main") == ["hf://datasets/owner/rows/data/train.jsonl"]
        assert files("hf://datasets/owner/rows/data/*.jsonl") == ["hf://datasets/owner/rows/data/train.jsonl"]
        folder = fetch_model("hf://owner/model")
    assert sorted(os.listdir(folder)) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("uri", "reason", "sentence"),
    [
        (
            "hf://owner/none",
            "ModelNotFound",
            "hf://owner/none was not found on the hub; check the name, or give a token that may read it (HF_TOKEN, secretRef).",
        ),
        ("hf://owner/model@v9", "ModelNotFound", "hf://owner/model@v9: the repository has no revision v9."),
        ("hf://owner", "ModelNotFound", "hf://owner is not the address of a model; write hf://owner/name[@revision]."),
        (
            "hf://owner/pickles",
            "ModelRefused",
            (
                "hf://owner/pickles holds no weights (*.safetensors); save the model there with save_pretrained, "
                "or name another folder."
            ),
        ),
        (
            "file:///no/model",
            "ModelNotFound",
            "file:///no/model is not there: /no/model is no folder. Check the address of the model.",
        ),
    ],
)
def test_a_model_that_is_not_there_is_refused(
    hub: Path, monkeypatch: pytest.MonkeyPatch, uri: str, reason: str, sentence: str
) -> None:
    with hub_mirror(hub) as endpoint:
        use(endpoint, monkeypatch)
        with pytest.raises(Refused) as refused:
            fetch_model(uri)
    assert (refused.value.reason, refused.value.message) == (reason, sentence)


def test_a_hub_that_does_not_answer_is_worth_another_try(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub_mirror(hub) as endpoint:
        use(endpoint, monkeypatch)
    with pytest.raises(
        Refused, match=r"^hf://owner/model could not be downloaded: the hub does not answer\. Try again\.$"
    ) as refused:
        fetch_model("hf://owner/model")
    assert refused.value.retryable


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with folder_made_whole(tmp_path / "a") as made:
        (made / "file").write_text("x")
        assert not (tmp_path / "a").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a/file").read_text() == "x"


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with folder_made_whole(tmp_path / "a") as made:
            (made / "file").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_the_first_of_two_equal_folders_stays(tmp_path: Path) -> None:
    with folder_made_whole(tmp_path / "a") as made:
        (made / "file").write_text("second")
        touch(tmp_path / "a/file")
    assert (tmp_path / "a/file").read_text() == "x\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("number", "reason", "sentence"),
    [
        (errno.ENOSPC, "StorageFull", "No room left to write /data; free some space there, then start again."),
        (errno.EDQUOT, "StorageFull", "No room left to write /data; free some space there, then start again."),
        (
            errno.EACCES,
            "StorageDenied",
            "/data may not be written; give this user write permission there, or choose another place.",
        ),
        (
            errno.EROFS,
            "StorageDenied",
            "/data may not be written; give this user write permission there, or choose another place.",
        ),
    ],
)
def test_errors_of_the_disk_are_sentences(number: int, reason: str, sentence: str) -> None:
    refusal = storage_refusal(OSError(number, os.strerror(number)), "/data")
    assert refusal is not None
    assert (refusal.reason, refusal.message, refusal.retryable) == (reason, sentence, reason == "StorageFull")
    assert storage_refusal(OSError(errno.EIO, "I/O"), "/data") is None
