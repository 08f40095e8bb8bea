"""helm test: the API takes a search and refuses a broken one, and the controller answers. Nothing is stored."""

import json
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def post(search: dict) -> tuple[int, str]:
    """Return status and answer of a dry run that creates ``search``."""
    namespace = (ACCOUNT / "namespace").read_text()
    path = f"/apis/autosel.dev/v1alpha1/namespaces/{namespace}/recipesearches"
    request = urllib.request.Request(
        f"https://kubernetes.default.svc{path}?dryRun=All&fieldValidation=Strict",
        data=json.dumps(search).encode(),
        headers={
            "Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}",
            "Content-Type": "application/json",
        },
    )
    try:
        with urllib.request.urlopen(  # noqa: S310 - the address above is HTTPS
            request, context=ssl.create_default_context(cafile=ACCOUNT / "ca.crt")
        ) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def main(address: str) -> int:
    """Run the checks and return the exit status."""
    search = {
        "apiVersion": "autosel.dev/v1alpha1",
        "kind": "RecipeSearch",
        "metadata": {"name": "helm-test"},
        "spec": {
            "pool": {"sources": [{"name": "sample", "uri": "/data/pool.jsonl"}]},
            "model": {"uri": "/data/model"},
            "evaluation": {"tasks": [{"name": "gsm8k"}]},
        },
    }
    status, answer = post(search)
    if status != 201:
        sys.stderr.write(f"a valid search was answered with {status}: {answer}\n")
        return 1
    status, answer = post(search | {"spec": {}})
    if status not in (400, 422):
        sys.stderr.write(f"a search without a pool was answered with {status}: {answer}\n")
        return 1
    with urllib.request.urlopen(f"http://{address}/readyz", timeout=10) as ready:
        sys.stdout.write(f"searches are checked, the controller answers {ready.status}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
