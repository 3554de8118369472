"""Unpacks those wheels of a folder whose package this Python has not: unpack.py WHEELS TARGET."""

from __future__ import annotations

import sys
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def main(wheels: Path, target: Path) -> None:
    for wheel in sorted(wheels.glob("*.whl")):
        name, carried, *_ = wheel.name.split("-")
        try:
            print(f"{name}: {version(name)} is here")
        except PackageNotFoundError:
            zipfile.ZipFile(wheel).extractall(target)
            print(f"{name}: {carried} from the kit")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
