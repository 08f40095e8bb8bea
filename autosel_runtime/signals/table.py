"""Reading signals: the ``Columns`` of a pool over the files of a signals folder, each column read once."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from autosel_runtime.errors import AutoselError, DataError, NoInputError
from autosel_runtime.recipe.columns import Csr, Pairs, Scalar
from autosel_runtime.signals.samples import PoolLike
from autosel_runtime.signals.store import GROUPS, MANIFEST, PAIRS, RANK_SUFFIX, read_manifest


@dataclass(frozen=True, kw_only=True)
class SignalColumns:
    """Columns of one pool on disk. Make it with ``open``; a column is read when first asked for, and kept."""

    folder: Path
    rows: int
    source_names: tuple[str, ...]
    source_codes: NDArray[np.uint16]
    manifest: dict[str, Any]
    _held: dict[tuple[str, str], Any] = field(default_factory=dict[tuple[str, str], Any], repr=False)

    @staticmethod
    def open(folder: Path, pool: PoolLike) -> "SignalColumns":
        """Open the signals of ``pool`` in ``folder``.

        NoInputError when there are none, DataError when they were computed for another pool.
        """
        manifest = read_manifest(folder)
        if manifest is None:
            raise NoInputError(
                f"{folder / MANIFEST}: there are no signals here; compute them with: autosel score"
            )
        if manifest["pool"] != pool.digest or manifest["rows"] != pool.rows:
            raise DataError(
                f"{folder}: these signals belong to pool {manifest['pool']} ({manifest['rows']} rows), "
                f"not to {pool.digest} ({pool.rows} rows); score this pool"
            )
        return SignalColumns(
            folder=folder,
            rows=pool.rows,
            source_names=tuple(pool.source_names),
            source_codes=pool.source_codes(),
            manifest=manifest,
        )

    @property
    def fingerprint(self) -> str:
        """Identity of the signals: everything their values depend on."""
        return self.manifest["fingerprint"]

    @property
    def names(self) -> frozenset[str]:
        """Names of the scalars, groups and pairs that exist."""
        return frozenset([*self.manifest["scalars"], *self.manifest["groups"], *self.manifest["pairs"]])

    @property
    def floors(self) -> dict[str, float]:
        """The least similarity for which pairs of a name are stored."""
        return {name: entry["floor"] for name, entry in self.manifest["pairs"].items()}

    def scalar(self, name: str) -> Scalar:
        """Return a scalar column; DataError names what exists when it is missing."""
        entry = self._entry("scalars", name, "signal")
        if ("scalar", name) not in self._held:
            path = self._path(entry["file"])
            with _undamaged(path):
                table = pq.read_table(path, columns=[name, name + RANK_SUFFIX], memory_map=True)
            self._held["scalar", name] = Scalar(
                values=self._array(table.column(0).to_numpy(), np.float32, name),
                ranks=self._array(table.column(1).to_numpy(), np.uint32, name),
            )
        return self._held["scalar", name]

    def groups(self, name: str) -> NDArray[np.int32]:
        """Return group numbers [n]; DataError names what exists when they are missing."""
        self._entry("groups", name, "groups")
        if ("groups", name) not in self._held:
            path = self._path(GROUPS)
            with _undamaged(path), np.load(path, allow_pickle=False) as file:
                self._held["groups", name] = self._array(file[name], np.int32, name)
        return self._held["groups", name]

    def pairs(self, name: str) -> Pairs:
        """Return similar pairs; DataError names what exists when they are missing."""
        self._entry("pairs", name, "pairs")
        if ("pairs", name) not in self._held:
            path = self._path(PAIRS)
            with _undamaged(path), np.load(path, allow_pickle=False) as file:
                self._held["pairs", name] = Pairs(
                    left=file[f"{name}.left"],
                    right=file[f"{name}.right"],
                    similarity=file[f"{name}.similarity"],
                    floor=float(file[f"{name}.floor"]),
                )
        return self._held["pairs", name]

    def features(self, name: str) -> Csr:
        """Raise DataError: no family of this version writes sparse features."""
        raise DataError(f"{self.folder}: features {name!r} do not exist; there are: none")

    def _entry(self, kind: str, name: str, what: str) -> dict[str, Any]:
        known = self.manifest.get(kind, {})
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise DataError(f"{self.folder}: {what} {name!r} does not exist; there are: {there}")
        return known[name]

    def _path(self, file: str) -> Path:
        path = self.folder / file
        if not path.is_file():
            raise NoInputError(f"{path}: the file is missing, though {MANIFEST} names it; score again")
        return path

    def _array(self, values: NDArray[Any], dtype: type, name: str) -> NDArray[Any]:
        if values.dtype != dtype or len(values) != self.rows:
            raise DataError(
                f"{self.folder}: {name!r} has {len(values)} values of {values.dtype}, not {self.rows} of "
                f"{np.dtype(dtype)}; score again"
            )
        return values


@contextmanager
def _undamaged(path: Path) -> Generator[None]:
    """Turn what the libraries raise of a file that is not what was written into a sentence."""
    try:
        yield
    except AutoselError:
        raise
    except PermissionError as error:
        raise NoInputError(f"{path} cannot be read: permission denied") from error
    except (OSError, ValueError, KeyError, EOFError, TypeError, pa.ArrowException, BadZipFile) as error:
        raise DataError(f"{path}: the file is damaged ({type(error).__name__}); score again") from error
