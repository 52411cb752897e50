"""Services on one machine: what is refused before anything starts."""

import socket
from pathlib import Path
from typing import Any

import pytest

from objects import service
from raysmith.api import LLMService
from raysmith_workloads.errors import Refused
from raysmith_workloads.serve.model import Served
from raysmith_workloads.serve.places import Local, placed, require_free, require_resources


def _service(name: str = "chat", **spec: Any) -> LLMService:
    return LLMService.model_validate(service(name=name, **spec))


def _local(**spec: Any) -> Local:
    return Local(_service(**spec), Served("chat", "chat", "file:///model"), "/", "http://127.0.0.1:8000/v1")


def test_a_port_that_somebody_listens_at_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Refused, match=f"port {port} is in use by another program; choose another with --port"):
            require_free(port)
    require_free(port)


@pytest.mark.parametrize(
    ("services", "sentence"),
    [
        ([_service(), _service()], "Two services are called chat; on one machine each needs a name of its own."),
        ([_service(replicas=0)], "LLMService chat: spec.replicas is 0; set it to 1 or more."),
        (
            [_service(autoscaling={"maxReplicas": 2})],
            "LLMService chat: spec.autoscaling: scaling by load is not built yet; set replicas.",
        ),
    ],
)
def test_services_that_cannot_run_here_are_refused(services: list[LLMService], sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        placed(services, 8000)
    assert refused.value.message == sentence


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"is not there"):
        placed([_service(model={"source": f"file://{tmp_path}/nothing"})], 8000)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"replicas": 3}, "chat asks for 3 CPUs in all, but Ray on this machine has 2; "),
        ({"resources": {"requests": {"cpu": "8"}}}, "chat asks for 8 CPUs in all, but Ray on this machine has 2; "),
        ({"resources": {"limits": {"nvidia.com/gpu": "1"}}}, "chat asks for 1 GPUs in all, but Ray on this machine has 0; "),
    ],
)
def test_more_than_ray_has_is_refused_instead_of_waited_for(spec: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        require_resources([_local(**spec)], {"CPU": 2.0})
    assert refused.value.message.startswith(sentence)
    require_resources([_local()], {"CPU": 2.0})
