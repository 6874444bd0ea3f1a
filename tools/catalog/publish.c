// SPDX-License-Identifier: GPL-2.0-only
/*
 * publish.c - a directory that is a whole backup or does not exist
 *
 * Names are looked up in the directory that holds DIR, which stays open, and
 * DIR.partial is used through its descriptor. Before anything is removed or
 * renamed by name, the name must still stand for that descriptor. After the
 * rename nothing in the directory is changed, whatever fails then.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "publish.h"

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Does this name in the parent directory stand for p->dir? */
static bool is_named(const struct publication *p, const char *path)
{
	struct stat is, named;

	return !fstat(p->dir, &is) &&
	       !fstatat(p->parent, last_part(path), &named,
			AT_SYMLINK_NOFOLLOW) &&
	       is.st_dev == named.st_dev && is.st_ino == named.st_ino;
}

static bool is_empty(const struct publication *p)
{
	struct dirent *entry;
	bool empty = true;
	DIR *dir;
	int fd;

	fd = openat(p->parent, last_part(p->path), O_RDONLY | O_DIRECTORY |
		    O_NOFOLLOW | O_CLOEXEC);
	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		vdi_error("%s: %s", p->path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (empty && (entry = readdir(dir)))
		empty = !strcmp(entry->d_name, ".") ||
			!strcmp(entry->d_name, "..");
	closedir(dir);
	if (!empty)
		vdi_error("%s is not empty; give the name of a new directory",
			  p->path);
	return empty;
}

/* Is DIR free to become a backup? What rename(2) would refuse is seen now. */
static bool check_target(const struct publication *p)
{
	struct stat st, beside;

	if (fstatat(p->parent, last_part(p->path), &st, AT_SYMLINK_NOFOLLOW)) {
		if (errno == ENOENT)
			return true;
		vdi_error("%s: %s", p->path, strerror(errno));
		return false;
	}
	if (!S_ISDIR(st.st_mode)) {
		vdi_error("%s is not a directory; give the name of a new one",
			  p->path);
		return false;
	}
	if (fstat(p->dir, &beside) || beside.st_dev != st.st_dev) {
		vdi_error("%s is where a file system is mounted; give the name of a new directory below it",
			  p->path);
		return false;
	}
	return is_empty(p);
}

/* Another process may have replaced the directory before it was locked. */
static bool is_ours(const struct publication *p)
{
	struct stat st;

	if (!is_named(p, p->partial) || fstat(p->dir, &st)) {
		vdi_error("%s was taken away by another vdi backup",
			  p->partial);
		return false;
	}
	if (st.st_uid != geteuid() || (st.st_mode & 022)) {
		vdi_error("%s belongs to another user, or others may write to it",
			  p->partial);
		return false;
	}
	return true;
}

/* Take DIR.partial, which a crashed run may have left; the lock decides. */
static bool make_partial(struct publication *p)
{
	const char *name = last_part(p->partial);

	if (mkdirat(p->parent, name, 0700) && errno != EEXIST) {
		vdi_error("cannot create %s: %s", p->partial, strerror(errno));
		return false;
	}
	p->dir = openat(p->parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
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

/* Only files that vdi creates; any other file keeps the directory. */
static void empty_partial(const struct publication *p)
{
	int fd = openat(p->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	if (!dir)
		return;		/* then the removal fails, and says so */
	while ((entry = readdir(dir))) {
		if (ours(entry->d_name))
			unlinkat(p->dir, entry->d_name, 0);
	}
	closedir(dir);
}

static int remove_partial(const struct publication *p)
{
	return unlinkat(p->parent, last_part(p->partial), AT_REMOVEDIR);
}

static bool good_name(const char *path)
{
	const char *last = last_part(path);

	if (*last && strcmp(last, ".") && strcmp(last, ".."))
		return true;
	vdi_error("%s cannot become a backup; give the name of a new directory",
		  path);
	return false;
}

static bool open_parent(struct publication *p)
{
	size_t length = last_part(p->path) - p->path;
	char *parent = length ? strndup(p->path, length) : strdup(".");

	if (!parent) {
		vdi_error("out of memory");
		return false;
	}
	p->parent = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->parent < 0)
		vdi_error("cannot create %s: %s", p->partial, strerror(errno));
	free(parent);
	return p->parent >= 0;
}

bool publication_prepare(struct publication *p, const char *to)
{
	size_t length = strlen(to);

	*p = (struct publication){ .parent = -1, .dir = -1 };
	while (length > 1 && to[length - 1] == '/')
		length--;
	p->path = strndup(to, length);
	if (!p->path || asprintf(&p->partial, "%s.partial", p->path) < 0) {
		p->partial = NULL;
		vdi_error("out of memory");
		return false;
	}
	if (!good_name(p->path) || !open_parent(p) || !make_partial(p))
		return false;
	if (!check_target(p)) {
		/* unless a crashed run left something */
		remove_partial(p);
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

static bool fail_replaced(struct publication *p, const char *path)
{
	snprintf(p->why, sizeof(p->why),
		 "%s is not the directory that was written: it was renamed, replaced or removed by another program",
		 path);
	return false;
}

static bool check_file(struct publication *p, const char *name,
		       const struct file_identity *written)
{
	struct file_identity now;
	bool there = !file_identify_name(p->dir, name, &now);

	if (there && file_same(written, &now))
		return true;
	if (!there && errno != ENOENT)
		return fail(p, "look at", name);
	snprintf(p->why, sizeof(p->why), "%s/%s was %s by another program",
		 p->partial, name, there ? "replaced or changed" : "removed");
	return false;
}

/* Does every name stand for the file that was written? */
static bool check_files(struct publication *p, const struct manifest *m,
			const struct file_identity *manifest)
{
	unsigned int i, k;

	for (i = 0; i < m->count; i++) {
		const struct medium_list *media = &m->device[i].media;

		for (k = 0; k < media->count; k++) {
			if (!check_file(p, media->file[k].name,
					&media->file[k].identity))
				return false;
		}
	}
	return check_file(p, MANIFEST_FILE, manifest);
}

static bool rename_partial(struct publication *p)
{
	if (!is_named(p, p->partial))
		return fail_replaced(p, p->partial);
	/* over an empty directory that was there before, too */
	if (renameat(p->parent, last_part(p->partial), p->parent,
		     last_part(p->path)))
		return fail(p, "rename to", p->path);
	p->published = is_named(p, p->path);
	return p->published || fail_replaced(p, p->path);
}

bool publication_publish(struct publication *p, const struct manifest *manifest,
			 bool (*stop)(void *context), void *context)
{
	struct file_identity id;

	*p->why = '\0';
	if (manifest_write(p->dir, manifest, &id))
		return fail(p, "write the manifest in", p->partial);
	/* the database counts it as failed: so do we, while we can */
	if (stop(context))
		return false;
	if (!check_files(p, manifest, &id) || !rename_partial(p))
		return false;
	return !fsync(p->parent) ||
	       fail(p, "flush the directory of", p->path);
}

void publication_discard(struct publication *p, bool quiet)
{
	if (p->published) {
		vdi_error("%s holds all that the database sent, but the database may not know",
			  p->path);
		return;
	}
	if (!is_named(p, p->partial)) {
		vdi_error("%s was renamed, replaced or removed by another program: what was written there is no backup",
			  p->partial);
		return;
	}
	empty_partial(p);
	if (remove_partial(p))
		vdi_error("%s is left behind and is no backup: %s", p->partial,
			  strerror(errno));
	else if (!quiet)
		vdi_error("nothing was kept: %s is no backup", p->path);
}

void publication_release(struct publication *p)
{
	if (p->dir >= 0)
		close(p->dir);
	if (p->parent >= 0)
		close(p->parent);
	free(p->path);
	free(p->partial);
	*p = (struct publication){ .parent = -1, .dir = -1 };
}
