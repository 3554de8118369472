"""Calibration: the figures are arithmetic's and scikit-learn's, and the library gives what was stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import labelled_toys as toys
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit
from scipy.stats import binomtest
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import cohen_kappa_score, log_loss
from typer.testing import CliRunner

import gavel
from gavel.cli.app import app
from gavel.toolkit import bundle as bundles
from gavel.toolkit import calibration, judge_place, labelled
from gavel.toolkit.calibrate import calibrate
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.rows import task_of

TASKS, EACH = 40, 10
JUDGE = "checkpoint-fp32:verbalizer"


def drawn(slope: float = 2.0, shift: float = -1.0, count: int = 20_000) -> tuple[Any, Any]:
    """Log-odds, and outcomes that a calibration of this slope and shift describes."""
    random = np.random.default_rng(0)
    logits = random.normal(size=count)
    return logits, random.random(count) < expit(slope * logits + shift)


def rows(judge: str = JUDGE, slope: float = 2.0) -> list[dict[str, Any]]:
    """Labelled rows with verdicts of a judge whose log-odds say half of what they know; two rows share a problem."""
    logits, passed = drawn(slope, count=TASKS * EACH)
    verdict = {"judge": judge, "kind": judge.rpartition(":")[2], "p_correct": 0.5}
    return toys.judged(passed, EACH, lambda at: {"verdicts": [verdict | {"logit": logits[at]}]})


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def validation(tmp_path: Path) -> Path:
    return write(tmp_path / "validation.jsonl", rows())


def refused(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["calibrate", *map(str, arguments)])
    assert result.exit_code == 1, result.output
    return result.stderr


# ---- Arithmetic ------------------------------------------------------------------------------------------------------


def test_figures_are_those_of_their_definitions() -> None:
    probabilities = np.array([0.1, 0.1, 0.1, 0.1, 0.9, 0.9, 1.0, 0.0])
    passed = np.array([0, 0, 0, 1, 1, 0, 1, 0], bool)
    found = calibration.figures(probabilities, passed)
    assert found["brier"] == pytest.approx((3 * 0.01 + 0.81 + 0.01 + 0.81) / 8, abs=1e-6)
    # bins of 1/15: four at 0.1 of which a quarter passed, two at 0.9 of which half did, and two that are right
    assert found["ece"] == pytest.approx((4 * 0.15 + 2 * 0.4) / 8, abs=1e-6)


def test_the_threshold_that_agrees_best_is_that_of_kappa() -> None:
    logits, passed = drawn(slope=1.0, count=300)
    probabilities = expit(logits - 1.0)
    data: dict[str, Any] = {}
    said = calibration.validation("platt", logits, probabilities, probabilities, passed, data)
    every = np.unique(probabilities)
    best = max(cohen_kappa_score(passed, probabilities >= one) for one in every)
    chosen = calibration.most_agreeing(said)
    assert cohen_kappa_score(passed, probabilities >= chosen) == best > 0.3
    assert 0.2 < chosen < 0.5  # fewer than half pass, so that a verdict of 0.5 would agree less


def test_the_curve_counts_at_every_threshold() -> None:
    random = np.random.default_rng(1)
    probabilities = random.random(300).round(2)  # so that some are equal
    passed = random.random(300) < probabilities
    counts = calibration.curve(probabilities, passed)
    assert counts["thresholds"] == sorted(set(probabilities))
    for threshold, selected, correct in zip(*counts.values(), strict=True):
        above = probabilities >= threshold
        assert (selected, correct) == (above.sum(), passed[above].sum())


def test_methods_fit_as_the_reference_does() -> None:
    logits, passed = drawn()
    platt = calibration.fit("platt", logits, passed)
    assert (platt.scale, platt.shift) == pytest.approx((2, -1), abs=0.1)
    temperature = calibration.fit("temperature", logits, passed)
    best = minimize_scalar(lambda scale: log_loss(passed, expit(scale * logits)), bounds=(0, 10), method="bounded")
    assert (temperature.scale, temperature.shift) == pytest.approx((best.x, 0), abs=1e-3)
    isotonic = calibration.fit("isotonic", logits, passed)
    reference = IsotonicRegression(out_of_bounds="clip").fit(logits, passed)
    unseen = np.linspace(-6, 6, 1001)
    np.testing.assert_allclose(isotonic.probabilities(unseen), reference.predict(unseen), atol=1e-12)


@pytest.mark.parametrize("method", calibration.METHODS)
def test_a_group_is_never_seen_by_its_own_calibration(method: calibration.Method) -> None:
    logits, passed = drawn(count=400)
    group = np.arange(400) // 20
    before = calibration.out_of_fold(method, logits, passed, group, 5, 0)
    turned = np.where(group == 3, ~passed, passed)
    after = calibration.out_of_fold(method, logits, turned, group, 5, 0)
    np.testing.assert_array_equal(before[group == 3], after[group == 3])
    assert not np.array_equal(before, after)


# ---- In a bundle -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", calibration.METHODS)
def test_the_library_gives_the_probabilities_that_were_fitted(
    method: calibration.Method, tiny_copy: Path, tmp_path: Path
) -> None:
    """Rows without verdicts: the judge is asked, and labels follow what it says."""
    given = rows()[:8]
    with gavel.Model.open(tiny_copy) as model:
        judge = gavel.Judge(model, "verbalizer")
        known = [
            verdict.logit
            for row in given
            for verdict in judge.judge(task_of(row), labelled.candidates_of(row, list(range(EACH))))
        ]
    logits = np.array(known)
    standard = (logits - logits.mean()) / logits.std()
    passed = standard + np.random.default_rng(0).normal(size=len(logits)) > 0
    for candidate, outcome in zip((each for row in given for each in row["candidates"]), passed, strict=True):
        del candidate["verdicts"]
        candidate["passed"] = bool(outcome)
    fit = calibrate(tiny_copy, write(tmp_path / "rows.jsonl", given), method=method, kind="verbalizer", min_each=10)
    assert fit.data.asked == len(logits)
    expected = calibration.fit(method, logits, passed).probabilities(logits)
    with gavel.Model.open(tiny_copy, self_test=True) as model:  # which holds whatever the calibration
        judge = gavel.Judge(model, "verbalizer")
        verdicts = [
            verdict
            for row in given
            for verdict in judge.judge(task_of(row), labelled.candidates_of(row, list(range(EACH))))
        ]
        assert [each.logit for each in verdicts] == pytest.approx(known, abs=1e-5)
        assert [each.p_correct for each in verdicts] == pytest.approx(expected, abs=1e-4)


def test_a_precision_is_had_with_its_coverage_or_not_at_all(tiny_copy: Path, validation: Path) -> None:
    fit = calibrate(tiny_copy, validation, kind="verbalizer")
    probabilities = expit(fit.calibration["scale"] * fit.data.logits + fit.calibration["shift"])
    with gavel.Model.open(tiny_copy) as model:
        judge = gavel.Judge(model, "verbalizer")
        for precision in (0.01, 0.5, 0.7, 0.8):
            point = judge.at_precision(precision)
            assert point is not None
            above = probabilities >= point.threshold
            assert (point.selected, point.candidates) == (above.sum(), TASKS * EACH)
            assert point.coverage == pytest.approx(above.mean())
            right = int(fit.data.passed[above].sum())
            assert precision <= point.precision == pytest.approx(right / above.sum())
            low = binomtest(right, point.selected).proportion_ci(method="wilson").low
            assert point.precision_low == pytest.approx(low, abs=1e-9)
            for lower in probabilities[~above]:  # none of more coverage is as precise
                assert fit.data.passed[probabilities >= lower].mean() < precision
        assert judge.at_precision(1.0) is None
        with pytest.raises(gavel.InvalidArgument, match="precision is 0"):
            judge.at_precision(0)
        with pytest.raises(gavel.Unsupported, match=r"no threshold gives .* precision 1 on 20 or more of its 400"):
            gavel.Judge(model, "verbalizer", precision=1.0)
        with pytest.raises(gavel.InvalidArgument, match="give either"):
            gavel.Judge(model, "verbalizer", precision=0.8, threshold=0.5)
        task, codes = gavel.Task("def f(x):\n", "python"), ["    return x\n", "    return 2 * x\n"]
        threshold = judge.at_precision(0.8).threshold  # type: ignore[union-attr]
        for verdict in gavel.Judge(model, "verbalizer", precision=0.8).judge(task, codes):
            assert verdict.decision == ("correct" if verdict.p_correct >= threshold else "wrong")


def test_a_bundle_without_validation_says_how_to_get_one(tiny_bundle: Path) -> None:
    with gavel.Model.open(tiny_bundle) as model, pytest.raises(gavel.Unsupported, match="gavel calibrate"):
        gavel.Judge(model, "verbalizer").at_precision(0.9)


def test_what_is_stored(tiny_copy: Path, validation: Path) -> None:
    before = bundles.read_manifest(tiny_copy)
    fit = calibrate(tiny_copy, validation, kind="verbalizer")
    after = bundles.read_manifest(tiny_copy)
    assert {key for key in after if after[key] != before[key]} == {"judge"}
    stored = after["judge"]["validation"]
    assert (stored["tasks"], stored["problems"], stored["folds"]) == (TASKS, TASKS // 2, 10)
    assert stored["correct"] == fit.data.passed.sum() == stored["curve"]["correct"][0]
    assert stored["uncalibrated"]["brier"] == pytest.approx(
        np.mean((expit(fit.data.logits) - fit.data.passed) ** 2), abs=1e-6
    )
    assert stored["calibrated"]["brier"] < stored["uncalibrated"]["brier"]
    assert stored["calibrated"] == fit.methods["platt"]
    others = rows()
    others[0]["candidates"][0]["verdicts"].append({"judge": "another", "kind": "probe"})
    assert stored["labels_sha256"] == labelled.labels_digest(others)  # a further verdict changes no label
    others[0]["candidates"][0]["passed"] ^= True
    assert stored["labels_sha256"] != labelled.labels_digest(others)


def test_a_probe_is_calibrated_in_its_own_file(tiny_copy: Path, validation: Path) -> None:
    probe = {"format": 1, "layers": [1], "weights": [[0.1] * 64], "bias": 0.1, "threshold": 0.5, "abstain_band": 0.0}
    probe |= {"calibration": {"scale": 1.0, "shift": 0.0}, "figures": {}, "fitted_on": "noise", "base": "tiny"}
    bundles.add_probe(tiny_copy, probe)
    manifest = bundles.read_manifest(tiny_copy)
    fit = calibrate(tiny_copy, write(validation, rows("checkpoint-fp32:probe")), method="isotonic")
    assert bundles.read_probe(tiny_copy)["calibration"] == fit.calibration != manifest["judge"]["calibration"]
    assert bundles.read_manifest(tiny_copy)["judge"] == manifest["judge"]
    bundles.verify(tiny_copy)
    with gavel.Model.open(tiny_copy) as model:
        assert gavel.Judge(model, "probe").at_precision(0.7).candidates == TASKS * EACH  # type: ignore[union-attr]
        with pytest.raises(gavel.Unsupported, match="verbalizer"):
            gavel.Judge(model, "verbalizer").at_precision(0.7)
    bundles.add_probe(tiny_copy, bundles.read_probe(tiny_copy) | {"labels_sha256": labelled.labels_digest(rows())})
    with pytest.raises(ToolkitError, match="these very rows"):
        calibrate(tiny_copy, validation)


def test_rows_with_verdicts_ask_nobody(tiny_copy: Path, validation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object) -> None:
        raise AssertionError("the judge was asked")

    monkeypatch.setattr(judge_place.AskedJudge, "__call__", nobody)
    assert calibrate(tiny_copy, validation, kind="verbalizer").data.asked == 0


def test_what_was_not_run_or_is_empty_is_left_out(tiny_copy: Path, tmp_path: Path) -> None:
    given = rows()
    given[0]["candidates"][0] = {"code": "x", "status": "harness_error"}
    given[0]["candidates"][1]["code"] = " "
    fit = calibrate(tiny_copy, write(tmp_path / "rows.jsonl", given), kind="verbalizer")
    assert fit.data.left_out == 2 and fit.validation["candidates"] == TASKS * EACH - 2


# ---- The command -----------------------------------------------------------------------------------------------------


def test_command(tiny_copy: Path, validation: Path, tmp_path: Path) -> None:
    picture = tmp_path / "reliability.png"
    said = CliRunner().invoke(app, ["calibrate", str(tiny_copy), str(validation), "--plot", str(picture)])
    assert said.exit_code == 0, said.output
    assert "platt (stored)" in said.stdout and "isotonic" in said.stdout and "20 problems" in said.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    said = CliRunner().invoke(
        app, ["calibrate", str(tiny_copy), str(validation), "-j", "verbalizer", "--method", "isotonic", "--json"]
    )
    found = json.loads(said.stdout)
    assert found["judge"] == JUDGE and found["validation"]["method"] == "isotonic"
    assert found["validation"]["calibrated"] == found["methods"]["isotonic"]
    said = CliRunner().invoke(app, ["inspect", str(tiny_copy)])
    assert "isotonic calibration on 400 candidates" in " ".join(said.stdout.split())
    output = tmp_path / "judged.jsonl"
    arguments = ["judge", str(validation), "-o", str(output), "-j", f"{tiny_copy}:verbalizer", "--limit", "1"]
    said = CliRunner().invoke(app, [*arguments, "--precision", "0.7"])
    assert said.exit_code == 0, said.output
    assert "precision 0.7" in said.stderr and "of 400 validation candidates" in said.stderr
    said = CliRunner().invoke(app, [*arguments, "--precision", "0.75"])
    assert said.exit_code == 1 and "precision was 0.7, is now 0.75" in said.stderr


def test_refusals_name_the_remedy(tiny_copy: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert "label candidates of more tasks" in refused(tiny_copy, write(path, rows()[:3]))
    given = rows()
    for row in given:
        for candidate in row["candidates"]:
            candidate["passed"] = False
    assert "0 candidates pass and 400 fail" in refused(tiny_copy, write(path, given))
    del given[2]["candidates"][4]["passed"]
    assert "task set/2: candidate 4 says no `passed`; run `gavel label` first" in refused(tiny_copy, write(path, given))
    assert "its judges are: verbalizer" in refused(tiny_copy, write(path, rows()), "--judge", "probe")
    assert "train it" in refused(tiny_copy, write(path, rows(slope=-2.0)))
    assert "no bundle" in refused(tmp_path, path)
    manifest = bundles.read_manifest(tiny_copy)
    assert manifest["judge"]["calibration"] == {"scale": 1.0, "shift": 0.0} and "validation" not in manifest["judge"]
