"""The only place where names of Kubernetes objects are made.

A name is what the user called the object plus what Raysmith adds. Where that is too long, the user's part is cut and a
hash of the whole of it stands in for the rest, so that two long names which begin alike stay two names.
"""

import hashlib
import json
import re
from typing import Any, Final

from raysmith.api.common import NAME_LIMIT

LABEL_LIMIT: Final = 63
"""Longest name that fits into a label, as pods of Jobs carry their Job's name."""

_HASH_LENGTH: Final = 8
_DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def digest(value: Any) -> str:
    """Eight hexadecimal digits over JSON data; equal data, whatever the order of its keys, gives equal digits."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]


def preparation_job(name: str, attempt: int) -> str:
    """Name of the Job that prepares the data for `attempt`."""
    return _fit(name, f"-prepare-{attempt}", LABEL_LIMIT)


def recovery_job(name: str, attempt: int) -> str:
    """Name of the Job that reads the result of `attempt` from its record."""
    return _fit(name, f"-recover-{attempt}", LABEL_LIMIT)


def deletion_job(name: str) -> str:
    """Name of the Job that deletes the artefact."""
    return _fit(name, "-delete", LABEL_LIMIT)


def identity(name: str) -> str:
    """Name of the ServiceAccount, Role and RoleBinding of a fine-tune's runs."""
    return _fit(name, "-run", LABEL_LIMIT)


def ray_job(name: str, attempt: int) -> str:
    """Name of the RayJob of `attempt`."""
    return _fit(name, f"-ft-{attempt}", NAME_LIMIT)


def ray_service(name: str, revision: str) -> str:
    """Name of the RayService of `revision`, which is a digest."""
    return _fit(name, f"-sv-{revision}", NAME_LIMIT)


def config_map(name: str, content: str) -> str:
    """Name of the ConfigMap that holds `content`, a digest: another content is another ConfigMap."""
    return _fit(name, f"-object-{content}", LABEL_LIMIT)


def service(name: str) -> str:
    """Name of the Service that clients talk to: the LLMService's own, so that its address can be guessed."""
    return name


def volume(claim: str) -> str:
    """Name, within a pod, of the volume for a claim. Claims may have dots and 253 characters, volumes not."""
    prefixed = f"claim-{claim}"
    return prefixed if len(prefixed) <= LABEL_LIMIT and _DNS_LABEL.fullmatch(claim) else f"claim-{digest(claim)}"


def _fit(name: str, suffix: str, limit: int) -> str:
    if len(name) + len(suffix) <= limit:
        return name + suffix
    kept = name[: limit - len(suffix) - _HASH_LENGTH - 1].rstrip("-")
    return f"{kept}-{digest(name)}{suffix}"
