"""The client against a real HTTP server that answers what the tests say."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from autosel_runtime.errors import ConfigError
from controller.kube import watching
from controller.kube.auth import Access, from_kubeconfig, in_cluster
from controller.kube.client import Client, open_client
from controller.kube.errors import (
    AdmissionRefusedError,
    AdmissionUnavailableError,
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    IntakeClosedError,
    InvalidObjectError,
    NamespaceTerminatingError,
    NotFoundError,
    PodSecurityError,
    QuotaExceededError,
    ServerUnavailableError,
    TooManyRequestsError,
    UnauthorizedError,
)
from controller.kube.kinds import JOBS, SEARCHES
from controller.kube.rate import RateLimit
from controller.kube.watching import Change, WatchHealth, changes

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def with_server(answer: Answer, use: Callable[[Client], Awaitable[Any]], **options: Any) -> Any:
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    try:
        async with open_client(Access(server=f"http://127.0.0.1:{port}", token="t"), **options) as client:
            return await use(client)
    finally:
        await runner.cleanup()


def refusal(status: int, **body: Any) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", **body}, status=status, headers={"Retry-After": "3"})

    return answer


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (409, {"reason": "AlreadyExists"}, AlreadyExistsError),
        (409, {"reason": "Conflict"}, ConflictError),
        (404, {"reason": "NotFound"}, NotFoundError),
        (410, {"reason": "Expired"}, ExpiredError),
        (422, {"reason": "Invalid"}, InvalidObjectError),
        (401, {}, UnauthorizedError),
        (403, {"message": 'pods "x" is forbidden: exceeded quota: gpu, requested: 1'}, QuotaExceededError),
        (403, {"message": 'jobs "x" is forbidden: status unknown for quota: gpu'}, QuotaExceededError),
        (409, {"message": 'admission webhook "a.b" denied the request: no'}, AdmissionRefusedError),
        (500, {"message": 'admission webhook "a.b" denied the request: no'}, AdmissionRefusedError),
        (
            403,
            {"message": 'pods "x" is forbidden: violates PodSecurity "restricted:latest"'},
            PodSecurityError,
        ),
        (403, {"details": {"causes": [{"reason": "NamespaceTerminating"}]}}, NamespaceTerminatingError),
        (403, {"message": "User cannot create resource"}, ForbiddenError),
        (429, {}, TooManyRequestsError),
        (500, {"message": "failed calling webhook"}, AdmissionUnavailableError),
        (503, {}, ServerUnavailableError),
        (504, {"reason": "Timeout"}, ServerUnavailableError),
        (418, {}, ApiError),
    ],
)
def test_answers_are_told_apart(status: int, body: dict[str, Any], expected: type[ApiError]) -> None:
    async def use(client: Client) -> None:
        with pytest.raises(ApiError) as caught:
            await client.create(JOBS, "ml", {"metadata": {"name": "x"}})
        assert type(caught.value) is expected
        assert caught.value.retry_after == 3.0
        assert "create /apis/batch/v1/namespaces/ml/jobs" in str(caught.value)

    asyncio.run(with_server(refusal(status, **body), use))


def test_lists_are_read_page_by_page_and_selected_by_labels() -> None:
    queries: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        queries.append(dict(request.query))
        assert request.headers["Authorization"] == "Bearer t"
        if "continue" not in request.query:
            return web.json_response(
                {"items": [{"a": 1}], "metadata": {"continue": "next", "resourceVersion": "7"}}
            )
        return web.json_response({"items": [{"a": 2}], "metadata": {"resourceVersion": "7"}})

    async def use(client: Client) -> None:
        listing = await client.list(JOBS, "ml", {"b": "2", "a": ""})
        assert [item["a"] for item in listing.items] == [1, 2]
        assert listing.resource_version == "7"

    asyncio.run(with_server(answer, use))
    assert queries == [
        {"limit": "500", "labelSelector": "a,b=2"},
        {"limit": "500", "labelSelector": "a,b=2", "continue": "next"},
    ]


def test_patch_and_delete_say_what_they_mean() -> None:
    seen: list[tuple[str, str, str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.method, request.path, request.content_type, await request.json()))
        return web.json_response({"kind": "Job"})

    async def use(client: Client) -> None:
        await client.patch(SEARCHES, "ml", "x", {"status": {}}, subresource="status")
        await client.delete(JOBS, "ml", "j", uid="u", resource_version="4")

    asyncio.run(with_server(answer, use))
    assert seen[0] == (
        "PATCH",
        "/apis/autosel.dev/v1alpha1/namespaces/ml/recipesearches/x/status",
        "application/merge-patch+json",
        {"status": {}},
    )
    assert seen[1][0] == "DELETE"
    assert seen[1][3]["propagationPolicy"] == "Background"
    assert seen[1][3]["preconditions"] == {"uid": "u", "resourceVersion": "4"}


def test_an_answer_that_never_comes_and_one_that_breaks_off_are_unavailable() -> None:
    taken: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        taken.append(request.method)
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.close()
        return response

    async def use(client: Client) -> None:
        with pytest.raises(ServerUnavailableError):
            await client.create(JOBS, "ml", {})

    asyncio.run(with_server(answer, use))
    assert taken == ["POST"], "a write whose answer was lost is not repeated by the client"

    async def nobody() -> None:
        async with open_client(Access(server="http://127.0.0.1:1")) as client:
            with pytest.raises(ServerUnavailableError):
                await client.get(JOBS, "ml", "x")

    asyncio.run(nobody())


def test_guard_and_intake_hold_calls_back_and_calls_are_counted() -> None:
    counted: list[tuple[str, str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({}, status=200 if request.method == "GET" else 409)

    async def use(client: Client) -> None:
        client.guard_writes(lambda: False)
        await client.get(JOBS, "ml", "x")
        with pytest.raises(IntakeClosedError):
            await client.create(JOBS, "ml", {})
        client.guard_writes(lambda: True)
        with pytest.raises(ConflictError):
            await client.create(JOBS, "ml", {})
        client.close_intake()
        with pytest.raises(IntakeClosedError):
            await client.get(JOBS, "ml", "x")

    asyncio.run(with_server(answer, use, count=lambda v, k, o, s: counted.append((v, k, o))))
    assert counted == [("get", "jobs", "ok"), ("create", "jobs", "Conflict")]


def test_the_server_s_clock_is_read_from_its_answers() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({}, headers={"Date": "Tue, 14 Nov 2023 22:13:20 GMT"})

    async def use(client: Client) -> None:
        await client.get(JOBS, "ml", "x")
        assert 1_700_000_000 <= client.now() < 1_700_000_010

    asyncio.run(with_server(answer, use))


def test_rate_limit_lets_a_burst_through_and_then_spaces_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    limit = RateLimit(per_second=10.0, burst=5, clock=lambda: now)

    async def scenario() -> list[float]:
        times: list[float] = []
        for _ in range(25):
            await limit.take()
            times.append(now)
        return times

    times = asyncio.run(scenario())
    assert times[:5] == [0.0] * 5
    assert times[-1] == pytest.approx(2.0)


def event(kind: str, name: str, version: int) -> bytes:
    item = {"metadata": {"name": name, "resourceVersion": str(version)}}
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


def watch_server(scripts: list[list[bytes] | int]) -> tuple[Answer, list[str]]:
    """A server whose n-th watch sends the n-th script, or refuses with a status; lists give one object ``listed``."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            asked.append("list")
            item = {"metadata": {"name": "listed"}}
            return web.json_response({"items": [item], "metadata": {"resourceVersion": "5"}})
        asked.append(request.query["resourceVersion"])
        assert request.query["allowWatchBookmarks"] == "true"
        script = scripts.pop(0) if scripts else 500
        if isinstance(script, int):
            return web.json_response({"message": "no"}, status=script)
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in script:
            await response.write(chunk)
            await asyncio.sleep(0.01)
        return response

    return answer, asked


