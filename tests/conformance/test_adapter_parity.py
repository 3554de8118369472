"""Adapted models against transformers with peft's adapter on it, on the same fp32 weights: logits, and a judge's
probability."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from test_parity import ROOT, line, logits
from transformers import LlamaForSequenceClassification

import gavel
from gavel.toolkit.adapter import adapt
from gavel.toolkit.bundle_source import BundleSource
from gavel.toolkit.export import JudgeWording, export
from gavel.toolkit.prompts import encode_shared
from gavel.toolkit.text import Text

sys.path.insert(0, str(ROOT / "tests" / "python"))

import tiny_models as tiny
from test_export_lora import KINDS, LINEARS, adapted

CASES: dict[str, tuple[str, dict[str, Any]]] = {kind: ("llama", settings) for kind, settings in KINDS.items()}
CASES |= {
    "biases": ("qwen2", {"target_modules": LINEARS}),
    "one of three": ("qwen2", {"target_modules": ["k_proj", "up_proj"]}),
    "head": ("llama-untied", {"target_modules": ["q_proj", "lm_head"]}),
}
TASK = gavel.Task('def double(x):\n    """Return twice x."""\n', "python")
CODES = ["    return 2 * x\n", "    return x\n", "    pass\n" * 20]


def judged_ids(bundle: Path, manifest: dict[str, Any], code: str) -> list[int]:
    slots = {"prompt": TASK.prompt, "language": "Python", "code": code}
    return encode_shared(manifest["prompts"]["judge"], slots, "code", Text(BundleSource(bundle).tokenizer))


@torch.inference_mode()
@pytest.mark.parametrize("case", CASES)
def test_logits_and_verdicts(case: str, tmp_path: Path) -> None:
    variant, settings = CASES[case]
    changes = {"max_position_embeddings": 1024}
    base = tiny.save(tiny.model(variant, **changes), tmp_path / "base")
    bundle = export(base, tmp_path / "base.gavel", precision="fp32")
    reference = adapted(tiny.model(variant, **changes), tmp_path / "lora", **settings)
    reference.save_pretrained(tmp_path / "lora", save_embedding_layers=False)
    folder = adapt(bundle, tmp_path / "lora")

    random = numpy.random.default_rng(1)
    prefix = random.integers(3, 300, 120).tolist()
    own = [random.integers(3, 300, 1 + 9 * i).tolist() for i in range(10)]
    alone = [prefix[:n] for n in (1, 16, 63, 120)]
    lines = [line(ids) for ids in alone] + [line(prefix) + "|" + line(own[0])] + ["|" + line(ids) for ids in own[1:]]
    found = logits(folder, lines, tiny.VOCABULARY)
    for i, ids in enumerate(alone + [prefix + ids for ids in own]):
        expected = reference(torch.tensor([ids])).logits[0, -1].numpy()
        assert numpy.abs(found[i] - expected).max() < 1e-4 * numpy.abs(expected).max()

    model = gavel.Model.open(bundle).adapted("lora")
    spoken = model.manifest["judge"]
    for code, verdict in zip(CODES, gavel.Judge(model).judge(TASK, CODES), strict=True):
        values = reference(torch.tensor([judged_ids(bundle, model.manifest, code)])).logits[0, -1].double()
        logit = values[spoken["positive"]].logsumexp(0) - values[spoken["negative"]].logsumexp(0)
        assert verdict.p_correct == pytest.approx(float(torch.sigmoid(logit)), abs=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("labels", [{0: "correct"}, {0: "wrong", 1: "correct"}, {0: "a", 1: "correct", 2: "b"}])
def test_classifier_on_a_language_model(labels: dict[int, str], tmp_path: Path) -> None:
    """An adapter that brings a head: the language model it is put on keeps its own."""
    language_model = tiny.model("llama", max_position_embeddings=1024)
    bundle = export(tiny.save(language_model, tmp_path / "base"), tmp_path / "base.gavel", precision="fp32")
    classifier = tiny.classifier(labels)
    assert isinstance(classifier, LlamaForSequenceClassification)
    classifier.model.load_state_dict(language_model.model.state_dict())
    reference = adapted(classifier, tmp_path / "lora", task_type="SEQ_CLS", target_modules=LINEARS)
    adapt(bundle, tmp_path / "lora", judge=JudgeWording(positive_label="LABEL_1") if len(labels) == 3 else None)
    base = gavel.Model.open(bundle)
    judge = gavel.Judge(base.adapted("lora"))
    assert judge.info().kind == "classifier" and judge.info().trained
    positive = next(i for i, label in labels.items() if label == "correct")
    for code, verdict in zip(CODES, judge.judge(TASK, CODES), strict=True):
        values = reference(torch.tensor([judged_ids(bundle, judge.model.manifest, code)])).logits[0].double()
        expected = values.softmax(0)[positive] if len(labels) > 1 else values.sigmoid()[0]
        assert verdict.p_correct == pytest.approx(float(expected), abs=1e-5)
    assert gavel.Judge(base).info().kind == "verbalizer"


@pytest.mark.parametrize("precision", ["bf16", "fp16", "int8"])
def test_narrow_precisions_pass_their_self_test(precision: str, tmp_path: Path) -> None:
    """Whose reference is transformers with peft, rounded as the base is."""
    model = tiny.model("qwen2", max_position_embeddings=1024)
    bundle = export(tiny.save(model, tmp_path / "base"), tmp_path / "base.gavel", precision=precision)
    adapted(model, tmp_path / "lora", target_modules=LINEARS)
    folder = adapt(bundle, tmp_path / "lora")
    gavel.Model.open(folder, self_test=True)
    base, own = gavel.Model.open(bundle).manifest["selftest"], gavel.Model.open(folder).manifest["selftest"]
    assert [case["logits"] for case in base] != [case["logits"] for case in own]
