// SPDX-License-Identifier: GPL-2.0-only
/*
 * restore.c - vdi restore: send a stored backup to the database
 *
 * Pipes are checked against the manifest while they are read. The last byte of a
 * damaged file is never handed over; the set is aborted instead, so that the
 * database cannot mistake the restore for a success. Disks and tapes may be read in
 * any order, so they are verified before the set is created. The checksums of the
 * blocks of a tape are checked again by every read.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance.h"
#include "hook.h"
#include "catalog/place.h"
#include "catalog/verify.h"
#include "vdi.h"

struct restore {
	const char *from;
	const char *set;	/* NULL = of the name of the created set */
	char *latest_path;
	bool latest;
	const char *mount_command;
	const char *unfilter;	/* undoes the filter of the backup */
	bool no_verify;
	bool devices_given;
	bool mounted;
	char *hook_path;
	struct source source;
	struct drive drive[VDI_MAX_DEVICES];
};

static bool right_direction(struct appliance *a)
{
	if ((a->config.features & VDF_ReadMedia) &&
	    !(a->config.features & VDF_WriteMedia))
		return true;
	appliance_fail(a, EXIT_FAILED,
		       "the database wants to back up, not to restore");
	return false;
}

/*
 * The manifest determines the media, and the database how they are accessed. A
 * disk is read like a pipe if the database does not use positions.
 */
static bool fit_config(struct appliance *a, struct drive_config *config)
{
	config->features = a->config.features;
	if (config->profile == MEDIUM_DISK &&
	    !(config->features & VDF_RandomAccess))
		config->profile = MEDIUM_PIPE;
	if (config->profile != MEDIUM_TAPE ||
	    config->block_size == a->config.blockSize)
		return true;
	appliance_fail(a, EXIT_FAILED,
		       "the tapes have blocks of %u bytes, but the database reads blocks of %u",
		       config->block_size, a->config.blockSize);
	return false;
}

static bool open_commands(struct appliance *a)
{
	struct restore *r = a->job;
	unsigned int i;

	for (i = 0; i < a->count; i++) {
		struct drive_config config = {
			.profile = MEDIUM_PIPE,
			.device = i,
			.features = a->config.features,
		};

		if (!pipeline_open(a, i, &config))
			return false;
		a->worker[i].drive = &r->drive[i];
		drive_open(&r->drive[i], &config, -1, NULL);
	}
	return true;
}

static bool restore_configured(struct appliance *a)
{
	struct restore *r = a->job;
	unsigned int i;

	if (!right_direction(a))
		return false;
	if (pipeline_used(a))
		return open_commands(a);
	for (i = 0; i < a->count; i++) {
		struct drive *drive = &r->drive[i];
		struct drive_config config;
		struct medium_list media;

		source_drive_config(&r->source, i, &config);
		if (!fit_config(a, &config))
			return false;
		config.stop = appliance_stopped;
		config.stop_context = a;
		appliance_drive_options(a, &config);
		appliance_chunks(a, r->source.chunks, &config);
		a->worker[i].drive = drive;
		if (!source_media(&r->source, i, &media)) {
			appliance_fail(a, EXIT_FAILED, "out of memory");
			return false;
		}
		if (drive_open(drive, &config, r->source.dir, &media))
			continue;
		if (appliance_interrupted(a))
			return false;
		appliance_fail(a, drive->trouble == DRIVE_DAMAGED ?
			       EXIT_DAMAGED : EXIT_FAILED, "%s", drive->why);
		return false;
	}
	return true;
}

static void mount_snapshot(struct worker *worker, struct outcome *outcome)
{
	struct restore *r = worker->appliance->job;

	if (hook_run(worker, VDC_MountSnapshot, r->mount_command, r->hook_path))
		r->mounted = true;
	else
		outcome->code = ERROR_IO_DEVICE;
}

static bool restore_may_start(struct worker *worker,
			      const struct VDC_Command *cmd)
{
	(void)worker;
	(void)cmd;
	return true;
}

static bool restore_done(struct worker *worker, const struct VDC_Command *cmd,
			 const struct outcome *outcome)
{
	struct appliance *a = worker->appliance;
	const struct drive *drive = worker->drive;

	(void)cmd;
	(void)outcome;
	if (drive->trouble == DRIVE_DAMAGED) {
		appliance_fail(a, EXIT_DAMAGED, "%s", drive->why);
		return false;
	}
	/* no end of the data is to be seen by a database that ignores the error */
	if (drive->trouble == DRIVE_FAILED && pipeline_used(a)) {
		appliance_fail(a, EXIT_FAILED, "%s", drive->why);
		return false;
	}
	if (drive->trouble == DRIVE_FAILED)
		appliance_note(a, EXIT_FAILED, "%s", drive->why);
	return true;
}

