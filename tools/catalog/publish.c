// SPDX-License-Identifier: GPL-2.0-only
/*
 * publish.c - a directory that is a whole backup or does not exist
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "appliance/backup.h"
#include "appliance/hook.h"

static bool is_empty(const char *path)
{
	struct dirent *entry;
	bool empty = true;
	DIR *dir;

	dir = opendir(path);
	if (!dir) {
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

/* Is DIR free to become a backup? What rename(2) would refuse is seen now. */
static bool check_target(const char *path, int partial)
{
	struct stat st, beside;

	if (lstat(path, &st)) {
		if (errno == ENOENT)
			return true;
		vdi_error("%s: %s", path, strerror(errno));
		return false;
	}
	if (!S_ISDIR(st.st_mode)) {
		vdi_error("%s is not a directory; give the name of a new one",
			  path);
		return false;
	}
	if (fstat(partial, &beside) || beside.st_dev != st.st_dev) {
		vdi_error("%s is where a file system is mounted; give the name of a new directory below it",
			  path);
		return false;
	}
	return is_empty(path);
}

/* Between mkdir and the lock somebody may have put something else there. */
static bool is_ours(struct backup *b)
{
	struct stat is, named;

	if (fstat(b->dir, &is) || lstat(b->partial, &named) ||
	    is.st_dev != named.st_dev || is.st_ino != named.st_ino) {
		vdi_error("%s was taken away by another vdi backup",
			  b->partial);
		return false;
	}
	if (is.st_uid != geteuid() || (is.st_mode & 022)) {
		vdi_error("%s belongs to somebody else, or others may write to it",
			  b->partial);
		return false;
	}
	return true;
}

/* Take DIR.partial, which a crashed run may have left. The lock tells. */
static bool make_partial(struct backup *b)
{
	if (mkdir(b->partial, 0700) && errno != EEXIST) {
		vdi_error("cannot create %s: %s", b->partial, strerror(errno));
		return false;
	}
	b->dir = open(b->partial, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
		      O_CLOEXEC);
	if (b->dir < 0) {
		vdi_error("cannot open %s: %s", b->partial, strerror(errno));
		return false;
	}
	if (flock(b->dir, LOCK_EX | LOCK_NB)) {
		vdi_error("%s is in use by another vdi backup", b->partial);
		return false;
	}
	return is_ours(b);
}

static bool ours(const char *name)
{
	static const char *const patterns[] = {
		"device-[0-9][0-9].data", "device-[0-9][0-9].medium-[0-9]*",
		MANIFEST_FILE, MANIFEST_FILE ".partial",
	};
	size_t i;

	for (i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		if (!fnmatch(patterns[i], name, 0))
			return true;
	}
	return false;
}

/* Only what we may have made; a foreign file keeps the directory. */
static void empty_partial(struct backup *b)
{
	int fd = openat(b->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	if (!dir)
		return;		/* then rmdir fails, and says so */
	while ((entry = readdir(dir))) {
		if (ours(entry->d_name))
			unlinkat(b->dir, entry->d_name, 0);
	}
	closedir(dir);
}

static bool good_name(const char *path)
{
	const char *last = strrchr(path, '/');

	last = last ? last + 1 : path;
	if (*last && strcmp(last, ".") && strcmp(last, ".."))
		return true;
	vdi_error("%s cannot become a backup; give the name of a new directory",
		  path);
	return false;
}

bool backup_dir_prepare(struct backup *b)
{
	size_t length = strlen(b->to);

	while (length > 1 && b->to[length - 1] == '/')
		length--;
	b->path = strndup(b->to, length);
	if (!b->path || asprintf(&b->partial, "%s.partial", b->path) < 0) {
		vdi_error("out of memory");
		return false;
	}
	if (!good_name(b->path) || !make_partial(b))
		return false;
	if (!check_target(b->path, b->dir)) {
		rmdir(b->partial);	/* unless a crashed run left something */
		return false;
	}
	b->hook_path = hook_directory(b->path);
	if (!b->hook_path) {
		vdi_error("%s: %s", b->path, strerror(errno));
		return false;
	}
	empty_partial(b);
	return true;
}

static bool fail_file(struct appliance *a, const char *doing, const char *name)
{
	appliance_fail(a, EXIT_FAILED, "cannot %s %s: %s", doing, name,
		       strerror(errno));
	return false;
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
	unsigned int i;

	*m = (struct manifest){
		.set = strdup(a->names.set),
		.started = b->started,
		.finished = time(NULL),
		.profile = medium_profile_of(a->config.features),
		.removable = a->config.features & VDF_Removable,
		.snapshot = b->snapshot_command,
		.config = a->config,
		.count = a->count,
	};
	for (i = 0; i < a->count; i++) {
		m->device[i].name = strdup(vdi_names_get(&a->names, i));
		if (!m->device[i].name ||
		    !medium_list_copy(&m->device[i].media,
				       &b->lane[i].drive.media))
			return false;
	}
	return m->set != NULL;
}

static bool finish_drives(struct appliance *a)
{
	struct backup *b = a->job;
	unsigned int i;

	for (i = 0; i < a->count; i++) {
		struct drive *drive = &b->lane[i].drive;
		bool ok;

		pthread_mutex_lock(&a->lane[i].lock);
		ok = drive_finish(drive);
		pthread_mutex_unlock(&a->lane[i].lock);
		if (!ok && drive->trouble != DRIVE_FINE)
			appliance_fail(a, EXIT_FAILED, "%s", drive->why);
		if (!ok || appliance_stopped(a))
			return false;
	}
	return true;
}

bool backup_dir_publish(struct appliance *a)
{
	struct backup *b = a->job;
	struct manifest m;
	bool ok = true;

	if (!finish_drives(a)) {
		appliance_interrupted(a);
		return false;
	}
	if (!make_manifest(a, &m)) {
		errno = ENOMEM;
		ok = false;
	}
	if (!ok || manifest_write(b->dir, &m))
		ok = fail_file(a, "write the manifest in", b->partial);
	manifest_free(&m);
	/* the database counts it as failed: so do we, while we can */
	if (ok && appliance_stopped(a)) {
		appliance_interrupted(a);
		return false;
	}
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

void backup_dir_discard(struct appliance *a)
{
	struct backup *b = a->job;
	struct stat st;

	if (stat(b->partial, &st)) {
		if (b->published)
			vdi_error("%s holds all that the database sent, but the database may not know",
				  b->path);
		return;
	}
	empty_partial(b);
	if (rmdir(b->partial))
		vdi_error("%s is left behind and is no backup: %s", b->partial,
			  strerror(errno));
	else if (!a->quiet)
		vdi_error("nothing was kept: %s is no backup", b->path);
}

void backup_dir_release(struct backup *b)
{
	unsigned int i;

	for (i = 0; i < VDI_MAX_DEVICES; i++)
		drive_close(&b->lane[i].drive);
	if (b->dir >= 0)
		close(b->dir);
	free(b->path);
	free(b->partial);
	free(b->hook_path);
}
