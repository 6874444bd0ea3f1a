// SPDX-License-Identifier: GPL-2.0-only
/*
 * restore.c - vdi restore and vdi verify: a backup back to the database
 *
 * The data is checked against the manifest while it is read. The last byte of
 * a damaged file is never handed over: the set is aborted instead, so that the
 * database cannot take the restore for a good one.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "appliance.h"
#include "manifest.h"

struct source {
	int fd;
	uint64_t offset;
	XXH3_state_t *sum;
};

struct restore {
	const char *path;
	int dir;
	struct manifest manifest;
	struct source source[VDI_MAX_DEVICES];
};

/* Open the backup and see that all of it is there. */
static int open_backup(struct restore *r, const char *path)
{
	const char *why;
	unsigned int i;

	r->path = path;
	r->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->dir < 0) {
		vdi_error("cannot open %s: %s", path, strerror(errno));
		return EXIT_FAILED;
	}
	if (manifest_read(r->dir, &r->manifest, &why)) {
		vdi_error("%s is no good backup: %s", path, why);
		return EXIT_DAMAGED;
	}
	for (i = 0; i < r->manifest.count; i++) {
		const struct manifest_device *device = &r->manifest.device[i];
		struct source *source = &r->source[i];
		struct stat st;

		source->fd = openat(r->dir, device->file,
				    O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (source->fd < 0 || fstat(source->fd, &st)) {
			vdi_error("%s is no good backup: %s: %s", path,
				  device->file, strerror(errno));
			return EXIT_DAMAGED;
		}
		if ((uint64_t)st.st_size != device->bytes) {
			vdi_error("%s is no good backup: %s has %lld bytes instead of %llu",
				  path, device->file, (long long)st.st_size,
				  (unsigned long long)device->bytes);
			return EXIT_DAMAGED;
		}
		source->sum = XXH3_createState();
		if (!source->sum) {
			vdi_error("out of memory");
			return EXIT_FAILED;
		}
		XXH3_64bits_reset(source->sum);
	}
	return EXIT_OK;
}

static void close_backup(struct restore *r)
{
	unsigned int i;

	for (i = 0; i < VDI_MAX_DEVICES; i++) {
		if (r->source[i].fd >= 0)
			close(r->source[i].fd);
		XXH3_freeState(r->source[i].sum);
	}
	manifest_free(&r->manifest);
	if (r->dir >= 0)
		close(r->dir);
}

static void init_restore(struct restore *r)
{
	unsigned int i;

	*r = (struct restore){ .dir = -1 };
	for (i = 0; i < VDI_MAX_DEVICES; i++)
		r->source[i].fd = -1;
}

/* Up to size bytes; fewer only at the end of the file. -1: errno. */
static ssize_t read_data(struct source *source, uint8_t *data, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(source->fd, data + done, size - done,
				  source->offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += n;
		source->offset += n;
	}
	XXH3_64bits_update(source->sum, data, done);
	return done;
}

/* Once the last byte was read: is the file what was written? */
static bool source_ok(const struct source *source,
		      const struct manifest_device *device)
{
	if (source->offset < device->bytes)
		return true;
	return source->offset == device->bytes &&
	       XXH3_64bits_digest(source->sum) == device->xxh3;
}

static bool restore_configured(struct appliance *a)
{
	if ((a->config.features & VDF_ReadMedia) &&
	    !(a->config.features & VDF_WriteMedia))
		return true;
	appliance_fail(a, EXIT_FAILED,
		       "the database wants to back up, not to restore");
	return false;
}

static bool give_data(struct lane *lane, const struct VDC_Command *cmd,
		      struct outcome *outcome)
{
	struct appliance *a = lane->appliance;
	struct restore *r = a->job;
	const struct manifest_device *device = &r->manifest.device[lane->index];
	struct source *source = &r->source[lane->index];
	ssize_t n;

	n = read_data(source, cmd->buffer, cmd->size);
	if (n < 0) {
		appliance_fail(a, EXIT_FAILED, "cannot read %s: %s",
			       device->file, strerror(errno));
		return false;
	}
	if (!source_ok(source, device) ||
	    (n < cmd->size && source->offset < device->bytes)) {
		appliance_fail(a, EXIT_DAMAGED,
			       "%s is damaged: its checksum does not match",
			       device->file);
		return false;
	}
	outcome->bytes = n;
	if (n < cmd->size)
		outcome->code = ERROR_HANDLE_EOF;
	return true;
}

static bool restore_execute(struct lane *lane, const struct VDC_Command *cmd,
			    struct outcome *outcome)
{
	switch (cmd->commandCode) {
	case VDC_Read:
		return give_data(lane, cmd, outcome);
	case VDC_Flush:
	case VDC_ClearError:
		return true;
	default:
		outcome->code = ERROR_NOT_SUPPORTED;
		return true;
	}
}

/* A database that leaves some of the backup unread has not restored it. */
static bool restore_closed(struct lane *lane)
{
	struct restore *r = lane->appliance->job;
	const struct manifest_device *device = &r->manifest.device[lane->index];
	uint64_t done = r->source[lane->index].offset;

	if (done == device->bytes)
		return true;
	appliance_fail(lane->appliance, EXIT_FAILED,
		       "the database read only %llu of %llu bytes of '%s'",
		       (unsigned long long)done,
		       (unsigned long long)device->bytes, lane->name);
	return false;
}

