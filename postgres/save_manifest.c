// SPDX-License-Identifier: GPL-2.0-only
/*
 * save_manifest.c - vdi-pg-restore --manifest: only the backup manifest
 *
 * The manifest follows the archives in the stream, so all of it is read, and checked as
 * in a restore.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restore.h"

static bool fail(const struct restore *r)
{
	vdi_error("cannot write %s: %s", r->manifest, strerror(errno));
	return false;
}

/* The directory of the file; the caller frees it. NULL: out of memory. */
static char *directory_of(const struct restore *r)
{
	const char *slash = strrchr(r->manifest, '/');

	return slash == r->manifest ? strdup("/") : strndup(r->manifest, slash - r->manifest);
}

bool save_manifest_check(struct restore *r, uid_t *owner)
{
	char *directory = directory_of(r);
	struct stat st;
	int rc;

	if (!directory) {
		errno = ENOMEM;
		return fail(r);
	}
	rc = stat(directory, &st);
	free(directory);
	if (rc)
		return fail(r);
	*owner = st.st_uid;
	if (!lstat(r->manifest, &st) && !S_ISREG(st.st_mode)) {
		vdi_error("cannot write %s: it exists and is not a regular file", r->manifest);
		return false;
	}
	return true;
}

static bool open_directory(struct restore *r)
{
	struct place *base = &r->unpack.base;

	base->parent = -1;
	base->path = directory_of(r);
	base->dir = base->path ? open(base->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	return base->dir >= 0 ||
	       db_fail(&r->db, EXIT_FAILED, "cannot write %s: %s", r->manifest, strerror(errno));
}

/* An older manifest is replaced only by a complete one. */
static bool make_durable(struct restore *r, const char *name)
{
	int fd;
	bool ok;

	if (!r->unpack.manifest_seen)
		return db_fail(&r->db, EXIT_FAILED,
			       "the backup has no manifest: it was made with pg_basebackup --no-manifest");
	fd = openat(r->unpack.base.dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ok = fd >= 0 && !fsync(fd);
	if (!ok)
		unpack_fail_write(&r->unpack, &r->unpack.base, name);
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool run(struct restore *r, const char *name)
{
	return restore_join(r) && open_directory(r) && restore_read(r, &r->unpack) &&
	       make_durable(r, name) && restore_check_interrupt(r) && db_close_devices(&r->db);
}

int save_manifest(struct restore *r)
{
	const char *name = strrchr(r->partial, '/') + 1;
	int *dir = &r->unpack.base.dir, rc;
	bool ok;

	r->unpack.base.dir = -1;
	r->unpack.manifest_only = name;
	restore_begin_set(r);
	ok = run(r, name);
	rc = restore_end_set(r);
	if (ok && rc == EXIT_OK &&
	    (renameat(*dir, name, *dir, strrchr(r->manifest, '/') + 1) || fsync(*dir))) {
		fail(r);
		rc = EXIT_FAILED;
	}
	if (*dir >= 0 && rc != EXIT_OK)
		unlinkat(*dir, name, 0);
	return rc;
}
