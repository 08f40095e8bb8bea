"""What the chart's roles allow, and what an API server says that somebody may do."""

from tests.charts.conftest import Cluster

Rights = dict[tuple[str, str], set[str]]

# What the controller may do in a watched namespace, apart from its lease: (group, resource) -> verbs.
RIGHTS = {
    ("autosel.dev", "recipesearches"): {"get", "list", "watch"},
    ("autosel.dev", "recipetrials"): {"get", "list", "watch", "create"},
    ("autosel.dev", "recipesearches/status"): {"patch"},
    ("autosel.dev", "recipetrials/status"): {"patch"},
    ("batch", "jobs"): {"get", "list", "watch", "create", "delete", "patch"},
    ("", "pods"): {"list", "watch"},
    ("", "configmaps"): {"get", "create", "delete"},
    ("", "services"): {"get", "create", "delete"},
    ("", "events"): {"create"},
}
# A right that each role has in a namespace once it is bound and the chart's part of it is there.
SIGN = {
    "view": ("list", "recipesearches"),
    "edit": ("create", "recipesearches"),
    "admin": ("delete", "recipesearches"),
}


def may(cluster: Cluster, role: str, verb: str, resource: str) -> bool:
    """Ask the API server whether a user of a role may do something in team-a."""
    resource, _, sub = resource.partition("/")
    done = cluster.kubectl(
        "auth", "can-i", verb, f"{resource}.autosel.dev", *([f"--subresource={sub}"] if sub else []),
        f"--as={role}-user", "-n", "team-a",
    )  # fmt: skip
    assert done.stdout.strip() in ("yes", "no"), done.stderr
    return done.stdout.strip() == "yes"


def wanted(scope: str) -> dict[str, Rights]:
    """What the controller's rights should be, by namespace."""
    definitions = {("apiextensions.k8s.io", "customresourcedefinitions"): {"list", "watch"}}
    lease = {("coordination.k8s.io", "leases"): {"create", "get", "patch"}}
    everywhere = RIGHTS | definitions if scope == "Cluster" else {}
    return {
        "team-a": everywhere or RIGHTS,
        "team-b": everywhere,
        "autosel-system": everywhere | lease,
    }


def rights_of(cluster: Cluster, token: str, namespace: str) -> Rights:
    """Ask the API server which rules apply, without those that every authenticated client has."""
    review = {"spec": {"namespace": namespace}}
    _, answer = cluster.call_as(
        token, "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review
    )
    rights: Rights = {}
    for rule in answer["status"]["resourceRules"]:
        for group in rule["apiGroups"]:
            if group not in ("authorization.k8s.io", "authentication.k8s.io"):
                for resource in rule["resources"]:
                    rights.setdefault((group, resource), set()).update(rule["verbs"])
    return rights
