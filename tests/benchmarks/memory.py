"""Peak memory of the toolkit, folder to reports, over folders of growing size.

`python tests/benchmarks/memory.py [--sizes 100,1000,10000] [--pixels 224]`
"""

import argparse
import tempfile
from pathlib import Path

from measure import drawn_pictures, load_average, run

WORDS = ["apple", "banana", "boat", "bird", "car", "cat", "cup", "dog", "house", "truck"]
LIMIT = 2048  # MiB for ten thousand pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="100,1000,10000", help="numbers of pictures")
    parser.add_argument("--pixels", type=int, default=224, help="side of each picture")
    options = parser.parse_args()
    labels = ", ".join(f"a {word}" for word in WORDS)
    print(f"{load_average()}; {options.pixels} px JPEG, pocket tier, {len(WORDS)} labels, JSON, CSV and page written")
    print(f"{'pictures':>9} {'first run':>10} {'peak':>9} {'second run':>11} {'peak':>9} {'page':>8}")
    for n in map(int, options.sizes.split(",")):
        with tempfile.TemporaryDirectory() as place:
            folder = drawn_pictures(Path(place) / "pictures", n, options.pixels)
            files = {kind: Path(place) / f"report.{kind}" for kind in ("json", "csv", "html")}
            command = ["-m", "vfm_course.cli", "toolkit", str(folder), "--labels", labels, "--tier", "pocket"]
            command += [f"--{kind}={path}" for kind, path in files.items()]
            first, second = run(command, Path(place)), run(command, Path(place))
            page = files["html"].stat().st_size / 2**20
        print(
            f"{n:9,} {first.seconds:8.1f} s {first.peak:5.0f} MiB {second.seconds:9.1f} s {second.peak:5.0f} MiB "
            f"{page:4.1f} MiB",
            flush=True,
        )
        if n <= 10_000 and max(first.peak, second.peak) > LIMIT:
            raise SystemExit(f"more than {LIMIT} MiB for {n} pictures")


if __name__ == "__main__":
    main()