async def collect(client: Client, count: int, errors: list[ApiError]) -> list[str]:
    names: list[str] = []
    stream = changes(client, JOBS, "ml", {}, health=WatchHealth(), on_error=errors.append)
    async for change in stream:
        assert isinstance(change, Change)
        names.append(f"{change.type} {change.object['metadata']['name']}")
        if len(names) == count:
            break
    await stream.aclose()
    return names


def test_fault_04_watch_goes_on_from_bookmarks_and_lists_again_when_its_version_is_too_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "FIRST_BACKOFF", 0.01)
    whole = event("ADDED", "a", 6) + event("BOOKMARK", "", 9)
    gone = json.dumps({"type": "ERROR", "object": {"code": 410, "reason": "Expired"}}).encode() + b"\n"
    answer, asked = watch_server(
        [
            [whole[:30], whole[30:70], whole[70:]],
            500,
            [event("MODIFIED", "a", 10), gone],
            [event("DELETED", "a", 11)],
        ]
    )
    errors: list[ApiError] = []
    names = asyncio.run(with_server(answer, lambda client: collect(client, 5, errors)))
    assert names == ["ADDED listed", "ADDED a", "MODIFIED a", "ADDED listed", "DELETED a"]
    assert asked == ["list", "5", "9", "9", "list", "5"]
    assert [type(error) for error in errors] == [ServerUnavailableError]


