# SPDX-License-Identifier: Apache-2.0
"""A spool that came to harm: the damaged record is set aside and named in the log, the rest flows."""
import os
import pathlib
import re
import smtplib
import socket
import struct

from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.faults import Faults
from tests.lib.nexthop import NextHop

COUNT = 7
# core/queue/record.h
RECORDS_AT, HEADER, MAGIC, MESSAGE = 8192, 48, 0x31635250, 1


class Record:
    """Where a MESSAGE stands in its file."""

    def __init__(self, path, offset, head, body):
        self.path, self.offset = path, offset
        self.head, self.body = offset + HEADER, offset + HEADER + head
        self.end = self.body + body

    def change(self, offset, data):
        with open(self.path, "r+b") as file:
            file.seek(offset)
            file.write(data)

    def flip(self, offset):
        with open(self.path, "rb") as file:
            file.seek(offset)
            byte = file.read(1)[0]
        self.change(offset, bytes([byte ^ 0x10]))


def messages(path):
    """The MESSAGE records of a segment, in order."""
    data, offset, found = path.read_bytes(), RECORDS_AT, []
    while offset + HEADER <= len(data) and struct.unpack_from("<I", data, offset)[0] == MAGIC:
        body, head = struct.unpack_from("<QI", data, offset + 24)
        if data[offset + 5] == MESSAGE:
            found.append(Record(path, offset, head, body))
        offset += (HEADER + head + body + 15) // 16 * 16
    return found


