"""The training loop.

One optimiser step learns from one global batch. Each worker takes its part of it, in micro batches. Gradients are those of
    sum of the losses of all supervised tokens / number of supervised tokens, over all workers and micro batches,
so that neither the number of workers nor the size of micro batches changes what is learned.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.nn.parallel import DistributedDataParallel

from raysmith.api.finetune import Training
from raysmith_workloads.finetune.checkpoint import Position
from raysmith_workloads.finetune.curve import CurveWriter
from raysmith_workloads.finetune.data import Batch, Plan, collate, micro_batches, supervised_tokens
from raysmith_workloads.finetune.schedule import learning_rate
from raysmith_workloads.finetune.world import World
from raysmith_workloads.prepare.shards import Sequence, ShardReader
from raysmith_workloads.report import Reporter

log = logging.getLogger(__name__)

LOSSES_KEPT = 20
"""Steps that the reported loss is the mean of."""
LOG_INTERVAL = 5.0
"""Seconds between two lines in the log."""


@dataclass(frozen=True)
class Task:
    """What is learned, from what, and how."""

    training: Training
    plan: Plan
    shards: ShardReader
    flat: bool
    """Whether the model takes all documents in one row."""
    tokens_at_once: int
    """Tokens that fit into one micro batch."""
    autocast: torch.dtype | None
    """Number format of the forward pass; None for that of the weights."""


def make_optimizer(parameters: dict[str, torch.nn.Parameter], training: Training) -> torch.optim.AdamW:
    """AdamW (arXiv:1711.05101); vectors (biases, norms) do not decay."""
    matrices = [parameter for parameter in parameters.values() if parameter.dim() >= 2]
    vectors = [parameter for parameter in parameters.values() if parameter.dim() < 2]
    groups = [{"params": matrices, "weight_decay": training.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=training.learning_rate, betas=(0.9, 0.95), fused=True)


class Watcher(NamedTuple):
    """Who is told about each step."""

    reporter: Reporter
    """For people who watch."""
    curve: CurveWriter | None
    """For the record; on the first worker only."""
    due: Callable[[Position], bool]
    """Whether it is time for a checkpoint. Only the first worker's answer counts."""
    checkpoint: Callable[[Position], None]
    """Saves one; called on every worker at the same step, and after the last step."""


