"""Words, entropy and relevance against slow definitions."""

import math
import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autosel_runtime.pool.sample import make_sample
from autosel_runtime.signals.lexical import MAX_TEXTS, ngram_entropy, prototype, relevance
from autosel_runtime.signals.text import hash_words, normalised, words_of

from .builders import chat

TEXTS = st.lists(st.text(alphabet="abAB_ 1.\n中あé한", max_size=40), max_size=12)


@given(st.text(max_size=60))
def test_words_are_lower_cased_word_runs(text):
    found = [word.decode(errors="surrogatepass") for word in words_of(text)]
    single = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
    expected = []
    for run in re.findall(r"\w+", text.lower()):
        expected += [part for part in re.split(f"({single.pattern})", run) if part]
    assert found == expected


@given(TEXTS)
def test_word_hashes_are_equal_exactly_for_equal_words(texts):
    batch = hash_words(texts)
    words = [word for text in texts for word in words_of(text)]
    assert len(batch.hashes) == len(words)
    assert list(batch.lengths) == [len(words_of(text)) for text in texts]
    seen = dict(zip(words, batch.hashes.tolist(), strict=True))
    assert [seen[word] for word in words] == batch.hashes.tolist()
    assert len(set(seen.values())) == len(seen)


def test_a_hash_does_not_depend_on_the_place_or_the_script_of_the_text():
    alone = hash_words(["word"]).hashes[0]
    assert hash_words(["é word", "", "x " * 5000 + "WORD"]).hashes[[1, -1]].tolist() == [alone, alone]


@settings(deadline=None)
@given(TEXTS)
def test_entropy_is_that_of_the_definition(texts):
    expected = []
    for text in texts:
        counts = Counter(words_of(text))
        total = sum(counts.values())
        expected.append(
            -sum(c / total * math.log2(c / total) for c in counts.values()) if total else math.nan
        )
    np.testing.assert_allclose(ngram_entropy(hash_words(texts)), expected, atol=1e-6)


def profile(text: str) -> Counter:
    words = words_of(text)
    counts = Counter([*words, *pairwise(words)])
    total = sum(counts.values())
    return Counter({key: count / total for key, count in counts.items()})


@settings(deadline=None, max_examples=30)
@given(TEXTS, st.lists(st.text(alphabet="abAB ", min_size=1, max_size=20), min_size=1, max_size=4))
def test_relevance_is_the_generalised_jaccard_of_word_profiles(texts, queries):
    # 2^20 buckets: a collision among these few features would be a fault of the hash.
    target: Counter = Counter()
    counted = [query for query in queries if words_of(query)]
    for query in counted:
        for key, share in profile(query).items():
            target[key] += share / len(counted)
    # A sample's question is part of its text, so a question without words leaves the answer's profile alone.
    samples = [
        make_sample("t", [{"role": "user", "content": "."}, {"role": "assistant", "content": q + "."}])
        for q in queries
    ]
    found = relevance(hash_words(texts), {"t": prototype(samples)})["t"]
    for text, score in zip(texts, found, strict=True):
        own = profile(text)
        if not own:
            assert np.isnan(score)
            continue
        keys = set(own) | set(target)
        low = sum(min(own[key], target[key]) for key in keys)
        high = sum(max(own[key], target[key]) for key in keys)
        if counted:
            assert score == pytest.approx(low / high, abs=1e-5)
        else:
            assert score == 0.0


def test_a_target_sample_is_most_relevant_to_its_own_target():
    sample = chat("alpha beta", "gamma delta")
    words = hash_words(["alpha beta\ngamma delta", "alpha beta", "one two"])
    scores = relevance(words, {"t": prototype([sample])})["t"]
    assert scores[0] == pytest.approx(1.0)
    assert scores[0] > scores[1] > scores[2] == 0.0


def test_too_large_a_batch_is_refused():
    with pytest.raises(ValueError, match="at most"):
        ngram_entropy(hash_words(["a"] * (MAX_TEXTS + 1)))


def test_exact_text_ignores_case_and_spacing_but_not_roles_calls_or_boundaries():
    assert normalised(chat("Hello  there", "Hi\n")) == normalised(chat("hello there", " hi"))
    assert normalised(chat("a b", "c")) != normalised(chat("a", "b c"))
    turns = [{"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}]
    first = [make_sample("s", [{"role": role, "content": "a"}, *turns]) for role in ("system", "user")]
    assert normalised(first[0]) != normalised(first[1])

    def calling(name: str, call_id: str):
        calls = [{"id": call_id, "function": {"name": name}}]
        return make_sample(
            "s",
            [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": "b", "tool_calls": calls},
            ],
        )

    assert normalised(calling("f", "1")) == normalised(calling("f", "2"))
    assert normalised(calling("f", "1")) != normalised(calling("g", "1"))
