"""The toolkit against the script one would write without it, on drawn pictures: seconds, memory and whether they agree.

`python tests/benchmarks/toolkit_1000.py [--pictures 1000] [--pixels 224,1600] [--repeats 3]`
"""

import argparse
import os
import re
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, median

from measure import ROOT, Measured, drawn_pictures, load_average, run

WORDS = ["apple", "banana", "boat", "bird", "car", "cat", "cup", "dog", "house", "truck"]
LABELS = [f"a {word}" for word in WORDS]
SCRIPT = str(Path(__file__).with_name("obvious_script.py"))
AT_ONCE, BATCHES = "script, all at once", "script, batches of 32"
FIRST, SECOND = "toolkit, first run", "toolkit, second run"
MOST = 10  # pictures with another label are listed
COPIES = 3  # the decoded pictures are held about this often by a processor that gets them all at once


def toolkit(folder: Path) -> list[tuple[str, Measured]]:
    """A first run with an empty cache, then a second one with what the first left there."""
    command = ["-m", "vfm_course.cli", "toolkit", str(folder), "--labels", ", ".join(LABELS), "--tier", "pocket"]
    with tempfile.TemporaryDirectory() as cache:
        return [(name, run(command, Path(cache))) for name in (FIRST, SECOND)]


def script(folder: Path, name: str) -> list[tuple[str, Measured]]:
    with tempfile.TemporaryDirectory() as cache:
        batch = ["--batch", "32"] if name == BATCHES else []
        return [(name, run([SCRIPT, str(folder), ", ".join(LABELS), *batch], Path(cache)))]


def repeated(folder: Path, repeats: int, at_once: bool) -> dict[str, list[Measured]]:
    """Every way in a process of its own, in the order A B C, C B A, A B C …, so that none always comes first."""
    ways = [lambda: toolkit(folder), lambda: script(folder, BATCHES)]
    if at_once:
        ways.insert(1, lambda: script(folder, AT_ONCE))
    found: dict[str, list[Measured]] = {}
    for number in range(repeats):
        for way in ways[:: -1 if number % 2 else 1]:
            for name, measured in way():
                found.setdefault(name, []).append(measured)
    return {name: found[name] for name in (FIRST, SECOND, AT_ONCE, BATCHES) if name in found}


def print_table(title: str, found: dict[str, list[Measured]]) -> None:
    print(f"\n{title:<28} {'seconds':>8} {'range':>14} {'peak MiB':>9} {'range':>12}")
    for name, runs in found.items():
        seconds, peaks = [one.seconds for one in runs], [one.peak for one in runs]
        print(
            f"{name:<28} {median(seconds):8.1f} {f'{min(seconds):.1f} to {max(seconds):.1f}':>14} "
            f"{median(peaks):9.0f} {f'{min(peaks):.0f} to {max(peaks):.0f}':>12}",
            flush=True,
        )


def lines(measured: Measured) -> dict[str, re.Match]:
    """File -> its line: 1 the file, 2 the label with its confidence, 3 the label."""
    found = re.finditer(r'^(\S+) -> ("(.+?)" \([0-9.]+\)); neighbors: .*$', measured.output, re.MULTILINE)
    return {match[1]: match for match in found}


def embedding_cosines(folder: Path, cache: Path) -> dict[str, list[float]]:
    """Model -> for each picture the cosine of the toolkit's embedding with the script's. For a process of its own."""
    sys.path.insert(0, str(ROOT))
    import obvious_script
    from transformers.utils import logging

    from vfm_course.features.cache import VectorCache
    from vfm_course.features.encoders import Encoder
    from vfm_course.features.images import find_images
    from vfm_course.features.stream import embed_folder

    logging.disable_progress_bar()
    with redirect_stdout(StringIO()):
        names, *theirs = obvious_script.main(str(folder), LABELS, batch=32)
    encoders = [Encoder("clip", "pocket"), Encoder("dinov2", "pocket")]
    ours = embed_folder(find_images(folder), encoders, VectorCache(cache / "embeddings.sqlite"))
    assert names == [path.name for path in ours.paths]
    pairs = zip(encoders, theirs, strict=True)
    return {encoder.name: (ours.vectors[encoder.name] * other.numpy()).sum(1).tolist() for encoder, other in pairs}


def print_agreement(folder: Path, cache: Path, found: dict[str, list[Measured]]) -> None:
    """Of labels, lines and embeddings; where a label differs, how sure both were and how alike their embeddings are."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # this process stays small: children start from its size
        cosines = pool.submit(embedding_cosines, folder, cache).result()
    ours, theirs = lines(found[FIRST][0]), lines(found[BATCHES][0])
    assert list(ours) == list(theirs) and len(ours) == len(cosines["clip"])
    differ = [number for number, name in enumerate(ours) if ours[name][3] != theirs[name][3]]
    same = sum(ours[name][0] == theirs[name][0] for name in ours)
    print(f"The same label for {len(ours) - len(differ)} of {len(ours)} pictures, the same line for {same}.")
    for number in differ[:MOST]:
        name = list(ours)[number]
        cosine = cosines["clip"][number]
        print(f"  {name}: toolkit {ours[name][2]}, script {theirs[name][2]}; cosine of both embeddings {cosine:.5f}")
    if len(differ) > MOST:
        print(f"  and {len(differ) - MOST} more")
    for model, values in cosines.items():
        below = sum(value <= 0.999 for value in values)
        print(
            f"{model}: cosine of both embeddings {min(values):.5f} at least, {mean(values):.5f} on average, "
            f"0.999 or less for {below} pictures"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--pixels", default="224,1600", help="sides of the pictures; a table for each")
    parser.add_argument("--repeats", type=int, default=3, help="of every run")
    options = parser.parse_args()
    print(f"{load_average()}; pocket tier, {len(LABELS)} labels; medians of {options.repeats}, imports included")
    with tempfile.TemporaryDirectory() as place:
        one = drawn_pictures(Path(place) / "one", 1, 224)
        toolkit(one)  # what is read from the disk for the first time is not measured
        print_table("1 picture of 224 px", repeated(one, options.repeats, at_once=True))
    for pixels in map(int, options.pixels.split(",")):
        with tempfile.TemporaryDirectory() as place:
            folder = drawn_pictures(Path(place) / "pictures", options.pictures, pixels, options.pictures)
            decoded = 3 * pixels**2 * options.pictures
            fits = COPIES * decoded < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2
            found = repeated(folder, options.repeats, at_once=fits)
            print_table(f"{options.pictures:,} pictures of {pixels} px", found)
            if not fits:
                print(f"{AT_ONCE}: not run, for the decoded pictures alone are {decoded / 2**30:.0f} GiB")
            print_agreement(folder, Path(place), found)
    print(f"\n{load_average()} at the end")


if __name__ == "__main__":
    main()
