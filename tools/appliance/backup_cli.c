// SPDX-License-Identifier: GPL-2.0-only
/*
 * backup_cli.c - the options of vdi backup
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "backup.h"

#define MIN_CAPACITY	(64 << 10)	/* the largest block */
#define MAX_ZONE	(16 << 20)

static const char usage[] =
	"usage: vdi backup NAME --to DIR [--devices N] [OPTIONS] [-- COMMAND [ARGUMENTS]]\n"
	"       vdi backup NAME --into ROOT [--devices N] [OPTIONS] [-- COMMAND [ARGUMENTS]]\n"
	"       vdi backup NAME --to-command CMD [--devices N] [OPTIONS] [-- COMMAND ...]\n\n"
	"Creates the virtual device set NAME, waits for a database to write its backup\n"
	"to the set, and stores the backup in DIR: the files of each device and a manifest.\n"
	"With COMMAND, the database is this command, which writes the stream to its standard\n"
	"output; if it fails, no backup is made.\n\n"
	"      --to DIR          new directory for the backup, or an address\n"
	"                        s3://BUCKET/PREFIX in an object store, or - for the\n"
	"                        standard output\n"
	"      --into ROOT       new directory ROOT/NAME-YYYYMMDDTHHMMSSZ, of the time in UTC;\n"
	"                        ROOT may be an address s3://BUCKET/PREFIX\n"
	"      --based-on BACKUP  the backup is an increment of BACKUP, the name of one in ROOT, or\n"
	"                        latest; vdi expire keeps BACKUP as long as this one\n"
	"      --to-command CMD  run CMD for each device, with the data as its standard input\n"
	"  -n, --devices N       number of devices, 1 to 64 (default 1)\n"
	"  -p, --profile KIND    kind of the devices: pipe, disk or tape (default pipe)\n"
	"      --removable       media can be changed; implied by tape\n"
	"      --capacity SIZE   data per medium, at least 64K (default: no limit)\n"
	"      --eom-warning SIZE  warn the database this much before the end of a medium\n"
	"                        (default: an eighth of the capacity, at most 16M)\n"
	"      --soft-filemarks SIZE  write filemarks on tapes as blocks of this size\n"
	"      --compress CODEC  compress the data: zstd, zstd:LEVEL (1 to 22, default 3), lz4,\n"
	"                        lz4:LEVEL (1 to 12, default 1), or none, the default\n"
	"      --compress-threads N  threads that compress, 1 to 256 (default: the number of\n"
	"                        processors)\n"
	"      --filter CMD      store what CMD makes of the (compressed) data of each device;\n"
	"                        CMD is run with the shell, from input to output\n"
	"      --expected-size SIZE  about how much the database will write, for percent and time\n"
	"                        left in the progress\n"
	"      --discard         let the database discard data that it has written\n"
	"      --allow-empty     accept a COMMAND that writes no data\n"
	"      --snapshot-command CMD  back up by snapshot, which CMD takes\n"
	"      --snapshot        ask the database to announce the snapshot\n"
	"      --prepare-command CMD  run CMD at the announcement; implies --snapshot\n"
	"      --uploads N       s3: chunks of a device that are stored at a time (default 2)\n"
	"      --chunk-size SIZE  s3: size of a chunk, 64K to 1G (default 16M)\n"
	"      --store-timeout SEC  s3: time to repeat a failed request (default 300)\n"
	APPLIANCE_HELP;

enum {
	OPT_TO = 256, OPT_INTO, OPT_REMOVABLE, OPT_CAPACITY, OPT_ZONE, OPT_SOFT,
	OPT_DISCARD, OPT_SNAPSHOT, OPT_SNAPSHOT_COMMAND, OPT_PREPARE_COMMAND,
	OPT_ALLOW_EMPTY, OPT_UPLOADS, OPT_CHUNK_SIZE, OPT_STORE_TIMEOUT,
	OPT_COMPRESS, OPT_COMPRESS_THREADS, OPT_FILTER, OPT_TO_COMMAND, OPT_BASED_ON,
	OPT_EXPECTED
};

