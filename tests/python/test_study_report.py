"""The study's report: whole in one file, its figures with their n, its CSV with the numbers of the analysis."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.study.report import write_report

Analysis = dict[str, Any]
NASTY = 'a<b> & "c" $x_1$'  # what HTML, an attribute or a formula would take for its own


def around(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.05, "high": value + 0.05}


def judged(judge: str, generator: str, subset: str) -> dict[str, Any]:
    said = {"selected": [4, 2], "right": [3, 2], "precision": [0.75, 1.0]}
    return {
        "test_set": "test",
        "generator": generator,
        "dataset": "all",
        "subset": subset,
        "judge": judge,
        "role": "probe" if judge == "probe" else "fine-tuned",
        "own_generator": None,
        "tasks": 6,
        "candidates": 24,
        "unjudged": 1,
        "correct": 8,
        "threshold": 0.5,
        "confusion": {"true_negative": 12, "false_positive": 4, "false_negative": 3, "true_positive": 5},
        "accuracy": around(0.708333),
        "precision": 0.555556,
        "recall": 0.625,
        "kappa": around(0.363636),
        "mcc": around(0.365148),
        "auroc": None if judge == "probe" else around(0.71),
        "auroc_within_tasks": None if judge == "probe" else around(0.61),
        "brier": around(0.2),
        "ece": 0.0612345,
        "confidence": {
            "thresholds": [0.5, 0.9],
            "correct": said,
            "wrong": {"selected": [20, 0], "right": [16, 0], "precision": [0.8, None]},
        },
        "reliability": [
            {"candidates": 20, "mean_p_correct": 0.1, "share_correct": 0.2},
            {"candidates": 4, "mean_p_correct": 0.8, "share_correct": 0.75},
        ],
    }


def ranked(way: str, family: str, n: int, value: float, **more: Any) -> dict[str, Any]:
    of_several = family not in ("generator", "greedy")
    return {
        "test_set": "test",
        "generator": "small",
        "dataset": "all",
        "way": way,
        "family": family,
        "judges": [],
        "compiles_first": way.endswith("compiles first"),
        "n": n,
        "tasks": 6,
        "repetitions": 10 if n == 2 else 1,
        "pool": {"min": 4, "max": 4},
        "pass_at_1": around(value),
        "sd": 0.0123456 if n == 2 else None,
        "over_random": around(value - 0.3) if of_several else None,
        "relative_gain": around(value / 0.3 - 1),
        "won": around((value - 0.3) / 0.4) if of_several else None,
        **more,
    }


def small() -> Analysis:
    """What a quick study has: one generator, no larger one, nothing that compiles."""
    return {
        "format": 1,
        "study": NASTY,
        "data": {"rows": {"sha256": "0123abcd", "tasks": 6}},
        "settings": {"sizes": [2, 4], "draws": 100},
        "method": ["Intervals hold 95 %.", "Drawn from a pool of four."],
        "judges": [
            {
                "judge": "m:verbalizer",
                "kind": "verbalizer",
                "label": NASTY,
                "role": "fine-tuned",
                "base": "m",
                "parameters": 134515008,
                "trained_on": "small",
                "threshold": 0.5,
            }
        ],
        "teams": [],
        "generators": [
            {
                "test_set": "test",
                "generator": "small",
                "dataset": "all",
                "parameters": 134515008,
                "tasks": 6,
                "candidates": 24,
                "pool": {"min": 4, "max": 4},
                "left_out": 0,
                "correct": 8,
                "compiled": None,
                "solvable": 4,
                "pass_at_k": {"1": 0.333333, "2": 0.5},
                "statuses": None,
                "greedy": None,
            }
        ],
        "judging": [judged(NASTY, "small", "all"), judged("probe", "small", "all")],
        "ranking": [
            ranked("generator alone", "generator", 1, 0.3),
            *(ranked("random", "random", n, 0.3) for n in (2, 4)),
            *(ranked("oracle", "oracle", n, 0.7) for n in (2, 4)),
            *(ranked(NASTY, "judge", n, 0.5) for n in (2, 4)),
        ],
        "way_auroc": [],
        "cascade": [],
        "larger": [],
        "costs": [],
        "questions": [{"id": "generator", "text": "Is choosing better?", "tests": 0}],
        "comparisons": [],
    }


def whole() -> Analysis:
    """What the full study has besides."""
    analysis = small()
    analysis["judging"] += [
        judged(judge, generator, subset)
        for judge in (NASTY, "probe")
        for generator, subset in (("small", "compiled"), ("other", "all"), ("all", "all"))
    ]
    analysis["ranking"] += [
        ranked("greedy", "greedy", 1, 0.4),
        ranked("compiles", "rival", 4, 0.35, compiles_first=True),
        ranked(f"{NASTY}, compiles first", "judge", 4, 0.55),
        ranked(f"probe + {NASTY}", "combination", 4, 0.52, won=None),
    ]
    points = [
        {"margin": margin, "forward_passes": passes, "tasks_asked": share, "pass_at_1": around(value)}
        for margin, passes, share, value in ((0.0, 0.0, 0.0, 0.45), (None, 3.5, 1.0, 0.5))
    ]
    chain = {"test_set": "test", "generator": "small", "n": 4, "tasks": 6, "probe": "probe", "judge": NASTY}
    analysis["cascade"] = [chain | {"compiles_first": first, "points": points} for first in (False, True)]
    analysis["teams"] = [{"label": "both", "judges": [NASTY, "probe"], "weights": [0.5, 2.0], "log_likelihood": 0.1}]
    ordered = {"test_set": "test", "generator": "small", "dataset": "all", "tasks": 6, "candidates": 24, "correct": 8}
    analysis["way_auroc"] = [
        ordered
        | {"subset": subset, "way": "log-likelihood", "family": "rival", "auroc": auroc, "auroc_within_tasks": auroc}
        for subset, auroc in (("all", around(0.66)), ("compiled", None))
    ]
    larger = {"test_set": "test", "model": "large", "parameters": 1543714304, "tasks": 6, "pass_at_1": around(0.6)}
    analysis["larger"] = [larger]
    bill = {"test_set": "test", "judges": [], "tasks": 6, "joules": None, "usd": 0.0000527778}
    analysis["costs"] = [
        bill
        | {"name": name, "kind": kind, "generator": generator, "candidates": candidates, "pass_at_1": around(value)}
        | {"parameters": parameters, "memory_bytes": 920000000, "seconds": seconds}
        for name, kind, generator, candidates, value, parameters, seconds in (
            (NASTY, "team", "small", 4, 0.5, 134515008, 1.9),
            ("large", "larger", None, 1, 0.6, None, 60.5),
        )
    ]
    pair = {"question": "generator", "test_set": "test", "generator": "small", "n": 4, "first": NASTY, "tasks": 6}
    counts = {"both": 1, "first_only": 3, "second_only": 0, "neither": 2}
    ratio = {"value": None, "low": 0.41, "high": None}
    tested = {"second": "generator alone", "odds_ratio": ratio, "p": 0.25, "p_adjusted": 0.5, "difference": around(0.5)}
    analysis["comparisons"] = [pair | counts | tested]
    return analysis


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Analysis, Path]]:
    """Of the small and of the whole study: the analysis and its report's folder."""
    analyses = {"small": small(), "whole": whole()}
    return {
        name: (analysis, write_report(analysis, tmp_path_factory.mktemp(name)).parent)
        for name, analysis in analyses.items()
    }


