"""Build a pool: read every source, convert, validate, identify, and write shards with a manifest.

Memory is bounded: one row group of text, and 12 bytes of identity per row in a set (about 100 bytes a row).
"""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import orjson

from autosel_runtime.api.pool import PoolSource, PoolSpec
from autosel_runtime.errors import DataError, OutputError, UsageError
from autosel_runtime.pool.convert import Converter, converter_for
from autosel_runtime.pool.detect import choose_format
from autosel_runtime.pool.files import Bring, InputFile, find_inputs
from autosel_runtime.pool.manifest import (
    REJECTS_FILE,
    SCHEMA,
    PoolManifest,
    SourceReport,
    SourceRows,
    write_manifest,
)
from autosel_runtime.pool.read import Broken, counts_lines, preview, read_records
from autosel_runtime.pool.sample import Chat, RecordError, encode_chat, identity, source_suffix
from autosel_runtime.pool.writer import ShardWriter
from autosel_runtime.progress import Progress

MAX_SOURCES = 65_535
ROWS_PER_SHARD = 50_000
_DETAIL_CHARACTERS = 300
_ADVANCE_EVERY = 256


def build_pool(
    spec: PoolSpec,
    *,
    base: Path,
    out: Path,
    rows_per_shard: int = ROWS_PER_SHARD,
    bring: Bring | None = None,
) -> PoolManifest:
    """Build the pool of ``spec`` in the folder ``out`` and return its manifest.

    Relative source paths start at ``base``, ``bring`` brings ``s3://`` ones. The folder appears whole at the end or
    not at all; equal inputs give equal bytes. Records that give no sample go to ``rejects.jsonl``. NoInputError for a
    source that is not there; OutputError when ``out`` exists and is not empty, or cannot be written; DataError when a
    format is not known, when no sample is left, or when more than ``max_reject_fraction`` of the records is rejected:
    then the rejects are kept beside ``out``, in a file that the message names.
    """
    if rows_per_shard < 1:
        raise UsageError(f"rows_per_shard must be at least 1, found {rows_per_shard}")
    inputs = [find_inputs(source.uri, base, bring=bring) for source in spec.sources]
    choices = [choose_format(s, i.files) for s, i in zip(spec.sources, inputs, strict=True)]
    converters = [converter_for(c.format, s.mapping) for c, s in zip(choices, spec.sources, strict=True)]
    with _folder_that_appears_whole(out) as folder:
        with (
            (folder / REJECTS_FILE).open("wb") as rejects,
            ShardWriter(folder, rows_per_shard=rows_per_shard) as writer,
            Progress("pool", unit="records") as progress,
        ):
            total = sum(file.path.stat().st_size for entry in inputs for file in entry.files)
            build = _Build(writer, rejects, progress, total)
            reports: list[SourceReport] = []
            for source, entry, choice, converter in zip(
                spec.sources, inputs, choices, converters, strict=True
            ):
                build.start_source(source)
                for file in entry.files:
                    build.read_file(file, converter, source.limit)
                reports.append(
                    SourceReport(
                        name=source.name,
                        uri=source.uri,
                        format=choice.format,
                        why=choice.why,
                        files=len(entry.files),
                        left_out=list(entry.left_out),
                        read=build.read,
                        rows=build.rows,
                        rejected=build.read - build.rows,
                        duplicates=build.duplicates,
                    )
                )
            progress.total = progress.done
        _refuse_a_bad_pool(spec, reports, build.reasons, folder, out)
        manifest = PoolManifest(
            schema=SCHEMA,
            rows=sum(report.rows for report in reports),
            rejected=sum(report.rejected for report in reports),
            duplicates=sum(report.duplicates for report in reports),
            words=writer.words,
            digest=f"sha256:{build.id_digest.hexdigest()}",
            sources=reports,
            source_rows=[
                SourceRows(name=n, rows=r) for n, r in zip(build.names, build.name_rows, strict=True)
            ],
            shards=writer.shards,
        )
        write_manifest(folder, manifest)
    return manifest


