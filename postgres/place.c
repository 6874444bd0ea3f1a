// SPDX-License-Identifier: GPL-2.0-only
/*
 * place.c - the directories that a backup is restored to
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "unpack.h"

char *unpack_clean_path(const char *path)
{
	char *clean = malloc(strlen(path) + 1), *to = clean;

	if (!clean || *path != '/')
		goto fail;
	while (*path) {
		size_t length;

		path += strspn(path, "/");
		length = strcspn(path, "/");
		if (length == 2 && !strncmp(path, "..", 2))
			goto fail;
		if (length && !(length == 1 && *path == '.')) {
			*to++ = '/';
			memcpy(to, path, length);
			to += length;
		}
		path += length;
	}
	if (to == clean)
		goto fail;
	*to = '\0';
	return clean;
fail:
	free(clean);
	return NULL;
}

static bool fail(struct database *db, const char *doing, const char *path)
{
	return db_fail(db, EXIT_FAILED, "cannot %s %s: %s", doing, path,
		       strerror(errno));
}

static bool open_parent(struct database *db, struct place *place)
{
	char *slash = strrchr(place->path, '/');

	place->name = slash + 1;
	*slash = '\0';
	place->parent = open(slash == place->path ? "/" : place->path,
			     O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*slash = '/';
	return place->parent >= 0 ||
	       fail(db, "open the parent directory of", place->path);
}

static bool check_place(struct database *db, const struct place *place)
{
	struct stat st;
	int empty = beneath_is_empty(place->dir);

	if (empty < 0 || fstat(place->dir, &st))
		return fail(db, "read", place->path);
	if (!empty)
		return db_fail(db, EXIT_FAILED, "%s is not empty", place->path);
	if (st.st_uid != geteuid())
		return db_fail(db, EXIT_FAILED,
			       "%s belongs to uid %lu, not to the owner of the restored files",
			       place->path, (unsigned long)st.st_uid);
	return true;
}

bool place_make(struct database *db, struct place *place, const char *path,
		bool new)
{
	*place = (struct place){ .parent = -1, .dir = -1 };
	place->path = strdup(path);
	if (!place->path)
		return db_fail(db, EXIT_FAILED, "out of memory");
	if (!open_parent(db, place))
		return false;
	if (!mkdirat(place->parent, place->name, 0700))
		place->created = true;
	else if (errno != EEXIST || new)
		return fail(db, "create", path);
	place->dir = openat(place->parent, place->name,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (place->dir < 0)
		return fail(db, "open the directory", path);
	if (check_place(db, place))
		return true;
	/* its contents belong to others and must not be removed */
	close(place->dir);
	place->dir = -1;
	return false;
}

bool place_remove(struct place *place)
{
	if ((place->dir < 0 || !beneath_clear(place->dir)) &&
	    (!place->created ||
	     !unlinkat(place->parent, place->name, AT_REMOVEDIR)))
		return true;
	vdi_error("%s is left behind: %s", place->path, strerror(errno));
	return false;
}

void place_free(struct place *place)
{
	if (place->dir >= 0)
		close(place->dir);
	if (place->parent >= 0)
		close(place->parent);
	free(place->path);
	*place = (struct place){ .parent = -1, .dir = -1 };
}
