"""The quickstart's files: what is committed is what its scripts make, and it says what it needs to."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.evaluate.task import load_task

HERE = Path(__file__).parents[2] / "examples" / "quickstart"


def _script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import one of the example's scripts as it runs: with its own folder on the path."""
    monkeypatch.syspath_prepend(str(HERE))
    # pytest removes no module that a script imports; another example may have one of the same name.
    monkeypatch.delitem(sys.modules, "world", raising=False)
    spec = importlib.util.spec_from_file_location(f"quickstart_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def _search() -> RecipeSearch:
    return RecipeSearch.model_validate(yaml.safe_load((HERE / "search.yaml").read_text("utf-8")))


def test_data_files_are_what_the_script_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = _script("make_data", monkeypatch).files()
    committed = {
        str(path.relative_to(HERE)): path.read_bytes()
        for folder in ("pool", "targets", "eval")
        for path in (HERE / folder).iterdir()
    }
    assert {name: text.encode() for name, text in made.items()} == committed
    assert sum(map(len, committed.values())) < 1_000_000


def test_no_question_is_in_two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = _script("make_data", monkeypatch).questions()
    keys = {
        name: {(family, question.key) for family, questions in part.items() for question in questions}
        for name, part in parts.items()
    }
    assert all(keys.values())
    assert not keys["evaluation"] & (keys["pool"] | keys["targets"])
    assert not keys["targets"] & keys["pool"]


def test_evaluation_texts_do_not_occur_in_the_pool() -> None:
    pool = "".join(path.read_text("utf-8") for path in (HERE / "pool").iterdir())
    for path in (HERE / "eval").iterdir():
        for line in path.read_text("utf-8").splitlines():
            assert json.dumps(json.loads(line)["question"])[1:-1] not in pool


def test_search_is_valid_and_all_its_files_exist() -> None:
    search = _search()
    spec = search.spec
    for source in (*spec.pool.sources, *spec.targets):
        assert (HERE / source.uri).is_file()
    assert (HERE / spec.model.uri / "config.json").is_file()
    assert spec.budget.evaluations >= 8
    for task in spec.evaluation.tasks:
        assert len(load_task(task, HERE).items) >= 200


def test_model_is_small_and_speaks_chat() -> None:
    model = HERE / "model"
    assert (model / "model.safetensors").stat().st_size <= 6_000_000
    assert json.loads((model / "config.json").read_text("utf-8"))["architectures"] == ["LlamaForCausalLM"]
    assert (model / "generation_config.json").is_file()
    template = json.loads((model / "tokenizer_config.json").read_text("utf-8")).get("chat_template")
    if template is None:
        template = (model / "chat_template.jinja").read_text("utf-8")
    assert "<|im_start|>" in template
