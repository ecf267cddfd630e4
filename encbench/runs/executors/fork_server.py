"""Imported once by the server from which the processes of cells are forked.

Imports torch and the libraries that most cells need, so that no process imports them again, and
its peak memory does not depend on which of its cells needs them first.
"""

import signal

import igl
import imagecodecs
import matplotlib
import PIL.Image
import pytorch_msssim
import tifffile

from encbench.runs.executors import serve
from encbench.training.optimizers import load_optimizers

__all__ = ["PIL", "igl", "imagecodecs", "matplotlib", "pytorch_msssim", "serve", "tifffile"]

load_optimizers()
# SIGTERM to the whole process group must not end the server before the cells it has forked
signal.signal(signal.SIGTERM, signal.SIG_IGN)
