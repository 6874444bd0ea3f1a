# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# cluster.sh - a throw-away PostgreSQL cluster, for the demo and the tests
#
# shellcheck disable=SC2154 # $work, $top
#
# To be sourced with $work, a private directory, and $top, the built tree. The
# server runs as the user postgres and listens on a socket in $work. Files of the
# tree that this user needs are copied, because it may not have access to the tree.

pg_user=postgres
pg_port=54329
pg_bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
pg_data=$work/data
pg_restore=$work/vdi-pg-restore
# the target, for the version of $pg_bin; empty: none is loaded
pg_target=${PG_TARGET-$top/build/postgres/vdiset.so}

# Not runuser: the modules of PAM take longer than psql in an emulated machine.
as_postgres() {
	(
		export PGHOST="$work" PGPORT=$pg_port PGDATABASE="${PGDATABASE:-postgres}" LC_ALL=C.UTF-8
		cd "$work" && exec setpriv --reuid=$pg_user --regid=$pg_user --init-groups -- "$@"
	)
}

sql() {
	as_postgres "$pg_bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -c "$1"
}

# Standard input is appended to postgresql.conf.
pg_create() {
	chown $pg_user "$work"
	install -m 755 ${pg_target:+"$pg_target"} "$top/build/postgres/vdi-pg-restore" "$work" || return
	as_postgres "$pg_bin/initdb" -D "$pg_data" -A trust --no-sync > "$work/initdb.log" || return
	{
		[ -z "$pg_target" ] || echo "shared_preload_libraries = '$work/vdiset.so'"
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$work'"
		echo "port = $pg_port"
		# the cluster need not survive a crash of the host
		echo 'fsync = off'
		cat
	} >> "$pg_data/postgresql.conf"
}

pg_start() {
	as_postgres "$pg_bin/pg_ctl" -D "$pg_data" -w -t 300 -s -l "$work/server.log" start ||
		{ tail -n 20 "$work/server.log" >&2; return 1; }
}

pg_stop() { # MODE
	[ ! -f "$pg_data/postmaster.pid" ] ||
		as_postgres "$pg_bin/pg_ctl" -D "$pg_data" -w -t 300 -s -m "${1:-fast}" stop
}
