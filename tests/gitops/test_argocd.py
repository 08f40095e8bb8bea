"""Argo CD's health check and actions, run by Lua 5.1 over the cases that lie beside them."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa import lua51

from autosel_runtime.api.recipe_search import RecipeSearch

ARGOCD = Path(__file__).parents[2] / "gitops" / "argocd"
KIND = ARGOCD / "autosel.dev" / "RecipeSearch"
HEALTH = yaml.safe_load((KIND / "health_test.yaml").read_text())["tests"]
ACTIONS = yaml.safe_load((KIND / "actions" / "action_test.yaml").read_text())


@pytest.mark.parametrize("case", HEALTH, ids=lambda case: Path(case["inputPath"]).stem)
def test_health(case: dict[str, Any]) -> None:
    search = yaml.safe_load((KIND / case["inputPath"]).read_text())
    assert _run(KIND / "health.lua", search) == case["healthStatus"]


@pytest.mark.parametrize("case", ACTIONS["discoveryTests"], ids=lambda case: Path(case["inputPath"]).stem)
def test_which_actions_are_offered(case: dict[str, Any]) -> None:
    search = yaml.safe_load((KIND / "actions" / case["inputPath"]).read_text())
    offered = _run(KIND / "actions" / "discovery.lua", search)
    assert offered == {action["name"]: {"disabled": action["disabled"]} for action in case["result"]}


@pytest.mark.parametrize("case", ACTIONS["actionTests"], ids=lambda case: case["action"])
def test_actions(case: dict[str, Any]) -> None:
    folder = KIND / "actions"
    search = yaml.safe_load((folder / case["inputPath"]).read_text())
    expected = yaml.safe_load((folder / case["expectedOutputPath"]).read_text())
    assert _run(folder / case["action"] / "action.lua", search) == expected


def test_every_case_is_listed_and_is_a_search() -> None:
    listed = {KIND / case["inputPath"] for case in HEALTH}
    assert listed == set((KIND / "testdata").glob("*.yaml"))
    for path in KIND.rglob("testdata/*.yaml"):
        RecipeSearch.model_validate(yaml.safe_load(path.read_text()))
    assert {case["healthStatus"]["status"] for case in HEALTH} == {
        "Progressing",
        "Healthy",
        "Suspended",
        "Degraded",
    }


def test_the_config_map_holds_the_same_scripts() -> None:
    data = yaml.safe_load((ARGOCD / "argocd-cm.yaml").read_text())["data"]
    assert (
        data["resource.customizations.health.autosel.dev_RecipeSearch"] == (KIND / "health.lua").read_text()
    )
    actions = yaml.safe_load(data["resource.customizations.actions.autosel.dev_RecipeSearch"])
    assert actions["discovery.lua"] == (KIND / "actions" / "discovery.lua").read_text()
    assert {item["name"]: item["action.lua"] for item in actions["definitions"]} == {
        name: (KIND / "actions" / name / "action.lua").read_text() for name in ("suspend", "resume")
    }


def _run(script: Path, obj: dict[str, Any]) -> Any:
    """Run a script as Argo CD does: the object is the global ``obj``, the answer is what the script returns."""
    lua = lua51.LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)
    for name in ("os", "io", "require", "dofile", "loadfile", "loadstring", "string", "table"):
        lua.globals()[name] = None
    lua.globals()["obj"] = _to_lua(lua, obj)
    return _from_lua(lua.execute(script.read_text()))


def _to_lua(lua: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return lua.table_from({key: _to_lua(lua, item) for key, item in value.items()})
    if isinstance(value, list):
        return lua.table_from([_to_lua(lua, item) for item in value])
    return value


def _from_lua(value: Any) -> Any:
    if lua51.lua_type(value) != "table":
        return value
    items = {key: _from_lua(item) for key, item in value.items()}
    if items and set(items) == set(range(1, len(items) + 1)):
        return [items[number] for number in range(1, len(items) + 1)]
    return items
