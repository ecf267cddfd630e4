"""What is asked of the machine's GPUs without using them."""

import os
from pathlib import Path

import pytest

from encbench.device import processes_share_gpus


def test_the_service_by_which_processes_share_gpus_is_found_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    assert not processes_share_gpus()
    file = tmp_path / "nvidia-cuda-mps-control.pid"
    for text, runs in ((f"{os.getpid()}\n", True), (f"{2**22 + 1}\n", False), ("", False)):
        file.write_text(text, encoding="ascii")
        assert processes_share_gpus() is runs