static const struct option options[] = {
	{ "to", required_argument, NULL, OPT_TO },
	{ "into", required_argument, NULL, OPT_INTO },
	{ "based-on", required_argument, NULL, OPT_BASED_ON },
	{ "to-command", required_argument, NULL, OPT_TO_COMMAND },
	{ "devices", required_argument, NULL, 'n' },
	{ "profile", required_argument, NULL, 'p' },
	{ "removable", no_argument, NULL, OPT_REMOVABLE },
	{ "capacity", required_argument, NULL, OPT_CAPACITY },
	{ "eom-warning", required_argument, NULL, OPT_ZONE },
	{ "soft-filemarks", required_argument, NULL, OPT_SOFT },
	{ "expected-size", required_argument, NULL, OPT_EXPECTED },
	{ "discard", no_argument, NULL, OPT_DISCARD },
	{ "allow-empty", no_argument, NULL, OPT_ALLOW_EMPTY },
	{ "snapshot", no_argument, NULL, OPT_SNAPSHOT },
	{ "snapshot-command", required_argument, NULL, OPT_SNAPSHOT_COMMAND },
	{ "prepare-command", required_argument, NULL, OPT_PREPARE_COMMAND },
	{ "uploads", required_argument, NULL, OPT_UPLOADS },
	{ "chunk-size", required_argument, NULL, OPT_CHUNK_SIZE },
	{ "store-timeout", required_argument, NULL, OPT_STORE_TIMEOUT },
	{ "compress", required_argument, NULL, OPT_COMPRESS },
	{ "compress-threads", required_argument, NULL, OPT_COMPRESS_THREADS },
	{ "filter", required_argument, NULL, OPT_FILTER },
	APPLIANCE_OPTIONS
};

static int take_number(struct appliance *a, int c, const char *argument)
{
	struct backup *b = a->job;
	uint64_t number;

	switch (c) {
	case OPT_COMPRESS_THREADS:
		return stages_cli_threads(b, argument);
	case OPT_UPLOADS:
		return chunk_cli_transfers(a, "--uploads", argument);
	case OPT_CHUNK_SIZE:
		return chunk_cli_size(a, argument);
	case OPT_STORE_TIMEOUT:
		return chunk_cli_timeout(a, argument);
	case 'n':
		if (!vdi_parse_size(argument, 1, VDI_MAX_DEVICES, &number))
			return vdi_invalid("--devices", argument, "1 to 64");
		a->count = number;
		return EXIT_OK;
	case OPT_CAPACITY:
		if (!vdi_parse_size(argument, MIN_CAPACITY, INT64_MAX,
				    &b->capacity))
			return vdi_invalid("--capacity", argument,
					   "64K or more");
		return EXIT_OK;
	case OPT_EXPECTED:
		if (!vdi_parse_size(argument, 1, INT64_MAX, &a->total))
			return vdi_invalid("--expected-size", argument,
					   "a number of bytes, as in 20G");
		a->estimated = true;
		return EXIT_OK;
	case OPT_ZONE:
		if (!vdi_parse_size(argument, 0, UINT32_MAX, &number))
			return vdi_invalid("--eom-warning", argument,
					   "less than 4G");
		a->config.EOMWarningSize = number;
		b->zone_given = true;
		return EXIT_OK;
	default:	/* OPT_SOFT */
		if (!vdi_parse_size(argument, 512, 65536, &number) ||
		    number % 512)
			return vdi_invalid("--soft-filemarks", argument,
					   "a multiple of 512, up to 64K");
		a->config.softFileMarkBlockSize = number;
		return EXIT_OK;
	}
}

static int take(struct appliance *a, int c, const char *argument)
{
	struct backup *b = a->job;

	switch (c) {
	case OPT_TO:
		b->to = argument;
		return EXIT_OK;
	case OPT_INTO:
		b->into = argument;
		return EXIT_OK;
	case OPT_BASED_ON:
		b->based_on = argument;
		return *argument && *argument != '.' && !strchr(argument, '/') ? EXIT_OK :
		       vdi_invalid("--based-on", argument, "the name of a backup in ROOT, without its directory, or 'latest'");
	case OPT_TO_COMMAND:
		a->pipeline.command = argument;
		return EXIT_OK;
	case OPT_COMPRESS:
		return stages_cli_compress(b, argument);
	case OPT_FILTER:
		return stages_cli_filter(b, argument);
	case 'p':
		if (!medium_profile_parse(argument, &b->profile))
			return vdi_invalid("--profile", argument,
					   "pipe, disk or tape");
		return EXIT_OK;
	case OPT_REMOVABLE:
		b->removable = true;
		return EXIT_OK;
	case OPT_DISCARD:
		a->config.features |= VDF_Discard;
		return EXIT_OK;
	case OPT_ALLOW_EMPTY:
		a->partner.allow_empty = true;
		return EXIT_OK;
	case OPT_SNAPSHOT:
		a->config.features |= VDF_SnapshotPrepare;
		return EXIT_OK;
	case OPT_SNAPSHOT_COMMAND:
		b->snapshot_command = argument;
		return EXIT_OK;
	case OPT_PREPARE_COMMAND:
		b->prepare_command = argument;
		a->config.features |= VDF_SnapshotPrepare;
		return EXIT_OK;
	default:
		return take_number(a, c, argument);
	}
}

