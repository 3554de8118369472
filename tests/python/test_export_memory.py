"""Export streams: what it takes of memory does not grow with the checkpoint."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import tiny_models as tiny
import torch

# Exports in a process of its own and prints the memory taken beyond what the imports take, in bytes.
EXPORT = """
import sys
from pathlib import Path
import torch
from gavel.toolkit.export import export
from gavel.toolkit.selftest import self_test

def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024

torch.zeros(1 << 20).sum()
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS:")
export(sys.argv[1], sys.argv[2], precision="fp32")
print(status("VmHWM:") - before)
"""


def checkpoint(folder: Path, layers: int) -> Path:
    """Layers of 4.2 million parameters each."""
    shape = {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8, "num_key_value_heads": 8}
    model = tiny.model("llama", **shape, num_hidden_layers=layers)
    return tiny.save(model.to(torch.bfloat16), folder, shard="50MB")


def taken(folder: Path) -> int:
    """Bytes that exporting the checkpoint takes at its peak."""
    command = [sys.executable, "-c", EXPORT, str(folder), str(folder.with_suffix(".gavel"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_memory_of_an_export_does_not_grow_with_the_layers(tmp_path: Path) -> None:
    few, many = (taken(checkpoint(tmp_path / str(layers), layers)) for layers in (2, 18))
    added = 16 * 4.2e6
    assert many - few < 0.3 * added * 4  # of what the further layers are in float32
