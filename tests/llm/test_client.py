"""The LLM client against a real HTTP server that answers well, slowly, wrongly or not at all."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from autosel_runtime.api.search import LlmEndpoint
from autosel_runtime.errors import TransientError, UnavailableError
from autosel_runtime.llm.client import LlmCompletion, completion, extract_json

KEY = "sk-very-secret-0123456789"
SCHEMA: dict[str, Any] = {"type": "object"}
GOOD = {"recipes": [{"rationale": "r", "steps": [{"operator": "ifd_filter", "params": {"fraction": 0.5}}]}]}


def chat(content: str | None) -> bytes:
    return json.dumps(
        {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
            ],
            "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
        }
    ).encode()


Reply = Callable[[dict[str, Any], int], tuple[int, bytes]]


class Server:
    """Answers with ``reply(request, number of the request)``; keeps what it was asked."""

    def __init__(self) -> None:
        self.reply: Reply = lambda request, number: (200, chat(json.dumps(GOOD)))
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.requests.append(body)
                outer.keys.append(self.headers.get("authorization"))
                status, payload = outer.reply(body, len(outer.requests))
                try:
                    self.send_response(status)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(payload)))
                    self.end_headers()
                    self.wfile.write(payload)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True  # the client gave up on a slow answer, as it should

            def log_message(self, *arguments: Any) -> None:
                del arguments

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/v1"

    def client(self, **settings: Any) -> LlmCompletion:
        endpoint = LlmEndpoint(**{"base_url": self.url, "model": "m", "timeout_seconds": 5, **settings})
        self.pauses: list[float] = []
        return completion(endpoint, KEY, pause=self.pauses.append)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


def test_a_good_answer_is_parsed_and_counted(server: Server) -> None:
    client = server.client()
    assert client("hello", SCHEMA) == GOOD
    assert server.requests[0]["response_format"]["json_schema"]["schema"] == SCHEMA
    assert server.keys == [f"Bearer {KEY}"]
    assert (client.usage.calls, client.usage.failed) == (1, 0)
    assert (client.usage.prompt_tokens, client.usage.completion_tokens) == (11, 7)


@pytest.mark.parametrize(
    "content",
    [
        "```json\n" + json.dumps(GOOD) + "\n```",
        "Sure! Here you are:\n" + json.dumps(GOOD, indent=2) + "\nTell me [more] if needed.",
        '<think>maybe {"recipes": []}?</think>' + json.dumps(GOOD),
    ],
)
def test_json_among_prose_is_found(server: Server, content: str) -> None:
    server.reply = lambda request, number: (200, chat(content))
    assert server.client()("hello", SCHEMA) == GOOD


@pytest.mark.parametrize("content", ["I cannot do that.", "", None, '{"recipes": [', "42"])
def test_garbage_is_an_error_with_a_sentence(server: Server, content: str | None) -> None:
    server.reply = lambda request, number: (200, chat(content))
    client = server.client()
    with pytest.raises(UnavailableError):
        client("hello", SCHEMA)
    assert client.usage.failed == 1


@pytest.mark.parametrize("body", [b"not json at all", b"[]", b"{}", b'{"choices": []}', b'"text"', b"null"])
def test_an_endpoint_that_speaks_another_protocol_is_an_error(server: Server, body: bytes) -> None:
    server.reply = lambda request, number: (200, body)
    with pytest.raises((UnavailableError, TransientError)):
        server.client()("hello", SCHEMA)


def test_a_slow_endpoint_is_given_up_and_not_retried(server: Server) -> None:
    def slow(request: dict[str, Any], number: int) -> tuple[int, bytes]:
        time.sleep(1.5)
        return 200, chat("{}")

    server.reply = slow
    with pytest.raises(TransientError, match="no answer within 1 s"):
        server.client(timeout_seconds=1)("hello", SCHEMA)
    assert len(server.requests) == 1


def test_server_errors_are_tried_three_times(server: Server) -> None:
    server.reply = lambda request, number: (500, b"{}") if number < 3 else (200, chat(json.dumps(GOOD)))
    assert server.client()("hello", SCHEMA) == GOOD
    assert len(server.requests) == 3
    assert server.pauses == [0.5, 1.0]
    server.reply = lambda request, number: (503, b"{}")
    with pytest.raises(TransientError, match="status 503"):
        server.client()("hello", SCHEMA)
    assert len(server.requests) == 6


def test_an_endpoint_without_schemas_is_asked_in_plain_words(server: Server) -> None:
    def plain_only(request: dict[str, Any], number: int) -> tuple[int, bytes]:
        if "response_format" in request:
            return 400, b'{"error": {"message": "response_format is not supported"}}'
        return 200, chat(json.dumps(GOOD))

    server.reply = plain_only
    client = server.client()
    assert client("one", SCHEMA) == GOOD
    assert client("two", SCHEMA) == GOOD
    assert len(server.requests) == 3, "the refusal is remembered"


def test_the_circuit_opens_after_three_failures_in_a_row(server: Server) -> None:
    server.reply = lambda request, number: (200, chat("garbage"))
    client = server.client()
    for _ in range(3):
        with pytest.raises(UnavailableError, match="no JSON"):
            client("hello", SCHEMA)
    with pytest.raises(UnavailableError, match="not asked again"):
        client("hello", SCHEMA)
    assert len(server.requests) == 3


def test_one_success_closes_the_count(server: Server) -> None:
    server.reply = lambda request, number: (200, chat("garbage" if number % 3 else json.dumps(GOOD)))
    client = server.client(max_calls=9)
    failures = 0
    for _ in range(9):
        try:
            client("hello", SCHEMA)
        except UnavailableError:
            failures += 1
    assert (failures, len(server.requests)) == (6, 9)


def test_the_limit_of_calls_holds(server: Server) -> None:
    client = server.client(max_calls=1)
    client("hello", SCHEMA)
    with pytest.raises(UnavailableError, match="limit of 1 LLM calls"):
        client("hello", SCHEMA)
    assert len(server.requests) == 1


def test_nobody_listens() -> None:
    endpoint = LlmEndpoint(base_url="http://127.0.0.1:9/v1", model="m", timeout_seconds=2)
    pauses: list[float] = []
    with pytest.raises(TransientError, match="cannot be reached"):
        completion(endpoint, None, pause=pauses.append)("hello", SCHEMA)
    assert len(pauses) == 2


def test_the_key_is_shown_nowhere(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.reply = lambda request, number: (
        401,
        json.dumps({"error": {"message": f"bad key {KEY}"}}).encode(),
    )
    client = server.client()
    with caplog.at_level(logging.DEBUG), pytest.raises(UnavailableError) as caught:
        client("hello", SCHEMA)
    assert "status 401" in str(caught.value)
    assert KEY not in str(caught.value)
    assert KEY not in repr(client)
    assert KEY not in caplog.text


def test_extraction_prefers_the_whole_answer() -> None:
    assert extract_json('{"a": {"b": 1}}') == {"a": {"b": 1}}
    assert extract_json('x [1] {"a": 1}') == {"a": 1}
    with pytest.raises(UnavailableError):
        extract_json("no braces")