static int wrong(const char *text)
{
	vdi_error("%s", text);
	return EXIT_USAGE;
}

static int check_media(struct appliance *a)
{
	struct backup *b = a->job;

	if (b->capacity && !b->removable && b->profile != MEDIUM_TAPE)
		return wrong("--capacity requires --removable or --profile tape");
	if (b->zone_given && !b->capacity)
		return wrong("--eom-warning requires --capacity");
	if (a->config.EOMWarningSize && a->config.EOMWarningSize >= b->capacity)
		return wrong("--eom-warning must be smaller than --capacity");
	if (a->config.softFileMarkBlockSize && b->profile != MEDIUM_TAPE)
		return wrong("--soft-filemarks requires --profile tape");
	return EXIT_OK;
}

static int check_command(struct appliance *a)
{
	struct backup *b = a->job;

	if (a->partner.allow_empty && !a->partner.command)
		return wrong("--allow-empty requires '-- COMMAND'");
	if (a->partner.command && b->snapshot_command)
		return wrong("'-- COMMAND' cannot be used with --snapshot-command; run vdi serve");
	return EXIT_OK;
}

static int check_snapshot(struct appliance *a)
{
	struct backup *b = a->job;

	if (!b->snapshot_command)
		return a->config.features & VDF_SnapshotPrepare ?
			wrong("--snapshot and --prepare-command require --snapshot-command") :
			EXIT_OK;
	if (b->profile != MEDIUM_PIPE || b->removable)
		return wrong("--snapshot-command requires --profile pipe without --removable");
	if (a->count != 1)
		return wrong("--snapshot-command requires a single device");
	return EXIT_OK;
}

static int check_pipeline(struct appliance *a)
{
	struct backup *b = a->job;

	if (b->to && !strcmp(b->to, "-")) {
		a->pipeline.standard = true;
		b->to = NULL;
	}
	if (!pipeline_used(a))
		return EXIT_OK;
	if (b->profile != MEDIUM_PIPE || b->removable)
		return wrong("--to-command and --to - require --profile pipe without --removable");
	if (a->config.features & VDF_Discard)
		return wrong("--discard cannot be used with --to-command and --to -");
	if (b->snapshot_command)
		return wrong("--snapshot-command cannot be used with --to-command and --to -");
	return pipeline_check(a);
}

/* Open the store, if the backup is to be in one; with --into, that of ROOT. */
static int check_store(struct appliance *a)
{
	char why[CHUNK_WHY_SIZE];
	struct backup *b = a->job;
	const char *where = b->to ? : b->into ? : "--to-command";
	int rc = chunk_cli_check(a, where);

	if (rc != EXIT_OK || !chunk_is_address(where))
		return rc;
	if (b->profile != MEDIUM_PIPE || b->removable)
		return wrong("s3://... requires --profile pipe without --removable");
	if (a->config.features & VDF_Discard)
		return wrong("--discard cannot be used with s3://...");
	b->chunks = chunk_open(where, &a->chunks, why, sizeof(why));
	if (b->chunks)
		return EXIT_OK;
	vdi_error("%s", why);
	return EXIT_USAGE;
}

static void set_features(struct appliance *a)
{
	struct backup *b = a->job;
	uint64_t zone = b->capacity / 8;

	a->config.features |= VDF_RequestComplete |
		medium_profile_features(b->profile, b->removable);
	if (b->zone_given)
		return;
	if (zone > MAX_ZONE)
		zone = MAX_ZONE;
	a->config.EOMWarningSize = zone - zone % 512;
}

int backup_parse(struct appliance *a, int argc, char **argv)
{
	static const struct appliance_cli cli = {
		.usage = usage,
		.options = options,
		.short_options = "n:p:" APPLIANCE_SHORT,
		.take = take,
	};
	struct backup *b = a->job;
	int rc = appliance_parse(a, argc, argv, &cli);

	if (rc == EXIT_OK && !!b->to + !!b->into + !!a->pipeline.command != 1)
		rc = wrong("either --to DIR, --into ROOT or --to-command CMD is required");
	if (rc == EXIT_OK && b->based_on && !b->into)
		rc = wrong("--based-on requires --into ROOT, where that backup is as well");
	if (rc == EXIT_OK)
		rc = check_media(a);
	if (rc == EXIT_OK)
		rc = check_snapshot(a);
	if (rc == EXIT_OK)
		rc = check_command(a);
	if (rc == EXIT_OK)
		rc = check_pipeline(a);
	if (rc == EXIT_OK)
		rc = stages_cli_check(a);
	if (rc != EXIT_OK)
		return rc;
	set_features(a);
	rc = appliance_check(a);
	return rc == EXIT_OK ? check_store(a) : rc;
}
