#!/usr/bin/env python3
"""Loads libwarp.so as a stranger would, through ctypes, and uses all kinds of calls.

usage: test_ctypes.py [libwarp.so]     or WARP_LIBRARY=..., else build/libwarp.so

The structs are written down here a second time, from warp.h, so a change of the layout that
breaks programs already compiled fails here.
"""
import ctypes
import os
import re
import select
import shutil
import sys
import tempfile
import threading
import time
import unittest
from ctypes import (CFUNCTYPE, POINTER, Structure, byref, c_char_p, c_int, c_int32, c_int64,
                    c_size_t, c_uint32, c_uint64, c_void_p, cast, create_string_buffer, sizeof,
                    string_at)

OK, ABSENT, AGAIN, CONFLICT, TRUNCATED = 0, 1, 2, 3, 4
EINVAL, EBUSY, EKEY, EVALUE, ENUMBER, ERANGE = -1, -5, -6, -7, -8, -9
EREADONLY, ENOTDIR, ENOENT, EEXIST, EDEADLINE, EBATCH = -14, -16, -17, -18, -19, -20
MEMORY, INTERVAL, COMMIT = 1, 2, 3
CREATE, READ_ONLY, MUST_EXIST, MUST_BE_NEW = 1, 2, 4, 8
IF_ANY, IF_ABSENT, IF_PRESENT, IF_SEQUENCE, IF_VALUE = 0, 1, 2, 3, 4
OP_GET, OP_PUT, OP_DELETE, OP_ADD = 1, 2, 3, 4


class Slice(Structure):
    _fields_ = [("data", c_void_p), ("bytes", c_size_t)]


PROGRESS = CFUNCTYPE(None, c_void_p, c_uint64, c_uint64, c_uint64)


# As of the first header: what came later is completed with defaults.
class Options(Structure):
    _fields_ = [("size", c_size_t), ("shard_count", c_uint32), ("durability", c_uint32),
                ("sync_interval_ms", c_uint32), ("read_durable", c_uint32),
                ("memory_bytes_max", c_uint64), ("open_flags", c_uint32), ("preset", c_char_p),
                ("segment_bytes", c_uint32), ("log_buffer_bytes", c_uint32),
                ("spin_us", c_uint32), ("pin_threads", c_uint32), ("io_backend", c_uint32),
                ("huge_pages", c_uint32), ("recovery_threads", c_uint32),
                ("direct_io", c_uint32), ("reserved", c_uint32), ("allocator", c_void_p),
                ("progress", PROGRESS), ("progress_context", c_void_p), ("message", c_void_p),
                ("message_bytes", c_size_t)]


class Write(Structure):
    _fields_ = [("size", c_size_t), ("durability", c_uint32), ("condition", c_uint32),
                ("ttl_ms", c_uint64), ("if_sequence", c_uint64), ("if_value", Slice)]


class Value(Structure):
    _fields_ = [("data", c_void_p), ("bytes", c_size_t), ("sequence", c_uint64),
                ("expires_at_ms", c_uint64), ("opaque", c_void_p * 3)]

    def text(self):
        return string_at(self.data, self.bytes) if self.bytes else b""


class Recovery(Structure):
    _fields_ = [("size", c_size_t), ("records", c_uint64), ("frames", c_uint64),
                ("operations", c_uint64), ("bytes_read", c_uint64), ("bytes_cut", c_uint64),
                ("duration_ns", c_uint64), ("expired", c_uint64), ("clean", c_uint32),
                ("fencing_epoch", c_uint32)]


class Request(Structure):
    _fields_ = [("size", c_size_t), ("opcode", c_uint32), ("cookie", c_uint64), ("key", Slice),
                ("value", Slice), ("delta", c_int64), ("deadline_ns", c_uint64),
                ("how", POINTER(Write))]


class Completion(Structure):
    _fields_ = [("cookie", c_uint64), ("result", c_int32), ("opcode", c_uint32),
                ("sequence", c_uint64), ("number", c_int64), ("value", Value)]


VISITOR = CFUNCTYPE(c_int, c_void_p, Slice, POINTER(Value))


