// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve.c - vdi serve: act as the database, for any stream of bytes
 */
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "layout.h"
#include "serve.h"
#include "serve_events.h"
#include "vdi.h"

static const struct layout *const layouts[] = {
	&layout_pipe, &layout_disk, &layout_tape, NULL
};

/* Options that have no short form. */
enum {
	OPT_DEVICE = 256, OPT_INSTANCE, OPT_PROFILE, OPT_READ_BACK,
	OPT_SNAPSHOT, OPT_FREEZE, OPT_THAW, OPT_FREEZE_LIMIT, OPT_FROM,
	OPT_ALLOW_EMPTY, OPT_REPORT, OPT_JSON
};

struct serve {
	struct database db;
	struct serve_stream stream;
	struct freeze_options freeze;
	struct serve_events events;
	bool limit_given;
	bool backup;
};

static void usage(FILE *out)
{
	fputs("usage: vdi serve backup NAME [OPTIONS] < STREAM\n"
	      "       vdi serve backup NAME [OPTIONS] -- COMMAND [ARGUMENTS]\n"
	      "       vdi serve restore NAME [OPTIONS] > STREAM\n"
	      "       vdi serve restore NAME [OPTIONS] -- COMMAND [ARGUMENTS]\n\n"
	      "Acts as the database on the virtual device set NAME: writes standard input, or\n"
	      "the output of COMMAND, to the devices, or reassembles their contents on standard\n"
	      "output or as the input of COMMAND. A COMMAND that fails makes the backup or\n"
	      "restore fail.\n\n"
	      "      --instance NAME         instance of the set (default: the value of\n"
	      "                              _VIRTUAL_SERVER_NAME_, or the default instance)\n"
	      "      --from USER             join a set that USER (name or number) created,\n"
	      "                              instead of you or root. May be repeated or a list\n"
	      "                              with commas; the first user with a set is used\n"
	      "  -n, --devices N             fail unless the set has N devices\n"
	      "      --device NAME           name of the next device; may be repeated. The first\n"
	      "                              is the name of the set (default NAME, NAME1, ...)\n"
	      "      --profile KIND          fail unless the devices are of this kind: pipe,\n"
	      "                              disk, tape or any (default any)\n"
	      "  -b, --block-size BYTES      512 to 64K, a power of two (default 4K)\n"
	      "  -x, --max-transfer-size BYTES  64K to 4M, a multiple of 64K (default 1M)\n"
	      "  -c, --buffer-count N        number of buffers (default 4 per device)\n"
	      "  -t, --timeout SEC           time to wait for the set (default 60, 0 = no limit)\n"
	      "      --json[=FILE]           progress and outcome as JSON lines on standard output,\n"
	      "                              or in FILE, which a restore requires; see\n"
	      "                              vdi-events(5)\n"
	      "  -q, --quiet                 no progress, no summary\n"
	      "  -h, --help                  show this help\n\n"
	      "backup only:\n"
	      "      --allow-empty           accept a stream of 0 bytes\n"
	      "      --read-back             read everything back and compare it before the\n"
	      "                              backup is completed; disks and tapes only\n\n"
	      "snapshots, on a single device like a pipe:\n"
	      "      --snapshot              backup: freeze the database, write standard input to\n"
	      "                              the device, let the client take its snapshot, thaw;\n"
	      "                              restore: read that description to standard output,\n"
	      "                              then let the client restore the files\n"
	      "      --freeze CMD            shell command that suspends all writing\n"
	      "      --thaw CMD              shell command that resumes writing. It always runs\n"
	      "                              once the command of --freeze was started\n"
	      "      --freeze-limit SEC      abort and thaw after this time (default 60, 0 = never)\n",
	      out);
}

static bool power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

static int take_profile(struct database *db)
{
	const struct layout *const *p;

	db->wanted = NULL;
	if (!strcmp(optarg, "any"))
		return 0;
	for (p = layouts; *p; p++) {
		if (!strcmp(optarg, (*p)->name)) {
			db->wanted = *p;
			return 0;
		}
	}
	return vdi_invalid("--profile", optarg, "pipe, disk, tape or any");
}

/* Options for snapshots; 0 or an exit code. */
static int take_snapshot_option(struct serve *serve, int c)
{
	switch (c) {
	case OPT_FREEZE:
		serve->freeze.freeze = optarg;
		return 0;
	case OPT_THAW:
		serve->freeze.thaw = optarg;
		return 0;
	case OPT_FREEZE_LIMIT:
		serve->limit_given = true;
		if (!vdi_parse_seconds(optarg, &serve->freeze.limit_ms))
			return vdi_invalid("--freeze-limit", optarg,
					   "a number of seconds");
		return 0;
	default:
		usage(stderr);
		return EXIT_USAGE;
	}
}

