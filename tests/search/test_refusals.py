"""Why nothing could be proposed, in words for one recipe and for many."""

from typing import get_args

import pytest

from autosel_runtime.search.candidates import Refusal
from autosel_runtime.search.draft import REFUSED, refused


def test_every_reason_has_words() -> None:
    assert set(REFUSED) == set(get_args(Refusal))


@pytest.mark.parametrize(
    ("number", "why", "words"),
    [
        (1, "recipe was proposed before", "1 recipe was proposed before"),
        (2, "recipe was proposed before", "2 recipes were proposed before"),
        (48, "subset was proposed before", "48 subsets were proposed before"),
        (1, "keeps too few samples", "1 recipe keeps too few samples"),
        (1200, "keeps too few samples", "1,200 recipes keep too few samples"),
    ],
)
def test_words_go_with_the_number(number: int, why: str, words: str) -> None:
    assert refused(number, why) == words
