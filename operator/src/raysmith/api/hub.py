"""Addresses on the Hugging Face hub. The operator and the workloads must read them alike, so they are read here."""

import re
from typing import Final

MODEL: Final = re.compile(r"hf://(?P<repo>[^/@]+/[^/@]+)(?:@(?P<revision>.+))?")
DATA_SET: Final = re.compile(r"hf://datasets/(?P<repo>[^/@]+/[^/@]+)(?:/(?P<path>[^@]+))?(?:@(?P<revision>.+))?")


def not_a_model(uri: str) -> str:
    """The sentence about an address that MODEL does not match."""
    return f"{uri} is not the address of a model; write hf://owner/name[@revision]."


def not_a_data_set(uri: str) -> str:
    """The sentence about an address that DATA_SET does not match."""
    return f"{uri} is not the address of a data set; write hf://datasets/owner/name[/path][@revision]."
