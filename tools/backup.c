// SPDX-License-Identifier: GPL-2.0-only
/*
 * backup.c - vdi backup: a database's backup into a directory
 *
 * Everything is written to DIR.partial, one file per device and at the end the
 * manifest; then the directory gets its name. So DIR is a whole backup or does
 * not exist, and what a crash leaves behind says by its name what it is.
 *
 * A database that enabled VDC_Complete hears success of it only after that; one
 * that did not has had its last Flush answered when the data was durable.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "appliance.h"
#include "manifest.h"

/* How far a device is, for VDC_Complete. */
enum lane_stage {
	LANE_WRITING,		/* data since the last Flush */
	LANE_FLUSHED,		/* nothing since the last Flush */
	LANE_ENDED		/* Complete asked for, or closed */
};

struct backup_lane {
	int fd;
	uint64_t bytes;
	XXH3_state_t *sum;
	enum lane_stage stage;	/* under appliance.lock */
};

struct backup {
	char *path;
	char *partial;
	int dir;		/* DIR.partial */
	int64_t started;
	bool published;		/* under appliance.lock */
	pthread_cond_t stage_cond;
	struct backup_lane lane[VDI_MAX_DEVICES];
};

static void file_name(unsigned int index, char *buf, size_t size)
{
	snprintf(buf, size, "device-%02u.data", index);
}

static bool fail_file(struct appliance *a, const char *doing, const char *name)
{
	appliance_fail(a, EXIT_FAILED, "cannot %s %s: %s", doing, name,
		       strerror(errno));
	return false;
}

static bool backup_configured(struct appliance *a)
{
	struct backup *b = a->job;
	char name[32];
	unsigned int i;

	if (!(a->config.features & VDF_WriteMedia) ||
	    (a->config.features & VDF_ReadMedia)) {
		appliance_fail(a, EXIT_FAILED,
			       "the database wants to restore, not to back up");
		return false;
	}
	for (i = 0; i < a->count; i++) {
		struct backup_lane *lane = &b->lane[i];

		file_name(i, name, sizeof(name));
		lane->fd = openat(b->dir, name,
				  O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (lane->fd < 0)
			return fail_file(a, "create", name);
		lane->sum = XXH3_createState();
		if (!lane->sum || XXH3_64bits_reset(lane->sum) != XXH_OK)
			return fail_file(a, "checksum", name);
	}
	return true;
}

/* The buffer is the command's until it is completed: write from it. */
static bool write_data(struct lane *lane, const struct VDC_Command *cmd)
{
	struct backup *b = lane->appliance->job;
	struct backup_lane *bl = &b->lane[lane->index];
	const uint8_t *data = cmd->buffer;
	size_t left = cmd->size;

	XXH3_64bits_update(bl->sum, data, left);
	while (left) {
		ssize_t n = pwrite(bl->fd, data, left, bl->bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			char name[32];

			file_name(lane->index, name, sizeof(name));
			return fail_file(lane->appliance, "write", name);
		}
		data += n;
		left -= n;
		bl->bytes += n;
	}
	return true;
}

static void set_stage(struct lane *lane, enum lane_stage stage)
{
	struct appliance *a = lane->appliance;
	struct backup *b = a->job;

	pthread_mutex_lock(&a->lock);
	b->lane[lane->index].stage = stage;
	pthread_cond_broadcast(&b->stage_cond);
	pthread_mutex_unlock(&a->lock);
}

static bool flush_data(struct lane *lane)
{
	struct backup *b = lane->appliance->job;
	char name[32];

	if (fdatasync(b->lane[lane->index].fd)) {
		file_name(lane->index, name, sizeof(name));
		return fail_file(lane->appliance, "flush", name);
	}
	set_stage(lane, LANE_FLUSHED);
	return true;
}

static bool sync_parent(const char *path)
{
	char *copy = strdup(path);
	bool ok = false;
	int fd;

	if (!copy)
		return false;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		ok = fsync(fd) == 0;
		close(fd);
	}
	free(copy);
	return ok;
}

static bool make_manifest(struct appliance *a, struct manifest *m)
{
	struct backup *b = a->job;
	char name[32];
	unsigned int i;

	*m = (struct manifest){
		.set = strdup(a->names.set),
		.started = b->started,
		.finished = time(NULL),
		.config = a->config,
		.count = a->count,
	};
	for (i = 0; i < a->count; i++) {
		file_name(i, name, sizeof(name));
		m->device[i] = (struct manifest_device){
			.name = strdup(vdi_names_get(&a->names, i)),
			.file = strdup(name),
			.bytes = b->lane[i].bytes,
			.xxh3 = XXH3_64bits_digest(b->lane[i].sum),
		};
		if (!m->device[i].name || !m->device[i].file)
			return false;
	}
	return m->set != NULL;
}

