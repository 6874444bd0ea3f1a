#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# usage: selftests/stores/stores.sh [TEST...]
#
# Backups in an object store, against Ceph's gateway on 127.0.0.1 and a proxy that makes
# faults. tools/test/stored.c stands for vdi backup and vdi restore, so that no module is
# needed; selftests/programs/s3.sh tests those in a virtual machine.

# shellcheck disable=SC2317 # run_tests calls them
# shellcheck disable=SC2016,SC2086,SC2119,SC2120 # of inner shells; words; optional arguments

cd -- "$(dirname -- "$0")" || exit
here=$PWD
# shellcheck source=selftests/programs/tap.sh
. ../programs/tap.sh
# shellcheck source=selftests/stores/gateway.sh
. ./gateway.sh

# for work on the tests: a gateway that runs already, "DIRECTORY:PORT"
if [ -n "${GATEWAY:-}" ]; then
	gateway=${GATEWAY%:*} gateway_port=${GATEWAY##*:}
	export CEPH_CONF=$gateway/ceph.conf
fi
missing=$(gateway_missing)
[ -z "$missing" ] || skip_all "missing: ${missing//$'\n'/ }; run vm/deps"
build=${BUILD:-$here/../../build/tools}
stored=$build/test/stored vdi=$build/vdi
work=$(mktemp -d "${TMPDIR:-/tmp}/stores.XXXXXX")
trap '[ -n "${GATEWAY:-}" ] || gateway_stop; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
[ -n "${GATEWAY:-}" ] || gateway_start || exit 1
gateway_environment $gateway_access $gateway_secret
s3_request PUT backups || exit 1
head -c 5000000 /dev/urandom > "$work/data"
chunk=1048576

after_each() {
	gateway_environment $gateway_access $gateway_secret
	expect "no output has the secret key" \
		bash -c '! grep -rqF --include="err*" --include="out*" "$1" "$2"' - "$gateway_secret" "$work"
	rm -f "$work"/{err,out,count,fifo}*
	[ $bad = 0 ] || tail -n 3 "$gateway/log/rgw.out" | sed 's/^/# /'
}

where() { # sets "to"
	to=s3://backups/tests-$$/${FUNCNAME[1]}${1:-}
}

# A test of the end of retries uses "store -c": they end after a number of attempts, and
# not after a time, which would depend on the speed of the host.

# store [OPTIONS]: back up the data; sets rc
store() {
	"$stored" backup "$to" -s $chunk "$@" < "$work/data" > "$work/out" 2> "$work/err"
	rc=$?
}

# load: restore to $work/out; sets rc
load() {
	"$stored" restore "$to" "$@" > "$work/out" 2> "$work/err"
	rc=$?
}

objects() { # their number below "to"
	gateway_environment $gateway_access $gateway_secret
	"$stored" list "$to" | wc -l
}

says() { # TEXT: the last command has printed a message with it
	expect "message with '$1'" grep -qF -- "$1" "$work/err"
	expect "a single message" test "$(grep -c . "$work/err")" -le 2
}

good() { # the backup is complete, and equal to the data
	is "exit code of the backup" 0 "$rc"
	[ "$rc" = 0 ] || sed 's/^/# /' "$work/err"
	gateway_environment $gateway_access $gateway_secret
	load
	is "exit code of the restore" 0 "$rc"
	expect "restored data" cmp "$work/data" "$work/out"
}

failed() { # TEXT: no backup was made, nothing is left
	is "exit code" 1 "$rc"
	says "$1"
	is "objects left" 0 "$(objects)"
}

# start_server COMMAND...: as a job, until the end of the test; waits for its "ready"
start_server() {
	: > "$work/ready"
	"$@" > "$work/ready" &
	until grep -q ready "$work/ready"; do
		kill -0 $! || return
		sleep 0.1
	done
}

# proxy FAULT...: the following commands go through a proxy
proxy() {
	local port
	port=$(free_ports 1)
	start_server python3 "$here/proxy.py" "$port" "$gateway_port" "$work/count" "$@"
	gateway_environment $gateway_access $gateway_secret "$port"
}

made() { # KIND COUNT: so many faults were made
	is "faults: $1" "$2" "$(grep -cx -- "$1" "$work/count" 2> /dev/null || :)"
}

# --------------------------------------------------------------- plain use

tests+=(round_trip)
round_trip() {
	local n
	for n in 1 3; do
		where $n
		store -n $n
		good
		"$vdi" verify "$to" > "$work/out" 2> "$work/err"
		is "vdi verify" 0 $?
		expect "summary" grep -q "^verified $to: $n device" "$work/out"
	done
}

tests+=(empty_backup)
empty_backup() {
	where
	"$stored" backup "$to" < /dev/null 2> "$work/err"
	is "backup" 0 $?
	is "objects" 1 "$(objects)"
	load
	is "restore" 0 "$rc"
	is "bytes" 0 "$(stat -c %s "$work/out")"
}

# A Flush ends a chunk, which is then smaller.
tests+=(flush_at_any_byte)
flush_at_any_byte() {
	where
	store -f 3
	good
	is "objects" $(((5000000 / 65536 + 3) / 3 + 1)) "$(objects)"
}

tests+=(existing_backup_is_kept)
existing_backup_is_kept() {
	where
	store
	good
	store
	is "exit code" 1 "$rc"
	says "cannot back up to $to: it is a backup already; name another prefix"
	rc=0
	good
}

tests+=(delete)
delete() {
	where
	store -n 2
	good
	"$stored" delete "$to"
	is "exit code" 0 $?
	is "objects left" 0 "$(objects)"
	"$vdi" verify "$to" 2> "$work/err"
	is "vdi verify" 5 $?
	says "it has no manifest.json, so it is incomplete"
}

# 77 chunks: the last one and the manifest are removed by themselves.
tests+=(delete_many_at_once)
delete_many_at_once() {
	where
	store -s 65536
	good
	proxy POST:delete=:1-99:many DELETE::1-99:single
	"$stored" delete "$to"
	is "exit code" 0 $?
	made many 1
	made single 2
	is "objects left" 0 "$(objects)"
}

tests+=(delete_many_is_not_supported)
delete_many_is_not_supported() {
	where
	store
	good
	proxy POST:delete=:1-99:501 DELETE::1-99:single
	"$stored" delete "$to"
	is "exit code" 0 $?
	made 501 1
	made single 6
	is "objects left" 0 "$(objects)"
}

tests+=(virtual_host_style)
virtual_host_style() {
	where
	AWS_ENDPOINT_URL_S3=http://localhost:$gateway_port VDI_S3_PATH_STYLE=0 store
	good
}

# Two devices with three chunks of 4 MiB each, of 100 MB
tests+=(memory_is_bounded)
memory_is_bounded() {
	local kilobytes
	where
	kilobytes=$(head -c 100000000 /dev/zero | python3 -c '
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' \
		"$stored" backup "$to" -n 2 -s 4194304 2> "$work/err")
	expect "less than 24 MiB and 24 MiB for the program: $kilobytes KiB" \
		test "$kilobytes" -lt $((48 * 1024))
	"$stored" delete "$to"
}

# ------------------------------------------------------- refused by the store

tests+=(wrong_secret_key)
wrong_secret_key() {
	where
	AWS_SECRET_ACCESS_KEY=wrong store
	failed 'the secret key does not belong to the access key (403 SignatureDoesNotMatch)'
}

tests+=(unknown_access_key)
unknown_access_key() {
	where
	AWS_ACCESS_KEY_ID=AKNONE store
	failed '403 InvalidAccessKeyId'
}

tests+=(bucket_missing)
bucket_missing() {
	to=s3://no-bucket/x
	store
	is "exit code" 1 "$rc"
	says "bucket 'no-bucket' does not exist; create it"
}

tests+=(no_permission)
no_permission() {
	where
	AWS_ACCESS_KEY_ID=AKOTHER AWS_SECRET_ACCESS_KEY=SKOTHER store
	failed 'the key needs the permissions'
}

tests+=(clock_twenty_minutes_off)
clock_twenty_minutes_off() {
	local library
	library=$(compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1') || { echo "# no faketime"; bad=1; return; }
	where
	FAKETIME=-20m DONT_FAKE_MONOTONIC=1 LD_PRELOAD=$library store
	failed 'behind that of the store; set the clock'
	expect "the difference" grep -qE 'the clock of this host is 00:(19:[45]|20:[01])[0-9] ' "$work/err"
	FAKETIME=+20m DONT_FAKE_MONOTONIC=1 LD_PRELOAD=$library store
	failed 'ahead of that of the store; set the clock'
	expect "the difference" grep -qE 'the clock of this host is 00:(19:[45]|20:[01])[0-9] ' "$work/err"
}

tests+=(invalid_addresses)
invalid_addresses() {
	for to in s3://backups s3://backups/ s3://backups/a//b s3://backups/../x s3:///x s3://b/x; do
		store
		is "exit code of $to" 2 "$rc"
		says "the form is s3://BUCKET/PREFIX"
	done
}

tests+=(no_server)
no_server() {
	where
	AWS_ENDPOINT_URL_S3=http://127.0.0.1:$(free_ports 1) store -c
	failed 'gave up after'
}

# --------------------------------------------------------------------- faults

tests+=(storm_of_503)
storm_of_503() {
	where
	proxy PUT:data-:2-6:503
	store -n 2
	good
	made 503 5
}

tests+=(storm_of_500_at_the_start_and_at_the_end)
storm_of_500_at_the_start_and_at_the_end() {
	where
	proxy HEAD:manifest.json:1-3:500 PUT:manifest.json:1-3:500
	store
	good
	made 500 6
}

tests+=(endless_storm)
endless_storm() {
	where
	proxy PUT:data-:3-1000000:503
	store -c
	failed 'a fault (503 SlowDown); gave up after'
}

tests+=(reset_in_the_middle)
reset_in_the_middle() {
	where
	proxy PUT:data-:2-3:reset
	store
	good
	made reset 2
}

# With a time-out of 30 s, a transfer that does not progress ends after 10 s. If the host
# is so slow that others end as well, they are repeated, too.
tests+=(stall_in_the_middle)
stall_in_the_middle() {
	where
	proxy PUT:data-:2-2:stall
	store -c -t 30
	good
	made stall 1
}

tests+=(lost_answers_to_chunks)
lost_answers_to_chunks() {
	where
	proxy PUT:data-:1-2:lost
	store
	good
	made lost 2
}

# The manifest is stored, and its repetition is answered with 412.
tests+=(lost_answer_to_manifest)
lost_answer_to_manifest() {
	where
	proxy PUT:manifest.json:1:lost
	store
	good
	made lost 1
}

tests+=(all_answers_to_manifest_lost)
all_answers_to_manifest_lost() {
	where
	proxy PUT:manifest.json:1-1000000:lost
	store -c
	good
}

# The store does not answer any more: the manifest may be stored.
tests+=(outcome_unknown)
outcome_unknown() {
	where
	proxy PUT:manifest.json:1-1000000:500 GET:manifest.json:2-1000000:500 HEAD:manifest.json:2-1000000:500
	store -c
	is "exit code" 1 "$rc"
	expect "message" grep -qF "$to may hold the complete backup" "$work/err"
	is "chunks are kept" 5 "$(objects)"
}

# Another backup is published while this one is written.
tests+=(race_for_the_manifest)
race_for_the_manifest() {
	local pid fifo=$work/fifo
	where
	mkfifo "$fifo"
	"$stored" backup "$to" < "$fifo" 2> "$work/err2" &
	pid=$!
	exec 8> "$fifo"
	echo "other data" >&8
	# its threads start after it has found no manifest
	until [ "$(find "/proc/$pid/task" -mindepth 1 -maxdepth 1 | wc -l)" -gt 2 ]; do sleep 0.1; done
	store
	good
	exec 8>&-
	wait $pid
	is "exit code of the later one" 1 $?
	expect "message" grep -qF 'has become another backup meanwhile; name another prefix' "$work/err2"
	rc=0
	good
	is "objects" 6 "$(objects)"
}

tests+=(gateway_restarted_during_upload)
gateway_restarted_during_upload() {
	local pid fifo=$work/fifo
	where
	mkfifo "$fifo"
	"$stored" backup "$to" -s $chunk < "$fifo" > "$work/out" 2> "$work/err" &
	pid=$!
	exec 8> "$fifo"
	head -c 2500000 "$work/data" >&8
	until [ "$(objects)" -ge 2 ]; do sleep 0.1; done
	gateway_kill
	tail -c +2500001 "$work/data" >&8
	exec 8>&-
	gateway_radosgw
	wait $pid
	rc=$?
	good
}

tests+=(gateway_does_not_return)
gateway_does_not_return() {
	local pid fifo=$work/fifo
	where
	mkfifo "$fifo"
	"$stored" backup "$to" -s $chunk -c < "$fifo" > "$work/out" 2> "$work/err" &
	pid=$!
	exec 8> "$fifo"
	head -c 2500000 "$work/data" >&8
	until [ "$(objects)" -ge 2 ]; do sleep 0.1; done
	gateway_kill
	tail -c +2500001 "$work/data" >&8
	exec 8>&-
	wait $pid
	is "exit code" 1 $?
	gateway_radosgw
	says "gave up after"
	expect "what is left" grep -qE "cannot remove $to/data-[0-9a-f]*/, which is not a backup" "$work/err"
	"$vdi" verify "$to" 2> "$work/err3"
	is "it is not a backup" 5 $?
}

tests+=(interrupted)
interrupted() {
	local pid fifo=$work/fifo
	where
	mkfifo "$fifo"
	"$stored" backup "$to" -s $chunk < "$fifo" > "$work/out" 2> "$work/err" &
	pid=$!
	exec 8> "$fifo"
	head -c 2500000 "$work/data" >&8
	until [ "$(objects)" -ge 2 ]; do sleep 0.1; done
	kill -TERM $pid
	wait $pid
	is "exit code" 130 $?
	exec 8>&-
	says "the data in $to was removed, no backup was made"
	is "objects left" 0 "$(objects)"
}

# A transfer that makes no progress does not delay the end.
tests+=(interrupted_in_a_stall)
interrupted_in_a_stall() {
	local pid
	where
	proxy PUT:data-:1-2:stall
	"$stored" backup "$to" -s $chunk < "$work/data" > "$work/out" 2> "$work/err" &
	pid=$!
	until [ "$(grep -c stall "$work/count" 2> /dev/null)" = 2 ]; do sleep 0.1; done
	kill -TERM $pid
	wait $pid
	is "exit code" 130 $?
	is "objects left" 0 "$(objects)"
}

# ------------------------------------------------------------------ restoring

# The output is the data up to the chunk that cannot be read.
handed_over() { # CHUNKS
	is "exit code" 5 "$rc"
	expect "a prefix of the data" cmp -n "$(stat -c %s "$work/out")" "$work/data" "$work/out"
	expect "at most $1 chunks" test "$(stat -c %s "$work/out")" -le $(($1 * chunk))
}

chunk_name() { # NUMBER
	"$stored" list "$to" | sed -n "s/\(data.*$1\) .*/\1/p"
}

tests+=(damaged_chunk)
damaged_chunk() {
	local name
	where
	store
	good
	name=$(chunk_name 00000003)
	head -c $chunk /dev/urandom > "$work/other"
	s3_request PUT "${to#s3://}/$name" "$work/other"
	load
	handed_over 2
	says "$name is damaged: its checksum does not match"
	"$vdi" verify "$to" 2> "$work/err"
	is "vdi verify" 5 $?
	says "$name is damaged"
	head -c 1000 /dev/urandom > "$work/other"
	s3_request PUT "${to#s3://}/$name" "$work/other"
	load
	handed_over 2
	says "$name is damaged: it has 1000 bytes, not $chunk"
	head -c 2000000 /dev/urandom > "$work/other"
	s3_request PUT "${to#s3://}/$name" "$work/other"
	load
	handed_over 2
	says "$name is damaged: it has more than $chunk bytes"
}

tests+=(damaged_last_chunk)
damaged_last_chunk() {
	local name
	where
	store
	good
	name=$(chunk_name 00000005)
	tail -c $((5000000 - 4 * chunk)) "$work/data" | tr '\0-\377' '\1-\377\0' > "$work/other"
	s3_request PUT "${to#s3://}/$name" "$work/other"
	load
	handed_over 4
}

tests+=(missing_chunk)
missing_chunk() {
	local name
	where
	store
	good
	name=$(chunk_name 00000002)
	s3_request DELETE "${to#s3://}/$name"
	load
	handed_over 1
	says "$name is missing"
	"$vdi" verify "$to" 2> "$work/err"
	is "vdi verify" 5 $?
}

tests+=(damaged_manifest)
damaged_manifest() {
	where
	store
	good
	s3_request GET "${to#s3://}/manifest.json" > "$work/manifest"
	sed 's/"bytes": 1048576/"bytes": 1048575/' "$work/manifest" > "$work/other"
	s3_request PUT "${to#s3://}/manifest.json" "$work/other"
	load
	is "exit code" 5 "$rc"
	says "the checksum of its manifest does not match"
	head -c 900 "$work/manifest" > "$work/other"
	s3_request PUT "${to#s3://}/manifest.json" "$work/other"
	load
	is "exit code" 5 "$rc"
	says "its manifest is truncated or not JSON"
}

# What is damaged or cut off on the way is read again.
tests+=(faults_while_reading)
faults_while_reading() {
	where
	store
	good
	proxy GET:data-:1:flip GET:data-:3:cut GET:data-:5-6:503 GET:manifest.json:1:cut
	load
	is "exit code" 0 "$rc"
	expect "restored data" cmp "$work/data" "$work/out"
	made flip 1
	made cut 2
	made 503 2
}

# ------------------------------------------------------ several below an address

# make NAME AGE [OPTIONS]: a backup below "place", finished so many seconds ago
make() {
	to=$place/$1
	store -e "$2" "${@:3}"
	is "exit code of the backup $1" 0 "$rc"
}

# leave NAME: a backup that is killed after two of its chunks are stored
leave() {
	local pid
	to=$place/$1
	mkfifo "$work/fifo"
	"$stored" backup "$to" -s $chunk < "$work/fifo" 2> "$work/err" &
	pid=$!
	exec 8> "$work/fifo"
	head -c 2500000 "$work/data" >&8
	until [ "$(objects)" -ge 2 ]; do sleep 0.1; done
	kill -KILL $pid
	wait $pid 2> /dev/null
	exec 8>&-
	rm "$work/fifo"
}

# states: "NAME STATE" of each entry, without the IDs
states() {
	"$vdi" list --json "$place" > "$work/list" 2> "$work/err" || return
	python3 -c '
import json, re, sys
for e in json.load(sys.stdin):
    print(re.sub("data-[0-9a-f]{32}", "data", e["directory"]), e["state"], sep=": ")' \
		< "$work/list" | sort
}

are() { # STATES...: one a line
	is "states" "$(printf '%s\n' "$@")" "$(states)"
}

# expire [OPTIONS]: sets rc
expire() {
	"$vdi" expire "$place" "$@" > "$work/out" 2> "$work/err"
	rc=$?
}

tests+=(list_expire_and_latest)
list_expire_and_latest() {
	local place=s3://backups/tests-$$/${FUNCNAME[0]}
	are ''
	make a1 300000
	make a2 200000 -n 2
	make a3 100000
	make b1 300000 -S other
	leave a4
	are 'a1: whole' 'a2: whole' 'a3: whole' 'a4/data: being written' 'b1: whole'
	"$vdi" list "$place" --set test --max-age 30h > "$work/out" 2> "$work/err"
	is "a backup is young enough" 0 $?
	is "lines" 4 "$(wc -l < "$work/out")"
	"$vdi" list "$place" --set test --max-age 20h > "$work/out" 2> "$work/err"
	is "no backup is young enough" 7 $?
	says "the youngest whole backup of set 'test', $place/a3, is 1 d 3 h old"
	"$vdi" verify "$place" --all > "$work/out" 2> "$work/err"
	is "vdi verify --all" 0 $?
	expect "summary" grep -qx '4 verified, 0 failed, 1 incomplete and skipped' "$work/out"

	expire --keep-last 1 --dry-run
	is "exit code" 0 "$rc"
	expect "figures" grep -q '^3 kept, 2 removed, 0 failed' "$work/out"
	is "entries after --dry-run" 5 "$(states | wc -l)"
	expire --keep-last 1
	is "exit code" 0 "$rc"
	are 'a3: whole' 'a4/data: being written' 'b1: whole'
	expect "why the chunks are kept" grep -q \
		'a4/data-[0-9a-f]*: being written, or interrupted: its last chunk was stored less than 1 d' "$work/out"
	expire --keep-last 1 --partial-age 0
	is "exit code" 0 "$rc"
	are 'a3: whole' 'b1: whole'
	to=$place
	is "objects" 12 "$(objects)"
	to=$place/a3
	rc=0
	good
}

# A listing reads no names of chunks: one request for each backup, and one for all, twice.
tests+=(list_does_not_read_chunks)
list_does_not_read_chunks() {
	local place=s3://backups/tests-$$/${FUNCNAME[0]}
	make a1 0
	make a2 0
	proxy GET:delimiter=:1-1000:count GET:list-type=2\&prefix=:1-1000:chunks
	are 'a1: whole' 'a2: whole'
	made count 4
	made chunks 0
	expire --keep-last 1
	is "exit code" 0 "$rc"
	made chunks 3
}

tests+=(address_of_a_backup_as_place)
address_of_a_backup_as_place() {
	local place
	where
	store
	good
	place=$to
	are "${FUNCNAME[0]}: whole"
	expire --keep-last 1
	is "exit code" 2 "$rc"
	says "is a backup; name the directory or address above it"
}

tests+=(place_without_bucket)
place_without_bucket() {
	local place=s3://no-bucket/x
	expire --keep-last 1
	is "exit code" 1 "$rc"
	says "bucket 'no-bucket' does not exist; create it"
	"$vdi" list s3://backups > "$work/out" 2> "$work/err"
	is "exit code without a prefix" 1 $?
	says "a prefix is required"
}

# expire_until FAULT: it waits in this fault and is ended with the signal; sets rc
expire_until() { # SIGNAL FAULT
	local pid
	proxy "$2"
	"$vdi" expire "$place" --keep-last 1 > "$work/out" 2> "$work/err" &
	pid=$!
	until grep -q stall "$work/count" 2> /dev/null; do
		kill -0 $pid || { echo "# it has ended"; bad=1; return; }
		sleep 0.1
	done
	kill "-$1" $pid
	wait $pid 2> /dev/null
	rc=$?
	gateway_environment $gateway_access $gateway_secret
}

# Before the manifest is removed the backup is whole; after that it is none.
tests+=(expire_killed_before_manifest)
expire_killed_before_manifest() {
	local place=s3://backups/tests-$$/${FUNCNAME[0]}
	make a1 7200
	make a2 3600
	expire_until KILL DELETE:manifest.json:1:stall
	are 'a1: whole' 'a2: whole'
	"$vdi" verify -q "$place" --all
	is "vdi verify" 0 $?
	expire --keep-last 1
	is "exit code" 0 "$rc"
	are 'a2: whole'
	to=$place
	is "objects" 6 "$(objects)"
}

tests+=(expire_killed_after_manifest)
expire_killed_after_manifest() {
	local place=s3://backups/tests-$$/${FUNCNAME[0]} fault
	for fault in POST:delete=:1:stall DELETE:/expired:1:stall; do
		make a1 7200
		make a2 3600
		expire_until KILL $fault
		are 'a1/data: expired' 'a2: whole'
		to=$place/a1
		load
		is "exit code of the restore" 5 "$rc"
		says "it has no manifest.json, so it is incomplete"
		# young chunks, but they are no backup that is being written
		expire --keep-last 1
		is "exit code" 0 "$rc"
		are 'a2: whole'
		to=$place
		is "objects" 6 "$(objects)"
		"$stored" delete "$place/a2"
		rm -f "$work/count"
	done
}

tests+=(expire_interrupted)
expire_interrupted() {
	local place=s3://backups/tests-$$/${FUNCNAME[0]}
	make a1 7200
	make a2 3600
	expire_until TERM POST:delete=:1:stall
	is "exit code" 130 "$rc"
	expect "message" grep -q "^vdi: cannot remove $place/a1: 6 objects are left: interrupted" "$work/err"
	are 'a1/data: expired' 'a2: whole'
}

tests+=(expire_in_a_storm)
expire_in_a_storm() {
	local place=s3://backups/tests-$$/${FUNCNAME[0]}
	make a1 7200
	make a2 3600
	proxy DELETE::2-4:503 DELETE:manifest.json:1:lost GET:list-type=2:2:cut POST:delete=:1:503
	expire --keep-last 1
	is "exit code" 0 "$rc"
	made 503 4
	made lost 1
	made cut 1
	are 'a2: whole'
}

# The chunks of the youngest backup are missing: the older one is the last whole one.
tests+=(last_whole_backup_is_kept)
last_whole_backup_is_kept() {
	local place=s3://backups/tests-$$/${FUNCNAME[0]}
	make a1 7200
	make a2 3600
	s3_request DELETE "${to#s3://}/$(chunk_name 00000003)"
	expire --keep-last 1
	is "exit code" 0 "$rc"
	says "a2 is damaged and is kept: 1 of 5 chunks are missing or have another size"
	to=$place/a1
	rc=0
	good
}

# Objects whose names are not those of vdi stay.
tests+=(objects_of_others_are_kept)
objects_of_others_are_kept() {
	local place=s3://backups/tests-$$/${FUNCNAME[0]}
	make a1 7200
	make a2 3600
	echo text > "$work/other"
	s3_request PUT "${place#s3://}/a1/other" "$work/other"
	s3_request PUT "${place#s3://}/other" "$work/other"
	expire --keep-last 1
	is "exit code" 0 "$rc"
	are 'a2: whole'
	to=$place
	is "objects" 8 "$(objects)"
}

# ----------------------------------------------------------- keys and certificates

tests+=(profile_files)
profile_files() {
	where
	cat > "$work/credentials" <<-END
	[default]
	aws_access_key_id = none
	aws_secret_access_key = none
	[backup]
	# of the test
	aws_access_key_id = $gateway_access
	aws_secret_access_key = $gateway_secret
	END
	cat > "$work/config" <<-END
	[profile backup]
	region = us-east-1
	endpoint_url = http://127.0.0.1:$gateway_port
	END
	(
		unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_ENDPOINT_URL_S3 AWS_REGION
		export AWS_PROFILE=backup AWS_CONFIG_FILE=$work/config
		export AWS_SHARED_CREDENTIALS_FILE=$work/credentials
		store
		exit $rc
	)
	rc=$?
	good
	(
		unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
		AWS_PROFILE=nobody store
	)
	says "profile 'nobody' has no aws_access_key_id and aws_secret_access_key"
}

tests+=(no_keys)
no_keys() {
	where
	(
		unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
		store
	)
	says "no keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write them to a profile"
}

# key_server LIFETIME: sets "key_port"; it ends with the test
key_server() {
	key_port=$(free_ports 1)
	start_server python3 "$here/keys.py" "$key_port" $gateway_access $gateway_secret "$1" "$work/count"
	unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
}

tests+=(keys_of_instance)
keys_of_instance() {
	where
	key_server 3600
	AWS_EC2_METADATA_DISABLED=false AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:$key_port store
	good
	made instance 1
}

# Keys that have expired are fetched again for each request.
tests+=(keys_are_refreshed)
keys_are_refreshed() {
	where
	key_server 0
	AWS_EC2_METADATA_DISABLED=false AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:$key_port store
	good
	expect "fetched for the manifest and each chunk" test "$(grep -c instance "$work/count")" -ge 7
}

tests+=(web_identity)
web_identity() {
	where
	key_server 3600
	echo 'token/+' > "$work/token"
	AWS_ENDPOINT_URL_STS=http://127.0.0.1:$key_port AWS_ROLE_ARN=arn:aws:iam::1:role/x \
		AWS_WEB_IDENTITY_TOKEN_FILE=$work/token store
	good
	made 'identity arn:aws:iam::1:role/x token/+' 1
}

tests+=(certificates)
certificates() {
	local port
	where
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/key" -out "$work/cert" -days 2 \
		-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 2> /dev/null
	cat "$work/cert" "$work/key" > "$work/both"
	PROXY_CERTIFICATE=$work/both proxy
	export AWS_ENDPOINT_URL_S3=${AWS_ENDPOINT_URL_S3/http:/https:}
	store
	is "exit code" 1 "$rc"
	says "certificate"
	AWS_CA_BUNDLE=$work/cert store
	good
}

[ $# -eq 0 ] || tests=("$@")
run_tests
