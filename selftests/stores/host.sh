# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# host.sh - the virtual machine as a host with a PostgreSQL server and the packages
#
# To be sourced with $top, the built tree, and $work, a directory. For the nightly backup of
# examples/nightly: the test and the demo. Files of /usr and /etc are changed, which are
# lost when the machine ends.
#
# shellcheck disable=SC2154 # $top, $work
# shellcheck disable=SC2034 # used by others

host_version=$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -V | tail -n 1 | cut -d / -f 5)
host_cluster=$host_version/nightly
host_data=$work/pg/data
host_metrics=/var/lib/prometheus/node-exporter
host_service=$top/selftests/stores/service.py

host_missing() { # prints why this host cannot be used
	[ -n "${VDISET_OUT:-}" ] || echo "it changes /usr and /etc, and runs in a machine of vm/run only"
	[ "$(id -u)" = 0 ] || echo "not root"
	[ -c /dev/vdiset ] || echo "/dev/vdiset does not exist"
	[ -f "$top/build/postgres/vdiset.so" ] || echo "the target is not built"
	command -v pg_createcluster > /dev/null || echo "postgresql-common is missing"
	command -v systemctl > /dev/null || echo "systemd is missing"
}

# what the packages vdi, postgresql-N-vdiset and prometheus-node-exporter install
host_install() {
	install -m 755 "$top/build/tools/vdi" "$top/build/postgres/vdi-pg-restore" /usr/bin &&
		install -D -m 644 -t /usr/lib/vdi "$top"/build/tools/vdi-*.so &&
		install -m 644 "$top/build/postgres/vdiset.so" "/usr/lib/postgresql/$host_version/lib" &&
		install -D -m 644 -t /usr/lib/systemd/system "$top"/packaging/systemd/vdi-backup@.{service,timer} &&
		mkdir -p $host_metrics
}

# A new cluster, without the target. It need not survive a crash of the machine.
host_create() {
	chmod 755 "$work" && install -d -o postgres "$work/pg" &&
		pg_createcluster "$host_version" nightly -d "$host_data" -- --no-sync > "$work/create.log" &&
		pg_conftool "$host_version" nightly set fsync off &&
		pg_conftool "$host_version" nightly set wal_keep_size 64MB &&
		pg_ctlcluster "$host_version" nightly start
}

# host_load: as an administrator follows the message of examples/nightly/setup
host_load() {
	pg_conftool "$host_version" nightly set shared_preload_libraries vdiset &&
		pg_ctlcluster "$host_version" nightly restart
}

host_start() { pg_ctlcluster "$host_version" nightly start; }
host_stop() { pg_ctlcluster "$host_version" nightly stop -m fast; }
host_kill() { pg_ctlcluster "$host_version" nightly stop -m immediate 2> /dev/null; }

host_sql() { # COMMAND...
	local c args=()
	for c; do args+=(-c "$c"); done
	(cd / && PGCLUSTER=$host_cluster setpriv --reuid=postgres --regid=postgres --init-groups -- \
		psql -X -q -A -t -v ON_ERROR_STOP=1 postgres "${args[@]}")
}

# host_rows: all rows of the tables, in order
host_rows() {
	host_sql 'copy (select * from orders order by id) to stdout' 'copy (select * from notes order by id) to stdout'
}
