"""GPU runs use processes, since after some errors a process cannot use the GPU any more."""

import os

import pytest
import torch

from encbench.device import gpus, processes_share_gpus
from tests.processes import outside

pytestmark = pytest.mark.gpu


def test_several_cells_run_at_a_time(start, suite_file, tmp_path):
    names = ["identity", "ffe:levels=2", "mpe:resolutions=[8]", "hashgrid:levels=2"]
    out = str(tmp_path / "out")
    run = start(suite_file(names, steps=40, points=12), "-o", out, "--device", "cuda", "-j", "2")
    assert run.end() == 0, run.said()
    take_turns = len(gpus()) == 1 and not processes_share_gpus()
    assert ("-j 2: cells take turns on a GPU" in run.said()) is take_turns
    for record in run.records().values():
        assert record["status"] == "ok"
        assert record["step_method"] == "layerwise, recorded"
        assert record["provenance"]["device"] == torch.cuda.get_device_name()
        assert record["peak_memory_bytes"] > 0
        assert "on cuda" in record["spectra"][0]["method"]
    assert len({record["provenance"]["worker"] for record in run.records().values()}) == 2


def test_the_cell_after_an_index_outside_a_table_gets_a_new_process(
    start, suite_file, faults, tmp_path
):
    suite = suite_file(["identity", "reads_outside", "ffe:levels=2"])
    path = os.pathsep.join([faults, *filter(None, [outside().get("PYTHONPATH")])])
    run = start(suite, "-o", str(tmp_path / "out"), "--device", "cuda", PYTHONPATH=path)
    assert run.end() == 1, run.said()
    records = run.records()
    statuses = {name: record["status"] for name, record in records.items()}
    assert statuses == {"identity": "ok", "reads_outside": "failed", "ffe:levels=2": "ok"}
    assert "device-side assert" in records["reads_outside"]["error"]["message"]
    assert records["ffe:levels=2"]["lost_workers"] == []
