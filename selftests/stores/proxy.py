#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""
A proxy between an S3 client and a server on 127.0.0.1, which makes faults.

usage: proxy.py PORT UPSTREAM_PORT COUNTER_FILE FAULT...

It reads one request after the other from each connection. A FAULT is
METHOD:PATTERN:NUMBERS:KIND and applies to requests with this method whose path contains
PATTERN. NUMBERS, "2" or "1-3", counts those requests of all connections, from 1. KIND is

  500, 501, 503  answer with this status, without asking the server
  reset       close the connection with a RST in the middle of the request's body
  stall       read half of the body, then neither read nor answer
  lost        let the server execute the request, and close without the answer
  cut         send half of the answer, and close
  flip        change a bit in the middle of the answer's body
  412         let the server execute it, but answer 412

and any other KIND is only counted.

If PROXY_CERTIFICATE is set, clients speak TLS, and this file has the certificate and its
key.

Each fault that was made adds a line with its kind to COUNTER_FILE. The proxy prints
"ready" when it accepts connections.
"""
import os
import socket
import ssl
import struct
import sys
import threading

lock = threading.Lock()
seen = {}


def parse(text):
    method, pattern, numbers, kind = text.split(":")
    first, _, last = numbers.partition("-")
    return method, pattern, int(first), int(last or first), kind


def read_head(f):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = f.readline()
        if not line:
            return None
        head += line
    return head


def length_of(head):
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0


def read_body(f, size):
    body = f.read(size)
    if len(body) < size:
        raise ConnectionError("closed within a body")
    return body


def find_fault(head):
    method, path = head.split(b" ")[:2]
    found = None
    for i, fault in enumerate(faults):
        if fault[0] != method.decode() or fault[1] not in path.decode():
            continue
        with lock:
            seen[i] = seen.get(i, 0) + 1
            if fault[2] <= seen[i] <= fault[3] and not found:
                found = fault[4]
    return found


def count(kind):
    with lock, open(counter, "a") as f:
        f.write(kind + "\n")


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def ask(head, body):
    """Send the request to the server, on a connection of its own."""
    lines = [x for x in head.split(b"\r\n")[:-2]
             if not x.lower().startswith((b"expect:", b"connection:"))]
    with socket.create_connection(("127.0.0.1", upstream)) as server:
        server.sendall(b"\r\n".join(lines) + b"\r\nConnection: close\r\n\r\n" + body)
        f = server.makefile("rb")
        answer = f.read()
    head, _, body = answer.partition(b"\r\n\r\n")
    kept = [x for x in head.split(b"\r\n") if not x.lower().startswith(b"connection:")]
    return b"\r\n".join(kept) + b"\r\n\r\n", body


def error(status):
    text = {"500": b"InternalError", "501": b"NotImplemented",
            "503": b"SlowDown", "412": b"PreconditionFailed"}[status]
    body = b"<Error><Code>" + text + b"</Code><Message>a fault</Message></Error>"
    return b"HTTP/1.1 %s fault\r\nContent-Length: %d\r\n\r\n" % (status.encode(), len(body)) + body


def serve_request(connection, f):
    """False: the connection ends."""
    head = read_head(f)
    if not head:
        return False
    size = length_of(head) if head.startswith((b"PUT", b"POST")) else 0
    kind = find_fault(head)
    if kind:
        count(kind)
    if b"100-continue" in head.lower():
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if kind in ("reset", "stall"):
        read_body(f, size // 2)
        if kind == "stall":
            stalled.wait()
        reset(connection)
        return False
    body = read_body(f, size)
    if kind in ("500", "501", "503"):
        connection.sendall(error(kind))
        return True
    answer_head, answer = ask(head, body)
    if kind == "lost":
        reset(connection)
        return False
    if kind == "cut":
        connection.sendall(answer_head + answer[:len(answer) // 2])
        return False
    if kind == "412":
        connection.sendall(error(kind))
        return True
    if kind == "flip":
        middle = len(answer) // 2
        answer = answer[:middle] + bytes([answer[middle] ^ 1]) + answer[middle + 1:]
    connection.sendall(answer_head + answer)
    return True


def serve(connection):
    f = None
    try:
        if tls:
            connection = tls.wrap_socket(connection, server_side=True)
        f = connection.makefile("rb")
        while serve_request(connection, f):
            pass
    except (ConnectionError, OSError):
        pass
    finally:
        if f:
            f.close()
        try:
            connection.close()
        except OSError:
            pass


port, upstream, counter = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
faults = [parse(x) for x in sys.argv[4:]]
stalled = threading.Event()
tls = None
if os.environ.get("PROXY_CERTIFICATE"):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(os.environ["PROXY_CERTIFICATE"])
listener = socket.create_server(("127.0.0.1", port), backlog=64)
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
