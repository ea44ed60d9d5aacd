"""`embed(engine="ray")` on a cluster of two machines, of which one loses a worker and the other goes altogether."""

import os
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest

from vfm_course.errors import UserError
from vfm_course.features.cache import VectorCache
from vfm_course.features.embed import embed
from vfm_course.features.scale import QUIET

ray = pytest.importorskip("ray")
ROOT = Path(__file__).resolve().parents[1]
DRAWN = sorted((ROOT / "data" / "images").glob("*.jpg"))
MEMORY = 100 * 2**20  # of each machine's object store
# Ray Data warns of its own options whenever it copies them.
pytestmark = [pytest.mark.timeout(280), pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")]


@pytest.fixture(scope="module")
def cluster():
    """A head without workers, and two machines of one core each; `embed` finds it as it finds any other."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUIET.items():
            patch.setenv(name, value)
        cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "object_store_memory": MEMORY, "include_dashboard": False},
        )
        try:
            cluster.machines = [cluster.add_node(num_cpus=1, object_store_memory=MEMORY) for _ in range(2)]
            cluster.wait_for_nodes()
            patch.setenv("RAY_ADDRESS", cluster.address)
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of different content, and two files that are none."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(400):
        content = DRAWN[number % len(DRAWN)].read_bytes() + bytes([number // len(DRAWN)])
        (folder / f"{number:03}.jpg").write_bytes(content)
    (folder / "007 broken.jpg").write_bytes(b"no picture")
    (folder / "300 empty.png").touch()
    return folder


def workers_of(machine) -> list[psutil.Process]:
    """The actors' processes on one of the cluster's machines."""
    raylet = psutil.Process(machine.all_processes["raylet"][0].process.pid)
    return [child for child in raylet.children(recursive=True) if "MapWorker" in " ".join(child.cmdline())]


def test_a_killed_worker_and_a_lost_machine_lose_nothing(cluster, folder, tmp_path, capfd):
    seen, killed = [], []

    def show(done: int, total: int) -> None:
        seen.append(done)
        if done >= 50 and not killed:
            one, other = cluster.machines
            killed.extend(workers_of(one)[:1])
            os.kill(killed[0].pid, signal.SIGKILL)
            killed.append(done)
            cluster.remove_node(other, allow_graceful=False)

    found = embed(folder, cache=tmp_path / "ray.sqlite", engine="ray", workers=2, batch_size=8, show=show)
    assert len(killed) == 2 and killed[1] < 402  # while it ran
    assert seen[-1] == 402 and seen == sorted(seen) and found.computed == 400
    local = embed(folder, cache=tmp_path / "local.sqlite")
    assert found.names == local.names and found.paths == local.paths and found.skipped == local.skipped
    assert [name for name, _ in found.skipped] == ["007 broken.jpg", "300 empty.png"]
    assert np.abs(found.vectors - local.vectors).max() < 1e-6
    said = capfd.readouterr()
    assert "Warning" not in said.out + said.err and "Traceback" not in said.out + said.err


def test_only_what_the_cache_lacks_is_sent(cluster, folder, tmp_path, monkeypatch):
    """On what is left of the cluster: one machine. Patches, and a model that is loaded already."""
    from vfm_course.families.load import load
    from vfm_course.features import scale

    cache, sent = VectorCache(tmp_path / "cache.sqlite"), []
    run = scale._run
    monkeypatch.setattr(scale, "_run", lambda *given: sent.append(len(given[2])) or run(*given))
    paths = sorted(folder.glob("*.jpg"))[:40]
    model = load("mae", "pocket", "cpu")
    local = embed(paths[:30], model, "patches", cache=cache)
    copy = tmp_path / "another name.jpg"
    copy.write_bytes(paths[0].read_bytes())
    found = embed([*paths, copy], model, "patches", cache=cache, engine="ray", workers=1, out=tmp_path / "x.npy")
    assert sent == [11] and found.computed == 10  # one of them is no picture
    assert found.vectors.shape == (40, 64, 128) and isinstance(found.vectors, np.memmap)
    assert (found.vectors[:29] == local.vectors).all() and (found.vectors[-1] == local.vectors[0]).all()
    fresh = embed(paths, model, "patches", cache=tmp_path / "fresh.sqlite")
    assert np.allclose(found.vectors[:39], fresh.vectors, atol=0.01)
    assert embed(paths[:5], model, cache=cache, engine="ray").computed == 0 and sent == [11]


def test_what_a_worker_has_to_say_is_one_sentence(cluster, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="could not be fetched from the hub"):
        embed(folder, tier="hub", cache=tmp_path / "cache.sqlite", engine="ray", workers=1)


def test_a_cluster_reads_files_only(tmp_path):
    with pytest.raises(UserError, match="workers read the pictures themselves"):
        embed(np.zeros((2, 64, 64, 3), np.uint8), cache=tmp_path / "cache.sqlite", engine="ray")
