#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows that vdi backs up and restores streams, and how each command fails and what
# it leaves behind. Needs the built tree two levels up and a loaded module.

# shellcheck source=selftests/programs/tap.sh
. ./tap.sh
root=$(cd ../.. && pwd -P)
vdi=$root/build/tools/vdi
work=$(mktemp -d "${VDISET_SCRATCH:-${TMPDIR:-/tmp}}/vdi-tools.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -x "$vdi" ] || skip_all "vdi is not built"

after_each() {
	is "remaining sets" "" "$("$vdi" ls)"
	rm -rf "${work:?}"/*
}

# Waits until the output of vdi ls matches a pattern.
wait_for() {
	wait_until lists "$1"
}

# A database that sends zeros until the set ends
endless() {
	"$vdi" serve backup "$1" -q < /dev/zero 2> serve.err
	echo $? > serve.rc
}

# Backs up file $2 to $1 over $3 devices; further arguments are options of vdi serve.
store() {
	local dir=$1 file=$2 devices=$3
	shift 3
	"$vdi" backup t -q --to "$dir" --devices "$devices" &
	first=$!
	"$vdi" serve backup t -q "$@" < "$file"
	is "serve backup" 0 $?
	wait "$first"
	is "backup" 0 $?
}

restore_backup() { # DIR FILE OPTIONS...
	local dir=$1 file=$2
	shift 2
	"$vdi" restore t -q --from "$dir" &
	first=$!
	"$vdi" serve restore t -q "$@" > "$file"
	is "serve restore" 0 $?
	wait "$first"
	is "restore" 0 $?
}

round_trip() { # BYTES DEVICES OPTIONS...
	local bytes=$1 devices=$2
	shift 2
	head -c "$bytes" /dev/urandom > in
	store b in "$devices" "$@"
	restore_backup b out "$@"
	expect "restored data" cmp in out
	expect "verify" "$vdi" verify -q b
	is "files" "$((devices + 1))" "$(ls b | wc -l)"
	expect "no partial directory" test ! -e b.partial
}

tests+=(one_device)
one_device() { round_trip 5000000 1; }

tests+=(four_devices)
four_devices() { round_trip 20000000 4; }

tests+=(sixty_four_devices)
sixty_four_devices() { round_trip 9000001 64 -x 64K -b 512; }

tests+=(empty_stream)
empty_stream() {
	: > in
	store b in 3 --allow-empty
	restore_backup b out
	expect "restored data" cmp in out
	expect "verify" "$vdi" verify -q b
	is "files" 4 "$(ls b | wc -l)"
}

tests+=(one_byte)
one_byte() { round_trip 1 2; }

tests+=(exactly_one_transfer)
exactly_one_transfer() { round_trip $((1048576 - 4096)) 2; }

tests+=(one_buffer_each_smallest_transfer)
one_buffer_each_smallest_transfer() { round_trip 3000000 2 -x 64K -c 2; }

tests+=(large_blocks_large_transfers)
large_blocks_large_transfers() { round_trip 30000000 3 -x 4M -b 64K -c 7; }

tests+=(restore_with_other_sizes)
restore_with_other_sizes() {
	head -c 10000000 /dev/urandom > in
	store b in 3 -x 1M -b 4K
	restore_backup b out -x 192K -b 512 -c 9
	expect "restored data" cmp in out
}

tests+=(named_devices)
named_devices() {
	head -c 3000000 /dev/urandom > in
	"$vdi" backup t -q --to b -n 3 --device t --device left --device 'rück seite' &
	first=$!
	"$vdi" serve backup t -q --device t --device left --device 'rück seite' < in
	is "serve" 0 $?
	wait "$first"
	is "backup" 0 $?
	expect "name in the manifest" grep -q 'rück seite' b/manifest.json
}

# The manifest is valid JSON for every parser, and the bytes of the names are restored.
tests+=(non_utf8_names)
non_utf8_names() {
	local odd=$'l\xe4tin \xff'

	head -c 1000000 /dev/urandom > in
	"$vdi" backup t -q --to b -n 2 --device t --device "$odd" &
	first=$!
	"$vdi" serve backup t -q --device t --device "$odd" < in
	is "serve" 0 $?
	wait "$first"
	is "backup" 0 $?
	expect "JSON" python3 -m json.tool b/manifest.json out
	expect "the bytes of the name" grep -q '"name_hex": "6ce474696e20ff"' b/manifest.json
	expect "verify" "$vdi" verify -q b
	"$vdi" restore t -q --from b --device t --device "$odd" &
	first=$!
	"$vdi" serve restore t -q --device t --device "$odd" > out
	is "serve restore" 0 $?
	wait "$first"
	is "restore" 0 $?
	expect "restored data" cmp in out
}

tests+=(wrong_device_name)
wrong_device_name() {
	"$vdi" backup t --to b -n 2 -q 2> backup.err &
	first=$!
	"$vdi" serve backup t -q --device t --device other < /dev/null > /dev/null 2>&1
	expect "serve fails" test $? != 0
	wait "$first"
	expect "backup fails" test $? != 0
	expect "no backup" test ! -e b
}

tests+=(usage_errors)
usage_errors() {
	local rc args

	for args in '' 'nonsense' 'backup' 'backup t' 'backup t --to d -n 0' 'backup t --to d -n 65' \
		'backup t --to d --mode 9' 'backup t --to d --device other' 'restore t' 'serve' \
		'serve backup' 'serve backup t -b 513' 'serve backup t -x 65537' 'serve backup t -t -1' \
		'serve restore t u' 'verify' 'abort' 'ls x' 'backup t --to d --group no-such-group' \
		'backup t --to d --profile floppy' 'backup t --to d --capacity 1M' \
		'backup t --to d -p tape --capacity 1K' 'backup t --to d -p tape --eom-warning 1M' \
		'backup t --to d -p tape --capacity 1M --eom-warning 1M' \
		'backup t --to d --soft-filemarks 512' 'backup t --to d -p tape --soft-filemarks 100' \
		'backup t --to d --snapshot' 'backup t --to d --prepare-command true' \
		'backup t --to d --snapshot-command true -n 2' \
		'backup t --to d --snapshot-command true -p disk' 'restore t --from'; do
		# shellcheck disable=SC2086 # word splitting is intended
		"$vdi" $args > /dev/null 2> err < /dev/null
		rc=$?
		is "vdi $args" 2 "$rc"
		expect "vdi $args says why" test -s err
	done
	for args in '--help' 'backup --help' 'restore --help' 'verify --help' 'serve --help' \
		'ls --help' 'abort --help' 'info --help' 'load --help' '--version'; do
		# shellcheck disable=SC2086
		"$vdi" $args > out 2> err
		is "vdi $args" 0 $?
		expect "vdi $args answers" test -s out
	done
}

tests+=(messages_of_options_have_program_name)
messages_of_options_have_program_name() {
	local args

	for args in 'backup' 'restore' 'verify' 'serve backup' 'serve restore' 'ls' 'top' 'abort'; do
		# shellcheck disable=SC2086
		"$vdi" $args --no-such-option > /dev/null 2> err
		is "vdi $args" 2 $?
		is "vdi $args" "vdi: unrecognized option '--no-such-option'" "$(head -n 1 err)"
	done
}

# The size in the last line of a command
size_in() { sed -n 's/.*devices\?[^,]*\(, [0-9]* medi[^,]*\)\?, \([0-9.]* [KMG]\?i\?B\) in .*/\2/p' "$1"; }

# All commands print the bytes on the devices: those of the stream and its headers.
tests+=(sizes_agree)
sizes_agree() {
	local profile size

	head -c 5000000 /dev/urandom > in
	for profile in 'pipe' 'disk' 'tape --capacity 2M'; do
		rm -rf b
		# shellcheck disable=SC2086
		"$vdi" backup t --to b -n 2 --profile $profile > backup.out 2> /dev/null &
		first=$!
		"$vdi" serve backup t -x 64K < in 2> serve.err
		wait "$first"
		"$vdi" restore t --from b > restore.out 2> /dev/null &
		first=$!
		"$vdi" serve restore t > out 2> serve-restore.err
		wait "$first"
		size=$(size_in backup.out)
		expect "a size" test -n "$size"
		is "$profile: serve backup" "$size" "$(size_in serve.err)"
		size=$(size_in restore.out)
		expect "a size" test -n "$size"
		is "$profile: serve restore" "$size" "$(size_in serve-restore.err)"
		[ "$profile" = pipe ] || continue
		"$vdi" verify b > verify.out
		is "verify" "$size" "$(size_in verify.out)"
		is "backup and restore" "$size" "$(size_in backup.out)"
		is "sum of the files" "$(cat b/*.data | wc -c)" "$(sed -n '1,/"devices"/s/.*"bytes": \([0-9]*\),*/\1/p' b/manifest.json)"
	done
}

# reassemble DIR: the payloads of the chunks in the files of a backup on pipes, as
# vdi-stream(5) describes
reassemble() {
	python3 - "$1" << 'END'
import glob, struct, sys
files = [open(f, "rb") for f in sorted(glob.glob(sys.argv[1] + "/device-*.data"))]
n, stream = 0, None
while True:
    device = n % len(files)
    header = files[device].read(64)
    magic, ident, number, index, devices, block, flags, size = struct.unpack("<8sQQIIIIQ", header[:48])
    stream = stream or ident
    assert (magic, ident, number, index, devices) == (b"VDISTRM1", stream, n, device, len(files))
    assert files[device].read(block - 64) == bytes(block - 64)
    if flags & 1:
        break
    sys.stdout.buffer.write(files[device].read(size))
    assert not any(files[device].read(-size % block))
    n += 1
END
}

tests+=(format_of_the_stream)
format_of_the_stream() {
	head -c 3000001 /dev/urandom > in
	store b in 3 -x 64K -b 512
	reassemble b > out
	is "reassemble" 0 $?
	expect "the stream" cmp in out
}

tests+=(info_prints_version_and_limits)
info_prints_version_and_limits() {
	"$vdi" info > out
	is "exit code" 0 $?
	expect "version" grep -q 'vdiset 0' out
	expect "limits" grep -q 'area of one set' out
}

tests+=(ls_lists_live_set)
ls_lists_live_set() {
	local a

	"$vdi" backup t -q --to b -n 2 &
	first=$!
	endless t &
	second=$!
	wait_for ' active '
	"$vdi" ls > out
	expect "name, state, owner" grep -Eq '^t +active +root +2/2 +[0-9]+/vdi +[0-9]+/vdi' out
	"$vdi" ls --json > json
	expect "JSON: an array" grep -qx '\[' json
	for a in '"name": "t"' '"state": "active"' '"command": "vdi"' '"name": "t1"' '"abort": null'; do
		expect "JSON: $a" grep -q "$a" json
	done
	"$vdi" abort t
	wait
}

tests+=(abort_ends_both_sides_with_message)
abort_ends_both_sides_with_message() {
	"$vdi" backup t --to b -n 4 2> backup.err &
	first=$!
	endless t &
	second=$!
	wait_for ' active .*[1-9].* MiB'
	"$vdi" abort t --message 'because we can'
	is "abort" 0 $?
	wait "$first"
	is "backup" 3 $?
	wait "$second"
	is "serve" 3 "$(cat serve.rc)"
	expect "backup reports who aborted, and why" grep -q 'aborted by root with vdi abort (pid [0-9]*): because we can$' backup.err
	expect "serve reports who aborted, and why" grep -q 'aborted by root with vdi abort (pid [0-9]*): because we can$' serve.err
	expect "no backup exists" test ! -e b -a ! -e b.partial
}

tests+=(exit_codes_of_restore_and_top)
exit_codes_of_restore_and_top() {
	head -c 1000 /dev/urandom > in
	store b in 1
	"$vdi" restore t -q --from b --timeout 0.5 2> err
	is "restore without a database" 4 $?
	"$vdi" restore t -q --from b 2> err &
	first=$!
	wait_for created
	kill -TERM "$first"
	wait "$first"
	is "interrupted restore" 130 $?
	"$vdi" restore t -q --from absent 2> err
	is "restore of nothing" 1 $?
	"$vdi" top -i 60 > out &
	first=$!
	until [ -s out ]; do pause 0.1; done
	kill -TERM "$first"
	wait "$first"
	is "top ends with 0" 0 $?
}

tests+=(abort_without_text)
abort_without_text() {
	"$vdi" backup t --to b 2> backup.err &
	first=$!
	endless t &
	second=$!
	wait_for ' active '
	"$vdi" abort t
	is "abort" 0 $?
	wait "$first" "$second"
	expect "backup" grep -q 'aborted by root with vdi abort (pid [0-9]*)$' backup.err
	expect "serve" grep -q 'aborted by root with vdi abort (pid [0-9]*)$' serve.err
}

tests+=(abort_without_set)
abort_without_set() {
	"$vdi" abort nosuchset 2> err
	is "exit code" 1 $?
	expect "the message gives the reason" grep -q nosuchset err
}

tests+=(interrupted_while_waiting)
interrupted_while_waiting() {
	"$vdi" backup t --to b 2> err &
	first=$!
	wait_for created
	kill -TERM "$first"
	wait "$first"
	is "backup" 130 $?
	expect "no backup exists" test ! -e b -a ! -e b.partial
}

tests+=(interrupted_while_working)
interrupted_while_working() {
	"$vdi" backup t --to b -n 2 2> err &
	first=$!
	endless t &
	second=$!
	wait_for ' active .*[1-9].* MiB'
	kill -INT "$first"
	kill -TERM "$first"	# background jobs of a script ignore INT
	wait "$first"
	is "backup" 130 $?
	wait "$second"
	is "serve" 3 "$(cat serve.rc)"
	expect "serve reports it" grep -q 'primary.*interrupted' serve.err
	expect "no backup exists" test ! -e b -a ! -e b.partial
}

# A signal that is ignored at the start, as by nohup(1), remains ignored, also in the
# commands that vdi runs.
tests+=(ignored_hangup)
ignored_hangup() {
	local command='grep ^SigIgn: /proc/self/status > ignored'

	head -c 1000 /dev/urandom > in
	(trap '' HUP; exec "$vdi" backup t --to b --snapshot-command "$command" 2> err) > /dev/null &
	first=$!
	wait_for created
	kill -HUP "$first"
	pause 0.5
	"$vdi" serve backup t -q --snapshot < in
	is "serve" 0 $?
	wait "$first"
	is "backup" 0 $?
	expect "the command ignores the signal, too" grep -q '^SigIgn:.*[13579bdf]$' ignored
	"$vdi" backup t --to c 2> err &
	first=$!
	wait_for created
	kill -HUP "$first"
	wait "$first"
	is "backup without nohup" 130 $?
}

tests+=(interrupted_database)
interrupted_database() {
	"$vdi" backup t --to b -n 2 2> err &
	first=$!
	"$vdi" serve backup t -q < /dev/zero 2> serve.err &
	second=$!
	wait_for ' active .*[1-9].* MiB'
	kill -TERM "$second"
	wait "$second"
	is "serve" 130 $?
	wait "$first"
	is "backup" 3 $?
	expect "backup reports it" grep -q 'server.*interrupted' err
	expect "no backup exists" test ! -e b -a ! -e b.partial
}

tests+=(aborted_database_with_idle_input)
aborted_database_with_idle_input() {
	mkfifo pipe
	"$vdi" backup t --to b 2> err &
	first=$!
	"$vdi" serve backup t -q < pipe 2> serve.err &
	second=$!
	exec 8> pipe
	wait_for ' active '
	"$vdi" abort t
	wait "$second"
	is "serve" 3 $?
	exec 8>&-
	wait "$first"
	is "backup" 3 $?
}

tests+=(killed_database)
killed_database() {
	"$vdi" backup t --to b -n 2 2> err &
	first=$!
	"$vdi" serve backup t -q < /dev/zero &
	second=$!
	wait_for ' active .*[1-9].* MiB'
	kill -9 "$second"
	wait "$first"
	is "backup" 3 $?
	expect "backup reports the dead process" grep -q 'vdi (pid [0-9]*, server)' err
	expect "no backup exists" test ! -e b -a ! -e b.partial
}

tests+=(killed_appliance)
killed_appliance() {
	"$vdi" backup t -q --to b -n 2 &
	first=$!
	endless t &
	second=$!
	wait_for ' active .*[1-9].* MiB'
	kill -9 "$first"
	wait "$second"
	is "serve" 3 "$(cat serve.rc)"
	expect "serve reports the dead process" grep -q 'vdi (pid [0-9]*, primary client' serve.err
	expect "no backup" test ! -e b
	expect "a partial directory without a manifest remains" test -d b.partial -a ! -e b.partial/manifest.json
	expect "verify fails" test "$("$vdi" verify b.partial 2> /dev/null; echo $?)" = 5
	# the next run replaces it
	head -c 1000000 /dev/urandom > in
	store b in 2
	restore_backup b out
	expect "restored data" cmp in out
}

tests+=(no_peer_times_out)
no_peer_times_out() {
	"$vdi" backup t -q --to b --timeout 0.5 2> err
	is "backup" 4 $?
	"$vdi" serve backup t -q --timeout 0.5 < /dev/null 2> err
	is "serve" 4 $?
	expect "no backup exists" test ! -e b -a ! -e b.partial
}

tests+=(idle_database_times_out)
idle_database_times_out() {
	mkfifo pipe
	"$vdi" backup t --to b --idle-timeout 1 2> err &
	first=$!
	"$vdi" serve backup t -q < pipe 2> serve.err &
	second=$!
	exec 8> pipe
	wait "$first"
	is "backup" 4 $?
	wait "$second"
	is "serve" 3 $?
	exec 8>&-
	expect "serve reports the reason" grep -q 'no command' serve.err
}

tests+=(wrong_direction)
wrong_direction() {
	head -c 1000 /dev/urandom > in
	store b in 1
	"$vdi" restore t -q --from b 2> err &
	first=$!
	"$vdi" serve backup t -q < in 2> serve.err
	is "serve" 3 $?
	wait "$first"
	is "restore" 1 $?
	expect "the message gives the reason" grep -q 'wants to back up' err
}

tests+=(name_in_use)
name_in_use() {
	"$vdi" backup t -q --to b 2> /dev/null &
	first=$!
	wait_for created
	"$vdi" backup t -q --to c 2> err
	is "second" 1 $?
	expect "the message gives the reason" grep -q 'name t exists' err
	"$vdi" abort t
	wait "$first"
}

tests+=(target_not_empty)
target_not_empty() {
	mkdir b
	touch b/file
	"$vdi" backup t -q --to b 2> err
	is "backup" 1 $?
	expect "the message gives the reason" grep -q 'not empty' err
	expect "file is untouched" test -e b/file
}

tests+=(target_empty_directory)
target_empty_directory() {
	mkdir b
	head -c 100000 /dev/urandom > in
	store b in 1
	restore_backup b out
	expect "restored data" cmp in out
}

tests+=(missing_target_directory)
missing_target_directory() {
	"$vdi" backup t -q --to no/such/place 2> err
	is "backup" 1 $?
	expect "the message names it" grep -q 'no/such/place' err
}

tests+=(disk_full)
disk_full() {
	mkdir small
	expect "a small file system" mount -t tmpfs -o size=3m none small
	mountpoint -q small || return
	"$vdi" backup t -q --to small/b 2> err &
	first=$!
	endless t &
	second=$!
	wait "$first"
	is "backup" 1 $?
	wait "$second"
	# the database decides how to proceed
	is "serve" 1 "$(cat serve.rc)"
	expect "backup says why" grep -q 'device-00.data: No space left' err
	expect "serve says why" grep -q 'ERROR_' serve.err
	expect "no backup exists" test -z "$(ls small)"
	umount small
}

# A file that is opened later must not get the number of the closed standard file.
tests+=(closed_standard_files)
closed_standard_files() {
	head -c 3000000 /dev/urandom > in
	"$vdi" backup t -q --to b 2> err &
	first=$!
	timeout 600 "$vdi" serve backup t -q 2> serve.err <&-
	is "serve backup" 1 $?
	expect "the message gives the reason" grep -q 'cannot read the input' serve.err
	wait "$first"
	is "backup" 3 $?
	store b in 1
	"$vdi" restore t -q --from b 2> err &
	first=$!
	timeout 600 "$vdi" serve restore t -q 2> serve.err >&-
	is "serve restore" 1 $?
	expect "the message gives the reason" grep -q 'cannot write the output' serve.err
	wait "$first"
	is "restore" 3 $?
	"$vdi" restore t -q --from b <&- 2>&- &
	first=$!
	timeout 600 "$vdi" serve restore t -q > out <&- 2>&-
	is "serve restore" 0 $?
	wait "$first"
	is "restore" 0 $?
	expect "restored data" cmp in out
}

tests+=(output_full)
output_full() {
	head -c 3000000 /dev/urandom > in
	store b in 2
	"$vdi" restore t -q --from b 2> err &
	first=$!
	"$vdi" serve restore t -q > /dev/full 2> serve.err
	is "serve" 1 $?
	expect "the message gives the reason" grep -q 'No space left' serve.err
	wait "$first"
	is "restore" 3 $?
}

damage() { # after COMMAND, verify of a backup of two devices exits with 5
	head -c 6000000 /dev/urandom > in
	store b in 2
	"$@"
	"$vdi" verify -q b 2> err
	is "verify" 5 $?
	expect "verify says why" test -s err
}

tests+=(verify_truncated_file)
verify_truncated_file() { damage truncate -s -1 b/device-01.data; }

tests+=(verify_missing_file)
verify_missing_file() { damage rm b/device-00.data; }

tests+=(verify_missing_manifest)
verify_missing_manifest() { damage rm b/manifest.json; }

tests+=(verify_truncated_manifest)
verify_truncated_manifest() { damage truncate -s 300 b/manifest.json; }

tests+=(verify_changed_manifest)
verify_changed_manifest() { damage sed -i 's/"set": "t"/"set": "u"/' b/manifest.json; }

tests+=(verify_escaping_manifest)
verify_escaping_manifest() { damage sed -i 's,device-00,../in-00,' b/manifest.json; }

flip_byte() { # FILE OFFSET, from the end if negative
	local offset=$2

	[ "$offset" -ge 0 ] || offset=$(($(stat -c %s "$1") + offset))
	printf '\x5a\xa5' | dd of="$1" bs=1 seek="$offset" conv=notrunc status=none
}

tests+=(verify_manifest_with_trailing_bytes)
verify_manifest_with_trailing_bytes() { damage sh -c 'echo "{}" >> b/manifest.json'; }

tests+=(verify_manifest_with_a_comment)
verify_manifest_with_a_comment() { damage sed -i '2s,^,/* a comment */,' b/manifest.json; }

tests+=(verify_manifest_with_other_spaces)
verify_manifest_with_other_spaces() { damage sed -i '2s,^, ,' b/manifest.json; }

# A file that is replaced while restore waits is not read.
tests+=(restore_replaced_file)
restore_replaced_file() {
	local how

	for how in 'mkfifo b/device-00.data' 'cp in b/device-00.data'; do
		rm -rf b
		head -c 1000000 /dev/urandom > in
		store b in 1
		"$vdi" restore t -q --from b 2> err &
		first=$!
		wait_for created
		rm b/device-00.data
		$how
		timeout 600 "$vdi" serve restore t -q > out 2> serve.err
		is "serve ($how)" 5 $?
		wait "$first"
		is "restore ($how)" 5 $?
		expect "the message names the file ($how)" grep -q 'device-00.data is damaged' err
	done
}

tests+=(verify_changed_byte)
verify_changed_byte() { damage flip_byte b/device-01.data 1234567; }

tests+=(restore_changed_byte)
restore_changed_byte() {
	damage flip_byte b/device-00.data 2999999
	"$vdi" restore t -q --from b 2> err &
	first=$!
	"$vdi" serve restore t -q > out 2> serve.err
	is "serve" 5 $?
	wait "$first"
	is "restore" 5 $?
}

# The database reads a header that does not match long before the client has read the
# whole file: the database is the side that detects the damage.
tests+=(restore_damage_detected_by_the_database)
restore_damage_detected_by_the_database() {
	head -c 30000000 /dev/urandom > in
	store b in 2
	flip_byte b/device-00.data 16
	"$vdi" restore t -q --from b 2> err &
	first=$!
	"$vdi" serve restore t -q > out 2> serve.err
	is "serve" 5 $?
	wait "$first"
	is "restore" 5 $?
	expect "serve names the cause" grep -q "the data of 't' has a damaged header" serve.err
	expect "restore reports it" grep -q "the data of 't' has a damaged header" err
}

# Only the other side of a restore can report damage by its exit code.
tests+=(restore_aborted_by_an_observer)
restore_aborted_by_an_observer() {
	head -c 3000000 /dev/urandom > in
	store b in 1
	"$vdi" restore t -q --from b 2> err &
	first=$!
	wait_for created
	"$vdi" abort t
	is "abort" 0 $?
	wait "$first"
	is "restore" 3 $?
}

tests+=(restore_last_byte_changed)
restore_last_byte_changed() {
	damage flip_byte b/device-00.data -2
	"$vdi" restore t -q --from b 2> err &
	first=$!
	"$vdi" serve restore t -q > out 2> serve.err
	is "serve" 5 $?
	wait "$first"
	is "restore" 5 $?
	expect "the message names the file" grep -q device-00 err
	expect "serve reports the file" grep -q device-00 serve.err
}

tests+=(swapped_files)
swapped_files() {
	head -c 6000000 /dev/urandom > in
	store b in 2
	mv b/device-00.data b/swap
	mv b/device-01.data b/device-00.data
	mv b/swap b/device-01.data
	"$vdi" verify b 2> err
	is "verify" 5 $?
}

tests+=(another_user)
another_user() {
	# another user may have no access to the directory of the tree
	chmod a+rx "$work"
	install -m 755 "$vdi" vdi
	"$vdi" backup t -q --to b &
	first=$!
	wait_for created
	is "list of another user" "" "$(as_nobody ./vdi ls)"
	as_nobody ./vdi serve backup t -q --timeout 0.3 < /dev/null 2> err
	is "serve of another user" 4 $?
	as_nobody ./vdi abort t 2> err
	is "abort of another user" 1 $?
	"$vdi" abort t
	wait
	"$vdi" backup t -q --to b --group nogroup &
	second=$!
	wait_for created
	head -c 100000 /dev/urandom > in
	as_nobody ./vdi serve backup t -q < in
	is "serve of a member of the group" 0 $?
	wait "$second"
	is "backup" 0 $?
}

# beside the program, in ../lib/vdi, missing, and of another release
tests+=(plugins)
plugins() {
	mkdir -p usr/bin usr/lib/vdi
	cp "$vdi" usr/bin
	usr/bin/vdi list s3://bucket 2> err
	is "list without its plugin" 1 $?
	expect "the message names it" grep -q '^vdi: cannot load the driver of object stores: .*vdi-s3.so: cannot open' err
	usr/bin/vdi info 2> err > out
	is "info without its plugin" 1 $?
	expect "the message names it" grep -q '^vdi: cannot examine the kernel module: .*vdi-doctor.so: cannot open' err
	is "output" "" "$(< out)"
	sed 's/\x00'"$(< "$root/VERSION")"'\x00/\x009.9.9\x00/' "${vdi%/*}/vdi-doctor.so" > usr/bin/vdi-doctor.so
	usr/bin/vdi info 2> err
	is "info with a plugin of another release" 1 $?
	expect "the message has both releases" grep -q "vdi-doctor.so is of release 9.9.9, vdi of $(< "$root/VERSION")\$" err
	mv usr/bin/vdi-doctor.so "$work"
	cp "${vdi%/*}"/vdi-*.so usr/lib/vdi
	expect "info" usr/bin/vdi info > out
	usr/bin/vdi list s3://x 2> err
	expect "the driver is called" grep -q 'invalid name of a bucket' err
}

tests+=(readme_examples)
readme_examples() {
	local part

	command -v gcc > /dev/null || { echo "# skipped: no compiler"; return; }
	for part in client server; do
		sed -n "/<!-- $part.c -->/,/^\`\`\`\$/p" "$root/README.md" | grep -v -e '^<!--' -e '^```' > "$part.c"
		expect "$part compiles" gcc -Wall -Wextra -Werror -I"$root/include" -o "$part" "$part.c" \
			"$root/build/libvdi/libvdi.a" -pthread
	done
	./client > out &
	first=$!
	wait_for created
	./server
	is "server" 0 $?
	wait "$first"
	is "client" 0 $?
	is "bytes" 512 "$(stat -c %s out)"
	expect "the data" grep -q '^the data' out
	./client > /dev/full 2> err &
	first=$!
	wait_for created
	./server
	is "server of a full disk" 1 $?
	wait "$first"
	is "client with a full disk" 1 $?
	expect "the message" grep -q "^backup failed: device 'nightly': VDC_Flush has failed: ERROR_DISK_FULL" err
}

run_tests