@pytest.fixture(params=["small", "whole"])
def written(request: pytest.FixtureRequest, reports: dict[str, tuple[Analysis, Path]]) -> tuple[Analysis, Path]:
    return reports[request.param]


class Page(HTMLParser):
    """Tags with their attributes, headings, ids, and the text outside of style."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.source = (folder / "report.html").read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag in ("h2", "h3"):
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data
        if self._open and self._open[-1] in ("h2", "h3"):
            self.headings[-1] += data


def test_the_page_needs_nothing_beside_it(written: tuple[Analysis, Path]) -> None:
    page = Page(written[1])
    assert not {"script", "link", "img", "iframe", "object", "embed", "image"} & {tag for tag, _ in page.tags}
    references = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href")
    ]
    references += re.findall(r"url\(([^)]*)\)", page.source)
    assert references
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert {reference for reference in references if not reference or reference[0] != "#"} == set()
    assert {reference[1:] for reference in references if reference} <= set(ids)
    assert len(ids) == len(set(ids)), "drawings on one page must not share ids"
    assert "@import" not in page.source


def test_names_are_text(written: tuple[Analysis, Path]) -> None:
    page = Page(written[1])
    assert NASTY in page.text
    assert "b" not in {tag for tag, _ in page.tags}
    assert f"{NASTY}: study of judges and teams" in page.text


def test_every_figure_says_its_n(written: tuple[Analysis, Path]) -> None:
    """Text is drawn as outlines, and the drawing's comments say what was drawn."""
    page = Page(written[1])
    drawings = sorted((written[1] / "figures").glob("*.svg"))
    assert len(drawings) == len([tag for tag, _ in page.tags if tag == "figure"])
    for drawing in drawings:
        said = re.findall(r"<!-- (.*?) -->", drawing.read_text(encoding="utf-8"))
        assert any(re.match(r"n = 6 tasks", line) for line in said), drawing.name
        assert not any("mathdefault" in line for line in said), f"{drawing.name} shows a formula's source"
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page.source, re.DOTALL)
    assert all("n = 6 tasks" in caption for caption in captions)


