"""Adds up the reports of tests/run: what passed, failed and was skipped, the latter two by name.

Usage: summary.py FOLDER PART=SECONDS=STATUS...
       summary.py --single NAME STATUS FILE.xml    writes a report of one test for a part that makes none
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

# The last lines of a Catch2 run, which CTest sees as one test.
CATCH_ALL = re.compile(r"^All tests passed \(.* in (\d+) test cases?\)", re.MULTILINE)
CATCH_SOME = re.compile(r"^test cases:\s*\d+((?: *\| *\d+ [a-z ]+)+)", re.MULTILINE)
CATCH_COUNT = re.compile(r"(\d+) (passed|failed as expected|failed|skipped)")
CATCH_NONE = re.compile(r"^No test(s ran| cases matched)", re.MULTILINE)
# A C or C++ test that cannot run here prints such a line, and returns.
SKIPPED = re.compile(r"^\s*SKIPPED: (.+)$", re.MULTILINE)


@dataclass
class Part:
    """What one part of the tests did."""

    name: str
    seconds: int = 0
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def add(self, case: ElementTree.Element) -> None:
        name = "::".join(text for text in (case.get("classname"), case.get("name")) if text)
        output = "".join(case.itertext())
        failure = next((child for child in case if child.tag in ("failure", "error")), None)
        skip = case.find("skipped")
        if skip is not None or case.get("status") in ("notrun", "disabled"):
            reason = skip.get("message") if skip is not None else None
            self.skipped.append(f"{name}: {reason or 'not run'}")
            return
        notes = SKIPPED.findall(output)
        self.skipped += [f"{name}: {note}" for note in notes]
        cases = catch_counts(output)
        if CATCH_NONE.search(output):
            self.failed.append(f"{name}: no test carries this tag")
        elif cases is not None:
            passed, failed, skipped = cases
            self.passed += max(0, passed - len(notes))
            self.failed += [name] * failed
            self.skipped += [name] * max(0, skipped - len(notes))
            if failure is not None and not failed:
                self.failed.append(f"{name}: it ended badly after its tests")
        elif failure is not None or case.get("status") == "fail":
            self.failed.append(name)
        elif not notes:
            self.passed += 1


def catch_counts(output: str) -> tuple[int, int, int] | None:
    """Passed, failed and skipped test cases of a Catch2 run's output."""
    if match := CATCH_ALL.search(output):
        return int(match[1]), 0, 0
    if match := CATCH_SOME.search(output):
        counts = {word: int(number) for number, word in CATCH_COUNT.findall(match[1])}
        passed = counts.get("passed", 0) + counts.get("failed as expected", 0)
        return passed, counts.get("failed", 0), counts.get("skipped", 0)
    return None


def read_part(folder: Path, name: str, seconds: int, status: int) -> Part:
    part = Part(name, seconds)
    report = folder / f"{name}.xml"
    try:
        for case in ElementTree.parse(report).iter("testcase"):
            part.add(case)
    except (OSError, ElementTree.ParseError) as error:
        part.failed.append(f"no report ({error}); see above")
    if status != 0 and not part.failed:
        part.failed.append(f"ended with status {status}; see above")
    if not (part.passed or part.failed or part.skipped):
        part.failed.append("no test ran")
    return part


def write_single(name: str, status: str, file: Path) -> None:
    case = ElementTree.Element("testcase", name=name)
    if status != "0":
        ElementTree.SubElement(case, "failure")
    suite = ElementTree.Element("testsuite")
    suite.append(case)
    ElementTree.ElementTree(suite).write(file)


def main(arguments: list[str]) -> int:
    if arguments[0] == "--single":
        write_single(arguments[1], arguments[2], Path(arguments[3]))
        return 0
    folder, *given = arguments
    parts = []
    for each in given:
        name, seconds, status = each.split("=")
        parts.append(read_part(Path(folder), name, int(seconds), int(status)))
    print(f"{'part':<12} {'passed':>7} {'failed':>7} {'skipped':>8} {'seconds':>8}")
    for part in parts:
        print(f"{part.name:<12} {part.passed:>7} {len(part.failed):>7} {len(part.skipped):>8} {part.seconds:>8}")
    for title, kind in (("Skipped", "skipped"), ("Failed", "failed")):
        lines = [f"  {part.name}: {line}" for part in parts for line in getattr(part, kind)]
        if lines:
            print(f"\n{title}:", *lines, sep="\n")
    passed, failed = sum(part.passed for part in parts), sum(len(part.failed) for part in parts)
    print(f"\n{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
