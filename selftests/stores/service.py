#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""usage: service.py INSTANCE

Runs vdi-backup@INSTANCE.service once where systemd does not run: the commands of the unit
and of its drop-ins, with their environment, in systemd's order. ExecStartPost= runs when
ExecStart= has sent READY=1; if one of its commands fails, ExecStart= is terminated;
ExecStopPost= runs at the end in any case, and knows the result. Nothing of the sandbox is
applied: selftests/units --machine runs the service with systemd. The exit status is 0 if
the result is "success"; otherwise it is 1, and the result is printed."""

import glob
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile

DIRECTORIES = ("/etc/systemd/system", "/usr/lib/systemd/system")


def unit_lines(instance):
    """The lines of the unit, then those of the drop-ins, without those that are continued."""
    unit = next(f for f in (d + "/vdi-backup@.service" for d in DIRECTORIES) if os.path.exists(f))
    for name in [unit] + sorted(glob.glob(f"/etc/systemd/system/vdi-backup@{instance}.service.d/*.conf")):
        with open(name) as file:
            yield from file.read().splitlines()


def settings(instance):
    """A list of values for each key; an empty value clears the list."""
    found = {}
    for line in unit_lines(instance):
        match = re.match(r"([A-Za-z]+)=(.*)", line)
        if match and not match[2]:
            found[match[1]] = []
        elif match:
            value = match[2].replace("%i", instance)
            found.setdefault(match[1], []).append(value)
    return found


def environment(unit):
    env = dict(PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", LANG="C.UTF-8")
    texts = unit.get("Environment", [])
    for name in unit.get("EnvironmentFile", []):
        with open(name) as file:
            texts = texts + file.read().splitlines()
    for text in texts:
        match = re.match(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", text)
        if match:
            env[match[1]] = match[2]
    return env


def arguments(command, env):
    """$X as a word is replaced by words, ${X} by its value, $$ by $."""
    words = []
    for word in shlex.split(command.lstrip("+-!@:")):
        if re.fullmatch(r"\$[A-Za-z_]\w*", word):
            words += shlex.split(env.get(word[1:], ""))
        else:
            words.append(re.sub(r"\$(\$|\{(\w+)\})",
                                lambda m: "$" if m[1] == "$" else env.get(m[2], ""), word))
    return words


def wait_ready(notify, main):
    """True once the service is ready, False if it has ended before."""
    notify.settimeout(0.2)
    while True:
        try:
            if b"READY=1" in notify.recv(4096):
                return True
        except socket.timeout:
            if main.poll() is not None:
                return False


def run(unit, env, notify):
    assert unit["Type"][-1] == "notify" and len(unit["ExecStart"]) == 1
    main = subprocess.Popen(arguments(unit["ExecStart"][0], env), env=env)
    signal.signal(signal.SIGTERM, lambda *_: main.terminate())
    result = "success"
    if wait_ready(notify, main):
        for command in unit.get("ExecStartPost", []):
            if subprocess.call(arguments(command, env), env=env) != 0:
                result = "exit-code"
                main.terminate()
                break
    if main.wait() != 0:
        result = "exit-code"
    env = dict(env, SERVICE_RESULT=result)
    for command in unit.get("ExecStopPost", []):
        if subprocess.call(arguments(command, env), env=env) != 0 and result == "success":
            result = "exit-code"
    return result


def service(instance):
    unit = settings(instance)
    os.umask(int(unit["UMask"][-1], 8))
    with tempfile.TemporaryDirectory() as directory:
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(directory + "/notify")
        env = dict(environment(unit), NOTIFY_SOCKET=directory + "/notify")
        return run(unit, env, notify)


if len(sys.argv) != 2:
    sys.exit(__doc__)
outcome = service(sys.argv[1])
if outcome != "success":
    sys.exit(f"vdi-backup@{sys.argv[1]}.service: {outcome}")
