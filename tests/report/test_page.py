"""The page: it loads nothing, it escapes everything, and it holds for small, large and hostile searches."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autosel_runtime.report.model import Report
from autosel_runtime.report.page import report_page
from tests.report.sample import sample_report

KINDS = ["full", "close", "running", "one", "none", "many", "hostile"]
PAGES = {kind: report_page(sample_report(kind, rows=600)) for kind in KINDS}
VOID = {"meta", "link", "input", "br", "img", "hr"}
LOADING = {"src", "srcset", "href", "action", "formaction", "poster", "data", "xlink:href", "background"}


class Reader(HTMLParser):
    """Collects tags and texts and checks that elements close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


@pytest.mark.parametrize("kind", KINDS)
def test_page_is_well_formed_and_loads_nothing(kind: str):
    page = PAGES[kind]
    reader = read(page)
    assert not re.search(r"https?://|@import|url\(", page)
    for tag, attributes in reader.tags:
        assert tag not in {"iframe", "object", "embed", "base", "form", "img", "video", "audio"}
        assert "style" not in attributes, "the policy refuses style attributes"
        assert not [name for name in attributes if name.startswith("on")]
        for name in LOADING & attributes.keys():
            value = attributes[name] or ""
            assert value.startswith("#") or value == "data:,"
    assert len(reader.ids) == len(set(reader.ids))


def test_the_time_from_start_to_end_and_the_sum_over_steps_have_two_names():
    whole = sample_report("full")
    cost = tuple(use.model_copy(update={"accelerator_seconds": None}) for use in whole.cost)
    budget = whole.budget.model_copy(update={"seconds": 12.0})
    page = report_page(whole.model_copy(update={"cost": cost, "budget": budget}))
    names = ["".join(found).split(",")[0] for found in re.findall(r"<dt>([^<]+)</dt>|<h3>([^<]+)</h3>", page)]
    assert names.count("From start to end") == 1
    assert names.count("Wall time of all steps") == 1
    assert "Wall time" not in names


@pytest.mark.parametrize("kind", KINDS)
def test_policy_allows_exactly_the_pages_own_style_and_script(kind: str):
    reader = read(PAGES[kind])
    policy = next(a["content"] for t, a in reader.tags if t == "meta" and a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        content = "".join(reader.texts[tag])
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert sum(tag == "script" for tag, _ in reader.tags) == 1
    assert sum(tag == "style" for tag, _ in reader.tags) == 1


def test_hostile_texts_are_shown_not_run():
    reader = read(PAGES["hostile"])
    text = "".join(
        part for tag, parts in reader.texts.items() if tag not in {"script", "style"} for part in parts
    )
    assert "<script>alert(1)</script>" in text
    assert "<img src=x onerror=alert(1)>" in text
    assert "alert" not in "".join(reader.texts["script"])


@settings(max_examples=25, deadline=None)
@given(name=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=60))
def test_any_text_survives_in_any_place(name: str):
    report = sample_report("none", rows=50)
    search = report.search.model_copy(update={"message": name, "model": name})
    trial = report.trials[0].model_copy(update={"words": name, "message": name, "name": name})
    changed = report.model_copy(
        update={
            "headline": name,
            "search": search,
            "trials": (trial,),
            "warnings": (name,),
            "versions": {name: name},
        }
    )
    reader = read(report_page(changed))
    assert [tag for tag, _ in reader.tags].count("script") == 1
    for tag in ("h1", "p", "li", "dt", "code"):
        assert name in "".join(reader.texts[tag])


@pytest.mark.parametrize("kind", KINDS)
def test_every_chart_is_described_and_every_trial_listed(kind: str):
    reader = read(PAGES[kind])
    for tag, attributes in reader.tags:
        if tag == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
    report = sample_report(kind, rows=600)
    rows = PAGES[kind].split('id="trial-table"')[1].split("</table>")[0].count("<tr")
    assert rows == len(report.trials) + 1


def test_empty_report_has_a_page():
    report = sample_report("none", rows=50)
    empty = report.model_copy(update={"trials": (), "cost": (), "warnings": ()})
    assert "No trial yet." in report_page(Report.model_validate(empty.model_dump(by_alias=True)))
    read(report_page(empty))


def test_same_report_same_page():
    assert report_page(sample_report("full", rows=600)) == PAGES["full"]