static bool restore_finish(struct appliance *a)
{
	return a->exit_code == EXIT_OK;
}

static const struct appliance_ops restore_ops = {
	.verb = "restore",
	.configured = restore_configured,
	.execute = restore_execute,
	.closed = restore_closed,
	.finish = restore_finish,
};

static void print_done(const char *what, const char *path, uint64_t total,
		       unsigned int count, double seconds)
{
	char bytes[32], rate[32], took[32];

	vdi_format_bytes(total, bytes, sizeof(bytes));
	vdi_format_bytes(seconds > 0 ? total / seconds : 0, rate, sizeof(rate));
	vdi_format_duration(seconds, took, sizeof(took));
	printf("%s %s: %u device%s, %s in %s, %s/s; checksums match\n", what,
	       path, count, count == 1 ? "" : "s", bytes, took, rate);
}

static void usage(FILE *out)
{
	fputs("usage: vdi restore NAME --from DIR [OPTIONS]\n\n"
	      "Creates the virtual device set NAME, waits for a database to read a backup from\n"
	      "it, and gives it the one in DIR, verifying it on the way.\n\n"
	      "      --from DIR        directory that vdi backup has made\n"
	      APPLIANCE_HELP, out);
}

static int parse(struct appliance *a, int argc, char **argv, const char **from)
{
	static const struct option options[] = {
		{ "from", required_argument, NULL, 'F' },
		APPLIANCE_OPTIONS,
		{ NULL, 0, NULL, 0 }
	};
	int c, rc;

	while ((c = getopt_long(argc, argv, APPLIANCE_SHORT, options,
				NULL)) != -1) {
		if (c == 'F') {
			*from = optarg;
			continue;
		}
		if (c == 'h') {
			usage(stdout);
			exit(EXIT_OK);
		}
		rc = appliance_option(a, c, optarg);
		if (rc < 0) {
			usage(stderr);
			return EXIT_USAGE;
		}
		if (rc)
			return rc;
	}
	if (optind != argc - 1 || !*from) {
		vdi_error("%s", !*from ? "--from DIR is missing" :
			  "exactly one NAME is needed");
		usage(stderr);
		return EXIT_USAGE;
	}
	a->names.set = argv[optind];
	return EXIT_OK;
}

int vdi_restore_main(int argc, char **argv)
{
	static struct appliance a;
	const char *from = NULL;
	struct restore r;
	int rc;

	init_restore(&r);
	appliance_init(&a, &restore_ops);
	a.job = &r;
	a.config.features = VDF_LikePipe;

	rc = parse(&a, argc, argv, &from);
	if (rc == EXIT_OK)
		rc = open_backup(&r, from);
	if (rc == EXIT_OK) {
		a.count = r.manifest.count;
		a.total = manifest_bytes(&r.manifest);
		rc = appliance_check(&a);
	}
	if (rc == EXIT_OK)
		rc = appliance_run(&a);
	if (rc == EXIT_OK && !a.quiet)
		print_done("restored", r.path, a.total, a.count,
			   vdi_now() - a.started);
	close_backup(&r);
	return rc;
}

/* Read everything once; no set, no database. */
static int verify_backup(struct restore *r, bool quiet)
{
	enum { CHUNK = 1 << 20 };
	uint64_t total = manifest_bytes(&r->manifest), done = 0;
	uint8_t *buffer = malloc(CHUNK);
	struct vdi_progress progress;
	double started = vdi_now();
	int rc = EXIT_OK;
	unsigned int i;
	ssize_t n;

	if (!buffer) {
		vdi_error("out of memory");
		return EXIT_FAILED;
	}
	vdi_progress_start(&progress, quiet);
	for (i = 0; i < r->manifest.count && rc == EXIT_OK; i++) {
		struct source *source = &r->source[i];
		const char *file = r->manifest.device[i].file;

		while ((n = read_data(source, buffer, CHUNK)) > 0) {
			done += n;
			vdi_progress_show(&progress, "verify", done, total);
			if (vdi_signal_received()) {
				rc = EXIT_INTERRUPTED;
				break;
			}
		}
		if (n < 0) {
			vdi_error("cannot read %s: %s", file, strerror(errno));
			rc = EXIT_FAILED;
		} else if (rc == EXIT_OK &&
			   !source_ok(source, &r->manifest.device[i])) {
			vdi_progress_end(&progress);
			vdi_error("%s: %s is damaged: its checksum does not match",
				  r->path, file);
			rc = EXIT_DAMAGED;
		}
	}
	vdi_progress_end(&progress);
	free(buffer);
	if (rc == EXIT_OK && !quiet)
		print_done("verified", r->path, total, r->manifest.count,
			   vdi_now() - started);
	return rc;
}

int vdi_verify_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	static const char help[] = "usage: vdi verify DIR [-q]\n\n"
		"Checks every file of the backup in DIR against its manifest.\n";
	bool quiet = false;
	struct restore r;
	int c, rc;

	while ((c = getopt_long(argc, argv, "qh", options, NULL)) != -1) {
		switch (c) {
		case 'q':
			quiet = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			fputs(help, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind != argc - 1) {
		fputs(help, stderr);
		return EXIT_USAGE;
	}
	vdi_catch_signals();
	init_restore(&r);
	rc = open_backup(&r, argv[optind]);
	if (rc == EXIT_OK)
		rc = verify_backup(&r, quiet);
	close_backup(&r);
	return rc;
}
