"""The workers of a run together. Ray Train has already joined them (gloo on CPUs, nccl on GPUs) when this is used."""

from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed

Item = TypeVar("Item")


@dataclass(frozen=True)
class World:
    """One worker's place among all."""

    rank: int
    """This worker's number, from 0; the first one writes what all agree on."""
    size: int
    """How many there are."""
    device: torch.device
    """Where this worker computes."""

    @classmethod
    def of_ray_train(cls) -> "World":
        """The world of the Ray Train worker that calls this."""
        import ray.train
        import ray.train.torch

        context = ray.train.get_context()
        return cls(context.get_world_rank(), context.get_world_size(), ray.train.torch.get_device())

    @property
    def first(self) -> bool:
        """Whether this worker writes and reports."""
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """Sums over all workers. Every worker must call it."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def gather(self, item: Item) -> list[Item]:
        """What each worker brought, by rank. Every worker must call it."""
        if self.size == 1:
            return [item]
        items: list[Item] = [item] * self.size
        torch.distributed.all_gather_object(items, item)
        return items
