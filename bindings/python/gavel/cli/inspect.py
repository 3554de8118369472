"""gavel inspect"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

import gavel
from gavel.cli import show
from gavel.cli.errors import command
from gavel.toolkit.bundle import ADAPTERS, base_of, probe_parts, probe_summary, read_adapter
from gavel.toolkit.bundle import verify as verify_hashes

EXAMPLES = """
gavel inspect model.gavel
gavel inspect model.gavel --verify
gavel inspect model.gavel --memory 10,256 --json
gavel inspect model.gavel/adapters/lora
"""

PROMPT_TOKENS = 512
FIGURES = {"brier": "Brier score", "ece": "ECE"}


def _counts(text: str | None) -> str | None:
    if text is not None:
        _memory(text)
    return text


def _memory(text: str) -> tuple[int, int, int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if len(counts) not in (2, 3) or min(counts) < 1:
        raise typer.BadParameter(f"{text!r} is not N,LEN or N,LEN,PROMPT, numbers from 1 on such as 10,256")
    candidates, length, prompt = (*counts, PROMPT_TOKENS)[:3]
    return candidates, length, prompt


@command
def inspect(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A folder NAME.gavel, or an adapter's in it.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash every file and run the self-tests, the adapters' too; fail closed.")
    ] = False,
    memory: Annotated[
        str,
        typer.Option(
            "--memory",
            metavar="N,LEN[,PROMPT]",
            callback=_counts,
            help="Say what N candidates of LEN tokens after a prompt of PROMPT tokens will take.",
        ),
    ] = f"10,256,{PROMPT_TOKENS}",
    device: Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON on stdout.")] = False,
) -> None:
    """Say what is inside a bundle, which adapters it holds, and what memory it will need.

    A bundle that contradicts its manifest is refused; the weights are hashed with --verify only, since that takes
    seconds.
    """
    if verify:
        verify_hashes(base_of(bundle) or bundle)
    model = gavel.Model.open(bundle, device=device, verify_weights=verify, self_test=verify)
    adapters = _adapters(bundle, model, verify)
    candidates, length, prompt = _memory(memory)
    estimate = model.estimate(prompt, candidates, length)
    asked = {"candidates": candidates, "max_tokens": length, "prompt_tokens": prompt}
    if as_json:
        found = {
            "name": model.name,
            "digest": model.digest,
            "device": model.device,
            "context": model.context,
            "has_probe": model.has_probe,
            "verified": verify,
            "memory": asked | asdict(estimate),
            "probe": _probe(bundle, model),
            "adapters": adapters,
            "manifest": model.manifest,
        }
        print(json.dumps(found, ensure_ascii=False, indent=1))
        return
    console = Console()
    lines = {f"adapter {name}": _adapter(said) for name, said in adapters.items()}
    show.facts(console, model.name, _facts(bundle, model, verify) | lines)
    heading = f"\nMemory for {candidates} candidates of {length} tokens after a prompt of {prompt}"
    show.facts(console, heading, {name: _bytes(size) for name, size in asdict(estimate).items()})
    console.print(Text("\nA bundle's program is code: trust it like a shared library."), style="dim")


def _facts(bundle: Path, model: gavel.Model, verified: bool) -> dict[str, Any]:
    manifest = model.manifest
    shape, provenance, head = manifest["architecture"], manifest.get("provenance") or {}, manifest["head"]
    found = {
        "model": _model(manifest["kind"], shape),
        "precision": manifest["precision"],
        "context": f"{model.context} tokens",
        "tokenizer": f"{manifest['tokenizer']['type']}, {manifest['tokenizer']['size']} tokens",
        "head": head["type"] if head["type"] == "lm" else f"classifier of {', '.join(head['labels'])}",
        "prompts": ", ".join(manifest["prompts"]),
        "judge": _judge(manifest.get("judge")),
        "probe": _probe_line(_probe(bundle, model)),
        "files": ", ".join(f"{name} {_bytes(entry['bytes'])}" for name, entry in manifest["files"].items()),
        "source": provenance.get("source", "not said"),
        "licence": provenance.get("license", "not said"),
        "made by": provenance.get("created_by", "not said"),
        "digest": model.digest,
        "verified": "every hash and the self-test" if verified else "manifest, program and tokenizer; not the weights",
    }
    if provenance.get("base"):
        found["base"] = provenance["base"]
    if "lora" in manifest:
        found["adapter"] = _lora(manifest["lora"])
    return found


def _model(kind: str, shape: dict[str, Any]) -> str:
    layers = f"{shape['layers']} layers"
    if kind == "encoder_decoder":
        layers = f"{shape['layers']} and {shape['decoder_layers']} layers"
    return (
        f"{shape['family']} {kind.replace('_', '-')}, {layers} of {shape['hidden']}, {shape['heads']} heads "
        f"({shape.get('kv_heads', shape['heads'])} for keys), vocabulary {shape['vocabulary']}"
    )


def _adapters(bundle: Path, model: gavel.Model, verify: bool) -> dict[str, dict[str, Any]]:
    """What the bundle's adapters say of themselves; to verify one is to put it on and run its self-test."""
    if verify:
        for name in model.adapters:
            model.adapted(name).self_test()
    return {name: read_adapter(bundle / ADAPTERS / name) for name in model.adapters}


def _adapter(adapter: dict[str, Any]) -> str:
    return f"{_judge(adapter['judge'])}; {_lora(adapter['lora'])}; licence {adapter['provenance']['license']}"


def _lora(settings: dict[str, Any]) -> str:
    return f"LoRA of rank {settings['rank']} on {', '.join(settings['targets'])}"


def _judge(judge: dict[str, Any] | None) -> str:
    if judge is None:
        return "none"
    trained = "trained" if judge.get("trained") else "untrained: asked as it is, hardly a guide"
    return f"{judge['type']}, {trained}{_validation(judge)}"


def _validation(judge: dict[str, Any]) -> str:
    """How a judge or probe was calibrated, if it was."""
    if not (said := judge.get("validation")):
        return ""
    before, after = said["uncalibrated"], said["calibrated"]
    changes = ", ".join(f"{name} {before[key]:.3f} to {after[key]:.3f}" for key, name in FIGURES.items())
    return f"; {said['method']} calibration on {said['candidates']} candidates: {changes}"


def _probe(bundle: Path, model: gavel.Model) -> dict[str, Any] | None:
    """The probe without its weights."""
    if not model.has_probe:
        return None
    probe = json.loads((bundle / model.manifest["probe"]["file"]).read_bytes())
    return probe_summary(probe)


def _probe_line(probe: dict[str, Any] | None) -> str:
    if probe is None:
        return "none"
    figures = ", ".join(f"{name} {value}" for name, value in (probe.get("figures") or {}).items())
    parts = ", ".join(f"layer {layer} {pooling}" for layer, pooling in probe_parts(probe))
    early = ", ".join(str(each["tokens"]) for each in probe.get("early", []))
    parts += f"; early after {early} tokens" if early else ""
    return f"trained, {parts}; on {probe.get('fitted_on', 'data not named')}; {figures}{_validation(probe)}"


def _bytes(size: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}" if size < 1000 * scale else f"{size / scale:.0f} {unit}"
    return f"{size} B"
