"""A node that has nothing but logs: the API server asks it for them as it asks any kubelet, over TLS."""

import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.kube.plane import Plane, until

NODE = "log-node"


@dataclass(kw_only=True)
class Logs:
    """Lines of containers by (namespace, pod), each with its time; ``ended`` closes the streams that follow."""

    lines: dict[tuple[str, str], list[tuple[float, str]]] = field(default_factory=dict)
    ended: bool = False
    streams: int = 0
    broken: bool = False
    open: set[int] = field(default_factory=set)

    def write(self, namespace: str, pod: str, *texts: str) -> None:
        """Add lines, as the container would now."""
        for text in texts:
            self.lines.setdefault((namespace, pod), []).append((time.time(), text))

    def break_off(self) -> None:
        """End the streams that are open now, as a lost connection would."""
        waiting = set(self.open)
        self.broken = True
        until(lambda: not waiting & self.open, what="the streams have ended")
        self.broken = False


@contextmanager
def log_node(plane: Plane, folder: Path) -> Iterator[Logs]:
    """Register a node whose kubelet is this process."""
    logs = Logs()
    folder.mkdir(exist_ok=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=node", "-days", "1",
         "-keyout", folder / "key", "-out", folder / "crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(logs))
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "crt", folder / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    plane.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": server.server_address[1]}},
    }
    plane.must(
        "patch", "node", NODE, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status})
    )
    try:
        yield logs
    finally:
        logs.ended = True
        server.shutdown()
        plane.kubectl("delete", "node", NODE, "--wait=false")


def bind(plane: Plane, namespace: str, pod: str) -> None:
    """Put a pod on the node, and say that its container runs."""
    body = {
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod},
        "target": {"apiVersion": "v1", "kind": "Node", "name": NODE},
    }  # fmt: skip
    plane.must(
        "create",
        "--raw",
        f"/api/v1/namespaces/{namespace}/pods/{pod}/binding",
        "-f",
        "-",
        text=json.dumps(body),
    )
    container = {"name": "step", "image": "i", "imageID": "i", "restartCount": 0, "ready": True, "started": True,
                 "state": {"running": {}}}  # fmt: skip
    status = {"phase": "Running", "containerStatuses": [container]}
    plane.must("-n", namespace, "patch", "pod", pod, "--subresource=status", "--type=merge",
               "-p", json.dumps({"status": status}))  # fmt: skip


def _handler(logs: Logs) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            _, kind, namespace, pod, container = address.path.split("/")
            assert (kind, container) == ("containerLogs", "step")
            query = {key: values[0] for key, values in parse_qs(address.query).items()}
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            logs.streams += 1
            number = logs.streams
            logs.open.add(number)
            try:
                self.stream(namespace, pod, query)
            finally:
                logs.open.discard(number)

        def stream(self, namespace: str, pod: str, query: dict[str, str]) -> None:
            since = datetime.fromisoformat(query["sinceTime"]).timestamp() if "sinceTime" in query else 0.0
            sent = 0
            every = [entry for entry in logs.lines.get((namespace, pod), []) if entry[0] >= since]
            sent = max(0, len(every) - int(query["tailLines"])) if "tailLines" in query else 0
            while True:
                every = [entry for entry in logs.lines.get((namespace, pod), []) if entry[0] >= since]
                for at, text in every[sent:]:
                    stamp = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"
                    self.wfile.write(f"{stamp} {text}\n".encode())
                self.wfile.flush()
                sent = len(every)
                if query.get("follow") != "true" or logs.ended or logs.broken:
                    return
                time.sleep(0.05)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    return Handler
