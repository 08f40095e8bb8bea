"""The operators of a search: the built-in ones and those of its extensions."""

from collections.abc import Mapping

from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.recipe.catalog import CATALOG
from autosel_runtime.recipe.extension import extend_catalog, load_extensions
from autosel_runtime.recipe.operator import Operator


def catalog_of(spec: RecipeSearchSpec) -> Mapping[str, Operator]:
    """Return all operators that recipes of the search may use, by name."""
    return extend_catalog(CATALOG, load_extensions(spec.search.extensions))
