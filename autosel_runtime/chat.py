"""Chats as tokens: one rendering for training, signals and evaluation.

An answer's tokens are exactly those that follow the prompt that evaluation would feed to the model: the prompt
is ``template(messages before the answer, add_generation_prompt)``, the answer is what the template writes
after it, up to and including the token that ends the turn. A template that rewrites earlier turns when later
ones arrive (one that drops old reasoning, say) has no such prefix and is refused.

Notation
    a, b   first token of an answer and one past its last (the turn end included)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from autosel_runtime.errors import ConfigError, DataError

Message = Mapping[str, Any]
LossOn = Literal["last_answer", "all_answers"]


@dataclass(frozen=True, kw_only=True)
class EncodedChat:
    """Token ids of one chat and the half-open token ranges of its learnt answers, in order."""

    ids: tuple[int, ...]
    answers: tuple[tuple[int, int], ...]


def render_prompt(tokenizer: Any, messages: Sequence[Message]) -> str:
    """Return the text of a prompt that ends where the assistant's answer begins."""
    return _render(tokenizer, messages, add_generation_prompt=True)


def turn_end_tokens(tokenizer: Any) -> tuple[int, ...]:
    """Return the ids that end an assistant's turn: the template's own and the tokenizer's end of sequence."""
    probe = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]
    prompt = render_prompt(tokenizer, probe[:1])
    text = _render(tokenizer, probe, add_generation_prompt=False)
    found: list[int] = []
    if text.startswith(prompt):
        tail = _encode(tokenizer, [text[len(prompt) :]])[0]
        end = _turn_end(tokenizer, _special_ids(tokenizer), tail)
        if end is not None:
            found.append(tail[end])
    if tokenizer.eos_token_id is not None and tokenizer.eos_token_id not in found:
        found.append(int(tokenizer.eos_token_id))
    if not found:
        raise ConfigError(
            "the chat template writes no special token after an answer and the tokenizer has no eos_token, "
            "so a model could not learn to stop; set one of them"
        )
    return tuple(found)


def encode_chats(
    tokenizer: Any, chats: Sequence[tuple[str, Sequence[Message]]], *, loss_on: LossOn
) -> list[EncodedChat]:
    """Tokenise (sample id, messages) pairs and find the answers in them.

    What follows the last answer is left out. An assistant message without a prompt before it (the first of a
    chat) is context, not an answer. Where the template writes no turn end, the tokenizer's end of sequence
    is added after the last answer.

    Raises DataError for a chat without an answer, ConfigError for a template without a prefix.
    """
    special = _special_ids(tokenizer)
    marks = _special_texts(tokenizer)
    texts = _Texts()
    plan = [
        _plan(texts, marks, _answer_texts(tokenizer, name, messages, loss_on)) for name, messages in chats
    ]
    tokens = _encode(tokenizer, list(texts.places))
    return [_join(tokenizer, special, tokens, turns) for turns in plan]


