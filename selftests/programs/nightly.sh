#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# examples/nightly: set up the backup of a PostgreSQL server into an object store, some
# nights, the restore. PostgreSQL, the node exporter and Ceph's gateway are real, on 127.0.0.1
# of the machine. The machine has no systemd: selftests/stores/service.py runs the commands
# of the unit in its place; "selftests/units --machine" has the service in its sandbox and
# the timer.

# shellcheck disable=SC2317 # run_tests calls them
# shellcheck disable=SC2086 # words

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
# shellcheck source=selftests/programs/tap.sh
. "$here/tap.sh"
top=$(cd -- "$here/../.." && pwd -P)
work=$(mktemp -d "${VDISET_SCRATCH:-/tmp}/nightly.XXXXXX")
# shellcheck source=selftests/stores/gateway.sh
. "$top/selftests/stores/gateway.sh"
# shellcheck source=selftests/stores/host.sh
. "$top/selftests/stores/host.sh"

missing=$(host_missing; gateway_missing)
[ -z "$missing" ] || { rm -rf "$work"; skip_all "${missing//$'\n'/; }"; }
trap 'gateway_stop; host_kill; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

setup=$top/examples/nightly/setup
place=s3://backups/postgres
conf=/etc/vdiset/backup/nightly.conf aws=/etc/vdiset/backup/nightly.aws
prom=$host_metrics/vdi-nightly.prom
options=("$place" --cluster "$host_cluster" --keep-last 2 --keep-within 0)

{ gateway_start && host_install && host_create; } || { echo "# the host cannot be set up"; exit 1; }
gateway_environment "$gateway_access" "$gateway_secret"
s3_request PUT backups || exit 1
host_sql 'create table orders (id int primary key, customer text, price numeric(9, 2))' \
	"insert into orders select g, md5(g::text), g / 7.0 from generate_series(1, 20000) g" \
	'create table notes (id int primary key, note text, data bytea)' \
	"insert into notes values (1, null, '\\x00ff'), (2, E'tab\\there', null), (3, '', '\\x')" || exit 1

setup() { # OPTION...: sets rc
	"$setup" "$@" > "$work/out" 2> "$work/err"
	rc=$?
	[ $rc = 0 ] || sed 's/^/# setup: /' "$work/err"
}

night() { # sets rc
	timeout 600 "$host_service" nightly > "$work/out" 2> "$work/err"
	rc=$?
	sed 's/^/# night: /' "$work/out" "$work/err"
}

# As an administrator who has no keys in the environment
restore() { # ARGUMENT...
	timeout 600 env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY -u AWS_ENDPOINT_URL_S3 \
		"$top/examples/nightly/restore" "$@" > "$work/out" 2> "$work/err"
	rc=$?
	[ $rc = 0 ] || sed 's/^/# restore: /' "$work/err"
}

message() { # TEXT
	expect "message with '$1'" grep -qF -- "$1" "$work/err"
}

