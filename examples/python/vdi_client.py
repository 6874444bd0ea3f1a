#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""vdi_client: store a database backup in a file, from Python with ctypes

usage: vdi_client.py backup|restore NAME FILE

creates the set NAME with one device, and waits for the database. A backup is
written to FILE.partial, which gets the name FILE when it is whole and durable,
and is removed when it is not. FILE may also be a device, such as /dev/stdout,
and is written as it is then. Exit status 0 is a whole backup or restore.

Data is written from, and read into, the memory that is shared with the
database, without a copy. See libvdi(3), vdi_client_device(3), vdi_outcome(3).
"""

import ctypes
import errno
import os
import stat
import sys
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_uint32

# vdierror.h; a negative int in C
VD_E_TIMEOUT, VD_E_ABORT, VD_E_CLOSE = (
    c_int(code).value for code in (0x80770003, 0x80770004, 0x8077000E))
# vditypes.h
VDF_REQUEST_COMPLETE, VDF_WRITE_MEDIA = 0x2000, 0x10000
VDC_READ, VDC_WRITE, VDC_CLEAR_ERROR, VDC_FLUSH, VDC_COMPLETE = 1, 2, 3, 12, 19
ERROR_SUCCESS, ERROR_HANDLE_EOF, ERROR_NOT_SUPPORTED = 0, 38, 50
ERROR_DISK_FULL, ERROR_IO_DEVICE = 112, 1117

WAIT_FOR_DATABASE = 300  # seconds
SERVER_TIMEOUT = 600000  # milliseconds, of the database for a command


class VDConfig(ctypes.Structure):
    _fields_ = [(name, c_uint32) for name in (
        "deviceCount", "features", "prefixZoneSize", "alignment",
        "softFileMarkBlockSize", "EOMWarningSize", "serverTimeOut",
        "blockSize", "maxIODepth", "maxTransferSize", "bufferAreaSize")]


class Command(ctypes.Structure):  # struct VDC_Command
    _fields_ = [("commandCode", ctypes.c_int32), ("size", ctypes.c_int32),
                ("position", c_int64), ("buffer", ctypes.c_void_p)]


class Handle(ctypes.Structure):  # struct vdi_client, vdi_client_device
    pass


def load():
    """The library, with the types of all functions that are used."""
    lib = ctypes.CDLL("libvdi.so.0")
    handle = POINTER(Handle)
    for name, result, *arguments in (
            ("new", c_int, POINTER(handle)),
            ("free", None, handle),
            ("create", c_int, handle, c_char_p, c_char_p, POINTER(VDConfig),
             ctypes.c_void_p),
            ("get_configuration", c_int, handle, c_int64, POINTER(VDConfig)),
            ("open_device", c_int, handle, c_char_p, POINTER(handle)),
            ("get_command", c_int, handle, c_int64, POINTER(POINTER(Command))),
            ("complete_command", c_int, handle, POINTER(Command), c_int,
             c_uint32, c_int64),
            ("device_outcome", c_int, handle),
            ("outcome", c_int, handle),
            ("signal_abort", c_int, handle, c_uint32, c_char_p),
            ("message", None, handle, c_char_p, c_size_t)):
        function = getattr(lib, "vdi_client_" + name)
        function.restype, function.argtypes = result, arguments
    return lib


def log(text):
    print(f"vdi_client.py: {text}", file=sys.stderr)


class Failed(Exception):
    """The backup or restore cannot go on; the text names the cause."""


class Client:
    def __init__(self, lib, restore, path):
        self.lib, self.restore, self.name = lib, restore, path
        self.published = False  # the file has its name
        self.promised = False   # ... and the database was told
        self.set, self.device = POINTER(Handle)(), POINTER(Handle)()
        self.as_it_is = path.startswith("/dev/") or (
            os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode))
        self.path = path
        flags = os.O_RDONLY if restore else os.O_WRONLY
        if not restore and not self.as_it_is:
            # a failed backup is removed: it must not have replaced another
            if os.path.exists(path):
                raise FileExistsError(errno.EEXIST, "file exists", path)
            self.path += ".partial"
            flags |= os.O_CREAT | os.O_EXCL
        self.fd = os.open(self.path, flags, 0o600)

    def message(self):
        text = ctypes.create_string_buffer(768)  # enough for every message
        self.lib.vdi_client_message(self.set, text, len(text))
        return text.value.decode(errors="replace")

    def check(self, code):
        if code:
            raise Failed(self.message())

    def wait(self, call, seconds=None):
        """Call until there is a result. Python runs the handler of Ctrl-C
        only between calls of C, so none may wait for ever."""
        while True:
            code = call(1000)
            if code != VD_E_TIMEOUT or seconds == 0:
                return code
            if seconds:
                seconds -= 1

    def sync(self):
        try:
            os.fsync(self.fd)
        except OSError as error:  # pipes and some devices cannot do that
            if not self.as_it_is or error.errno != errno.EINVAL:
                raise

    def publish(self):
        self.sync()
        if not self.as_it_is:
            os.rename(self.path, self.name)
            self.path = self.name
            directory = os.open(os.path.dirname(self.name) or ".", os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        self.published = True

    def move(self, cmd, transfer):
        """Write or read the data of a command in place, all of it."""
        if not cmd.size:
            return ERROR_SUCCESS, 0  # there may be no buffer
        # an array at this address: no copy. It ends with the command.
        array = (ctypes.c_ubyte * cmd.size).from_address(cmd.buffer)
        data = memoryview(array).cast("B")
        done = 0
        while done < len(data):
            moved = transfer(self.fd, data[done:])
            if not moved:
                return ERROR_HANDLE_EOF, done
            done += moved
        return ERROR_SUCCESS, done

    def execute(self, cmd):
        """Execute a command; returns its completion code, and bytes."""
        command = cmd.commandCode
        try:
            if command == VDC_CLEAR_ERROR:
                return ERROR_SUCCESS, 0
            if command == VDC_READ and self.restore:
                return self.move(cmd, lambda fd, data: os.readv(fd, [data]))
            if command == VDC_WRITE and not self.restore:
                return self.move(cmd, os.write)
            if command == VDC_FLUSH and not self.restore:
                self.sync()
                return ERROR_SUCCESS, 0
            if command == VDC_COMPLETE and not self.restore:
                # the database discards its log because of the answer
                if self.lib.vdi_client_device_outcome(self.device):
                    log(f"the backup is not whole: {self.message()}")
                    return ERROR_IO_DEVICE, 0
                self.publish()
                return ERROR_SUCCESS, 0
        except OSError as error:
            log(f"{self.path}: {error.strerror}")
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            return ERROR_DISK_FULL if full else ERROR_IO_DEVICE, 0
        return ERROR_NOT_SUPPORTED, 0

    def transfer(self, set_name):
        lib, cmd = self.lib, POINTER(Command)()
        complete = lib.vdi_client_complete_command
        config = VDConfig(deviceCount=1, serverTimeOut=SERVER_TIMEOUT)
        if not self.restore:
            config.features = VDF_REQUEST_COMPLETE
        self.check(lib.vdi_client_create(self.set, None, os.fsencode(set_name),
                                         byref(config), None))
        self.check(self.wait(lambda ms: lib.vdi_client_get_configuration(
            self.set, ms, byref(config)), WAIT_FOR_DATABASE))
        if bool(config.features & VDF_WRITE_MEDIA) == self.restore:
            raise Failed("the database does a " +
                         ("backup" if self.restore else "restore"))
        self.check(lib.vdi_client_open_device(self.set, None,
                                              byref(self.device)))
        while True:
            code = self.wait(lambda ms: lib.vdi_client_get_command(
                self.device, ms, byref(cmd)))
            if code in (VD_E_CLOSE, VD_E_ABORT):
                break
            self.check(code)
            command = cmd.contents.commandCode
            result, done = self.execute(cmd.contents)
            # from here on cmd and its buffer are the library's again
            self.check(complete(self.device, cmd, result, done, 0))
            if command == VDC_COMPLETE and result == ERROR_SUCCESS:
                self.promised = True
        self.check(lib.vdi_client_outcome(self.set))

    def run(self, set_name):
        """True if this was a whole backup or restore, and FILE is safe."""
        failed = True
        if self.lib.vdi_client_new(byref(self.set)):
            raise MemoryError
        try:
            self.transfer(set_name)
            if not self.restore and not self.published:
                self.publish()
            fd, self.fd = self.fd, -1
            os.close(fd)
            failed = False
        except (Failed, OSError, KeyboardInterrupt) as error:
            why = str(error) or "interrupted"
            log(f"{'restore' if self.restore else 'backup'} failed: {why}")
            self.lib.vdi_client_signal_abort(self.set, 0, os.fsencode(why))
        finally:
            if failed and self.promised:
                log(f"{self.name} stays: the database was told that it is "
                    "whole")
            elif failed and not self.restore and not self.as_it_is:
                os.unlink(self.path)
            self.lib.vdi_client_free(self.set)
        return not failed


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("backup", "restore"):
        print("usage: vdi_client.py backup|restore NAME FILE", file=sys.stderr)
        return 2
    try:
        client = Client(load(), sys.argv[1] == "restore", sys.argv[3])
    except OSError as error:
        log(f"{error.filename or 'libvdi'}: {error.strerror or error}")
        return 1
    return 0 if client.run(sys.argv[2]) else 1


if __name__ == "__main__":
    sys.exit(main())
