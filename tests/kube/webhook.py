"""A validating webhook of the cluster that a test answers for, or that nobody answers for."""

import base64
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.kube.plane import Object, Plane

# What the webhook says of a request: None lets it pass, else the status code and the sentence of a refusal.
Judge = Callable[[Object], tuple[int, str] | None]
JOBS = {"apiGroups": ["batch"], "apiVersions": ["*"], "resources": ["jobs"], "operations": ["CREATE"]}
EVERYTHING = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["*"]}


@contextmanager
def webhook(
    plane: Plane, namespace: str, folder: Path, *, judge: Judge | None, rule: Object = JOBS
) -> Iterator[None]:
    """Have the API server ask about a namespace's objects; without a ``judge`` nobody listens."""
    port, authority, stop = _nobody() if judge is None else _serve(folder, judge)
    name = f"judge-{namespace}"
    client = {"url": f"https://127.0.0.1:{port}/", "caBundle": authority}
    plane.apply(
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [
                {
                    "name": "judge.autosel.test",
                    "clientConfig": {key: value for key, value in client.items() if value},
                    "rules": [rule],
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                    "failurePolicy": "Fail",
                    "sideEffects": "None",
                    "timeoutSeconds": 2,
                    "admissionReviewVersions": ["v1"],
                }
            ],
        }
    )
    try:
        yield
    finally:
        plane.must("delete", "validatingwebhookconfiguration", name)
        stop()


def _nobody() -> tuple[int, str, Callable[[], None]]:
    """A port that is bound, so that nobody else gets it, and at which nobody listens."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound.getsockname()[1], "", bound.close


def _serve(folder: Path, judge: Judge) -> tuple[int, str, Callable[[], None]]:
    key, certificate = folder / "judge.key", folder / "judge.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=judge", "-days", "1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(judge))
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return (
        server.server_address[1],
        base64.b64encode(certificate.read_bytes()).decode(),
        server.shutdown,
    )


def _handler(judge: Judge) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
            refusal = judge(request)
            said: dict[str, Any] = {"uid": request["uid"], "allowed": refusal is None}
            if refusal is not None:
                said["status"] = {"code": refusal[0], "message": refusal[1]}
            review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": said}
            data = json.dumps(review).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    return Handler
