"""Embeddings kept between runs, by the file's content and the model's revision."""

import hashlib
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vfm_course.paths import cache_dir

SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (model TEXT, item BLOB, vector BLOB, PRIMARY KEY (model, item)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, changed INTEGER, item BLOB, drawn INTEGER)
  WITHOUT ROWID;
"""


@dataclass(frozen=True)
class KnownFile:
    """What was found when a file of this size and time of change was last read."""

    item: bytes
    drawn: bool


class VectorCache:
    """A table of vectors in one SQLite file; every `put` is whole or not there, also after a kill.

    A file that is no longer a database is moved aside and a new one begun: what it held can be computed again. Several
    threads may use one cache.
    """

    def __init__(self, path: Path | None = None):
        self.lock = threading.Lock()
        self.path = path or cache_dir() / "embeddings.sqlite"
        try:
            self._connect()
        except sqlite3.DatabaseError:
            self.path.rename(self.path.with_name(f"{self.path.name}.damaged{int(time.time())}"))
            self._connect()

    def _connect(self) -> None:
        # timeout: seconds to wait for another run's transaction; threads take turns by the lock
        self.database = sqlite3.connect(self.path, timeout=60, check_same_thread=False)
        self.database.execute("PRAGMA journal_mode=WAL")
        # No wait for the disk at each `put`: a power cut may cost the last ones, and damages nothing.
        self.database.execute("PRAGMA synchronous=NORMAL")
        weakref.finalize(self, self.database.close)  # Python 3.13 warns of a connection that nobody closed
        self.database.executescript(SCHEMA)

    def get(self, model: str, item: bytes, dtype: str = "<f4") -> np.ndarray | None:
        """The vector (D,) as it was put, or None."""
        row = self._row("SELECT vector FROM vectors WHERE model = ? AND item = ?", (model, item))
        return None if row is None else np.frombuffer(row[0], dtype=dtype)

    def has(self, model: str, item: bytes) -> bool:
        """Whether `get` would find a vector."""
        return self._row("SELECT 1 FROM vectors WHERE model = ? AND item = ?", (model, item)) is not None

    def holds(self, model: str) -> bool:
        """Whether there is any vector of this model."""
        return self._row("SELECT 1 FROM vectors WHERE model = ? LIMIT 1", (model,)) is not None

    def put(self, model: str, rows: Iterable[tuple[bytes, np.ndarray]], dtype: str = "<f4") -> None:
        """Stores vectors (D,) in one transaction, float32 unless another type is given."""
        encoded = [(model, item, np.ascontiguousarray(vector, dtype=dtype).tobytes()) for item, vector in rows]
        self._store("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", encoded)

    def known(self, path: Path) -> KnownFile | None:
        """The file's content as last seen, or None when it is new or has changed since."""
        try:
            state = path.stat()
        except OSError:
            return None
        row = self._row(
            "SELECT item, drawn FROM files WHERE path = ? AND size = ? AND changed = ?",
            (_name(path), state.st_size, state.st_mtime_ns),
        )
        return None if row is None else KnownFile(row[0], bool(row[1]))

    def remember(self, files: dict[Path, KnownFile]) -> None:
        """Stores what `known` answers, for files that were read."""
        rows = []
        for path, file in files.items():
            try:
                state = path.stat()
            except OSError:
                continue
            rows.append((_name(path), state.st_size, state.st_mtime_ns, file.item, file.drawn))
        self._store("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows)

    def close(self) -> None:
        self.database.close()

    def _row(self, question: str, values: tuple) -> tuple | None:
        with self.lock:
            return self.database.execute(question, values).fetchone()

    def _store(self, command: str, rows: list[tuple]) -> None:
        with self.lock, self.database:
            self.database.executemany(command, rows)


def content_key(path: Path) -> bytes:
    """SHA-256 of a file's bytes. A renamed or copied file keeps its embeddings."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def text_key(text: str) -> bytes:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode()).digest()


def _name(path: Path) -> str:
    # File names need not be valid text on Linux, and SQLite takes nothing else.
    return str(path.absolute()).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
