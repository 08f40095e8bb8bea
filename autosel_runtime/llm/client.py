"""Ask an OpenAI-compatible endpoint for a JSON answer, without ever letting it stop the caller for long.

One call: the schema goes along as ``response_format``; an endpoint that refuses it is asked in plain words from then
on. The answer may be bare JSON, JSON in a code fence, or JSON among prose and reasoning. Connection errors, 408, 409,
429 and 5xx are tried again at most twice; an answer that does not come in time is not. After three failed calls in a
row the circuit opens and every later call fails at once. The key is sent to the endpoint and shown nowhere.
"""

import importlib.util
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from autosel_runtime.api.search import LlmEndpoint
from autosel_runtime.errors import AutoselError, TransientError, UnavailableError

RETRIES = 2
OPEN_AFTER = 3  # failed calls in a row
LONGEST_PAUSE = 10.0  # seconds; the most that a Retry-After header is honoured
RETRIED_STATUS = frozenset({408, 409, 429, 500, 502, 503, 504})
REFUSED_FORMAT_STATUS = frozenset({400, 404, 415, 422, 501})


@dataclass(kw_only=True)
class Usage:
    """What was asked so far: calls, failed calls, tokens as the endpoint counted them, seconds waited."""

    calls: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0


@dataclass(kw_only=True)
class LlmCompletion:
    """A callable ``(prompt, schema) -> answer`` that counts. Raises UnavailableError or TransientError."""

    endpoint: LlmEndpoint
    api_key: str | None = field(repr=False)
    pause: Callable[[float], None] = field(default=time.sleep, repr=False)
    usage: Usage = field(default_factory=Usage)
    _failures_in_row: int = field(default=0, repr=False)
    _plain: bool = field(default=False, repr=False)
    _client: Any = field(default=None, repr=False)

    def __call__(self, prompt: str, schema: dict[str, Any]) -> object:
        """Return the parsed JSON answer to ``prompt``; its shape is for the caller to check."""
        if self._failures_in_row >= OPEN_AFTER:
            raise UnavailableError(
                f"{self.endpoint.base_url} failed {OPEN_AFTER} times in a row and is not asked again"
            )
        if self.usage.calls >= self.endpoint.max_calls:
            raise UnavailableError(
                f"the limit of {self.endpoint.max_calls} LLM calls (search.llm.maxCalls) is reached"
            )
        self.usage.calls += 1
        started = time.monotonic()
        try:
            answer = extract_json(self._ask(prompt, schema))
        except AutoselError:
            self.usage.failed += 1
            self._failures_in_row += 1
            raise
        finally:
            self.usage.seconds += time.monotonic() - started
        self._failures_in_row = 0
        return answer

    def _ask(self, prompt: str, schema: dict[str, Any]) -> str:
        import openai

        if self._client is None:
            self._client = openai.OpenAI(
                base_url=self.endpoint.base_url,
                api_key=self.api_key or "none",
                max_retries=0,
                timeout=float(self.endpoint.timeout_seconds),
            )
        attempt = 0
        while True:
            try:
                return self._once(prompt, schema)
            except openai.APITimeoutError:
                raise self._late() from None
            except openai.APIStatusError as error:
                if not self._plain and error.status_code in REFUSED_FORMAT_STATUS:
                    self._plain = True
                    continue
                if error.status_code not in RETRIED_STATUS or attempt >= RETRIES:
                    kind = TransientError if error.status_code in RETRIED_STATUS else UnavailableError
                    raise kind(
                        f"{self.endpoint.base_url} answered with status {error.status_code}: "
                        f"{self._scrub(error.message)}"
                    ) from None
                wait = _pause_of(error.response.headers.get("retry-after"), attempt)
            except openai.APIConnectionError as error:
                if attempt >= RETRIES:
                    reason = self._scrub(str(error.__cause__ or error))
                    raise TransientError(f"{self.endpoint.base_url} cannot be reached: {reason}") from None
                wait = _pause_of(None, attempt)
            except openai.OpenAIError as error:
                raise UnavailableError(
                    f"{self.endpoint.base_url} gave no usable answer: {self._scrub(str(error))}"
                ) from None
            attempt += 1
            self.pause(wait)

    def _once(self, prompt: str, schema: dict[str, Any]) -> str:
        """Send one request. The whole wait is bounded, also for an endpoint that sends a byte now and then."""
        arguments: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": self.endpoint.temperature,
        }
        if not self._plain:
            arguments["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": schema},
            }
        result: list[Any] = []
        failure: list[Exception] = []

        def work() -> None:
            try:
                result.append(self._client.chat.completions.create(**arguments))
            except Exception as error:
                failure.append(error)  # raised again in the calling thread

        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        worker.join(self.endpoint.timeout_seconds + 1.0)
        if worker.is_alive():
            raise self._late()
        if failure:
            if isinstance(failure[0], ValueError | TypeError | AttributeError):
                raise UnavailableError(
                    f"{self.endpoint.base_url} does not speak the chat completions protocol: "
                    f"{self._scrub(str(failure[0]))}"
                ) from None
            raise failure[0]
        return self._content(result[0])

    def _content(self, response: Any) -> str:
        usage = getattr(response, "usage", None)
        self.usage.prompt_tokens += getattr(usage, "prompt_tokens", 0) or 0
        self.usage.completion_tokens += getattr(usage, "completion_tokens", 0) or 0
        choices = getattr(response, "choices", None) or []
        content = getattr(getattr(choices[0], "message", None), "content", None) if choices else None
        if not isinstance(content, str) or not content.strip():
            raise UnavailableError(f"{self.endpoint.base_url} gave an empty answer or none of a known form")
        return content

    def _late(self) -> TransientError:
        return TransientError(
            f"{self.endpoint.base_url} gave no answer within {self.endpoint.timeout_seconds} s "
            "(search.llm.timeoutSeconds)"
        )

    def _scrub(self, text: str) -> str:
        """Return the text on one line, at most 300 characters, without the key."""
        clean = " ".join(text.split())
        if self.api_key:
            clean = clean.replace(self.api_key, "(key)")
        return clean[:300]


