// SPDX-License-Identifier: GPL-2.0-only
/*
 * place_dir.c - a directory that holds backups
 *
 * DIR is a backup, DIR.partial is being written or was left by a run that was
 * killed, and DIR.expired is being removed. A backup is removed in these steps:
 * rename it to DIR.expired, remove the manifest, then the other files. After the
 * first step the name says that it is none. Files of others are never removed.
 *
 * Every directory is accessed through its descriptor.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "place.h"
#include "publish.h"

#define PARTIAL	".partial"
#define LOCK	".partial.lock"
#define EXPIRED	".expired"

static bool ends_with(const char *name, const char *suffix)
{
	size_t length = strlen(name), end = strlen(suffix);

	return length > end && !strcmp(name + length - end, suffix);
}

/* The name without a suffix, in memory of the caller. */
static void cut_suffix(const char *name, const char *suffix, char *out,
		       size_t size)
{
	snprintf(out, size, "%.*s", (int)(strlen(name) - strlen(suffix)), name);
}

static int open_below(const struct backup_place *p, const char *name)
{
	return openat(p->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
		      O_CLOEXEC);
}

/* An independent stream of directory entries; NULL with errno. */
static DIR *open_stream(int fd)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;

	if (!dir && copy >= 0)
		close(copy);
	return dir;
}

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* ------------------------------------------------------------- enumeration */

static bool is_directory(const struct backup_place *p,
			 const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return !fstatat(p->dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
	       S_ISDIR(st.st_mode);
}

static int dir_enumerate(struct backup_place *p)
{
	DIR *dir = open_stream(p->dir);
	struct dirent *entry;
	bool memory = true;
	int error;

	errno = dir ? 0 : errno;
	while (dir && memory && (errno = 0, entry = readdir(dir))) {
		if (*entry->d_name != '.' &&
		    (ends_with(entry->d_name, LOCK) || is_directory(p, entry)))
			memory = place_add(p, entry->d_name);
	}
	error = memory ? errno : ENOMEM;
	if (dir)
		closedir(dir);
	if (!error)
		return EXIT_OK;
	vdi_error("cannot read the directory %s: %s", p->path, strerror(error));
	return EXIT_FAILED;
}

/* ------------------------------------------------------------- examination */

struct contents {
	bool manifest;
	bool data;		/* files of devices */
	bool foreign;		/* anything else */
	char other[256];	/* a foreign name */
	uint64_t bytes;
	int64_t newest;
};

static void count_file(int fd, const char *name, struct contents *c)
{
	struct stat st;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW))
		return;		/* removed meanwhile */
	if (!publication_owns(name) || S_ISDIR(st.st_mode)) {
		c->foreign = true;
		snprintf(c->other, sizeof(c->other), "%s", name);
		return;
	}
	if (!strcmp(name, MANIFEST_FILE))
		c->manifest = true;
	else
		c->data = true;
	c->bytes += st.st_size;
	if (st.st_mtim.tv_sec > c->newest)
		c->newest = st.st_mtim.tv_sec;
}

/* False with errno. */
static bool read_contents(int fd, struct contents *c)
{
	struct dirent *entry;
	struct stat st;
	int error;
	DIR *dir;

	*c = (struct contents){ .manifest = false };
	if (fstat(fd, &st))
		return false;
	c->newest = st.st_mtim.tv_sec;
	dir = open_stream(fd);
	if (!dir)
		return false;
	while ((errno = 0, entry = readdir(dir))) {
		if (!is_dots(entry->d_name))
			count_file(fd, entry->d_name, c);
	}
	error = errno;
	closedir(dir);
	errno = error;
	return !error;
}

