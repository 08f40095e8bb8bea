"""Which files a source's URI names, in a fixed order, and what kind each is.

A URI is a file, a folder, a glob or a Hugging Face dataset folder, here or in object storage. A folder is read
recursively, in the order of its sorted paths; where its files are named by split and one is ``train``, the evaluation
splits stay out.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from glob import glob, has_magic  # Path.glob takes no absolute pattern
from pathlib import Path
from typing import Any, Literal, cast

import orjson

from autosel_runtime.api.uris import S3_SCHEME, is_s3, uri_problem
from autosel_runtime.errors import DataError, NoInputError

# Brings what an s3:// uri names to this machine; returns the folder below which it lies as bucket/key.
Bring = Callable[[str], Path]
Kind = Literal["lines", "array", "parquet", "arrow"]
Compression = Literal["gzip", "zstd"]

_LINES = frozenset({".jsonl", ".ndjson"})
_COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_TABLES: dict[str, Kind] = {".parquet": "parquet", ".arrow": "arrow"}
_DESCRIPTIONS = frozenset({"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"})
_SPLIT = re.compile(r"(?:^|[/_.-])(train|test|validation|valid|val|dev|eval)(?=$|[/_.-])")
READABLE = ".jsonl, .ndjson, .json (each plain, .gz or .zst), .parquet, .arrow"


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """One file of a source. ``label`` names it in rejects and rows, without the folders of this machine."""

    path: Path
    label: str
    is_table: Kind | None
    lines_only: bool
    compression: Compression | None


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The files of a source, in reading order; ``left_out`` are labels of evaluation splits not read."""

    files: tuple[InputFile, ...]
    left_out: tuple[str, ...] = ()


def find_inputs(uri: str, base: Path, *, bring: Bring | None = None) -> Inputs:
    """Return the files that ``uri`` names; relative paths start at ``base``, ``s3://`` ones are brought first.

    NoInputError when there is none; DataError for another scheme, and for ``s3://`` without ``bring``.
    """
    problem = uri_problem(uri)
    if problem is not None:
        raise DataError(problem)
    if not is_s3(uri):
        return _find(uri, uri.removeprefix("file://"), base)
    if bring is None:
        raise DataError(
            f"{uri} lies in object storage, which this command does not read; copy it to this machine"
        )
    found = _find(uri, uri.removeprefix(S3_SCHEME), bring(uri))
    return Inputs(
        files=tuple(replace(file, label=f"{S3_SCHEME}{file.label}") for file in found.files),
        left_out=tuple(f"{S3_SCHEME}{label}" for label in found.left_out),
    )


def _find(uri: str, text: str, base: Path) -> Inputs:
    path = base / text
    if path.is_dir():
        return _in_folder(path, text)
    if path.exists():
        return Inputs(files=(_input_file(path, text),))
    if has_magic(text):
        matches = glob(str(path), recursive=True)  # noqa: PTH207
        found = sorted(p for p in map(Path, matches) if p.is_file())
        if not found:
            raise NoInputError(f"pool source {uri!r} matches no file in {base}")
        return Inputs(files=tuple(_input_file(p, _label(p, base)) for p in found))
    raise NoInputError(f"pool source {uri!r} does not exist: there is no {path}")


def _in_folder(folder: Path, label: str) -> Inputs:
    splits = folder / "dataset_dict.json"
    prefix = label.rstrip("/")
    if splits.is_file():
        names = _names_in(splits, "splits")
        chosen = ["train"] if "train" in names else names
        parts = [_in_folder(folder / name, f"{prefix}/{name}") for name in chosen if (folder / name).is_dir()]
        files = tuple(file for part in parts for file in part.files)
        if not files:
            raise NoInputError(f"{splits} names the splits {names}, and none of them has files")
        return Inputs(files=files, left_out=tuple(f"{prefix}/{name}" for name in names if name not in chosen))
    state = folder / "state.json"
    if state.is_file():
        # A saved Hugging Face dataset lists its shards in row order, which is not always the sorted one.
        paths = [folder / name for name in _names_in(state, "_data_files", "filename")]
        missing = [p.name for p in paths if not p.is_file()]
        if missing:
            raise NoInputError(f"{state} names files that are not there: {', '.join(missing[:5])}")
    else:
        paths = sorted(p for p in folder.rglob("*") if _is_readable(p, folder))
    named = {p: f"{prefix}/{_label(p, folder)}" for p in paths}
    split = {p: _split_of(_label(p, folder)) for p in paths}
    train = "train" in split.values()
    kept = [p for p in paths if not (train and split[p] not in ("train", ""))]
    if not kept:
        raise NoInputError(f"folder {folder} has no file that can be read; readable: {READABLE}")
    return Inputs(
        files=tuple(_input_file(p, named[p]) for p in kept),
        left_out=tuple(named[p] for p in paths if p not in set(kept)),
    )


def _split_of(label: str) -> str:
    found = _SPLIT.findall(label.lower())
    return found[-1] if found else ""


def _label(path: Path, base: Path) -> str:
    return (path.relative_to(base) if path.is_relative_to(base) else path).as_posix()


def _is_readable(path: Path, folder: Path) -> bool:
    inside = path.relative_to(folder)
    if any(part.startswith(".") for part in inside.parts) or path.name in _DESCRIPTIONS or not path.is_file():
        return False
    suffix, _ = _suffixes(path)
    return suffix in _LINES or suffix in _TABLES or suffix == ".json"


def _suffixes(path: Path) -> tuple[str, Compression | None]:
    suffix = path.suffix.lower()
    compression = _COMPRESSIONS.get(suffix)
    return (Path(path.stem).suffix.lower() if compression else suffix), compression


def _input_file(path: Path, label: str) -> InputFile:
    suffix, compression = _suffixes(path)
    return InputFile(
        path=path,
        label=label,
        is_table=None if compression else _TABLES.get(suffix) or _kind_by_content(path),
        lines_only=suffix in _LINES,
        compression=compression,
    )


def _kind_by_content(path: Path) -> Kind | None:
    """Recognise a table whatever its name; text stays text."""
    try:
        with path.open("rb") as stream:
            start = stream.read(6)
    except OSError as error:
        raise NoInputError(f"{path} cannot be read: {error.strerror or error}") from None
    if start[:4] == b"PAR1":
        return "parquet"
    return "arrow" if start == b"ARROW1" else None


def _names_in(path: Path, key: str, inner: str = "") -> list[str]:
    try:
        document = cast(dict[str, Any], orjson.loads(path.read_bytes()))
        names = [entry[inner] if inner else entry for entry in document[key]]
        return [str(name) for name in names]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is not as Hugging Face datasets write it: no list {key!r} ({error})"
        ) from None