def test_fault_04_a_watch_that_is_cut_in_mid_line_sends_that_event_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the cut looks like a proper end; a server that ends every watch at once is not asked in a storm."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def count(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(watching, "asyncio", SimpleNamespace(sleep=count))
    lines = [event("ADDED", "a", 6), event("MODIFIED", "a", 7)]
    answer, asked = watch_server([[lines[0], lines[1][:40]], [lines[1][:20]], [], [lines[1]]])
    errors: list[ApiError] = []
    names = asyncio.run(with_server(answer, lambda client: collect(client, 3, errors)))
    assert names == ["ADDED listed", "ADDED a", "MODIFIED a"]
    assert asked == ["list", "5", "6", "6", "6"]
    assert (len(pauses), errors) == (2, []), "one pause for each watch that told nothing"


def test_fault_04_a_silent_watch_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(watching, "FIRST_BACKOFF", 0.01)
    watches = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal watches
        if "watch" not in request.query:
            return web.json_response({"items": [], "metadata": {"resourceVersion": "5"}})
        watches += 1
        response = web.StreamResponse()
        await response.prepare(request)
        if watches == 1:
            await asyncio.sleep(5)  # deaf: the connection stays, nothing comes
        await response.write(event("ADDED", "late", 6))
        return response

    errors: list[ApiError] = []
    assert asyncio.run(with_server(answer, lambda client: collect(client, 1, errors))) == ["ADDED late"]
    assert len(errors) == 1


KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://h:1/", insecure-skip-tls-verify: true}}]
users: [{name: u, user: {tokenFile: tok}}, {name: p, user: {exec: {command: x}}}]
contexts:
- {name: good, context: {cluster: c, user: u, namespace: ml}}
- {name: plugin, context: {cluster: c, user: p}}
- {name: lost, context: {cluster: nowhere, user: u}}
current-context: good
"""


def test_kubeconfig_contexts(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(KUBECONFIG)
    (tmp_path / "tok").write_text("one\n")
    access = from_kubeconfig([tmp_path / "absent", tmp_path / "config"])
    assert (access.server, access.namespace, access.bearer()) == ("https://h:1", "ml", "one")
    (tmp_path / "tok").write_text("two\n")
    assert access.bearer() == "two"
    assert access.tls().verify_mode is ssl.CERT_NONE
    assert "two" not in repr(access)
    for context, message in (
        ("plugin", "plugin"),
        ("lost", "no cluster 'nowhere'"),
        ("none", "there are: good"),
    ):
        with pytest.raises(ConfigError, match=message):
            from_kubeconfig([tmp_path / "config"], context=context)
    (tmp_path / "broken").write_text("- a")
    with pytest.raises(ConfigError, match="mapping is expected"):
        from_kubeconfig([tmp_path / "broken"])
    with pytest.raises(ConfigError, match="no kubeconfig"):
        from_kubeconfig([tmp_path / "absent"])


def test_service_account_of_a_pod(tmp_path: Path) -> None:
    for name, text in (("token", "t1"), ("namespace", "ops"), ("ca.crt", "")):
        (tmp_path / name).write_text(text)
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    access = in_cluster(tmp_path, environ)
    assert (access.server, access.namespace, access.bearer()) == ("https://[fd00::1]:443", "ops", "t1")
    with pytest.raises(ConfigError, match="no pod"):
        in_cluster(tmp_path, {})
    (tmp_path / "token").unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        access.bearer()
