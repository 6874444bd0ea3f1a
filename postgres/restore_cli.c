// SPDX-License-Identifier: GPL-2.0-only
/*
 * restore_cli.c - the options of vdi-pg-restore
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "restore.h"

static const char help[] =
	"usage: vdi-pg-restore NAME [NAME...] -D DIR [OPTIONS]\n"
	"       vdi-pg-restore NAME --manifest FILE [OPTIONS]\n\n"
	"Rebuilds a PostgreSQL data directory from the virtual device set NAME, which\n"
	"'vdi restore NAME --from BACKUP' serves. An incremental backup requires those it is\n"
	"based on: name the set of the full backup first, and then those of the increments, in\n"
	"the order in which they were made. pg_combinebackup combines them.\n\n"
	"  -D, --pgdata DIR          data directory to create: an absolute path, absent or\n"
	"                            an empty directory\n"
	"  -T, --tablespace-mapping OLD=NEW  restore the tablespace at OLD to NEW, absent or\n"
	"                            an empty directory; may be repeated\n"
	"      --allow-tablespaces   restore tablespaces without -T to their old paths\n"
	"      --manifest FILE       write only the backup manifest, to FILE, an absolute path,\n"
	"                            for pg_basebackup --incremental=FILE\n"
	"      --pg-bindir DIR       directory of pg_combinebackup (default: where Debian and the\n"
	"                            packages of PostgreSQL install it, or PATH)\n"
	"      --owner USER          as root: owner of the files, by name or number\n"
	"                            (default: the owner of DIR, or of its parent)\n"
	"      --from USER           join a set that USER (name or number) created, instead\n"
	"                            of you or root; may be a list with commas\n"
	"  -t, --timeout SEC         time to wait for a set (default 60, 0 = no limit)\n"
	"  -q, --quiet               no progress, no summary\n"
	"  -h, --help                show this help\n"
	"  -V, --version             show the version\n\n"
	"point-in-time recovery; the server recovers when it is started:\n\n"
	"      --restore-command CMD  the server's restore_command, with %f and %p\n"
	"      --target-time TIME    recover up to this time, as in '2026-11-30 12:00:00+01'\n"
	"      --target-name NAME    up to this restore point\n"
	"      --target-lsn LSN      up to this position in the WAL\n"
	"      --target-xid XID      up to the end of this transaction\n"
	"      --target-immediate    up to the end of the backup\n"
	"      --target-action ACTION  and then: pause (default), promote or shutdown\n"
	"      --target-timeline TLI  along this timeline: latest (default), current or a number\n\n"
	"exit codes: as for vdi\n";

enum {
	OPT_ALLOW = 256, OPT_MANIFEST, OPT_BINDIR, OPT_OWNER, OPT_FROM, OPT_COMMAND,
	OPT_TIME, OPT_NAME, OPT_LSN, OPT_XID, OPT_IMMEDIATE, OPT_ACTION, OPT_TIMELINE
};

static const struct option options[] = {
	{ "pgdata", required_argument, NULL, 'D' },
	{ "tablespace-mapping", required_argument, NULL, 'T' },
	{ "allow-tablespaces", no_argument, NULL, OPT_ALLOW },
	{ "manifest", required_argument, NULL, OPT_MANIFEST },
	{ "pg-bindir", required_argument, NULL, OPT_BINDIR },
	{ "owner", required_argument, NULL, OPT_OWNER },
	{ "from", required_argument, NULL, OPT_FROM },
	{ "restore-command", required_argument, NULL, OPT_COMMAND },
	{ "target-time", required_argument, NULL, OPT_TIME },
	{ "target-name", required_argument, NULL, OPT_NAME },
	{ "target-lsn", required_argument, NULL, OPT_LSN },
	{ "target-xid", required_argument, NULL, OPT_XID },
	{ "target-immediate", no_argument, NULL, OPT_IMMEDIATE },
	{ "target-action", required_argument, NULL, OPT_ACTION },
	{ "target-timeline", required_argument, NULL, OPT_TIMELINE },
	{ "timeout", required_argument, NULL, 't' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 }
};

static bool add_mapping(struct unpack *u, char *text)
{
	struct mapping *m = &u->mapping[u->mappings];
	char *equals = strchr(text, '=');
	int i;

	if (!equals || u->mappings == MAX_MAPPINGS) {
		vdi_error(equals ? "-T: at most %d tablespaces can be mapped" :
				   "-T requires OLD=NEW", MAX_MAPPINGS);
		return false;
	}
	*equals = '\0';
	*m = (struct mapping){ unpack_clean_path(text),
			       unpack_clean_path(equals + 1), false };
	u->mappings++;
	if (!m->from || !m->to) {
		vdi_error("-T requires OLD=NEW with absolute paths without '..'");
		return false;
	}
	for (i = 0; i < u->mappings - 1; i++) {
		if (strcmp(u->mapping[i].from, m->from) &&
		    strcmp(u->mapping[i].to, m->to))
			continue;
		vdi_error("-T %s=%s: a path is mapped twice", m->from, m->to);
		return false;
	}
	return true;
}

static int take_path(char **path, const char *option, const char *argument)
{
	free(*path);
	*path = unpack_clean_path(argument);
	return *path ? EXIT_OK :
	       vdi_invalid(option, argument, "an absolute path without '..'");
}

static void take_recovery(struct recovery *recovery, int c, const char *argument)
{
	switch (c) {
	case OPT_COMMAND:
		recovery->restore_command = argument;
		break;
	case OPT_TIME:
		recovery->time = argument;
		break;
	case OPT_NAME:
		recovery->name = argument;
		break;
	case OPT_LSN:
		recovery->lsn = argument;
		break;
	case OPT_XID:
		recovery->xid = argument;
		break;
	case OPT_IMMEDIATE:
		recovery->immediate = true;
		break;
	case OPT_ACTION:
		recovery->action = argument;
		break;
	default:	/* OPT_TIMELINE */
		recovery->timeline = argument;
	}
}