/* Make it a backup. All device threads are idle, their data is final. */
static bool publish(struct appliance *a)
{
	struct backup *b = a->job;
	struct manifest m;
	unsigned int i;
	bool ok = true;

	for (i = 0; i < a->count; i++) {
		if (fsync(b->lane[i].fd))
			return fail_file(a, "flush", b->partial);
	}
	if (!make_manifest(a, &m)) {
		errno = ENOMEM;
		ok = false;
	}
	if (!ok || manifest_write(b->dir, &m))
		ok = fail_file(a, "write the manifest in", b->partial);
	manifest_free(&m);
	/* over an empty directory that was there before, too */
	if (ok && rename(b->partial, b->path))
		ok = fail_file(a, "rename to", b->path);
	if (ok && !sync_parent(b->path)) {
		ok = fail_file(a, "flush the directory of", b->path);
		/* what may be gone after a crash is no backup either */
		if (rename(b->path, b->partial))
			vdi_error("remove %s: it may not be durable", b->path);
	}
	return ok;
}

static bool all_settled(struct appliance *a)
{
	struct backup *b = a->job;
	unsigned int i;

	for (i = 0; i < a->count; i++) {
		if (b->lane[i].stage == LANE_WRITING)
			return false;
	}
	return true;
}

/*
 * Complete: the database has sent everything, on all devices. Wait for those
 * that are still busy with it; the first to see all at rest publishes.
 */
static bool complete_backup(struct lane *lane)
{
	struct appliance *a = lane->appliance;
	struct backup *b = a->job;
	bool publisher = false;

	set_stage(lane, LANE_ENDED);
	pthread_mutex_lock(&a->lock);
	while (!all_settled(a) && a->exit_code == EXIT_OK) {
		struct timespec soon;

		/* an abort is not signalled here: look now and then */
		clock_gettime(CLOCK_REALTIME, &soon);
		soon.tv_sec++;
		pthread_cond_timedwait(&b->stage_cond, &a->lock, &soon);
	}
	if (a->exit_code == EXIT_OK && !b->published) {
		b->published = true;
		publisher = true;
	}
	pthread_mutex_unlock(&a->lock);
	if (publisher)
		publish(a);
	return a->exit_code == EXIT_OK;
}

static bool begin_write(struct lane *lane)
{
	struct appliance *a = lane->appliance;
	struct backup *b = a->job;
	bool late;

	pthread_mutex_lock(&a->lock);
	late = b->published;
	b->lane[lane->index].stage = LANE_WRITING;
	pthread_mutex_unlock(&a->lock);
	if (late)
		appliance_fail(a, EXIT_FAILED,
			       "the database wrote after it had completed the backup");
	return !late;
}

static bool backup_execute(struct lane *lane, const struct VDC_Command *cmd,
			   struct outcome *outcome)
{
	struct backup *b = lane->appliance->job;

	switch (cmd->commandCode) {
	case VDC_Write:
		if (b->lane[lane->index].stage != LANE_WRITING &&
		    !begin_write(lane))
			return false;
		outcome->bytes = cmd->size;
		return write_data(lane, cmd);
	case VDC_Flush:
		return flush_data(lane);
	case VDC_Complete:
		return complete_backup(lane);
	case VDC_ClearError:
		return true;
	default:
		outcome->code = ERROR_NOT_SUPPORTED;
		return true;
	}
}

static bool backup_closed(struct lane *lane)
{
	set_stage(lane, LANE_ENDED);
	return true;
}

static bool backup_finish(struct appliance *a)
{
	struct backup *b = a->job;

	return b->published || (b->published = publish(a));
}

static const struct appliance_ops backup_ops = {
	.verb = "backup",
	.configured = backup_configured,
	.execute = backup_execute,
	.closed = backup_closed,
	.finish = backup_finish,
};

/* Is DIR free to become a backup? */
static bool check_target(const char *path)
{
	struct dirent *entry;
	bool empty = true;
	DIR *dir;

	dir = opendir(path);
	if (!dir) {
		if (errno == ENOENT)
			return true;
		vdi_error("%s: %s", path, strerror(errno));
		return false;
	}
	while (empty && (entry = readdir(dir)))
		empty = !strcmp(entry->d_name, ".") ||
			!strcmp(entry->d_name, "..");
	closedir(dir);
	if (!empty)
		vdi_error("%s is not empty; give the name of a new directory",
			  path);
	return empty;
}

/* Take DIR.partial, which a crashed run may have left. The lock tells. */
static bool make_partial(struct backup *b)
{
	if (mkdir(b->partial, 0700) && errno != EEXIST) {
		vdi_error("cannot create %s: %s", b->partial, strerror(errno));
		return false;
	}
	b->dir = open(b->partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->dir < 0) {
		vdi_error("cannot open %s: %s", b->partial, strerror(errno));
		return false;
	}
	if (flock(b->dir, LOCK_EX | LOCK_NB)) {
		vdi_error("%s is in use by another vdi backup", b->partial);
		return false;
	}
	return true;
}

