"""Searching N vectors: exact against HNSW and IVF at several efforts; time, memory and recall@10.

`python tests/benchmarks/search.py [--sizes 1000,10000,100000,1000000] [--kinds exact,hnsw,ivf] [--hnsw-up-to 100000]`

The vectors are synthetic, 384 numbers each and seeded: clusters in 24 free directions and a little noise in all others,
as embeddings are. They lie in a file that is read block by block. Each index is built in a process of its own.
Linking a million rows takes HNSW about five minutes on one core: it is left out unless `--hnsw-up-to` says so.
"""

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from measure import load_average, run

WIDTH, FREE, CLUSTERS = 384, 24, 300
QUERIES, K = 1000, 10
SEED = 20
EFFORTS = {"exact": [None], "hnsw": [16, 64, 256], "ivf": [1, 4, 16, 64]}
ONE_BY_ONE = 2.0  # seconds for the queries that are given alone, 20 of them at least


def draw(n: int, stream: int) -> np.ndarray:
    """Vectors (n, WIDTH) of length one; another `stream`, others from the same clusters."""
    world = np.random.default_rng(SEED)
    centres, mix = world.normal(size=(CLUSTERS, FREE)), world.normal(size=(FREE, WIDTH)) / FREE**0.5
    rng = np.random.default_rng([SEED, stream])
    places = centres[rng.integers(0, CLUSTERS, n)] + 0.7 * rng.normal(size=(n, FREE))
    rows = (np.tanh(places @ mix) + 0.02 * rng.normal(size=(n, WIDTH))).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def write_vectors(path: Path, n: int) -> None:
    file = np.lib.format.open_memmap(path, "w+", np.float32, (n, WIDTH))
    for number, start in enumerate(range(0, n, 10_000)):
        file[start : start + 10_000] = draw(min(10_000, n - start), number + 1)
    file.flush()


def memory() -> float:
    """MiB that this process holds, without the files that it has mapped where the system tells them apart."""
    import psutil

    held = psutil.Process().memory_info()
    return (held.rss - getattr(held, "shared", 0)) / 2**20


class Peak:
    """The most memory that was held between entering and leaving, looked at 20 times a second."""

    def __enter__(self):
        self.start = self.most = memory()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while not self.over.wait(0.05):
            self.most = max(self.most, memory())

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.end = memory()
        self.most = max(self.most, self.end)


def child(place: Path, kind: str) -> None:
    """Builds and searches one index; prints a JSON line for each effort. The exact one leaves what is true."""
    import faiss

    from vfm_course.features.index import build_index
    from vfm_course.features.search import recall

    vectors = np.load(place / "vectors.npy", mmap_mode="r")
    queries = draw(QUERIES, 0)
    build_index(queries[:64], kind)  # what is loaded at the first use is not this index'
    with Peak() as peak:
        start = time.perf_counter()
        index = build_index(vectors, kind)
        built = time.perf_counter() - start
    for effort in EFFORTS[kind]:
        if effort and kind == "ivf" and effort > index.inner.nlist:
            continue
        start = time.perf_counter()
        found, _ = index.search(queries, K, effort)
        batched = time.perf_counter() - start
        if kind == "exact":
            np.save(place / "truth.npy", found)
        alone, spent = 0, 0.0
        while alone < 20 or (spent < ONE_BY_ONE and alone < QUERIES):
            start = time.perf_counter()
            index.search(queries[alone : alone + 1], K, effort)
            spent += time.perf_counter() - start
            alone += 1
        print(
            json.dumps(
                {
                    "effort": effort,
                    "recall": recall(found, np.load(place / "truth.npy")),
                    "batched": batched / QUERIES * 1000,
                    "single": spent / alone * 1000,
                    "built": built,
                    "memory": peak.end - peak.start,
                    "peak": peak.most - peak.start,
                    "threads": faiss.omp_get_max_threads(),
                    "lists": index.inner.nlist if kind == "ivf" else 0,
                }
            )
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,100000,1000000", help="numbers of vectors")
    parser.add_argument("--kinds", default="exact,hnsw,ivf", help="exact is always run: it says what is true")
    parser.add_argument("--hnsw-up-to", type=int, default=100_000, help="vectors; beyond, HNSW is left out")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(Path(options.child[0]), options.child[1])
    wanted = ["exact", *(kind for kind in options.kinds.split(",") if kind in ("hnsw", "ivf"))]
    print(
        f"{load_average()}; {WIDTH} float32 a vector, {QUERIES} queries, recall@{K}; ms a query, s to build, MiB added"
    )
    print(
        f"{'vectors':>9} {'index':>15} {'effort':>6} {'recall':>7} {'batched':>9} {'alone':>9} {'build':>9} "
        f"{'memory':>7} {'peak':>7}"
    )
    for n in map(int, options.sizes.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            write_vectors(place / "vectors.npy", n)
            for kind in wanted:
                if kind == "hnsw" and n > options.hnsw_up_to:
                    print(f"{n:9,} {kind:>15} left out: --hnsw-up-to {options.hnsw_up_to}")
                    continue
                lines = run([__file__, "--child", folder, kind], place).output.splitlines()
                for line in map(json.loads, lines):
                    name = f"ivf, {line['lists']} lists" if line["lists"] else kind
                    print(
                        f"{n:9,} {name:>15} {line['effort'] or '':>6} {line['recall']:7.3f} {line['batched']:9.3f} "
                        f"{line['single']:9.3f} {line['built']:9.2f} {line['memory']:7.0f} {line['peak']:7.0f}",
                        flush=True,
                    )
    print(f"{line['threads']} thread(s); {load_average()}")


if __name__ == "__main__":
    main()
