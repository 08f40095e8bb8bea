"""Scoring a pool from end to end: resume, shards, determinism, refusals."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autosel_runtime.api.signals import SignalsSpec
from autosel_runtime.errors import ConfigError, DataError, ExtensionError, NoInputError
from autosel_runtime.recipe.columns import Columns, rank_of
from autosel_runtime.signals import score as score_module
from autosel_runtime.signals.score import score_pool
from autosel_runtime.signals.table import SignalColumns

from .builders import chat, pool_of, random_pool, write_tiny_model

TEXT_ONLY = SignalsSpec(language_model={"enabled": False}, rows_per_shard=100)
TARGETS = {"sums": [chat("w1 w2 w3", "w4 w5"), chat("w6", "w7 w8")]}


def score(pool, out: Path, *, spec=TEXT_ONLY, work=None, **more):
    settings = {"model_dir": None, "chat_template": None, "targets": TARGETS} | more
    return score_pool(pool, spec, out=out, work=work or out.parent / f"{out.name}-work", **settings)


def contents(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"))


def test_columns_have_the_documented_names_types_and_ranks(tmp_path, tiny_model):
    pool = random_pool(130)
    spec = SignalsSpec(rows_per_shard=100, language_model={"max_tokens": 256})
    score(pool, tmp_path / "out", spec=spec, model_dir=tiny_model)
    columns: Columns = SignalColumns.open(tmp_path / "out", pool)
    assert columns.names == {
        "words",
        "answer_words",
        "ngram_entropy",
        "quality",
        "relevance.sums",
        "nll_full",
        "nll_cond",
        "nll_answer",
        "ifd",
        "ifd_full",
        "varentropy",
        "varentropy_answer",
        "tokens",
        "answer_tokens",
        "exact",
        "minhash",
    }
    assert columns.rows == 130
    assert columns.source_names == ("s0", "s1", "s2")
    for name in sorted(columns.names - {"exact", "minhash"}):
        scalar = columns.scalar(name)
        assert scalar.values.dtype == np.float32
        assert not np.isnan(scalar.values).any()
        np.testing.assert_array_equal(scalar.ranks, rank_of(scalar.values))
        assert columns.scalar(name) is scalar
    np.testing.assert_array_equal(columns.scalar("words").values, pool.words())
    np.testing.assert_allclose(
        columns.scalar("ifd").values,
        columns.scalar("nll_cond").values / columns.scalar("nll_answer").values,
        rtol=1e-5,
    )
    pairs = columns.pairs("minhash")
    assert pairs.floor == 0.5
    assert (pairs.left < pairs.right).all()
    assert len(pairs.left) >= 12
    order = np.lexsort((pairs.left, pairs.right))
    np.testing.assert_array_equal(order, np.arange(len(order)))


def test_a_killed_run_resumes_and_ends_as_if_undisturbed(tmp_path, tiny_model, monkeypatch):
    pool = random_pool(250)
    spec = SignalsSpec(rows_per_shard=100, language_model={"max_tokens": 128})
    score(pool, tmp_path / "whole", spec=spec, model_dir=tiny_model)

    written = score_module.write_shard
    calls = []

    def dying(folder, shard, arrays):
        calls.append(shard.index)
        if len(calls) == 8:  # three shards of two text families, then the second of the language model
            raise KeyboardInterrupt
        written(folder, shard, arrays)

    monkeypatch.setattr(score_module, "write_shard", dying)
    with pytest.raises(KeyboardInterrupt):
        score(pool, tmp_path / "killed", spec=spec, model_dir=tiny_model)
    assert not (tmp_path / "killed").exists()
    monkeypatch.setattr(score_module, "write_shard", written)
    pool.opened.clear()
    score(pool, tmp_path / "killed", spec=spec, model_dir=tiny_model)
    assert sorted(pool.opened) == list(range(100, 250))
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_torn_shard_is_computed_again(tmp_path):
    pool = random_pool(250)
    first = score(pool, tmp_path / "a")
    torn = next((tmp_path / "a-work").glob("lexical-*/shard-00001.npz"))
    torn.write_bytes(torn.read_bytes()[:100])
    again = score(pool, tmp_path / "b", work=tmp_path / "a-work")
    assert first["files"] == again["files"]


def test_shards_in_parallel_equal_one_run(tmp_path):
    pool = random_pool(350)
    score(pool, tmp_path / "one")
    for index in (1, 0):
        part = score(pool, tmp_path / "many", shards=(index, 2))
        assert part["complete"] is False
        assert not (tmp_path / "many").exists()
    pool.opened.clear()
    score(pool, tmp_path / "many")
    assert pool.opened == []
    assert contents(tmp_path / "one") == contents(tmp_path / "many")


def test_a_shard_index_out_of_range_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"index 2 of 2"):
        score(random_pool(20), tmp_path / "out", shards=(2, 2))


def test_the_hash_seed_and_the_number_of_processes_change_nothing(tmp_path):
    program = (
        "import sys; from pathlib import Path; from tests.signals import test_score as t;"
        "from autosel_runtime.signals import text_pass; text_pass.ROWS_FOR_PROCESSES = 10; text_pass.CHUNK = 64\n"
        "if __name__ == '__main__': t.score(t.random_pool(300), Path(sys.argv[1]), workers=2)"
    )
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONHASHSEED": "2", "PYTHONPATH": str(root)}
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a")], env=environment, check=True, cwd=root
    )
    score(random_pool(300), tmp_path / "b", workers=1)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_finished_signals_are_not_computed_again(tmp_path):
    pool = random_pool(120)
    first = score(pool, tmp_path / "out")
    pool.opened.clear()
    assert score(pool, tmp_path / "out", work=tmp_path / "other") == first
    assert pool.opened == []


def test_the_fingerprint_follows_what_values_depend_on(tmp_path):
    pool = random_pool(20)
    base = score(pool, tmp_path / "a")["fingerprint"]
    assert score(random_pool(20, seed=1), tmp_path / "b")["fingerprint"] != base
    assert score(pool, tmp_path / "c", targets={})["fingerprint"] != base
    ngram = TEXT_ONLY.model_copy(update={"minhash": TEXT_ONLY.minhash.model_copy(update={"ngram": 3})})
    assert score(pool, tmp_path / "d", spec=ngram)["fingerprint"] != base
    floor = TEXT_ONLY.model_copy(update={"minhash": TEXT_ONLY.minhash.model_copy(update={"floor": 0.7})})
    other = score(pool, tmp_path / "e", spec=floor)
    assert other["fingerprint"] != base
    smaller = TEXT_ONLY.model_copy(update={"rows_per_shard": 101})
    assert score(pool, tmp_path / "f", spec=smaller)["fingerprint"] == base


def test_signals_of_another_pool_are_refused(tmp_path):
    score(random_pool(20), tmp_path / "out")
    with pytest.raises(DataError, match="belong to pool"):
        SignalColumns.open(tmp_path / "out", random_pool(21))
    with pytest.raises(NoInputError, match="no signals here"):
        SignalColumns.open(tmp_path / "nothing", random_pool(20))


def test_a_missing_signal_names_what_exists(tmp_path):
    pool = random_pool(20)
    score(pool, tmp_path / "out")
    columns = SignalColumns.open(tmp_path / "out", pool)
    with pytest.raises(DataError, match=r"signal 'ifd' does not exist; there are: answer_words"):
        columns.scalar("ifd")
    with pytest.raises(DataError, match=r"features 'mona' do not exist"):
        columns.features("mona")


def test_no_model_no_samples_and_no_target_samples_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="needs a model"):
        score(random_pool(20), tmp_path / "a", spec=SignalsSpec())
    with pytest.raises(DataError, match="no samples"):
        score(pool_of([]), tmp_path / "b")
    with pytest.raises(DataError, match="target 't' has no samples"):
        score(random_pool(20), tmp_path / "c", targets={"t": []})
    with pytest.raises(NoInputError, match=r"neither config\.json"):
        score(random_pool(20), tmp_path / "d", spec=SignalsSpec(), model_dir=tmp_path)


def length_of_question(sample):
    return None if sample.messages[0].content.startswith("w1") else float(len(sample.messages[0].content))


def failing(sample):
    raise KeyError("nothing")


def test_extensions_add_columns_and_their_faults_are_named(tmp_path):
    pool = random_pool(120)
    score(pool, tmp_path / "out", extensions=[("mine.length", length_of_question)])
    found = SignalColumns.open(tmp_path / "out", pool).scalar("mine.length")
    expected = [length_of_question(sample) for sample in pool.held]
    np.testing.assert_array_equal(found.values, np.array(expected, dtype=np.float32))
    assert np.isnan(found.values).any()
    assert (found.ranks[np.isnan(found.values)] == 120).all()
    said = rf"'mine.bad' failed on sample {pool.held[0].id}: KeyError: 'nothing' \(.*test_score.py:\d+ in failing\)"
    with pytest.raises(ExtensionError, match=said):
        score(pool, tmp_path / "bad", extensions=[("mine.bad", failing)])
    with pytest.raises(ConfigError, match="a dot"):
        score(pool, tmp_path / "bad", extensions=[("bad", failing)])