/* Only what we may have made; a foreign file keeps the directory. */
static void remove_partial(struct backup *b)
{
	char name[32];
	unsigned int i;

	for (i = 0; i < VDI_MAX_DEVICES; i++) {
		file_name(i, name, sizeof(name));
		unlinkat(b->dir, name, 0);
	}
	unlinkat(b->dir, MANIFEST_FILE ".partial", 0);
	unlinkat(b->dir, MANIFEST_FILE, 0);
}

static bool prepare(struct backup *b, const char *to)
{
	size_t length = strlen(to);

	while (length > 1 && to[length - 1] == '/')
		length--;
	b->path = strndup(to, length);
	if (!b->path || asprintf(&b->partial, "%s.partial", b->path) < 0) {
		vdi_error("out of memory");
		return false;
	}
	if (!check_target(b->path) || !make_partial(b))
		return false;
	remove_partial(b);
	return true;
}

static void discard(struct appliance *a, struct backup *b)
{
	struct stat st;

	if (stat(b->partial, &st)) {
		if (b->published)
			vdi_error("%s holds all that the database sent, but the database may not know",
				  b->path);
		return;
	}
	remove_partial(b);
	if (rmdir(b->partial))
		vdi_error("%s is left behind and is no backup: %s", b->partial,
			  strerror(errno));
	else if (!a->quiet)
		vdi_error("nothing was kept: %s is no backup", b->path);
}

static void summary(struct appliance *a, struct backup *b)
{
	char bytes[32], rate[32], took[32];
	uint64_t total = appliance_bytes(a);
	double seconds = vdi_now() - a->started;

	vdi_format_bytes(total, bytes, sizeof(bytes));
	vdi_format_bytes(seconds > 0 ? total / seconds : 0, rate, sizeof(rate));
	vdi_format_duration(seconds, took, sizeof(took));
	printf("backup of '%s' is complete in %s: %u device%s, %s in %s, %s/s\n",
	       a->names.set, b->path, a->count, a->count == 1 ? "" : "s", bytes,
	       took, rate);
}

static void release(struct backup *b)
{
	unsigned int i;

	for (i = 0; i < VDI_MAX_DEVICES; i++) {
		if (b->lane[i].fd >= 0)
			close(b->lane[i].fd);
		XXH3_freeState(b->lane[i].sum);
	}
	if (b->dir >= 0)
		close(b->dir);
	free(b->path);
	free(b->partial);
}

static void usage(FILE *out)
{
	fputs("usage: vdi backup NAME --to DIR [--devices N] [OPTIONS]\n\n"
	      "Creates the virtual device set NAME, waits for a database to write its backup\n"
	      "to it, and stores it in DIR: one file per device and a manifest.\n\n"
	      "      --to DIR          new directory for the backup\n"
	      "  -n, --devices N       number of devices, 1 to 64 (default 1)\n"
	      APPLIANCE_HELP, out);
}

static int parse(struct appliance *a, int argc, char **argv, const char **to)
{
	static const struct option options[] = {
		{ "to", required_argument, NULL, 'T' },
		{ "devices", required_argument, NULL, 'n' },
		APPLIANCE_OPTIONS,
		{ NULL, 0, NULL, 0 }
	};
	uint64_t number;
	int c, rc;

	while ((c = getopt_long(argc, argv, "n:" APPLIANCE_SHORT, options,
				NULL)) != -1) {
		switch (c) {
		case 'T':
			*to = optarg;
			break;
		case 'n':
			if (!vdi_parse_size(optarg, 1, VDI_MAX_DEVICES,
					    &number)) {
				vdi_error("the number of devices is 1 to 64, not '%s'",
					  optarg);
				return EXIT_USAGE;
			}
			a->count = number;
			break;
		case 'h':
			usage(stdout);
			exit(EXIT_OK);
		default:
			rc = appliance_option(a, c, optarg);
			if (rc < 0) {
				usage(stderr);
				return EXIT_USAGE;
			}
			if (rc)
				return rc;
		}
	}
	if (optind != argc - 1 || !*to) {
		vdi_error("%s", !*to ? "--to DIR is missing" :
			  "exactly one NAME is needed");
		usage(stderr);
		return EXIT_USAGE;
	}
	a->names.set = argv[optind];
	return appliance_check(a);
}

int vdi_backup_main(int argc, char **argv)
{
	static struct appliance a;
	struct backup b = { .dir = -1, .started = time(NULL) };
	const char *to = NULL;
	unsigned int i;
	int rc;

	appliance_init(&a, &backup_ops);
	a.job = &b;
	a.config.features = VDF_LikePipe | VDF_RequestComplete;
	pthread_cond_init(&b.stage_cond, NULL);
	for (i = 0; i < VDI_MAX_DEVICES; i++)
		b.lane[i].fd = -1;

	rc = parse(&a, argc, argv, &to);
	if (rc != EXIT_OK)
		return rc;
	if (!prepare(&b, to)) {
		release(&b);
		return EXIT_FAILED;
	}
	rc = appliance_run(&a);
	if (rc == EXIT_OK && !a.quiet)
		summary(&a, &b);
	if (rc != EXIT_OK)
		discard(&a, &b);
	release(&b);
	return rc;
}
