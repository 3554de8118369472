"""Every family of decoders against transformers on the same random weights: logits, greedy continuations, candidates
with a shared prefix, narrow precisions, and classifiers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

import gavel
from gavel.toolkit.export import export
from gavel.toolkit.prompts import encode_shared
from gavel.toolkit.reference import Reference
from gavel.toolkit.sources import TokenizerFile, open_source
from gavel.toolkit.text import Text

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "python"))

import tiny_families as families  # noqa: E402
import tiny_models as tiny  # noqa: E402
from tables import record  # noqa: E402

RELATIVE = 1e-4  # of the largest logit, in fp32
# The same in a narrow precision, against the reference that rounds as it does (where another order of sums tips a
# rounding over) and against the one that does not round.
NARROW = {"bf16": (0.02, 0.1), "int8": (0.04, 0.4)}
SHORT = "def add(a, b):\n    return"
LONG = SHORT + " a + b\n" * 12
TASK = gavel.Task(prompt='def double(x):\n    """Return twice x."""\n', language="python")
CODES = ["    return 2 * x\n", "    return x\n", "    return x + x\n" * 9, "    pass"] + [
    f"    return x * {i} / {i + 1}\n" for i in range(6)
]


class Exported:
    """A family's model and its bundles, made as they are asked for."""

    def __init__(self, name: str, folder: Path) -> None:
        self.model: PreTrainedModel = families.model(name)
        self.folder = folder
        tiny.save(self.model, folder / "checkpoint")

    def bundle(self, precision: str) -> Path:
        made = self.folder / f"{precision}.gavel"
        return made if made.exists() else export(self.folder / "checkpoint", made, precision=precision)


@pytest.fixture(scope="module", params=list(families.FAMILIES))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Exported]:
    return request.param, Exported(request.param, tmp_path_factory.mktemp("family"))


