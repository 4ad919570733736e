"""The recorder's shell: read every durable stream in batches, commit, acknowledge, publish what it costs.

A batch is one transaction, and its messages are acknowledged after the commit: a crash in between brings them
again, and the events table knows them. What a dead process or connection had been given comes again only when
its time to acknowledge has passed, long after newer messages; rows would then go back in time. So the database
says where to go on: a stream is stored without gaps and in order, and what is missing before a delivery is read
from the stream itself. SQLite is called on the event loop: a batch takes milliseconds, and nobody waits for the
recorder.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from structlog.stdlib import BoundLogger

from bestex import bus, codec, consumers, pull, reading, streams, subjects
from bestex import messages as m
from bestex.clock import MINUTE, MS, SECOND, AffineClock, Time
from bestex.config import Config
from bestex.core import Effect, Fact
from bestex.epochs import Epochs
from bestex.errors import StreamDamaged, UsageError
from bestex.footing import Footing
from bestex.instruments import Instruments
from bestex.journal import EPOCH
from bestex.marks import MARKS, DiskFiles, Marks
from bestex.service import Claim, Service
from bestex.tape import Tape
from services.recorder import metrics, pools, tca, volumes
from services.recorder.core import Record, RecorderCore, best_of
from services.recorder.store import BookSample, Store
from services.recorder.volumes import Volumes

BATCH = 512  # one transaction; about 15 ms of SQLite
BATCH_WAIT_S = 0.25  # how soon a stop is noticed
DRAIN_WAIT_S = 0.05  # what arrived before a stop is stored; unacknowledged it would come again after 30 s
ROUND_S = 0.25  # between two looks at what is due; a person waits for the analysis of an order
METRICS_EVERY_NS = 5 * SECOND  # the period of metrics.venue and metrics.algo
TIDY_EVERY_NS = 10 * MINUTE
BOOK_EVERY_NS = 100 * MS  # ten samples a second and symbol are enough for a chart and a mid
SAMPLES_MAX = 10_000  # books waiting for the next round; beyond it the newest are dropped
FILLS_WAIT_NS = 5 * SECOND  # how long an analysis waits for fills that the parent's end already counts


class DecidesNothing:
    """The recorder only takes note: its state is the database, and it writes no history."""

    def decide(self, message: Any, now_ns: int) -> Sequence[Fact | Effect]:  # noqa: ARG002 - the contract's
        return ()

    def apply(self, fact: Any) -> Sequence[Effect]:  # noqa: ARG002 - the contract's
        return ()


def build(config: Config, names: tuple[str, ...]) -> Service:  # noqa: ARG001 - the contract's
    """One recorder records everything: it takes no names."""
    if names:
        raise UsageError(f"a recorder records everything; start it without {' '.join(names)}")
    return Service(name="recorder", names=(), core=DecidesNothing())


def make_host(
    service: Service,  # noqa: ARG001 - the contract's
    client: Client,
    config: Config,
    clock: AffineClock,
    log: BoundLogger,
    tape: Tape | None,  # noqa: ARG001 - nothing is decided, so there is nothing to retrace
) -> Recorder:
    return Recorder(client, config, Store(config.recorder.database), clock, log)


class Recorder:
    """A host for `bestex.process`: records from `start` to `stop`; a reader that fails ends the process."""

    def __init__(
        self,
        client: Client,
        config: Config,
        store: Store,
        clock: AffineClock,
        log: BoundLogger,
    ) -> None:
        self._client = client
        self._config = config
        self._instruments: Instruments = config.make_instruments()
        self._store = store
        self._now_ns = clock.now_ns
        self._log = log
        self._core = RecorderCore(*store.sums(), pools.Pools(store.pools()))
        self._volumes = Volumes(self._instruments, store.volumes())
        self._stored = store.last_seqs()  # of each stream; everything before is stored too
        self._readers = [
            pull.PullReader(client, read.stream, read.durable, read.subjects, BATCH)
            for read in consumers.recorder(config)
        ]
        self._subscriptions: list[Subscription] = []
        self._samples: list[BookSample] = []
        self._sampled_ns: dict[str, int] = {}
        self._metrics_at_ns = self._tidy_at_ns = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._keeping: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._started = False
        claim = Claim(subjects.epoch("recorder", "all"), ("all",))
        writer = f"recorder.{os.getpid()}.{clock.now_ns()}"
        self._epochs = Epochs(client, (claim,), writer, clock, self.fail)
        files = DiskFiles(Path(config.data_dir) / MARKS)
        self._marks = Marks(client, files, "recorder-all", clock, log)
        self._footing = Footing(client, clock, log, check=self._check, epoch=self._epochs.of, fail=self.fail)
        self.stopping = False
        self.stopped: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    @property
    def is_ready(self) -> bool:
        return self._started and self._client.is_connected and not self.stopped.done()

    async def start(self) -> None:
        """Raises StreamMismatch, or StreamDamaged where a stream has lost what is recorded of it."""
        self._marks.load()
        infos = await streams.verify(self._client, self._config)
        await self._marks.verify(infos, [reader.stream for reader in self._readers])
        await self._epochs.claim()
        self._footing.start()
        await self._check_not_behind()
        for head, take in (("book", self._on_book), ("stats", self._on_stats)):
            self._subscriptions.append(await self._client.subscribe(f"{subjects.ROOT}.{head}.*", cb=take))
        for reader in self._readers:
            await self._catch_up(reader.stream, reader.subjects)
            await reader.start()
        work = [self._record(reader) for reader in self._readers]
        self._keeping = asyncio.create_task(self._marks.keep())
        self._tasks = [asyncio.create_task(coroutine) for coroutine in (*work, self._rounds())]
        for task in (*self._tasks, self._keeping):
            task.add_done_callback(self._finished)
        self._started = True

    async def stop(self) -> None:
        """Commit and publish what has arrived; the rest comes again after the next start."""
        self.stopping = True
        self._stop.set()
        for reader in self._readers:
            await reader.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._footing.stop()
        if self._keeping is not None:
            self._keeping.cancel()
        self._marks.save()
        await self._epochs.release()
        self._store.close()

    def fail(self, error: Exception) -> None:
        if not self.stopped.done():
            self.stopped.set_result(error)

    async def _check(self) -> None:
        await self._epochs.check()
        await self._marks.check()

    def doubt(self) -> None:
        self._footing.doubt()

    async def give_back(self) -> None:
        """Nothing: what was not acknowledged is read from the streams by whoever records next."""

    def renew_pulls(self) -> None:
        self._footing.doubt()
        for reader in self._readers:
            reader.renew()

    def _finished(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    async def _check_not_behind(self) -> None:
        """A stream that ends before what is recorded of it has lost messages, or belongs to another bus."""
        for stream, recorded in self._stored.items():
            info = await bus.api(self._client, f"STREAM.INFO.{stream}", {})
            if bus.error_code(info) == bus.STREAM_NOT_FOUND:
                continue  # a venue that is no longer configured
            last = int(info["state"]["last_seq"]) if "state" in info else recorded
            if last < recorded:
                raise StreamDamaged(
                    f"stream {stream} ends at {last}, but {recorded} is recorded: it lost messages or is "
                    f"another one. Keep {self._config.recorder.database} safe and name a new database."
                )

    # -- durable events ----------------------------------------------------------------------------------

    async def _record(self, reader: pull.PullReader) -> None:
        while True:
            stopping = self._stop.is_set()
            deliveries = await reader.next_batch(DRAIN_WAIT_S if stopping else BATCH_WAIT_S)
            if not deliveries:
                if stopping:
                    return
                continue
            last = self._stored.get(reader.stream, 0)
            new = [delivery.seq for delivery in deliveries if delivery.seq > last]
            if new != list(range(last + 1, last + 1 + len(new))):
                await self._catch_up(reader.stream, reader.subjects)
            await self._footing.confirmed()  # the database and the acknowledgements are one recorder's
            self.store([_record_of(delivery) for delivery in deliveries])
            metrics.LAG.labels(reader.stream).set(deliveries[-1].pending)
            # An acknowledgement that fails only brings the message again.
            outcomes = await asyncio.gather(*(d.ack_sync() for d in deliveries), return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, BaseException) and not isinstance(
                    outcome, nats.errors.Error | TimeoutError
                ):
                    raise outcome

    async def _catch_up(self, stream: str, filters: Sequence[str]) -> None:
        """Store what the stream holds beyond the database, in order."""
        batch: list[Record] = []

        def take(delivery: reading.Kept) -> None:
            batch.append(_record_of(delivery))
            if len(batch) == BATCH:
                self.store(batch)
                batch.clear()

        start = self._stored.get(stream, 0) + 1
        await reading.read_all(self._client, stream, filters, take, start_seq=start)
        if batch:
            self.store(batch)

    def store(self, records: Sequence[Record]) -> None:
        """One transaction: the events that are new, and all that follows from them."""
        decoded: list[Any] = []
        with metrics.COMMIT.time(), self._store as store:
            fresh = store.add_events(records)
            for record in fresh:
                message = self._decode(record)
                if message is not None:
                    store.write(self._core.take(message), self._now_ns())
                    decoded.append(message)
            store.write(self._core.drain_sums(), self._now_ns())
        stream = records[0].stream
        for record in records:
            self._marks.saw(record.stream, record.seq, record.subject, record.data)
        self._stored[stream] = max(self._stored.get(stream, 0), records[-1].seq)
        metrics.EVENTS.labels(stream).inc(len(fresh))
        metrics.REDELIVERED.labels(stream).inc(len(records) - len(fresh))
        for message in decoded:
            metrics.observe(message)

    def _decode(self, record: Record) -> Any:
        """None for what users wrote, which is kept as it is, and for what is not as the table says."""
        if record.stream == subjects.ORDERS:
            return None
        try:
            return codec.from_json(record.data, subjects.kind_of(record.subject).message)
        except (KeyError, msgspec.MsgspecError, ValueError) as error:
            metrics.UNREADABLE.inc()
            self._log.error("unreadable", stream=record.stream, seq=record.seq, error=str(error))
            return None

    # -- live books --------------------------------------------------------------------------------------

    async def _on_book(self, message: Msg) -> None:
        now_ns = self._now_ns()
        if now_ns - self._sampled_ns.get(message.subject, 0) < BOOK_EVERY_NS:
            return
        try:
            book = codec.from_msgpack(message.data, m.ConsolidatedBook)
        except msgspec.MsgspecError as error:
            metrics.UNREADABLE.inc()
            self._log.error("unreadable", subject=message.subject, error=str(error))
            return
        instrument = self._instruments.get(book.symbol)
        if instrument is None or len(self._samples) >= SAMPLES_MAX:
            return
        self._sampled_ns[message.subject] = now_ns
        bid, ask = best_of(book)
        self._samples.append(
            BookSample(
                symbol=book.symbol,
                at_ns=book.at_ns,
                bid_px=instrument.price(bid[0]) if bid else None,
                bid_qty=instrument.qty(bid[1]) if bid else None,
                ask_px=instrument.price(ask[0]) if ask else None,
                ask_qty=instrument.qty(ask[1]) if ask else None,
            )
        )

    async def _on_stats(self, message: Msg) -> None:
        try:
            self._volumes.take(codec.from_json(message.data, m.Stats))
        except (msgspec.MsgspecError, ValueError) as error:
            metrics.UNREADABLE.inc()
            self._log.error("unreadable", subject=message.subject, error=str(error))

    # -- rounds ------------------------------------------------------------------------------------------

    async def _rounds(self) -> None:
        while not self._stop.is_set():
            await self._round()
            with suppress(TimeoutError):
                async with asyncio.timeout(ROUND_S):
                    await self._stop.wait()
        await self._round()

    async def _round(self) -> None:
        now_ns = self._now_ns()
        samples, self._samples = self._samples, []
        if samples:
            with self._store as store:
                store.add_books(samples)
        await self._publish_kept(now_ns)
        self.analyse_due(now_ns)
        for report in self._store.unpublished():
            if not await self._publish(subjects.metrics("tca", report.parent_id), report):
                break
            with self._store as store:
                store.mark_published(report)
        if now_ns >= self._metrics_at_ns:
            self._metrics_at_ns = now_ns + METRICS_EVERY_NS
            await self._publish_sums(Time(now_ns))
        if now_ns >= self._tidy_at_ns:
            self._tidy_at_ns = now_ns + TIDY_EVERY_NS
            with self._store as store:
                store.forget_books(now_ns)
                store.forget_volumes()

    def analyse_due(self, now_ns: int) -> None:
        """Analyse the parents that ended; one whose fills are still on their way waits a little."""
        for parent_id, symbol, since_ns in self._store.due():
            found = self._store.execution(parent_id, symbol)
            if found is not None:
                execution, cum = found
                report = tca.analyse(execution, Time(now_ns))
                if report.cum_qty < cum and now_ns - since_ns < FILLS_WAIT_NS:
                    continue
                before = self._store.report(parent_id, symbol)
                self._core.analysed(report, before)
                if before is None:
                    metrics.observe_report(report)
            with self._store as store:
                if found is not None:
                    store.put_report(report)
                store.settle_due(parent_id, symbol)
                store.write(self._core.drain_sums(), now_ns)

    async def _publish_kept(self, now_ns: int) -> None:
        """What is new, and what the stream is about to forget: it keeps less than a profile looks back."""
        if rows := self._volumes.drain(now_ns):
            with self._store as store:
                store.write(rows, now_ns)
        before_ns = max(now_ns - int(self._config.bus.max_age) // 2, 1)
        for day in self._store.volumes(before_ns):
            if not await self._publish(volumes.subject(day), day):
                break
            with self._store as store:
                store.mark_volume(day, now_ns)
        for findings in self._store.pools(before_ns):
            if not await self._publish(pools.subject(findings), findings):
                break
            with self._store as store:
                store.mark_pools(findings, now_ns)

    async def _publish_sums(self, at: Time) -> None:
        for venue in sorted(self._core.venues):
            await self._publish(subjects.metrics("venue", venue), self._core.venue_metrics(venue, at))
        for algo in sorted(self._core.algos):
            await self._publish(subjects.metrics("algo", algo), self._core.algo_metrics(algo, at))

    async def _publish(self, subject: str, message: object) -> bool:
        """False where the bus did not confirm; this value, or a newer one, goes out in a later round."""
        if not await self._footing.may_send():
            return False
        headers = {EPOCH: str(self._footing.epoch(subjects.METRICS))}
        try:
            ack = await bus.publish(self._client, subject, codec.to_json(message), headers)
        except (nats.errors.Error, TimeoutError) as error:
            self._log.warning("not published", subject=subject, error=type(error).__name__)
            return False
        if ack.error is not None:
            self._log.error("refused", subject=subject, error=json.dumps(ack.error.description))
            return False
        return True


def _record_of(delivery: pull.Delivery | reading.Kept) -> Record:
    return Record(delivery.stream, delivery.seq, delivery.subject, delivery.at_ns, delivery.data)