static void check_media(struct place_entry *e, int fd)
{
	enum drive_trouble trouble;
	unsigned int i, k;
	char why[128];

	for (i = 0; i < e->manifest.count; i++) {
		const struct medium_list *media = &e->manifest.device[i].media;

		for (k = 0; k < media->count; k++) {
			const char *name = media->file[k].name;
			int file = medium_open_listed(fd, &media->file[k],
						      &trouble, why,
						      sizeof(why));

			if (file >= 0) {
				close(file);
				continue;
			}
			e->state = trouble == DRIVE_DAMAGED ? BACKUP_DAMAGED :
							      BACKUP_UNREADABLE;
			snprintf(e->why, sizeof(e->why), "%.100s: %s", name,
				 why);
			return;
		}
	}
}

/* False: the directory has a manifest.json, but not one of vdi. */
static bool examine_backup(struct place_entry *e, int fd,
			   const struct contents *c)
{
	const char *why = NULL;
	int rc;

	if (!c->manifest && !c->data)
		return false;
	if (!c->manifest) {
		place_set_state(e, BACKUP_INCOMPLETE, "it has no " MANIFEST_FILE);
		return true;
	}
	rc = manifest_read(fd, &e->manifest, &why);
	if (rc != EXIT_OK) {
		place_set_state(e, rc == EXIT_DAMAGED ? BACKUP_DAMAGED :
			  BACKUP_UNREADABLE, why);
		return c->data || !c->foreign;
	}
	e->described = true;
	if (file_identify_name(fd, MANIFEST_FILE, &e->identity)) {
		place_set_state(e, BACKUP_UNREADABLE, strerror(errno));
		return true;
	}
	place_set_state(e, BACKUP_WHOLE, "");
	check_media(e, fd);
	return true;
}

static bool examine_partial(struct backup_place *p, struct place_entry *e,
			    int fd, const struct contents *c)
{
	char name[NAME_MAX + 1], who[160];

	if (c->foreign && !c->data && !c->manifest)
		return false;
	cut_suffix(e->name, PARTIAL, name, sizeof(name));
	if (publication_busy(p->dir, name, fd, who, sizeof(who)))
		place_set_state(e, BACKUP_WRITING, who);
	else
		place_set_state(e, BACKUP_REMAINS, "the vdi backup was interrupted");
	return true;
}

static bool examine_expired(struct place_entry *e, int fd,
			    const struct contents *c)
{
	if (c->foreign && !c->data && !c->manifest)
		return false;
	if (flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK)
		place_set_state(e, BACKUP_EXPIRED, "vdi expire is removing it");
	else
		place_set_state(e, BACKUP_EXPIRED, "vdi expire was interrupted");
	return true;
}

/* A lock file beside DIR.partial is examined with that. */
static bool examine_lock(struct backup_place *p, struct place_entry *e)
{
	char name[NAME_MAX + 1], partial[NAME_MAX + 1], who[160];
	struct stat st;

	cut_suffix(e->name, ".lock", partial, sizeof(partial));
	if (!fstatat(p->dir, partial, &st, AT_SYMLINK_NOFOLLOW) ||
	    fstatat(p->dir, e->name, &st, AT_SYMLINK_NOFOLLOW) ||
	    !S_ISREG(st.st_mode))
		return false;
	e->changed = st.st_mtim.tv_sec;
	cut_suffix(e->name, LOCK, name, sizeof(name));
	if (publication_busy(p->dir, name, -1, who, sizeof(who)))
		return false;
	place_set_state(e, BACKUP_LOCK, "left by a vdi backup that was interrupted");
	return true;
}

/* The backup may have been published, or removed, since its name was read. */
static bool follow_rename(struct backup_place *p, const struct place_entry *e)
{
	char name[NAME_MAX + 1];

	if (!p->only && ends_with(e->name, PARTIAL)) {
		cut_suffix(e->name, PARTIAL, name, sizeof(name));
		place_add(p, name);
	}
	return false;
}

