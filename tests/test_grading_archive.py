"""Zips that nobody vouches for: nothing leaves the folder, nothing grows beyond its limit, the rest is unpacked."""

import io
import os
import stat
import struct
import sys
import time
import zipfile
from datetime import datetime
from pathlib import Path

import pytest

from vfm_course.errors import UserError
from vfm_course.grading import archive
from vfm_course.grading.archive import Limits, UnusableArchive, unpack

GOOD = "good.ipynb"


def made(path: Path | io.BytesIO, *entries: tuple[str | zipfile.ZipInfo, bytes | str], deflate: bool = True):
    """A zip of these entries, and a good one at the end."""
    method = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as box:
        for name, content in (*entries, (GOOD, "good")):
            box.writestr(name, content)
    return path


def info(name: str, mode: int = 0, raw: str = "") -> zipfile.ZipInfo:
    """An entry of this mode; `raw` is a name that zipfile would have tidied up."""
    entry = zipfile.ZipInfo(name, (2026, 11, 26, 19, 11, 4))
    entry.external_attr, entry.create_system = mode << 16, 3
    entry.filename = raw or entry.filename
    return entry


def flagged(path: Path, byte: int, value: int) -> Path:
    """A zip whose first entry has this byte of flags, in its own head and in the table of contents."""
    content = bytearray(path.read_bytes())
    content[6 + byte] = content[content.index(b"PK\1\2") + 8 + byte] = value
    path.write_bytes(content)
    return path


def below(folder: Path) -> dict[str, bytes]:
    """All files in a folder by name; links are not followed."""
    found = [path for path in folder.rglob("*") if path.is_symlink() or path.is_file()]
    return {path.relative_to(folder).as_posix(): b"" if path.is_symlink() else path.read_bytes() for path in found}


def opened(path: Path, limits: Limits = archive.STUDENT, wanted=bool):
    """What unpacking gave, and what lies in the folder then. Nothing beside the folder and the zip may be new."""
    to = path.parent / "inside" / "to"
    to.mkdir(parents=True)
    before = set(path.parent.rglob("*"))
    try:
        found = unpack(path, to, limits, wanted)
    finally:
        new = set(path.parent.rglob("*")) - before
        assert all(to in each.parents and not each.is_symlink() for each in new), new
    assert {each.relative_to(to).as_posix() for each in found.files} == set(below(to))
    return found, below(to)


OUT, ROOT = "its name leads out of the folder", "its name begins at the root of the disk"
ESCAPES = {
    "../evil.ipynb": OUT,
    "a/../../../../evil.ipynb": OUT,
    "a/..": OUT,
    "..\\..\\evil.ipynb": OUT,
    "a\\..\\../..\\evil.ipynb": OUT,
    "/tmp/vfm-evil.ipynb": ROOT,
    "C:\\evil.ipynb": ROOT,
    "c:/evil.ipynb": ROOT,
    "\\\\server\\share\\evil.ipynb": ROOT,
}


@pytest.mark.parametrize("name", ESCAPES)
def test_a_name_that_leads_out_is_tampering_and_the_rest_is_unpacked(name, tmp_path):
    found, files = opened(made(tmp_path / "a.zip", (info("x", raw=name), "evil")))
    assert files == {GOOD: b"good"} and not Path("/tmp/vfm-evil.ipynb").exists()
    (one,) = found.left_out
    assert one.tampering and one.sentence.startswith("Tampering attempt: ")
    assert one.sentence.endswith(f"in the zip was left out: {ESCAPES[name]}.")
    assert ".." not in one.place.parts and not one.place.is_absolute()


@pytest.mark.parametrize("target", ["/etc/passwd", "..", "other.ipynb"])
def test_a_link_is_tampering_and_never_made(target, tmp_path):
    link = info("link.ipynb", stat.S_IFLNK | 0o777)
    found, files = opened(made(tmp_path / "a.zip", (link, target), ("link.ipynb/x.ipynb", "through the link")))
    assert files == {GOOD: b"good", "link.ipynb/x.ipynb": b"through the link"}
    assert found.left_out[0].sentence == "Tampering attempt: 'link.ipynb' in the zip was left out: it is a link."


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_what_is_no_ordinary_file_is_left_out(kind, tmp_path):
    found, files = opened(made(tmp_path / "a.zip", (info("odd.ipynb", kind | 0o666), "x")))
    assert files == {GOOD: b"good"} and "it is no ordinary file" in found.left_out[0].sentence


