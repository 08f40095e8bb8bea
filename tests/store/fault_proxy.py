"""An HTTP proxy in front of an object store that misbehaves on request.

Faults apply to requests whose line matches, in order, and each is used up ``times`` times:
``drop`` closes the connection before anything is sent on, ``unavailable`` answers 503, ``lose_answer`` lets the
server apply the request and then closes the connection, ``cut_body`` sends half of the answer and closes.
"""

import http.client
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Kind = Literal["drop", "unavailable", "lose_answer", "cut_body"]


@dataclass(kw_only=True)
class Fault:
    kind: Kind
    method: str
    path_part: str = ""
    times: int = 1


class FaultProxy:
    """State shared by the proxy's threads: faults to come, and how many have happened."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.faults: list[Fault] = []
        self.happened = 0
        self.endpoint = ""
        self._lock = threading.Lock()

    def take(self, method: str, path: str) -> Kind | None:
        with self._lock:
            for fault in self.faults:
                if fault.times > 0 and fault.method == method and fault.path_part in path:
                    fault.times -= 1
                    self.happened += 1
                    return fault.kind
        return None


@contextmanager
def fault_proxy(target_port: int) -> Iterator[FaultProxy]:
    proxy = FaultProxy(target_port)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = proxy.take(self.command, self.path)
            if fault == "drop":
                self._hang_up()
                return
            if fault == "unavailable":
                self._answer(
                    503, {"Content-Type": "application/xml"}, b"<Error><Code>SlowDown</Code></Error>"
                )
                return
            upstream = http.client.HTTPConnection("127.0.0.1", proxy.target_port, timeout=30)
            try:
                # the Host header is signed, so it goes on as it came
                upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in ("connection", "expect"):
                        upstream.putheader(name, value)
                upstream.endheaders(body)
                answer = upstream.getresponse()
                data = answer.read()
                headers = {
                    name: value
                    for name, value in answer.getheaders()
                    if name.lower()
                    not in ("connection", "transfer-encoding", "content-length", "date", "server")
                }
                length = answer.getheader("Content-Length") if self.command == "HEAD" else None
            except OSError:
                self._hang_up()
                return
            finally:
                upstream.close()
            if fault == "lose_answer":
                self._hang_up()
            elif fault == "cut_body":
                self._answer(answer.status, headers, data, send=len(data) // 2)
                self._hang_up()
            else:
                self._answer(answer.status, headers, data, length=length)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

        def _answer(
            self,
            status: int,
            headers: dict[str, str],
            data: bytes,
            *,
            send: int | None = None,
            length: str | None = None,
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data if send is None else data[:send])
                self.wfile.flush()

        def _hang_up(self) -> None:
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            return

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            return  # a client that hung up

    server = Server(("127.0.0.1", 0), Handler)
    proxy.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
