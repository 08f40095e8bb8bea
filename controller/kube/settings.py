"""What the operator's own configuration decides about Jobs; everything else is in the search."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from autosel_runtime.api.resources import StepResources, StorageSpec


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """Images and defaults of step pods.

    ``image`` runs steps without accelerators, ``accelerator_images`` those with one, by its kind; a search may name
    another. ``storage`` is used by searches that name none. ``base`` is the folder in the pod that relative paths of a
    search start at. ``user`` is the numeric user and group of step pods. ``work_size`` limits their scratch folder.
    """

    image: str
    accelerator_images: Mapping[str, str] = field(default_factory=dict[str, str])
    image_pull_policy: str = "IfNotPresent"
    storage: StorageSpec | None = None
    base: str = "/data"
    user: int = 65532
    grace_seconds: int = 30
    work_size: str | None = None

    def image_of(self, resources: StepResources) -> str:
        """Return the image of a kind of step: the search's, that of its accelerator, or the default."""
        return resources.image or self.accelerator_images.get(resources.accelerator.kind, self.image)
