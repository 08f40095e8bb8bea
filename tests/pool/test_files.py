"""Which files a URI names."""

import os
from pathlib import Path

import orjson
import pytest

from autosel_runtime.errors import DataError, NoInputError
from autosel_runtime.pool.files import find_inputs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b.jsonl",
        "a.json.gz",
        "deep/c.parquet",
        "README.md",
        ".hidden.jsonl",
        ".cache/x.jsonl",
        "dataset_infos.json",
        "splits/train-00000.parquet",
        "splits/test-00000.parquet",
        "splits/validation/x.jsonl",
        "splits/more.jsonl",
    ):
        path = tmp_path / "d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def labels(uri: str, base: Path) -> list[str]:
    return [file.label for file in find_inputs(uri, base).files]


def test_a_folder_is_read_sorted_and_without_hidden_or_unknown_files(folder: Path) -> None:
    for path in (folder / "d" / "splits").rglob("*.*"):
        path.unlink()
    assert labels("d", folder) == ["d/a.json.gz", "d/b.jsonl", "d/deep/c.parquet"]
    assert labels("d/", folder) == labels("d", folder)
    assert labels(f"file://{folder}/d/b.jsonl", Path("/")) == [f"{folder}/d/b.jsonl"]


def test_evaluation_splits_stay_out_when_there_is_a_train_split(folder: Path) -> None:
    inputs = find_inputs("d/splits", folder)
    assert [file.label for file in inputs.files] == ["d/splits/more.jsonl", "d/splits/train-00000.parquet"]
    assert set(inputs.left_out) == {"d/splits/test-00000.parquet", "d/splits/validation/x.jsonl"}


def test_without_a_train_split_all_are_read(folder: Path) -> None:
    (folder / "d/splits/train-00000.parquet").unlink()
    assert len(labels("d/splits", folder)) == 3


def test_globs_are_sorted(folder: Path) -> None:
    assert labels("d/**/*.jsonl", folder)[0] == "d/b.jsonl"
    assert labels("d/[ab].*", folder) == ["d/a.json.gz", "d/b.jsonl"]


def test_a_saved_dataset_keeps_the_order_of_its_state(tmp_path: Path) -> None:
    for split in ("train", "test"):
        part = tmp_path / "hf" / split
        part.mkdir(parents=True)
        for name in ("data-2.arrow", "data-1.arrow"):
            (part / name).write_bytes(b"")
        state = {"_data_files": [{"filename": "data-2.arrow"}, {"filename": "data-1.arrow"}]}
        (part / "state.json").write_bytes(orjson.dumps(state))
    (tmp_path / "hf" / "dataset_dict.json").write_bytes(orjson.dumps({"splits": ["train", "test"]}))
    inputs = find_inputs("hf", tmp_path)
    assert [file.label for file in inputs.files] == ["hf/train/data-2.arrow", "hf/train/data-1.arrow"]
    assert inputs.left_out == ("hf/test",)
    (tmp_path / "hf" / "dataset_dict.json").write_bytes(orjson.dumps({"splits": ["test"]}))
    assert labels("hf", tmp_path) == ["hf/test/data-2.arrow", "hf/test/data-1.arrow"]
    (tmp_path / "hf/test/data-1.arrow").unlink()
    with pytest.raises(NoInputError, match=r"not there: data-1\.arrow"):
        find_inputs("hf", tmp_path)


@pytest.mark.parametrize("uri", ["nothing.jsonl", "empty", "*.parquet"])
def test_nothing_to_read_is_no_input(uri: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x")
    with pytest.raises(NoInputError):
        find_inputs(uri, tmp_path)


def test_other_schemes_and_damaged_descriptions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="which this command does not read"):
        find_inputs("s3://bucket/x.jsonl", tmp_path)
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(DataError, match="_data_files"):
        find_inputs(".", tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_no_input(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("{}")
    (tmp_path / "x.jsonl").chmod(0)
    with pytest.raises(NoInputError, match="cannot be read"):
        find_inputs("x.jsonl", tmp_path)
