"""suggest: propose the next recipe from the history, or choose the final one.

Candidates are materialised as masks, so what is proposed is known to be a new, non-empty subset.
"""

import functools
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson

from autosel_runtime.api.search import LlmEndpoint, Recipe, SearchSettings
from autosel_runtime.digest import canonical_json
from autosel_runtime.errors import AutoselError, ConfigError, DataError, ExtensionError
from autosel_runtime.recipe.execute import PrefixCache, execute
from autosel_runtime.recipe.facts import PoolFacts
from autosel_runtime.recipe.mask import subset_digester
from autosel_runtime.recipe.model import Execution, Mask
from autosel_runtime.recipe.operator import Catalog
from autosel_runtime.recipe.prepared import prepare as prepare_columns
from autosel_runtime.search.history import Realised, TrialRecord
from autosel_runtime.search.incumbent import incumbent
from autosel_runtime.search.propose import propose
from autosel_runtime.search.space import space_of
from autosel_runtime.steps.catalog import catalog_of
from autosel_runtime.steps.context import StepContext, StepOutput
from autosel_runtime.steps.data import SubsetMasks, open_columns, open_pool, recorded_names
from autosel_runtime.steps.summary import REASON_BYTES, RECIPE_BYTES, beside, cut_text, recorded_state


def suggest(context: StepContext) -> StepOutput:
    """Return one proposal for the ordinal of the inputs; ordinal 0 asks for the final choice instead."""
    started = time.monotonic()
    history = [_record(row) for row in context.input("history")]
    ordinal = int(context.input("ordinal"))
    pool = open_pool(context)
    columns = open_columns(context, pool)
    catalog = catalog_of(context.spec)
    facts = PoolFacts(names=columns.names, sources=columns.source_names, floors=columns.floors)
    if ordinal == 0:
        return _choose(context.spec.search, history, catalog, facts, pool.rows)

    prefixes = {
        key: row["subset"]
        for row in context.input("history")
        if row["subset"] is not None
        for key in (str(row["ordinal"]), row["recipe_digest"])
    }
    prepared = prepare_columns(columns, subsets=SubsetMasks(context, prefixes))
    cache = PrefixCache()
    named = recorded_names(context.spec, pool)

    @functools.cache
    def digester() -> Callable[[Mask], str]:
        return subset_digester(pool.ids().to_pylist())

    def run(recipe: Recipe, seed: int) -> Execution:
        return execute(recipe, prepared, seed=seed, catalog=catalog, cache=cache)

    def materialise(recipe: Recipe, seed: int) -> Realised | str:
        size = len(canonical_json(recipe.model_dump(mode="json")))
        if size > RECIPE_BYTES:
            return f"the recipe takes {size:,} bytes of JSON, at most {RECIPE_BYTES:,} can be recorded"
        try:
            done = run(recipe, seed)
        except ExtensionError:
            raise  # to leave the operator out in silence would not help its author
        except AutoselError as error:
            return str(error)
        return Realised(
            size=done.size,
            retain=done.size / pool.rows,
            state_vector=recorded_state(done.state, named),
            # Again, as few are asked for: the masks of all candidates would take gigabytes at 100 million rows.
            identify=lambda: digester()(run(recipe, seed).mask),
        )

    proposals, diagnostics = propose(
        context.spec.search,
        history,
        count=1,
        catalog=catalog,
        facts=facts,
        rows=pool.rows,
        materialise=materialise,
        complete=_completion(context),
        first_ordinal=ordinal,
    )
    rows = [
        {
            **asdict(proposal),
            "recipe": proposal.recipe.model_dump(mode="json"),
            "rationale": cut_text(proposal.rationale, REASON_BYTES),
        }
        for proposal in proposals
    ]
    for warning in diagnostics.warnings:
        print(f"warning: {warning}", file=sys.stderr, flush=True)
    summary: dict[str, Any] = {
        "proposals": rows,
        "exhausted": None if rows else cut_text(diagnostics.reason, REASON_BYTES),
        "seconds": round(time.monotonic() - started, 2),
    }
    return StepOutput(
        files={
            "proposals.json": orjson.dumps(rows, option=orjson.OPT_INDENT_2),
            "candidates.json": orjson.dumps(
                asdict(diagnostics),
                option=orjson.OPT_INDENT_2,
                default=lambda value: value.model_dump(mode="json"),
            ),
        },
        summary={**summary, "warnings": beside(summary, diagnostics.warnings)},
    )


def _choose(
    settings: SearchSettings,
    history: Sequence[TrialRecord],
    catalog: Catalog,
    facts: PoolFacts,
    rows: int,
) -> StepOutput:
    found = incumbent(history, space_of(catalog, facts, settings), rows=rows, seed=settings.seed)
    if found is None:
        raise DataError("no trial succeeded, so there is nothing to choose from")
    why = "the highest score on the search half"
    if found.pick.ordinal != found.best_observed.ordinal:
        why = "the highest posterior mean: the surrogate holds the higher score of another trial for luck"
    elif found.informative:
        why = "the highest score on the search half and the highest posterior mean"
    summary = {"chosen": found.pick.ordinal, "why": why, "mean": found.mean, "deviation": found.deviation}
    return StepOutput(files={"choice.json": orjson.dumps(summary)}, summary=summary)


def _record(row: Mapping[str, Any]) -> TrialRecord:
    fields: dict[str, Any] = {key: value for key, value in row.items() if key != "subset"}
    fields["recipe"] = Recipe.model_validate(row["recipe"])
    return TrialRecord(**fields)


def _completion(context: StepContext) -> Callable[[str, dict[str, Any]], object] | None:
    endpoint = context.spec.search.llm
    if endpoint is None or context.spec.search.proposer != "llm":
        return None
    from autosel_runtime.llm.client import completion

    return completion(endpoint, _api_key(endpoint))


def _api_key(endpoint: LlmEndpoint) -> str | None:
    if endpoint.api_key is None:
        return None
    key = os.environ.get(endpoint.api_key.key)
    if key is None:
        raise ConfigError(f"spec.search.llm.apiKey: environment variable {endpoint.api_key.key} is not set")
    return key