static bool restore_execute(struct worker *worker,
			    const struct VDC_Command *cmd,
			    struct outcome *outcome)
{
	struct appliance *a = worker->appliance;
	struct restore *r = a->job;

	if (cmd->commandCode == VDC_MountSnapshot && r->mount_command) {
		mount_snapshot(worker, outcome);
		return true;
	}
	drive_execute(worker->drive, cmd, outcome);
	return restore_done(worker, cmd, outcome);
}

/* A pipe must have been read completely; of disks and tapes, at least a part. */
static bool read_enough(const struct worker *worker, const struct drive *drive)
{
	unsigned int i;

	if (drive->config.profile != MEDIUM_PIPE)
		return worker->bytes || !drive_data_bytes(drive);
	for (i = 0; i < drive->media.count; i++) {
		const struct medium_file *file = &drive->media.file[i];

		if (drive_data_bytes(drive) && file->bytes && !file->whole)
			return false;
	}
	return true;
}

static void check_drained(struct worker *worker)
{
	if (!command_drained(worker->drive->config.command))
		appliance_fail(worker->appliance, EXIT_FAILED,
			       "the database read only %llu bytes of '%s', and not the end of the data",
			       (unsigned long long)worker->bytes, worker->name);
}

/* A database that did not read the backup has not restored it. */
static void restore_closed(struct worker *worker)
{
	struct appliance *a = worker->appliance;
	struct restore *r = a->job;
	struct drive *drive = &r->drive[worker->index];

	if (pipeline_used(a))
		check_drained(worker);
	else if (r->mount_command && !r->mounted)
		appliance_note(a, EXIT_FAILED,
			       "the database did not request the snapshot");
	else if (!r->mount_command && !read_enough(worker, drive))
		appliance_fail(a, EXIT_FAILED,
			       "the database read only %llu of %llu bytes of '%s'",
			       (unsigned long long)worker->bytes,
			       (unsigned long long)
			       drive_data_bytes(drive), worker->name);
}

static bool restore_finish(struct appliance *a)
{
	return a->exit_code == EXIT_OK;
}

static const struct appliance_ops restore_ops = {
	.verb = "restore",
	.data = VDC_Read,
	.configured = restore_configured,
	.may_start = restore_may_start,
	.done = restore_done,
	.execute = restore_execute,
	.closed = restore_closed,
	.finish = restore_finish,
};

/* ------------------------------------------------------------ the program */

static const char usage[] =
	"usage: vdi restore NAME --from DIR [OPTIONS] [-- COMMAND [ARGUMENTS]]\n"
	"       vdi restore NAME --from ROOT --latest [--set NAME] [OPTIONS] [-- COMMAND ...]\n"
	"       vdi restore NAME --from-command CMD [--devices N] [OPTIONS] [-- COMMAND ...]\n\n"
	"Creates the virtual device set NAME, waits for a database to join it, and sends\n"
	"the backup in DIR to the database. The devices are of the kind of the backup.\n"
	"With COMMAND, the database is this command, which reads the stream from its\n"
	"standard input; a COMMAND that fails makes the restore fail.\n\n"
	"      --from DIR        backup directory, as created by vdi backup, or the address\n"
	"                        s3://BUCKET/PREFIX of a backup in an object store, or -\n"
	"                        for the standard input\n"
	"      --from-command CMD  run CMD for each device; its standard output is the data\n"
	"  -n, --devices N       --from-command: number of devices, 1 to 64 (default 1)\n"
	"      --latest          the youngest whole backup in ROOT, a directory or an address\n"
	"      --set NAME        with --latest: of this set (default: NAME)\n"
	"      --mount-command CMD  snapshot backups only: CMD restores the files\n"
	"      --unfilter CMD    of a backup with --filter: the command that undoes it; it is\n"
	"                        run with the shell for each device, from input to output\n"
	"      --no-verify       do not verify disks and tapes before the set is created\n"
	"      --downloads N     s3: chunks of a device that are read at a time (default 2)\n"
	"      --store-timeout SEC  s3: time to repeat a failed request (default 300)\n"
	APPLIANCE_HELP;

enum {
	OPT_FROM = 256, OPT_LATEST, OPT_SET, OPT_MOUNT, OPT_UNFILTER, OPT_NO_VERIFY,
	OPT_DOWNLOADS, OPT_STORE_TIMEOUT, OPT_FROM_COMMAND
};

