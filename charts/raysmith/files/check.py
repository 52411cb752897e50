"""What `helm test` runs: the operator answers, both kinds are established, and the operator's account may read them.

    python check.py HEALTH_ADDRESS API_SERVER ACCOUNT_FOLDER [NAMESPACE...]

Without namespaces, all of them are meant. Runs in the operator's image, with nothing but Python itself.
"""

import json
import ssl
import sys
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

KINDS = ("llmfinetunes", "llmservices")


class Api:
    """The API server, as the account in a folder may see it."""

    def __init__(self, server: str, account: Path) -> None:
        authority = account / "ca.crt"
        self._server = server
        self._trust = ssl.create_default_context(cafile=authority) if authority.exists() else None
        self._headers = {"Authorization": f"Bearer {(account / 'token').read_text().strip()}"}

    def get(self, path: str) -> dict[str, Any]:
        """The object at `path`."""
        request = Request(self._server + path, headers=self._headers)  # noqa: S310 - the address comes from the chart
        loaded: dict[str, Any] = json.loads(fetch(request, self._trust))
        return loaded


def fetch(request: str | Request, trust: ssl.SSLContext | None = None) -> str:
    """What comes back; an end with a sentence for everything but a success."""
    try:
        with urlopen(request, timeout=10, context=trust) as answer:  # noqa: S310 - its caller's
            return str(answer.read(), "utf-8")
    except (URLError, TimeoutError) as error:
        address = request if isinstance(request, str) else request.full_url
        sys.exit(f"{address} does not answer as it should: {error}.")


def main(health: str, server: str, account: str, *namespaces: str) -> None:
    """Say what is well; end at the first thing that is not."""
    print(f"The operator answers: {fetch(health).strip()}.")
    api = Api(server, Path(account))
    for kind in KINDS:
        definition = api.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind}.raysmith.io")
        conditions = {each["type"]: each["status"] for each in definition["status"]["conditions"]}
        if conditions.get("Established") != "True":
            sys.exit(f"{kind}.raysmith.io is not established; `kubectl describe crd {kind}.raysmith.io` says why.")
        for place in [f"namespaces/{name}/" for name in namespaces] or [""]:
            api.get(f"/apis/raysmith.io/v1alpha1/{place}{kind}?limit=1")
        print(f"{kind} are established, and the operator may list them in {', '.join(namespaces) or 'all namespaces'}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
