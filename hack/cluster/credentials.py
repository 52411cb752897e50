"""Who is who: certificates by one authority of the cluster's own, and what each program shows, in its kubeconfig."""

import base64
import json
import secrets
import subprocess
from pathlib import Path

USERS = {
    "admin": ("admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:kube-proxy", "system:node-proxier"),
    "node-1": ("system:node:node-1", "system:nodes"),
    "node-2": ("system:node:node-2", "system:nodes"),
}
"""Kubeconfig -> the user and group that its token stands for. Kubernetes' own roles are bound to these names."""


def make(folder: Path, *, server: str, addresses: list[str]) -> None:
    """Fill a folder with certificates, keys, the table of tokens and the kubeconfigs, at most once."""
    if (folder / "tokens.csv").exists():
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _openssl("genrsa", "-out", folder / "service-accounts.key", "2048")
    _certificate(folder, "ca", "/CN=raysmith-cluster", "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign")
    names = ",".join([f"IP:{address}" for address in addresses] + [f"DNS:{name}" for name in _service_names()])
    _certificate(folder, "apiserver", "/CN=kube-apiserver", f"subjectAltName={names}", "extendedKeyUsage=serverAuth")
    # The API server shows this one to kubelets, for logs and exec: kubelets take no tokens from it.
    _certificate(folder, "kubelet-client", "/O=system:masters/CN=kube-apiserver", "extendedKeyUsage=clientAuth")
    tokens = {name: secrets.token_urlsafe(32) for name in USERS}
    for name, token in tokens.items():
        _write_kubeconfig(folder, server, name, {"token": token})
    rows = [f'{token},{USERS[name][0]},{name},"{USERS[name][1]}"\n' for name, token in tokens.items()]
    _write(folder / "tokens.csv", "".join(rows))


def add(folder: Path, name: str, user: str, *, server: str) -> None:
    """The kubeconfig of one more user, at most once.

    It holds a certificate, because the API server reads the table of tokens only when it starts, and it may run already.
    """
    if (folder / f"{name}.kubeconfig").exists():
        return
    _certificate(folder, name, f"/CN={user}", "extendedKeyUsage=clientAuth")
    shown = {"client-certificate": str(folder / f"{name}.crt"), "client-key": str(folder / f"{name}.key")}
    _write_kubeconfig(folder, server, name, shown)


def _service_names() -> list[str]:
    labels = ["kubernetes", "default", "svc", "cluster", "local"]
    return ["localhost", *(".".join(labels[:count]) for count in range(1, len(labels) + 1))]


def _certificate(folder: Path, name: str, subject: str, *extensions: str) -> None:
    """A key and a certificate for it, signed by the authority `ca`, which signs itself."""
    by = [] if name == "ca" else ["-CA", f"{folder}/ca.crt", "-CAkey", f"{folder}/ca.key"]
    added = [part for extension in extensions for part in ("-addext", extension)]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{folder}/{name}.key"]
    empty = ["-config", "/dev/null"]  # the machine's own configuration may add what contradicts ours
    _openssl("req", "-x509", "-days", "365", *empty, "-subj", subject, *by, *key, *added, "-out", folder / f"{name}.crt")


def _write_kubeconfig(folder: Path, server: str, name: str, shown: dict[str, str]) -> None:
    """Write a kubeconfig in which a user shows a token or a certificate. It is written as JSON, which is YAML, too."""
    trusted = base64.b64encode((folder / "ca.crt").read_bytes()).decode()
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "raysmith", "cluster": {"server": server, "certificate-authority-data": trusted}}],
        "users": [{"name": name, "user": shown}],
        "contexts": [{"name": "raysmith", "context": {"cluster": "raysmith", "user": name}}],
        "current-context": "raysmith",
    }
    _write(folder / f"{name}.kubeconfig", json.dumps(kubeconfig, indent=1))


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, stderr=subprocess.DEVNULL)
