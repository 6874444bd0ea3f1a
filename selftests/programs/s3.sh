#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# vdi backup, restore and verify with an object store: Ceph's gateway, on 127.0.0.1 of
# the machine. selftests/stores tests faults of the store without the module.

# shellcheck disable=SC2317 # run_tests calls them
# shellcheck disable=SC2086 # words

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
# shellcheck source=selftests/programs/tap.sh
. "$here/tap.sh"
top=$(cd -- "$here/../.." && pwd -P)
# shellcheck source=selftests/stores/gateway.sh
. "$top/selftests/stores/gateway.sh"
vdi=$top/build/tools/vdi

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
missing=$(gateway_missing)
[ -z "$missing" ] || skip_all "missing: ${missing//$'\n'/ }"

dir=$(mktemp -d "${VDISET_SCRATCH:-/tmp}/s3.XXXXXX")
trap 'gateway_stop; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
ip link set lo up 2> /dev/null
gateway_start || exit 1
gateway_environment $gateway_access $gateway_secret
s3_request PUT backups || exit 1
head -c 5000000 /dev/urandom > "$dir/data"
to=s3://backups/b
chunks=(--chunk-size 256K --uploads 3)

backup() { # OPTION... [-- COMMAND...]: sets rc
	timeout 600 "$vdi" backup s3 "$@" > "$dir/out" 2> "$dir/err"
	rc=$?
}

restore() { # into $dir/back
	timeout 600 "$vdi" restore s3 --from "$to" "$@" > "$dir/back" 2> "$dir/err"
	rc=$?
}

message() { # TEXT
	expect "message with '$1'" grep -qF -- "$1" "$dir/err"
}

objects() { # their number below the address
	s3_request GET "backups?list-type=2&prefix=${to#s3://backups/}%2F" | grep -o '<Key>' | wc -l
}

tests+=(backup_verify_restore)
backup_verify_restore() {
	to=s3://backups/plain
	backup --to $to -n 3 "${chunks[@]}" -- cat "$dir/data"
	is "backup" 0 $rc
	expect "summary" grep -q "^backup of 's3' is complete in $to: 3 devices" "$dir/out"
	expect "verify" "$vdi" verify -q $to
	restore --downloads 3 -- cat
	is "restore" 0 $rc
	expect "the same data" cmp "$dir/data" "$dir/back"
	backup --to $to -- cat "$dir/data"
	is "a second backup" 1 $rc
	message "it is a backup already; name another prefix"
	expect "the first is kept" "$vdi" verify -q $to
}

tests+=(compressed_and_filtered)
compressed_and_filtered() {
	to=s3://backups/compressed
	backup --to $to -n 2 "${chunks[@]}" --compress zstd --filter 'gzip -1' -- cat "$dir/data"
	is "backup" 0 $rc
	expect "verify what is stored" "$vdi" verify -q $to
	expect "verify the data" "$vdi" verify -q $to --unfilter 'gzip -d'
	restore -- cat
	is "without --unfilter" 2 $rc
	restore --unfilter 'gzip -d' -- cat
	is "restore" 0 $rc
	expect "the same data" cmp "$dir/data" "$dir/back"
	restore --unfilter 'gzip -d; exit 3' -- cat
	is "a command that fails" 1 $rc
	to=s3://backups/incomplete
	backup --to $to "${chunks[@]}" --compress lz4 --filter 'cat; exit 3' -- cat "$dir/data"
	is "a filter that fails" 1 $rc
	message "ended with exit code 3"
	is "objects" 0 "$(objects)"
}

tests+=(into_list_expire_latest)
into_list_expire_latest() {
	local place=s3://backups/place number
	for number in 1 2 3; do
		head -c 1000000 /dev/urandom > "$dir/data$number"
		backup --into $place "${chunks[@]}" -- cat "$dir/data$number"
		is "backup $number" 0 $rc
		expect "summary" grep -q "^backup of 's3' is complete in $place/s3-[0-9TZ-]*: 1 device" "$dir/out"
	done
	"$vdi" list $place --json > "$dir/out"
	is "list" 0 $?
	is "whole backups" 3 "$(grep -c '"state": "whole"' "$dir/out")"
	"$vdi" expire $place --keep-last 2 > "$dir/out" 2> "$dir/err"
	is "expire" 0 $?
	expect "figures" grep -q '^2 kept, 1 removed, 0 failed' "$dir/out"
	expect "verify" "$vdi" verify -q --all $place
	to=$place
	restore --latest -- cat
	is "restore" 0 $rc
	expect "the data of the youngest" cmp "$dir/data3" "$dir/back"
	restore --latest --set other -- cat
	is "restore of another set" 1 $rc
	message "there is no whole backup of set 'other' in $place"
}

