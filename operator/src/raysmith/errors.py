"""How Raysmith says no to its user.

RaysmithError           one or more sentences to a person; the command line prints them, without a traceback
    ManifestError       a file is missing, unreadable or no YAML (raysmith.manifest)
    Rejected            an object is not what the API allows (raysmith.admission)
    RenderError         no pods can be made from the object (raysmith.render)
"""


class RaysmithError(Exception):
    """What the user gave cannot work. The text is whole sentences: what is wrong, where, and what to do next."""
