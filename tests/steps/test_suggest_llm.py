"""suggest with an LLM endpoint: one that answers, one that talks garbage, one that is down."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.steps.world import Ran, Steps, history_row

KEY = "sk-secret-of-the-endpoint"
WISH = {"steps": [{"operator": "ngram_entropy_filter", "params": {"fraction": 0.37}}]}


class Endpoint:
    """A chat endpoint that answers every request with ``text``."""

    def __init__(self) -> None:
        self.text = json.dumps({"recipes": [{"rationale": "short answers", **WISH}] * 2})
        self.keys: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                outer.keys.append(self.headers.get("authorization"))
                message = {"role": "assistant", "content": outer.text}
                choice = {"index": 0, "finish_reason": "stop", "message": message}
                answer = {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 1,
                    "model": "m",
                    "choices": [choice],
                }
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: Any) -> None:
                del arguments

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    one = Endpoint()
    yield one
    one.server.shutdown()
    one.server.server_close()


def ask(steps: Steps, url: str) -> tuple[Ran, dict[str, Any]]:
    """Propose a trial after the warm-up with the LLM proposer; return the step and its diagnostics."""
    llm = {
        "baseUrl": url,
        "model": "m",
        "timeoutSeconds": 2,
        "apiKey": {"name": "llm", "key": "TEST_LLM_KEY"},
    }
    search = {"minSamples": 20, "warmup": 1}
    steps.spec = {**steps.spec, "search": search}
    first = steps.suggest(1).summary["proposals"][0]
    assert steps.materialize(first["recipe"]).code == 0
    steps.spec = {**steps.spec, "search": {**search, "proposer": "llm", "llm": llm}}
    ran = steps.suggest(2, [history_row(first, 0.4)])
    assert ran.code == 0, ran.result
    found = next((steps.folder / "store" / "suggestions" / "2").glob("*/candidates.json"))
    return ran, json.loads(found.read_text())["proposals"][0]


def test_an_endpoint_that_answers(ready: Steps, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_LLM_KEY", KEY)
    _, diagnostics = ask(ready, endpoint.url)
    assert "llm" in {row["origin"] for row in diagnostics["candidates"]}
    assert endpoint.keys == [f"Bearer {KEY}"]
    assert not [p for p in ready.folder.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]


@pytest.mark.parametrize(
    "text", ["I think you should try harder.", '{"recipes": [{"steps": [{"operator": "rm"}]}]}']
)
def test_an_endpoint_that_talks_garbage(
    ready: Steps, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("TEST_LLM_KEY", KEY)
    endpoint.text = text
    ran, diagnostics = ask(ready, endpoint.url)
    assert ran.summary["proposals"][0]["origin"] in ("edit", "random")
    assert diagnostics["warnings"]


def test_an_endpoint_that_is_down(ready: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_LLM_KEY", KEY)
    ran, diagnostics = ask(ready, "http://127.0.0.1:1/v1")
    assert ran.summary["proposals"][0]["origin"] in ("edit", "random")
    assert "cannot be reached" in " ".join(diagnostics["warnings"])
    assert ran.summary["warnings"] == diagnostics["warnings"]


def test_a_key_that_is_not_there_is_named(ready: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_LLM_KEY", raising=False)
    llm = {"baseUrl": "http://127.0.0.1:1/v1", "model": "m", "apiKey": {"name": "llm", "key": "TEST_LLM_KEY"}}
    ready.spec = {**ready.spec, "search": {"minSamples": 20, "proposer": "llm", "llm": llm}}
    ran = ready.suggest(1)
    assert (ran.code, ran.error) == (
        78,
        "spec.search.llm.apiKey: environment variable TEST_LLM_KEY is not set",
    )


def test_a_choice_without_a_scored_trial_is_refused(ready: Steps) -> None:
    ran = ready.suggest(0)
    assert (ran.code, "no trial succeeded" in ran.error) == (65, True)