class _Build:
    """The state of one pass over all records."""

    def __init__(self, writer: ShardWriter, rejects: BinaryIO, progress: Progress, total_bytes: int) -> None:
        self.names: list[str] = []
        self.name_rows: list[int] = []
        self.id_digest = hashlib.sha256()
        self.reasons: Counter[str] = Counter()
        self.read = self.rows = self.duplicates = 0
        self._writer, self._rejects, self._progress, self._total_bytes = (
            writer,
            rejects,
            progress,
            total_bytes,
        )
        self._bytes_before = self._pending = 0
        self._codes: dict[str, tuple[int, bytes]] = {}
        self._seen: set[bytes] = set()
        self._repeats: dict[bytes, int] = {}
        self._source = ""

    def start_source(self, source: PoolSource) -> None:
        """Begin the counts of a source; its own name comes before those that its records name."""
        self._source = source.name
        self.read = self.rows = self.duplicates = 0

    def read_file(self, file: InputFile, converter: Converter, limit: int | None) -> None:
        """Add the records of one file until the source has ``limit`` of them."""
        place_name = "line" if counts_lines(file) else "index"
        label = file.label
        size = file.path.stat().st_size
        for place, record in read_records(file, self._report_bytes):
            if limit is not None and self.read >= limit:
                break
            self.read += 1
            self._pending += 1
            if self._pending == _ADVANCE_EVERY:
                self._advance()
            if type(record) is not dict:
                assert isinstance(record, Broken)
                self._reject(label, place_name, place, record)
                continue
            try:
                chat = converter.chat(record)
                source = self._source
                if converter.source is not None:
                    source = converter.source(record) or source
                self._add(source, chat, encode_chat(chat), f"{label}:{place}")
            except RecordError as error:
                broken = Broken(reason=error.reason, detail=error.detail, text=preview(record))
                self._reject(label, place_name, place, broken)
        self._advance()
        self._bytes_before += size

    def _add(self, source: str, chat: Chat, encoded: bytes, record: str) -> None:
        known = self._codes.get(source)
        if known is None:
            known = self._new_source(source)
        code, suffix = known
        key = identity(suffix, encoded)
        row_id = key.hex()
        if key in self._seen:
            repeat = self._repeats[key] = self._repeats.get(key, 0) + 1
            row_id = f"{row_id}~{repeat}"
            self.duplicates += 1
        else:
            self._seen.add(key)
        self.id_digest.update(f"{row_id}\n".encode())
        text = "\n".join([message["content"] for message in chat])
        self._writer.add(row_id, code, self.names, encoded, text, record)
        self.rows += 1
        self.name_rows[code] += 1

    def _new_source(self, source: str) -> tuple[int, bytes]:
        if len(self.names) == MAX_SOURCES:
            raise DataError(
                f"the records of source {self._source!r} name more than {MAX_SOURCES:,} sources; "
                "leave source out of its mapping, or name the format openai to use the source's own name"
            )
        self._codes[source] = known = (len(self.names), source_suffix(source))
        self.names.append(source)
        self.name_rows.append(0)
        return known

    def _reject(self, label: str, place_name: str, place: int, broken: Broken) -> None:
        self.reasons[broken.reason] += 1
        entry = {
            "source": self._source,
            "file": label,
            place_name: place,
            "reason": broken.reason,
            "detail": broken.detail[:_DETAIL_CHARACTERS],
            "text": broken.text,
        }
        self._rejects.write(_dump(entry))

    def _advance(self) -> None:
        done = self._progress.done + self._pending
        if self._progress.total is not None:
            self._progress.total = max(self._progress.total, done)
        self._progress.advance(self._pending)
        self._pending = 0

    def _report_bytes(self, position: int) -> None:
        """Estimate the number of records, for the time left, from the share of the bytes read."""
        share = (self._bytes_before + position) / max(self._total_bytes, 1)
        done = self._progress.done + self._pending
        if share > 0.01 and done:
            self._progress.total = max(round(done / share), done)


def _dump(entry: Mapping[str, str | int]) -> bytes:
    try:
        return orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        # Text of a damaged record may hold half a character, which has no UTF-8 form.
        clean = {
            k: v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for k, v in entry.items()
        }
        return orjson.dumps(clean, option=orjson.OPT_APPEND_NEWLINE)


def _refuse_a_bad_pool(
    spec: PoolSpec, reports: list[SourceReport], reasons: Counter[str], folder: Path, out: Path
) -> None:
    read, rejected = sum(r.read for r in reports), sum(r.rejected for r in reports)
    if read > rejected and rejected <= spec.max_reject_fraction * read:
        return
    if not read:
        uris = ", ".join(report.uri for report in reports)
        raise DataError(f"the pool has no sample: its sources hold no records ({uris})")
    kept = out.with_name(f"{out.name}.{REJECTS_FILE}")
    (folder / REJECTS_FILE).replace(kept)
    top = "; ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common(5))
    share = rejected / read
    what = (
        "the pool has no sample: all"
        if read == rejected
        else f"{share:.1%} of the records were rejected, more than maxRejectFraction {spec.max_reject_fraction:g}:"
    )
    raise DataError(f"{what} {rejected:,} of {read:,} records were rejected: {top}; each is listed in {kept}")


@contextmanager
def _folder_that_appears_whole(out: Path) -> Generator[Path]:
    """Yield a new folder beside ``out`` that becomes ``out`` when the block ends, and vanishes when it fails."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} exists and is not an empty folder; remove it or choose another")
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        temporary.replace(out)
    except OSError as error:
        raise OutputError(f"pool {out} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
