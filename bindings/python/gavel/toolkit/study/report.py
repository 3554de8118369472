"""The study's report for people: one HTML file that needs nothing beside it, and its figures and numbers as files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gavel.toolkit import pictures
from gavel.toolkit.datasets import write_atomically
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.study import plots
from gavel.toolkit.study.csv_files import csv_files
from gavel.toolkit.study.plots import INK, PAPER, Plot
from gavel.toolkit.study.sections import Chapter, Section, chapters

FORMAT = 1


@dataclass(frozen=True)
class Picture:
    """A `Plot` as the page has it. ``file`` is the name of its files, without what it ends with."""

    label: str
    file: str
    plot: Plot
    svg: Markup


def write_report(analysis: dict[str, Any], folder: str | os.PathLike[str]) -> Path:
    """Writes report.html, figures/*.svg, figures/*.png and csv/*.csv into the folder; returns the path of report.html.

    ``analysis`` is what `gavel.toolkit.study.analysis.analyse` gave, or the same read from its JSON. What the study has
    none of (a second generator, larger models, a compiler's word) has no heading. Raises `ToolkitError` for an analysis
    of another format. Files of these names are replaced, each as a whole and report.html last.
    """
    if analysis.get("format") != FORMAT:
        raise ToolkitError(
            f"the analysis has format {analysis.get('format')!r}, and this version reports format {FORMAT}: "
            "analyse the study again"
        )
    folder = Path(folder)
    for name, content in csv_files(analysis).items():
        write_atomically(folder / "csv" / name, content)
    with plots.style():
        gallery = _Gallery(folder / "figures")
        contents = [
            (chapter, [(section, gallery.pictures(section)) for section in chapter.sections])
            for chapter in chapters(analysis)
        ]
    page = folder / "report.html"
    write_atomically(page, _html(analysis, contents).encode())
    return page


class _Gallery:
    """Draws and writes the figures in their order; a section's have one number, and a second one where they are
    several."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: set[str] = set()
        self._sections = 0

    def pictures(self, section: Section) -> list[Picture]:
        self._sections += bool(section.plots)
        several = len(section.plots) > 1
        labels = [
            f"{self._sections}.{index}" if several else str(self._sections)
            for index in range(1, 1 + len(section.plots))
        ]
        return [self._picture(plot, label) for plot, label in zip(section.plots, labels, strict=True)]

    def _picture(self, plot: Plot, label: str) -> Picture:
        file = self._file(plot)
        plot.figure.draw_without_rendering()
        plot.figure.set_layout_engine("none")  # laid out once, for both
        drawing = pictures.svg(plot.figure)
        write_atomically(self._folder / f"{file}.svg", drawing)
        write_atomically(self._folder / f"{file}.png", pictures.png(plot.figure))
        return Picture(label, file, plot, _inline(drawing.decode(), f"f{label}-"))

    def _file(self, plot: Plot) -> str:
        """A name of its own, of letters that every file system takes."""
        wanted = re.sub(r"[^A-Za-z0-9.]+", "-", f"{plot.kind}-{plot.scope}").strip("-.")
        name, number = wanted, 1
        while name.lower() in self._files:
            number += 1
            name = f"{wanted}-{number}"
        self._files.add(name.lower())
        return name


def _inline(svg: str, prefix: str) -> Markup:
    """The drawing as part of a page: with ids of its own where they are used, and in the page's colours."""
    drawing = svg[svg.index("<svg") :]
    drawing = re.sub(r"<!--.*?-->\s*", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'<g id="[^"]*"', "<g", drawing)
    drawing = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}", drawing)
    return Markup(drawing.replace(INK, "currentColor").replace(PAPER, "none"))


def _html(analysis: dict[str, Any], contents: list[tuple[Chapter, list[tuple[Section, list[Picture]]]]]) -> str:
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template("report.html.j2").render(
        study=analysis["study"],
        contents=contents,
        method=analysis.get("method") or [],
        settings=list(_facts(analysis.get("settings") or {})),
        data=list(_facts(analysis.get("data") or {})),
    )


def _facts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """What is nested, as lines: the names that lead to a value, and the value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _facts(inner, f"{name}, {key}" if name else str(key))
    elif isinstance(value, list):
        yield name, ", ".join(map(str, value))
    else:
        yield name, str(value)
