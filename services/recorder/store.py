"""The recorder's SQLite database: events once, everything else by upsert, one transaction a batch."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from pathlib import Path
from types import TracebackType

from bestex import codec
from bestex.clock import HOUR, SECOND, parse_time
from bestex.errors import BestexError, Code
from bestex.messages import PoolFindings, Side, TcaReport, VolumeDay
from bestex.volumes import DAYS_KEPT
from services.recorder import tca
from services.recorder.core import AlgoSums, Record, VenueSums
from services.recorder.rows import Due, Row, Upsert

SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 5.0  # readers (dashboard, audit) hold the database for milliseconds
BOOKS_KEPT_NS = 6 * HOUR  # a chart of the day; 200,000 rows a symbol at the most
MID_AGE_MAX_NS = 5 * SECOND  # an older mid says nothing about a moment
DUE_BATCH = 256  # analyses per round, so that fills are not kept waiting


@dataclass(frozen=True, slots=True)
class BookSample:
    """The consolidated best prices of a symbol, as decimals; None where a side is empty."""

    symbol: str
    at_ns: int
    bid_px: Decimal | None
    bid_qty: Decimal | None
    ask_px: Decimal | None
    ask_qty: Decimal | None


class Store:
    """Opens or creates the database at `path`. Raises BestexError where it is of another version."""

    def __init__(self, path: Path | str) -> None:
        if str(path) != ":memory:":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, SCHEMA_VERSION):
            self._db.close()
            raise BestexError(f"{path}: is of version {version}, this recorder writes {SCHEMA_VERSION}")
        if version == 0 or not self._has_all():
            schema = (resources.files("services.recorder") / "schema.sql").read_text()
            self._db.executescript(schema)

    def _has_all(self) -> bool:
        """Two tables came later. A reader of version 1 is not troubled by them."""
        later = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name IN ('volumes', 'pools')"
        return len(self.rows(later)) == 2

    def close(self) -> None:
        self._db.close()

    # -- writing: within `with store:` -----------------------------------------------------------------------

    def __enter__(self) -> Store:
        self._db.execute("BEGIN IMMEDIATE")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")

    def add_events(self, records: Iterable[Record]) -> list[Record]:
        """Store what is not yet there; what was there already (a redelivery) is left out of the answer."""
        insert = "INSERT INTO events VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        return [
            record
            for record in records
            if self._db.execute(
                insert, (record.stream, record.seq, record.subject, record.at_ns, record.data)
            ).rowcount
        ]

    def write(self, rows: Iterable[Row], now_ns: int) -> None:
        for row in rows:
            if isinstance(row, Due):
                self._db.execute(
                    "INSERT INTO tca_due SELECT parent_id, symbol, ? FROM parents"
                    " WHERE parent_id = ? AND symbol = ? AND done_at IS NOT NULL ON CONFLICT DO NOTHING",
                    (now_ns, row.parent_id, row.symbol),
                )
            else:
                self._upsert(row)

    def _upsert(self, row: Upsert) -> None:
        columns = [*row.key, *row.values]
        changes = ", ".join(f"{column} = excluded.{column}" for column in row.values)
        self._db.execute(
            f"INSERT INTO {row.table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
            f" ON CONFLICT ({', '.join(row.key)}) DO " + (f"UPDATE SET {changes}" if changes else "NOTHING"),
            [*row.key.values(), *row.values.values()],
        )

    def add_books(self, samples: Iterable[BookSample]) -> None:
        for s in samples:
            mid = None if s.bid_px is None or s.ask_px is None else float(s.bid_px + s.ask_px) / 2
            texts = [
                None if v is None else format(v, "f") for v in (s.bid_px, s.bid_qty, s.ask_px, s.ask_qty)
            ]
            self._db.execute(
                "INSERT INTO books VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (s.symbol, s.at_ns, *texts, mid),
            )

    def forget_books(self, now_ns: int) -> int:
        """Drop samples older than BOOKS_KEPT_NS; how many."""
        symbols = [row[0] for row in self._db.execute("SELECT DISTINCT symbol FROM books")]
        return sum(
            self._db.execute(
                "DELETE FROM books WHERE symbol = ? AND at_ns < ?", (symbol, now_ns - BOOKS_KEPT_NS)
            ).rowcount
            for symbol in symbols
        )

    def put_report(self, report: TcaReport) -> None:
        """The newest analysis of a parent; it is then due no more, but not yet published."""
        self._db.execute(
            "INSERT OR REPLACE INTO tca VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
            (
                report.parent_id,
                report.symbol,
                report.algo,
                str(report.at),
                codec.to_json(report).decode(),
                report.arrival_slippage_bps,
                report.shortfall_bps,
                report.fee_bps,
            ),
        )

    def settle_due(self, parent_id: str, symbol: str) -> None:
        self._db.execute("DELETE FROM tca_due WHERE parent_id = ? AND symbol = ?", (parent_id, symbol))

    def mark_published(self, report: TcaReport) -> None:
        """Only if it is still this report: a newer one is published on its own."""
        self._db.execute(
            "UPDATE tca SET published = 1 WHERE parent_id = ? AND symbol = ? AND at = ?",
            (report.parent_id, report.symbol, str(report.at)),
        )

    def mark_volume(self, day: VolumeDay, now_ns: int) -> None:
        """It is published, as it is; a newer one is published on its own."""
        self._db.execute(
            "UPDATE volumes SET published_ns = ? WHERE symbol = ? AND date = ? AND day = ?",
            (now_ns, day.symbol, day.date, codec.to_json(day).decode()),
        )

    def mark_pools(self, findings: PoolFindings, now_ns: int) -> None:
        self._db.execute(
            "UPDATE pools SET published_ns = ? WHERE symbol = ? AND findings = ?",
            (now_ns, findings.symbol, codec.to_json(findings).decode()),
        )

    def forget_volumes(self) -> None:
        """Of each symbol the newest DAYS_KEPT days stay."""
        for (symbol,) in self.rows("SELECT DISTINCT symbol FROM volumes"):
            self._db.execute(
                "DELETE FROM volumes WHERE symbol = ? AND date NOT IN"
                " (SELECT date FROM volumes WHERE symbol = ? ORDER BY date DESC LIMIT ?)",
                (symbol, symbol, DAYS_KEPT),
            )

    # -- reading ---------------------------------------------------------------------------------------------

    def last_seqs(self) -> dict[str, int]:
        """The highest sequence stored of each stream."""
        return dict(self._db.execute("SELECT stream, max(seq) FROM events GROUP BY stream").fetchall())

    def sums(self) -> tuple[dict[str, VenueSums], dict[str, AlgoSums]]:
        venues, algos = {}, {}
        for kind, name, text in self._db.execute("SELECT kind, name, sums FROM totals"):
            if kind == "venue":
                venues[name] = codec.from_json(text.encode(), VenueSums)
            else:
                algos[name] = codec.from_json(text.encode(), AlgoSums)
        return venues, algos

    def unpublished(self) -> list[TcaReport]:
        rows = self._db.execute("SELECT report FROM tca WHERE published = 0 LIMIT ?", (DUE_BATCH,)).fetchall()
        return [codec.from_json(text.encode(), TcaReport) for (text,) in rows]

    def volumes(self, published_before_ns: int | None = None) -> list[VolumeDay]:
        """All, or those that the bus has not had since then; oldest first."""
        rows = self._db.execute(
            "SELECT day FROM volumes WHERE published_ns < ? ORDER BY date, symbol",
            (1 << 62 if published_before_ns is None else published_before_ns,),
        )
        return [codec.from_json(text.encode(), VolumeDay) for (text,) in rows]

    def pools(self, published_before_ns: int | None = None) -> list[PoolFindings]:
        """All, or those that the bus has not had since then."""
        rows = self._db.execute(
            "SELECT findings FROM pools WHERE published_ns < ? ORDER BY symbol",
            (1 << 62 if published_before_ns is None else published_before_ns,),
        )
        return [codec.from_json(text.encode(), PoolFindings) for (text,) in rows]

    def report(self, parent_id: str, symbol: str) -> TcaReport | None:
        row = self._db.execute(
            "SELECT report FROM tca WHERE parent_id = ? AND symbol = ?", (parent_id, symbol)
        ).fetchone()
        return codec.from_json(row[0].encode(), TcaReport) if row else None

    def due(self) -> list[tuple[str, str, int]]:
        """Parents to analyse, oldest first: (parent id, symbol, since when)."""
        return self._db.execute(
            "SELECT parent_id, symbol, since_ns FROM tca_due ORDER BY since_ns LIMIT ?", (DUE_BATCH,)
        ).fetchall()

    def execution(self, parent_id: str, symbol: str) -> tuple[tca.Execution, Decimal] | None:
        """A parent that has ended, with all fills known by now, and what its own end says was filled.

        None where its acceptance is not in the database (the recorder was started on a stream that had
        forgotten it).
        """
        row = self._db.execute(
            "SELECT algo, side, qty, accepted_at, done_at, reason, arrival_px, cum_qty, start_at FROM parents"
            " WHERE parent_id = ? AND symbol = ?",
            (parent_id, symbol),
        ).fetchone()
        if row is None or row[3] is None or row[4] is None:
            return None
        algo, side, qty, accepted_at, done_at, reason, arrival, cum, start_at = row
        accepted, done = parse_time(accepted_at), parse_time(done_at)
        arrived = accepted if start_at is None else max(accepted, parse_time(start_at))
        waited = accepted < arrived <= done
        source = tca.MID_AT_START if waited else tca.MID_AT_ACCEPTANCE
        arrival_px = _decimal(arrival)
        if arrival_px is None:
            arrival_px = self.mid(symbol, arrived if waited else accepted)
            source = tca.MID_RECORDED_AT_START if waited else tca.MID_RECORDED
        release = self._db.execute(
            "SELECT mid_px FROM slices WHERE parent_id = ? AND symbol = ? AND mid_px IS NOT NULL"
            " ORDER BY slice_no LIMIT 1",
            (parent_id, symbol),
        ).fetchone()
        children = self._db.execute(
            "SELECT count(*) FROM children WHERE parent_id = ? AND symbol = ?", (parent_id, symbol)
        ).fetchone()[0]
        fills = self._db.execute(
            "SELECT qty, price, fee, liquidity FROM fills WHERE parent_id = ? AND symbol = ?",
            (parent_id, symbol),
        ).fetchall()
        execution = tca.Execution(
            parent_id=parent_id,
            symbol=symbol,
            algo=algo,
            side=Side(side),
            qty=Decimal(qty),
            accepted_at=accepted,
            done_at=done,
            reason=Code(reason),
            children=children,
            trades=[tca.Trade(Decimal(q), Decimal(p), Decimal(f), liquidity) for q, p, f, liquidity in fills],
            arrival_px=arrival_px,
            arrival_source=source,
            release_px=_decimal(release[0]) if release else None,
            end_px=self.mid(symbol, done),
        )
        return execution, Decimal(cum)

    def mid(self, symbol: str, at_ns: int) -> Decimal | None:
        """The recorded mid at `at_ns`, from the last sample before it that is not too old."""
        row = self._db.execute(
            "SELECT bid_px, ask_px FROM books WHERE symbol = ? AND at_ns BETWEEN ? AND ?"
            " AND bid_px IS NOT NULL AND ask_px IS NOT NULL ORDER BY at_ns DESC LIMIT 1",
            (symbol, at_ns - MID_AGE_MAX_NS, at_ns),
        ).fetchone()
        return (Decimal(row[0]) + Decimal(row[1])) / 2 if row else None

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        return self._db.execute(query, parameters).fetchall()


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
