"""Extensions: loading, name clashes, and the example in examples/extension."""

import json
import sys
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from autosel_runtime.api.search import Recipe
from autosel_runtime.errors import ConfigError, ExtensionError, UnavailableError
from autosel_runtime.pool.sample import make_sample
from autosel_runtime.recipe import extension
from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.catalog import CATALOG, validate_recipe
from autosel_runtime.recipe.execute import execute
from autosel_runtime.recipe.extension import extend_catalog, load_extensions
from tests.recipe.pools import make_pool

EXAMPLE = Path(__file__).parents[2] / "examples" / "extension"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module and return its name."""
    monkeypatch.syspath_prepend(tmp_path)
    names = []

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        names.append(name)
        return name

    yield write
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLE)
    yield load_extensions(["answer_length"])
    sys.modules.pop("answer_length", None)


def test_the_example_runs(example, tmp_path, monkeypatch):
    log = tmp_path / "log.jsonl"
    monkeypatch.setenv("ANSWER_LENGTH_LOG", str(log))
    catalog = extend_catalog(CATALOG, example)
    pool = make_pool(4, 60)
    recipe = Recipe.model_validate(
        {
            "steps": [
                {"operator": "answer_length", "params": {"min_words": 1, "max_words": 2}},
                {"operator": "quality_filter", "params": {"fraction": 0.5, "missing": "keep"}},
            ]
        }
    )
    assert validate_recipe(recipe, catalog, pool.columns) == []
    assert "unknown operator 'answer_length'" in validate_recipe(recipe)[0]
    done = execute(recipe, pool.columns, seed=1, catalog=catalog, hooks=example.hooks)
    words = pool.columns.scalars["answer_words"].values
    assert all(1 <= words[row] <= 2 for row in masks.rows_of(done.mask, 60))
    reasons = {"answer too short": int(np.sum(words < 1)), "answer too long": int(np.sum(words > 2))}
    assert done.trace[0].reasons == reasons
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[0] == {
        "step": 1,
        "operator": "answer_length",
        "kept": done.trace[0].kept,
        "reasons": reasons,
    }
    assert lines[1]["operator"] == "quality_filter"
    assert lines[2] == {"size": done.size, "retain_ratio": done.size / 60}


def test_the_example_has_a_signal(example):
    ((name, function),) = example.signals
    sample = make_sample("s", [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a\nb\nc"}])
    assert (name, function(sample)) == ("answer_length.lines", 3.0)


def test_the_example_refuses_bounds_out_of_order(example):
    recipe = Recipe.model_validate(
        {"steps": [{"operator": "answer_length", "params": {"min_words": 9, "max_words": 2}}]}
    )
    problems = validate_recipe(recipe, extend_catalog(CATALOG, example))
    assert problems == ["steps[0].params: min_words must not exceed max_words"]


def test_nothing_named_is_nothing_loaded():
    found = load_extensions([])
    assert (found.operators, found.signals, found.hooks) == ((), (), ())
    assert dict(extend_catalog(CATALOG, found)) == dict(CATALOG)


def test_an_entry_point_is_found_by_its_name(module, monkeypatch):
    module("behind_entry", "def signals():\n    return [('ours.one', lambda sample: 1.0)]\n")
    point = EntryPoint(name="ours", value="behind_entry", group="autosel.extensions")
    monkeypatch.setattr(extension, "entry_points", lambda group, name: [point] if name == "ours" else [])
    assert [name for name, _ in load_extensions(["ours"]).signals] == ["ours.one"]


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("x = 1", ConfigError, "defines none of operators"),
        ("1 / 0", ConfigError, "failed while it was imported: ZeroDivisionError"),
        ("import no_such_module_at_all", UnavailableError, "cannot be imported: No module named"),
        ("operators = 3", ConfigError, "operators must be a function"),
        ("def hooks():\n    return [print]", ConfigError, "must give Hook objects"),
        ("def hooks():\n    raise OSError('gone')", ConfigError, r"hooks\(\) failed: OSError: gone"),
        ("def signals():\n    return [('plain', len)]", ConfigError, "extension signal 'plain': a name is"),
        ("def signals():\n    return [('mona.x', len)]", ConfigError, "does not begin with mona"),
        (
            "def signals():\n    return [('a.x', len), ('a.x', len)]",
            ConfigError,
            "two extension signals are called 'a.x'",
        ),
        (
            "from autosel_runtime.recipe.hooks import Hook\ndef hooks():\n    return [Hook(name='h'), Hook(name='h')]",
            ConfigError,
            "two extension hooks are called 'h'",
        ),
        (
            "from autosel_runtime.recipe.catalog import CATALOG\ndef operators():\n    return [CATALOG['union']]",
            ConfigError,
            "two operators are called 'union'",
        ),
    ],
)
def test_what_is_wrong_with_an_extension_is_said(module, text, error, said):
    with pytest.raises(error, match=said):
        load_extensions([module("wrong_extension", text)])


WHOLE = {
    "name": "'odd'",
    "family": "'filter'",
    "params": "Params",
    "apply": "len",
    "summary": "'x'",
}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "''", "name must be 1 to 63 lower-case letters, digits, .* found ''"),
        ("name", "'Odd One'", "name must be 1 to 63 .* found 'Odd One'"),
        ("name", "7", "name must be 1 to 63 .* found 7"),
        ("params", "int", r"params must be a class derived from .*\.Params, found <class 'int'>"),
        ("params", "Params()", "params must be a class derived from"),
        ("family", "'zzz'", "family must be one of filter, mix, dedup, union, found 'zzz'"),
        ("family", "[]", r"family must be one of filter, mix, dedup, union, found \[\]"),
        ("apply", "None", "apply must be a function, found None"),
        ("needs", "('ifd',)", r"needs must be a function, found \('ifd',\)"),
        ("check", "1", "check must be a function, found 1"),
        ("summary", "None", "summary must be text, found None"),
        ("adds", "1", "adds must be True or False, found 1"),
        ("scalars", "('nothing',)", r"scalars must be a tuple of names of parameters, found \('nothing',\)"),
        ("tunables", "['fraction']", r"tunables must be a tuple of Tunable objects, found \['fraction'\]"),
    ],
)
def test_an_operator_with_a_wrong_field_is_refused_when_it_is_loaded(module, field, value, said):
    given = ", ".join(f"{name}={text}" for name, text in (WHOLE | {field: value}).items())
    text = "from autosel_runtime.recipe.operator import Operator, Params\n"
    text += f"def operators():\n    return [Operator({given})]\n"
    with pytest.raises(
        ConfigError, match=rf"extension 'wrong_fields': operators\(\) gives Operator .*, whose {said}"
    ):
        load_extensions([module("wrong_fields", text)])


def test_all_wrong_fields_are_told_at_once_and_a_whole_operator_passes(module):
    head = "from autosel_runtime.recipe.operator import Operator, Params\ndef operators():\n    return "
    wrong = module(
        "all_wrong", f'{head}[Operator(name="", params=int, apply=None, family="zzz", summary="x")]'
    )
    with pytest.raises(
        ConfigError, match=r"name must be .*; params must be .*; family must be .*; apply must be"
    ):
        load_extensions([wrong])
    given = ", ".join(f"{name}={text}" for name, text in WHOLE.items())
    assert [
        one.name for one in load_extensions([module("all_right", f"{head}[Operator({given})]")]).operators
    ] == ["odd"]


def test_a_hook_with_a_wrong_field_is_refused_when_it_is_loaded(module):
    text = "from autosel_runtime.recipe.hooks import Hook\ndef hooks():\n    return [Hook(name='h', after_step=3)]"
    with pytest.raises(
        ConfigError, match="gives Hook 'h', whose after_step must be a function or None, found 3"
    ):
        load_extensions([module("wrong_hook", text)])


def test_a_module_that_is_not_there():
    with pytest.raises(UnavailableError, match=r"extension 'no\.such\.extension' cannot be imported"):
        load_extensions(["no.such.extension"])


FAULTY = """\
    import numpy as np
    from pydantic import Field, field_validator
    from autosel_runtime.recipe.operator import Operator, Outcome, Params

    class P(Params):
        how: str = Field("fine", description="x")

        @field_validator("how")
        @classmethod
        def check(cls, how):
            return how if how != "validator" else {}["how"]

    def apply(mask, columns, params, seed):
        if params.how == "elsewhere":
            np.concatenate([1, 2])
        if params.how == "here":
            raise KeyError("two\\nlines")
        return Outcome(mask=mask)

    def needs(params, available):
        return () if params.how != "needs" else 1 / 0

    def few(mask):
        return Outcome(mask=mask)

    def operators():
        return [
            Operator(name="odd", family="filter", params=P, apply=apply, needs=needs, summary="x"),
            Operator(name="few", family="filter", params=P, apply=few, summary="x"),
        ]
