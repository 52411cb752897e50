"""Images made without a builder: one layer and some JSON, in a tar. Most hold one static program and nothing else."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

PAUSE = "localhost/pause:busybox"
"""Keeps a pod's network while its containers come and go. containerd starts it in every pod."""


def pause_image(folder: Path) -> Path:
    """The image that does nothing, for as long as a pod lives."""
    return program_image(folder, PAUSE, Path("/bin/busybox"), "/busybox", "sleep", "2147483647")


def program_image(folder: Path, name: str, program: Path, *entrypoint: str) -> Path:
    """File with an image in which `program` is the file that the entrypoint starts with."""
    layer = _tar({entrypoint[0]: program.read_bytes()})
    # The user is a number: only then can a kubelet see that it is not root.
    return image(folder, name, layer, {"Entrypoint": entrypoint, "User": "65532"})


def image(folder: Path, name: str, layer: bytes, config: dict[str, object]) -> Path:
    """File with an image of one layer, in Docker's format."""
    described = {
        "os": "linux",
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    index = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    file = folder / "image.tar"
    parts = {"manifest.json": json.dumps(index).encode(), "config.json": json.dumps(described).encode(), "layer.tar": layer}
    file.write_bytes(_tar(parts))
    return file


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name.lstrip("/"))
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
