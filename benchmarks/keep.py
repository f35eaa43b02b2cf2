"""Keep the report of a finished run under benchmarks/results.

python benchmarks/keep.py runs/classic gail-classic

Makes the report again, then copies it with its figures (PNG), its tables and the manifest. Results
themselves are not kept: the manifest says how to make them.
"""

import argparse
import shutil
from pathlib import Path

from imitax.bench.report.write import write_report

RESULTS = Path(__file__).resolve().parent / "results"
TABLES = ("report.md", "summary.csv", "scores.csv", "manifest.json")


def keep(directory: Path, name: str) -> Path:
    text = write_report(directory).read_text("utf-8")
    kept = RESULTS / name
    shutil.rmtree(kept, ignore_errors=True)
    (kept / "figures").mkdir(parents=True)
    for table in TABLES:
        if (directory / table).exists():
            shutil.copy(directory / table, kept / table)
    for figure in sorted((directory / "figures").glob("*.png")):
        if figure.name in text:
            shutil.copy(figure, kept / "figures" / figure.name)
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("name")
    args = parser.parse_args()
    print(keep(args.directory, args.name))


if __name__ == "__main__":
    main()
