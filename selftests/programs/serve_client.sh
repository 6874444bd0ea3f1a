# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# serve_client.sh - vdi serve with tools/test/client, which executes given steps
#
# To be sourced by serve*.sh. Needs the built tree two levels up and a loaded module.
#
#
# shellcheck disable=SC2034,SC2317,SC2086 # used and called there; numbers and words

# shellcheck source=selftests/programs/tap.sh
. ./tap.sh
root=$(cd ../.. && pwd -P)
vdi=$root/build/tools/vdi
client=$root/build/tools/test/client
work=$(mktemp -d "${VDISET_SCRATCH:-${TMPDIR:-/tmp}}/vdi-serve.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -x "$vdi" ] || skip_all "vdi is not built"
[ -x "$client" ] || skip_all "the test client is not built"

READ=1 WRITE=2 CLEAR=3 REWIND=4 MARK=5 SKIPMARKS=6 SKIPBLOCKS=7 LOAD=8 GETPOS=9 SETPOS=10
DISCARD=11 FLUSH=12 SNAPSHOT=13 MOUNT=14 PREPARE=15 COMPLETE=19

# 3 chunks of 64 KiB, and a few bytes
head -c 200000 /dev/urandom > "$work.in"
head -c 3000000 /dev/urandom > "$work.big"
trap 'rm -rf "$work" "$work.in" "$work.big"' EXIT

show() {
	[ $bad = 0 ] || for f in serve.err client.err; do
		[ ! -s "$f" ] || sed "s/^/# $f: /" "$f"
	done
}

after_each() {
	is "remaining sets" "" "$("$vdi" ls)"
	show
	rm -rf "${work:?}"/*
}

start_client() { # OPTIONS...
	mkdir -p media
	"$client" t media "$@" 2> client.err &
	client_pid=$!
}

# Checks the client's exit status. A client that does not exit fails the test.
end_client() { # WANTED
	local rc

	timeout 600 tail --pid="$client_pid" -s 0.05 -f /dev/null ||
		{ echo "# the client did not exit"; bad=1; kill -9 "$client_pid"; }
	wait "$client_pid"
	rc=$?
	is "client" "$1" "$rc"
}

# A backup of $input; the server must exit with $1, the client with $2.
backup() { # SERVER CLIENT "CLIENT OPTIONS" OPTIONS...
	local server=$1 theirs=$2 options=$3

	shift 3
	start_client $options
	timeout 600 "$vdi" serve backup t -q "$@" < "$input" 2> serve.err
	is "serve backup" "$server" $?
	end_client "$theirs"
	cp media/log backup.log
}

restore() { # SERVER CLIENT "CLIENT OPTIONS" OPTIONS...
	local server=$1 theirs=$2 options=$3

	shift 3
	start_client --keep $options
	timeout 600 "$vdi" serve restore t -q "$@" > out 2> serve.err
	is "serve restore" "$server" $?
	end_client "$theirs"
}

round_trip() { # "CLIENT OPTIONS" OPTIONS...
	backup 0 0 "$@"
	expect "the log ends well" test "$(tail -n 1 backup.log)" = closed
	restore 0 0 "$@"
	expect "restored data" cmp "$input" out
}

says() { # PATTERN
	expect "serve says it" grep -q -e "$1" serve.err
}

logged() { # PATTERN
	expect "in the log" grep -q -e "$1" media/log
}

input=$work.in
small=(-x 64K)
