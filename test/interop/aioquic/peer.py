"""aioquic as a program of its own: `server CERTIFICATE KEY IDLE_MS` or `client AUTHORITY PORT VERB ARGUMENTS...`.

It speaks the protocol of `test/interop/support/ours.ts` and says what happens in lines of JSON on standard output. RETRY=1 makes
the server ask for a token, SUITE=chacha20 leaves only that suite, VERSION=2 makes the client begin in v1 and prefer v2, VERSION=2only
begin in v2.
"""

import asyncio
import hashlib
import json
import os
import sys

from aioquic.asyncio import connect, serve
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import (
    ConnectionTerminated,
    DatagramFrameReceived,
    ProtocolNegotiated,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)
from aioquic.quic.packet import QuicProtocolVersion
from aioquic.tls import CipherSuite

BLOCK = 65521
block = bytes((i * i + 31 * i) % 251 for i in range(BLOCK))


def pattern(length):
    return block * (length // BLOCK) + block[: length % BLOCK]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Protocol(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.received = {}
        self.finished = {}
        self.datagrams = asyncio.Queue()
        self.codes = asyncio.Queue()
        self.uni = asyncio.Queue()
        self.ended = asyncio.get_running_loop().create_future()

    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated):
            say("session", version=self._quic._version)
        elif isinstance(event, ConnectionTerminated):
            info = {"errorCode": event.error_code, "reason": event.reason_phrase, "frame": event.frame_type}
            say("closed", **info)
            if not self.ended.done():
                self.ended.set_result(info)
            for waiter in self.finished.values():
                if not waiter.done():
                    waiter.set_exception(ConnectionError(event.reason_phrase))
        elif isinstance(event, DatagramFrameReceived):
            if self._quic.configuration.is_client:
                self.datagrams.put_nowait(event.data)
            else:
                self._quic.send_datagram_frame(event.data)
        elif isinstance(event, StreamReset):
            self.codes.put_nowait(event.error_code)
        elif isinstance(event, StopSendingReceived):
            self.codes.put_nowait(event.error_code)
        elif isinstance(event, StreamDataReceived):
            self.received.setdefault(event.stream_id, []).append(event.data)
            if event.data.startswith(b"STOP "):
                self._quic.stop_stream(event.stream_id, int(event.data.split()[1]))
            elif event.end_stream:
                data = b"".join(self.received.pop(event.stream_id))
                if event.stream_id & 3 == 3:
                    self.uni.put_nowait(data)
                elif self._quic.configuration.is_client:
                    self.finished[event.stream_id].set_result(data)
                else:
                    self.answer(event.stream_id, data)

    def answer(self, stream, data):
        line, _, rest = data.partition(b"\n")
        words = line.decode().split(" ", 2)
        if words[0] == "GET":
            answer = pattern(int(words[1]))
        elif words[0] == "PUT":
            answer = sha256(rest).encode()
        elif words[0] == "KEYS":
            self._quic.request_key_update()
            answer = b"true"
        elif words[0] == "CLOSE":
            return self.close(int(words[1]), words[2])
        elif words[0] == "RESET":
            return self._quic.reset_stream(stream, int(words[1]))
        elif words[0] == "UNI":
            answer = pattern(int(words[1]))
            stream = self._quic.get_next_available_stream_id(is_unidirectional=True)
        else:
            answer = rest
        self._quic.send_stream_data(stream, answer, end_stream=True)

    def ask(self, data):
        stream = self._quic.get_next_available_stream_id()
        self.finished[stream] = self._loop.create_future()
        self._quic.send_stream_data(stream, data, end_stream=True)
        self.transmit()
        return self.finished[stream]

    async def get(self, length):
        return await self.ask(b"GET %d\n" % length) == pattern(length)

    async def put(self, length):
        data = pattern(length)
        return await self.ask(b"PUT\n" + data) == sha256(data).encode()

    async def echo(self, length):
        data = pattern(length)
        return await self.ask(b"ECHO\n" + data) == data


def configuration(is_client, idle):
    config = QuicConfiguration(
        is_client=is_client,
        alpn_protocols=["interop"],
        max_datagram_frame_size=65536,
        idle_timeout=int(idle) / 1000,
    )
    if os.environ.get("SUITE") == "chacha20":
        config.cipher_suites = [CipherSuite.CHACHA20_POLY1305_SHA256]
    version = os.environ.get("VERSION")
    if version is not None:
        config.supported_versions = [QuicProtocolVersion.VERSION_2, QuicProtocolVersion.VERSION_1]
        config.original_version = (
            QuicProtocolVersion.VERSION_2 if version == "2only" else QuicProtocolVersion.VERSION_1
        )
    return config


