"""Trains a tiny recipe in a process of its own, so that a test can kill it: RECIPE, BASE FOLDER, RUN FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from tests.train.tiny_base import TEMPLATE
from train.model import base_in
from train.recipe import load_recipe
from train.run import run_recipe
from train.run_dir import RunDir

if __name__ == "__main__":
    torch.set_num_threads(1)
    recipe, base, run = sys.argv[1:]
    run_recipe(load_recipe(recipe), RunDir(Path(run)), base_in(Path(base)), TEMPLATE)
