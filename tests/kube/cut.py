"""A wire between a client and a real server that can be cut: connections end, and new ones are refused for a while."""

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import yaml

from tests.kube.plane import Plane


@dataclass(kw_only=True)
class Wire:
    """Passes bytes on between a port of this machine and ``target``."""

    target: tuple[str, int]
    down: bool = False
    cuts: int = 0
    _server: socket.socket = field(default_factory=socket.socket)
    _open: list[socket.socket] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> "Wire":
        self._server.bind(("127.0.0.1", 0))
        self._server.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.down = True
        self._server.close()
        self.cut()

    @property
    def port(self) -> int:
        """Where clients connect to."""
        return self._server.getsockname()[1]

    def cut(self) -> int:
        """End all connections; return how many there were."""
        with self._lock:
            ended, self._open = self._open, []
        for end in ended:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.cuts += 1
        return len(ended) // 2

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                with self._lock:  # what is let through before a cut is cut by it
                    if self.down:
                        client.close()
                        continue
                    server = socket.create_connection(self.target)
                    self._open += [client, server]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def server_of(plane: Plane) -> tuple[str, int]:
    """Return host and port of a control plane."""
    address = urlsplit(yaml.safe_load(plane.kubeconfig.read_text())["clusters"][0]["cluster"]["server"])
    assert address.hostname is not None
    assert address.port is not None
    return address.hostname, address.port


def kubeconfig_through(plane: Plane, port: int) -> str:
    """Return the plane's kubeconfig for a client that connects to another port of this machine."""
    document = yaml.safe_load(plane.kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    return yaml.safe_dump(document)
