"""What holds for every test."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch


def pytest_runtest_setup(item: pytest.Item) -> None:
    """The same random numbers for a test whichever ran before it in its process."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 # for libraries that draw from it
    torch.manual_seed(0)
