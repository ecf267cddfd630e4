"""What is printed of a record, and of a run, whatever stands in a plug-in's messages."""

from __future__ import annotations

import io
import json

from rich.console import Console
from torch import Tensor

from encbench import Encoding, run_suite
from encbench.cli.console import print_line
from encbench.cli.progress import RunProgress
from encbench.cli.show import show
from encbench.errors import printable
from tests.sample_plugin import Wave, module, registry_of

CLEARS = "\x1b[2J\x1b]0;mine\x07 Grüße\x9b31m\x7f"


class Rude(Encoding):
    """Fails with a message to the terminal."""

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim, in_dim)

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError(CLEARS)


def test_control_characters_are_escapes_and_others_stay():
    assert printable("λ = 2\n\t日本 ✓") == "λ = 2\n\t日本 ✓"
    assert printable(CLEARS) == "\\x1b[2J\\x1b]0;mine\\x07 Grüße\\x9b31m\\x7f"


def test_a_message_of_a_plugin_cannot_command_the_terminal(tmp_path, suite, capsys):
    registry = registry_of(rude=module(encodings={"rude": Rude}, tasks={"wave": Wave}))
    suite = suite.model_copy(
        update={"encodings": [suite.encodings[0].model_copy(update={"name": "rude"})]}
    )
    heard = io.StringIO()
    with RunProgress(Console(file=heard, force_terminal=True)) as progress:
        run_suite(suite, tmp_path, registry=registry, jobs=1, watcher=progress)
    (folder,) = (tmp_path / "records").glob("??/*")
    show(folder, None, as_json=False, trace=True)
    shown = capsys.readouterr().out
    for text in (heard.getvalue(), shown):
        assert "\\x1b[2J" in text
        assert "Grüße" in text
        for code in ("\x1b[2J", "\x1b]0;", "\x07", "\x9b", "\x7f"):
            assert code not in text


def test_json_of_a_results_folder_is_the_list_of_its_records(tmp_path, registry, suite, capsys):
    (stored,) = run_suite(suite, tmp_path, registry=registry, jobs=1, device="cpu").records
    capsys.readouterr()
    show(tmp_path, None, as_json=True)
    (row,) = json.loads(capsys.readouterr().out)
    key = stored.record.key
    assert row == {"key": key, "status": "ok", "task": "wave", "encoding": "scaled", "seed": 0}


def test_no_line_of_the_program_commands_the_terminal(capsys):
    print_line(Console(force_terminal=True), f"error: {CLEARS}", "red")
    said = capsys.readouterr().out
    assert "\\x1b[2J" in said
    assert "\x1b[2J" not in said