static int take_size(struct database *db, int c)
{
	uint64_t value;

	switch (c) {
	case 'b':
		if (!vdi_parse_size(optarg, 512, 65536, &value) ||
		    !power_of_two(value))
			return vdi_invalid("--block-size", optarg,
					   "a power of two from 512 to 64K");
		db->block_size = value;
		return 0;
	case 'x':
		if (!vdi_parse_size(optarg, 65536, 4 << 20, &value) ||
		    value % 65536)
			return vdi_invalid("--max-transfer-size", optarg,
					   "a multiple of 64K, up to 4M");
		db->max_transfer = value;
		return 0;
	default:	/* 'c' */
		if (!vdi_parse_size(optarg, 1, 65536, &value))
			return vdi_invalid("--buffer-count", optarg,
					   "1 to 65536");
		db->buffer_count = value;
		return 0;
	}
}

/*
 * For vdi backup and vdi restore, which start this program for their command and
 * print one message for both sides.
 */
static int take_report_fd(struct database *db)
{
	uint64_t value;

	if (!vdi_parse_size(optarg, 3, INT_MAX, &value) ||
	    fcntl(value, F_SETFD, FD_CLOEXEC))
		return vdi_invalid("--report-fd", optarg, "an open descriptor");
	db->report_fd = value;
	return 0;
}

/* Parse an option; 0 or an exit code. */
static int take_option(struct serve *serve, int c)
{
	struct database *db = &serve->db;
	uint64_t value;

	switch (c) {
	case OPT_INSTANCE:
		if (!*optarg)
			return vdi_invalid("--instance", optarg, "a name");
		db->instance = optarg;
		return 0;
	case OPT_FROM:
		return vdi_users_add(&db->from, optarg) ? 0 : EXIT_USAGE;
	case OPT_PROFILE:
		return take_profile(db);
	case OPT_READ_BACK:
		db->read_back = true;
		return 0;
	case OPT_ALLOW_EMPTY:
		serve->stream.allow_empty = true;
		return 0;
	case OPT_REPORT:
		return take_report_fd(db);
	case OPT_JSON:
		serve->events.json = optarg ? : "";
		if (optarg && !*optarg)
			return vdi_invalid("--json", "", "the name of a file");
		return 0;
	case OPT_SNAPSHOT:
		db->snapshot = true;
		return 0;
	case 'n':
		if (!vdi_parse_size(optarg, 1, VDI_MAX_DEVICES, &value))
			return vdi_invalid("--devices", optarg, "1 to 64");
		db->count = value;
		return 0;
	case OPT_DEVICE:
		if (vdi_names_add(&db->names, optarg))
			return 0;
		vdi_error("too many devices: at most %d can be named",
			  VDI_MAX_DEVICES);
		return EXIT_USAGE;
	case 'b':
	case 'x':
	case 'c':
		return take_size(db, c);
	case 't':
		if (!vdi_parse_seconds(optarg, &db->timeout_ms))
			return vdi_invalid("--timeout", optarg,
					   "a number of seconds");
		return 0;
	case 'q':
		db->quiet = true;
		return 0;
	case 'h':
		usage(stdout);
		exit(EXIT_OK);
	default:
		return take_snapshot_option(serve, c);
	}
}

/* Check combinations of options; 0 or an exit code. */
static int check_options(struct serve *serve)
{
	const struct database *db = &serve->db;
	const char *wrong = NULL;

	if (db->max_transfer <= db->block_size)
		wrong = "--max-transfer-size must be larger than --block-size";
	else if (db->read_back && !serve->backup)
		wrong = "--read-back is for backups; a restore checks everything it reads";
	else if (serve->stream.allow_empty && !serve->backup)
		wrong = "--allow-empty is for backups";
	else if (db->read_back && db->snapshot)
		wrong = "--read-back cannot be used with --snapshot";
	else if (db->read_back && db->wanted == &layout_pipe)
		wrong = "--read-back cannot be used with --profile pipe";
	else if (db->snapshot && db->wanted && db->wanted != &layout_pipe)
		wrong = "--snapshot requires --profile pipe";
	else if ((serve->freeze.freeze || serve->freeze.thaw ||
		  serve->limit_given) && !(db->snapshot && serve->backup))
		wrong = "--freeze, --thaw and --freeze-limit require backup --snapshot";
	else if (serve->events.json && !*serve->events.json && !serve->backup)
		wrong = "standard output is that of the stream or command: use --json=FILE";
	else if (serve->freeze.freeze && !serve->freeze.thaw)
		wrong = "--freeze without --thaw would leave the database frozen";
	if (!wrong)
		return EXIT_OK;
	vdi_error("%s", wrong);
	return EXIT_USAGE;
}

