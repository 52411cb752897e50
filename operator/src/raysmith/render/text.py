"""Manifests as YAML that kubectl reads as what was meant, with the object's JSON as a readable block."""

import json
import re
from collections.abc import Sequence
from typing import Final

import yaml

from raysmith.render.objects import Manifest

# kubectl takes more words for numbers and truth values than PyYAML quotes: 2e-4, 12e34567 (a hash), y, n.
_QUOTED: Final = re.compile(r"[-+.0-9].*|[yYnN]", re.DOTALL)


class _Dumper(yaml.SafeDumper):
    """Blocks for text of several lines, quotes for what would not stay text."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else '"' if _QUOTED.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def to_yaml(manifests: Sequence[Manifest], comments: Sequence[str] = ()) -> str:
    """A YAML stream of `manifests`, one comment line for each of `comments` on top. Streams may be put one after another."""
    head = "".join(f"# {comment}\n" for comment in comments)
    return "---\n" + head + "---\n".join(_dump(manifest) for manifest in manifests)


def _dump(manifest: Manifest) -> str:
    # PyYAML writes an anchor where two places share a part; JSON data shares none.
    apart = json.loads(json.dumps(manifest))
    return yaml.dump(apart, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)
