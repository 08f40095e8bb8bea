"""Embeddings of a real model: against the model itself, in any batch, over a kill; and their use in a recipe."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from autosel_runtime.api.search import Recipe, RecipeStep  # noqa: E402
from autosel_runtime.api.signals import EmbeddingSignals, SignalsSpec  # noqa: E402
from autosel_runtime.errors import ConfigError, DataError  # noqa: E402
from autosel_runtime.pool.sample import make_sample  # noqa: E402
from autosel_runtime.recipe.execute import execute  # noqa: E402
from autosel_runtime.recipe.prepared import prepare  # noqa: E402
from autosel_runtime.signals import embedding  # noqa: E402
from autosel_runtime.signals import score as score_module  # noqa: E402
from autosel_runtime.signals.score import score_pool  # noqa: E402
from autosel_runtime.signals.table import SignalColumns  # noqa: E402

from .builders import ListPool, chat, pool_of, random_pool, write_tiny_model  # noqa: E402

MODEL = Path(__file__).resolve().parents[2] / "examples" / "quickstart" / "model"


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"))


def spec(**settings: object) -> SignalsSpec:
    return SignalsSpec(
        language_model={"enabled": False},
        embedding={"enabled": True, "max_tokens": 128, **settings},
        rows_per_shard=100,
    )


def score(pool: ListPool, out: Path, model: Path, settings: SignalsSpec | None = None, **more: object):
    return score_pool(
        pool, settings or spec(), model_dir=None, embedding_model_dir=model, chat_template=None, targets={},
        out=out, work=out.parent / f"{out.name}-work", **more,
    )  # fmt: skip


def test_an_embedding_is_the_mean_of_the_models_own_hidden_states(tiny_model: Path) -> None:
    import transformers

    samples = [chat("how are you", "fine"), chat("x", "one two three"), chat("a", "b" * 60)]
    embedder = embedding.load(tiny_model, EmbeddingSignals(max_tokens=128))
    arrays = embedding.embedding_arrays(embedder, embedder.tokenise(samples))
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    for row, tokenised in enumerate(embedder.tokenise(samples).chats):
        assert tokenised is not None
        ids = torch.tensor(tokenised.full.ids[None].astype(np.int64))
        with torch.inference_mode():
            states = model(input_ids=ids, output_hidden_states=True).hidden_states[-1][0]
        mean = states.double().mean(dim=0)
        expected = (mean / mean.norm()).numpy()
        np.testing.assert_allclose(arrays[embedding.VECTORS][row], expected, atol=1e-3)


def test_company_order_and_padding_change_nothing(tiny_model: Path) -> None:
    samples = list(random_pool(60).held)
    wide = embedding.load(tiny_model, EmbeddingSignals(max_tokens=128, batch_tokens=100_000))
    alone = embedding.load(tiny_model, EmbeddingSignals(max_tokens=128, batch_tokens=64))
    together = embedding.embedding_arrays(wide, wide.tokenise(samples))
    apart = embedding.embedding_arrays(alone, alone.tokenise(samples))
    turned = embedding.embedding_arrays(wide, wide.tokenise(samples[::-1]))
    for other in (apart[embedding.VECTORS], turned[embedding.VECTORS][::-1]):
        np.testing.assert_allclose(together[embedding.VECTORS], other, atol=1e-3)
    np.testing.assert_array_equal(together[embedding.TEXTS], turned[embedding.TEXTS][::-1])


def test_equal_chats_have_equal_embeddings_in_any_shard(tmp_path: Path, tiny_model: Path) -> None:
    repeated = chat("the same question", "the same answer")
    others = [chat(f"question {i}", f"answer {i}" * (i % 30 + 1)) for i in range(250)]
    rows = [0, 120, 240]
    for row in rows:
        others[row] = repeated
    pool = pool_of(others)
    score(pool, tmp_path / "out", tiny_model)
    pairs = SignalColumns.open(tmp_path / "out", pool).pairs("embedding")
    equal = {pair for pair in zip(pairs.left, pairs.right, pairs.similarity, strict=True) if pair[2] == 1.0}
    assert {(0, 120, 1.0), (0, 240, 1.0)} <= equal


def test_samples_without_an_answer_have_no_embedding(tmp_path: Path, tiny_model: Path) -> None:
    call = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    silent = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "", "tool_calls": call}]
    pool = pool_of([chat("q", "a"), make_sample("s", silent), make_sample("t", silent), chat("r", "b")])
    manifest = score(pool, tmp_path / "out", tiny_model)
    assert manifest["pairs"]["embedding"]["embedded"] == 2
    assert not {1, 2} & set(SignalColumns.open(tmp_path / "out", pool).pairs("embedding").right.tolist())


def test_a_killed_run_goes_on_and_parts_make_the_same_whole(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = random_pool(350)
    whole = score(pool, tmp_path / "whole", tiny_model)
    for index in (1, 0):
        score(pool, tmp_path / "parts", tiny_model, shards=(index, 2))

    def refuse(*_: object) -> None:
        raise AssertionError("a shard was computed twice")

    monkeypatch.setattr(score_module.embedding, "load", refuse)
    assert score(pool, tmp_path / "parts", tiny_model) == whole
    assert (tmp_path / "whole" / "pairs.npz").read_bytes() == (tmp_path / "parts" / "pairs.npz").read_bytes()
    lower = score(pool, tmp_path / "whole", tiny_model, spec(floor=0.8))
    assert lower["pairs"]["embedding"]["floor"] == 0.8
    assert lower["fingerprint"] != whole["fingerprint"]


def test_a_spec_without_embeddings_keeps_its_fingerprint(tmp_path: Path) -> None:
    """Signals that were computed before there were embeddings are still found."""
    plain = SignalsSpec(language_model={"enabled": False})
    families = score_module.plan_families("sha256:0", plain, None, None, {})
    assert "embedding" not in families
    assert "embedding" not in plain.content()


def test_what_does_not_fit_is_told(tmp_path: Path, tiny_model: Path) -> None:
    pool = random_pool(3)
    with pytest.raises(ConfigError, match=r"signals\.embedding needs a model"):
        score_pool(
            pool, spec(), model_dir=None, chat_template=None, targets={}, out=tmp_path, work=tmp_path / "w"
        )
    with pytest.raises(
        ConfigError, match=r"signals\.embedding\.maxTokens: 513 is more than the 512 positions"
    ):
        score(pool, tmp_path / "o", tiny_model, spec(max_tokens=513))
    bare = write_tiny_model(tmp_path / "bare", template=None)
    with pytest.raises(ConfigError, match=r"signals\.embedding: the model's tokenizer has no chat template"):
        score(pool, tmp_path / "o", bare)


@pytest.mark.parametrize("threshold", [0.93, 0.97, 0.995, 1.0])
def test_a_recipe_keeps_what_a_plain_loop_keeps(tmp_path: Path, threshold: float) -> None:
    """Score with the quickstart's model, then deduplicate: rows in order, each dropped if near to a kept one."""
    pool = random_pool(240, seed=9)
    score(pool, tmp_path / "out", MODEL, spec(floor=0.9))
    columns = SignalColumns.open(tmp_path / "out", pool)
    step = RecipeStep(operator="semantic_dedup", params={"strategy": "embedding", "threshold": threshold})
    done = execute(Recipe(steps=[step]), prepare(columns), seed=1)

    embedder = embedding.load(MODEL, EmbeddingSignals(max_tokens=128))
    vectors = embedding.embedding_arrays(embedder, embedder.tokenise(pool.held))[embedding.VECTORS].astype(
        float
    )
    cosines = (vectors @ vectors.T) / np.outer(*[np.linalg.norm(vectors, axis=1)] * 2)
    for i in range(240):
        for j in range(240):
            if (vectors[i] == vectors[j]).all():
                cosines[i, j] = 1.0
            elif abs(cosines[i, j]) > 1 - 1e-7:
                cosines[i, j] = 1 - 1e-7
    kept: list[int] = []
    for row in range(240):
        if not any(cosines[row, earlier] >= threshold for earlier in kept):
            kept.append(row)
    mask = np.unpackbits(done.mask, count=240, bitorder="little").astype(bool)
    assert np.flatnonzero(mask).tolist() == kept
    assert len(kept) < 240


def test_a_threshold_below_the_floor_is_one_sentence(tmp_path: Path, tiny_model: Path) -> None:
    pool = random_pool(50)
    score(pool, tmp_path / "out", tiny_model)
    columns = prepare(SignalColumns.open(tmp_path / "out", pool))
    step = RecipeStep(operator="semantic_dedup", params={"strategy": "embedding", "threshold": 0.5})
    with pytest.raises(
        DataError, match=r"0\.5 is below 0\.9, .* embedding pairs .*spec\.signals\.embedding\.floor"
    ):
        execute(Recipe(steps=[step]), columns, seed=1)
