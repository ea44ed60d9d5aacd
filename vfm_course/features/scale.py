"""The same embeddings from a Ray cluster: files are shared out, read and looked at where there is room."""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vfm_course.errors import UserError
from vfm_course.features.cache import VectorCache
from vfm_course.features.encoders import KINDS, Encoder
from vfm_course.features.pieces import LEAST, READERS, Piece, Seen, looked_at
from vfm_course.features.sources import Files, Items
from vfm_course.features.stream import ahead

BATCHES = 8  # that one worker gets at a time: the first ones are looked at while the others are read
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # Ray Data's own actors make its core complain
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # it warns of what will change
}
ATTEMPTS = 3  # without a single new picture, after which the cluster is given up


def shared_out(
    pictures: Files | Items,
    todo: Sequence[int],
    encoder: Encoder,
    kinds: Sequence[str],
    batch_size: int,
    kept: VectorCache,
    key: str,
    workers: int | None,
) -> Iterator[Piece]:
    """Like `looked_at`, by the workers of a cluster, in the order in which they are done.

    Only contents that have no vector under `key` are sent. Ray starts a lost worker again, on another machine if its
    own is gone, and gives it its files again; what a run of Ray's loses all the same is sent in another one.

    Raises:
        UserError: Ray is missing, the source is no files, the workers do not find the files or cannot have the model,
            or the cluster fails again and again.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UserError('The engine ray needs Ray: pip install "vfm-course[scale]".') from error
    if pictures.paths is None:
        raise UserError(
            "A cluster's workers read the pictures themselves: give a folder or a list of paths, or use engine='local'."
        )
    left = set(todo)
    if kept.holds(key):
        for piece in _had(pictures, todo, kept, key):
            left -= set(piece.seen)
            yield piece
    if not left:
        return
    with _connected(ray):
        model = _sendable(ray, encoder)
        attempts = 0
        while left:
            before, problem = len(left), None
            try:
                for piece in _run(ray, pictures, sorted(left), model, kinds, batch_size, workers):
                    piece = _still(piece, left)
                    left -= {*piece.seen, *(number for number, _ in piece.skipped)}
                    yield piece
            except (ray.exceptions.RayError, OSError, RuntimeError) as error:
                problem = error
            attempts = 0 if len(left) < before else attempts + 1
            if left and attempts == ATTEMPTS:
                what = f" ({str(problem).splitlines()[0]})" if problem else ""
                raise UserError(
                    f"The cluster lost {len(left)} pictures {ATTEMPTS} times{what}: look at its logs, or use "
                    "engine='local'; what is done is kept."
                ) from problem


class Worker:
    """What each of Ray's actors holds: the encoder, loaded once. `model` is (name, tier, device) or a loaded model."""

    def __init__(self, model: Any, kinds: Sequence[str], batch_size: int):
        self.kinds, self.batch_size, self.refused = kinds, batch_size, ""
        try:
            if isinstance(model, tuple):
                self.encoder = Encoder(*model)
            else:
                import ray

                self.encoder = Encoder.of(ray.get(model.reference))
            self.encoder.loaded  # noqa: B018
        except UserError as error:  # Ray would wrap it in pages of its own
            self.refused = str(error)

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, list]]:
        """Files (`path` as bytes, `at` their numbers) -> their vectors as bytes, or the reason why there are none."""
        numbers = batch["at"].tolist()
        try:
            if self.refused:
                raise UserError(self.refused)
            files = Files([Path(os.fsdecode(path)) for path in batch["path"]])
            for piece in looked_at(files, range(len(files)), self.encoder, self.kinds, self.batch_size, threads=1):
                yield _as_columns(piece, numbers, self.kinds)
        except UserError as error:
            yield _as_columns(Piece(skipped=[(0, str(error))]), [-1], self.kinds)


@dataclasses.dataclass(frozen=True)
class Reference:
    """A loaded model in the cluster's store."""

    reference: Any


def _had(pictures: Files, todo: Sequence[int], kept: VectorCache, key: str) -> Iterator[Piece]:
    """Files under a new name or with a new date whose content is known."""

    def hashed(numbers: Sequence[int]) -> Piece:
        piece = Piece()
        for number in numbers:
            try:
                item = pictures.item(number)
            except OSError:  # its reason is found where it is read
                continue
            if kept.has(key, item.key):
                piece.seen[number] = Seen(item.key, item.label, item.drawn())
        return piece

    parts = (todo[start : start + 256] for start in range(0, len(todo), 256))
    return ahead(parts, hashed, READERS, READERS)


