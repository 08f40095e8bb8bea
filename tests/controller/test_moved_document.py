"""A document that was moved: its run goes on where the store is, and is refused where the store would be split."""

from pathlib import Path

import pytest

from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.errors import ConfigError
from controller.local.folder import read_identity
from controller.local.run import identity_of
from tests.controller.world import search


def known(out: Path, document: RecipeSearch, base: Path) -> str:
    """Open a run folder for a document in ``base``; return the folder that reports will start relative paths at."""
    base.mkdir(exist_ok=True)
    assert identity_of(out, document, base)["base"] == read_identity(out)[0]["base"]
    return str(read_identity(out)[0]["base"])


def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A run folder, and two folders for documents that are not there yet."""
    out = tmp_path / "run"
    out.mkdir()
    return out, tmp_path / "old", tmp_path / "new"


@pytest.mark.parametrize("uri", [None, "s3://bucket/p", "/data/store"])
def test_a_store_that_does_not_depend_on_the_documents_folder_lets_it_move(
    tmp_path: Path, uri: str | None
) -> None:
    document = search(storage={} if uri is None else {"uri": uri})
    out, old, new = folders(tmp_path)
    assert known(out, document, old) == str(old)
    assert known(out, document, new) == str(new)


def test_a_relative_store_that_stays_behind_is_a_refusal(tmp_path: Path) -> None:
    document = search(storage={"uri": "store"})
    out, old, new = folders(tmp_path)
    known(out, document, old)
    (old / "store").mkdir()
    with pytest.raises(
        ConfigError, match=f"store in {old}/store; .* 'store' means {new}/store: move the store along"
    ):
        known(out, document, new)
    (new / "store").mkdir()
    with pytest.raises(ConfigError, match="move the store along"):  # two stores
        known(out, document, new)
    assert read_identity(out)[0]["base"] == str(old)
    (old / "store").rmdir()
    assert known(out, document, new) == str(new)


def test_a_relative_store_behind_a_link_is_the_same(tmp_path: Path) -> None:
    document = search(storage={"uri": "store"})
    out, old, new = folders(tmp_path)
    known(out, document, old)
    (old / "store").mkdir()
    new.mkdir()
    (new / "store").symlink_to(old / "store")
    assert known(out, document, new) == str(new)
