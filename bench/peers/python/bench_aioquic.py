"""
The benchmark's program over aioquic. It has no back-pressure for writers, so whoever sends hands over all of it at once;
its certificate is of P-256 and its key exchange too, which it offers first.
"""

import argparse
import asyncio
import datetime
import json
import os
import resource
import socket
import ssl
import struct
import sys
import time

from aioquic.asyncio import connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.tls import CipherSuite
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

IMPL = "aioquic 1.7.2"
STREAM_BYTES = 100_000
PATTERN = bytes(index * 31 & 0xFF for index in range(65536))


def pattern(length):
    return (PATTERN * (length // len(PATTERN) + 1))[:length]


def configuration(is_client):
    return QuicConfiguration(
        is_client=is_client,
        alpn_protocols=["bench"],
        cipher_suites=[CipherSuite.AES_128_GCM_SHA256],
        idle_timeout=60,
        max_data=24_000_000,
        max_stream_data=16_000_000,
        max_datagram_size=1452,
        server_name="localhost" if is_client else None,
        verify_mode=ssl.CERT_NONE if is_client else None,
    )


def self_signed():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def enlarge_buffers(protocol):
    """The system's default of 208 kB loses packets on loopback; the library has no setting for it."""
    sock = protocol._transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * 1024 * 1024)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * 1024 * 1024)


async def stdin_closed():
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


async def count_all(reader):
    total = 0
    while data := await reader.read(1 << 20):
        total += len(data)
    return total


async def answer(reader, writer):
    length, mode = struct.unpack(">QB", await reader.readexactly(9))
    if mode == 0:
        writer.write(pattern(length))
    else:
        writer.write(struct.pack(">Q", await count_all(reader)))
    writer.write_eof()


async def run_server(host, port):
    settings = configuration(False)
    settings.certificate, settings.private_key = self_signed()
    tasks = set()

    def on_stream(reader, writer):
        task = asyncio.ensure_future(answer(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    enlarge_buffers(await serve(host, port, configuration=settings, stream_handler=on_stream))
    print("ready", flush=True)
    await stdin_closed()
    os._exit(0)


async def transfer(connection, length, upload):
    reader, writer = await connection.create_stream()
    writer.write(struct.pack(">QB", length, upload))
    if upload:
        writer.write(pattern(length))
    writer.write_eof()
    if upload:
        (counted,) = struct.unpack(">Q", await reader.readexactly(8))
    else:
        counted = await count_all(reader)
    if counted != length:
        raise RuntimeError(f"{counted} bytes, not {length}")


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def report(**fields):
    print(json.dumps({"impl": IMPL, **fields}), flush=True)


async def run_client(host, port, mode, length, count):
    opened = []

    async def open_connection():
        opening = connect(host, port, configuration=configuration(True))
        opened.append(opening)
        connection = await opening.__aenter__()
        enlarge_buffers(connection)
        return connection

    if mode in ("handshakes", "idle"):
        start = time.monotonic()
        for _ in range(count):
            connection = await open_connection()
            if mode == "handshakes":
                connection.close()
        elapsed = time.monotonic() - start
        if mode == "handshakes":
            report(mode=mode, count=count, seconds=elapsed, per_s=count / elapsed, cpu_s=cpu_seconds())
            return
        with open("/proc/self/statm") as statm:
            resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")
        report(mode=mode, count=count, rss_bytes=resident)
        await stdin_closed()
        return
    connection = await open_connection()
    before = cpu_seconds()
    start = time.monotonic()
    if mode == "rr":
        for _ in range(count):
            await transfer(connection, 64, False)
        elapsed = time.monotonic() - start
        report(mode=mode, count=count, seconds=elapsed, per_s=count / elapsed, cpu_s=cpu_seconds())
    elif mode == "streams":
        await asyncio.gather(*(transfer(connection, STREAM_BYTES, False) for _ in range(count)))
        elapsed = time.monotonic() - start
        gbps = count * STREAM_BYTES * 8e-9 / elapsed
        report(mode=mode, count=count, seconds=elapsed, gbps=gbps, cpu_s=cpu_seconds())
    elif mode in ("download", "upload"):
        await transfer(connection, length, mode == "upload")
        elapsed = time.monotonic() - start
        cpu = cpu_seconds()
        gbps = length * 8e-9 / elapsed
        report(mode=mode, bytes=length, seconds=elapsed, gbps=gbps, cpu_s=cpu, transfer_cpu_s=cpu - before)
    else:
        sys.exit(f"no mode {mode} here")
    connection.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["server", "client"])
    parser.add_argument("--addr", default="127.0.0.1:4433")
    parser.add_argument("--mode", default="download")
    parser.add_argument("--bytes", type=int, default=20_000_000)
    parser.add_argument("--count", type=int, default=100)
    options = parser.parse_args()
    host, port = options.addr.rsplit(":", 1)
    if options.role == "server":
        asyncio.run(run_server(host, int(port)))
    else:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(run_client(host, int(port), options.mode, options.bytes, options.count))
        sys.stdout.flush()
        os._exit(0)


main()
