// SPDX-License-Identifier: GPL-2.0-only
/*
 * file.c - regular files of a directory: opening and identifying them
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/xxh3.h"
#include "file.h"

int file_open(int dir, const char *name, int flags, struct stat *st)
{
	int saved, fd;

	fd = openat(dir, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0) {
		/* a symbolic link, a directory, a socket */
		if (errno == ELOOP || errno == EISDIR || errno == ENXIO)
			errno = FILE_NOT_REGULAR;
		return -1;
	}
	if (!fstat(fd, st)) {
		if (S_ISREG(st->st_mode))
			return fd;
		errno = FILE_NOT_REGULAR;
	}
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* Covers inode number and generation; 0 = the file system has no handles. */
static uint64_t handle_digest(int dir, const char *name, int flags)
{
	union {
		struct file_handle handle;
		char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u = { .handle.handle_bytes = MAX_HANDLE_SZ };
	int mount;

	if (name_to_handle_at(dir, name, &u.handle, &mount, flags))
		return 0;
	return XXH3_64bits(u.handle.f_handle, u.handle.handle_bytes) | 1;
}

static int identify(int dir, const char *name, int empty,
		    struct file_identity *id)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW | empty))
		return -1;
	*id = (struct file_identity){
		.device = st.st_dev,
		.inode = st.st_ino,
		.size = st.st_size,
		.handle = handle_digest(dir, name, empty),
		.written = st.st_mtim,
	};
	return 0;
}

int file_identify(int fd, struct file_identity *id)
{
	return identify(fd, "", AT_EMPTY_PATH, id);
}

int file_identify_name(int dir, const char *name, struct file_identity *id)
{
	return identify(dir, name, 0, id);
}

bool file_same(const struct file_identity *a, const struct file_identity *b)
{
	if (a->device != b->device || a->inode != b->inode ||
	    a->size != b->size)
		return false;
	return !a->handle || !b->handle ||
	       (a->handle == b->handle &&
		a->written.tv_sec == b->written.tv_sec &&
		a->written.tv_nsec == b->written.tv_nsec);
}