def test_a_bomb_is_stopped_at_the_limit_of_one_file(tmp_path):
    bomb = made(tmp_path / "a.zip", ("bomb.ipynb", bytes(30_000_000)))
    assert bomb.stat().st_size < 100_000
    found, files = opened(bomb, Limits(file_mb=2))
    assert files == {GOOD: b"good"}
    assert found.left_out[0].sentence == "'bomb.ipynb' in the zip was left out: unpacked it has more than 2 MB."


def test_many_files_together_are_stopped_at_the_limit_of_the_zip(tmp_path):
    path = made(tmp_path / "a.zip", *((f"{number}.ipynb", bytes(1_000_000)) for number in range(9)))
    found, files = opened(path, Limits(file_mb=2, total_mb=3.5))
    assert sum(map(len, files.values())) <= 3_500_000 and len(files) == 3
    assert all("unpacked the zip has more than 3.5 MB" in one.sentence for one in found.left_out)


def test_a_size_that_is_a_lie_does_not_help_a_bomb(tmp_path):
    bomb = made(tmp_path / "a.zip", ("bomb.ipynb", bytes(3_000_000)))
    bomb.write_bytes(bomb.read_bytes().replace(struct.pack("<L", 3_000_000), struct.pack("<L", 10)))
    found, files = opened(bomb, Limits(file_mb=2))
    assert files == {GOOD: b"good"} and [str(one.place) for one in found.left_out] == ["bomb.ipynb"]


def test_too_many_files_are_cut_off_with_a_sentence(tmp_path):
    found, files = opened(made(tmp_path / "a.zip", *((f"{n}.ipynb", "x") for n in range(20))), Limits(files=5))
    assert sorted(files) == [f"{n}.ipynb" for n in range(5)]
    assert found.left_out[0].sentence == "The zip has 21 entries; those after the first 5 were left out."


def test_a_table_of_contents_of_gigabytes_is_not_read(tmp_path):
    path, end = tmp_path / "a.zip", struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65_535, 65_535, 3_000_000_000, 0, 0)
    path.write_bytes(bytes(1000) + end)
    with pytest.raises(UnusableArchive, match=r"^'a\.zip' cannot be unpacked: it lists too many files\.$"):
        opened(path)


def test_an_encrypted_entry_is_left_out(tmp_path):
    found, files = opened(flagged(made(tmp_path / "a.zip", ("secret.ipynb", "x")), 0, 1))
    assert files == {GOOD: b"good"}
    assert found.left_out[0].sentence == "'secret.ipynb' in the zip was left out: it is encrypted."


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_not_read(method, tmp_path):
    (entry := info("a.ipynb")).compress_type = method
    found, files = opened(made(tmp_path / "a.zip", (entry, "x" * 1000)))
    assert files == {GOOD: b"good"} and "its compression is not read" in found.left_out[0].sentence


def test_a_broken_entry_is_left_out_and_no_half_of_it_stays(tmp_path):
    path = made(tmp_path / "a.zip", ("broken.ipynb", b"0123456789" * 20_000), deflate=False)
    path.write_bytes(path.read_bytes().replace(b"0123456789", b"012345678X", 1))
    found, files = opened(path)
    assert files == {GOOD: b"good"}
    assert found.left_out[0].sentence == "'broken.ipynb' in the zip was left out: it is broken."