def test_figures_are_files_too(written: tuple[Analysis, Path]) -> None:
    names = {drawing.stem for drawing in (written[1] / "figures").iterdir()}
    for name in names:
        assert ElementTree.parse(written[1] / "figures" / f"{name}.svg").getroot().tag.endswith("}svg")
        with Image.open(written[1] / "figures" / f"{name}.png") as picture:
            picture.load()
            assert picture.format == "PNG" and picture.width >= 1000
    assert {name.split("-")[0] for name in names} >= {"confusion", "precision", "calibration", "pass", "ways", "won"}


def lines(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "csv" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def leaves(value: Any) -> list[Any]:
    """Every value within a record, in order."""
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner)]
    return [value]


def numbers(values: list[Any]) -> list[float]:
    return sorted(float(value) for value in values if isinstance(value, (int, float)) and not isinstance(value, bool))


def read(cells: list[str]) -> list[float]:
    found = []
    for cell in cells:
        try:
            found.append(float(cell))
        except ValueError:
            found += [float(part) for part in cell.split("; ") if re.fullmatch(r"[\d.]+", part)]
    return sorted(found)


@pytest.mark.parametrize(
    "kind", ["generators", "judges", "teams", "way_auroc", "ranking", "larger", "costs", "comparisons"]
)
def test_csv_has_the_numbers_of_the_json(written: tuple[Analysis, Path], kind: str) -> None:
    analysis, folder = written
    if not analysis[kind]:
        assert not (folder / "csv" / f"{kind}.csv").exists()
        return
    table = lines(folder, kind)
    assert len(table) == len(analysis[kind])
    for line, record in zip(table, json.loads(json.dumps(analysis[kind])), strict=True):
        assert read(list(line.values())) == numbers(leaves(record))


