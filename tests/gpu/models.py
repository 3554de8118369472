"""Models of real shape with random weights, for a machine that cannot fetch real ones.

models.py --describe FOLDER NAME...   config and tokenizer of known models, without weights: what the kit carries
models.py --make KIT FOLDER           checkpoints with random weights, and bundles of them
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

# Wide enough that the next token's probabilities are far from equal, as a real model's are.
SPREAD = 0.06
PRECISIONS = {"smollm2-135m-instruct": ("fp32", "bf16", "fp16"), "qwen2.5-coder-0.5b-instruct": ("bf16",)}


def describe(folder: Path, names: list[str]) -> None:
    from gavel.toolkit.pull import pull
    from gavel.toolkit.sources import open_source

    for name in names:
        source = open_source(pull(name))
        target = folder / name
        target.mkdir(parents=True)
        (target / "config.json").write_text(json.dumps(source.config, indent=1))
        (target / source.tokenizer.name).write_bytes(source.tokenizer.data)
        settings = {**source.special.named, "add_bos_token": source.special.adds_bos}
        if source.chat_template:
            settings["chat_template"] = source.chat_template
        (target / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))


def make(kit: Path, folder: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from gavel.toolkit.export import export

    for described in sorted(kit.iterdir()):
        checkpoint = folder / described.name
        shutil.copytree(described, checkpoint, dirs_exist_ok=True)
        config = AutoConfig.from_pretrained(checkpoint)
        config.initializer_range = SPREAD
        torch.manual_seed(7)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        weights = folder / "weights"
        model.save_pretrained(weights)
        shutil.move(weights / "model.safetensors", checkpoint / "model.safetensors")
        shutil.rmtree(weights)
        for precision in PRECISIONS[described.name]:
            bundle = export(checkpoint, folder / f"{described.name}-{precision}.gavel", precision=precision, force=True)
            print(f"made {bundle}", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--describe":
        describe(Path(sys.argv[2]), sys.argv[3:])
    else:
        make(Path(sys.argv[2]), Path(sys.argv[3]))