static bool dir_examine(struct backup_place *p, struct place_entry *e)
{
	struct contents c;
	bool found;
	int fd;

	if (ends_with(e->name, LOCK))
		return examine_lock(p, e);
	fd = open_below(p, e->name);
	if (fd < 0 && errno == ENOENT)
		return follow_rename(p, e);
	if (fd < 0 || !read_contents(fd, &c)) {
		place_set_state(e, BACKUP_UNREADABLE, strerror(errno));
		if (fd >= 0)
			close(fd);
		return true;
	}
	e->stored = c.bytes;
	e->changed = c.newest;
	if (ends_with(e->name, PARTIAL))
		found = examine_partial(p, e, fd, &c);
	else if (ends_with(e->name, EXPIRED))
		found = examine_expired(e, fd, &c);
	else
		found = examine_backup(e, fd, &c);
	close(fd);
	return found;
}

/* ----------------------------------------------------------------- removal */

static enum place_removal cannot(char *why, size_t size, const char *doing)
{
	snprintf(why, size, "cannot %s: %s", doing, strerror(errno));
	return PLACE_KEPT;
}

/* Only files of vdi, and no process reads them? */
static enum place_removal may_remove(int fd, char *why, size_t size)
{
	struct contents c;

	if (flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
		snprintf(why, size, "in use by another process");
		return PLACE_IN_USE;
	}
	if (!read_contents(fd, &c))
		return cannot(why, size, "read the directory");
	if (!c.foreign)
		return PLACE_REMOVED;
	snprintf(why, size, "it contains %.200s, which is not of vdi", c.other);
	return PLACE_KEPT;
}

static bool remove_data(int fd)
{
	DIR *dir = open_stream(fd);
	struct dirent *entry;
	int error = 0;

	if (!dir)
		return false;
	while (!error && (errno = 0, entry = readdir(dir))) {
		if (publication_owns(entry->d_name) &&
		    unlinkat(fd, entry->d_name, 0) && errno != ENOENT)
			error = errno;
	}
	error = error ? : errno;
	closedir(dir);
	errno = error;
	return !error;
}

/* Remove DIR.expired, the manifest durably before the data. */
static enum place_removal remove_expired(struct backup_place *p,
					 const char *name, int fd, char *why,
					 size_t size)
{
	if (unlinkat(fd, MANIFEST_FILE, 0) && errno != ENOENT)
		return cannot(why, size, "remove " MANIFEST_FILE);
	if (fsync(fd))
		return cannot(why, size, "flush the directory");
	if (!remove_data(fd))
		return cannot(why, size, "remove its files");
	if (unlinkat(p->dir, name, AT_REMOVEDIR) && errno != ENOENT)
		return cannot(why, size, "remove the directory");
	if (fsync(p->dir))
		return cannot(why, size, "flush the directory above");
	return PLACE_REMOVED;
}

/* Not all file systems have RENAME_NOREPLACE; rename(2) replaces an empty one. */
static bool rename_expired(struct backup_place *p, const char *name,
			   const char *expired)
{
	if (!renameat2(p->dir, name, p->dir, expired, RENAME_NOREPLACE))
		return true;
	return errno == EINVAL && !renameat(p->dir, name, p->dir, expired);
}

static enum place_removal retire(struct backup_place *p,
				 const struct place_entry *e, int fd, char *why,
				 size_t size)
{
	char expired[NAME_MAX + 1];
	struct file_identity now;
	struct stat is, named;

	if (file_identify_name(fd, MANIFEST_FILE, &now) ||
	    !file_same(&e->identity, &now) || fstat(fd, &is) ||
	    fstatat(p->dir, e->name, &named, AT_SYMLINK_NOFOLLOW) ||
	    is.st_dev != named.st_dev || is.st_ino != named.st_ino) {
		snprintf(why, size, "it was replaced or changed meanwhile");
		return PLACE_KEPT;
	}
	if ((size_t)snprintf(expired, sizeof(expired), "%s" EXPIRED, e->name) >=
	    sizeof(expired)) {
		errno = ENAMETOOLONG;
		return cannot(why, size, "rename it");
	}
	if (!rename_expired(p, e->name, expired))
		return cannot(why, size, "rename it");
	if (fsync(p->dir))
		return cannot(why, size, "flush the directory above");
	return remove_expired(p, expired, fd, why, size);
}