def cut_chat(chat: EncodedChat, max_tokens: int, *, bos: int | None = None) -> EncodedChat:
    """Return ``chat`` in at most ``max_tokens`` tokens.

    The oldest tokens go first; an earlier answer that lost its beginning is no longer learnt. An answer that is
    itself too long keeps its beginning, behind the last quarter's worth of prompt. A leading ``bos`` stays.
    """
    n = len(chat.ids)
    if n <= max_tokens:
        return chat
    a, b = chat.answers[-1]
    head = chat.ids[:1] if bos is not None and chat.ids[0] == bos else ()
    room = max_tokens - len(head)
    least_prompt = min(a, max(1, room // 4))
    first = n - room if b - a <= room - least_prompt else a - least_prompt
    ids = head + chat.ids[first : first + room]
    shift = len(head) - first
    # The position before an answer predicts its first token, so it has to be there too.
    answers = tuple(
        (start + shift, min(end + shift, len(ids)))
        for start, end in chat.answers
        if start > first and start + shift < len(ids)
    )
    return EncodedChat(ids=ids, answers=answers)


def _answer_texts(
    tokenizer: Any, name: str, messages: Sequence[Message], loss_on: LossOn
) -> list[tuple[str, str]]:
    """Return (prompt, prompt and answer) texts of the learnt answers; each is a prefix of the next."""
    turns = [i for i, message in enumerate(messages) if message["role"] == "assistant" and i > 0]
    if not turns:
        raise DataError(
            f"sample {name} has no assistant message after a prompt, so there is nothing to learn"
        )
    if loss_on == "last_answer":
        turns = turns[-1:]
    pieces: list[tuple[str, str]] = []
    before = ""
    for turn in turns:
        prompt = _render(tokenizer, messages[:turn], add_generation_prompt=True)
        upto = _render(tokenizer, messages[: turn + 1], add_generation_prompt=False)
        if not upto.startswith(prompt) or not prompt.startswith(before):
            raise ConfigError(
                f"the chat template is not prefix-preserving (sample {name}, message {turn + 1}): the text before "
                "an answer changes when the answer is added, so its tokens cannot be found; "
                + ("use lossOn: last_answer or " if loss_on == "all_answers" else "")
                + "set another model.chatTemplate"
            )
        pieces.append((prompt, upto))
        before = upto
    return pieces


@dataclass(frozen=True, kw_only=True)
class _Turn:
    """Places of the texts of one answer: what is new since the answer before, the end of the prompt, that end
    with the answer; and the answer's own text."""

    new: int
    tail: int
    whole: int
    answer: str


class _Texts:
    """Texts to encode, each once, by place."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def place(self, text: str) -> int:
        return self.places.setdefault(text, len(self.places))


def _plan(texts: _Texts, marks: Sequence[str], pieces: Sequence[tuple[str, str]]) -> list[_Turn]:
    """Say which texts to encode. A special token always stands alone, so nothing before the prompt's last one can
    change how the answer is cut into tokens: the answer is encoded behind that end of the prompt, not behind all."""
    turns: list[_Turn] = []
    read = 0
    for prompt, upto in pieces:
        tail = prompt[max(max((prompt.rfind(mark) for mark in marks), default=0), 0) :]
        answer = upto[len(prompt) :]
        turns.append(
            _Turn(
                new=texts.place(prompt[read:]),
                tail=texts.place(tail),
                whole=texts.place(tail + answer),
                answer=answer,
            )
        )
        read = len(upto)
    return turns


def _join(
    tokenizer: Any, special: frozenset[int], tokens: list[list[int]], turns: Sequence[_Turn]
) -> EncodedChat:
    ids: list[int] = []
    answers: list[tuple[int, int]] = []
    for position, turn in enumerate(turns):
        # Encoded apart from what came before, so that the earlier answer keeps the tokens that were learnt.
        ids.extend(tokens[turn.new])
        tail, whole = tokens[turn.tail], tokens[turn.whole]
        # Where a token reaches over the border, generation could never produce it: then the answer stands alone.
        clean = whole[: len(tail)] == tail
        answer = whole[len(tail) :] if clean else _encode(tokenizer, [turn.answer])[0]
        end = _turn_end(tokenizer, special, answer)
        last = position == len(turns) - 1
        start = len(ids)
        if end is not None:
            answers.append((start, start + end + 1))
            ids.extend(answer[: end + 1] if last else answer)
        else:
            ids.extend(answer)
            if last and tokenizer.eos_token_id is not None:
                ids.append(int(tokenizer.eos_token_id))
            answers.append((start, len(ids)))
    return EncodedChat(ids=tuple(ids), answers=tuple(answers))


def _turn_end(tokenizer: Any, special: frozenset[int], answer: Sequence[int]) -> int | None:
    """Return the position of the special token that ends the answer, if only white space follows it."""
    for position in range(len(answer) - 1, -1, -1):
        if answer[position] in special:
            return position
        if tokenizer.decode([answer[position]]).strip():
            return None
    return None


def _special_texts(tokenizer: Any) -> tuple[str, ...]:
    return tuple(
        sorted(t.content for t in tokenizer.added_tokens_decoder.values() if t.special and t.content)
    )


def _special_ids(tokenizer: Any) -> frozenset[int]:
    added = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return frozenset(added | set(tokenizer.all_special_ids))


def _encode(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    if not texts:
        return []
    return [list(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def _render(tokenizer: Any, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
    from jinja2 import TemplateError

    if not tokenizer.chat_template:
        raise ConfigError("the model's tokenizer has no chat template; set model.chatTemplate")
    try:
        return tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=add_generation_prompt
        )
    except TemplateError as error:
        raise ConfigError(f"the chat template cannot render a chat: {error}") from error
