#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows that the clients in examples/ back up and restore, and that each of them fails,
# names the cause and leaves no file when its output is full, when the database ends
# without what a backup requires or dies, and when the client itself has a fault: copies
# of the programs complete each command twice, or one never. Needs the built tree two
# levels up and a loaded module.

# shellcheck disable=SC2317 # run_tests calls them
# shellcheck source=selftests/programs/tap.sh
. ./tap.sh
root=$(cd ../.. && pwd -P)
vdi=$root/build/tools/vdi
server=$root/build/tools/test/server
bin=$root/build/examples
python=$root/examples/python/vdi_client.py

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -x "$server" ] || skip_all "vdi is not built"
[ -x "$bin/threads" ] || skip_all "the examples are not built"
work=$(mktemp -d "${VDISET_SCRATCH:-${TMPDIR:-/tmp}}/vdi-examples.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

programs=(threads epoll_client backup)
if command -v python3 > /dev/null; then
	programs+=(python)
else
	echo "# skipped: vdi_client.py: no python3"
fi

after_each() {
	is "remaining sets" "" "$("$vdi" ls)"
	rm -rf "${work:?}"/*
}

limited() { # COMMAND...
	timeout --foreground --kill-after=5 600 "$@"
}

# Makes a copy of the Python program with the fault of the same name in examples/Makefile.
mutate() { # FAULT
	if [ "$1" = twice ]; then
		sed '/self.check(complete(/p' "$python" > fault.py
	else
		sed -e 's/\( *\)self.check(complete(.*/\1if command == VDC_WRITE:\n\1    writes += 1\n\1if command != VDC_WRITE or writes != 3:\n    &/' \
			-e 's/complete = lib.vdi_client_complete_command$/&\n        writes = 0/' \
			-e 's/^SERVER_TIMEOUT = 600000/SERVER_TIMEOUT = 1000/' "$python" > fault.py
	fi
	is "changed and new lines of fault $1" "$([ "$1" = twice ] && echo 1 || echo 6)" \
		"$(diff "$python" fault.py | grep -c '^>')"
}

# Starts program $p in the background; its message is in the file err.
start() { # VERB FILE [DEVICES]
	local command=("$bin/$p")

	[ -z "$fault" ] || command=("$bin/faults/$p-$fault")
	[ "$p" != python ] || command=(python3 "$python")
	[ "$p" != python ] || [ -z "$fault" ] || {
		mutate "$fault"
		command=(python3 fault.py)
	}
	LD_LIBRARY_PATH=$root/build/libvdi limited "${command[@]}" "$1" t "${@:2}" 2> err &
	first=$!
}
fault=

says() { # TEXT
	grep -qE -- "$1" err && return
	echo "# $p: the message does not contain '$1':"
	sed 's/^/#   /' err
	bad=1
}

# Backs up to a database with these steps; the program must fail, and leave nothing.
fails() { # STEP...
	start backup file
	# the shell reports a killed server
	{ limited "$server" "${complete[@]}" t 1 "$@"; } > server.out 2> server.err
	wait "$first"
	is "$p: exit code" 1 $?
	says "backup failed: "
	is "$p: files" '' "$(ls -d file* 2> /dev/null)"
}
complete=()

round_trip() { # DEVICES
	local i

	head -c 5000001 /dev/urandom > in
	start backup file "${@:1}"
	limited "$vdi" serve backup t -q -t 0 < in
	is "$p: serve backup" 0 $?
	wait "$first"
	is "$p: backup" 0 $?
	is "$p: message" '' "$(< err)"
	for ((i = 1; i < ${1:-1}; i++)); do
		expect "$p: data of device $i" test -s "file.$i"
	done
	is "$p: files" "${1:-1}" "$(find . -name 'file*' | wc -l)"
	is "$p: partial files" 0 "$(find . -name '*.partial' | wc -l)"
	start restore file "${@:1}"
	limited "$vdi" serve restore t -q -t 0 > out
	is "$p: serve restore" 0 $?
	wait "$first"
	is "$p: restore" 0 $?
	is "$p: message" '' "$(< err)"
	expect "$p: restored data" cmp in out
	rm -f ./*
}

tests+=(one_device)
one_device() {
	for p in "${programs[@]}"; do
		round_trip
	done
}

tests+=(three_devices)
three_devices() {
	for p in "${programs[@]}"; do
		[ "$p" = python ] || round_trip 3
	done
}

# A database that asks for it is told that the backup is safe when the file has its name.
tests+=(published_before_completion)
published_before_completion() {
	for p in "${programs[@]}"; do
		start backup file
		limited "$server" --complete t 1 0:w '!test -e file.partial -a ! -e file' 0:f 0:x \
			'!test -e file -a ! -e file.partial' 0:c > server.out
		is "$p: server" 0 $?
		is "$p: completion codes" "0:w 0 0:f 0 0:x 0" "$(grep ^0: server.out | xargs)"
		wait "$first"
		is "$p: exit code" 0 $?
		is "$p: bytes" 65536 "$(stat -c %s file)"
		rm file
	done
}

tests+=(not_completed_without_flush)
not_completed_without_flush() {
	for p in "${programs[@]}"; do
		complete=(--complete)
		fails 0:w 0:f 0:w 0:x 0:c
		complete=()
		is "$p: completion codes" "0:w 0 0:f 0 0:w 0 0:x 1117" "$(grep ^0: server.out | xargs)"
		says 'not whole: .*Flush'
	done
}

# The database was told that it has a backup, so the file must not be removed.
tests+=(aborted_after_completion)
aborted_after_completion() {
	for p in "${programs[@]}"; do
		start backup file
		limited "$server" --complete t 1 0:w 0:f 0:x abort > server.out
		wait "$first"
		is "$p: exit code" 1 $?
		says 'as told'
		says 'file stays'
		is "$p: files" file "$(ls -d file*)"
		rm file
	done
}

tests+=(aborted)
aborted() {
	for p in "${programs[@]}"; do
		fails 0:w 0:f abort
		says 'as told'
	done
}

tests+=(file_exists)
file_exists() {
	for p in "${programs[@]}"; do
		echo old > file
		start backup file
		wait "$first"
		is "$p: exit code" 1 $?
		says 'file(: file)? exists'
		is "$p: the file" old "$(< file)"
		mv file file.partial
		start backup file
		wait "$first"
		is "$p: exit code" 1 $?
		says 'file.partial: File exists'
		is "$p: the file" old "$(< file.partial)"
		rm file.partial
	done
}

tests+=(output_full)
output_full() {
	for p in "${programs[@]}"; do
		start backup /dev/full
		limited "$vdi" serve backup t -q -t 0 < /dev/zero 2> serve.err
		is "$p: serve" 1 $?
		expect "$p: serve reports it" grep -q ERROR_DISK_FULL serve.err
		wait "$first"
		is "$p: exit code" 1 $?
		says '/dev/full: No space left on device'
		says 'backup failed: .*(VDC_Write|Write).*DISK_FULL'
	done
}

tests+=(closed_without_flush)
closed_without_flush() {
	for p in "${programs[@]}"; do
		fails 0:w 0:w 0:c
		says 'Flush'
	done
}

tests+=(database_killed)
database_killed() {
	for p in "${programs[@]}"; do
		# shellcheck disable=SC2016 # the parent of that shell
		fails 0:w 0:w '!kill -9 $PPID'
		says 'backup failed: .*server \(pid [0-9]+, server\)'
	done
}

tests+=(completed_twice)
completed_twice() {
	fault=twice
	for p in "${programs[@]}"; do
		fails 0:w 0:f 0:c
		says 'backup failed: .*this VDC_Write of device t was completed before'
	done
	fault=
}

# The database waits for the third Write until the limit that the client has set for it.
tests+=(never_completed)
never_completed() {
	fault=never
	for p in "${programs[@]}"; do
		fails 0:w 0:w 0:w 0:f 0:c
		says 'backup failed: time-out .*server \(pid [0-9]+, server\).*serverTimeOut'
	done
	fault=
}

tests+=(wrong_direction)
wrong_direction() {
	for p in "${programs[@]}"; do
		echo data > file
		start restore file
		limited "$vdi" serve backup t -q -t 0 < /dev/zero 2> serve.err
		is "$p: serve" 3 $?
		wait "$first"
		is "$p: exit code" 1 $?
		says 'the database does a backup'
		expect "$p: the file remains" grep -qx data file
	done
}

# -t of epoll_client: the database has joined, and sends nothing more
tests+=(idle_database)
idle_database() {
	p=epoll_client
	"$bin/epoll_client" -t 1 backup t file 2> err &
	first=$!
	limited "$server" t 1 0:w "!tail --pid=$first -f /dev/null" > server.out
	wait "$first"
	is "exit code" 1 $?
	says 'no command for 1 seconds'
	is "files" '' "$(ls -d file* 2> /dev/null)"
}

tests+=(interrupted)
interrupted() {
	for p in "${programs[@]}"; do
		case $p in
		epoll_client)
			env --default-signal=INT "$bin/$p" backup t file 2> err &
			;;
		python)
			LD_LIBRARY_PATH=$root/build/libvdi env --default-signal=INT \
				python3 "$python" backup t file 2> err &
			;;
		*)
			continue
			;;
		esac
		first=$!
		limited "$server" t 1 0:w "!kill -INT $first; tail --pid=$first -f /dev/null" > server.out
		wait "$first"
		is "$p: exit code" 1 $?
		says 'Interrupt|interrupted'
		is "$p: files" '' "$(ls -d file* 2> /dev/null)"
	done
}

tests+=(usage_errors)
usage_errors() {
	local args

	for p in "${programs[@]}"; do
		for args in 'backup t' 'copy t file' 'backup t file 65'; do
			# shellcheck disable=SC2086 # word splitting is intended
			if [ "$p" = python ]; then
				LD_LIBRARY_PATH=$root/build/libvdi python3 "$python" $args 2> err
			else
				"$bin/$p" $args 2> err
			fi
			is "$p $args" 2 $?
			says '^usage: '
		done
		[ "$p" = python ] || {
			start backup /dev/null 2
			wait "$first"
			is "$p: two devices, one file" 1 $?
			says 'not a regular file'
		}
		start backup no/such/file
		wait "$first"
		is "$p: missing directory" 1 $?
		says 'no/such/file[.a-z]*: No such file or directory'
	done
}

run_tests
