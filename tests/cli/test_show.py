"""Output on a record and on a run, whatever a plug-in's messages contain."""

from __future__ import annotations

import io
import json
import math

import pytest
from encbench_leaderboard.board.facts import MetricInfo
from rich.console import Console
from torch import Tensor

from encbench import Encoding, run_suite
from encbench.cli.console import literal_label, plain_table, print_line
from encbench.cli.progress import RunProgress, _line_of
from encbench.cli.show import show
from encbench.contracts.metric import MetricValue
from encbench.errors import printable
from encbench.results.records import ErrorInfo
from encbench.results.value_text import value_text
from tests.leaderboard.results import Results
from tests.sample_plugin import Wave, module, registry_of

CLEARS = "\x1b[2J\x1b]0;mine\x07 Grüße\x9b31m\x7f"


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path)


class Rude(Encoding):
    """Fails with a message that contains terminal control codes."""

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim, in_dim)

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError(CLEARS)


def test_control_characters_are_escapes_and_others_stay():
    assert printable("λ = 2\n\t日本 ✓") == "λ = 2\n\t日本 ✓"
    assert printable(CLEARS) == "\\x1b[2J\\x1b]0;mine\\x07 Grüße\\x9b31m\\x7f"


@pytest.mark.parametrize("everything", [False, True])
def test_a_message_of_a_plugin_cannot_command_the_terminal(tmp_path, suite, capsys, everything):
    registry = registry_of(rude=module(encodings={"rude": Rude}, tasks={"wave": Wave}))
    suite = suite.model_copy(
        update={"encodings": [suite.encodings[0].model_copy(update={"name": "rude"})]}
    )
    heard = io.StringIO()
    with RunProgress(Console(file=heard, force_terminal=True)) as progress:
        run_suite(suite, tmp_path, registry=registry, jobs=1, watcher=progress)
    (folder,) = (tmp_path / "records").glob("??/*")
    show(folder, None, everything=everything, as_json=False, trace=True)
    shown = capsys.readouterr().out
    for text in (heard.getvalue(), shown):
        assert "\\x1b[2J" in text
        assert "Grüße" in text
        for code in ("\x1b[2J", "\x1b]0;", "\x07", "\x9b", "\x7f"):
            assert code not in text


def test_a_line_break_in_the_name_of_a_folder_is_escaped(tmp_path, registry, suite):
    heard = io.StringIO()
    with RunProgress(Console(file=heard)) as progress:
        result = run_suite(suite, tmp_path / "a\nb", registry=registry, jobs=1, watcher=progress)
    progress.summary(result, 0.0)
    assert "/a\\nb/records" in heard.getvalue()


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_terminal_says_that_a_suite_is_being_checked(is_terminal):
    heard = io.StringIO()
    with RunProgress(Console(file=heard, force_terminal=is_terminal)) as progress:
        progress._bars.refresh()
    assert ("checking the suite" in heard.getvalue()) == is_terminal


def test_json_of_a_results_folder_is_the_list_of_its_records(tmp_path, registry, suite, capsys):
    (stored,) = run_suite(suite, tmp_path, registry=registry, jobs=1, device="cpu").records
    capsys.readouterr()
    show(tmp_path, None, everything=False, as_json=True)
    (row,) = json.loads(capsys.readouterr().out)
    record = stored.record
    assert row == {
        "key": record.key,
        "status": "ok",
        "task": "wave",
        "encoding": "scaled",
        "seed": 0,
        "metrics": {name: metric.value for name, metric in record.metrics.items()},
        "parameters": sum(record.parameters.values()),
        "training_s": record.durations["training"],
    }


