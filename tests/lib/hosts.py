# SPDX-License-Identifier: Apache-2.0
"""hosts.py - a thousand next hops on one port: every loopback address is a host of its own.

    with Hosts(silent={"127.1.0.7"}) as hosts:
        ... f"127.1.0.8:{hosts.port}"
        hosts.wait(lambda: len(hosts.messages) == 3, "three messages")

Hosts in `silent` take connections and say nothing, until speak(). `answers` maps (host, verb) to
replies that are given in turn before the usual ones; "." is the end of the data. `messages` is
(host, recipients) in the order in which they were taken, each with its time in `times`;
`most[host]` how many connections it had at one time (`most_of_all`: all hosts), `opened[host]` how
many in all, `peers[host]` the addresses they came from. A connection whose other end is closed does
not count, be it that nobody here has read so far. `tls` (an ssl context, or one for each host that
has it) offers STARTTLS; what is said
to "TLS EHLO" is the answer in TLS, which offers `secured`.
"""
import asyncio
import collections
import socket
import threading
import time

from . import proc

TCP_ESTABLISHED = 1


class Hosts:
    def __init__(self, silent=(), answers=None, delay=0.0, families=("0.0.0.0",), tls=None, secured=""):
        self.tls, self.secured = tls, secured
        self.silent, self.answers, self.delay = set(silent), answers or {}, delay
        self.families = families
        self.messages, self.times, self.lines = [], [], []
        self.open, self.most, self.opened = (collections.Counter() for _ in range(3))
        self.sockets = collections.defaultdict(set)
        self.most_of_all = 0
        self.peers = collections.defaultdict(list)

    def __enter__(self):
        ready = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self.thread.start()
        if not ready.wait(proc.PATIENCE_SECONDS):
            raise proc.Failed("the hosts are not ready")
        return self

    def __exit__(self, *exception):
        self.loop.call_soon_threadsafe(self.ended.set)
        self.thread.join(10)

    def speak(self):
        self.loop.call_soon_threadsafe(self.spoken.set)

    def wait(self, condition, what, seconds=60):
        proc.wait_until(condition, seconds, what)

    def _run(self, ready):
        asyncio.run(self._serve(ready))

    async def _serve(self, ready):
        self.loop, self.ended, self.spoken = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        servers, self.port = [], 0
        for address in self.families:
            server = await asyncio.start_server(self._session, address, self.port, backlog=2000)
            self.port = server.sockets[0].getsockname()[1]
            servers.append(server)
        ready.set()
        await self.ended.wait()
        for server in servers:
            server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _session(self, reader, writer):
        host = writer.get_extra_info("sockname")[0]
        connection = writer.get_extra_info("socket")
        self.open[host] += 1
        self.opened[host] += 1
        self.sockets[host].add(connection)
        self._count(host)
        self.peers[host].append(writer.get_extra_info("peername")[0])
        try:
            if host in self.silent and not await self._is_spoken(reader):
                return
            await self._talk(host, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open[host] -= 1
            self.sockets[host].discard(connection)
            writer.close()

    def _count(self, host):
        """Asks the kernel only where there seem to be more than ever before."""
        if self.open[host] > self.most[host]:
            self.most[host] = max(self.most[host], self._established([host]))
        if sum(self.open.values()) > self.most_of_all:
            self.most_of_all = max(self.most_of_all, self._established(list(self.sockets)))

    def _established(self, hosts):
        state = [connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
                 for host in hosts for connection in self.sockets[host]]
        return state.count(TCP_ESTABLISHED)

    async def _is_spoken(self, reader):
        """False: the peer has gone first."""
        gone, spoken = (asyncio.ensure_future(wait) for wait in (reader.read(1), self.spoken.wait()))
        await asyncio.wait({gone, spoken}, return_when=asyncio.FIRST_COMPLETED)
        has_gone = gone.done()
        for wait in (gone, spoken):
            wait.cancel()
        await asyncio.gather(gone, spoken, return_exceptions=True)
        return not has_gone

    def _told(self, host, verb, usual):
        replies = self.answers.get((host, verb))
        return replies.pop(0) if replies else usual

    async def _talk(self, host, reader, writer):
        usual = {"EHLO": "250-hop\r\n250 PIPELINING", "DATA": "354 go on", "QUIT": "221 2.0.0 bye",
                 "TLS EHLO": f"250-hop\r\n250-{self.secured}\r\n250 PIPELINING"}
        tls = self.tls.get(host) if isinstance(self.tls, dict) else self.tls
        if tls:
            usual.update({"EHLO": "250-hop\r\n250 STARTTLS", "STARTTLS": "220 2.0.0 go on"})
        secure = ""
        recipients = []
        await self._say(writer, self._told(host, "greeting", "220 hop ESMTP"))
        while line := (await reader.readline()).decode():
            verb = line.split()[0].upper()
            self.lines.append((host, line.strip()))
            if verb == "MAIL":
                recipients = []
            if verb == "RCPT":
                recipients.append(line.split("<")[1].split(">")[0])
            verb = secure + verb if verb == "EHLO" else verb
            reply = self._told(host, verb, usual.get(verb, "250 2.0.0 ok"))
            if reply == "reset":
                self._reset(writer)
                return
            await self._say(writer, reply)
            if verb == "STARTTLS" and reply.startswith("220"):
                await writer.start_tls(tls)
                secure = "TLS "
            if verb == "DATA" and reply.startswith("354"):
                await self._data(host, recipients, reader, writer)
            if verb == "QUIT" or reply.startswith("421"):
                return

    async def _data(self, host, recipients, reader, writer):
        while (await reader.readline()) not in (b".\r\n", b""):
            pass
        if self.delay:
            await asyncio.sleep(self.delay)
        reply = self._told(host, ".", "250 2.0.0 taken")
        if reply == "reset":
            self._reset(writer)
            raise ConnectionResetError
        if reply.startswith("250"):
            self.messages.append((host, recipients))
            self.times.append(time.monotonic())
        await self._say(writer, reply)
        if reply.startswith("421"):
            raise ConnectionResetError

    @staticmethod
    def _reset(writer):
        """So that the peer sees RST, not an orderly end."""
        linger = b"\1\0\0\0\0\0\0\0"
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    @staticmethod
    async def _say(writer, text):
        writer.write(text.encode() + b"\r\n")
        await writer.drain()
