#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows that programs for other VDIs run against vdi serve: those of the Linux SDK with
# libsqlvdi.so, those ported from Windows with libvdi.hpp; and how their failures are
# reported.

# shellcheck source=selftests/programs/tap.sh
. ./tap.sh
root=$(cd ../.. && pwd -P)
clients=$PWD/clients
vdi=$root/build/tools/vdi
export LD_LIBRARY_PATH=$root/build/libvdi
work=$(mktemp -d "${VDISET_SCRATCH:-${TMPDIR:-/tmp}}/vdi-sdk.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work" || exit 1

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -x "$vdi" ] || skip_all "vdi is not built"
[ -x "$clients/sdk_client" ] || skip_all "the clients are not built"

after_each() {
	is "remaining sets" "" "$("$vdi" ls)"
	rm -rf "${work:?}"/*
}

# Prints the output of a client after a failure.
said() {
	[ "$bad" = 0 ] || sed 's/^/# /' "$@"
}

# Backup and restore with a client that takes "backup|restore DEVICES FILES STATEMENT"
round_trip() { # CLIENT BYTES DEVICES [WORD...]
	local client=$clients/$1 bytes=$2 devices=$3
	shift 3

	head -c "$bytes" /dev/urandom > in
	"$client" backup "$devices" file "$vdi serve backup %s -q < in 2>&1" "$@" > out.backup 2>&1
	is "backup" 0 $?
	is "files" "$devices" "$(find . -name 'file.*' | wc -l)"
	"$client" restore "$devices" file "$vdi serve restore %s -q 2> err > out; rc=\$?; cat err; exit \$rc" \
		"$@" > out.restore 2>&1
	is "restore" 0 $?
	expect "restored data" cmp in out
	said out.backup out.restore
}

# ---------------------------------------------------------- the Linux SDK

tests+=(sdk_exported_symbols)
sdk_exported_symbols() {
	nm -D --defined-only "$root/build/libvdi/libsqlvdi.so" | awk '{ print $3 }' | LC_ALL=C sort > symbols
	expect "symbols" diff "$root/libvdi/sdk/sqlvdi.symbols" symbols
	is "name of the library" libsqlvdi.so \
		"$(readelf -d "$root/build/libvdi/libsqlvdi.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')"
	expect "no C++ library" test -z "$(readelf -d "$root/build/libvdi/libsqlvdi.so" | grep 'NEEDED.*stdc')"
	expect "nothing else of ours in the client" \
		test -z "$(readelf -d "$clients/sdk_client" | grep 'NEEDED.*libvdi')"
}

tests+=(sdk_one_device sdk_two_devices sdk_eight_devices)
sdk_one_device() { round_trip sdk_client 8000000 1; }
sdk_two_devices() { round_trip sdk_client 8000000 2; }
sdk_eight_devices() { round_trip sdk_client 8000000 8; }

tests+=(sdk_like_disk sdk_like_disk_four_devices)
sdk_like_disk() { round_trip sdk_client 8000000 1 disk; }
sdk_like_disk_four_devices() { round_trip sdk_client 8000000 4 disk; }

tests+=(sdk_reports_end)
sdk_reports_end() { round_trip sdk_client 8000000 2 complete; }

# built with clang and the newest C++ standard
tests+=(sdk_built_by_clang)
sdk_built_by_clang() {
	if [ ! -x "$clients/sdk_client.clang" ]; then
		echo "# skipped: the tests were built without clang++"
		bad=1
		return
	fi
	round_trip sdk_client.clang 8000000 2
}

tests+=(sdk_client_is_killed)
sdk_client_is_killed() {
	"$clients/sdk_client" backup 2 file "exec $vdi serve backup %s -q < /dev/zero 2> serve.err" > out &
	first=$!
	wait_until lists ' active .*[1-9].* [MG]iB'
	kill -9 "$first"
	{ wait; } 2> /dev/null
	wait_until test -s serve.err
	expect "the server reports the process" grep -q "unexpected end of sdk_client (pid $first, primary client)" serve.err
	wait_until no_sets
}

tests+=(sdk_disk_is_full)
sdk_disk_is_full() {
	mkdir small
	mount -t tmpfs -o size=3m none small || return
	head -c 10000000 /dev/zero > in
	"$clients/sdk_client" backup 1 small/file "$vdi serve backup %s -q < in 2>&1" > out 2>&1
	is "backup" 1 $?
	expect "the server reports it" grep -Eq 'VDC_Write|writing to|ERROR_DISK_FULL' out
	said out
	umount small
}

# The database runs as another user.
serve_as_nobody="setpriv --reuid nobody --regid nogroup --clear-groups $vdi serve backup %s -q -t 2 < in 2>&1"

tests+=(sdk_other_user_by_group)
sdk_other_user_by_group() {
	head -c 1000000 /dev/urandom > in
	chmod 644 in
	VDI_SET_GROUP=nogroup "$clients/sdk_client" backup 1 file "$serve_as_nobody" > out 2>&1
	is "with VDI_SET_GROUP" 0 $?
	said out
	VDI_SET_MODE=0606 "$clients/sdk_client" backup 1 file "$serve_as_nobody" > out 2>&1
	is "with VDI_SET_MODE" 0 $?
	said out
	VDI_SET_OWNER=nobody "$clients/sdk_client" backup 1 file "$serve_as_nobody" > out 2>&1
	is "with VDI_SET_OWNER" 0 $?
	said out
	"$clients/sdk_client" backup 1 file "$serve_as_nobody" > out 2>&1
	is "without" 1 $?
}

tests+=(sdk_messages_on_request)
sdk_messages_on_request() {
	"$clients/sdk_client" backup 65 file "true" > out 2> err
	is "backup" 1 $?
	expect "silent" test ! -s err
	VDI_DEBUG=1 "$clients/sdk_client" backup 65 file "true" > out 2> err
	expect "the message gives the reason" grep -q 'libsqlvdi: Create: VD_E_NOTSUPPORTED.*deviceCount' err
}

for t in $("$clients/sdk_misuse" --list); do
	tests+=("misuse_$t")
	eval "misuse_$t() { expect 'misuse' '$clients/sdk_misuse' $t; }"
done

# --------------------------------------------------- ported from Windows

tests+=(mthread_four_devices)
mthread_four_devices() { round_trip mthread 8000000 4; }

tests+=(mprocess_eight_secondaries)
mprocess_eight_secondaries() { round_trip mprocess 8000000 8; }

tests+=(mthread_wrong_direction)
mthread_wrong_direction() {
	"$clients/mthread" backup 2 /dev/null "$vdi serve restore %s -q 2> serve.err > /dev/null" 2> err
	is "mthread" 1 $?
	expect "the message gives the reason" grep -q 'wrong direction' err
	expect "the server reports the process" grep -q 'aborted by mthread.*primary' serve.err
}

# One of eight is killed: all others end at once and report which one it was.
tests+=(mprocess_one_is_killed)
mprocess_one_is_killed() {
	local i victim who

	"$clients/mprocess" backup 8 /dev/null \
		"exec $vdi serve backup %s -q < /dev/zero 2> serve.err" > out 2> err &
	first=$!
	wait_until lists ' active .* 8/8 .*[1-9].* [MG]iB'
	victim=$(sed -n 's/^secondary 5 is process //p' out)
	kill -9 "$victim"
	wait "$first"
	is "mprocess" 1 $?
	who="unexpected end of mprocess (pid $victim, secondary client)"
	expect "the server reports it" grep -qF "$who" serve.err
	expect "the primary reports the process" grep -qF "$who" <(grep '^primary' err)
	for i in 0 1 2 3 4 6 7; do
		expect "secondary $i reports the process" grep -qF "$who" <(grep "^secondary $i:" err)
	done
	said err serve.err
}

tests+=(mprocess_primary_is_killed)
mprocess_primary_is_killed() {
	local i

	"$clients/mprocess" backup 3 /dev/null \
		"exec $vdi serve backup %s -q < /dev/zero 2> serve.err" > out 2> err &
	first=$!
	wait_until lists ' active .* 3/3 .*[1-9].* [MG]iB'
	kill -9 "$first"
	{ wait; } 2> /dev/null
	wait_until no_sets
	expect "the server reports it" grep -qF "unexpected end of mprocess (pid $first, primary client)" serve.err
	for i in 0 1 2; do
		expect "secondary $i reports the process" \
			grep -qF "(pid $first, primary client)" <(grep "^secondary $i:" err)
	done
	said err serve.err
}

for t in $("$clients/cpp_server" --list); do
	tests+=("cpp_$t")
	eval "cpp_$t() { expect 'C++' '$clients/cpp_server' $t; }"
done

run_tests
