// SPDX-License-Identifier: GPL-2.0-only
/*
 * publish.c - a directory that is a complete backup or does not exist
 *
 * Names are looked up in the parent directory of DIR, which stays open, and
 * DIR.partial is accessed through its descriptor. Before a name is removed or
 * renamed, it is checked that it still refers to that descriptor. Nothing in the
 * directory is changed after the rename, even if a later step fails.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "publish.h"

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Does this name in the parent directory refer to p->dir? */
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
		vdi_error("cannot back up to %s: %s", p->path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (empty && (entry = readdir(dir)))
		empty = !strcmp(entry->d_name, ".") ||
			!strcmp(entry->d_name, "..");
	closedir(dir);
	if (!empty)
		vdi_error("cannot back up to %s: the directory is not empty; name a new directory",
			  p->path);
	return empty;
}

/* Can DIR become a backup? Reports early what rename(2) would reject. */
static bool check_target(const struct publication *p)
{
	struct stat st, beside;

	if (fstatat(p->parent, last_part(p->path), &st, AT_SYMLINK_NOFOLLOW)) {
		if (errno == ENOENT)
			return true;
		vdi_error("cannot back up to %s: %s", p->path, strerror(errno));
		return false;
	}
	if (!S_ISDIR(st.st_mode)) {
		vdi_error("cannot back up to %s: not a directory; name a new one",
			  p->path);
		return false;
	}
	if (fstat(p->dir, &beside) || beside.st_dev != st.st_dev) {
		vdi_error("cannot back up to %s: a file system is mounted there; name a new directory below it",
			  p->path);
		return false;
	}
	return is_empty(p);
}

/* ------------------------------------------------------------ the lock file */

#define LOCK_WORDS	"vdi backup of"

/* Host, boot and process that hold the lock. */
struct holder {
	char machine[64];
	char boot[64];
	char host[256];
	long pid;
};

static void read_word(const char *path, char *out, size_t size)
{
	FILE *file = fopen(path, "re");

	if (!file || !fgets(out, size, file) || *out == '\n')
		snprintf(out, size, "-");
	out[strcspn(out, " \n")] = '\0';
	if (file)
		fclose(file);
}

static void get_holder(struct holder *h)
{
	memset(h, 0, sizeof(*h));
	read_word("/etc/machine-id", h->machine, sizeof(h->machine));
	read_word("/proc/sys/kernel/random/boot_id", h->boot, sizeof(h->boot));
	if (gethostname(h->host, sizeof(h->host) - 1) || !*h->host)
		strcpy(h->host, "-");
	h->pid = getpid();
}

static bool same_host(const struct holder *a, const struct holder *b)
{
	if (!strcmp(a->boot, b->boot) && strcmp(a->boot, "-"))
		return true;
	if (strcmp(a->machine, "-") || strcmp(b->machine, "-"))
		return !strcmp(a->machine, b->machine);
	return !strcmp(a->host, b->host);
}

/* False: not a lock file. An empty lock file has no holder. */
static bool read_holder(int fd, struct holder *h, bool *empty)
{
	char text[512];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return false;
	text[n] = '\0';
	*empty = !n;
	return !n || sscanf(text, LOCK_WORDS " host %255s process %ld machine %63s boot %63s",
			    h->host, &h->pid, h->machine, h->boot) == 4;
}

static bool write_holder(const struct publication *p)
{
	struct holder h;

	get_holder(&h);
	if (!ftruncate(p->lock, 0) &&
	    dprintf(p->lock, LOCK_WORDS " host %s process %ld machine %s boot %s\n",
		    h.host, h.pid, h.machine, h.boot) > 0 && !fsync(p->lock))
		return true;
	vdi_error("cannot write %s: %s", p->lock_path, strerror(errno));
	return false;
}

/* May an existing lock file, which no process of this host has locked, be used? */
static bool may_take_over(const struct publication *p, int fd, int error)
{
	struct holder h, me;
	bool empty;

	get_holder(&me);
	if (!read_holder(fd, &h, &empty)) {
		vdi_error("cannot back up to %s: %s is not a lock file of vdi backup; name another directory",
			  p->path, p->lock_path);
		return false;
	}
	if (error) {
		vdi_error("cannot lock %s: %s; if no other vdi backup writes to %s, remove the file",
			  p->lock_path, strerror(error), p->partial);
		return false;
	}
	if (empty || same_host(&h, &me))
		return true;
	vdi_error("%s is in use by a vdi backup on host %s, process %ld; if that process has terminated, remove %s",
		  p->partial, h.host, h.pid, p->lock_path);
	return false;
}

static bool is_lock_file(const struct publication *p, int fd)
{
	struct stat is, named;

	return !fstat(fd, &is) &&
	       !fstatat(p->parent, last_part(p->lock_path), &named,
			AT_SYMLINK_NOFOLLOW) &&
	       is.st_dev == named.st_dev && is.st_ino == named.st_ino;
}