class Damage(RelayCase):
    def setUp(self):
        super().setUp()
        # It takes connections and says nothing: mail is under way and no mark is written.
        self.silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.silent.close)
        self.hop = self.enterContext(NextHop())

    def new_relay(self, port):
        return self.relay({"plain": {"tls": "none", "auth": "off"}}, self.route(port),
                          relay={"queue": {"retry_first": "50ms", "retry_most": "200ms"},
                                 "spool": {"segment_size": "1m"}})

    @staticmethod
    def route(port):
        return [{"to": "smarthost", "host": f"127.0.0.1:{port}", "tls": "none"}]

    @staticmethod
    def submit(relay, count=COUNT, lines=200):
        with smtplib.SMTP("127.0.0.1", relay.port("plain"), timeout=60) as client:
            for number in range(count):
                client.sendmail("a@clinic.example", [f"r{number}@partner.example"],
                                f"Subject: number {number}\r\n\r\n" + f"line of {number}\r\n" * lines)

    def restart(self, relay):
        """With a next hop that works."""
        relay.routes = self.route(self.hop.port)
        relay.write()
        relay.start()

    def subjects(self, count):
        self.hop.wait(count)
        return sorted(int(re.search(rb"Subject: number (\d+)", data)[1]) for _, _, data in self.hop.messages)

    def named(self, relay):
        """Paths in the log of what was set aside."""
        return re.findall(r"spool-record-damaged kept=(\S+)", relay.log())

    def idle(self, relay):
        proc.wait_until(relay.queue_is_empty, 20, "an empty queue")

    def run_case(self, harm, victim, said):
        relay = self.new_relay(self.silent.getsockname()[1])
        relay.start()
        self.submit(relay)
        relay.kill_master()
        files = sorted(pathlib.Path(relay.state, "spool").glob("*.seg"))
        records = [record for path in files for record in messages(path)]
        self.assertEqual(len(records), COUNT, files)
        harm(records[victim])
        self.restart(relay)
        rest = [number for number in range(COUNT) if number != victim % COUNT]
        self.assertEqual(self.subjects(len(rest)), rest, relay.log()[-3000:])
        self.idle(relay)
        kept = self.named(relay)
        self.assertEqual(len(kept), 1, relay.log()[-3000:])
        self.assertIn(b"Subject: number", pathlib.Path(kept[0]).read_bytes())
        self.assertIn(said, relay.log())
        self.assertEqual(relay.stop(), 0, relay.log()[-2000:])
        self.start_again(relay, len(rest))

    def start_again(self, relay, arrived):
        """Nothing is told or sent twice."""
        relay.start()
        self.idle(relay)
        self.assertEqual(len(self.named(relay)), 1)
        self.assertEqual(len(self.hop.messages), arrived)
        relay.stop()

    def test_last_record_cut_off(self):
        self.run_case(lambda record: os.truncate(record.path, (record.body + record.end) // 2), -1,
                      "longer than the file")

    def test_last_record_half_written(self):
        middle = lambda record: (record.body + record.end) // 2
        self.run_case(lambda record: record.change(middle(record), bytes(record.end - middle(record))), -1,
                      "the body of message")

    def test_last_header_half_written(self):
        self.run_case(lambda record: record.change(record.offset + 24, b"\xa5" * 24), -1, "damaged")

    def test_byte_of_a_body(self):
        self.run_case(lambda record: record.flip((record.body + record.end) // 2), 3, "the body of message")

    def test_byte_of_a_head(self):
        self.run_case(lambda record: record.flip(record.head + 5), 3, "head is damaged")

    def test_byte_of_a_header(self):
        self.run_case(lambda record: record.flip(record.offset + 26), 3, "records are damaged")

    def test_what_cannot_be_read_for_a_while(self):
        """A bad block in a body: the start goes on, the others flow, that one is kept, named and tried again."""
        disk = Faults(self.directory, self.builddir)
        relay = self.new_relay(self.silent.getsockname()[1])
        disk.preload(relay)
        relay.start()
        self.submit(relay)
        relay.kill_master()
        record = [each for path in sorted(pathlib.Path(relay.state, "spool").glob("*.seg")) for each in messages(path)][3]
        disk.put("read", f"{record.body} {record.body + 1}")
        self.restart(relay)
        rest = [number for number in range(COUNT) if number != 3]
        self.assertEqual(self.subjects(len(rest)), rest, relay.log()[-3000:])
        unread = "the message could not be read back"
        proc.wait_until(lambda: unread in relay.ctl("queue", "show", "--recipient", "r3@partner.example").stdout, 20,
                        "queue show names it")
        self.assertEqual(self.named(relay), [])
        disk.end("read")
        self.assertEqual(self.subjects(COUNT), list(range(COUNT)))
        self.idle(relay)

    def full_segment(self):
        """Messages of 60 kB for a segment of 1 MiB and a half; the records of the full one."""
        relay, count = self.new_relay(self.silent.getsockname()[1]), 24
        relay.start()
        self.submit(relay, count, 5500)
        relay.kill_master()
        first, second = sorted(pathlib.Path(relay.state, "spool").glob("*.seg"))
        self.assertEqual(len(messages(first)) + len(messages(second)), count)
        self.assertIn(b"PNINDEX\n", first.read_bytes()[-32:])
        return relay, count, messages(first)

    def test_byte_of_a_body_behind_an_index(self):
        """A start does not read it: it is set aside and named when it is to be sent, and its sender is told."""
        relay, count, records = self.full_segment()
        records[3].flip((records[3].body + records[3].end) // 2)
        self.restart(relay)
        self.hop.wait(count)
        self.idle(relay)
        reports = [data for sender, _, data in self.hop.messages if sender.startswith("<>")]
        self.assertEqual(len(reports), 1, [sender for sender, _, _ in self.hop.messages])
        self.assertIn(b"r3@partner.example", reports[0])
        self.assertIn(b"damaged in the spool", reports[0])
        subjects = {int(found[1]) for _, _, data in self.hop.messages
                    if (found := re.search(rb"^Subject: number (\d+)", data, re.M))}
        self.assertEqual(subjects, set(range(count)) - {3})
        kept = self.named(relay)
        self.assertEqual(len(kept), 1, relay.log()[-3000:])
        self.assertIn(b"Subject: number 3", pathlib.Path(kept[0]).read_bytes())
        self.assertIn("1 segments were read by their index, 1 whole", relay.log())
        relay.stop()

    def test_byte_of_an_index(self):
        relay, count, records = self.full_segment()
        records[-1].flip((records[-1].end + 15) // 16 * 16 + 100)
        self.restart(relay)
        self.assertEqual(self.subjects(count), list(range(count)))
        self.assertIn("the index at its end is damaged", relay.log())
        self.assertIn("0 segments were read by their index, 2 whole", relay.log())
        relay.stop()

    def test_undamaged(self):
        """Stopped with mail that was tried: all of it is still there."""
        relay = self.new_relay(proc.free_port())
        relay.start()
        self.submit(relay)
        proc.wait_until(lambda: relay.log().count("=deferred ") >= COUNT, 20, "all is deferred")
        self.assertEqual(relay.stop(), 0, relay.log()[-2000:])
        self.restart(relay)
        self.assertEqual(self.subjects(COUNT), list(range(COUNT)))
        self.assertEqual(self.named(relay), [])
