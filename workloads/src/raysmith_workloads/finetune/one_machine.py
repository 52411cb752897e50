"""Ray Train without a helper that one machine has no use for. It uses what Ray 2.60 keeps to itself."""

from typing import Any

from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from typing_extensions import override


class OneMachineTrainer(TorchTrainer):  # type: ignore[misc]  # Ray has no types
    """Starts no PlacementGroupCleaner, a process that outlives the run in case its controller dies.

    On one machine the resources are free when the driver ends. The process would ask a dashboard that is not there for the
    controller once a second, say each time that nobody answered, and never end.
    """

    @override
    def _create_default_callbacks(self) -> list[Any]:
        return [each for each in super()._create_default_callbacks() if not isinstance(each, PlacementGroupCleanerCallback)]
