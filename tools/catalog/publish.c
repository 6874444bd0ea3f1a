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
#include <unistd.h>

#include "publish.h"

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
static bool is_ours(struct publication *p)
{
	struct stat is, named;

	if (fstat(p->dir, &is) || lstat(p->partial, &named) ||
	    is.st_dev != named.st_dev || is.st_ino != named.st_ino) {
		vdi_error("%s was taken away by another vdi backup",
			  p->partial);
		return false;
	}
	if (is.st_uid != geteuid() || (is.st_mode & 022)) {
		vdi_error("%s belongs to somebody else, or others may write to it",
			  p->partial);
		return false;
	}
	return true;
}

/* Take DIR.partial, which a crashed run may have left. The lock tells. */
static bool make_partial(struct publication *p)
{
	if (mkdir(p->partial, 0700) && errno != EEXIST) {
		vdi_error("cannot create %s: %s", p->partial, strerror(errno));
		return false;
	}
	p->dir = open(p->partial, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
		      O_CLOEXEC);
	if (p->dir < 0) {
		vdi_error("cannot open %s: %s", p->partial, strerror(errno));
		return false;
	}
	if (flock(p->dir, LOCK_EX | LOCK_NB)) {
		vdi_error("%s is in use by another vdi backup", p->partial);
		return false;
	}
	return is_ours(p);
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
static void empty_partial(struct publication *p)
{
	int fd = openat(p->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	if (!dir)
		return;		/* then rmdir fails, and says so */
	while ((entry = readdir(dir))) {
		if (ours(entry->d_name))
			unlinkat(p->dir, entry->d_name, 0);
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

bool publication_prepare(struct publication *p, const char *to)
{
	size_t length = strlen(to);

	*p = (struct publication){ .dir = -1 };
	while (length > 1 && to[length - 1] == '/')
		length--;
	p->path = strndup(to, length);
	if (!p->path || asprintf(&p->partial, "%s.partial", p->path) < 0) {
		vdi_error("out of memory");
		return false;
	}
	if (!good_name(p->path) || !make_partial(p))
		return false;
	if (!check_target(p->path, p->dir)) {
		rmdir(p->partial);	/* unless a crashed run left something */
		return false;
	}
	empty_partial(p);
	return true;
}

static bool fail(struct publication *p, const char *doing, const char *name)
{
	snprintf(p->why, sizeof(p->why), "cannot %s %s: %s", doing, name,
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

bool publication_publish(struct publication *p, const struct manifest *manifest,
			 bool (*stop)(void *context), void *context)
{
	*p->why = '\0';
	if (manifest_write(p->dir, manifest))
		return fail(p, "write the manifest in", p->partial);
	/* the database counts it as failed: so do we, while we can */
	if (stop(context))
		return false;
	/* over an empty directory that was there before, too */
	if (rename(p->partial, p->path))
		return fail(p, "rename to", p->path);
	if (!sync_parent(p->path)) {
		fail(p, "flush the directory of", p->path);
		/* what may be gone after a crash is no backup either */
		if (rename(p->path, p->partial))
			vdi_error("remove %s: it may not be durable", p->path);
		return false;
	}
	p->published = true;
	return true;
}

void publication_discard(struct publication *p, bool quiet)
{
	struct stat st;

	if (stat(p->partial, &st)) {
		if (p->published)
			vdi_error("%s holds all that the database sent, but the database may not know",
				  p->path);
		return;
	}
	empty_partial(p);
	if (rmdir(p->partial))
		vdi_error("%s is left behind and is no backup: %s", p->partial,
			  strerror(errno));
	else if (!quiet)
		vdi_error("nothing was kept: %s is no backup", p->path);
}

void publication_release(struct publication *p)
{
	if (p->dir >= 0)
		close(p->dir);
	free(p->path);
	free(p->partial);
	*p = (struct publication){ .dir = -1 };
}