def logits(bundle: Path, prompts: list[str]) -> numpy.ndarray:
    """What the library itself computes, through tests/conformance/logits.cpp."""
    program = ROOT / "build" / "bin" / "gavel_logits"
    done = subprocess.run([program, bundle], input="\n".join(prompts).encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return numpy.frombuffer(done.stdout, dtype=numpy.float32).reshape(len(prompts), tiny.VOCABULARY)


def line(ids: list[int]) -> str:
    return " ".join(map(str, ids))


@torch.inference_mode()
def reference(model: PreTrainedModel, ids: list[int]) -> numpy.ndarray:
    return model(torch.tensor([ids]), use_cache=False).logits[0, -1].numpy()


def off(found: numpy.ndarray, expected: numpy.ndarray) -> float:
    """The largest difference, relative to the largest logit."""
    return float(numpy.abs(found - expected).max() / numpy.abs(expected).max())


def prompts() -> tuple[list[list[int]], list[int], list[list[int]]]:
    """Prompts alone, of lengths around the kernels' blocks, the window and the switch of LongRoPE; a prefix, and ten
    that continue it: with some of them the sequence is longer than the switch, with others not."""
    random = numpy.random.default_rng(1)
    text = random.integers(3, 300, 700).tolist()
    window, switch = families.WINDOW, families.SWITCH
    lengths = (1, 2, 15, 16, 17, window, window + 1, 63, 64, 65, switch, switch + 1, 200)
    return (
        [text[:n] for n in lengths],
        text[200 : 200 + switch - 30],
        [text[300 + i : 301 + 8 * i + i] for i in range(1, 11)],
    )


def test_logits(family: tuple[str, Exported]) -> None:
    name, made = family
    alone, prefix, own = prompts()
    together = [line(prefix) + "|" + line(own[0])] + ["|" + line(ids) for ids in own[1:]]
    expected = [reference(made.model, ids) for ids in alone + [prefix + ids for ids in own]]
    worst = {}
    for precision in ("fp32", *NARROW):
        bundle = made.bundle(precision)
        gavel.Model.open(bundle, self_test=True)
        found = logits(bundle, [*map(line, alone), *together])
        worst[precision] = max(off(a, b) for a, b in zip(found, expected, strict=True))
        if precision in NARROW:
            rounding = Reference(open_source(made.folder / "checkpoint"), precision)
            same = [rounding.logits([ids])[0].numpy() for ids in alone]
            worst[f"{precision}, rounded alike"] = max(off(a, b) for a, b in zip(found, same, strict=False))
        # Each alone after the prefix: the same to the last bit in int8, and to the order of sums in the others.
        by_one = logits(bundle, [line(prefix) + "|" + line(ids) for ids in own])
        if precision == "int8":
            assert numpy.array_equal(found[len(alone) :], by_one)
        elif precision == "fp32":
            assert off(found[len(alone) :], by_one) < 1e-5
    record(
        "Decoders against transformers, largest difference relative to the largest logit",
        {"family": name} | {key: f"{value:.1e}" for key, value in worst.items()},
    )
    assert worst["fp32"] < RELATIVE
    for precision, (alike, unrounded) in NARROW.items():
        assert worst[f"{precision}, rounded alike"] < alike
        assert worst[precision] < unrounded


def test_greedy(family: tuple[str, Exported]) -> None:
    """48 greedy tokens, alone and ten at once: the reference's own, token by token without a cache."""
    _, made = family
    model = gavel.Model.open(made.bundle("fp32"))
    generator = gavel.Generator(model)
    stops = set(model.manifest["tokens"]["stop"])
    options = {"max_tokens": 48, "temperature": 0.0, "language_stops": False}
    known = len(model.tokenizer)  # rows of the head behind it are padding, which is never written
    for text in (SHORT, LONG):
        ids = model.tokenizer.encode(text)
        expected: list[int] = []
        while len(expected) < 48:
            token = int(reference(made.model, ids + expected)[:known].argmax())
            if token in stops:
                break
            expected.append(token)
        candidates = [
            *generator.generate(gavel.Task(prompt=text), candidates=1, **options).candidates,
            *generator.generate(gavel.Task(prompt=text), candidates=10, **options).candidates,
        ]
        for candidate in candidates:
            assert list(candidate.tokens) == expected, repr(text[:40])


def test_prompts_cross_window_and_switch() -> None:
    """The greedy prompts begin and end on both sides of the window and of LongRoPE's switch."""
    tokenizer = tiny.tokenizer()
    short, long = (len(tokenizer.encode(text).ids) for text in (SHORT, LONG))
    assert short < families.WINDOW < short + 48
    assert families.WINDOW < long < families.SWITCH < long + 48


@pytest.mark.parametrize("labels", [1, 2, 3])
@pytest.mark.parametrize("name", families.CLASSIFIERS)
def test_classifier(name: str, labels: int, tmp_path: Path) -> None:
    """P(correct) of a head with one label (a reward) and with several."""
    model = families.model(name, "SequenceClassification", num_labels=labels)
    folder = tiny.save(model, tmp_path / "checkpoint")
    tiny.edit_config(
        folder,
        id2label={str(i): ["wrong", "correct", "unsure"][i] for i in range(labels)} if labels > 1 else {"0": "reward"},
    )
    bundle = export(folder, tmp_path / "judge.gavel", precision="fp32")
    judge = gavel.Judge(gavel.Model.open(bundle))
    found = judge.judge(TASK, CODES)
    manifest = gavel.Model.open(bundle).manifest
    for code, verdict in zip(CODES, found, strict=True):
        ids = judged_ids(bundle, manifest, code)
        with torch.inference_mode():
            values = model(torch.tensor([ids]), use_cache=False).logits[0]
        expected = torch.sigmoid(values[0]) if labels == 1 else values.softmax(0)[manifest["head"]["positive"]]
        assert verdict.p_correct == pytest.approx(float(expected), abs=1e-5)
        assert judge.judge(TASK, [code])[0].p_correct == pytest.approx(verdict.p_correct, abs=1e-6)


def judged_ids(bundle: Path, manifest: dict, code: str) -> list[int]:
    """The judge's prompt as the toolkit encodes it."""
    file = manifest["tokenizer"]["file"]
    text = Text(TokenizerFile(file, (bundle / file).read_bytes()))
    slots = {"prompt": TASK.prompt, "language": "Python", "code": code}
    return encode_shared(manifest["prompts"]["judge"], slots, "code", text)


def test_text_decoder_of_a_model_that_also_sees(tmp_path: Path) -> None:
    """A Gemma 3 with a vision tower is exported as its text decoder."""
    text = families.model("Gemma 3")
    folder = tiny.save(text, tmp_path / "text")
    seeing = tmp_path / "seeing"
    seeing.mkdir()
    for file in folder.iterdir():
        if file.name not in ("config.json", "model.safetensors"):
            (seeing / file.name).write_bytes(file.read_bytes())
    weights = {f"language_model.{name}": tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    weights |= {
        "vision_tower.vision_model.post_layernorm.weight": torch.ones(8),
        "multi_modal_projector.mm_input_projection_weight": torch.ones(8, 64),
    }
    save_file(weights, seeing / "model.safetensors", metadata={"format": "pt"})
    inner = json.loads((folder / "config.json").read_text())
    config = {
        "model_type": "gemma3",
        "architectures": ["Gemma3ForConditionalGeneration"],
        "text_config": inner,
        "eos_token_id": [1, 2],
    }
    (seeing / "config.json").write_text(json.dumps(config))
    ids = list(range(10, 90))
    for source in (folder, seeing):
        found = logits(export(source, tmp_path / f"{source.name}.gavel", precision="fp32"), [line(ids)])
        assert off(found[0], reference(text, ids)) < RELATIVE