def load_library():
    path = sys.argv.pop(1) if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else None
    path = path or os.environ.get("WARP_LIBRARY") or "build/libwarp.so"
    library = ctypes.CDLL(os.path.abspath(path))
    db, batch, session = c_void_p, c_void_p, c_void_p
    signatures = {
        "warp_error_text": (c_char_p, [c_int]),
        "warp_version": (c_char_p, []),
        "warp_open": (c_int, [c_char_p, POINTER(Options), POINTER(db)]),
        "warp_close": (c_int, [POINTER(db)]),
        "warp_failure": (c_int, [db, c_void_p, c_size_t]),
        "warp_recovery_info": (c_int, [db, POINTER(Recovery)]),
        "warp_put": (c_int, [db, Slice, Slice, POINTER(Write), POINTER(c_uint64)]),
        "warp_get": (c_int, [db, Slice, c_void_p, c_size_t, POINTER(c_size_t),
                             POINTER(c_uint64)]),
        "warp_delete": (c_int, [db, Slice, POINTER(Write), POINTER(c_uint64)]),
        "warp_add": (c_int, [db, Slice, c_int64, POINTER(Write), POINTER(c_int64)]),
        "warp_borrow": (c_int, [db, Slice, POINTER(Value)]),
        "warp_return": (None, [POINTER(Value)]),
        "warp_multi_get": (c_int, [db, POINTER(Slice), c_size_t, POINTER(Value),
                                   POINTER(c_int)]),
        "warp_batch_create": (c_int, [db, POINTER(batch)]),
        "warp_batch_put": (c_int, [batch, Slice, Slice, c_uint64]),
        "warp_batch_delete": (c_int, [batch, Slice]),
        "warp_batch_commit": (c_int, [batch, POINTER(Write), POINTER(c_uint64)]),
        "warp_batch_destroy": (None, [POINTER(batch)]),
        "warp_flush": (c_int, [db]),
        "warp_count": (c_int, [db, POINTER(c_uint64)]),
        "warp_visit": (c_int, [db, VISITOR, c_void_p]),
        "warp_session_create": (c_int, [db, c_uint32, POINTER(session)]),
        "warp_submit": (c_int, [session, POINTER(Request), c_size_t]),
        "warp_poll": (c_int, [session, POINTER(Completion), c_size_t, c_uint64]),
        "warp_session_fd": (c_int, [session]),
        "warp_session_destroy": (None, [POINTER(session)]),
        "warp_metrics_render": (c_int, [db, c_void_p, c_size_t, POINTER(c_size_t)]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


warp = load_library()


def slice_of(data):
    """A slice that keeps its bytes alive as an attribute."""
    buffer = create_string_buffer(data, max(len(data), 1))
    result = Slice(cast(buffer, c_void_p), len(data))
    result.keep = buffer
    return result


def write(condition=IF_ANY, durability=0, ttl_ms=0, if_sequence=0, if_value=b""):
    value = slice_of(if_value)
    how = Write(sizeof(Write), durability, condition, ttl_ms, if_sequence, value)
    how.keep = value
    return how


class Database:
    """The thinnest cover over the handle."""

    def __init__(self, path, **fields):
        self.message = create_string_buffer(512)
        options = Options(size=sizeof(Options), durability=COMMIT, sync_interval_ms=100,
                          read_durable=2, open_flags=CREATE,
                          message=cast(self.message, c_void_p), message_bytes=512)
        for name, value in fields.items():
            setattr(options, name, value)
        self.options = options
        self.db = c_void_p()
        self.rc = warp.warp_open(os.fsencode(path), byref(options), byref(self.db))

    def put(self, key, value, how=None):
        sequence = c_uint64()
        rc = warp.warp_put(self.db, slice_of(key), slice_of(value), how, byref(sequence))
        return rc, sequence.value

    def get(self, key, capacity=4096):
        buffer = create_string_buffer(max(capacity, 1))
        size, sequence = c_size_t(), c_uint64()
        rc = warp.warp_get(self.db, slice_of(key), buffer, capacity, byref(size),
                           byref(sequence))
        return buffer.raw[:size.value] if rc == OK else (rc, size.value)

    def delete(self, key, how=None):
        return warp.warp_delete(self.db, slice_of(key), how, None)

    def add(self, key, delta, how=None):
        result = c_int64()
        rc = warp.warp_add(self.db, slice_of(key), delta, how, byref(result))
        return rc, result.value

    def count(self):
        records = c_uint64()
        rc = warp.warp_count(self.db, byref(records))
        return records.value if rc == OK else rc

    def metrics(self):
        buffer, size = create_string_buffer(1 << 20), c_size_t()
        rc = warp.warp_metrics_render(self.db, buffer, len(buffer), byref(size))
        assert rc == OK, rc
        return buffer.raw[:size.value].decode()

    def close(self):
        return warp.warp_close(byref(self.db))


class WarpTest(unittest.TestCase):
    def setUp(self):
        self.path = tempfile.mkdtemp(prefix="warp-ctypes-")
        self.addCleanup(shutil.rmtree, self.path, True)
        self.d = self.open()
        self.addCleanup(lambda: self.d.close())

    def open(self, **fields):
        database = Database(self.path, **fields)
        self.assertEqual(database.rc, OK, database.message.value)
        return database

    def reopen(self, **fields):
        self.assertEqual(self.d.close(), OK)
        self.assertIsNone(self.d.db.value)
        self.d = self.open(**fields)

    def test_version_and_error_texts(self):
        self.assertRegex(warp.warp_version(), rb"^\d+\.\d+\.\d+$")
        for rc in list(range(-21, 5)) + [-1000, 1000]:
            self.assertTrue(warp.warp_error_text(rc))

    def test_put_get_delete(self):
        rc, first = self.d.put(b"key", b"value")
        self.assertEqual(rc, OK)
        self.assertEqual(self.d.get(b"key"), b"value")
        rc, second = self.d.put(b"key", b"")
        self.assertEqual((rc, self.d.get(b"key")), (OK, b""))
        self.assertGreater(second, first)
        self.assertEqual(self.d.delete(b"key"), OK)
        self.assertEqual(self.d.delete(b"key"), ABSENT)
        self.assertEqual(self.d.get(b"key")[0], ABSENT)

    def test_all_bytes_and_sizes_survive_a_reopening(self):
        everything = bytes(range(256))
        values = {everything: everything * 40, b"\0": b"\0\0", b"k" * 65536: b"long key",
                  b"large": os.urandom(3_000_001)}
        for key, value in values.items():
            self.assertEqual(self.d.put(key, value)[0], OK)
        self.reopen()
        for key, value in values.items():
            self.assertEqual(self.d.get(key, len(value)), value)
        self.assertEqual(self.d.count(), len(values))

    def test_a_small_buffer_is_told_the_size(self):
        self.d.put(b"key", b"0123456789")
        self.assertEqual(self.d.get(b"key", 9), (TRUNCATED, 10))
        size = c_size_t()
        self.assertEqual(warp.warp_get(self.d.db, slice_of(b"key"), None, 0, byref(size), None),
                         TRUNCATED)
        self.assertEqual(size.value, 10)

    def test_bad_arguments_are_refused(self):
        self.assertEqual(self.d.put(b"", b"x")[0], EKEY)
        self.assertEqual(self.d.put(b"k" * 65537, b"x")[0], EKEY)
        self.assertEqual(self.d.put(b"k", b"x" * (33554432 + 1))[0], EVALUE)
        self.assertEqual(self.d.get(b"")[0], EKEY)
        self.assertEqual(self.d.put(b"k", b"x", write(condition=9))[0], EINVAL)
        how = write()
        how.size = sizeof(Write) + 1000
        self.assertEqual(self.d.put(b"k", b"x", how)[0], EINVAL)
        self.assertEqual(self.d.count(), 0)

    def test_conditions(self):
        put = self.d.put
        self.assertEqual(put(b"k", b"1", write(IF_PRESENT))[0], CONFLICT)
        self.assertEqual(put(b"k", b"1", write(IF_VALUE, if_value=b""))[0], CONFLICT)
        self.assertEqual(put(b"k", b"1", write(IF_SEQUENCE, if_sequence=0))[0], CONFLICT)
        rc, sequence = put(b"k", b"1", write(IF_ABSENT))
        self.assertEqual(rc, OK)
        self.assertEqual(put(b"k", b"2", write(IF_ABSENT))[0], CONFLICT)
        self.assertEqual(put(b"k", b"2", write(IF_SEQUENCE, if_sequence=sequence + 1))[0],
                         CONFLICT)
        rc, newer = put(b"k", b"2", write(IF_SEQUENCE, if_sequence=sequence))
        self.assertEqual(rc, OK)
        self.assertGreater(newer, sequence)
        self.assertEqual(put(b"k", b"3", write(IF_VALUE, if_value=b"1"))[0], CONFLICT)
        self.assertEqual(put(b"k", b"3", write(IF_VALUE, if_value=b"2"))[0], OK)
        self.assertEqual(self.d.delete(b"k", write(IF_VALUE, if_value=b"2")), CONFLICT)
        self.assertEqual(self.d.delete(b"k", write(IF_VALUE, if_value=b"3")), OK)
        self.assertEqual(self.d.delete(b"k", write(IF_PRESENT)), CONFLICT)

    def test_add(self):
        self.assertEqual(self.d.add(b"n", 5), (OK, 5))
        self.assertEqual(self.d.add(b"n", -7), (OK, -2))
        self.assertEqual(self.d.get(b"n"), b"-2")
        self.d.put(b"n", b"9223372036854775807")
        self.assertEqual(self.d.add(b"n", 1)[0], ERANGE)
        self.d.put(b"n", b"seven")
        self.assertEqual(self.d.add(b"n", 1)[0], ENUMBER)
        self.assertEqual(self.d.get(b"n"), b"seven")

    def test_a_value_expires(self):
        self.assertEqual(self.d.put(b"k", b"v", write(ttl_ms=300))[0], OK)
        self.assertEqual(self.d.get(b"k"), b"v")
        value = Value()
        self.assertEqual(warp.warp_borrow(self.d.db, slice_of(b"k"), byref(value)), OK)
        self.assertLess(abs(value.expires_at_ms / 1000 - time.time()), 5)
        warp.warp_return(byref(value))
        time.sleep(0.4)
        self.assertEqual(self.d.get(b"k")[0], ABSENT)
        self.assertEqual(self.d.put(b"k", b"v", write(IF_ABSENT))[0], OK)

    def test_a_borrowed_value_stays_while_the_key_changes(self):
        self.d.put(b"k", b"before" * 1000)
        value = Value()
        self.assertEqual(warp.warp_borrow(self.d.db, slice_of(b"k"), byref(value)), OK)
        self.d.put(b"k", b"after")
        self.d.delete(b"k")
        for i in range(2000):
            self.d.put(b"other%d" % i, b"x" * 6000, write(durability=MEMORY))
        self.assertEqual(value.text(), b"before" * 1000)
        warp.warp_return(byref(value))
        self.assertEqual(value.bytes, 0)
        warp.warp_return(byref(value))
        self.assertEqual(warp.warp_borrow(self.d.db, slice_of(b"k"), byref(value)), ABSENT)

    def test_multi_get(self):
        names = [b"k%d" % i for i in range(100)] + [b"", b"k5"]
        for name in names[:100:2]:
            self.d.put(name, b"value of " + name, write(durability=INTERVAL))
        kept = [slice_of(name) for name in names]
        keys = (Slice * len(names))(*kept)
        values, results = (Value * len(names))(), (c_int * len(names))()
        self.assertEqual(warp.warp_multi_get(self.d.db, keys, len(names), values, results), OK)
        for i, name in enumerate(names):
            if name == b"":
                self.assertEqual(results[i], EKEY)
            elif int(name[1:]) % 2 == 0:
                self.assertEqual((results[i], values[i].text()), (OK, b"value of " + name))
            else:
                self.assertEqual((results[i], values[i].bytes), (ABSENT, 0))
            warp.warp_return(byref(values[i]))

    def test_batch(self):
        batch, sequence = c_void_p(), c_uint64()
        self.d.put(b"old", b"x")
        self.assertEqual(warp.warp_batch_create(self.d.db, byref(batch)), OK)
        for i in range(1000):
            self.assertEqual(warp.warp_batch_put(batch, slice_of(b"b%d" % i),
                                                 slice_of(b"%d" % i), 0), OK)
        self.assertEqual(warp.warp_batch_put(batch, slice_of(b""), slice_of(b""), 0), EKEY)
        self.assertEqual(warp.warp_batch_put(batch, slice_of(b"b7"), slice_of(b"later"), 0), OK)
        self.assertEqual(warp.warp_batch_delete(batch, slice_of(b"old")), OK)
        self.assertEqual(self.d.count(), 1)
        self.assertEqual(warp.warp_batch_commit(batch, None, byref(sequence)), OK)
        self.assertGreater(sequence.value, 0)
        self.assertEqual(warp.warp_batch_commit(batch, None, None), OK)
        warp.warp_batch_destroy(byref(batch))
        self.assertIsNone(batch.value)
        self.reopen()
        self.assertEqual(self.d.count(), 1000)
        self.assertEqual(self.d.get(b"b7"), b"later")
        self.assertEqual(self.d.get(b"old")[0], ABSENT)

    def test_session(self):
        session = c_void_p()
        self.assertEqual(warp.warp_session_create(self.d.db, 64, byref(session)), OK)
        fd = warp.warp_session_fd(session)
        self.assertGreaterEqual(fd, 0)
        keep, done = {}, {}
        completions = (Completion * 32)()

        def submit(cookie, opcode, key, value=b"", **fields):
            keep[cookie] = (slice_of(key), slice_of(value))
            request = Request(sizeof(Request), opcode, cookie, *keep[cookie])
            for name, field in fields.items():
                setattr(request, name, field)
            while True:
                taken = warp.warp_submit(session, byref(request), 1)
                self.assertGreaterEqual(taken, 0)
                if taken == 1:
                    return
                collect(1_000_000_000)

        def collect(timeout_ns):
            count = warp.warp_poll(session, completions, 32, timeout_ns)
            self.assertGreaterEqual(count, 0)
            for completion in completions[:count]:
                done[completion.cookie] = (completion.result, completion.number,
                                           completion.value.text())
                warp.warp_return(byref(completion.value))
                del keep[completion.cookie]
            return count

        for i in range(1000):
            submit(i, OP_PUT, b"s%d" % i, b"%d" % i)
        submit(5000, OP_ADD, b"s10", delta=32)
        submit(5001, OP_GET, b"s10")
        submit(5002, OP_DELETE, b"s11")
        submit(5003, OP_GET, b"s11")
        submit(5004, OP_GET, b"s12", deadline_ns=1)
        while len(done) < 1005:
            readable, _, _ = select.select([fd], [], [], 10)
            self.assertEqual(readable, [fd])
            while collect(0) > 0:
                pass
        self.assertTrue(all(done[i][0] == OK for i in range(1000)))
        self.assertEqual(done[5000][:2], (OK, 42))
        self.assertEqual(done[5001], (OK, done[5001][1], b"42"))
        self.assertEqual(done[5002][0], OK)
        self.assertEqual(done[5003][0], ABSENT)
        self.assertEqual(done[5004][0], EDEADLINE)
        self.assertEqual(collect(0), 0)
        self.assertEqual(select.select([fd], [], [], 0)[0], [])
        warp.warp_session_destroy(byref(session))
        self.assertIsNone(session.value)
        self.assertEqual(self.d.count(), 999)

    def test_many_python_threads(self):
        def work(number):
            for i in range(100):
                self.d.put(b"t%d.%d" % (number, i), b"v")
                self.d.add(b"sum", 1)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.d.get(b"sum"), b"800")
        self.assertEqual(self.d.count(), 801)

    def test_visit_meets_every_record_once_and_can_end(self):
        expected = {b"v%d" % i: b"%d" % (i * i) for i in range(500)}
        for key, value in expected.items():
            self.d.put(key, value, write(durability=INTERVAL))
        met = []

        @VISITOR
        def visit(_context, key, value):
            met.append((string_at(key.data, key.bytes), value.contents.text()))
            return 0

        self.assertEqual(warp.warp_visit(self.d.db, visit, None), OK)
        self.assertEqual(len(met), 500)
        self.assertEqual(dict(met), expected)
        stop = VISITOR(lambda *_: 77)
        self.assertEqual(warp.warp_visit(self.d.db, stop, None), 77)

    def test_flush_failure_recovery_metrics(self):
        for i in range(10):
            self.d.put(b"k%d" % i, b"v", write(durability=MEMORY))
        self.assertEqual(warp.warp_flush(self.d.db), OK)
        text = create_string_buffer(b"untouched", 64)
        self.assertEqual(warp.warp_failure(self.d.db, text, 64), OK)
        self.assertEqual(text.value, b"")
        metrics = self.d.metrics()
        self.assertTrue(metrics.endswith("\n"))
        for line in metrics.splitlines():
            self.assertRegex(line, r"^(# (HELP|TYPE) warp_|warp_[a-z0-9_]+(\{.*\})? [-+0-9.eE]+"
                                   r"|warp_[a-z0-9_]+(\{.*\})? (\+Inf|NaN)$)")
        names = {re.match(r"[a-z0-9_]+", line).group() for line in metrics.splitlines()
                 if not line.startswith("#")}
        self.assertGreater(len(names), 5)
        size = c_size_t()
        small = create_string_buffer(8)
        self.assertEqual(warp.warp_metrics_render(self.d.db, small, 8, byref(size)), TRUNCATED)
        self.assertGreater(size.value, 8)
        self.reopen()
        recovery = Recovery(size=sizeof(Recovery))
        self.assertEqual(warp.warp_recovery_info(self.d.db, byref(recovery)), OK)
        self.assertEqual((recovery.records, recovery.clean, recovery.fencing_epoch), (10, 1, 2))
        self.assertGreaterEqual(recovery.operations, 10)

    def test_opening_in_all_ways_that_fail(self):
        second = Database(self.path)
        self.assertEqual(second.rc, EBUSY)
        self.assertIn(str(os.getpid()).encode(), second.message.value)
        self.assertIsNone(second.db.value)
        self.assertEqual(Database(self.path + "/none", open_flags=MUST_EXIST).rc, ENOENT)
        self.assertEqual(Database(self.path + "/none", open_flags=READ_ONLY).rc, ENOENT)
        with open(self.path + ".file", "w") as file:
            file.write("x")
        self.addCleanup(os.unlink, self.path + ".file")
        self.assertEqual(Database(self.path + ".file").rc, ENOTDIR)
        self.assertEqual(Database(self.path, size=3).rc, EINVAL)
        self.assertEqual(Database(self.path, durability=17).rc, EINVAL)
        self.d.close()
        self.assertEqual(Database(self.path, open_flags=MUST_BE_NEW).rc, EEXIST)
        self.d = self.open(open_flags=READ_ONLY)
        self.assertEqual(self.d.put(b"k", b"v")[0], EREADONLY)

    def test_two_databases_in_one_process(self):
        other_path = tempfile.mkdtemp(prefix="warp-ctypes-")
        self.addCleanup(shutil.rmtree, other_path, True)
        other = Database(other_path)
        self.assertEqual(other.rc, OK)
        self.d.put(b"k", b"here")
        other.put(b"k", b"there")
        self.assertEqual((self.d.get(b"k"), other.get(b"k")), (b"here", b"there"))
        self.assertEqual(other.close(), OK)
        self.assertEqual(warp.warp_close(byref(other.db)), OK)


if __name__ == "__main__":
    result = unittest.main(exit=False).result
    bad = len(result.failures) + len(result.errors)
    print("%d passed, %d failed" % (result.testsRun - bad, bad))
    sys.stdout.flush()
    sys.exit(1 if bad else 0)
