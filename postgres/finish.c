// SPDX-License-Identifier: GPL-2.0-only
/*
 * finish.c - checks a restored data directory, completes it, makes it durable
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "unpack.h"

/* Without these files the server does not start, or starts without recovery. */
static bool check_base(struct unpack *u)
{
	static const char * const names[] = {
		"PG_VERSION", "global/pg_control", LABEL_FILE,
	};
	struct stat st;
	size_t i;
	int dir;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *slash = strchr(names[i], '/');

		dir = beneath_open(u->base.dir, slash ? "global" : "");
		if (dir < 0 ||
		    fstatat(dir, slash ? slash + 1 : names[i], &st,
			    AT_SYMLINK_NOFOLLOW) ||
		    !S_ISREG(st.st_mode) || !st.st_size) {
			if (dir >= 0)
				close(dir);
			return db_fail(u->db, EXIT_DAMAGED,
				       "the backup is not a data directory: it has no %s",
				       names[i]);
		}
		close(dir);
	}
	return true;
}

bool unpack_check_mappings(struct unpack *u)
{
	int i;

	for (i = 0; i < u->mappings; i++) {
		if (!u->mapping[i].used)
			return db_fail(u->db, EXIT_FAILED,
				       "-T %s=%s: the backup has no tablespace at %s",
				       u->mapping[i].from, u->mapping[i].to,
				       u->mapping[i].from);
	}
	return true;
}

static bool make_links(struct unpack *u)
{
	bool ok = true;
	int dir, i;

	if (!u->tablespaces)
		return true;
	dir = beneath_open(u->base.dir, LINKS);
	if (dir < 0)
		return unpack_fail_write(u, &u->base, LINKS);
	for (i = 0; ok && i < u->tablespaces; i++) {
		const struct tablespace *t = &u->tablespace[i];

		if (symlinkat(t->place.path, dir, t->oid))
			ok = unpack_fail_write(u, &u->base, t->oid);
	}
	close(dir);
	return ok;
}

/* In the format of the server. */
static bool map_text(struct unpack *u, char **text, size_t *size)
{
	FILE *file = open_memstream(text, size);
	const char *c;
	int i;

	for (i = 0; file && i < u->tablespaces; i++) {
		fprintf(file, "%s ", u->tablespace[i].oid);
		for (c = u->tablespace[i].place.path; *c; c++) {
			if (*c == '\n' || *c == '\r' || *c == '\\')
				fputc('\\', file);
			fputc(*c, file);
		}
		fputc('\n', file);
	}
	if (file && !fclose(file))
		return true;
	return db_fail(u->db, EXIT_FAILED, "out of memory");
}

static bool holds(int fd, const char *text, size_t size)
{
	char *found = malloc(size + 1);
	ssize_t n = found ? read(fd, found, size + 1) : -1;
	bool same = n == (ssize_t)size && !memcmp(found, text, size);

	free(found);
	return same;
}

/*
 * The server creates its links again from tablespace_map, which must therefore name
 * the restored tablespaces, and nothing else.
 */
