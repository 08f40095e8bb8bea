"""What the controller's service account must not be able to do, as calls and as verbs that no call shows."""

TEAM, SYSTEM = "/api/v1/namespaces/team-a", "/api/v1/namespaces/autosel-system"
ROLES = "/apis/rbac.authorization.k8s.io/v1"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "/apis/autosel.dev/v1alpha1/namespaces/team-a"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/autosel-system/leases"
BATCH = "/apis/batch/v1/namespaces/team-a"

# Secrets: by name, as a list, as a watch, in its own namespace, in a watched one and everywhere.
SECRETS = [
    *(("GET", f"{place}/secrets{rest}") for place in (TEAM, SYSTEM) for rest in ("", "/s3", "?watch=true")),
    *(("GET", f"/api/v1/secrets{rest}") for rest in ("", "?watch=true")),
    *((method, f"{place}/secrets/s3") for place in (TEAM, SYSTEM) for method in ("PUT", "PATCH", "DELETE")),
    ("POST", f"{TEAM}/secrets"),
    ("POST", f"{SYSTEM}/secrets"),
]
# Inside pods, past pods to nodes.
PODS = [
    *(
        (method, f"{place}/pods/any/{sub}")
        for place in (TEAM, SYSTEM)
        for sub in ("exec", "attach", "portforward")
        for method in ("GET", "POST")
    ),
    ("GET", f"{TEAM}/pods/any"),
    ("GET", f"{TEAM}/pods/any/log"),
    ("GET", f"{TEAM}/pods/any/proxy"),
    ("PATCH", f"{TEAM}/pods/any/ephemeralcontainers"),
    ("POST", f"{TEAM}/pods/any/eviction"),
    ("POST", f"{TEAM}/pods"),
    ("PATCH", f"{TEAM}/pods/any"),
    ("DELETE", f"{TEAM}/pods/any"),
    ("DELETE", f"{TEAM}/pods"),
    ("GET", "/api/v1/nodes"),
    ("GET", "/api/v1/nodes/any"),
    ("GET", "/api/v1/nodes/any/proxy/pods"),
    ("PATCH", "/api/v1/nodes/any"),
]
# Who one is and what one may do.
IDENTITIES = [
    ("POST", "/apis/authentication.k8s.io/v1/tokenreviews"),
    ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
    ("POST", "/apis/authorization.k8s.io/v1/namespaces/team-a/localsubjectaccessreviews"),
    ("POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests"),
    ("POST", f"{TEAM}/serviceaccounts"),
    ("POST", f"{TEAM}/serviceaccounts/default/token"),
    ("POST", f"{SYSTEM}/serviceaccounts/autosel/token"),
    ("GET", f"{ROLES}/namespaces/team-a/roles"),
    ("GET", f"{ROLES}/clusterroles"),
    ("POST", f"{ROLES}/namespaces/team-a/roles"),
    ("POST", f"{ROLES}/namespaces/team-a/rolebindings"),
    ("POST", f"{ROLES}/clusterroles"),
    ("POST", f"{ROLES}/clusterrolebindings"),
    ("PATCH", f"{ROLES}/clusterroles/autosel"),
    ("PATCH", f"{ROLES}/namespaces/autosel-system/roles/autosel-lease"),
]
# What belongs to the cluster, to users, or to nobody's business.
OTHERS = [
    ("GET", "/api/v1/namespaces"),
    ("DELETE", "/api/v1/namespaces/team-a"),
    ("GET", f"{TEAM}/persistentvolumeclaims"),
    ("DELETE", f"{TEAM}/persistentvolumeclaims/any"),
    ("DELETE", f"{TEAM}/persistentvolumeclaims"),
    ("DELETE", "/api/v1/persistentvolumes/any"),
    ("GET", f"{TEAM}/services"),
    ("PATCH", f"{TEAM}/services/any"),
    ("GET", f"{TEAM}/configmaps"),
    ("PATCH", f"{TEAM}/configmaps/any"),
    ("DELETE", f"{TEAM}/configmaps"),
    ("GET", f"{TEAM}/events"),
    ("PATCH", f"{TEAM}/events/any"),
    ("DELETE", f"{TEAM}/events/any"),
    ("POST", "/apis/events.k8s.io/v1/namespaces/team-a/events"),
    ("GET", f"{DEFINITIONS}/recipetrials.autosel.dev"),
    ("POST", DEFINITIONS),
    ("DELETE", f"{DEFINITIONS}/recipetrials.autosel.dev"),
    ("POST", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"),
    ("GET", "/apis/apps/v1/namespaces/autosel-system/deployments"),
    ("POST", "/apis/apps/v1/namespaces/team-a/daemonsets"),
    ("POST", f"{BATCH}/cronjobs"),
    ("PATCH", f"{BATCH}/jobs/any/status"),
    ("DELETE", f"{BATCH}/jobs"),
    ("GET", "/apis/coordination.k8s.io/v1/namespaces/team-a/leases/autosel"),
    ("GET", f"{LEASES}/other"),
    ("GET", LEASES),
    ("PUT", f"{LEASES}/autosel"),
    ("DELETE", f"{LEASES}/autosel"),
    ("POST", f"{GROUP}/recipesearches"),
    ("PUT", f"{GROUP}/recipesearches/quick"),
    ("PATCH", f"{GROUP}/recipesearches/quick"),
    ("DELETE", f"{GROUP}/recipesearches/quick"),
    ("PATCH", f"{GROUP}/recipetrials/any"),
    ("DELETE", f"{GROUP}/recipetrials/any"),
    ("DELETE", f"{GROUP}/recipetrials"),
]
CALLS = [*SECRETS, *PODS, *IDENTITIES, *OTHERS]

# (verb, group, resource): rights that only show when something else is tried.
VERBS = [
    ("escalate", "rbac.authorization.k8s.io", "roles"),
    ("escalate", "rbac.authorization.k8s.io", "clusterroles"),
    ("bind", "rbac.authorization.k8s.io", "roles"),
    ("bind", "rbac.authorization.k8s.io", "clusterroles"),
    ("impersonate", "", "users"),
    ("impersonate", "", "groups"),
    ("impersonate", "", "serviceaccounts"),
    ("approve", "certificates.k8s.io", "signers"),
    ("deletecollection", "batch", "jobs"),
    ("*", "*", "*"),
]