static const struct option options[] = {
	{ "from", required_argument, NULL, OPT_FROM },
	{ "from-command", required_argument, NULL, OPT_FROM_COMMAND },
	{ "devices", required_argument, NULL, 'n' },
	{ "latest", no_argument, NULL, OPT_LATEST },
	{ "set", required_argument, NULL, OPT_SET },
	{ "mount-command", required_argument, NULL, OPT_MOUNT },
	{ "unfilter", required_argument, NULL, OPT_UNFILTER },
	{ "no-verify", no_argument, NULL, OPT_NO_VERIFY },
	{ "downloads", required_argument, NULL, OPT_DOWNLOADS },
	{ "store-timeout", required_argument, NULL, OPT_STORE_TIMEOUT },
	APPLIANCE_OPTIONS
};

static int take_devices(struct appliance *a, const char *argument)
{
	uint64_t number;

	if (!vdi_parse_size(argument, 1, VDI_MAX_DEVICES, &number))
		return vdi_invalid("--devices", argument, "1 to 64");
	a->count = number;
	((struct restore *)a->job)->devices_given = true;
	return EXIT_OK;
}

static int take(struct appliance *a, int c, const char *argument)
{
	struct restore *r = a->job;

	switch (c) {
	case 'n':
		return take_devices(a, argument);
	case OPT_FROM_COMMAND:
		a->pipeline.command = argument;
		break;
	case OPT_FROM:
		r->from = argument;
		break;
	case OPT_LATEST:
		r->latest = true;
		break;
	case OPT_SET:
		r->set = argument;
		break;
	case OPT_MOUNT:
		r->mount_command = argument;
		break;
	case OPT_UNFILTER:
		r->unfilter = argument;
		return *argument ? EXIT_OK :
			vdi_invalid("--unfilter", argument, "a command");
	case OPT_DOWNLOADS:
		return chunk_cli_transfers(a, "--downloads", argument);
	case OPT_STORE_TIMEOUT:
		return chunk_cli_timeout(a, argument);
	default:	/* OPT_NO_VERIFY */
		r->no_verify = true;
		break;
	}
	return EXIT_OK;
}

static int check_pipeline(struct appliance *a)
{
	struct restore *r = a->job;

	if (r->from && !strcmp(r->from, "-")) {
		a->pipeline.standard = true;
		r->from = NULL;
	}
	if (pipeline_used(a) && (r->latest || r->mount_command || r->no_verify ||
				 r->unfilter))
		vdi_error("--latest, --mount-command, --no-verify and --unfilter cannot be used with --from-command and --from -");
	else if (!pipeline_used(a) && r->devices_given)
		vdi_error("--devices requires --from-command: a stored backup determines the number");
	else
		return pipeline_check(a);
	return EXIT_USAGE;
}

static int parse(struct appliance *a, int argc, char **argv)
{
	static const struct appliance_cli cli = {
		.usage = usage,
		.options = options,
		.short_options = "n:" APPLIANCE_SHORT,
		.take = take,
	};
	struct restore *r = a->job;
	int rc = appliance_parse(a, argc, argv, &cli);

	if (rc == EXIT_OK && !r->from == !a->pipeline.command) {
		vdi_error("either --from DIR or --from-command CMD is required");
		rc = EXIT_USAGE;
	}
	if (rc == EXIT_OK)
		rc = check_pipeline(a);
	if (rc == EXIT_OK && a->partner.command && a->events.json &&
	    !*a->events.json) {
		vdi_error("standard output is that of the command: use --json=FILE");
		rc = EXIT_USAGE;
	}
	if (rc == EXIT_OK && r->set && !r->latest) {
		vdi_error("--set requires --latest");
		rc = EXIT_USAGE;
	}
	if (rc == EXIT_OK)
		rc = chunk_cli_check(a, r->from ? : "--from-command");
	return rc;
}

static int check_snapshot(const struct appliance *a)
{
	const struct restore *r = a->job;

	if (r->source.manifest.snapshot && a->partner.command)
		vdi_error("%s is a snapshot backup: '-- COMMAND' cannot be used; run vdi serve",
			  r->from);
	else if (r->source.manifest.snapshot && !r->mount_command)
		vdi_error("%s is a snapshot backup: --mount-command is required",
			  r->from);
	else if (!r->source.manifest.snapshot && r->mount_command)
		vdi_error("%s is not a snapshot backup: --mount-command cannot be used",
			  r->from);
	else
		return EXIT_OK;
	return EXIT_USAGE;
}

static int open_pipeline(struct appliance *a)
{
	a->config.features = medium_profile_features(MEDIUM_PIPE, false);
	return appliance_check(a);
}

static int check_filter(const struct appliance *a)
{
	const struct restore *r = a->job;
	bool filtered = r->source.manifest.filtered;

	if (filtered && !r->unfilter)
		vdi_error("%s was stored with --filter: --unfilter is required, with the command that undoes it",
			  r->from);
	else if (!filtered && r->unfilter)
		vdi_error("%s was not stored with --filter: --unfilter cannot be used",
			  r->from);
	else if (manifest_is_staged(&r->source.manifest) &&
		 a->direct == DIRECT_ALWAYS)
		vdi_error("--direct cannot be used with %s, which is compressed or filtered",
			  r->from);
	else
		return EXIT_OK;
	return EXIT_USAGE;
}