def completion(
    endpoint: LlmEndpoint, api_key: str | None, *, pause: Callable[[float], None] = time.sleep
) -> LlmCompletion:
    """Return a completion of ``endpoint``; UnavailableError when the openai package is not installed."""
    if importlib.util.find_spec("openai") is None:
        raise UnavailableError("the llm proposer needs the openai package: pip install 'autosel[llm]'")
    return LlmCompletion(endpoint=endpoint, api_key=api_key, pause=pause)


def extract_json(text: str) -> object:
    """Return the JSON object or list in an answer: the whole of it, a fenced block, or the first that parses.

    Reasoning between ``<think>`` tags is skipped. UnavailableError when there is none.
    """
    text = re.sub(r"<think>.*?(</think>|\Z)", "", text, flags=re.DOTALL).strip()
    fenced = re.findall(r"```(?:json)?\s*\n(.*?)```", text, flags=re.DOTALL)
    for part in [text, *fenced]:
        try:
            found = json.loads(part)
        except (json.JSONDecodeError, RecursionError):
            continue
        if isinstance(found, dict | list):
            return found
    decoder = json.JSONDecoder()
    for match in list(re.finditer(r"[{\[]", text))[:200]:
        try:
            found, _ = decoder.raw_decode(text, match.start())
        except (json.JSONDecodeError, RecursionError):
            continue
        if found and (isinstance(found, dict) or (isinstance(found, list) and isinstance(found[0], dict))):
            return found
    raise UnavailableError(f"the answer holds no JSON object: {' '.join(text.split())[:120]!r}")


def _pause_of(retry_after: str | None, attempt: int) -> float:
    try:
        asked = float(retry_after) if retry_after is not None else 0.0
    except ValueError:
        asked = 0.0
    return min(max(asked, 0.5 * 2**attempt), LONGEST_PAUSE)
