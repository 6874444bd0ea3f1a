#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows that examples/mariadb backs up a MariaDB server while it is written to, and restores
# it to a consistent state; and that a failure of mariadb-backup, of the disk or of the
# backup leaves no backup and no data directory.
#
# shellcheck disable=SC2317,SC2086,SC2012 # run_tests calls them; numbers; plain names

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
# shellcheck source=selftests/programs/tap.sh
. "$here/tap.sh"
top=$(cd -- "$here/../.." && pwd -P)
export VDI=$top/build/tools/vdi SET=m
examples=$top/examples/mariadb
PATH=$PATH:/usr/sbin

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -x "$VDI" ] || skip_all "vdi is not built"
for p in mariadbd mariadb-backup mbstream mariadb-install-db; do
	command -v $p > /dev/null || skip_all "MariaDB is not installed: there is no $p"
done
[ "$(id -u)" = 0 ] || skip_all "not root"

dir=$(mktemp -d "${VDISET_SCRATCH:-/tmp}/mariadb.XXXXXX")
export TMPDIR=$dir
socket=$dir/socket
trap 'stop_all; umount "$dir/full" 2> /dev/null; rm -rf "$dir"' EXIT
cd "$dir" || exit 1

# No option file of this machine is read; the sizes are small.
server() { # DATADIR SOCKET
	# not a job of this shell, which would end with the test
	(
		mariadbd --no-defaults --user=root --datadir="$1" --socket="$2" \
			--skip-networking --innodb-buffer-pool-size=32M \
			--innodb-log-file-size=16M --innodb-use-native-aio=0 \
			--innodb-flush-log-at-trx-commit=0 > "$2.log" 2>&1 &
		echo $! > "$2.pid"
	)
	while kill -0 "$(cat "$2.pid")" 2> /dev/null; do
		mariadb --no-defaults -S "$2" -e 'select 1' > /dev/null 2>&1 && return
		sleep 0.1
	done
	echo "# the server on $1 does not answer:"
	tail -n 5 "$2.log" | sed 's/^/#   /'
	return 1
}

stop() { # SOCKET
	local pid

	[ -f "$1.pid" ] || return 0
	pid=$(cat "$1.pid")
	kill -9 "$pid"
	while kill -0 "$pid"; do sleep 0.1; done
	rm -f "$1.pid" "$1"
} 2> /dev/null

stop_all() {
	stop "$socket"
	stop "$dir/second"
}

sql() { # STATEMENT [SOCKET]
	mariadb --no-defaults -N -S "${2:-$socket}" -e "$1" x
}

# Every transaction adds a row and counts it, in tables that are stored apart.
writer() {
	while [ -e writing ]; do
		printf 'start transaction; insert into entry(pad) values(repeat("%s", 40));' $RANDOM
		echo 'update counter set n = n + 1; commit;'
	done | mariadb --no-defaults -S "$socket" x
}

make_server() {
	mariadb-install-db --no-defaults --user=root --datadir="$dir/data" --skip-test-db \
		--auth-root-authentication-method=normal > install.log 2>&1 &&
		server "$dir/data" "$socket" &&
		mariadb --no-defaults -S "$socket" -e 'create database x' && sql '
			create table entry(id int auto_increment primary key, pad text);
			create table counter(n int); insert into counter values(20000);
			insert into entry(pad) select repeat(seq, 100) from seq_1_to_20000;'
}

backup() { # DIR [OPTION...]
	timeout 600 "$examples/backup" "$@" --no-defaults -S "$socket" --user=root > out 2> err
}

after_each() {
	is "remaining sets" "" "$("$VDI" ls)"
	is "remaining commands" "" "$(pgrep -x mariadb-backup; pgrep -x mbstream)"
	is "temporary files" "" "$(ls -d vdi-mariadb.* 2> /dev/null)"
	[ $bad = 0 ] || tail -n 5 err | sed 's/^/# /'
	rm -rf b b.*
}

no_backup() { # EXIT-CODE
	is "exit code" 1 "$1"
	is "files" "" "$(ls -d b* full/b* 2> /dev/null)"
}

says() { # TEXT
	expect "stderr contains '$1'" grep -qF -- "$1" err
}

# Waits until the backup in directory $1 has stored some data.
has_data() {
	wait_until test -s "$1.partial/device-00.data"
}

tests+=(round_trip_of_a_server_in_use)
round_trip_of_a_server_in_use() {
	local before after n

	touch writing
	writer > /dev/null 2>&1 &
	before=$(sql 'select n from counter')
	backup b
	is "exit code of backup" 0 $?
	after=$(sql 'select n from counter')
	rm writing
	wait
	expect "the server was written to" test "$after" -gt "$before"
	is "files of the backup" 4 "$(ls b/device-0?.data | wc -l)"
	expect "vdi verify" "$VDI" verify -q b
	timeout 600 "$examples/restore" b restored > out 2> err
	is "exit code of restore" 0 $?
	server "$dir/restored" "$dir/second" || { bad=1; return; }
	n=$(sql 'select n from counter' "$dir/second")
	is "rows" "$n" "$(sql 'select count(*) from entry' "$dir/second")"
	expect "$before <= $n <= $after" test "$before" -le "$n" -a "$n" -le "$after"
	is "state of the tables" "x.counter OK x.entry OK" \
		"$(mariadb-check --no-defaults -S "$dir/second" x | xargs)"
	stop "$dir/second"
	timeout 600 "$examples/restore" b restored > out 2> err
	is "exit code of a second restore" 1 $?
	says "exists; name a new directory"
	rm -rf restored
}

tests+=(killed_dump)
killed_dump() {
	timeout 600 "$VDI" backup m -q --max-rate 2M --to b -- mariadb-backup --no-defaults \
		-S "$socket" --user=root --backup --stream=mbstream --target-dir="$dir/t" \
		> out 2> err &
	expect "data" has_data b
	pkill -9 -x mariadb-backup
	wait $!
	no_backup $?
	says "'mariadb-backup' was killed by signal 9"
	rm -rf t
}

tests+=(refused_dump)
refused_dump() {
	timeout 600 "$examples/backup" b --no-defaults -S "$socket" --user=nobody --password=wrong \
		> out 2> err
	no_backup $?
	says "'mariadb-backup' ended with exit code 1; its last messages:"
	says "Access denied for user 'nobody'"
}

tests+=(disk_full)
disk_full() {
	mkdir -p full
	expect "a full disk" mount -t tmpfs -o size=2M none full
	backup full/b
	no_backup $?
	says "No space left on device"
	umount full
	is "the server still answers" 1 "$(sql 'select 1')"
}

tests+=(damaged_backup)
damaged_backup() {
	backup b
	is "exit code of backup" 0 $?
	printf x | dd of=b/device-02.data bs=1 seek=70000 conv=notrunc 2> /dev/null
	timeout 600 "$examples/restore" b restored > out 2> err
	is "exit code of restore" 5 $?
	is "directories" "" "$(ls -d restored* 2> /dev/null)"
	says "its checksum does not match"
}

make_server || { echo "TAP version 13"; echo "1..1"; echo "not ok 1 make_server"; exit 1; }
run_tests
