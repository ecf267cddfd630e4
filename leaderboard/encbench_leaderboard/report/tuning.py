"""What a tuning's page says beside the standings of the tuned settings."""

from __future__ import annotations

from collections.abc import Sequence

from encbench.results.records import StoredRecord
from encbench.runs.tuning_report import Summary, TunedEncoding, TuneResult
from encbench_leaderboard.report.blocks import Block, Heading, Text, Value
from encbench_leaderboard.report.columns import Source, codes, described, fill
from encbench_leaderboard.report.format import MISSING, plain


def tuned_records(
    records: Sequence[StoredRecord], tuned: TuneResult | None
) -> Sequence[StoredRecord]:
    """The records without those of default settings that another setting was chosen over: what is
    ranked is encodings, each under its best setting. All of them before there is any."""
    if tuned is None:
        return records
    chosen = {key for one in tuned.encodings if one.tuned for key in one.tuned.keys}
    passed = {key for one in tuned.encodings if one.default for key in one.default.keys} - chosen
    kept = [stored for stored in records if stored.record.key not in passed]
    return kept if chosen and kept else records


def tuning_gains(tuned: TuneResult) -> list[Block]:
    """A table of each encoding's default and tuned values."""
    shown = [one for one in tuned.encodings if one.tuned and one.default]
    if not shown:
        return []
    sources: list[Source[TunedEncoding]] = [
        codes("encoding", "encoding", lambda one: one.label),
        described("default", "default setting", lambda one: _value(one.default)),
        described("tuned", "tuned", lambda one: _value(one.tuned)),
        described("gain", "change", lambda one: _value(one.gain, one.tuned)),
        codes("setting", "tuned setting", _setting),
    ]
    note = f"{plain(tuned.legend)} Standings are those of the tuned settings."
    return [Heading("What tuning changed"), fill("gains", sources, shown), Text(note, "note")]


def _setting(one: TunedEncoding) -> str:
    return one.trials[one.best].setting if one.best is not None else MISSING


def _value(summary: Summary | None, changed: Summary | None = None) -> Value:
    """A number, or the change of another."""
    if summary is None:
        return Value(MISSING)
    return Value(summary.text(change_of=changed.mean if changed else None), summary.mean)
