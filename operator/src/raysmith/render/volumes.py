"""The volumes of a pod, and the credentials that go with its addresses."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from raysmith.api.layout import VOLUMES_VARIABLE
from raysmith.render import names
from raysmith.render.addresses import Address
from raysmith.render.objects import OBJECT_FOLDER
from raysmith.render.template_rules import OBJECT_VOLUME, SCRATCH_VOLUME

VOLUMES_FOLDER: Final = "/mnt/raysmith/volumes"
HUB_KEY: Final = "HF_TOKEN"
"""Key in the Secret, and environment variable of the pod."""


class Mounts(NamedTuple):
    """What a pod mounts, and the environment that says where."""

    volumes: list[dict[str, Any]]
    volume_mounts: list[dict[str, Any]]
    env: list[dict[str, Any]]


def mounts(object_config_map: str, named: Iterable[Address]) -> Mounts:
    """The object, room for Ray's own files, every claim once (read-only where nothing writes), and the hub's credentials."""
    named = list(named)
    writable = {address.claim: False for address in named if address.claim}
    writable |= {address.claim: True for address in named if address.claim and address.written}
    volumes: list[dict[str, Any]] = [
        {"name": OBJECT_VOLUME, "configMap": {"name": object_config_map}},
        {"name": SCRATCH_VOLUME, "emptyDir": {}},
    ]
    volume_mounts: list[dict[str, Any]] = [
        {"name": OBJECT_VOLUME, "mountPath": OBJECT_FOLDER, "readOnly": True},
        {"name": SCRATCH_VOLUME, "mountPath": "/tmp"},  # noqa: S108 - of the pod alone
    ]
    for claim in sorted(writable):
        volumes.append({"name": names.volume(claim), "persistentVolumeClaim": {"claimName": claim}})
        volume_mounts.append(_mount(claim, read_only=not writable[claim]))
    return Mounts(volumes, volume_mounts, [{"name": VOLUMES_VARIABLE, "value": VOLUMES_FOLDER}, *_credentials(named)])


def _mount(claim: str, *, read_only: bool) -> dict[str, Any]:
    mount = {"name": names.volume(claim), "mountPath": f"{VOLUMES_FOLDER}/{claim}"}
    return mount | ({"readOnly": True} if read_only else {})


def _credentials(named: list[Address]) -> list[dict[str, Any]]:
    secrets = [address.secret.name for address in named if address.secret and address.scheme == "hf"]
    return [{"name": HUB_KEY, "valueFrom": {"secretKeyRef": {"name": name, "key": HUB_KEY}}} for name in secrets[:1]]