written() { # the files of setup
	(cd / && ls -l --time-style=+ "$conf" "$aws" /etc/systemd/system/vdi-backup@nightly.*.d/* \
		/etc/systemd/system/timers.target.wants/vdi-backup@nightly.timer) 2> /dev/null
}

count() { # whole backups
	vdi list $place --json | grep -c '"state": "whole"'
}

metric() { # NAME
	sed -n "s/^vdi_$1{.*} //p" $prom
}

tests+=(wrong_usage)
wrong_usage() {
	local arguments
	for arguments in '' 'relative/place' 's3://bucket' "$place --at" "$place --colour" "$place /other" \
		"$place --name a/b" "$place --keep-last 2;reboot"; do
		setup $arguments
		is "exit code of '$arguments'" 2 $rc
	done
	expect "help" grep -q -- '--keep-within' <("$setup" --help)
	is "files" '' "$(written)"
}

# Each fails before anything is written, and names the cause.
tests+=(what_is_missing)
what_is_missing() {
	setup "${options[@]}"
	is "without the target" 1 $rc
	message "add vdiset to shared_preload_libraries"
	host_load || bad=1
	setup "${options[@]}" --cluster "$host_version/other"
	is "another cluster" 1 $rc
	message "does not answer the user postgres"
	setup "${options[@]}" --at 'every night'
	is "--at" 1 $rc
	message "'every night' is no calendar expression"
	setup "${options[@]}" --metrics /none
	is "--metrics" 1 $rc
	message "/none does not exist: install prometheus-node-exporter"
	setup "${options[@]}" --compress zstd:99
	is "--compress" 1 $rc
	message "the options of the backup are refused"
	setup "${options[@]}" --keep-within soon
	is "--keep-within" 1 $rc
	message "the options of the expiry are refused"
	AWS_ACCESS_KEY_ID='' setup "${options[@]}"
	is "no keys" 1 $rc
	message "no keys of the object store"
	AWS_SECRET_ACCESS_KEY=wrong setup "${options[@]}"
	is "wrong keys" 1 $rc
	message "SignatureDoesNotMatch"
	setup s3://nosuchbucket/x --cluster "$host_cluster"
	is "no bucket" 1 $rc
	message "nosuchbucket"
	is "files" '' "$(written)"
	restore --list
	is "restore" 1 $rc
	message "run setup"
}

tests+=(set_up)
set_up() {
	local before
	setup "${options[@]}" --at '*-*-* 02:30:00'
	is "setup" 0 $rc
	is "mode of the keys" '600 root' "$(stat -c '%a %U' $aws)"
	expect "no keys in other files" test -z "$(grep -rl "$gateway_secret" /etc | grep -vx $aws)"
	expect "the timer is enabled" test -L /etc/systemd/system/timers.target.wants/vdi-backup@nightly.timer
	before=$(written)
	# with the keys of the first run
	AWS_ACCESS_KEY_ID='' setup "${options[@]}" --at '*-*-* 02:30:00'
	is "setup again" 0 $rc
	is "changes" "$before" "$(written)"
	is "unchanged files" 4 "$(grep -c '^unchanged: ' "$work/out")"
	systemd-analyze verify --man=no vdi-backup@nightly.{service,timer} > "$work/err" 2>&1
	is "systemd-analyze verify" 0 $?
	is "complaints about them" '' "$(grep vdi-backup "$work/err")"
	systemd-analyze calendar "$(sed -n 's/^OnCalendar=\(.\)/\1/p' /etc/systemd/system/vdi-backup@nightly.timer.d/nightly.conf)" > "$work/out"
	is "the calendar" 0 $?
}

tests+=(first_night)
first_night() {
	night
	is "the service" 0 $rc
	is "backups" 1 "$(count)"
	expect "young" vdi list $place --set nightly --max-age 1d
	expect "verify" vdi verify $place --all -q
	expect "compressed" grep -q '"zstd"' <(s3_request GET "backups/$(vdi list $place --json |
		sed -n 's/.*"directory": "\(.*\)".*/postgres\/\1/p')/manifest.json")
	is "exit code in the metrics" 0 "$(metric last_run_exit_code)"
	is "sets" '' "$(vdi ls)"
}

# The textfile collector reads the metrics.
tests+=(node_exporter)
node_exporter() {
	local port pid
	port=$(free_ports 1)
	prometheus-node-exporter --collector.disable-defaults --collector.textfile \
		--collector.textfile.directory=$host_metrics --web.listen-address="127.0.0.1:$port" 2> "$work/err" &
	pid=$!
	until curl --silent --fail "http://127.0.0.1:$port/metrics" > "$work/page"; do
		kill -0 $pid 2> /dev/null || { sed 's/^/# /' "$work/err"; bad=1; return; }
		sleep 0.2
	done
	kill $pid
	wait $pid 2> /dev/null
	is "errors of the collector" 'node_textfile_scrape_error 0' "$(grep '^node_textfile_scrape_error' "$work/page")"
	expect "the time of the success" grep -Eq \
		'^vdi_last_success_timestamp_seconds\{operation="backup",set="nightly"\} 1\.[0-9]+e\+09' "$work/page"
	expect "exit code" grep -q '^vdi_last_run_exit_code{operation="backup",set="nightly"} 0$' "$work/page"
}

tests+=(later_nights_and_expiry)
later_nights_and_expiry() {
	local first
	first=$(vdi list $place --json | sed -n 's/.*"directory": "\(.*\)".*/\1/p')
	host_sql "insert into orders select g, md5(g::text), g / 7.0 from generate_series(20001, 20500) g"
	night
	is "second night" 0 $rc
	is "backups" 2 "$(count)"
	host_sql "update orders set customer = 'x' where id % 3 = 0" 'delete from notes where id = 2'
	host_rows > "$work/rows"
	night
	is "third night" 0 $rc
	expect "what was removed" grep -q "^remove .*$first" "$work/out"
	is "backups" 2 "$(count)"
	expect "not the first one" test -z "$(vdi list $place | grep "$first")"
	is "its objects" '' "$(s3_request GET "backups?list-type=2&prefix=postgres%2F$first" | grep '<Key>')"
	# must not be restored
	host_sql "insert into notes values (99, 'after the backup', null)"
}

# No backup, no expiry, an error that names the cause, and metrics that say so.
failed_night() { # WHAT MESSAGE
	local success before
	success=$(metric last_success_timestamp_seconds)
	before=$(vdi list $place)
	night
	is "$1" 1 $rc
	message "$2"
	expect "$1: in the metrics" test "$(metric last_run_exit_code)" != 0
	is "$1: the last success" "$success" "$(metric last_success_timestamp_seconds)"
	is "$1: backups" "$before" "$(vdi list $place)"
	is "$1: expiry" '' "$(cat "$work/out")"
	is "$1: sets" '' "$(vdi ls)"
}

tests+=(failed_nights)
failed_nights() {
	host_stop
	failed_night "no server" "pg_basebackup: error: connection to server"
	host_start
	cp $aws "$work/aws"
	sed -i "s/$gateway_secret/wrong/" $aws
	failed_night "wrong keys" "SignatureDoesNotMatch"
	is "joined by pg_basebackup" '' "$(grep pg_basebackup "$work/err")"
	install -m 600 "$work/aws" $aws
}

# The service fails, but the backup is good.
tests+=(failed_expiry)
failed_expiry() {
	local before
	before=$(count)
	cp $conf "$work/conf"
	sed -i 's/^EXPIRE=.*/EXPIRE=--keep-last none/' $conf
	night
	is "the service" 1 $rc
	is "the backup" 0 "$(metric last_run_exit_code)"
	is "backups" $((before + 1)) "$(count)"
	cp "$work/conf" $conf
	# it has the same rows
	host_sql 'delete from notes where id = 99'
	night
	is "the next night" 0 $rc
	is "backups" 2 "$(count)"
	host_sql "insert into notes values (99, 'after the backup', null)"
}

tests+=(restore_last_night)
restore_last_night() {
	local name
	restore --list
	is "list" 0 $rc
	is "backups" 2 "$(grep -c whole "$work/out")"
	host_stop
	rm -rf "$host_data"
	restore "$host_data" --colour
	expect "a wrong option of vdi-pg-restore" test $rc != 0
	restore "$host_data"
	is "restore" 0 $rc
	is "owner" postgres "$(stat -c %U "$host_data/PG_VERSION")"
	host_start || bad=1
	host_rows > "$work/restored"
	expect "the same rows" cmp "$work/rows" "$work/restored"
	is "rows" 20502 "$(wc -l < "$work/restored")"
	name=$(sed -n 's/.*\(nightly-[0-9TZ-]*\) .*whole.*/\1/p' <(vdi list $place) | head -n 1)
	restore --backup "$name" "$work/pg/other"
	is "a backup by name" 0 $rc
	restore "$host_data"
	is "a directory that is used" 1 $rc
	message "$host_data"
	restore --backup nosuch "$work/pg/third"
	expect "no such backup" test $rc != 0
	expect "no directory" test ! -e "$work/pg/third" -a ! -e "$work/pg/third.partial"
	is "sets" '' "$(vdi ls)"
}

tests+=(removed)
removed() {
	setup --remove
	is "remove" 0 $rc
	is "files" "$aws" "$(written | sed 's/.* //')"
	is "backups" 2 "$(count)"
	setup --remove
	is "remove again" 1 $rc
	message "nothing is set up with this name"
	echo 'ROOT=/srv' > $conf
	setup "${options[@]}"
	is "the settings of others" 1 $rc
	message "is not of this script"
	rm $conf
}

run_tests
