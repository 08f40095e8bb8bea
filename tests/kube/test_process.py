"""What surrounds the passes: configuration, probes, metrics, log lines."""

import logging

import orjson
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from autosel_runtime.errors import ConfigError
from controller.kube.config import read_config
from controller.kube.health import Health, routes
from controller.kube.logs import JsonFormatter
from controller.kube.metrics import Metrics
from tests.kube.simulation import KEY, Cluster


def test_flags_win_over_the_environment_and_that_over_defaults() -> None:
    environ = {
        "AUTOSEL_IMAGE": "a:1",
        "AUTOSEL_QPS": "5",
        "AUTOSEL_ACCELERATOR_IMAGES": "nvidia=b:1, ascend=c:1",
    }
    config = read_config(["--qps", "7", "--namespaces", "ml, nlp"], environ)
    assert (config.jobs.image, config.qps, config.burst, config.namespaces) == (
        "a:1",
        7.0,
        1000,
        ("ml", "nlp"),
    )
    assert config.jobs.accelerator_images == {"nvidia": "b:1", "ascend": "c:1"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "AUTOSEL_IMAGE"),
        (["--image", "a", "--qps", "fast"], "'fast' is no number"),
        (["--image", "a", "--workers", "0"], "not between 1 and 256"),
        (["--image", "a", "--log-level", "loud"], "not one of debug, info"),
        (["--image", "a", "--accelerator-images", "nvidia"], "KIND=IMAGE"),
    ],
)
def test_wrong_configuration_is_named(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config(arguments, {})


def test_probes_look_at_the_work() -> None:
    now, age, leads = 0.0, 0.0, False
    health = Health(queue_age=lambda: age, leads=lambda: leads, longest_list_seconds=100, clock=lambda: now)
    now = 5000.0
    assert health.trouble() is None, "waiting for the lease is healthy"
    assert health.unready() == "another process leads"
    leads = True
    health.begin()
    assert health.trouble() is None
    assert health.unready() == "searches were not listed yet"
    health.note_list()
    assert health.unready() is None
    now += 101
    assert "not listed for 101 s" in str(health.trouble())
    health.note_list()
    age = 601
    assert "601 s old" in str(health.trouble())


def test_metrics_show_a_search_and_forget_it() -> None:
    cluster = Cluster()
    cluster.create(
        budget={"evaluations": 1}, baselines={"untuned": False, "full_pool": False, "random_subset": False}
    )
    cluster.run()
    metrics = Metrics()
    metrics.count_call("get", "jobs", "ok", 0.1)
    metrics.count_call("get", "jobs", "NotFound", 0.1)
    metrics.show(KEY, cluster.last.observed, cluster.last.state)

    def samples() -> dict[str, float]:
        families = text_string_to_metric_families(metrics.text().decode())
        return {
            f"{sample.name}{sorted(sample.labels.values())}": sample.value
            for family in families
            for sample in family.samples
        }

    before = samples()
    assert before["autosel_trials['ml', 'simulated', 'succeeded']"] == 1
    assert before["autosel_accelerator_seconds['ml', 'simulated']"] > 0
    assert before["autosel_cache_hits['ml', 'simulated']"] == 0
    assert before["autosel_api_errors_total['NotFound', 'get', 'jobs']"] == 1
    metrics.forget(KEY)
    assert not [name for name in samples() if "simulated" in name]


def test_paths_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    health = Health(queue_age=lambda: 0.0, leads=lambda: False, longest_list_seconds=1)
    handlers = routes(health, Metrics())
    request: web.Request = None  # type: ignore[assignment]
    assert [handlers[path](request).status for path in ("/healthz", "/readyz", "/metrics")] == [200, 503, 200]


def test_log_lines_are_json_and_carry_only_known_fields() -> None:
    record = logging.LogRecord("a", logging.INFO, "f", 1, "it is %d", (3,), None)
    record.search, record.token = "s", "secret"
    line = JsonFormatter().format(record)
    assert orjson.loads(line)["message"] == "it is 3"
    assert orjson.loads(line)["search"] == "s"
    assert "secret" not in line