WHOLE = made(io.BytesIO(), ("a.ipynb", os.urandom(5000))).getvalue()
NO_ZIPS = {
    "empty": b"",
    "text": b"this is no zip",
    "cut short": WHOLE[: len(WHOLE) // 2],
    "noise with a zip's head": b"PK\3\4" + bytes(range(256)) * 9,
    "only the end of one": b"PK\5\6" + b"\xff" * 18,
    "the end cut": WHOLE[:-5],
    "broken table of contents": WHOLE.replace(b"PK\1\2", b"XX\1\2"),
}


@pytest.mark.parametrize("content", NO_ZIPS.values(), ids=NO_ZIPS)
def test_what_is_no_zip_is_refused_in_one_sentence(content, tmp_path):
    (tmp_path / "class.zip").write_bytes(content)
    with pytest.raises(UnusableArchive, match=r"^'class\.zip' cannot be unpacked: [^.]*\.$"):
        opened(tmp_path / "class.zip")


def test_a_zip_cut_or_changed_anywhere_raises_nothing_else(tmp_path):
    path, step = tmp_path / "a.zip", max(1, len(WHOLE) // 150)
    for at in range(0, len(WHOLE), step):
        to = tmp_path / f"to{at}"
        to.mkdir()
        path.write_bytes(WHOLE[:at] + bytes([WHOLE[at] ^ 0xFF]) + WHOLE[at + 1 :])
        try:
            found = unpack(path, to)
        except UnusableArchive:
            assert not below(to)
        else:
            assert len(found.files) == len(below(to))


def test_a_missing_file_and_a_folder_are_refused_in_one_sentence(tmp_path):
    for name, reason in [("none.zip", "No such file or directory"), ("", "Is a directory")]:
        with pytest.raises(UnusableArchive, match=f"cannot be unpacked: {reason}.$"):
            unpack(tmp_path / name, tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_name_twice_gives_two_files(tmp_path):
    names = ["lab.ipynb", "lab.ipynb", "LAB.ipynb", "./lab.ipynb"]
    found, files = opened(made(tmp_path / "a.zip", *((info("x", raw=name), name) for name in names)))
    numbered = {"lab (2).ipynb": b"lab.ipynb", "LAB (3).ipynb": b"LAB.ipynb", "lab (4).ipynb": b"./lab.ipynb"}
    assert files == {GOOD: b"good", "lab.ipynb": b"lab.ipynb"} | numbered
    assert {path.name for path in found.renamed} == set(numbered)


def test_backslashes_of_windows_are_folders_and_a_zip_within_stays_one(tmp_path):
    names = ["class\\jane doe\\inner.zip", "class\\empty\\"]
    _, files = opened(made(tmp_path / "a.zip", *((info("x", raw=name), "x") for name in names)))
    assert files == {GOOD: b"good", "class/jane doe/inner.zip": b"x"}
    assert (tmp_path / "inside" / "to" / "class" / "empty").is_dir()


NAMES = {  # as in the zip -> on the disk
    "Jörg Müller/läb.ipynb": "Jörg Müller/läb.ipynb",
    "王小明.ipynb": "王小明.ipynb",
    'what? "that": <x>|*.ipynb': "what_ _that__ _x___.ipynb",
    "con.ipynb": "_con.ipynb",
    "LPT1/lab.ipynb": "_LPT1/lab.ipynb",
    "dots. . /lab.ipynb": "dots/lab.ipynb",
    "new\nline\x1b[31m\u202e.ipynb": "new_line_[31m_.ipynb",
    " .ipynb": " .ipynb",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_that_not_every_system_takes_are_changed_and_it_is_said(name, tmp_path):
    found, files = opened(made(tmp_path / "a.zip", (info("x", raw=name), "x")))
    assert files == {GOOD: b"good", NAMES[name]: b"x"} and not found.left_out
    if name.split("/")[-1] != NAMES[name].split("/")[-1]:
        (sentence,) = found.renamed.values()
        assert repr(NAMES[name]) in sentence and sentence.isprintable()


def test_utf_8_names_without_the_flag_are_read_as_meant(tmp_path):
    assert "Jörg.ipynb" in opened(flagged(made(tmp_path / "a.zip", ("Jörg.ipynb", "x")), 1, 0))[1]


def test_endless_names_are_shortened_and_stay_apart(tmp_path):
    _, files = opened(made(tmp_path / "a.zip", *(("é" * 300 + f"{end}.ipynb", "x") for end in "ab")))
    assert len(files) == 3 and all(len(name.encode()) <= 150 and name.endswith(".ipynb") for name in files)


def test_folders_without_end_are_left_out(tmp_path):
    deep = "/".join("d" * 500) + "/lab.ipynb"
    found, files = opened(made(tmp_path / "a.zip", (deep, "x"), (f"{deep}/", "")))
    assert files == {GOOD: b"good"} and [one.reason for one in found.left_out] == ["its folder cannot be made"]


def test_a_file_and_a_folder_of_one_name_are_both_kept_where_they_can_be(tmp_path):
    entries = [("a.ipynb/", ""), ("a.ipynb", "1"), ("b.ipynb/x.ipynb", "2"), ("b.ipynb", "3"), ("b.ipynb/y.ipynb", "4")]
    found, files = opened(made(tmp_path / "a.zip", *entries, ("good.ipynb/x.ipynb", "5")))
    assert files.pop("good (2).ipynb") == b"good" and files.pop("good.ipynb/x.ipynb") == b"5"
    assert files == {"a (2).ipynb": b"1", "b.ipynb/x.ipynb": b"2", "b (2).ipynb": b"3", "b.ipynb/y.ipynb": b"4"}
    another = tmp_path / "another"
    another.mkdir()
    found, files = opened(made(another / "a.zip", ("a.ipynb", "1"), ("a.ipynb/x.ipynb", "2")))
    assert files == {GOOD: b"good", "a.ipynb": b"1"} and "its folder cannot be made" in found.left_out[0].sentence


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere paths are shorter")
def test_a_path_longer_than_any_system_takes_is_left_out(tmp_path):
    names = ["/".join(["d" * 149] * 19 + [end * 149]) for end in "ab"]
    to = tmp_path / "/".join(["t" * 100] * ((1240 - len(str(tmp_path))) // 101))
    path = made(tmp_path / "a.zip", *((name, "x") for name in names))
    to.mkdir(parents=True)
    found = unpack(path, to)
    assert below(to) == {GOOD: b"good"} and [len(one.place.parts) for one in found.left_out] == [20, 20]


def test_of_what_is_not_wanted_only_the_name_is_kept(tmp_path):
    path = made(tmp_path / "a.zip", ("a.txt", "x"), ("b/c.pdf", "x"), ("a.txt/d", "x"))
    found = unpack(path, tmp_path, wanted=lambda name: name == GOOD)
    assert below(tmp_path) == {"a.zip": path.read_bytes(), GOOD: b"good", "a.txt": b"", "b/c.pdf": b""}
    assert found.files == (tmp_path / GOOD,) and not found.left_out


@pytest.mark.parametrize("date", [(1980, 0, 0, 0, 0, 0), (2026, 2, 31, 0, 0, 0)])
def test_times_are_kept_and_an_impossible_one_is_old(date, tmp_path):
    (odd := info("odd.ipynb")).date_time = date
    found, _ = opened(made(tmp_path / "a.zip", (info("timed.ipynb"), "x"), (odd, "x")))
    assert [path.stat().st_mtime for path in found.files[:2]] == [datetime(2026, 11, 26, 19, 11, 4).timestamp(), 0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_a_full_disk_stops_with_a_sentence(tmp_path, monkeypatch):
    path, real = made(tmp_path / "a.zip", ("a.ipynb", bytes(100_000))), Path.open
    monkeypatch.setattr(Path, "open", lambda *a: real(Path("/dev/full"), "wb") if a[1] == "xb" else real(*a))
    with pytest.raises(UserError, match="disk is full"):
        opened(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_thousands_of_files_of_one_name_take_little_time(tmp_path):
    path = made(tmp_path / "a.zip", *[("lab.ipynb", "")] * 4_000)
    began = time.monotonic()
    assert len(opened(path)[1]) == 4_001 and time.monotonic() - began < 10
