"""A nats-server with JetStream, as far as bestex uses it, in memory and on virtual time.

It answers the same subjects with the same words as the real one: publishes with compare-and-set, JetStream's API,
pull consumers with acknowledgements, redelivery and limits. `tests/faults/test_jetstream.py` asks both the same
questions. What is durable (streams, durable consumers) survives `crash`; the rest does not.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import msgspec

from bestex.bus import EXPECTED_SEQ, EXPECTED_SUBJECT
from bestex.clock import US, parse_time, rfc3339
from tests.faults.simulation import stored as held
from tests.faults.simulation.stored import ApiError, Consumer, Headers, Message, Pull, Stored, Stream, matches
from tests.faults.simulation.world import World

STORE_NS = 200 * US  # a write with `sync_interval: always`
DIRECT = "$JS.API.DIRECT.GET."
INBOX = "_INBOX."  # where answers go: nobody listens there with more than a star at the end
HEADS = 5  # tokens of a subject that say which stream it belongs to


class Server:
    """`receive` is what a client sends; answers go out through the subscriptions of those who listen."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.up = True
        self.streams: dict[str, Stream] = {}
        self.stored: list[tuple[str, Stored]] = []
        self._exact: dict[str, list[held.Subscription]] = {}
        self._ends: dict[str, list[held.Subscription]] = {}
        self._wild: list[held.Subscription] = []
        self._stream_of: dict[str, Stream | None] = {}
        self._count = 0

    # -- life ------------------------------------------------------------------------------------------------

    def crash(self, forgotten_acks: int = 0) -> None:
        """`kill -9`. Connections, pulls and consumers in memory are gone; of the newest acknowledgements of each
        durable consumer `forgotten_acks` had not reached the disk."""
        self.up = False
        for stream in self.streams.values():
            stream.consumers = {name: c for name, c in stream.consumers.items() if c.durable}
            for consumer in stream.consumers.values():
                consumer.waiting.clear()
                for _ in range(min(forgotten_acks, len(consumer.acked))):
                    consumer.pending[consumer.acked.pop()] = (0, 1)

    def restart(self) -> None:
        self.up = True
        for stream in self.streams.values():
            for consumer in stream.consumers.values():
                self._expire(consumer)

    def forget(self, link: held.Link) -> None:
        """The connection is lost: its subscriptions are gone, and so are its pulls."""
        for table in (self._exact, self._ends):
            for key in [key for key, subscriptions in table.items() if subscriptions]:
                table[key] = [s for s in table[key] if s.link is not link]
        self._wild = [s for s in self._wild if s.link is not link]

    # -- subscriptions ---------------------------------------------------------------------------------------

    def subscribe(self, subscription: held.Subscription) -> None:
        head, _, tail = subscription.pattern.rpartition(".")
        if "*" not in subscription.pattern and tail != ">":
            self._exact.setdefault(subscription.pattern, []).append(subscription)
        elif tail == "*" and "*" not in head:
            self._ends.setdefault(head, []).append(subscription)
        else:
            self._wild.append(subscription)

    def unsubscribe(self, subscription: held.Subscription) -> None:
        for table in (
            self._exact.get(subscription.pattern),
            self._ends.get(subscription.pattern.rpartition(".")[0]),
            self._wild,
        ):
            if table and subscription in table:
                table.remove(subscription)

    def _listeners(self, subject: str) -> list[held.Subscription]:
        found = [*self._exact.get(subject, ()), *self._ends.get(subject.rpartition(".")[0], ())]
        if self._wild and not subject.startswith(INBOX):
            found += [s for s in self._wild if matches(s.pattern, subject)]
        groups: set[str] = set()
        chosen = []
        for subscription in found:
            if subscription.queue:
                if subscription.queue in groups:
                    continue
                groups.add(subscription.queue)
            chosen.append(subscription)
        return chosen

    def _route(self, subject: str, data: bytes, reply: str = "", headers: Headers = None) -> bool:
        listeners = self._listeners(subject)
        for subscription in listeners:
            subscription.link.deliver(subscription, Message(subject, data, reply, headers))
        return bool(listeners)

    # -- what clients send -------------------------------------------------------------------------------------

    def receive(self, link: held.Link, subject: str, data: bytes, reply: str, headers: Headers) -> None:
        if not self.up:
            return
        if subject.startswith("$JS."):
            if subject.startswith("$JS.ACK."):
                self._acknowledge(subject, data, reply)
            elif subject.startswith("$JS.API.CONSUMER.MSG.NEXT."):
                self._pull(link, subject, data, reply)
            elif subject.startswith(DIRECT):
                self._direct(subject.removeprefix(DIRECT), data, reply)
            else:
                self._answer(subject, data, reply)
            return
        stream = self._stream_for(subject)
        heard = self._route(subject, data, reply, headers)
        if stream is not None:
            self._publish(stream, subject, data, reply, headers)
        elif reply and not heard:
            self._route(reply, b"", headers={"Status": "503"})

    def publish(self, subject: str, data: bytes) -> None:
        """What somebody publishes who is not simulated."""
        stream = self._stream_for(subject)
        assert stream is not None, f"no stream holds {subject}"
        self._route(subject, data)
        self._publish(stream, subject, data, "", None)

    def _stream_for(self, subject: str) -> Stream | None:
        if subject in self._stream_of:
            return self._stream_of[subject]
        head = ".".join(subject.split(".", HEADS)[:HEADS])
        if head not in self._stream_of:
            found = None
            for stream in self.streams.values():
                for pattern in stream.config["subjects"]:
                    assert pattern.count(".") <= HEADS, f"{pattern} needs more tokens than {HEADS}"
                    if matches(pattern, subject):
                        found = stream
            self._stream_of[head] = found
        return self._stream_of.setdefault(subject, self._stream_of[head])

    def _publish(self, stream: Stream, subject: str, data: bytes, reply: str, headers: Headers) -> None:
        if headers and (expected := headers.get(EXPECTED_SEQ)) is not None:
            last = stream.last_of(headers.get(EXPECTED_SUBJECT, subject))
            if last != int(expected):
                error = ApiError(400, held.WRONG_LAST, f"wrong last sequence: {last}")
                self._reply(reply, {**error.answer, "stream": stream.name, "seq": 0})
                return
        stored = stream.store(subject, data, headers, self._world.now_ns)
        self.stored.append((stream.name, stored))
        self._reply(reply, {"stream": stream.name, "seq": stored.seq}, STORE_NS)
        for consumer in stream.consumers.values():
            if consumer.wants(subject):
                consumer.unseen += 1
                if consumer.waiting:
                    self._world.after(STORE_NS, self._pump, consumer)

    def _direct(self, name: str, data: bytes, reply: str) -> None:
        """A direct read: a page of messages, each with what it is in its headers, and a last word."""
        stream, request = self.streams.get(name), msgspec.json.decode(data)
        if stream is None:
            self._route(reply, b"", headers={"Status": "503"})
            return
        found: list[Stored] = []
        if "multi_last" in request:
            newest = {
                one.subject: one
                for one in stream.held()
                if one.seq <= request["up_to_seq"]
                and any(matches(pattern, one.subject) for pattern in request["multi_last"])
            }
            found = sorted(newest.values(), key=lambda one: one.seq)
        else:
            wanted = request["next_by_subj"]
            since_ns = parse_time(request["start_time"]) if "start_time" in request else 0
            found = [
                one
                for one in stream.held(request.get("seq", 1))
                if one.at_ns >= since_ns and matches(wanted, one.subject)
            ]
        pending = max(len(found) - request["batch"], 0)
        del found[request["batch"] :]
        before = 0
        for one in found:
            what = {
                "Nats-Stream": name,
                "Nats-Subject": one.subject,
                "Nats-Sequence": str(one.seq),
                "Nats-Time-Stamp": rfc3339(one.at_ns),
                "Nats-Last-Sequence": str(before),
            }
            before = one.seq
            self._route(reply, one.data, headers={**one.headers, **what})
        end = {"Status": "204", "Nats-Num-Pending": str(pending), "Nats-Last-Sequence": str(before)}
        end = end if found else {"Status": "404"}
        self._route(reply, b"", headers=end)

    def _reply(self, reply: str, answer: dict[str, Any], after_ns: int = 0) -> None:
        if not reply:
            return
        if after_ns:
            self._world.after(after_ns, self._route, reply, msgspec.json.encode(answer))
        else:
            self._route(reply, msgspec.json.encode(answer))

    # -- consumers -------------------------------------------------------------------------------------------

    def _pump(self, consumer: Consumer) -> None:
        """Deliver what there is to whoever waits for it."""
        if not self.up:
            return
        explicit = consumer.config["ack_policy"] == "explicit"
        most = consumer.config.get("max_ack_pending", 1_000)
        while consumer.waiting:
            pull = consumer.waiting[0]
            if pull.is_gone:
                consumer.waiting.popleft()
                continue
            if consumer.again:
                seq = consumer.again.popleft()
                if seq not in consumer.pending:
                    continue
                stored, times = consumer.stream.get(seq), consumer.pending[seq][1] + 1
            elif explicit and len(consumer.pending) >= most:
                return
            else:
                stored, times = consumer.next(), 1
                if stored is None:
                    return
                consumer.unseen -= 1
            assert stored is not None, "what is pending is stored"
            pull.left -= 1
            consumer.delivered += 1
            consumer.delivered_seq = max(consumer.delivered_seq, stored.seq)
            if explicit:
                consumer.pending[stored.seq] = self._world.now_ns + consumer.config["ack_wait"], times
                self._arm(consumer)
            reply = (
                f"$JS.ACK.{consumer.stream.name}.{consumer.name}.{times}.{stored.seq}.{consumer.delivered}"
                f".{stored.at_ns}.{consumer.unseen}"
            )
            for subscription in self._listeners(pull.inbox):
                message = Message(stored.subject, stored.data, reply, dict(stored.headers) or None)
                subscription.link.deliver(subscription, message)

    def _arm(self, consumer: Consumer) -> None:
        """One timer a consumer: for the delivery that is due again first."""
        if not consumer.timer_ns:
            consumer.timer_ns = min(due for due, _ in consumer.pending.values())
            self._world.at(consumer.timer_ns, self._expire, consumer)

    def _expire(self, consumer: Consumer) -> None:
        consumer.timer_ns = 0
        now_ns = self._world.now_ns
        for seq, (due_ns, _) in consumer.pending.items():
            if due_ns <= now_ns and seq not in consumer.again:
                consumer.again.append(seq)
        later = [due for due, _ in consumer.pending.values() if due > now_ns]
        if later:
            consumer.timer_ns = min(later)
            self._world.at(consumer.timer_ns, self._expire, consumer)
        self._pump(consumer)

    def _acknowledge(self, subject: str, data: bytes, reply: str) -> None:
        _, _, name, durable, _, seq, *_ = subject.split(".")
        stream = self.streams.get(name)
        consumer = stream.consumers.get(durable) if stream else None
        if consumer is not None and data in (b"+ACK", b""):
            if consumer.pending.pop(int(seq), None) is not None:
                consumer.acked.append(int(seq))
            self._pump(consumer)
        elif consumer is not None and data == b"-NAK" and int(seq) in consumer.pending:
            if int(seq) not in consumer.again:
                consumer.again.append(int(seq))
            self._pump(consumer)
        if reply:
            self._route(reply, b"")

    def _pull(self, link: held.Link, subject: str, data: bytes, reply: str) -> None:
        _, _, _, _, _, name, durable = subject.split(".")
        stream = self.streams.get(name)
        consumer = stream.consumers.get(durable) if stream else None
        if consumer is None:
            self._route(reply, b"", headers={"Status": "503"})
            return
        request = msgspec.json.decode(data)
        pull = Pull(reply, link, link.generation, request["batch"], request.get("idle_heartbeat", 0))
        consumer.waiting.append(pull)
        self._world.after(request["expires"], self._give_up, consumer, pull)
        if pull.heartbeat_ns:
            self._world.after(pull.heartbeat_ns, self._beat, consumer, pull)
        self._pump(consumer)

    def _beat(self, consumer: Consumer, pull: Pull) -> None:
        if pull in consumer.waiting and not pull.is_gone:
            self._route(pull.inbox, b"", headers={"Status": "100", "Description": "Idle Heartbeat"})
            self._world.after(pull.heartbeat_ns, self._beat, consumer, pull)

    def _give_up(self, consumer: Consumer, pull: Pull) -> None:
        if pull in consumer.waiting and not pull.is_gone:
            consumer.waiting.remove(pull)
            headers = {"Status": "408", "Description": "Request Timeout"}
            self._route(pull.inbox, b"", headers={**headers, "Nats-Pending-Messages": str(pull.left)})

    # -- the API -----------------------------------------------------------------------------------------------

    def _answer(self, subject: str, data: bytes, reply: str) -> None:
        what, request = subject.removeprefix("$JS.API."), msgspec.json.decode(data or b"{}")
        try:
            answer = self._api(what.split("."), request)
        except ApiError as error:
            answer = error.answer
        self._reply(reply, answer)

    def _api(self, what: list[str], request: dict[str, Any]) -> dict[str, Any]:
        match what:
            case ["INFO"]:
                return {"streams": len(self.streams), "storage": 0}
            case ["STREAM", "CREATE" | "UPDATE", name]:
                return self._make_stream(name, request)
            case ["STREAM", "INFO", name]:
                return self._named(name).info(request.get("subjects_filter", ""))
            case ["STREAM", "MSG", "GET", name]:
                return self._read(self._named(name), request)
            case ["CONSUMER", "CREATE", name, *durable]:
                return self._make_consumer(self._named(name), request["config"], durable)
            case ["CONSUMER", "INFO", name, durable]:
                return self._consumer(name, durable).info()
            case ["CONSUMER", "DELETE", name, durable]:
                self._consumer(name, durable).waiting.clear()
                del self.streams[name].consumers[durable]
                return {"success": True}
        raise ApiError(404, 10000, f"no such request: {what}")

    def _named(self, name: str) -> Stream:
        if name not in self.streams:
            raise ApiError(*held.NO_STREAM)
        return self.streams[name]

    def _consumer(self, stream: str, name: str) -> Consumer:
        found = self._named(stream).consumers.get(name)
        if found is None:
            raise ApiError(*held.NO_CONSUMER)
        return found

    def _make_stream(self, name: str, config: dict[str, Any]) -> dict[str, Any]:
        if name in self.streams:
            self.streams[name].config = config
        else:
            self.streams[name] = Stream(config, self._world.now_ns)
        self._stream_of.clear()
        return self.streams[name].info()

    def _read(self, stream: Stream, request: dict[str, Any]) -> dict[str, Any]:
        if "last_by_subj" in request:
            found = stream.get(stream.last_of(request["last_by_subj"]))
        elif "next_by_subj" not in request:
            found = stream.get(request["seq"])
        else:
            later = stream.held(request["seq"])
            found = next((m for m in later if matches(request["next_by_subj"], m.subject)), None)
        if found is None:
            raise ApiError(*held.NO_MESSAGE)
        lines = "".join(f"{key}: {value}\r\n" for key, value in found.headers.items())
        block = f"NATS/1.0\r\n{lines}\r\n".encode() if lines else b""
        message = {
            "subject": found.subject,
            "seq": found.seq,
            "data": b64encode(found.data).decode(),
            "hdrs": b64encode(block).decode(),
            "time": rfc3339(found.at_ns),
        }
        return {"message": message}

    def _make_consumer(self, stream: Stream, config: dict[str, Any], durable: list[str]) -> dict[str, Any]:
        self._count += 1
        name = durable[0] if durable else f"e{self._count}"
        if name in stream.consumers:
            return stream.consumers[name].info()
        subjects = config.get("filter_subjects") or [config["filter_subject"]]
        consumer = Consumer(stream, name, config, tuple(subjects), durable=bool(config.get("durable_name")))
        if config["deliver_policy"] == "by_start_sequence":
            consumer.next_seq = config["opt_start_seq"]
        elif config["deliver_policy"] == "last_per_subject":
            consumer.next_seq = len(stream.messages) + 1
            newest = {m.subject: m.seq for m in stream.held() if consumer.wants(m.subject)}
            consumer.queued.extend(sorted(newest.values()))
        consumer.unseen = len(consumer.queued) + sum(
            1 for m in stream.held(consumer.next_seq) if consumer.wants(m.subject)
        )
        stream.consumers[name] = consumer
        return consumer.info()
