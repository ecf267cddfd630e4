"""What a tuning's page says beside the standings of the tuned settings."""

from __future__ import annotations

from collections.abc import Sequence

from encbench.results.records import StoredRecord
from encbench.runs.tuning_report import Summary, TunedEncoding, TuneResult
from encbench_leaderboard.report.blocks import Block, Column, Heading, Row, Table, Text, Value
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
    rows = [_row(one) for one in tuned.encodings if one.tuned and one.default]
    if not rows:
        return []
    columns = [
        Column("encoding", "encoding", "code"),
        Column("default", "default setting"),
        Column("tuned", "tuned"),
        Column("gain", "change"),
        Column("setting", "tuned setting", "code"),
    ]
    note = f"{plain(tuned.legend)} Standings are those of the tuned settings."
    return [Heading("What tuning changed"), Table("gains", columns, rows), Text(note, "note")]


def _row(one: TunedEncoding) -> Row:
    setting = one.trials[one.best].setting if one.best is not None else MISSING
    return Row(
        [
            Value(one.label),
            _value(one.default),
            _value(one.tuned),
            _value(one.gain, signed=True),
            Value(setting),
        ]
    )


def _value(summary: Summary | None, *, signed: bool = False) -> Value:
    if summary is None:
        return Value(MISSING)
    return Value(summary.text(signed=signed), summary.mean)
