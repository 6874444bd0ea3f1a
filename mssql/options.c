// SPDX-License-Identifier: GPL-2.0-only
/*
 * options.c - the options of vdi-mssql
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge.h"

static const char usage[] =
	"usage: vdi-mssql backup|restore NAME --database DB [OPTIONS] [-- COMMAND [ARGUMENTS]]\n\n"
	"Joins the virtual device set NAME of vdi backup or vdi restore, and lets SQL Server\n"
	"write its backup to the set, or restore from it. For that, COMMAND is run with the\n"
	"BACKUP or RESTORE statement as its last argument. The default is sqlcmd, which gets\n"
	"-b -r1 -Q before the statement; set the password in SQLCMDPASSWORD.\n\n"
	"      --database DB     the database to back up or restore\n"
	"      --log             its log (BACKUP LOG, RESTORE LOG)\n"
	"      --with OPTIONS    options of the statement, as 'COPY_ONLY, STATS = 10'\n"
	"      --statement TEXT  another statement, in which %D stands for the devices\n"
	"      --library FILE    the library of SQL Server\n"
	"                        (default " SDK_LIBRARY ")\n"
	"      --trace           show every call of that library with its result\n"
	"      --from USER       join a set that USER (name or number) created, may be\n"
	"                        repeated (default: you and root)\n"
	"      --device NAME     name of the next device of the set; may be repeated\n"
	"      --instance NAME   instance of the set (default: see vdi-backup(1))\n"
	"  -t, --timeout SEC     time to wait for the set, and for SQL Server (default 300,\n"
	"                        0 = no limit)\n"
	"  -q, --quiet           no progress, no summary\n"
	"  -h, --help            show this help\n"
	"  -V, --version         show the version\n";

enum {
	OPT_DATABASE = 256, OPT_LOG, OPT_WITH, OPT_STATEMENT, OPT_LIBRARY,
	OPT_TRACE, OPT_FROM, OPT_DEVICE, OPT_INSTANCE
};

static const struct option options[] = {
	{ "database", required_argument, NULL, OPT_DATABASE },
	{ "log", no_argument, NULL, OPT_LOG },
	{ "with", required_argument, NULL, OPT_WITH },
	{ "statement", required_argument, NULL, OPT_STATEMENT },
	{ "library", required_argument, NULL, OPT_LIBRARY },
	{ "trace", no_argument, NULL, OPT_TRACE },
	{ "from", required_argument, NULL, OPT_FROM },
	{ "device", required_argument, NULL, OPT_DEVICE },
	{ "instance", required_argument, NULL, OPT_INSTANCE },
	{ "timeout", required_argument, NULL, 't' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 }
};

static int add_device(struct bridge *b, const char *name)
{
	if (vdi_names_add(&b->db.names, name))
		return EXIT_OK;
	vdi_error("too many devices: at most %d can be named", VDI_MAX_DEVICES);
	return EXIT_USAGE;
}

static int take(struct bridge *b, int option)
{
	switch (option) {
	case OPT_DATABASE:
		b->database = optarg;
		return EXIT_OK;
	case OPT_LOG:
		b->log = true;
		return EXIT_OK;
	case OPT_WITH:
		b->with = optarg;
		return EXIT_OK;
	case OPT_STATEMENT:
		b->statement = optarg;
		return EXIT_OK;
	case OPT_LIBRARY:
		b->library = optarg;
		return EXIT_OK;
	case OPT_TRACE:
		b->trace = true;
		return EXIT_OK;
	case OPT_FROM:
		return vdi_users_add(&b->db.from, optarg) ? EXIT_OK : EXIT_USAGE;
	case OPT_DEVICE:
		return add_device(b, optarg);
	case OPT_INSTANCE:
		b->db.instance = optarg;
		return EXIT_OK;
	case 't':
		if (vdi_parse_seconds(optarg, &b->db.timeout_ms))
			return EXIT_OK;
		return vdi_invalid("--timeout", optarg, "a number of seconds");
	default:	/* 'q' */
		b->db.quiet = true;
		return EXIT_OK;
	}
}

static int wrong(const char *text)
{
	vdi_error("%s; vdi-mssql --help lists the options", text);
	return EXIT_USAGE;
}

static int check(const struct bridge *b)
{
	if (!b->statement && !b->database)
		return wrong("--database or --statement is required");
	if (b->statement && (b->database || b->with || b->log))
		return wrong("--statement cannot be used with --database, --log and --with");
	if (b->statement && !strstr(b->statement, "%D"))
		return wrong("--statement has to contain %D, for the devices");
	return EXIT_OK;
}

/* The verb and the name of the set. */
static int take_words(struct bridge *b, char **words, int count)
{
	if (count != 2)
		return wrong("backup or restore, and exactly one NAME, are required");
	b->backup = !strcmp(words[0], "backup");
	if (!b->backup && strcmp(words[0], "restore"))
		return wrong("the first word must be backup or restore");
	b->db.verb = words[0];
	b->db.names.set = words[1];
	return EXIT_OK;
}

int options_parse(struct bridge *b, int argc, char **argv)
{
	int c, rc;

	if (!vdi_split_command(&argc, argv, &b->command)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	while ((c = getopt_long(argc, argv, "t:qhV", options, NULL)) != -1) {
		if (c == 'h' || c == 'V') {
			if (c == 'h')
				fputs(usage, stdout);
			else
				printf("vdi-mssql %s\n", vdi_version());
			exit(EXIT_OK);
		}
		if (c == '?') {
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
		rc = take(b, c);
		if (rc != EXIT_OK)
			return rc;
	}
	rc = take_words(b, argv + optind, argc - optind);
	return rc == EXIT_OK ? check(b) : rc;
}
