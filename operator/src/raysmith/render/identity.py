"""Who a run is to the API server: a service account that may write the status of its own object, and nothing else.

Only the Ray head has its token, because the driver runs there; workers, which run whatever the data makes of them, have none.
"""

from raysmith.api import LLMFineTune
from raysmith.render import names
from raysmith.render.objects import Manifest, metadata

_GROUP = "rbac.authorization.k8s.io"


def identity_manifests(obj: LLMFineTune) -> list[Manifest]:
    """ServiceAccount, Role and RoleBinding of the runs of `obj`."""
    name = names.identity(obj.metadata.name)
    rule = {
        "apiGroups": ["raysmith.io"],
        "resources": ["llmfinetunes/status"],
        "resourceNames": [obj.metadata.name],
        "verbs": ["patch"],
    }
    role = {"apiGroup": _GROUP, "kind": "Role", "name": name}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": obj.metadata.namespace}
    made = metadata(obj, name, {})
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": made, "automountServiceAccountToken": False},
        {"apiVersion": f"{_GROUP}/v1", "kind": "Role", "metadata": made, "rules": [rule]},
        {"apiVersion": f"{_GROUP}/v1", "kind": "RoleBinding", "metadata": made, "roleRef": role, "subjects": [subject]},
    ]
