"""Judges learn from labelled candidates."""

from gavel.toolkit.training.options import TrainOptions
from gavel.toolkit.training.train import TrainResult, dry_run, train

__all__ = ["TrainOptions", "TrainResult", "dry_run", "train"]