/* Open or create the lock file. -1 with errno; EAGAIN: it was just removed. */
static int open_lock(const struct publication *p, bool *created)
{
	const char *name = last_part(p->lock_path);
	struct stat st;
	int fd;

	fd = openat(p->parent, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
		    0600);
	*created = fd >= 0;
	if (fd >= 0 || errno != EEXIST)
		return fd;
	fd = file_open(p->parent, name, O_RDWR, &st);
	if (fd < 0 && errno == ENOENT)
		errno = EAGAIN;
	return fd;
}

/*
 * vdi list locks a file for a moment, to find out whether a backup does. A lock that
 * is held for longer is that of a backup.
 */
static int lock_exclusively(int fd)
{
	static const struct timespec interval = { .tv_nsec = 10000000 };
	int tries;

	for (tries = 0; flock(fd, LOCK_EX | LOCK_NB); tries++) {
		if (errno != EWOULDBLOCK || tries == 20)
			return -1;
		nanosleep(&interval, NULL);
	}
	return 0;
}

/*
 * If flock(2) does not work, or not between hosts, the existence of the file
 * locks out other backups. If it works, it distinguishes a file that is in use
 * from one that a crashed run has left.
 */
static bool take_lock(struct publication *p)
{
	bool created;
	int fd, error;

	for (;;) {
		fd = open_lock(p, &created);
		if (fd < 0 && errno == EAGAIN)
			continue;
		if (fd < 0) {
			vdi_error("cannot create %s: %s", p->lock_path,
				  strerror(errno));
			return false;
		}
		error = lock_exclusively(fd) ? errno : 0;
		if (error == EWOULDBLOCK) {
			vdi_error("%s is in use by another vdi backup",
				  p->partial);
			close(fd);
			return false;
		}
		if (is_lock_file(p, fd))
			break;
		close(fd);	/* of a run that has just terminated */
	}
	if (!created && !may_take_over(p, fd, error)) {
		close(fd);
		return false;
	}
	p->lock = fd;
	return write_holder(p);
}

static void drop_lock(struct publication *p)
{
	if (p->lock < 0)
		return;
	if (is_lock_file(p, p->lock))
		unlinkat(p->parent, last_part(p->lock_path), 0);
	close(p->lock);
}

/* --------------------------------------------------------- the directories */

/* Another process may have replaced the directory before it was locked. */
static bool is_ours(const struct publication *p)
{
	struct stat st;

	if (!is_named(p, p->partial) || fstat(p->dir, &st)) {
		vdi_error("%s was renamed or removed by another vdi backup",
			  p->partial);
		return false;
	}
	if (st.st_uid != geteuid() || (st.st_mode & 022)) {
		vdi_error("cannot use %s: it belongs to another user, or others may write to it",
			  p->partial);
		return false;
	}
	return true;
}

static bool lock_dir(const struct publication *p)
{
	if (!lock_exclusively(p->dir) || errno != EWOULDBLOCK)
		return true;
	vdi_error("%s is in use by another vdi backup", p->partial);
	return false;
}

/* Create or open DIR.partial; a crashed run may have left one. */
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
	/* in case the lock file was removed; not all file systems lock directories */
	return lock_dir(p) && is_ours(p);
}

bool publication_owns(const char *name)
{
	static const char *const patterns[] = {
		"device-[0-9][0-9].data", "device-[0-9][0-9].medium-[0-9]*",
		"device-[0-9][0-9].data.zst", "device-[0-9][0-9].data.lz4",
		"device-[0-9][0-9].data.filtered",
		"device-[0-9][0-9].data.zst.filtered",
		"device-[0-9][0-9].data.lz4.filtered",
		MANIFEST_FILE, MANIFEST_FILE ".partial",
	};
	size_t i;

	for (i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		if (!fnmatch(patterns[i], name, 0))
			return true;
	}
	return false;
}