def test_a_folder_is_listed_by_task_the_best_first_and_labels_break_at_commas(
    results, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    label = "hashgrid:levels=8,max_resolution=128,log2_hashmap_size=12"
    results.add("worse", psnr=20.0)
    results.add(label, psnr=30.0)
    results.add("gone", status="timeout", psnr=None)
    results.add("other", task="image:image=astronaut", psnr=25.0)
    show(results.directory, None, everything=False, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    places = [text.index(word) for word in ("=astronaut", "other", "hashgrid", "worse", "gone")]
    assert places == sorted(places)
    assert "hashgrid:levels=8," in text
    assert "30.00 dB" in text


def test_labels_break_after_commas_and_colons_and_not_within_lists(capsys):
    table = plain_table("encoding")
    table.add_row(literal_label("mpe:levels=12,resolutions=[96,277]"))
    Console(width=25).print(table)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["encoding", "mpe:levels=12,", "resolutions=[96,277]"]


def test_cells_of_a_sweep_are_told_apart(results, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    for batch_size in (16, 32):
        results.add("ffe", training={"batch_size": batch_size})
    show(results.directory, None, everything=False, as_json=False)
    text = capsys.readouterr().out
    assert "ffe · batch_size=16 " in text
    assert "ffe · batch_size=32 " in text


def test_one_record_is_a_summary_of_it(results, capsys):
    stored = results.add("ffe:levels=8", psnr=31.5)
    show(results.directory, stored.record.key, everything=False, as_json=False)
    text = capsys.readouterr().out
    assert "31.50 dB" in text
    assert "NTK, end" in text
    assert "schema_version" not in text


@pytest.mark.parametrize(
    ("unit", "direction", "value", "of", "expected"),
    [
        ("", "lower", 4.071e-4, None, "0.0004071"),
        ("", "lower", 2.2e-5, None, "2.200e-5"),
        ("", "lower", 2.48e-6, 2.2e-5, "0.248e-5"),
        ("px", "lower", 1234567.0, None, "1.235e6"),
        ("", "lower", 9.9999e-4, None, "0.001000"),
        ("", "lower", 0.0, None, "0.000"),
        ("", "lower", math.inf, 2.2e-5, "∞"),
        ("", "lower", 5e-324, None, "4.941e-324"),
        ("", "higher", 0.0, None, "0.0000"),
        ("", "higher", 3e-4, 0.9997, "0.0003"),
        ("", "higher", 2.2e-5, None, "2.200e-5"),
        ("", "higher", 41151.0003, None, "41151"),
        ("dB", "lower", -0.123, None, "−0.12"),
    ],
)
def test_errors_have_significant_digits_and_scores_decimals(unit, direction, value, of, expected):
    assert value_text(value, MetricInfo("m", unit, direction), of) == expected


def test_small_errors_are_shown(results, capsys):
    metrics = {"relative_l2": MetricValue(value=4.071e-4, direction="lower")}
    results.add("ffe", curve="relative_l2", metrics=metrics)
    show(results.directory, None, everything=False, as_json=False)
    assert "0.0004071" in capsys.readouterr().out


def test_no_line_of_the_program_commands_the_terminal(capsys):
    print_line(Console(force_terminal=True), f"error: {CLEARS}", "red")
    said = capsys.readouterr().out
    assert "\\x1b[2J" in said
    assert "\x1b[2J" not in said


def test_a_failed_cell_says_how_to_see_its_traceback_and_its_folder(results, capsys):
    error = ErrorInfo(type="ValueError", message="no", traceback="Traceback: …")
    stored = results.add(
        "ffe", status="failed", error=error, points=0, pictures=False, curves=False
    )
    show(results.directory, stored.record.key, everything=False, as_json=False)
    text = capsys.readouterr().out
    assert "`--trace` prints the traceback" in text
    assert f"{stored.path.name}:" not in "".join(text.split())


def test_all_lines_of_a_message_are_shown_as_one(results):
    error = ErrorInfo(type="ValueError", message="expected:\n  one\n  two")
    stored = results.add("ffe", status="failed", error=error)
    assert "in training: expected: one two" in _line_of(stored, "ffe").plain
