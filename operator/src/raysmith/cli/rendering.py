"""Objects to manifests, with the place of everything that cannot be rendered."""

from collections.abc import Sequence

from raysmith.cli.load import Loaded, finetunes_beside
from raysmith.errors import RaysmithError
from raysmith.render import Manifest, RenderError, Settings, render, render_notes, to_yaml


def manifests_as_yaml(objects: Sequence[Loaded]) -> str:
    """A YAML stream with the manifests of all objects. Raises RaysmithError with all that cannot be rendered."""
    rendered = [(loaded, *_rendered(loaded, objects)) for loaded in objects]
    if sentences := [sentence for _, _, problems in rendered for sentence in problems]:
        raise RaysmithError("\n".join(sentences))
    return "".join(to_yaml(manifests, _comments(loaded, objects)) for loaded, manifests, _ in rendered)


def manifests(loaded: Loaded, objects: Sequence[Loaded]) -> list[Manifest]:
    """The manifests of one object. Raises RaysmithError with all that cannot be rendered, each with its place."""
    made, sentences = _rendered(loaded, objects)
    if sentences:
        raise RaysmithError("\n".join(sentences))
    return made


def rendering_problems(loaded: Loaded, objects: Sequence[Loaded]) -> list[str]:
    """A sentence with its place for everything that no pod could do, or that KubeRay would refuse after admission."""
    return _rendered(loaded, objects)[1]


def _rendered(loaded: Loaded, objects: Sequence[Loaded]) -> tuple[list[Manifest], list[str]]:
    try:
        return render(loaded.obj, Settings(), finetunes_beside(loaded, objects)), []
    except RenderError as error:
        return [], [loaded.sentence(refusal.field, refusal.message) for refusal in error.refusals]


def _comments(loaded: Loaded, objects: Sequence[Loaded]) -> list[str]:
    head = f"{loaded.obj.kind} {loaded.obj.metadata.name} from {loaded.document.place('')}"
    return [head, *render_notes(loaded.obj, finetunes_beside(loaded, objects))]
