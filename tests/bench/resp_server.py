#!/usr/bin/env python3
"""A server that speaks enough of Redis's protocol for the tests of the benchmark.

usage: resp_server.py [APPENDONLY APPENDFSYNC]

Prints its port and serves until it is killed, one database in memory, one thread. What CONFIG GET
says about durability are the two arguments (it keeps nothing).
"""
import selectors
import socket
import sys

SETTINGS = {b"appendonly": (sys.argv[1:2] or ["no"])[0].encode(),
            b"appendfsync": (sys.argv[2:3] or ["everysec"])[0].encode()}
data = {}


def bulk(value):
    return b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)


def array(values):
    return b"*%d\r\n" % len(values) + b"".join(bulk(value) for value in values)


def answer(words):
    verb = words[0].upper()
    if verb == b"GET":
        return bulk(data.get(words[1]))
    if verb == b"SET":
        data[words[1]] = words[2]
        return b"+OK\r\n"
    if verb == b"DEL":
        return b":%d\r\n" % sum(data.pop(key, None) is not None for key in words[1:])
    if verb == b"MGET":
        return array([data.get(key) for key in words[1:]])
    if verb == b"MSET":
        data.update(zip(words[1::2], words[2::2]))
        return b"+OK\r\n"
    if verb == b"DBSIZE":
        return b":%d\r\n" % len(data)
    if verb == b"FLUSHDB":
        data.clear()
        return b"+OK\r\n"
    if verb == b"SELECT":
        return b"+OK\r\n" if words[1] == b"0" else b"-ERR DB index is out of range\r\n"
    if verb == b"CONFIG":
        name = words[2].lower()
        return array([name, SETTINGS[name]]) if name in SETTINGS else b"*0\r\n"
    if verb == b"INFO":
        return bulk(b"# Server\r\nredis_version:7.0.0\r\nused_memory_rss:1234\r\n")
    return b"-ERR unknown command\r\n"


class Connection:
    def __init__(self, peer):
        self.peer = peer
        self.input = bytearray()
        self.output = bytearray()

    def take(self):
        """The next complete request, or None."""
        end = self.input.find(b"\r\n")
        if end < 0:
            return None
        count = int(self.input[1:end])
        at = end + 2
        words = []
        for _ in range(count):
            end = self.input.find(b"\r\n", at)
            if end < 0:
                return None
            size = int(self.input[at + 1:end])
            at = end + 2
            if len(self.input) < at + size + 2:
                return None
            words.append(bytes(self.input[at:at + size]))
            at += size + 2
        del self.input[:at]
        return words


def serve(selector, connection, events):
    if events & selectors.EVENT_READ:
        received = connection.peer.recv(1 << 16)
        if not received:
            selector.unregister(connection.peer)
            connection.peer.close()
            return
        connection.input += received
        while (words := connection.take()) is not None:
            connection.output += answer(words)
    if connection.output:
        try:
            del connection.output[:connection.peer.send(connection.output)]
        except BlockingIOError:
            pass
    selector.modify(connection.peer, selectors.EVENT_READ |
                    (selectors.EVENT_WRITE if connection.output else 0), connection)


def main():
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ, None)
    print(listener.getsockname()[1], flush=True)
    while True:
        for key, events in selector.select():
            if key.data is None:
                peer, _ = listener.accept()
                peer.setblocking(False)
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(peer, selectors.EVENT_READ, Connection(peer))
                continue
            try:
                serve(selector, key.data, events)
            except (ConnectionError, BrokenPipeError):
                selector.unregister(key.data.peer)
                key.data.peer.close()


main()