/* Remove only files that vdi creates; with any other file the directory stays. */
static void empty_partial(const struct publication *p)
{
	int fd = openat(p->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	if (!dir)
		return;		/* removing the directory then fails and is reported */
	while ((entry = readdir(dir))) {
		if (publication_owns(entry->d_name))
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

	/* vdi list would take it for the remains of another run */
	if (!fnmatch("*.partial", last, 0) || !fnmatch("*.expired", last, 0)) {
		vdi_error("%s cannot become a backup: names that end with .partial or .expired are those of incomplete backups",
			  path);
		return false;
	}
	if (*last && strcmp(last, ".") && strcmp(last, ".."))
		return true;
	vdi_error("%s cannot become a backup; name a new directory",
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

static bool name_files(struct publication *p, const char *to)
{
	size_t length = strlen(to);

	*p = (struct publication){ .parent = -1, .dir = -1, .lock = -1 };
	while (length > 1 && to[length - 1] == '/')
		length--;
	p->path = strndup(to, length);
	if (!p->path || asprintf(&p->partial, "%s.partial", p->path) < 0) {
		p->partial = NULL;
		vdi_error("out of memory");
		return false;
	}
	if (asprintf(&p->lock_path, "%s.lock", p->partial) < 0) {
		p->lock_path = NULL;
		vdi_error("out of memory");
		return false;
	}
	return good_name(p->path) && open_parent(p);
}

bool publication_prepare(struct publication *p, const char *to)
{
	if (!name_files(p, to) || !take_lock(p) || !make_partial(p))
		return false;
	if (!check_target(p)) {
		/* fails if a crashed run has left files */
		remove_partial(p);
		return false;
	}
	empty_partial(p);
	return true;
}

/* ------------------------------------------------ what killed runs have left */

static bool can_share(int fd)
{
	if (flock(fd, LOCK_SH | LOCK_NB))
		return false;
	flock(fd, LOCK_UN);
	return true;
}

static bool is_lock_held(int fd, char *who, size_t size)
{
	struct holder h, me;
	bool empty;

	get_holder(&me);
	if (!read_holder(fd, &h, &empty)) {
		snprintf(who, size, "its lock file is not one of vdi backup");
		return true;
	}
	if (empty)
		snprintf(who, size, "by a vdi backup");
	else
		snprintf(who, size, "by process %ld on host %s", h.pid, h.host);
	return !can_share(fd) || (!empty && !same_host(&h, &me));
}

bool publication_busy(int parent, const char *name, int dir, char *who,
		      size_t size)
{
	char lock[NAME_MAX + 1];
	struct stat st;
	bool held;
	int fd;

	snprintf(lock, sizeof(lock), "%s.partial.lock", name);
	fd = file_open(parent, lock, O_RDONLY, &st);
	if (fd < 0 && errno != ENOENT) {
		snprintf(who, size, "cannot open its lock file: %s",
			 strerror(errno));
		return true;
	}
	held = fd >= 0 && is_lock_held(fd, who, size);
	if (fd >= 0)
		close(fd);
	if (held || dir < 0 || can_share(dir) || errno != EWOULDBLOCK)
		return held;
	snprintf(who, size, "by a process without a lock file");
	return true;
}

bool publication_adopt(struct publication *p, const char *path)
{
	if (!name_files(p, path) || !take_lock(p))
		return false;
	p->dir = openat(p->parent, last_part(p->partial), O_RDONLY |
			O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (p->dir >= 0)
		return lock_dir(p);
	if (errno == ENOENT)
		return true;
	vdi_error("cannot open %s: %s", p->partial, strerror(errno));
	return false;
}

/* ---------------------------------------------------------------- publishing */

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
		return fail(p, "read the status of", name);
	snprintf(p->why, sizeof(p->why), "%s/%s was %s by another program",
		 p->partial, name, there ? "replaced or changed" : "removed");
	return false;
}

/* Does every name refer to the file that was written? */
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
	/* this also replaces an existing empty directory */
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
	if (p->stream)
		return publish_stream(p, stop, context);
	if (p->chunks)
		return publish_chunks(p, manifest, stop, context);
	if (manifest_write(p->dir, manifest, &id))
		return fail(p, "write the manifest in", p->partial);
	/* after an abort the database reports a failure: do not publish */
	if (stop(context))
		return false;
	if (!check_files(p, manifest, &id) || !rename_partial(p))
		return false;
	return !fsync(p->parent) ||
	       fail(p, "flush the directory of", p->path);
}

bool publication_discard(struct publication *p, bool quiet)
{
	if (p->stream)
		return discard_stream(p, quiet);
	if (p->chunks)
		return discard_chunks(p, quiet);
	if (p->published) {
		vdi_error("%s holds the complete backup, but the database may count it as failed",
			  p->path);
		return false;
	}
	if (!is_named(p, p->partial)) {
		vdi_error("%s was renamed, replaced or removed by another program: the data written there is not a backup",
			  p->partial);
		return false;
	}
	empty_partial(p);
	if (remove_partial(p)) {
		vdi_error("cannot remove %s, which is not a backup: %s",
			  p->partial, strerror(errno));
		return false;
	}
	if (!quiet)
		vdi_error("%s was removed, no backup was made", p->partial);
	return true;
}

void publication_release(struct publication *p)
{
	if (p->dir >= 0)
		close(p->dir);
	drop_lock(p);
	if (p->parent >= 0)
		close(p->parent);
	chunk_close(p->chunks);
	free(p->path);
	free(p->partial);
	free(p->lock_path);
	*p = (struct publication){ .parent = -1, .dir = -1, .lock = -1 };
}