def _run(
    ray: Any,
    pictures: Files,
    numbers: Sequence[int],
    model: Any,
    kinds: Sequence[str],
    batch_size: int,
    workers: int | None,
) -> Iterator[Piece]:
    """One execution of Ray Data over these files."""
    wants_gpu = not isinstance(model, tuple) or model[2] is None or model[2].startswith("cuda")
    workers, needs = _room(ray, workers, wants_gpu)
    rows = [{"path": os.fsencode(pictures.paths[number]), "at": number} for number in numbers]
    most = batch_size * (2 if "patches" in kinds else BATCHES)
    size = max(1, min(most, max(LEAST, math.ceil(len(rows) / (4 * workers)))))
    found = ray.data.from_items(rows, override_num_blocks=math.ceil(len(rows) / size)).map_batches(
        Worker,
        fn_constructor_args=(model, tuple(kinds), batch_size),
        batch_size=None,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(size=min(workers, math.ceil(len(rows) / size))),
        **needs,
    )
    for batch in found.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=1):
        yield _as_piece(batch, pictures, kinds)


def _room(ray: Any, workers: int | None, wants_gpu: bool) -> tuple[int, dict[str, float]]:
    """How many workers, and what each asks of Ray: so little that all find room again when a machine goes.

    A GPU is not shared: when a machine with GPUs goes, its workers wait for another one.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cores = [machine.get("CPU", 0) for machine in machines]
    gpus = int(sum(machine.get("GPU", 0) for machine in machines)) if wants_gpu else 0
    workers = workers or max(1, gpus or int(sum(cores)))
    if gpus:
        workers = min(workers, gpus)
    room = sum(cores) - (max(cores) if sum(core > 0 for core in cores) > 1 else 0)
    needs = {"num_cpus": max(0.01, math.floor(100 * min(1, room / workers)) / 100)}
    return workers, needs | ({"num_gpus": 1} if gpus else {})


def _as_columns(piece: Piece, numbers: Sequence[int], kinds: Sequence[str]) -> dict[str, list]:
    """A row for each picture; vectors as bytes, since a skipped one has none."""
    rows = {number: at for at, number in enumerate(piece.fresh)}
    table: dict[str, list] = {name: [] for name in ("at", "key", "drawn", "reason", *kinds)}
    told = [(number, seen.key, seen.drawn, "") for number, seen in piece.seen.items()]
    for number, key, drawn, why in told + [(number, b"", False, why) for number, why in piece.skipped]:
        for name, value in (("at", numbers[number]), ("key", key), ("drawn", drawn), ("reason", why)):
            table[name].append(value)
        for kind in kinds:
            vector = piece.vectors[kind][rows[number]] if number in rows else np.empty(0)
            table[kind].append(vector.astype(KINDS[kind]).tobytes())
    return table


def _as_piece(table: dict[str, np.ndarray], pictures: Files, kinds: Sequence[str]) -> Piece:
    """`_as_columns` undone.

    Raises:
        UserError: what a worker has to say, or a file that is there and that it did not find.
    """
    piece = Piece(vectors={kind: [] for kind in kinds})
    for row, number in enumerate(table["at"].tolist()):
        why = str(table["reason"][row])
        if number < 0:
            raise UserError(why)
        if why:
            path = pictures.paths[number]
            if why.startswith("gone ") and path.exists():
                raise UserError(
                    f"A worker of the cluster does not find {str(path)!r}: put the pictures where every machine finds "
                    "them under the same path."
                )
            piece.skipped.append((number, why))
            continue
        piece.seen[number] = Seen(bytes(table["key"][row]), None, bool(table["drawn"][row]))
        piece.fresh.append(number)
        for kind in kinds:
            piece.vectors[kind].append(np.frombuffer(table[kind][row], KINDS[kind]))
    return piece


def _still(piece: Piece, left: set[int]) -> Piece:
    """Without what has come already."""
    rows = [at for at, number in enumerate(piece.fresh) if number in left]
    return Piece(
        {number: seen for number, seen in piece.seen.items() if number in left},
        [(number, why) for number, why in piece.skipped if number in left],
        [piece.fresh[at] for at in rows],
        vectors={kind: [vectors[at] for at in rows] for kind, vectors in piece.vectors.items()},
    )


def _sendable(ray: Any, encoder: Encoder) -> Any:
    """What a worker makes its encoder of."""
    if encoder.given is None:
        return encoder.name, encoder.tier, encoder.device
    model = copy.deepcopy(encoder.given.model).to("cpu")
    return Reference(ray.put(dataclasses.replace(encoder.given, model=model, device="cpu")))


@contextmanager
def _connected(ray: Any) -> Iterator[None]:
    """The cluster in use, a running one, or one on this machine until it is done; Ray's own talk is silenced.

    Raises:
        UserError: the cluster cannot be reached.
    """
    context, log = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    quiet = {"enable_progress_bars": False, "print_on_execution_start": False}
    before, level = {name: getattr(context, name) for name in quiet if hasattr(context, name)}, log.level
    joined = not ray.is_initialized()
    if joined:
        with _environment(QUIET):
            try:
                ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
                raise UserError(f"The Ray cluster cannot be reached: {str(error).splitlines()[0]}.") from error
    log.setLevel(logging.CRITICAL)
    for name in before:
        setattr(context, name, quiet[name])
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)
        log.setLevel(level)
        if joined:
            ray.shutdown()


@contextmanager
def _environment(more: dict[str, str]) -> Iterator[None]:
    """Variables that nobody has set, for as long as Ray reads them."""
    added = {name: value for name, value in more.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
