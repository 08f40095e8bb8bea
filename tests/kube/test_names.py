"""Names: short enough, one for each thing, and back."""

import re

from hypothesis import given
from hypothesis import strategies as st

from controller.kube import names
from controller.kube.jobs import Owner, render_step
from controller.reconcile.names import baseline_name, step_name, suggest_name, trial_name
from tests.kube.samples import OWNER, SETTINGS, UID, request, search

SEARCH_NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
TRIALS = st.one_of(
    st.integers(1, 99_999).map(trial_name),
    st.sampled_from(["untuned", "full-pool"]),
    st.integers(1, 10**12).map(lambda size: baseline_name("random_subset", size)),
)
SUFFIXES = st.one_of(
    st.sampled_from(["materialize", "train", "evaluate", "evaluate-report", "evaluate-ood"]),
    st.integers(0, 15).map(lambda index: f"evaluate-transfer-{index}"),
    st.integers(0, 15).map(lambda index: f"train-transfer-{index}"),
)
STEPS = st.one_of(
    st.builds(step_name, TRIALS, SUFFIXES),
    st.integers(1, 99_999).map(lambda ordinal: f"{suggest_name(ordinal)}.suggest"),
    st.integers(1, 99_999).map(lambda scored: f"choose-{scored:05d}.suggest"),
    st.from_regex(r"report-[0-9a-f]{24}\.report", fullmatch=True),
    st.sampled_from(["setup.prepare", "setup.score"]),
)
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


@given(SEARCH_NAMES, st.uuids(), STEPS, st.integers(1, 9999))
def test_job_names_are_dns_labels_with_room_for_an_index(
    search: str, uid: object, step: str, number: int
) -> None:
    name = names.job_name(search, str(uid), step, number)
    assert LABEL.fullmatch(name)
    assert len(f"{name}-1023") <= 63
    assert LABEL.fullmatch(names.service_name(name))
    assert names.service_name(name)[0].isalpha()
    assert len(names.service_name(name)) <= 63
    assert names.job_name(search, str(uid), step, number) == name


@given(SEARCH_NAMES, st.sets(st.tuples(STEPS, st.integers(1, 120)), min_size=2, max_size=40))
def test_no_two_jobs_of_a_search_share_a_name(search: str, jobs: set[tuple[str, int]]) -> None:
    assert len({names.job_name(search, UID, step, number) for step, number in jobs}) == len(jobs)


@given(SEARCH_NAMES, st.uuids(), st.uuids(), STEPS)
def test_a_search_made_again_has_other_jobs(search: str, first: object, second: object, step: str) -> None:
    same = names.job_name(search, str(first), step, 1) == names.job_name(search, str(second), step, 1)
    assert same == (names.uid_hash(str(first)) == names.uid_hash(str(second)))


@given(st.sets(st.tuples(SEARCH_NAMES, TRIALS), min_size=2, max_size=40))
def test_trial_names_are_labels_and_differ(trials: set[tuple[str, str]]) -> None:
    found = {names.trial_object_name(search, trial) for search, trial in trials}
    assert len(found) == len(trials)
    assert all(LABEL.fullmatch(name) and len(name) <= 63 for name in found)


def test_usual_names_are_readable() -> None:
    assert names.trial_object_name("quick", "t00001") == "quick-t00001"
    assert names.job_name("quick", UID, "t00001.train", 2) == f"quick-{names.uid_hash(UID)}-t00001-train-r2"


@given(STEPS, st.integers(1, 100), st.integers(0, 20))
def test_a_job_says_which_step_it_is(step: str, attempt: int, restarts: int) -> None:
    rendered = render_step(
        request(step, attempt=attempt), search(), owner=OWNER, settings=SETTINGS, restarts=restarts
    )
    identity = names.job_identity(rendered.job)
    assert identity == names.JobIdentity(
        search="quick",
        search_uid=UID,
        name=step,
        number=attempt + restarts,
        restarts=restarts,
        trial=step.split(".")[0],
        spec_hash=rendered.spec_hash,
    )


def test_steps_of_the_search_belong_to_no_trial() -> None:
    owner = Owner(kind="RecipeSearch", name="quick", uid=UID)
    job = render_step(request("setup.score", "score"), search(), owner=owner, settings=SETTINGS).job
    identity = names.job_identity(job)
    assert identity is not None
    assert identity.trial is None


def test_foreign_jobs_have_no_identity_and_no_owner_of_ours() -> None:
    assert names.job_identity({"metadata": {"name": "x"}}) is None
    assert names.job_identity({"metadata": {"labels": names.search_labels("quick", UID)}}) is None
    job = render_step(request(), search(), owner=OWNER, settings=SETTINGS).job
    assert names.is_owned_by(job, OWNER.uid)
    assert not names.is_owned_by(job, UID)
    reference = {**job["metadata"]["ownerReferences"][0], "controller": False}
    assert not names.is_owned_by({"metadata": {"ownerReferences": [reference]}}, OWNER.uid)


def test_selector_names_the_uid() -> None:
    assert names.selector("quick", UID) == (
        f"app.kubernetes.io/managed-by=autosel,autosel.dev/search=quick,autosel.dev/search-uid={UID}"
    )
