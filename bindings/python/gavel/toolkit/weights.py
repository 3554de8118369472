"""Writes safetensors one tensor at a time, so that a model never has to be in memory whole."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path

import torch

from .errors import ToolkitError

ALIGNMENT = 64  # a cache line, and what vector loads want of a mapped file
NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.int8: "I8"}
Layout = dict[str, tuple[torch.dtype, tuple[int, ...]]]
Chunk = tuple[str, int, torch.Tensor]  # a tensor's name, the first of some rows of its own, and these rows


def size_of(dtype: torch.dtype, shape: tuple[int, ...]) -> int:
    size = dtype.itemsize
    for extent in shape:
        size *= extent
    return size


def granularity(size: int) -> int:
    """The largest power of two that divides a size, up to the alignment."""
    return min(size & -size, ALIGNMENT) if size else ALIGNMENT


def header(layout: Layout) -> tuple[bytes, dict[str, tuple[int, int]]]:
    """The file's first bytes, and where each tensor begins and ends in the whole file.

    The format allows no gaps. Tensors whose size is a multiple of 64 come first, so each begins at one; the few others
    follow by falling granularity, so each is at least aligned to its own elements.
    """
    names = sorted(layout, key=lambda name: -granularity(size_of(*layout[name])))  # stable: the program's order stays
    entries: dict[str, object] = {}
    offsets: dict[str, tuple[int, int]] = {}
    end = 0
    for name in names:
        dtype, shape = layout[name]
        begin, end = end, end + size_of(dtype, shape)
        entries[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [begin, end]}
        offsets[name] = (begin, end)
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    start = 8 + len(text)
    return struct.pack("<Q", len(text)) + text, {name: (start + a, start + b) for name, (a, b) in offsets.items()}


def write_weights(path: Path, layout: Layout, chunks: Iterable[Chunk]) -> None:
    """Writes the tensors as they come, some rows at a time and in any order; each must be as the layout says, and all
    must come."""
    start, offsets = header(layout)
    missing = {name: size_of(*entry) for name, entry in layout.items()}
    with path.open("wb") as file:
        file.write(start)
        file.truncate(max((end for _, end in offsets.values()), default=len(start)))
        for name, first, rows in chunks:
            if name not in layout:
                raise ToolkitError(f"tensor {name} is not one the program asks for")
            dtype, shape = layout[name]
            fits = rows.dtype == dtype and rows.shape[1:] == shape[1:] and first + rows.shape[0] <= shape[0]
            data = rows.contiguous().view(torch.uint8).numpy().reshape(-1).data if fits and rows.numel() else b""
            missing[name] -= len(data)
            if not fits or missing[name] < 0:
                raise ToolkitError(
                    f"tensor {name}: rows from {first} on are {rows.dtype} {list(rows.shape)}, or came twice; "
                    f"the program asks for {dtype} {list(shape)}"
                )
            file.seek(offsets[name][0] + first * size_of(dtype, shape[1:]))
            file.write(data)
    left = [name for name, size in missing.items() if size]
    if left:
        raise ToolkitError(f"tensors the program asks for were not made: {', '.join(left[:4])}")
