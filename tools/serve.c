// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve.c - vdi serve: be the database, for any stream of bytes
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "database.h"

static void usage(FILE *out)
{
	fputs("usage: vdi serve backup NAME [OPTIONS] < STREAM\n"
	      "       vdi serve restore NAME [OPTIONS] > STREAM\n\n"
	      "Plays the database's part on the virtual device set NAME: writes standard input\n"
	      "to its devices, or puts their contents together on standard output.\n\n"
	      "  -n, --devices N             fail unless the set has N devices\n"
	      "      --device NAME           name of the next device; may be repeated. The\n"
	      "                              first must be the set's; default NAME, NAME1, ...\n"
	      "  -b, --block-size BYTES      512 to 64K, a power of two (default 4K)\n"
	      "  -x, --max-transfer-size BYTES  64K to 4M, a multiple of 64K (default 1M)\n"
	      "  -c, --buffer-count N        number of buffers (default 4 per device)\n"
	      "  -t, --timeout SEC           how long to wait for the set (default 60, 0 = for ever)\n"
	      "  -q, --quiet                 no progress, no summary\n"
	      "  -h, --help                  this text\n", out);
}

static int bad(const char *what, const char *argument)
{
	vdi_error("%s, not '%s'", what, argument);
	return EXIT_USAGE;
}

static bool power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

/* Sets what the option says; 0 or the exit code. */
static int take_option(struct database *db, int c)
{
	uint64_t value;

	switch (c) {
	case 'n':
		if (!vdi_parse_size(optarg, 1, VDI_MAX_DEVICES, &value))
			return bad("the number of devices is 1 to 64", optarg);
		db->count = value;
		return 0;
	case 'D':
		if (!vdi_names_add(&db->names, optarg))
			return bad("at most 64 devices can be named", optarg);
		return 0;
	case 'b':
		if (!vdi_parse_size(optarg, 512, 65536, &value) ||
		    !power_of_two(value))
			return bad("the block size is a power of two from 512 to 64K",
				   optarg);
		db->block_size = value;
		return 0;
	case 'x':
		if (!vdi_parse_size(optarg, 65536, 4 << 20, &value) ||
		    value % 65536)
			return bad("the transfer size is a multiple of 64K, up to 4M",
				   optarg);
		db->max_transfer = value;
		return 0;
	case 'c':
		if (!vdi_parse_size(optarg, 1, 65536, &value))
			return bad("the number of buffers is 1 to 65536",
				   optarg);
		db->buffer_count = value;
		return 0;
	case 't':
		if (!vdi_parse_seconds(optarg, &db->timeout_ms))
			return bad("the time-out is a number of seconds",
				   optarg);
		return 0;
	case 'q':
		db->quiet = true;
		return 0;
	case 'h':
		usage(stdout);
		exit(EXIT_OK);
	default:
		usage(stderr);
		return EXIT_USAGE;
	}
}

static int parse(struct database *db, int argc, char **argv)
{
	static const struct option options[] = {
		{ "devices", required_argument, NULL, 'n' },
		{ "device", required_argument, NULL, 'D' },
		{ "block-size", required_argument, NULL, 'b' },
		{ "max-transfer-size", required_argument, NULL, 'x' },
		{ "buffer-count", required_argument, NULL, 'c' },
		{ "timeout", required_argument, NULL, 't' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	int c, rc;

	while ((c = getopt_long(argc, argv, "n:b:x:c:t:qh", options,
				NULL)) != -1) {
		rc = take_option(db, c);
		if (rc)
			return rc;
	}
	if (optind != argc - 1) {
		vdi_error("exactly one NAME is needed");
		usage(stderr);
		return EXIT_USAGE;
	}
	db->names.set = argv[optind];
	if (db->max_transfer <= db->block_size) {
		vdi_error("the transfer size must be larger than the block size");
		return EXIT_USAGE;
	}
	if (db->names.given && strcmp(db->names.given_name[0],
				      db->names.set)) {
		vdi_error("the first device must have the name of the set, '%s'",
			  db->names.set);
		return EXIT_USAGE;
	}
	return EXIT_OK;
}

static void summary(const struct database *db, double seconds)
{
	char bytes[32], rate[32], took[32];

	vdi_format_bytes(db->bytes, bytes, sizeof(bytes));
	vdi_format_bytes(seconds > 0 ? db->bytes / seconds : 0, rate,
			 sizeof(rate));
	vdi_format_duration(seconds, took, sizeof(took));
	fprintf(stderr, "vdi: %s of '%s' done: %u device%s, %s in %s, %s/s\n",
		db->verb, db->names.set, db->count, db->count == 1 ? "" : "s",
		bytes, took, rate);
}

int vdi_serve_main(int argc, char **argv)
{
	static struct database db = {
		.block_size = 4096,
		.max_transfer = 1 << 20,
		.timeout_ms = 60 * 1000,
	};
	bool (*serve)(struct database *db) = NULL;
	char text[256];
	double started;
	int rc;

	if (argc > 1 && !strcmp(argv[1], "backup"))
		serve = serve_backup;
	else if (argc > 1 && !strcmp(argv[1], "restore"))
		serve = serve_restore;
	if (!serve) {
		bool help = argc > 1 && (!strcmp(argv[1], "--help") ||
					 !strcmp(argv[1], "-h"));

		usage(help ? stdout : stderr);
		return help ? EXIT_OK : EXIT_USAGE;
	}
	db.verb = argv[1];
	rc = parse(&db, argc - 1, argv + 1);
	if (rc != EXIT_OK)
		return rc;
	if (serve == serve_restore && isatty(STDOUT_FILENO)) {
		vdi_error("the stream goes to standard output, which is a terminal; use > FILE");
		return EXIT_USAGE;
	}
	if (vdi_load_module(text, sizeof(text)) != NOERROR) {
		vdi_error("%s", text);
		return EXIT_NO_MODULE;
	}

	vdi_catch_signals();
	started = vdi_now();
	serve(&db);
	rc = db_end(&db);
	if (rc == EXIT_OK && !db.quiet)
		summary(&db, vdi_now() - started);
	return rc;
}
