"""What `helm test` runs: the operator answers, the API server has both kinds, and the operator's account may read them.

    python check.py HEALTH_ADDRESS API_SERVER ACCOUNT_FOLDER [NAMESPACE...]

Without namespaces, all of them are meant. Runs in the operator's image, with nothing but Python itself.
"""

import ssl
import sys
from pathlib import Path
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

    def ask(self, path: str) -> None:
        """End with a sentence unless `path` can be read."""
        fetch(Request(self._server + path, headers=self._headers), self._trust)  # noqa: S310 - the address comes from the chart


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
        for place in [f"namespaces/{name}/" for name in namespaces] or [""]:
            api.ask(f"/apis/raysmith.io/v1alpha1/{place}{kind}?limit=1")
        print(f"{kind} are there, and the operator may list them in {', '.join(namespaces) or 'all namespaces'}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
