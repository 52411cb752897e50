"""Images that do not come to the node."""

import re
from typing import Final

from raysmith.status import pods
from raysmith.status.evidence import Cause, Diagnosis, Evidence, Object
from raysmith.status.messages import clause
from raysmith.status.reasons import Reason

_PULL_FAILURES: Final = (
    "ErrImagePull",
    "ImagePullBackOff",
    "RegistryUnavailable",
    "SignatureValidationFailed",
    "ImageInspectError",
)
_BACK_OFF: Final = re.compile(r'^Back-off pulling image "[^"]*"(?:: ErrImagePull: )?')
_DENIED: Final = re.compile(r"denied|unauthori[sz]ed|authoriz|authenticat|forbidden|\b40[13]\b", re.IGNORECASE)
_NO_SUCH: Final = re.compile(r"not found|manifest unknown|not exist", re.IGNORECASE)


def image_name_invalid(_evidence: Evidence, pod: Object) -> Diagnosis | None:
    """No registry could have an image of this name."""
    for container in pods.waiting_for(pod, "InvalidImageName"):
        message = f"{_image(container, pod)} has no valid name. Correct the image's name."
        return Diagnosis(Reason.IMAGE_NAME_INVALID, message, pods.name(pod), Cause.USER)
    return None


def image_missing(_evidence: Evidence, pod: Object) -> Diagnosis | None:
    """The pull policy is Never, and the node does not have the image."""
    for container in pods.waiting_for(pod, "ErrImageNeverPull"):
        message = f"{_image(container, pod)} is not on the pod's node, and its pull policy is Never. Load it onto every node."
        return Diagnosis(Reason.IMAGE_MISSING, message, pods.name(pod), Cause.USER)
    return None


def image_not_pulled(_evidence: Evidence, pod: Object) -> Diagnosis | None:
    """The registry does not have the image, does not give it, or does not answer."""
    for container in pods.waiting_for(pod, *_PULL_FAILURES):
        said = clause(_BACK_OFF.sub("", pods.waiting(container).get("message") or "")) or "the kubelet does not say why"
        message = f"{_image(container, pod)} cannot be pulled: {said}. {_pull_remedy(said)}"
        return Diagnosis(Reason.IMAGE_PULL_FAILED, message, pods.name(pod), Cause.USER)
    return None


def _image(container: Object, pod: Object) -> str:
    return f"Image {container.get('image') or 'without a name'} of container {container['name']} in {pods.title(pod)}"


def _pull_remedy(said: str) -> str:
    if _DENIED.search(said):
        return "Check its name, and that the pods have a pull secret for it (imagePullSecrets in spec.podTemplate)."
    if _NO_SUCH.search(said):
        return "Check its name and tag."
    return "Check that the nodes reach its registry."
