#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows that examples/send sends a stream from the shared buffers without a copy. The
# receiver is on this machine, so the kernel copies in the end, but the completion of
# the pages is the same. Needs the built tree two levels up and a loaded module.
#
# shellcheck disable=SC2317,SC2034,SC2086 # called by their names; tap.sh; numbers

# shellcheck source=selftests/programs/tap.sh
. ./tap.sh
root=$(cd ../.. && pwd -P)
vdi=$root/build/tools/vdi
client=$root/build/tools/test/client
bin=$root/build/examples
[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -x "$client" ] || skip_all "vdi is not built"
[ -x "$bin/send" ] || skip_all "the examples are not built"
work=$(mktemp -d "${VDISET_SCRATCH:-${TMPDIR:-/tmp}}/vdi-zero.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
head -c 6000001 /dev/urandom > in
ip link set lo up 2> /dev/null

after_each() {
	is "remaining sets" "" "$("$vdi" ls)"
	[ $bad = 0 ] || for f in *.err; do
		[ ! -s "$f" ] || sed "s/^/# $f: /" "$f"
	done
	rm -rf d stored port ./*.err ./*.out
}

limited() { # COMMAND...
	timeout --foreground --kill-after=5 600 "$@"
}

start() {
	timeout --foreground --kill-after=5 600 "$bin/receive" stored > port 2> receive.err &
	receiver=$!
	wait_until test -s port
	timeout --foreground --kill-after=5 600 "$bin/send" t localhost "$(cat port)" > send.out 2> send.err &
	sender=$!
}

sent() {
	start
	limited "$vdi" serve backup t -q -x "$1" -c 16 < in 2> serve.err
	is "serve backup" 0 $?
	wait $sender
	is "send" 0 $?
	wait $receiver
	is "receive" 0 $?
	sed 's/^/# /' send.out
	# restore, with a client that can read
	mkdir d
	mv stored d/d00.m1
	limited "$client" t d --keep 2> client.err &
	limited "$vdi" serve restore t -q > back 2> serve.err
	is "serve restore" 0 $?
	wait $!
	expect "restored data" cmp in back
	rm -rf d
}

small() {
	sent 65536
}

large() {
	sent 1048576
}

aborted() {
	start
	limited "$vdi" serve backup t -q < /dev/zero 2> serve.err &
	server=$!
	wait_until test -s stored
	"$vdi" abort t
	wait $server
	is "serve backup" 3 $?
	wait $sender
	is "send" 1 $?
	wait $receiver
	is "receive" 1 $?
	expect "nothing is stored" [ ! -e stored ]
}

# buffers that are not acknowledged are released with the connection
receiver_stopped() {
	start
	limited "$vdi" serve backup t -q < /dev/zero 2> serve.err &
	server=$!
	wait_until test -s stored
	kill -STOP "$(pgrep -P $receiver)"
	sleep 1
	"$vdi" abort t
	wait $server
	is "serve backup" 3 $?
	wait $sender
	is "send" 1 $?
	kill -CONT "$(pgrep -P $receiver)"
	wait $receiver
	is "receive" 1 $?
}

receiver_killed() {
	start
	limited "$vdi" serve backup t -q < /dev/zero 2> serve.err &
	server=$!
	wait_until test -s stored
	kill -9 "$(pgrep -P $receiver)"
	wait $sender
	is "send" 1 $?
	wait $server
	is "serve backup" 3 $?
}

tests=(small large aborted receiver_stopped receiver_killed)
run_tests
