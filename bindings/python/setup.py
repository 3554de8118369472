"""Puts the C header, from which the foreign function interface is read, into the installed package."""

from pathlib import Path
from shutil import copyfile

from setuptools import setup
from setuptools.command.build_py import build_py

HEADER = Path(__file__).resolve().parents[2] / "capi" / "gavel.h"


class BuildWithHeader(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            copyfile(HEADER, Path(self.build_lib) / "gavel" / "gavel.h")


setup(cmdclass={"build_py": BuildWithHeader})