/* DIR.partial, or its lock file alone: as the next backup to DIR would do. */
static enum place_removal remove_remains(struct place_entry *e, char *why,
					 size_t size)
{
	const char *suffix = e->state == BACKUP_LOCK ? LOCK : PARTIAL;
	char *path = strndup(e->path, strlen(e->path) - strlen(suffix));
	struct publication p;
	bool ok;

	if (!path)
		return cannot(why, size, "remove it");
	snprintf(why, size, "see the message");
	ok = publication_adopt(&p, path);
	if (ok && p.dir >= 0)
		ok = publication_discard(&p, true) && !fsync(p.parent);
	publication_release(&p);
	free(path);
	return ok ? PLACE_REMOVED : PLACE_KEPT;
}

static enum place_removal remove_partial(struct place_entry *e, int fd,
					 char *why, size_t size)
{
	struct contents c;

	if (!read_contents(fd, &c))
		return cannot(why, size, "read the directory");
	if (!c.foreign)
		return remove_remains(e, why, size);
	snprintf(why, size, "it contains %.200s, which is not of vdi", c.other);
	return PLACE_KEPT;
}

static enum place_removal remove_backup(struct backup_place *p,
					const struct place_entry *e, int fd,
					char *why, size_t size)
{
	enum place_removal result = may_remove(fd, why, size);

	if (result != PLACE_REMOVED)
		return result;
	return e->state == BACKUP_EXPIRED ?
		remove_expired(p, e->name, fd, why, size) :
		retire(p, e, fd, why, size);
}

static enum place_removal dir_remove(struct backup_place *p,
				     struct place_entry *e, char *why,
				     size_t size)
{
	enum place_removal result;
	int fd;

	if (e->state == BACKUP_LOCK)
		return remove_remains(e, why, size);
	fd = open_below(p, e->name);
	if (fd < 0 && errno == ENOENT)
		return PLACE_REMOVED;	/* by another vdi expire */
	if (fd < 0)
		return cannot(why, size, "open it");
	result = e->state == BACKUP_REMAINS ? remove_partial(e, fd, why, size) :
					      remove_backup(p, e, fd, why, size);
	close(fd);
	return result;
}

static void dir_close(struct backup_place *p)
{
	if (p->dir >= 0)
		close(p->dir);
	p->dir = -1;
}

const struct place_ops place_dir_ops = {
	.enumerate = dir_enumerate,
	.examine = dir_examine,
	.remove = dir_remove,
	.close = dir_close,
};

/* ---------------------------------------------------------------- opening */

/* A directory with a file of vdi in it is a backup, not a place. */
static bool is_backup(int dir)
{
	struct contents c;
	struct stat st;

	if (!fstatat(dir, MANIFEST_FILE, &st, AT_SYMLINK_NOFOLLOW))
		return true;
	return read_contents(dir, &c) && c.data;
}

/* The place is the directory above, and has this one entry. */
static int use_parent(struct backup_place *p, const char *path)
{
	char *real = realpath(path, NULL), *slash;
	int rc = EXIT_FAILED;

	slash = real ? strrchr(real, '/') : NULL;
	if (slash && slash[1]) {
		close(p->dir);
		p->only = strdup(slash + 1);
		slash[slash == real] = '\0';
		p->path = strdup(real);
		p->dir = open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		rc = p->only && p->path && p->dir >= 0 ? EXIT_OK : EXIT_FAILED;
	}
	if (rc != EXIT_OK)
		vdi_error("cannot open the directory above %s: %s", path,
			  strerror(errno));
	free(real);
	return rc;
}

int place_dir_open(struct backup_place *p, const char *path)
{
	p->ops = &place_dir_ops;
	p->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->dir < 0) {
		vdi_error("cannot open %s: %s", path, strerror(errno));
		return EXIT_FAILED;
	}
	if (is_backup(p->dir))
		return use_parent(p, path);
	p->path = strdup(path);
	if (p->path)
		return EXIT_OK;
	vdi_error("out of memory");
	return EXIT_FAILED;
}
