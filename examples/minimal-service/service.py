#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The smallest redirect service that is right, in Python, with nothing but the standard library:
three socket options are all that Waybill asks of a service. service.c beside it is the same in C.

    service.py 127.0.0.1:9001     or [::1]:9001, or [::]:9001 for both families
"""
import ctypes
import errno
import os
import select
import socket
import struct
import sys
import threading
import time

SOL_WAYBILL = 0x5742
REDIRECT_RECORDS = 1
ORIGINAL_DESTINATION = 4
RECORDS_MAX = 2048
LIBC = ctypes.CDLL(None, use_errno=True)


def records(accepted):
    """The records of a connection: bytes to hand on unchanged.

    CPython's getsockopt() takes at most 1,024 bytes (python/cpython#112740). The records of eight
    hops, the default limit, are 968. Longer ones are refused with ERANGE, nothing is lost by that,
    and the C library is asked instead.
    """
    try:
        return accepted.getsockopt(SOL_WAYBILL, REDIRECT_RECORDS, 1024)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
    blob, size = ctypes.create_string_buffer(RECORDS_MAX), ctypes.c_uint32(RECORDS_MAX)
    if LIBC.getsockopt(accepted.fileno(), SOL_WAYBILL, REDIRECT_RECORDS, blob, ctypes.byref(size)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return blob.raw[:size.value]


def original_destination(accepted):
    """The family and the address that the client asked for, as socket() and connect() take them."""
    raw = accepted.getsockopt(SOL_WAYBILL, ORIGINAL_DESTINATION, 128)
    family = struct.unpack_from("=H", raw)[0]
    if family == socket.AF_INET:
        port, host = struct.unpack_from("!H4s", raw, 2)
        return family, (socket.inet_ntop(family, host), port)
    port, _, host = struct.unpack_from("!HI16s", raw, 2)
    scope = struct.unpack_from("=I", raw, 24)[0]
    return family, (socket.inet_ntop(family, host), port, 0, scope)


def connect_onward(accepted):
    family, address = original_destination(accepted)
    onward = socket.socket(family, socket.SOCK_STREAM)
    try:
        onward.setsockopt(SOL_WAYBILL, REDIRECT_RECORDS, records(accepted))
        onward.connect(address)
    except BaseException:
        onward.close()
        raise
    return onward


class Stream:
    """One direction of a connection. It is read only when all it read before was written."""

    def __init__(self, source, target):
        self.source, self.target, self.bytes, self.ended = source, target, b"", False

    def move(self):
        """Moves what can be moved without waiting; OSError if the connection broke."""
        try:
            if not self.bytes and not self.ended:
                self.bytes = self.source.recv(65536)
                # The end of one direction is passed on as it is: the other may go on for long.
                if not self.bytes:
                    self.ended = True
                    self.target.shutdown(socket.SHUT_WR)
            if self.bytes:
                self.bytes = self.bytes[self.target.send(self.bytes):]
        except BlockingIOError:
            pass


def carry(accepted, onward):
    """Returns when both directions ended; OSError if the connection broke."""
    up, down = Stream(accepted, onward), Stream(onward, accepted)
    accepted.setblocking(False)
    onward.setblocking(False)
    while not (up.ended and down.ended):
        poll = select.poll()
        idle = set()
        for inward, outward in (up, down), (down, up):
            events = 0 if inward.bytes or inward.ended else select.POLLIN
            events |= select.POLLOUT if outward.bytes else 0
            # An error is reported unasked, and for ever: not while no room is left to read it.
            if events or not inward.bytes:
                poll.register(inward.source, events)
            if not events:
                idle.add(inward.source.fileno())
        ready = poll.poll()
        up.move()
        down.move()
        # Nothing was asked of this side, and yet there is news: it was reset.
        if any(fd in idle for fd, _ in ready):
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


def reset(connection):
    """Closing it will reset it: what broke must not look like a proper end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def serve(accepted):
    with accepted:
        try:
            with connect_onward(accepted) as onward:
                try:
                    carry(accepted, onward)
                except BaseException:
                    reset(onward)
                    raise
        except OSError as error:
            reset(accepted)
            if error.errno == errno.ENOENT:
                print("refused a connection that was not redirected here", file=sys.stderr)
            else:
                print(f"service.py: {error}", file=sys.stderr)


def main():
    if len(sys.argv) != 2 or ":" not in sys.argv[1]:
        sys.exit("usage: service.py ADDRESS:PORT")
    host, port = sys.argv[1].rsplit(":", 1)
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        listener.listen(socket.SOMAXCONN)
        while True:
            try:
                accepted, _ = listener.accept()
                threading.Thread(target=serve, args=(accepted,), daemon=True).start()
            except (OSError, RuntimeError) as error:
                print(f"service.py: {error}", file=sys.stderr)
                time.sleep(0.1)  # out of files or threads: some will end


if __name__ == "__main__":
    main()