/* An increment is not all that the database needs. */
static void report_chain(const struct appliance *a)
{
	const struct restore *r = a->job;
	char *path = chunk_is_address(r->from) ? strdup(r->from) : realpath(r->from, NULL);
	char *slash = path ? strrchr(path, '/') : NULL, *chain = NULL;

	if (slash && slash[1]) {
		*slash = '\0';
		chain = place_chain(*path ? path : "/", slash + 1);
	}
	free(path);
	if (chain && !a->quiet)
		fprintf(stderr, "vdi: %s is based on other backups; the database needs, in this order: %s\n",
			r->from, chain);
	else if (!chain)
		vdi_error("warning: %s is based on %s, which is missing or damaged: without it the database cannot use this backup",
			  r->from, r->source.manifest.base);
	free(chain);
}

static int open_source(struct appliance *a)
{
	struct restore *r = a->job;
	const struct manifest *m = &r->source.manifest;
	int rc = EXIT_OK;

	if (r->latest) {
		r->latest_path = place_latest(r->from, r->set ? : a->names.set,
					      &rc);
		if (rc == EXIT_OK)
			r->from = r->latest_path;
	}
	if (rc == EXIT_OK)
		rc = chunk_is_address(r->from) ?
		     source_open_chunks(&r->source, r->from, &a->chunks) :
		     source_open(&r->source, r->from);
	if (rc == EXIT_OK)
		rc = check_snapshot(a);
	if (rc == EXIT_OK)
		rc = check_filter(a);
	if (rc != EXIT_OK)
		return rc;
	if (m->base)
		report_chain(a);
	source_unfilter(&r->source, r->unfilter);
	r->hook_path = r->source.chunks ? strdup(r->from) :
		       hook_directory(r->from);
	if (!r->hook_path) {
		vdi_error("cannot resolve %s: %s", r->from, strerror(errno));
		return EXIT_FAILED;
	}
	a->count = m->count;
	/* the files of tapes are larger than the data */
	a->total = m->profile == MEDIUM_TAPE ? 0 : manifest_data_bytes(m);
	a->config.features = medium_profile_features(m->profile, m->removable);
	a->config.softFileMarkBlockSize = m->config.softFileMarkBlockSize;
	a->partner.block_size = m->config.blockSize;
	return appliance_check(a);
}

static void summary(struct appliance *a, bool checked)
{
	struct restore *r = a->job;
	double seconds = vdi_now() - a->started;
	/* standard output is that of the command, if there is one */
	FILE *out = a->partner.command ? stderr :
		    vdi_report_text(&a->events.report);
	char text[160], what[32];

	if (!pipeline_used(a)) {
		source_print(out, &r->source, "restored", appliance_bytes(a),
			     seconds, checked);
		return;
	}
	pipeline_describe(a, what, sizeof(what));
	vdi_format_transfer(a->count, "", appliance_bytes(a), seconds, text,
			    sizeof(text));
	fprintf(out, "restored '%s' from %s: %s\n", a->names.set, what, text);
}

static int run(struct appliance *a)
{
	struct restore *r = a->job;
	const struct verify_options checking = {
		.quiet = a->quiet,
		.report = &a->events.report,
	};
	bool verify, streamed;
	unsigned int i;
	int rc;

	rc = pipeline_used(a) ? open_pipeline(a) : open_source(a);
	streamed = pipeline_used(a) || r->source.manifest.profile == MEDIUM_PIPE;
	verify = !r->no_verify && !streamed;
	if (rc == EXIT_OK && verify)
		rc = verify_backup(&r->source, &checking);
	if (rc == EXIT_OK)
		rc = appliance_run(a);
	if (rc == EXIT_OK && !a->quiet)
		summary(a, verify || streamed);
	for (i = 0; i < VDI_MAX_DEVICES; i++)
		drive_close(&r->drive[i]);
	source_close(&r->source);
	return rc;
}

int vdi_restore_main(int argc, char **argv)
{
	static struct appliance a;
	static struct restore r = { .source = { .dir = -1 } };
	int rc;

	appliance_init(&a, &restore_ops);
	a.job = &r;
	rc = parse(&a, argc, argv);
	if (rc != EXIT_OK)
		return rc;
	rc = events_begin(&a);
	if (rc == EXIT_OK)
		rc = run(&a);
	if (!r.hook_path && r.from)
		r.hook_path = hook_directory(r.from);
	rc = events_end(&a, rc, r.hook_path ? : r.from ? : "");
	free(r.hook_path);
	free(r.latest_path);
	return rc;
}
