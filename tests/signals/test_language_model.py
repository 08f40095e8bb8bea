"""Signals of token probabilities against a slow float64 definition on a tiny random model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from autosel_runtime.api.signals import LanguageModelSignals  # noqa: E402
from autosel_runtime.checkpoint import model_digest  # noqa: E402
from autosel_runtime.errors import ConfigError, DataError, NoInputError, UnavailableError  # noqa: E402
from autosel_runtime.pool.sample import make_sample  # noqa: E402
from autosel_runtime.signals import language_model as lm  # noqa: E402
from autosel_runtime.signals.expected import LANGUAGE_MODEL  # noqa: E402
from autosel_runtime.signals.segments import Segment, make_chat, tokenise  # noqa: E402
from autosel_runtime.signals.vocabulary import Head, token_statistics  # noqa: E402

from .builders import TEMPLATE, chat, write_tiny_model  # noqa: E402

SAMPLES = [
    chat("What is 2 + 2?", "4"),
    chat("Hi", "Hello there, how are you?", "fine", "Good to hear."),
    chat("q", "a longer answer " * 6, system="be brief"),
    chat("x" * 50, "né 中 yes"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(folder):
    return lm.load(folder, LanguageModelSignals(max_tokens=256, batch_tokens=300))


def slow(model_folder: Path, ids: list[int], start: int) -> tuple[float, float]:
    """Mean loss and varentropy of tokens start.. given all before them, by the definition, in float64."""
    from transformers import LlamaForCausalLM

    whole = LlamaForCausalLM.from_pretrained(model_folder).double().eval()
    with torch.inference_mode():
        logits = whole(input_ids=torch.tensor([ids])).logits[0]
    losses, varentropies = [], []
    for position in range(start, len(ids)):
        p = torch.softmax(logits[position - 1], dim=-1)
        entropy = -(p * p.log()).sum()
        losses.append(float(-p[ids[position]].log()))
        varentropies.append(float((p * (p.log() + entropy) ** 2).sum()))
    return float(np.mean(losses)), float(np.mean(varentropies))


def test_columns_follow_their_definitions(folder, model):
    tokenizer = model.tokenizer
    arrays = lm.language_model_arrays(model, model.tokenise(SAMPLES))
    for row, sample in enumerate(SAMPLES):
        turns = "".join(f"<|{m.role}|>{m.content}\n" for m in sample.prompt) + "<|assistant|>"
        prompt = tokenizer(turns, add_special_tokens=False)["input_ids"]
        answer = tokenizer(sample.answer.content.strip(), add_special_tokens=False)["input_ids"]
        nll_full, _ = slow(folder, prompt + answer, 1)
        nll_cond, varentropy = slow(folder, prompt + answer, len(prompt))
        nll_answer, varentropy_answer = slow(folder, [0, *answer], 1)
        expected = {
            "nll_full": nll_full,
            "nll_cond": nll_cond,
            "nll_answer": nll_answer,
            "varentropy": varentropy,
            "varentropy_answer": varentropy_answer,
            "ifd": nll_cond / nll_answer,
            "ifd_full": nll_full / nll_answer,
            "tokens": len(prompt) + len(answer),
            "answer_tokens": len(answer),
        }
        for name, value in expected.items():
            assert arrays[name][row] == pytest.approx(value, rel=1e-4), (row, name)
    assert arrays["note.language_model_truncated"].tolist() == [0]


def test_company_order_and_padding_change_nothing(model):
    chats = [c for c in model.tokenise(SAMPLES).chats if c is not None]
    segments = [c.full for c in chats] + [c.answer for c in chats]
    together = lm.score_segments(model, segments)
    for index, segment in enumerate(segments):
        alone = lm.score_segments(model, [segment])
        assert alone.nll[0] == pytest.approx(together.nll[index], abs=1e-5)
        assert alone.answer_nll[0] == pytest.approx(together.answer_nll[index], abs=1e-5)
        assert alone.answer_varentropy[0] == pytest.approx(together.answer_varentropy[index], abs=1e-5)
    backwards = lm.score_segments(model, segments[::-1])
    np.testing.assert_allclose(backwards.nll[::-1], together.nll, atol=1e-5)
    wide = replace(model, settings=model.settings.model_copy(update={"batch_tokens": 100_000}))
    np.testing.assert_allclose(lm.score_segments(wide, segments).answer_nll, together.answer_nll, atol=1e-5)


@pytest.mark.parametrize(("token_block", "word_block"), [(1, 1), (3, 7), (64, 64), (4, 1000)])
@pytest.mark.parametrize("form", ["plain", "bias", "scaled", "capped"])
def test_block_sums_equal_the_float64_definition(token_block, word_block, form):
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(20, 8, generator=generator) * 4
    weight = torch.randn(50, 8, generator=generator) * 2
    labels = torch.randint(0, 50, (20,), generator=generator)
    bias = torch.randn(50, generator=generator) if form == "bias" else None
    head = Head(
        weight=weight,
        bias=bias,
        scale=0.25 if form == "scaled" else 1.0,
        softcap=5.0 if form == "capped" else None,
    )
    found = token_statistics(hidden, labels, head, token_block=token_block, word_block=word_block)
    logits = hidden.double() @ weight.double().T
    logits = logits + (bias.double() if bias is not None else 0.0)
    logits = logits * head.scale
    logits = 5.0 * torch.tanh(logits / 5.0) if form == "capped" else logits
    p = torch.softmax(logits, dim=-1)
    log_p = torch.log_softmax(logits, dim=-1)
    entropy = -(p * log_p).sum(dim=1)
    torch.testing.assert_close(
        found.nll.double(), -log_p.gather(1, labels[:, None])[:, 0], rtol=1e-5, atol=2e-5
    )
    varentropy = (p * (log_p + entropy[:, None]) ** 2).sum(dim=1)
    torch.testing.assert_close(found.varentropy.double(), varentropy, rtol=1e-4, atol=1e-4)


def test_a_certain_model_has_no_varentropy():
    head = Head(weight=torch.tensor([[1000.0], [-1000.0], [0.0]]))
    found = token_statistics(torch.ones(2, 1), torch.tensor([0, 1]), head, word_block=1)
    assert found.nll.tolist() == [0.0, 2000.0]
    assert found.varentropy.tolist() == [0.0, 0.0]


def ids_of(chat_):
    return chat_.full.ids.tolist(), chat_.answer.ids.tolist()


def test_truncation_keeps_the_answer():
    settings = {"prefix": [0], "prefixed": False, "bos": 0}
    short = make_chat([10, 11], [20, 21], max_tokens=8, **settings)
    assert ids_of(short) == ([10, 11, 20, 21], [0, 20, 21])
    assert (short.full.answer_from, short.answer.answer_from, short.truncated) == (2, 1, False)
    left = make_chat([10, 11, 12, 13], [20, 21], max_tokens=4, **settings)
    assert ids_of(left) == ([12, 13, 20, 21], [0, 20, 21])
    assert (left.tokens, left.answer_tokens, left.truncated) == (6, 2, True)
    with_bos = make_chat([0, 10, 11, 12, 13], [20, 21], max_tokens=5, **settings)
    assert ids_of(with_bos)[0] == [0, 12, 13, 20, 21]
    right = make_chat([10, 11], [20, 21, 22, 23, 24], max_tokens=4, **settings)
    assert ids_of(right) == ([11, 20, 21, 22], [0, 20, 21, 22])
    assert right.truncated
    bos_only = make_chat([0, 11], [20, 21, 22, 23, 24], max_tokens=4, **settings)
    assert ids_of(bos_only)[0] == [11, 20, 21, 22]
    no_prompt = make_chat([], [20, 21], max_tokens=8, **settings)
    assert ids_of(no_prompt) == ([0, 20, 21], [0, 20, 21])


def test_without_a_prefix_both_segments_leave_out_the_first_answer_token(tmp_path):
    folder = write_tiny_model(tmp_path, bos=False)
    model = lm.load(folder, LanguageModelSignals(max_tokens=256))
    arrays = lm.language_model_arrays(model, model.tokenise([chat("What?", "four"), chat("What?", "4")]))
    prompt = model.tokenizer("<|user|>What?\n<|assistant|>", add_special_tokens=False)["input_ids"]
    answer = model.tokenizer("four", add_special_tokens=False)["input_ids"]
    assert arrays["nll_cond"][0] == pytest.approx(slow(folder, prompt + answer, len(prompt) + 1)[0], rel=1e-4)
    assert arrays["nll_answer"][0] == pytest.approx(slow(folder, answer, 1)[0], rel=1e-4)
    assert np.isnan([arrays[name][1] for name in ("nll_cond", "nll_answer", "ifd", "varentropy")]).all()
    assert arrays["answer_tokens"][1] == 1


def test_without_a_template_texts_are_joined_with_newlines_behind_the_prefix(model):
    found = tokenise([SAMPLES[2]], model.tokenizer, template=None, use_template=False, max_tokens=256).chats[
        0
    ]
    text = "be brief\nq\n" + SAMPLES[2].answer.content.strip()
    assert found.full.ids.tolist() == [0, *model.tokenizer(text, add_special_tokens=False)["input_ids"]]
    assert found.tokens == len(found.full.ids) - 1


def test_an_own_template_replaces_the_tokenizers(model):
    found = tokenise(
        [SAMPLES[0]],
        model.tokenizer,
        template="{{ messages[0].content }}=",
        use_template=True,
        max_tokens=256,
    ).chats[0]
    ids = model.tokenizer("What is 2 + 2?=4", add_special_tokens=False)["input_ids"]
    assert found.full.ids.tolist() == ids


def test_what_has_no_answer_or_no_rendering_is_missing(model):
    call = make_sample(
        "s",
        [
            {"role": "user", "content": "q"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}],
            },
        ],
    )
    strict = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TEMPLATE
    samples = [call, SAMPLES[2], SAMPLES[0]]
    tokenised = tokenise(samples, model.tokenizer, template=strict, use_template=True, max_tokens=256)
    assert [chat_ is None for chat_ in tokenised.chats] == [True, True, False]
    assert tokenised.refusal == f"sample {SAMPLES[2].id}: no system"
    arrays = lm.language_model_arrays(model, tokenised)
    for name in LANGUAGE_MODEL:
        assert np.isnan(arrays[name]).tolist() == [True, True, False], name
    assert arrays["note.language_model_refused"].tolist() == [1]
    refused = tokenise([SAMPLES[2]], model.tokenizer, template=strict, use_template=True, max_tokens=256)
    with pytest.raises(ConfigError, match="refuses every chat, first sample"):
        lm.language_model_arrays(model, refused)


def test_running_out_of_memory_halves_the_batch(model, monkeypatch):
    chats = [c for c in model.tokenise(SAMPLES * 3).chats if c is not None]
    segments = [c.answer for c in chats]
    expected = lm.score_segments(model, segments)
    wide = replace(model, settings=model.settings.model_copy(update={"batch_tokens": 10_000}))
    hidden_states, sizes = lm.hidden_states, []

    def limited(loaded, ids):
        sizes.append(ids.numel())
        if ids.numel() > limit:
            raise torch.OutOfMemoryError("full")
        return hidden_states(loaded, ids)

    monkeypatch.setattr(lm, "hidden_states", limited)
    monkeypatch.setattr(torch.accelerator, "empty_cache", lambda: None)
    limit = 250
    found = lm.score_segments(wide, segments)
    np.testing.assert_allclose(found.nll, expected.nll, atol=1e-5)
    assert sizes[0] > limit
    assert sum(size > limit for size in sizes) < 5
    limit = 10
    with pytest.raises(UnavailableError, match="does not fit the accelerator's memory"):
        lm.score_segments(wide, segments)


def test_losses_that_are_not_finite_are_an_error(model):
    broken = replace(model, head=Head(weight=torch.full_like(model.head.weight, torch.nan)))
    with pytest.raises(DataError, match="not finite"):
        lm.score_segments(broken, [Segment(ids=np.array([1, 2, 3], dtype=np.int32), answer_from=1)])


def test_a_segment_of_one_token_scores_nothing(model):
    found = lm.score_segments(model, [Segment(ids=np.array([1], dtype=np.int32), answer_from=1)])
    assert np.isnan([found.nll[0], found.answer_nll[0], found.answer_varentropy[0]]).all()


def test_unfit_models_are_refused_with_a_reason(tmp_path, folder):
    with pytest.raises(NoInputError, match="does not exist"):
        lm.load(tmp_path / "none", LanguageModelSignals())
    with pytest.raises(NoInputError, match=r"no config\.json"):
        lm.load(tmp_path, LanguageModelSignals())
    with pytest.raises(ConfigError, match="more than the 512 positions"):
        lm.load(folder, LanguageModelSignals(max_tokens=1024))
    bare = write_tiny_model(tmp_path / "bare", template=None)
    with pytest.raises(
        ConfigError, match=r"no chat template; set model.chatTemplate, or chatTemplate: false"
    ):
        lm.load(bare, LanguageModelSignals(max_tokens=256))
    lm.load(bare, LanguageModelSignals(max_tokens=256), TEMPLATE)
    lm.load(bare, LanguageModelSignals(max_tokens=256, chat_template=False))


def test_the_model_digest_follows_content_not_place(tmp_path, folder):
    same = write_tiny_model(tmp_path / "same")
    other = write_tiny_model(tmp_path / "other", seed=1)
    assert model_digest(same) == model_digest(folder) != model_digest(other)
    (same / "README.md").write_text("a card")
    assert model_digest(same) == model_digest(folder)
    (same / "tokenizer_config.json").write_text("{}")
    assert model_digest(same) != model_digest(folder)
