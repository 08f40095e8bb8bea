"""The operators and hooks of a search: the built-in ones and those of its extensions."""

from collections.abc import Sequence

from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.recipe.catalog import CATALOG
from autosel_runtime.recipe.extension import extend_catalog, load_extensions
from autosel_runtime.recipe.hooks import Hook
from autosel_runtime.recipe.operator import Catalog


def catalog_of(spec: RecipeSearchSpec) -> Catalog:
    """Return all operators that recipes of the search may use, by name."""
    return extend_catalog(CATALOG, load_extensions(spec.search.extensions))


def hooks_of(spec: RecipeSearchSpec) -> Sequence[Hook]:
    """Return the hooks of the search's extensions."""
    return load_extensions(spec.search.extensions).hooks
