"""Small pools for the tests of the search: real operators over arrays, and a known score of every subset."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from autosel_runtime.api.search import Recipe, SearchSettings
from autosel_runtime.errors import AutoselError
from autosel_runtime.recipe.catalog import CATALOG, recipe_digest
from autosel_runtime.recipe.columns import Scalar, rank_of
from autosel_runtime.recipe.execute import execute
from autosel_runtime.recipe.facts import PoolFacts
from autosel_runtime.recipe.prepared import prepare
from autosel_runtime.search.diagnostics import Diagnostics
from autosel_runtime.search.history import Proposal, Realised, TrialRecord
from autosel_runtime.search.llm_proposer import Completion
from autosel_runtime.search.propose import as_pending, propose
from autosel_runtime.search.space import Space, space_of
from tests.array_columns import ArrayColumns

SIGNALS = ("ifd", "quality", "varentropy", "words", "ngram_entropy")


@dataclass(kw_only=True)
class World:
    """A pool of ``rows`` rows with the named signals."""

    rows: int = 300
    seed: int = 0
    signals: Sequence[str] = SIGNALS
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    calls: int = 0

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        scalars = {}
        for name in self.signals:
            values = rng.uniform(0.5, 1.5, self.rows).astype(np.float32)
            scalars[name] = Scalar(values=values, ranks=rank_of(values))
        codes = (np.arange(self.rows) % 2).astype(np.uint16)
        self.columns = prepare(
            ArrayColumns(rows=self.rows, source_names=("a", "b"), source_codes=codes, scalars=scalars)
        )
        self.worth = rng.normal(size=self.rows)

    @property
    def facts(self) -> PoolFacts:
        return PoolFacts(names=frozenset(self.signals))

    def space(self, settings: SearchSettings | None = None) -> Space:
        return space_of(CATALOG, self.facts, settings or SearchSettings())

    def materialise(self, recipe: Recipe, seed: int) -> Realised | str:
        self.calls += 1
        try:
            done = execute(recipe, self.columns, seed=seed, unions=self.masks)
        except AutoselError as error:
            return str(error)
        self.masks[recipe_digest(recipe)] = done.mask
        return Realised(
            size=done.size,
            retain=done.size / self.rows,
            state_vector=done.state,
            identify=lambda: f"sha256:{hashlib.sha256(done.mask.tobytes()).hexdigest()}",
        )

    def score(self, recipe: Recipe, seed: int = 42) -> float:
        mask = execute(recipe, self.columns, seed=seed, unions=self.masks).mask
        kept = np.unpackbits(mask, count=self.rows, bitorder="little").astype(bool)
        return float(np.clip(0.5 + 0.1 * self.worth[kept].mean() + 0.02 * np.log(kept.mean()), 0, 1))

    def ask(
        self,
        settings: SearchSettings,
        history: Sequence[TrialRecord],
        count: int = 1,
        complete: Completion | None = None,
        first: int | None = None,
    ) -> tuple[list[Proposal], Diagnostics]:
        return propose(
            settings,
            history,
            count=count,
            catalog=CATALOG,
            facts=self.facts,
            rows=self.rows,
            materialise=self.materialise,
            complete=complete,
            first_ordinal=len(history) if first is None else first,
        )

    def finish(self, proposal: Proposal) -> TrialRecord:
        return replace(
            as_pending(proposal), state="succeeded", score=self.score(proposal.recipe), stderr=0.01
        )

    def run(
        self, settings: SearchSettings, evaluations: int, complete: Completion | None = None
    ) -> list[TrialRecord]:
        """Search one trial after another."""
        history: list[TrialRecord] = []
        while len(history) < evaluations:
            proposals, _ = self.ask(settings, history, complete=complete)
            if not proposals:
                break
            history.append(self.finish(proposals[0]))
        return history
