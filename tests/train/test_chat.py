"""Rendering and answer spans: what is learnt is exactly what evaluation would have to generate."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autosel_runtime.chat import EncodedChat, cut_chat, encode_chats, render_prompt, turn_end_tokens
from autosel_runtime.errors import ConfigError, DataError
from tests.tiny_model import CHATML, build_tokenizer, chat

TOKENIZER = build_tokenizer()
END = TOKENIZER.eos_token_id
texts = st.text(st.sampled_from("ab 12\n#é:"), min_size=1, max_size=12).filter(str.strip)


@given(
    turns=st.lists(texts, min_size=2, max_size=6).filter(lambda t: len(t) % 2 == 0), system=st.none() | texts
)
@settings(max_examples=60, deadline=None)
def test_every_answer_starts_where_its_prompt_ends(turns: list[str], system: str | None) -> None:
    messages = chat(*turns, system=system)
    [encoded] = encode_chats(TOKENIZER, [("x", messages)], loss_on="all_answers")
    first = 1 if system is None else 2
    assert len(encoded.answers) == len(turns) // 2
    for number, (start, end) in enumerate(encoded.answers):
        prompt = render_prompt(TOKENIZER, messages[: first + 2 * number])
        assert TOKENIZER.decode(encoded.ids[:start]) == prompt
        assert encoded.ids[end - 1] == END
        assert TOKENIZER.decode(encoded.ids[start : end - 1]) == turns[2 * number + 1]
    assert encoded.ids[: encoded.answers[0][0]] == tuple(
        TOKENIZER(render_prompt(TOKENIZER, messages[:first]), add_special_tokens=False)["input_ids"]
    )


def test_last_answer_only() -> None:
    [encoded] = encode_chats(TOKENIZER, [("x", chat("a", "b", "c", "d"))], loss_on="last_answer")
    [(start, end)] = encoded.answers
    assert TOKENIZER.decode(encoded.ids[start:end]) == "d<|im_end|>"


def test_what_follows_the_last_answer_is_left_out() -> None:
    [encoded] = encode_chats(TOKENIZER, [("x", chat("a", "b", "c"))], loss_on="all_answers")
    assert encoded.ids[-1] == END
    assert encoded.answers[-1][1] == len(encoded.ids)


def test_a_template_without_a_turn_end_gets_the_end_of_sequence() -> None:
    plain = build_tokenizer(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    [encoded] = encode_chats(plain, [("x", chat("a", "b"))], loss_on="all_answers")
    assert encoded.ids[-1] == END
    assert turn_end_tokens(plain) == (END,)


def test_a_template_that_rewrites_history_is_refused() -> None:
    rewriting = build_tokenizer(
        "{% for m in messages %}{{ m.role }}{% if loop.last %}!{% endif %}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    with pytest.raises(ConfigError, match="not prefix-preserving"):
        encode_chats(rewriting, [("x", chat("a", "b"))], loss_on="all_answers")


def test_history_may_change_when_only_the_last_answer_counts() -> None:
    forgetful = build_tokenizer(
        "{% set n = messages | selectattr('role', 'equalto', 'user') | list | length %}{{ n }};" + CHATML
    )
    messages = chat("a", "b", "c", "d")
    with pytest.raises(ConfigError, match="lossOn: last_answer"):
        encode_chats(forgetful, [("x", messages)], loss_on="all_answers")
    assert len(encode_chats(forgetful, [("x", messages)], loss_on="last_answer")[0].answers) == 1


def test_a_chat_without_an_answer_is_named() -> None:
    with pytest.raises(DataError, match="sample s7"):
        encode_chats(TOKENIZER, [("s7", chat("only a question"))], loss_on="all_answers")


def test_no_template() -> None:
    bare = build_tokenizer()
    bare.chat_template = None
    with pytest.raises(ConfigError, match="chatTemplate"):
        render_prompt(bare, chat("a"))


@given(
    lengths=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=4),
    limit=st.integers(4, 80),
)
def test_cutting_keeps_the_last_answer_from_its_beginning(lengths: list[tuple[int, int]], limit: int) -> None:
    answers, n = [], 0
    for prompt, answer in lengths:
        answers.append((n + prompt, n + prompt + answer))
        n += prompt + answer
    whole = EncodedChat(ids=tuple(range(n)), answers=tuple(answers))
    short = cut_chat(whole, limit)
    assert len(short.ids) == min(n, limit)
    assert list(short.ids) == list(range(short.ids[0], short.ids[0] + len(short.ids)))  # one piece
    start, end = short.answers[-1]
    assert short.ids[start] == answers[-1][0]
    assert start >= 1
    assert end == len(short.ids)
    for start, end in short.answers:  # whole beginnings only, each with a token before it
        assert any(short.ids[start] == a for a, _ in answers)
        assert start >= 1
        assert end > start


def test_cutting_keeps_a_leading_bos() -> None:
    whole = EncodedChat(ids=(99, *range(20)), answers=((15, 21),))
    short = cut_chat(whole, 10, bos=99)
    assert short.ids == (99, *range(11, 20))
    assert [short.ids[i] for i in range(*short.answers[0])] == list(range(14, 20))
