r"""The regular expressions of the API, each with the sentence that a person reads instead.

They mean the same to RE2 (the API server, `raysmith validate`) and to pydantic: no `\s`, whose Unicode side differs.
"""

from typing import Final

OBJECT_NAME: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SECRET_NAME: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"  # noqa: S105 - a pattern
# hf://OWNER/NAME[@REVISION], s3://BUCKET/KEY, gs://BUCKET/KEY, pvc://CLAIM/PATH, file:///PATH or file://PATH, builtin://NAME.
URI: Final = r"^(hf|s3|gs|pvc|file|builtin)://[^[:space:][:cntrl:]]+$"
STORAGE: Final = r"^(pvc|s3|gs|file)://[^[:space:][:cntrl:]]+$"
QUANTITY: Final = r"^[+]?([0-9]+|[0-9]+[.][0-9]*|[.][0-9]+)(([KMGTPE]i)|[numkMGTPE]|([eE][+-]?[0-9]{1,2}))?$"
DIGEST: Final = r"^sha256:[0-9a-f]{64}$"
REASON: Final = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"

# Kubernetes' own, of metadata.
NAMESPACE: Final = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
LABEL_NAME: Final = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
LABEL_VALUE: Final = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"

# s3:// and gs:// are not named below: they are allowed, and raysmith.api.unbuilt refuses them.
SENTENCES: Final = {
    OBJECT_NAME: "must hold only lower-case letters, digits and '-', and start and end with a letter or digit",
    SECRET_NAME: "must hold only lower-case letters, digits, '-' and '.', and start and end with a letter or digit",
    URI: "must start with hf://, pvc://, file:// or builtin:// and have no blanks",
    STORAGE: "must start with pvc:// or file:// and have no blanks",
    QUANTITY: "must be an amount such as 2, 500m or 64Gi",
    DIGEST: "must be sha256: and 64 hexadecimal digits",
    REASON: "must be one word that starts with a letter",
    NAMESPACE: "must have at most 63 lower-case letters, digits and '-', and start and end with a letter or digit",
    LABEL_NAME: "must be a label name: at most 63 letters, digits, '-', '_' and '.', with or without a prefix (example.com/)",
    LABEL_VALUE: "must be a label value: at most 63 letters, digits, '-', '_' and '.', a letter or digit first and last",
}
