"""What many searches cost the API server, counted in calls: nothing by trial, and nothing while nothing happens."""

from collections import Counter

import orjson
import pytest

from controller.kube.echoes import MAX_WRITES, Echoes, NotingApi
from controller.kube.kinds import CONFIG_MAPS, JOBS, PODS, SEARCHES, TRIALS
from controller.kube.observe import Key
from controller.kube.passes import Done, reconcile_search
from tests.kube.fake_api import FakeApi
from tests.kube.simulation import KEY, SETTINGS, Cluster, do, drive

NUMBER_OF_SEARCHES, TRIALS_OF_EACH = 10, 20


@pytest.fixture(scope="module")
def many() -> FakeApi:
    """Ten searches with twenty trials each, the newest of which run."""
    one = Cluster()
    one.create(budget={"evaluations": TRIALS_OF_EACH + 10}, parallelism=2)
    one.settle()
    while len(one.api.find(TRIALS)) < TRIALS_OF_EACH:
        assert one.advance()
        one.settle()
    one.settle()
    api = FakeApi(clock=one.api.clock, version=one.api.version)
    for key in map(_key, range(NUMBER_OF_SEARCHES)):
        for (plural, namespace, name), item in one.api.objects.items():
            text = orjson.dumps(item).decode().replace(KEY.name, key.name)
            api.objects[plural, namespace, name.replace(KEY.name, key.name)] = orjson.loads(text)
    return api


def test_a_search_that_did_not_change_costs_four_calls_however_many_trials_it_has(many: FakeApi) -> None:
    for key in map(_key, range(NUMBER_OF_SEARCHES)):
        before = len(many.calls)
        done = drive(reconcile_search(many, key, SETTINGS))[0]
        assert isinstance(done, Done)
        assert done.observed is not None
        assert len(done.observed.trials) == TRIALS_OF_EACH
        made = Counter((call.verb, call.plural) for call in many.calls[before:])
        lists = {("list", kind.plural): 1 for kind in (TRIALS, JOBS, PODS)}
        assert made == {("get", SEARCHES.plural): 1, **lists}


def test_a_step_that_ends_costs_calls_for_its_own_trial_only() -> None:
    """The next step's document and Job; the old one's go. Their number does not depend on the number of trials."""
    costs: dict[int, Counter[tuple[str, str]]] = {}
    for trials in (4, 8):
        cluster = Cluster()
        cluster.create(budget={"evaluations": 20}, parallelism=2)
        cluster.settle()
        while len(cluster.api.find(TRIALS)) < trials or not _trains(cluster):
            assert cluster.advance()
            cluster.settle()
        cluster.finish(_trains(cluster)[0])
        before = len(cluster.api.calls)
        cluster.step()
        costs[trials] = Counter((call.verb, call.plural) for call in cluster.api.calls[before:])
    assert costs[4] == costs[8]
    assert costs[8]["patch", TRIALS.plural] == 1
    assert costs[8]["create", JOBS.plural] == costs[8]["create", CONFIG_MAPS.plural] == 1


def test_a_pass_that_asks_for_no_other_leaves_nothing_to_do() -> None:
    """Our own writes wake nobody, so whatever can be done at once is done, or asked for, by the pass itself."""
    cluster = Cluster()
    cluster.create(budget={"evaluations": 3}, parallelism=2)
    idle = 0
    for _ in range(400):
        jobs = len(cluster.started())
        done = cluster.step()
        assert isinstance(done, Done)
        if done.requeue_after == 0.0 or len(cluster.started()) > jobs:
            continue
        version = cluster.api.version
        cluster.step()
        assert cluster.api.version == version, cluster.api.calls[-6:]
        idle += 1
        if cluster.condition("Succeeded")["status"] == "True":
            break
        assert cluster.advance()
    assert cluster.condition("Succeeded")["status"] == "True"
    assert idle > 10


def test_a_step_that_cannot_be_rendered_asks_for_another_pass() -> None:
    cluster = Cluster()
    secrets = {"accessKey": {"name": "a", "key": "K"}, "secretKey": {"name": "b", "key": "K"}}
    cluster.create(storage={"uri": "s3://bucket/p", **secrets})
    done = cluster.step()
    assert isinstance(done, Done)
    assert done.requeue_after == 0.0
    assert not cluster.api.find(JOBS)
    done = cluster.step()
    assert isinstance(done, Done)
    assert done.requeue_after != 0.0
    assert cluster.condition("Stalled")["status"] == "True"


def test_only_what_we_wrote_last_is_an_echo() -> None:
    fake, echoes = FakeApi(), Echoes()
    api = NotingApi(fake, echoes)
    body = {"kind": "Job", "metadata": {"name": "j"}, "spec": {}}
    first = do(api.create(JOBS, "ml", body))["metadata"]
    assert not echoes.is_echo(first), "the owner of a new Job has to be told"
    trial = do(api.create(TRIALS, "ml", {"metadata": {"name": "t"}}))["metadata"]
    assert echoes.is_echo(trial)
    second = do(api.patch(JOBS, "ml", "j", {"spec": {"ttlSecondsAfterFinished": 1}}))["metadata"]
    assert (echoes.is_echo(first), echoes.is_echo(second)) == (False, True)
    foreign = do(fake.patch(JOBS, "ml", "j", {"spec": {"suspend": True}}))["metadata"]
    assert not echoes.is_echo(foreign)
    echoes.forget(second)
    assert not echoes.is_echo(second)
    do(api.create(CONFIG_MAPS, "ml", {"metadata": {"name": "c"}}))
    unwatched = do(fake.get(CONFIG_MAPS, "ml", "c"))["metadata"]
    assert not echoes.is_echo(unwatched)


def test_what_was_written_long_ago_is_forgotten() -> None:
    echoes = Echoes()
    for number in range(MAX_WRITES + 1):
        echoes.note({"metadata": {"uid": f"u{number}", "resourceVersion": "1"}})
    assert not echoes.is_echo({"uid": "u0", "resourceVersion": "1"})
    assert echoes.is_echo({"uid": f"u{MAX_WRITES}", "resourceVersion": "1"})


def _key(number: int) -> Key:
    return Key(namespace=KEY.namespace, name=f"search-{number:02d}")


def _trains(cluster: Cluster) -> list[dict[str, object]]:
    return [job for job in cluster.running() if job["metadata"]["name"].endswith("-train-r1")]