tests+=(increments)
increments() {
	local place=s3://backups/chain full increment

	backup --into $place "${chunks[@]}" -- cat "$dir/data"
	is "full backup" 0 $rc
	full=$(sed -n "s,^backup of 's3' is complete in $place/\(s3-[0-9TZ-]*\):.*,\1,p" "$dir/out")
	backup --into $place --based-on latest -- echo increment
	is "increment" 0 $rc
	increment=$(sed -n "s,^backup of 's3' is complete in $place/\(s3-[0-9TZ-]*\):.*,\1,p" "$dir/out")
	"$vdi" list $place --json > "$dir/out"
	is "list" 0 $?
	expect "what it is based on" grep -qF "\"based_on\": \"$full\"" "$dir/out"
	"$vdi" expire $place --keep-last 1 > "$dir/out" 2> "$dir/err"
	is "expire" 0 $?
	expect "the full backup is kept: $full" grep -q '^2 kept, 0 removed, 0 failed' "$dir/out"
	expect "verify" "$vdi" verify -q --all $place
	to=$place/$increment
	restore -- cat
	is "restore" 0 $rc
	is "the data" increment "$(cat "$dir/back")"
	backup --into $place --based-on "$full-no" -- echo x
	is "based on a backup that is not there" 1 $rc
	message "$full-no"
}

tests+=(refused_before_the_set)
refused_before_the_set() {
	local options
	to=s3://backups/refused
	for options in '--profile disk' '--profile tape' --removable --discard --direct; do
		# shellcheck disable=SC2086 # options
		backup --to $to $options -- cat "$dir/data"
		is "exit code of $options" 2 $rc
	done
	backup --to "$dir/b" --uploads 2 -- cat "$dir/data"
	is "exit code of --uploads with a directory" 2 $rc
	message "require an address s3://BUCKET/PREFIX"
	AWS_SECRET_ACCESS_KEY=wrong backup --to $to -- cat "$dir/data"
	is "exit code with a wrong key" 1 $rc
	message "403 SignatureDoesNotMatch"
	is "objects" 0 "$(objects)"
}

tests+=(failed_command)
failed_command() {
	to=s3://backups/failed
	# shellcheck disable=SC2016 # of the inner shell
	backup --to $to "${chunks[@]}" -- sh -c 'head -c 3000000 "$1"; echo the cause >&2; exit 7' - "$dir/data"
	is "exit code" 1 $rc
	message "the cause"
	is "objects" 0 "$(objects)"
	expect "no backup" test "$("$vdi" verify -q $to 2>&1 || echo $?)" != ''
}

tests+=(interrupted)
interrupted() {
	local pid
	to=s3://backups/interrupted
	mkfifo "$dir/fifo"
	timeout 600 "$vdi" backup s3 --to $to "${chunks[@]}" -- cat "$dir/fifo" > "$dir/out" 2> "$dir/err" &
	pid=$!
	exec 8> "$dir/fifo"
	head -c 3000000 "$dir/data" >&8
	until [ "$(objects)" -ge 2 ]; do sleep 0.2; done
	kill -INT $pid
	wait $pid
	is "exit code" 130 $?
	exec 8>&-
	is "objects" 0 "$(objects)"
}

# The database gets an error, and the message has the cause.
tests+=(store_is_lost)
store_is_lost() {
	local pid
	to=s3://backups/lost
	mkfifo "$dir/fifo2"
	timeout 600 "$vdi" backup s3 --to $to "${chunks[@]}" --store-timeout 5 -- cat "$dir/fifo2" > "$dir/out" 2> "$dir/err" &
	pid=$!
	exec 8> "$dir/fifo2"
	head -c 2000000 "$dir/data" >&8
	until [ "$(objects)" -ge 2 ]; do sleep 0.2; done
	gateway_kill
	tail -c +2000001 "$dir/data" >&8
	exec 8>&-
	wait $pid
	is "exit code" 1 $?
	message "gave up after"
	message "which is not a backup"
	gateway_radosgw
	expect "no backup" test "$("$vdi" verify -q $to 2> /dev/null || echo $?)" = 5
}

tests+=(damaged_chunk)
damaged_chunk() {
	local name
	to=s3://backups/damaged
	backup --to $to "${chunks[@]}" -- cat "$dir/data"
	is "backup" 0 $rc
	name=$(s3_request GET "backups?list-type=2&prefix=damaged%2Fdata" | grep -o 'damaged/data[^<]*/00000019')
	head -c 262144 /dev/urandom > "$dir/other"
	s3_request PUT "backups/$name" "$dir/other"
	restore -- cat
	is "restore" 5 $rc
	message "is damaged: its checksum does not match"
	expect "a prefix of the data" cmp -n "$(stat -c %s "$dir/back")" "$dir/data" "$dir/back"
	"$vdi" verify -q $to 2> /dev/null
	is "verify" 5 $?
}

run_tests