"""


@pytest.mark.parametrize(
    ("operator", "how", "said", "line", "trace"),
    [
        ("odd", "elsewhere", "ValueError: zero-dimensional arrays cannot be concatenated", 15, "np.concatenate("),
        ("odd", "here", "KeyError: 'two\\nlines'", 17, "raise KeyError"),
        ("odd", "needs", "ZeroDivisionError: division by zero", 21, "else 1 / 0"),
        ("odd", "validator", "KeyError: 'how'", 11, '{}["how"]'),
        ("few", "fine", "TypeError: few() takes 1 positional argument but 4 were given", 23, "TypeError"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_operator_and_line_and_the_trace_of_that_code(
    module, tmp_path, operator, how, said, line, trace
):
    found = load_extensions([module("faulty_extension", FAULTY)])
    recipe = Recipe.model_validate({"steps": [{"operator": operator, "params": {"how": how}}]})
    with pytest.raises(ExtensionError) as caught:
        execute(recipe, make_pool(4, 60).columns, seed=1, catalog=extend_catalog(CATALOG, found))
    message = str(caught.value)
    assert f"operator {operator!r} of extension faulty_extension failed: " in message
    assert f": {said} ({tmp_path}/faulty_extension.py:{line}" in message
    assert "\n" not in message
    assert trace in caught.value.trace
    assert "autosel_runtime" not in caught.value.trace


def test_a_module_that_fails_while_it_is_imported_says_where(module, tmp_path):
    for text, place in (("x = 1\ndef f(:\n", 2), ("import json\njson.loads('{')\n", 2)):
        with pytest.raises(ExtensionError, match=rf"\({tmp_path}/broken_extension.py:{place}\)") as caught:
            load_extensions([module("broken_extension", text)])
        assert f'broken_extension.py", line {place}' in caught.value.trace
        assert "autosel_runtime" not in caught.value.trace