static bool write_map(struct unpack *u)
{
	static const char name[] = "tablespace_map";
	int fd = openat(u->base.dir, name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char *text = NULL;
	size_t size = 0;
	bool ok;

	if (fd < 0 && errno == ENOENT && !u->mapped)
		return true;
	if (fd < 0 && errno != ENOENT)
		return unpack_fail_write(u, &u->base, name);
	ok = map_text(u, &text, &size);
	if (ok && (fd < 0 || !holds(fd, text, size))) {
		if (fd >= 0)
			close(fd);
		fd = beneath_create(u->base.dir, name);
		if (fd < 0 || !unpack_write_all(fd, text, size))
			ok = unpack_fail_write(u, &u->base, name);
	}
	if (fd >= 0 && close(fd) && ok)
		ok = unpack_fail_write(u, &u->base, name);
	free(text);
	return ok;
}

/* ------------------------------------------------------- recovery settings */

#define AUTO_CONF	"postgresql.auto.conf"
#define AUTO_CONF_MAX	(1 << 20)
#define SIGNAL		"recovery.signal"
#define STANDBY		"standby.signal"

char *unpack_read_file(struct unpack *u, const char *name, size_t max, size_t *size)
{
	int fd = openat(u->base.dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char *text = NULL;
	struct stat st;
	ssize_t n = -1;
	int saved;

	*size = 0;
	if (fd < 0)
		return NULL;
	if (!fstat(fd, &st))
		errno = !S_ISREG(st.st_mode) ? EINVAL : (size_t)st.st_size > max ? EFBIG : 0;
	if (!errno)
		text = malloc(st.st_size + 1);
	if (text)
		n = pread(fd, text, st.st_size, 0);
	saved = errno;
	close(fd);
	if (text && n == st.st_size) {
		text[n] = '\0';
		*size = n;
		return text;
	}
	free(text);
	errno = saved ? : EIO;
	return NULL;
}

static bool write_new(struct unpack *u, const char *name, const char *first, size_t size,
		      const char *second)
{
	int fd = beneath_create(u->base.dir, name);
	bool ok = fd >= 0 && unpack_write_all(fd, first, size) &&
		  unpack_write_all(fd, second, strlen(second));

	if (!ok)
		unpack_fail_write(u, &u->base, name);
	if (fd >= 0 && close(fd) && ok)
		ok = unpack_fail_write(u, &u->base, name);
	return ok;
}

/* Append, as pg_basebackup -R does. A settings file that lacks its last newline gets one. */
static bool append_settings(struct unpack *u, const char *settings)
{
	size_t size;
	char *old = unpack_read_file(u, AUTO_CONF, AUTO_CONF_MAX, &size);
	bool ok;

	if (!old && errno != ENOENT)
		return db_fail(u->db, EXIT_FAILED, "cannot read %s/" AUTO_CONF ": %s",
			       u->base.path, strerror(errno));
	if (size && old[size - 1] != '\n')
		old[size++] = '\n';
	ok = write_new(u, AUTO_CONF, old ? : "", size, settings);
	free(old);
	return ok;
}

/* A target that the backup has not reached when it ends would not be a start at all. */
static bool check_lsn(struct unpack *u)
{
	char end[LABEL_LSN_SIZE];

	if (!u->recovery->lsn || u->recovery->lsn_value >= u->end_lsn)
		return true;
	label_format_lsn(u->end_lsn, end);
	return db_fail(u->db, EXIT_FAILED,
		       "--target-lsn %s is before the end of the backup, %s: restore an older backup",
		       u->recovery->lsn, end);
}

/*
 * A standby that was backed up has standby.signal, which would take precedence: the
 * server would wait for more WAL and never end the recovery.
 */
static bool write_recovery(struct unpack *u)
{
	char *settings;
	bool ok;

	if (!u->recovery || !recovery_wanted(u->recovery))
		return true;
	settings = recovery_text(u->recovery);
	if (!settings)
		return db_fail(u->db, EXIT_FAILED, "out of memory");
	ok = check_lsn(u) && append_settings(u, settings) &&
	     write_new(u, SIGNAL, "", 0, "");
	free(settings);
	if (ok && unlinkat(u->base.dir, STANDBY, 0) && errno != ENOENT)
		ok = unpack_fail_write(u, &u->base, STANDBY);
	return ok;
}

/* ------------------------------------------------------------------ modes */

static bool set_mode(struct unpack *u, const struct place *place,
		     const char *name, mode_t mode)
{
	int fd = name ? openat(place->dir, name, O_RDONLY | O_NOFOLLOW |
			       O_NONBLOCK | O_CLOEXEC) : dup(place->dir);
	bool ok = fd >= 0 && !fchmod(fd, mode);

	if (!ok && name && errno == ENOENT)
		return true;
	if (!ok)
		unpack_fail_write(u, place, name ? name : "");
	if (fd >= 0)
		close(fd);
	return ok;
}

/* The archives have no entries for the directories themselves. */
static bool set_modes(struct unpack *u)
{
	mode_t directory = u->group_access ? 0750 : 0700;
	mode_t file = u->group_access ? 0640 : 0600;
	int i;

	for (i = 0; i < u->tablespaces; i++) {
		if (!set_mode(u, &u->tablespace[i].place, NULL, directory))
			return false;
	}
	return set_mode(u, &u->base, NULL, directory) &&
	       set_mode(u, &u->base, "backup_manifest", file) &&
	       set_mode(u, &u->base, "tablespace_map", file) &&
	       set_mode(u, &u->base, AUTO_CONF, file) &&
	       set_mode(u, &u->base, SIGNAL, file);
}

static bool complete(struct unpack *u)
{
	return write_map(u) && write_recovery(u) && set_modes(u);
}

bool unpack_finish(struct unpack *u)
{
	return check_base(u) && unpack_check_mappings(u) && make_links(u) && complete(u);
}

bool unpack_finish_combined(struct unpack *u)
{
	return check_base(u) && complete(u);
}

/* Not every file system supports fsync(2) of a directory. */
static bool sync_directory(int dir)
{
	return !fsync(dir) || errno == EINVAL || errno == EBADF;
}

/*
 * Each descriptor was opened before anything was written, so errors of writing back
 * are reported here even if another process has synced meanwhile. syncfs(2) flushes
 * the data. On some kernels it returns 0 for a file system that has shut down, for
 * which fsync(2) fails.
 */
static bool sync_place(struct unpack *u, const struct place *place,
		       bool file_system)
{
	if ((!file_system || !syncfs(place->dir)) &&
	    sync_directory(place->dir) &&
	    (!place->created || sync_directory(place->parent)))
		return true;
	return db_fail(u->db, EXIT_FAILED, "cannot flush %s: %s", place->path,
		       strerror(errno));
}

bool unpack_sync(struct unpack *u)
{
	static dev_t seen[MAX_TABLESPACES + 1];
	unsigned int count = 0, k;
	int i;

	for (i = -1; i < u->tablespaces; i++) {
		const struct place *place = i < 0 ? &u->base :
						    &u->tablespace[i].place;
		struct stat st;

		if (fstat(place->dir, &st))
			return unpack_fail_write(u, place, "");
		for (k = 0; k < count && seen[k] != st.st_dev; k++)
			;
		if (!sync_place(u, place, k == count))
			return false;
		if (k == count)
			seen[count++] = st.st_dev;
	}
	return true;
}
