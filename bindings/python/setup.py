"""Puts into the installed package what lies elsewhere in the checkout: the C header, from which the foreign function
interface is read, and the project's tasks, for the quick study."""

from pathlib import Path
from shutil import copyfile, copytree

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parents[2]


class BuildWithCopies(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            package = Path(self.build_lib) / "gavel"
            copyfile(ROOT / "capi" / "gavel.h", package / "gavel.h")
            copytree(ROOT / "examples" / "tasks", package / "toolkit" / "study" / "tasks", dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithCopies})