async def server(certificate, key, idle):
    config = configuration(False, idle)
    config.load_cert_chain(certificate, key)
    tickets = {}
    running = await serve(
        "127.0.0.1",
        0,
        configuration=config,
        create_protocol=Protocol,
        retry=os.environ.get("RETRY") == "1",
        session_ticket_fetcher=lambda label: tickets.pop(label, None),
        session_ticket_handler=lambda ticket: tickets.update({ticket.ticket: ticket}),
    )
    say("listening", port=running._transport.get_extra_info("sockname")[1])
    await asyncio.Future()


async def move(protocol):
    """Carries on from another port: with another connection ID that is a migration, without one a NAT that forgot."""
    old = protocol._transport
    await protocol._loop.create_datagram_endpoint(lambda: protocol, local_addr=("::", 0))
    protocol.change_connection_id()
    old.close()


async def run_verb(protocol, verb, args):
    first = int(args[0]) if args and args[0].isdigit() else 0
    second = int(args[1]) if len(args) > 1 and args[1].isdigit() else 0
    if verb == "get":
        return {"ok": await protocol.get(first)}
    if verb == "put":
        return {"ok": await protocol.put(first)}
    if verb == "streams":
        return {"ok": all(await asyncio.gather(*(protocol.echo(second) for _ in range(first))))}
    if verb == "sequential":
        return {"ok": all([await protocol.echo(second) for _ in range(first)])}
    if verb == "datagrams":
        received = 0
        for i in range(first):
            protocol._quic.send_datagram_frame(bytes([i & 255]) * second)
            protocol.transmit()
            try:
                received += len(await asyncio.wait_for(protocol.datagrams.get(), 1)) == second
            except asyncio.TimeoutError:
                pass
        return {"ok": received >= first * 0.95, "received": received}
    if verb == "uni":
        stream = protocol._quic.get_next_available_stream_id(is_unidirectional=True)
        protocol._quic.send_stream_data(stream, b"UNI %d\n" % first, end_stream=True)
        protocol.transmit()
        return {"ok": await protocol.uni.get() == pattern(first)}
    if verb == "reset":
        protocol.ask(b"RESET %d\n" % first)
        return {"ok": True, "code": await protocol.codes.get()}
    if verb == "stop":
        stream = protocol._quic.get_next_available_stream_id()
        protocol.finished[stream] = protocol._loop.create_future()
        protocol._quic.send_stream_data(stream, b"STOP %d\n" % first)
        protocol.transmit()
        return {"ok": True, "code": await protocol.codes.get()}
    if verb == "keys":
        ok = True
        for _ in range(first):
            ok = ok and await protocol.put(100000)
            protocol.request_key_update()
            ok = ok and await protocol.get(100000)
        return {"ok": ok}
    if verb == "migrate":
        before = await protocol.put(100000)
        transfer = asyncio.ensure_future(protocol.get(first))
        await asyncio.sleep(0.2)
        await move(protocol)
        return {"ok": before and await transfer and await protocol.put(100000)}
    if verb == "close":
        ok = await protocol.get(1)
        protocol.close(first, args[1])
        return {"ok": ok}
    if verb == "closed":
        protocol.ask(b"CLOSE %d %s\n" % (first, args[1].encode())).add_done_callback(lambda done: done.exception())
        return {"ok": True, **(await protocol.ended)}
    await protocol.get(1)
    return {"ok": (await protocol.ended)["reason"] == "Idle timeout"}


async def client(authority, port, verb, *args):
    config = configuration(True, args[0] if verb == "idle" else 30000)
    config.load_verify_locations(authority)
    config.server_name = "localhost"
    tickets = []
    if verb == "resume":
        async with connect(
            "127.0.0.1",
            int(port),
            configuration=config,
            create_protocol=Protocol,
            session_ticket_handler=tickets.append,
        ) as protocol:
            await protocol.get(1)
            await asyncio.sleep(0.3)
        config.session_ticket = tickets[-1]
        verb = "get"
    async with connect("127.0.0.1", int(port), configuration=config, create_protocol=Protocol) as protocol:
        say("done", **await run_verb(protocol, verb, args))


role, *rest = sys.argv[1:]
asyncio.run(server(*rest) if role == "server" else client(*rest))