static int parse(struct serve *serve, int argc, char **argv)
{
	struct database *db = &serve->db;
	static const struct option options[] = {
		{ "devices", required_argument, NULL, 'n' },
		{ "device", required_argument, NULL, OPT_DEVICE },
		{ "instance", required_argument, NULL, OPT_INSTANCE },
		{ "from", required_argument, NULL, OPT_FROM },
		{ "profile", required_argument, NULL, OPT_PROFILE },
		{ "read-back", no_argument, NULL, OPT_READ_BACK },
		/* the name of --read-back in earlier versions */
		{ "verify", no_argument, NULL, OPT_READ_BACK },
		{ "snapshot", no_argument, NULL, OPT_SNAPSHOT },
		{ "freeze", required_argument, NULL, OPT_FREEZE },
		{ "thaw", required_argument, NULL, OPT_THAW },
		{ "allow-empty", no_argument, NULL, OPT_ALLOW_EMPTY },
		{ "report-fd", required_argument, NULL, OPT_REPORT },
		{ "json", optional_argument, NULL, OPT_JSON },
		{ "freeze-limit", required_argument, NULL, OPT_FREEZE_LIMIT },
		{ "block-size", required_argument, NULL, 'b' },
		{ "max-transfer-size", required_argument, NULL, 'x' },
		{ "buffer-count", required_argument, NULL, 'c' },
		{ "timeout", required_argument, NULL, 't' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	int c, rc;

	if (!vdi_split_command(&argc, argv, &serve->stream.argv)) {
		usage(stderr);
		return EXIT_USAGE;
	}
	while ((c = getopt_long(argc, argv, "n:b:x:c:t:qh", options,
				NULL)) != -1) {
		rc = take_option(serve, c);
		if (rc)
			return rc;
	}
	if (optind != argc - 1) {
		vdi_error("exactly one NAME is required");
		usage(stderr);
		return EXIT_USAGE;
	}
	db->names.set = argv[optind];
	if (db->names.given && strcmp(db->names.given_name[0],
				      db->names.set)) {
		vdi_error("the first --device must be the name of the set, '%s'",
			  db->names.set);
		return EXIT_USAGE;
	}
	/* one transfer at a time: none is in flight during the snapshot */
	if (db->snapshot)
		db->buffer_count = 1;
	/* the data is in the snapshot, and its description may be empty */
	if (db->snapshot && serve->backup)
		serve->stream.allow_empty = true;
	return check_options(serve);
}

static bool run(struct serve *serve)
{
	struct database *db = &serve->db;

	if (db->snapshot && serve->backup)
		return serve_backup_snapshot(db, &serve->freeze);
	if (db->snapshot)
		return serve_restore_snapshot(db);
	return serve->backup ? serve_backup(db) : serve_restore(db);
}

static void summary(const struct database *db, double seconds)
{
	char text[160];

	vdi_format_transfer(db->count, "", db->moved, seconds, text,
			    sizeof(text));
	fprintf(stderr, "vdi: %s of '%s' done: %s\n", db->verb, db->names.set,
		text);
}

/* The set, from joining it to closing it. Returns the exit code. */
static int serve_set(struct serve *serve)
{
	struct database *db = &serve->db;
	char text[256];
	int rc;

	if (vdi_load_module(text, sizeof(text)) != NOERROR) {
		vdi_error("%s", text);
		return EXIT_NO_MODULE;
	}
	run(serve);
	serve_events_last_sample(db);
	serve_close_stream(db);
	rc = db_end(db);
	if (rc == EXIT_OK && !db->quiet)
		summary(db, vdi_now() - db->started);
	return rc;
}

int vdi_serve_main(int argc, char **argv)
{
	static struct serve serve = {
		.db = {
			.layouts = layouts,
			.block_size = 4096,
			.max_transfer = 1 << 20,
			.timeout_ms = 60 * 1000,
		},
		.stream.fd = -1,
		.freeze.limit_ms = 60 * 1000,
	};
	struct database *db = &serve.db;
	int rc;

	serve.backup = argc > 1 && !strcmp(argv[1], "backup");
	if (!serve.backup && (argc < 2 || strcmp(argv[1], "restore"))) {
		bool help = argc > 1 && (!strcmp(argv[1], "--help") ||
					 !strcmp(argv[1], "-h"));

		usage(help ? stdout : stderr);
		return help ? EXIT_OK : EXIT_USAGE;
	}
	db->stream = &serve.stream;
	db->verb = serve.backup ? "backup" : "restore";
	argv[1] = argv[0];
	/* the same default as in vdi backup */
	db->instance = vdi_default_instance();
	rc = parse(&serve, argc - 1, argv + 1);
	if (rc != EXIT_OK)
		return rc;
	if (!serve.backup && !serve.stream.argv && isatty(STDOUT_FILENO)) {
		vdi_error("standard output is a terminal: redirect the stream with > FILE");
		return EXIT_USAGE;
	}
	vdi_catch_signals();
	rc = serve_events_begin(&serve.events, db);
	if (rc != EXIT_OK)
		return rc;
	rc = serve_set(&serve);
	serve_events_end(db, rc, db->started ? vdi_now() - db->started : 0);
	return rc;
}