def test_csv_of_judging(written: tuple[Analysis, Path]) -> None:
    analysis, folder = written
    table, confidence, reliability = (lines(folder, name) for name in ("judging", "confidence", "reliability"))
    for line, record in zip(table, analysis["judging"], strict=True):
        who = {name: record[name] for name in ("test_set", "generator", "dataset", "subset", "judge")}
        assert {name: line[name] for name in who} == who
        plain = {name: value for name, value in record.items() if name not in ("confidence", "reliability")}
        assert read(list(line.values())) == numbers(leaves(plain))
        assert float(line["confusion_false_negative"]) == record["confusion"]["false_negative"]
        assert float(line["kappa_low"]) == record["kappa"]["low"] and float(line["kappa"]) == record["kappa"]["value"]

        def same(line: dict[str, str], who: dict[str, str] = who) -> bool:
            return {name: line[name] for name in who} == who

        found = [one for one in confidence if same(one)]
        for verdict in ("correct", "wrong"):
            of_verdict = [one for one in found if one["verdict"] == verdict]
            assert [float(one["threshold"]) for one in of_verdict] == record["confidence"]["thresholds"]
            for name in ("selected", "right", "precision"):
                got = [float(one[name]) if one[name] else None for one in of_verdict]
                assert got == record["confidence"][verdict][name]
        bins = [{name: float(one[name]) for name in record["reliability"][0]} for one in reliability if same(one)]
        assert bins == record["reliability"]


def test_csv_of_cascades(reports: dict[str, tuple[Analysis, Path]]) -> None:
    analysis, folder = reports["whole"]
    points = [
        {"forward_passes": point["forward_passes"], "tasks_asked": point["tasks_asked"]}
        | {"pass_at_1": point["pass_at_1"]["value"], "pass_at_1_high": point["pass_at_1"]["high"]}
        for record in analysis["cascade"]
        for point in record["points"]
    ]
    table = lines(folder, "cascade")
    assert [{name: float(line[name]) for name in points[0]} for line in table] == points
    assert [line["margin"] for line in table] == ["0.0", "", "0.0", ""]


def test_absent_sections_leave_no_headings(reports: dict[str, tuple[Analysis, Path]]) -> None:
    quick, full = (Page(folder) for _, folder in reports.values())
    only_full = {
        "Rivals, teams and combinations",
        "Among candidates that compile",
        "By generator",
        "Cascade",
        "Larger models",
        "Is choosing better?",
    }
    assert only_full <= set(full.headings)
    assert not only_full & set(quick.headings)
    assert not [heading for heading in quick.headings if heading.startswith(("RQ3", "Tests"))]
    for page in (quick, full):
        assert all(heading.strip() for heading in page.headings)
        anchors = {attributes.get("id") for tag, attributes in page.tags if tag == "h2"}
        contents = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
        assert contents == {f"#{anchor}" for anchor in anchors}


def test_a_study_of_nothing_has_its_method_alone(tmp_path: Path) -> None:
    bare = {"format": 1, "study": "bare", "method": ["Nothing was judged."]}
    page = Page(write_report(bare, tmp_path).parent)
    assert page.headings == ["Method"]
    assert "Nothing was judged." in page.text
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_what_the_tables_say(reports: dict[str, tuple[Analysis, Path]]) -> None:
    text = " ".join(Page(reports["whole"][1]).text.split())
    assert "Drawn from a pool of four." in text and "0123abcd" in text
    assert "∞" in text and "0.41 to ∞" in text  # an odds ratio where the second never solves one alone
    assert "0.500" in text and "0.450 to 0.550" in text
    assert "1.54 B" in text and "135 M" in text
    assert "2 candidates a task (drawn 10 times from a pool of 4)" in text


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match="format 2, and this version reports format 1"):
        write_report(small() | {"format": 2}, tmp_path)
    assert not any(tmp_path.iterdir())


def test_the_same_analysis_gives_the_same_page(reports: dict[str, tuple[Analysis, Path]], tmp_path: Path) -> None:
    analysis, folder = reports["small"]
    assert write_report(analysis, tmp_path).read_bytes() == (folder / "report.html").read_bytes()
