// SPDX-License-Identifier: GPL-2.0-only
/*
 * beneath.c - access to the contents of a directory by its descriptor
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "beneath.h"

#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static void close_quietly(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
}

/* For kernels before 5.6, and seccomp filters that reject openat2(2). */
static int walk(int root, const char *path)
{
	int dir = openat(root, ".", DIRECTORY);

	while (dir >= 0 && *path) {
		size_t length = strcspn(path, "/");
		char name[256];
		int next;

		if (length >= sizeof(name)) {
			close(dir);
			errno = ENAMETOOLONG;
			return -1;
		}
		memcpy(name, path, length);
		name[length] = '\0';
		path += length + strspn(path + length, "/");
		if (!strcmp(name, "..")) {
			close(dir);
			errno = EXDEV;
			return -1;
		}
		next = openat(dir, name, DIRECTORY);
		close_quietly(dir);
		dir = next;
	}
	return dir;
}

int beneath_open(int root, const char *path)
{
	static bool old_kernel;
	struct open_how how = {
		.flags = DIRECTORY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	int fd;

	if (!old_kernel) {
		fd = syscall(SYS_openat2, root, *path ? path : ".", &how,
			     sizeof(how));
		if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
			return fd;
		old_kernel = true;
	}
	return walk(root, path);
}

int beneath_create(int dir, const char *name)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dir, name, flags, 0600);

	if (fd >= 0 || errno != EEXIST || unlinkat(dir, name, 0))
		return fd;
	return openat(dir, name, flags, 0600);
}

/* Opens the directory again, so that the position of `dir` is not changed. */
static DIR *list(int dir)
{
	int fd = openat(dir, ".", DIRECTORY);
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);

	if (fd >= 0 && !entries)
		close_quietly(fd);
	return entries;
}

static bool is_dot(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

int beneath_is_empty(int dir)
{
	DIR *entries = list(dir);
	const struct dirent *entry;
	int empty = 1;

	if (!entries)
		return -1;
	errno = 0;
	while (empty && (entry = readdir(entries)))
		empty = is_dot(entry->d_name);
	if (empty && errno)
		empty = -1;
	closedir(entries);
	return empty;
}

static int clear(int dir, unsigned int depth);

static int remove_entry(int dir, const char *name, unsigned int depth)
{
	int below, rc;

	if (!unlinkat(dir, name, 0))
		return 0;
	if (errno != EISDIR)
		return -1;
	if (depth == BENEATH_MAX_DEPTH) {
		errno = ELOOP;
		return -1;
	}
	below = openat(dir, name, DIRECTORY);
	if (below < 0)
		return -1;
	rc = clear(below, depth + 1);
	close_quietly(below);
	return rc ? rc : unlinkat(dir, name, AT_REMOVEDIR);
}

static int clear(int dir, unsigned int depth)
{
	DIR *entries = list(dir);
	const struct dirent *entry;
	int rc = 0, saved;

	if (!entries)
		return -1;
	while (!rc && (errno = 0, entry = readdir(entries))) {
		if (!is_dot(entry->d_name))
			rc = remove_entry(dir, entry->d_name, depth);
	}
	if (!rc && errno)
		rc = -1;
	saved = errno;
	closedir(entries);
	errno = saved;
	return rc;
}

int beneath_clear(int dir)
{
	return clear(dir, 0);
}
