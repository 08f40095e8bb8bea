"""The kinds of objects that the controller reads or writes, and where they live in the API."""

from dataclasses import dataclass
from urllib.parse import quote

from autosel_runtime.api.common import GROUP, VERSION


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One namespaced kind. The group of the core kinds is empty."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """``apiVersion`` as objects carry it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the path of the collection, over all namespaces when ``namespace`` is None, or of one object."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts += [self.plural, *(part for part in (name, subresource) if part is not None)]
        return "/" + "/".join(quote(part, safe="") for part in parts)


SEARCHES = Kind(group=GROUP, version=VERSION, plural="recipesearches", kind="RecipeSearch")
TRIALS = Kind(group=GROUP, version=VERSION, plural="recipetrials", kind="RecipeTrial")
JOBS = Kind(group="batch", version="v1", plural="jobs", kind="Job")
PODS = Kind(group="", version="v1", plural="pods", kind="Pod")
CONFIG_MAPS = Kind(group="", version="v1", plural="configmaps", kind="ConfigMap")
SERVICES = Kind(group="", version="v1", plural="services", kind="Service")
EVENTS = Kind(group="", version="v1", plural="events", kind="Event")
NAMESPACES = Kind(group="", version="v1", plural="namespaces", kind="Namespace")
LEASES = Kind(group="coordination.k8s.io", version="v1", plural="leases", kind="Lease")
