"""How many tokens a worker holds at once."""

import pytest
import torch

from raysmith_workloads.finetune.memory import Room, room, room_in

GIB = 2**30
GPT2_LARGE = {"layers": 36, "hidden": 1280, "vocabulary": 50257}
LLAMA_8B = {"layers": 32, "hidden": 4096, "vocabulary": 128256}


def test_on_cpus_the_caches_decide() -> None:
    assert room(None, torch.device("cpu"), trained=10**9, max_length=10**6) == Room(4096)


@pytest.mark.parametrize(
    ("free", "shape", "trained", "max_length", "sequences"),
    [
        pytest.param(20, GPT2_LARGE, 774_000_000, 1024, 2, id="all of GPT-2 Large on 24 GiB"),
        pytest.param(75, GPT2_LARGE, 774_000_000, 1024, 16, id="all of GPT-2 Large on 80 GiB"),
        pytest.param(62, LLAMA_8B, 40_000_000, 2048, 2, id="an adapter on 8 billion on 80 GiB"),
    ],
)
def test_as_many_sequences_as_fit(free: int, shape: dict[str, int], trained: int, max_length: int, sequences: int) -> None:
    fits = room_in(free * GIB, **shape, trained=trained, max_length=max_length)
    assert fits.tokens // max_length == sequences
    assert not fits.recompute


def test_one_long_sequence_is_made_to_fit_by_computing_twice() -> None:
    fits = room_in(24 * GIB, **LLAMA_8B, trained=40_000_000, max_length=4096)
    assert fits == Room(4096, recompute=True)


def test_more_room_than_is_of_use_is_left() -> None:
    assert room_in(500 * GIB, **GPT2_LARGE, trained=0, max_length=1024) == Room(16384)


def test_no_room_at_all_still_tries_one_sequence() -> None:
    assert room_in(0, **GPT2_LARGE, trained=774_000_000, max_length=1024) == Room(1, recompute=True)
