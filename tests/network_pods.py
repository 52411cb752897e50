"""Pods that listen and that try to connect to one another, to see what the cluster's NetworkPolicies stop."""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from api_server import ApiServer

PORTS = (6379, 8000, 8080, 8081, 8265, 52365)
"""At all of these every pod listens."""
LISTEN = """
import socket, sys, time
listening = [socket.create_server(("", int(port))) for port in sys.argv[1:]]
time.sleep(3600)
"""
CONNECT = """
import concurrent.futures, json, socket, sys
def connect(target):
    host, port = target.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=4).close()
    except socket.gaierror:
        return "has no address"
    except TimeoutError:
        return "stopped"
    except ConnectionRefusedError:
        return "refused"
    return "passed"
with concurrent.futures.ThreadPoolExecutor() as pool:
    print(json.dumps(dict(zip(sys.argv[1:], pool.map(connect, sys.argv[1:])))))
"""
"""A policy drops packets, so that a connection runs into the timeout. Where only nobody listens, it is refused at once."""


class NetworkPod(NamedTuple):
    """A pod with Python in it."""

    api: ApiServer
    name: str

    @classmethod
    def start(cls, api: ApiServer, name: str, image: str, labels: dict[str, str], **ports: int) -> "NetworkPod":
        """Make one in the namespace of `api`. `ports` have names, as policies may call them."""
        container = {
            "name": "python",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python", "-c", LISTEN, *map(str, PORTS)],
            "ports": [{"name": port, "containerPort": number} for port, number in ports.items()],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        spec = {
            "containers": [container],
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        }
        metadata = {"name": name, "labels": {"tests.raysmith.io/pod": name} | labels}
        api.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        return cls(api, name)

    def serve(self) -> None:
        """A Service of the same name with all the ports."""
        ports = [{"name": f"port-{port}", "port": port} for port in PORTS]
        spec = {"selector": {"tests.raysmith.io/pod": self.name}, "ports": ports}
        self.api.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": self.name}, "spec": spec})

    @property
    def service(self) -> str:
        """Address of its Service."""
        return str((self.api.get("Service", self.name) or {})["spec"]["clusterIP"])

    @property
    def address(self) -> str:
        """Its own address."""
        return str((self.api.get("Pod", self.name) or {})["status"]["podIP"])

    def connect(self, *targets: str) -> dict[str, str]:
        """What becomes of a connection to each target `host:port`."""
        said = self.api.kubectl("exec", self.name, "--", "python", "-c", CONNECT, *targets)
        return dict(json.loads(said))


def reached(target: str, sources: Iterable[NetworkPod]) -> list[Any]:
    """For each source at once: the ports of `target` that it reaches; or what else became of connections than being stopped."""

    def ask(source: NetworkPod) -> Any:
        became = source.connect(*(f"{target}:{port}" for port in PORTS))
        strange = {place: said for place, said in became.items() if said not in ("passed", "stopped")}
        return strange or {int(place.rpartition(":")[2]) for place, said in became.items() if said == "passed"}

    with ThreadPoolExecutor() as pool:
        return list(pool.map(ask, sources))
