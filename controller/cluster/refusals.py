"""What RBAC does not allow, in words: who may not do what, and whom to ask."""

import re

_REFUSAL = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)"'
    r'(?: in API group "(?P<group>[^"]*)")?'
    r'(?: in the namespace "(?P<namespace>[^"]*)")?'
)
WRITES = frozenset({"create", "update", "patch", "delete"})


def sentence_of_refusal(message: str) -> str:
    """Return the API server's refusal as one sentence that names the missing right, or as it came."""
    found = _REFUSAL.search(message)
    if found is None:
        return f"the cluster refuses: {message}"
    group = f".{found['group']}" if found["group"] else ""
    place = f"namespace {found['namespace']}" if found["namespace"] else "the whole cluster"
    role = "edit" if found["verb"] in WRITES else "view"
    return (
        f"{found['user']} may not {found['verb']} {found['resource']}{group} in {place}; "
        f"the role {role} of that namespace allows it"
    )