def train(
    loss: torch.nn.Module, optimizer: torch.optim.AdamW, task: Task, start: Position, world: World, watcher: Watcher
) -> Position:
    """Train from `start` to the end of the plan, on every worker alike. Returns where that is."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    parallel = _parallel(loss, world)
    position, pace = start, Pace(start, task.plan.steps)
    while position.step < task.plan.steps:
        rate = _set_learning_rate(optimizer, task, position.step)
        mean, samples, tokens = _accumulate(parallel, task, position.step, world)
        norm = torch.nn.utils.clip_grad_norm_(parameters, task.training.max_gradient_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        position = pace.advance(position, samples, tokens, mean)
        if watcher.curve is not None:
            watcher.curve.write(
                step=position.step,
                loss=mean,
                learning_rate=rate,
                gradient_norm=float(norm),
                tokens_per_second=pace.tokens_per_second,
                tokens=position.tokens,
            )
        pace.report(position, rate, watcher.reporter)
        [saving] = world.sum(world.first and watcher.due(position))
        if saving or position.step == task.plan.steps:
            watcher.checkpoint(position)
    return position


def _parallel(loss: torch.nn.Module, world: World) -> torch.nn.Module:
    if world.size == 1:
        return loss
    return DistributedDataParallel(loss, broadcast_buffers=False, gradient_as_bucket_view=True)


def _set_learning_rate(optimizer: torch.optim.Optimizer, task: Task, step: int) -> float:
    training = task.training
    rate = learning_rate(
        step,
        task.plan.steps,
        highest=training.learning_rate,
        schedule=training.schedule,
        warmup_ratio=training.warmup_ratio,
    )
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate


def _accumulate(loss: torch.nn.Module, task: Task, step: int, world: World) -> tuple[float, int, int]:
    """Gradients of one global batch. Returns its mean loss, its sequences and its tokens, over all workers."""
    indices = task.plan.global_batch(step)
    groups = micro_batches(task.shards, indices[world.rank :: world.size], task.training.micro_batch_size, task.tokens_at_once)
    supervised, tokens = world.sum(
        sum(supervised_tokens(group) for group in groups), sum(len(s.input_ids) for group in groups for s in group)
    )
    # DistributedDataParallel takes the mean over workers, hence the factor.
    scale = world.size / max(supervised, 1)
    total = torch.zeros((), device=world.device)
    batches = [collate(group, flat=task.flat) for group in groups] or [
        _nothing_to_learn(task.shards[int(indices[0])], task.flat)
    ]
    for number, batch in enumerate(batches, start=1):
        with _synchronised(loss, last=number == len(batches)):
            with autocast(task.autocast, world.device):
                value = loss(batch.to(world.device))
            (value * scale).backward()
        total += value.detach()
    [summed] = world.sum(float(total))
    return summed / max(supervised, 1), len(indices), int(tokens)


def _nothing_to_learn(sequence: Sequence, flat: bool) -> Batch:
    """A batch without supervised tokens, for a worker that a small global batch has no part for: it must still join in."""
    return collate([sequence._replace(loss_mask=sequence.loss_mask & False)], flat=flat)


def _synchronised(loss: torch.nn.Module, *, last: bool) -> Any:
    """Gradients are exchanged once for each global batch, with its last micro batch."""
    return nullcontext() if last or not isinstance(loss, DistributedDataParallel) else loss.no_sync()


def autocast(dtype: torch.dtype | None, device: torch.device) -> Any:
    """The number format of the forward pass; that of the weights if `dtype` is None."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


class Pace:
    """Counts what is done, and estimates what is left from the last steps."""

    def __init__(self, start: Position, steps: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._steps = steps
        self._clock = clock
        self._last = clock()
        self._logged = self._last
        self._recent: deque[tuple[float, int]] = deque(maxlen=LOSSES_KEPT)
        self._losses = deque(start.losses, maxlen=LOSSES_KEPT)

    def advance(self, position: Position, samples: int, tokens: int, loss: float) -> Position:
        """The position after one more step, which learned from `samples` sequences and `tokens` tokens."""
        now = self._clock()
        seconds, self._last = now - self._last, now
        self._recent.append((seconds, tokens))
        self._losses.append(loss)
        return Position(
            step=position.step + 1,
            samples=position.samples + samples,
            tokens=position.tokens + tokens,
            seconds=position.seconds + seconds,
            losses=tuple(self._losses),
        )

    @property
    def tokens_per_second(self) -> float:
        """Tokens learned from in a second, over the last steps."""
        return sum(tokens for _, tokens in self._recent) / max(sum(seconds for seconds, _ in self._recent), 1e-9)

    def report(self, position: Position, rate: float, reporter: Reporter) -> None:
        """Say where training is: to `reporter`, and every LOG_INTERVAL seconds to the log."""
        loss = mean_loss(position)
        per_step = sum(seconds for seconds, _ in self._recent) / len(self._recent)
        left = per_step * (self._steps - position.step)
        reporter.step(position.step, self._steps, loss=loss, tokens_per_second=self.tokens_per_second, seconds_left=left)
        now = self._clock()
        if now - self._logged >= LOG_INTERVAL or position.step in (1, self._steps):
            self._logged = now
            log.info(
                "step %d of %d   loss %.4f   learning rate %.2e   %.0f tokens/s   %d:%02d left",
                *(position.step, self._steps, loss, rate, self.tokens_per_second, left // 60, left % 60),
            )


def mean_loss(position: Position) -> float:
    """Training loss over the last steps."""
    return sum(position.losses) / max(len(position.losses), 1)
