"""Tables, plots and pages from records; a plug-in like any other."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from encbench import hookimpl

if TYPE_CHECKING:
    from encbench.results.records import StoredRecord

logger = logging.getLogger("encbench")


@hookimpl
def encbench_commands() -> Mapping[str, str]:
    return {
        "leaderboard": "encbench_leaderboard.verb:leaderboard",
        "plot": "encbench_leaderboard.plot:plot_against",
        "compare": "encbench_leaderboard.compare.command:compare",
        "figures": "encbench_leaderboard.paper_figures.figures_verb:figures",
        "reproduce": "encbench_leaderboard.paper.reproduce:reproduce",
    }


@hookimpl
def encbench_run_finished(directory: Path, records: "Sequence[StoredRecord]") -> None:
    # The page shows the whole folder, not only this run: a resumed run adds to earlier records.
    if not records:
        return
    logger.info("leaderboard: drawing the page")
    # listing plug-ins must not load pandas and matplotlib
    from encbench_leaderboard.render.html import write_html
    from encbench_leaderboard.render.markdown import write_markdown
    from encbench_leaderboard.render.terminal import verdict_lines
    from encbench_leaderboard.report.build import describe, load_board

    board, store = load_board(directory)
    page = describe(board, store)
    finished = any(stored.outline.status == "ok" for stored in records)
    for line in verdict_lines(page, len(board.groups)) if finished else ():
        logger.info("%s", line)
    logger.info("leaderboard: %s", write_markdown(page, directory / "leaderboard.md"))
    logger.info("leaderboard: %s", write_html(page, directory / "leaderboard.html"))
