"""The toolkit on folders as people have them: photographs, every kind of file, a run that was killed."""

import importlib.util
import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vfm_course.features.cache import VectorCache
from vfm_course.features.encoders import Encoder
from vfm_course.features.images import MOST_PIXELS, find_images, read_picture
from vfm_course.features.stream import embed_folder
from vfm_course.toolkit import Report, run

ROOT = Path(__file__).resolve().parents[1]
LABELS = ["a cat", "a car", "a banana"]
DRAWN = sorted((ROOT / "data" / "images").glob("*.jpg"))


def toolkit(folder: Path, *more: str, cache: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "vfm_course.cli", "toolkit", str(folder), "--labels", ", ".join(LABELS), *more]
    environment = os.environ | {"VFM_CACHE": str(cache)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)


def drawn_folder(folder: Path, n: int) -> Path:
    """`n` JPEG files of different content: after the end of a picture any bytes may follow."""
    folder.mkdir()
    for number in range(n):
        content = DRAWN[number % len(DRAWN)].read_bytes() + bytes([number // len(DRAWN)])
        (folder / f"{number:03}.jpg").write_bytes(content)
    return folder


def photographs() -> list[Path]:
    """Those that come with packages of the test environment."""
    places = {"skimage": "data", "sklearn": "datasets/images", "matplotlib": "mpl-data/sample_data"}
    found = []
    for package, place in places.items():
        spec = importlib.util.find_spec(package)
        assert spec, f"{package} is missing: install the course's `test` extra"
        found += find_images(Path(spec.origin).parent / place)
    return found


def test_photographs_run_and_are_not_trusted(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in photographs():
        (folder / f"{path.parents[1].name} {path.name}").symlink_to(path)
    assert len(list(folder.iterdir())) >= 20
    done = toolkit(folder, "--json", str(tmp_path / "r.json"), "--html", str(tmp_path / "r.html"), cache=tmp_path)
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first.startswith("Note: These pictures are not from the drawn world") and "--tier hub" in first
    assert done.stdout.count("not from the drawn world") == 1
    found = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert len(found["images"]) == len(list(folder.iterdir())) and not found["skipped"]
    assert not any(image["drawn_world"] for image in found["images"])
    assert "not from the drawn world" in (tmp_path / "r.html").read_text(encoding="utf-8")


KILLED = """
import os, signal, sys
from pathlib import Path
from vfm_course.toolkit import run
run(Path(sys.argv[1]), ["a cat", "a car"], tier="pocket",
    show=lambda done, total: os.kill(os.getpid(), signal.SIGKILL) if done >= 64 else None)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_run_goes_on_and_a_finished_one_loads_no_model(tmp_path, monkeypatch):
    folder = drawn_folder(tmp_path / "pictures", 150)
    (folder / "broken.jpg").write_bytes(b"no picture")
    environment = os.environ | {"VFM_CACHE": str(tmp_path)}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder)], cwd=ROOT, env=environment, timeout=200)
    assert killed.returncode == -signal.SIGKILL

    cache = VectorCache(tmp_path / "embeddings.sqlite")
    assert cache.database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert cache.database.execute("SELECT count(*) FROM files").fetchone() == (64,)
    second = run(folder, LABELS, tier="pocket", cache=cache)
    assert second.computed == 150 - 64 and len(second.rows) == 150

    def load(*_):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("vfm_course.features.encoders.load", load)
    third = run(folder, LABELS, tier="pocket", cache=cache)
    assert third.computed == 0 and third.rows == second.rows and len(third.skipped) == 1
    moved = folder.rename(tmp_path / "moved")  # known by content, whatever the name
    (moved / "000.jpg").rename(moved / "zzz.jpg")
    fourth = run(moved, LABELS, tier="pocket", cache=cache)
    assert fourth.computed == 0 and len(fourth.rows) == 150 and all(row.drawn for row in fourth.rows)


def test_another_label_model_computes_only_its_own_part(tmp_path, monkeypatch):
    folder = drawn_folder(tmp_path / "pictures", 6)
    cache = VectorCache(tmp_path / "cache.sqlite")
    seen = []
    embed = Encoder.embed
    monkeypatch.setattr(Encoder, "embed", lambda self, x: seen.append((self.name, len(x))) or embed(self, x))
    run(folder, LABELS, tier="pocket", cache=cache)
    run(folder, LABELS, tier="pocket", model="siglip", cache=cache)
    assert sorted(seen) == [("clip", 6), ("dinov2", 6), ("siglip", 6)]


def test_batches_do_not_change_the_vectors_and_order_is_kept(tmp_path):
    """Against the models called on one picture after another, without threads, batches or cache."""
    folder = drawn_folder(tmp_path / "pictures", 11)
    encoders = [Encoder("dinov2", "pocket"), Encoder("clip", "pocket")]
    paths = find_images(folder)
    found = embed_folder(paths, encoders, VectorCache(tmp_path / "cache.sqlite"), batch_size=4)
    assert found.paths == paths
    for encoder in encoders:
        for path, vector in zip(paths, found.vectors[encoder.name], strict=True):
            with Image.open(path) as picture:
                alone = encoder.embed(encoder.prepare([picture.convert("RGB")]))[0]
            assert vector @ alone > 0.999


def test_every_kind_of_file_looks_the_same(tmp_path):
    """One picture in every format and mode, written under names of any case."""
    with Image.open(DRAWN[0]) as picture:
        plain = picture.convert("RGB").resize((96, 64))
    grey = np.asarray(plain.convert("L"), dtype=np.uint16)
    palette = plain.quantize(64)
    clear = plain.copy()
    clear.putalpha(255)
    plain.save(tmp_path / "a.jpg", quality=95)
    plain.save(tmp_path / "b.JPEG", quality=95)
    plain.convert("CMYK").save(tmp_path / "c.Jpg", quality=95)
    plain.save(tmp_path / "d.PNG")
    clear.save(tmp_path / "e.png")
    palette.save(tmp_path / "f.png")
    plain.save(tmp_path / "g.WebP", quality=95)
    plain.save(tmp_path / "h.BMP")
    black = Image.new("P", plain.size)
    palette.save(tmp_path / "i.gif", save_all=True, append_images=[black, black])
    Image.fromarray(grey * 257).save(tmp_path / "j.png")  # 16 bit
    Image.fromarray(grey.astype(np.uint8)).save(tmp_path / "k.bmp")
    clear.convert("LA").save(tmp_path / "l.png")
    paths = find_images(tmp_path)
    assert len(paths) == 12
    for path in paths:
        with Image.open(path) as picture:
            deep = picture.mode
        image = read_picture(path, 64).image
        wanted = plain.convert("L").convert("RGB") if deep in ("L", "LA") or deep.startswith("I") else plain
        assert image.mode == "RGB" and image.size == plain.size
        difference = np.abs(np.asarray(image, float) - np.asarray(wanted, float)).mean()
        assert difference < 12, f"{path.name} ({deep}) differs by {difference:.1f} of 255"


@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_stands_upright(tmp_path, kind, orientation):
    """Large enough to be reduced on the way, in each of the eight ways a camera can say how it was held."""
    upright = Image.new("RGB", (640, 480), "black")
    upright.paste("red", (0, 0, 320, 240))  # top left, and blue below it
    upright.paste("blue", (0, 240, 320, 480))
    turn = Image.Transpose
    undo = [None, turn.FLIP_LEFT_RIGHT, turn.ROTATE_180, turn.FLIP_TOP_BOTTOM, turn.TRANSPOSE, turn.ROTATE_90,
            turn.TRANSVERSE, turn.ROTATE_270][orientation - 1]  # fmt: skip
    stored = upright if undo is None else upright.transpose(undo)
    exif = stored.getexif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"photo.{kind}", exif=exif)
    image = read_picture(tmp_path / f"photo.{kind}", 32).image
    width, height = image.size
    assert width < 640 and width / height == pytest.approx(4 / 3, abs=0.02)
    red, blue = image.getpixel((width // 4, height // 4)), image.getpixel((width // 4, 3 * height // 4))
    assert red[0] > 200 > 60 > red[2] and blue[2] > 200 > 60 > blue[0]


def huge_png(path: Path, side: int) -> None:
    """The first bytes of a PNG that claims to be `side` pixels wide and high."""
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")))


@pytest.fixture
def report(tmp_path):
    def of(folder: Path, **more) -> Report:
        return run(folder, LABELS, tier="pocket", cache=VectorCache(tmp_path / "cache.sqlite"), **more)

    return of


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # pytest shows what the course hides
def test_what_cannot_be_used_is_named_with_its_reason_and_counted(tmp_path, report):
    folder = drawn_folder(tmp_path / "my photos – été 夏", 4)
    (folder / "leer é.png").touch()
    huge_png(folder / "large.png", 1 + int(MOST_PIXELS**0.5))
    huge_png(folder / "huge.png", 60_000)
    whole = DRAWN[0].read_bytes()
    (folder / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "dir.jpg").mkdir()
    (folder / "notes.txt").write_text("not asked for")
    (folder / ".hidden.jpg").write_bytes(b"")
    Image.new("RGB", (3000, 1), "red").save(folder / "strip.png")
    found = report(folder)
    reasons = dict(found.skipped)
    assert set(reasons) == {"leer é.png", "large.png", "huge.png", "half.jpg", "gone.jpg", "strip.png"}
    assert reasons["leer é.png"] == "empty" and reasons["half.jpg"].startswith("damaged")
    assert reasons["large.png"].startswith("enormous") and reasons["huge.png"].startswith("enormous")
    assert reasons["gone.jpg"] == "gone while the folder was read"
    assert reasons["strip.png"] == "a strip: 3000 x 1 pixels"
    note = next(note for note in found.notes if "skipped" in note)
    assert f"{len(reasons)} of {len(found.rows) + len(reasons)} files skipped" in note
    assert all(name in note for name in reasons)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_fewer_pictures_than_neighbours_is_said(tmp_path, report, n):
    found = report(drawn_folder(tmp_path / "few", n))
    assert [len(row.neighbours) for row in found.rows] == [n - 1] * n
    assert [note for note in found.notes if note.startswith(f"Only {n} usable picture")] == found.notes


def test_siglip_takes_one_label(tmp_path):
    folder = drawn_folder(tmp_path / "pictures", 4)
    done = run(folder, ["a cat"], model="siglip", tier="pocket", cache=VectorCache(tmp_path / "cache.sqlite"))
    assert {row.label for row in done.rows} == {"a cat"} and all(0 < row.confidence < 1 for row in done.rows)


def test_nothing_usable_is_a_mistake_and_one_usable_file_is_not(tmp_path):
    folder = tmp_path / "bad files"
    folder.mkdir()
    (folder / "a.jpg").touch()
    done = toolkit(folder, cache=tmp_path)
    assert done.returncode == 2 and "None of the 1 files" in done.stderr and "Traceback" not in done.stderr
    (folder / "b.jpg").write_bytes(DRAWN[0].read_bytes())
    done = toolkit(folder, cache=tmp_path)
    assert done.returncode == 0 and "1 of 2 files skipped; a.jpg: empty" in done.stdout


def test_a_file_stands_until_the_new_one_is_whole(tmp_path, report, monkeypatch):
    from vfm_course import toolkit_files

    found = report(drawn_folder(tmp_path / "pictures", 4))
    page = tmp_path / "page.html"
    page.write_text("the old page")
    monkeypatch.setattr(toolkit_files, "_thumbnail", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        toolkit_files.write_html(found, page)
    assert page.read_text() == "the old page" and not list(tmp_path.glob("*.partial"))
