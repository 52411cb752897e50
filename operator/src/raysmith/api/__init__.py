"""The API: both kinds as pydantic models. The CRDs, `kubectl explain`, defaults and every check follow from these files."""

from raysmith.api.common import to_wire
from raysmith.api.finetune import LLMFineTune
from raysmith.api.schema import API_VERSION, GROUP, VERSION, Kind
from raysmith.api.service import LLMService

KINDS: dict[str, type[LLMFineTune] | type[LLMService]] = {"LLMFineTune": LLMFineTune, "LLMService": LLMService}

__all__ = ["API_VERSION", "GROUP", "KINDS", "VERSION", "Kind", "LLMFineTune", "LLMService", "to_wire"]
