"""Templates: what they insert and what they refuse."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.errors import DataError
from autosel_runtime.pool.sample import RecordError
from autosel_runtime.pool.template import parse_template

RECORD: dict[str, Any] = {
    "q": "Why?",
    "n": 3,
    "f": 2.0,
    "half": 0.5,
    "yes": True,
    "none": None,
    "list": ["x", 1],
    "a b": "spaced",
    "inner": {"deep": [{"t": "found"}]},
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{q}", "Why?"),
        ("Q: {q}\n{n}", "Q: Why?\n3"),
        ("{f} {half} {yes}", "2 0.5 true"),
        ("{none}", ""),
        ("{list}", "x\n1"),
        ("{list[1]}", "1"),
        ("{inner.deep[0].t}", "found"),
        ("{a b}", "spaced"),
        ("{{q}} }}", "{q} }"),
        ("plain", "plain"),
        ("{{{q}}}", "{Why?}"),
    ],
)
def test_values_are_inserted(template: str, text: str) -> None:
    assert parse_template(template).render(RECORD) == text


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{missing}", r"field missing is missing: there are: a b, f, half"),
        ("{inner.x}", r"field inner\.x is missing: there are: deep"),
        ("{list[2]}", r"field list\[2\] is missing"),
        ("{q[0]}", r"field q\[0\] is missing: found str"),
        ("{inner}", "field inner is not text"),
        ("{q.__class__}", r"field q\.__class__ is missing"),
        ("{list.append}", "is missing"),
    ],
)
def test_a_record_without_the_value_says_so(template: str, reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        parse_template(template).render(RECORD)


@pytest.mark.parametrize(
    "template", ["{", "}", "a {q", "{}", "{q[}", "{q[-1]}", "{.q}", "{q.}", "{q[x]}", "{a{b}}"]
)
def test_bad_templates_name_the_character(template: str) -> None:
    with pytest.raises(DataError, match="at character"):
        parse_template(template)


@given(st.text())
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        template = parse_template(text)
    except DataError:
        return
    assert template.text == text


@given(st.text())
def test_doubled_braces_are_plain_text(text: str) -> None:
    doubled = text.replace("{", "{{").replace("}", "}}")
    assert parse_template(doubled).render({}) == text


def test_fields_are_the_top_level_names() -> None:
    assert parse_template("{a.b} {c[0]} {{d}}").fields == {"a", "c"}