static int take(struct restore *r, int c, char *argument)
{
	switch (c) {
	case 'D':
		return take_path(&r->target, "-D", argument);
	case OPT_MANIFEST:
		return take_path(&r->manifest, "--manifest", argument);
	case OPT_BINDIR:
		r->bindir = argument;
		return EXIT_OK;
	case 'T':
		return add_mapping(&r->unpack, argument) ? EXIT_OK : EXIT_USAGE;
	case OPT_ALLOW:
		r->unpack.allow_tablespaces = true;
		return EXIT_OK;
	case OPT_OWNER:
		r->owner_given = vdi_parse_user(argument, &r->owner);
		return r->owner_given ? EXIT_OK :
		       vdi_invalid("--owner", argument, "an existing user");
	case OPT_FROM:
		return vdi_users_add(&r->options.from, argument) ? EXIT_OK : EXIT_USAGE;
	case 't':
		return vdi_parse_seconds(argument, &r->options.timeout_ms) ? EXIT_OK :
		       vdi_invalid("--timeout", argument, "a number of seconds");
	case 'q':
		r->options.quiet = true;
		return EXIT_OK;
	case 'h':
		fputs(help, stdout);
		exit(EXIT_OK);
	case 'V':
		printf("vdi-pg-restore %s\n", vdi_version());
		exit(EXIT_OK);
	case '?':
		fputs(help, stderr);
		return EXIT_USAGE;
	default:
		take_recovery(&r->recovery, c, argument);
		return EXIT_OK;
	}
}

static int wrong(const char *text)
{
	vdi_error("%s", text);
	fputs(help, stderr);
	return EXIT_USAGE;
}

static int check(struct restore *r)
{
	const struct recovery *recovery = &r->recovery;

	if (!r->count || (r->manifest && r->count > 1))
		return wrong(r->count ? "--manifest requires a single NAME" :
				       "a NAME is required");
	if (!!r->target + !!r->manifest != 1)
		return wrong(r->target ? "-D DIR and --manifest FILE cannot be combined" :
					"-D DIR is required");
	if (r->count > MAX_CHAIN)
		return wrong("more than 256 backups cannot be combined");
	if (r->manifest && (r->unpack.mappings || recovery->restore_command))
		return wrong("--manifest restores no files: -T and --restore-command have no effect");
	return recovery_check(&r->recovery);
}

int restore_parse(struct restore *r, int argc, char **argv)
{
	int c, rc;

	while ((c = getopt_long(argc, argv, "D:T:t:qhV", options, NULL)) != -1) {
		rc = take(r, c, optarg);
		if (rc != EXIT_OK)
			return rc;
	}
	r->set = argv + optind;
	r->count = argc - optind;
	return check(r);
}
