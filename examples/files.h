/* SPDX-License-Identifier: MIT */
/*
 * files.h - the files of threads.c, epoll_client.c and backup.cpp
 *
 * Each device has a file: the first one FILE, the others FILE.1, FILE.2 and so
 * on. A backup is written to FILE.partial, FILE.1.partial, ..., and
 * files_publish() renames these when all of them are durable. Neither may exist
 * before: a failed backup removes its files, and must not have replaced others.
 * A process that is killed leaves its .partial files, which have to be removed
 * by hand: nothing tells them from those of a backup that is still running.
 *
 * With one device, FILE may be something that is not a regular file, or any
 * path in /dev, such as /dev/stdout. It is written as it is.
 *
 * Nothing in the files tells whether they are intact, or all there. A program
 * for production stores their sizes and checksums, and compares them before a
 * restore.
 */
#ifndef FILES_H
#define FILES_H

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libvdi.h>

struct file {
	char name[PATH_MAX];
	char path[PATH_MAX];	/* where the file is now; name if published */
	bool as_it_is;		/* no regular file: never renamed or removed */
	int fd;			/* -1: not open */
};

/* Print what failed; return the completion code for it. */
static inline int file_error(const struct file *file, const char *what)
{
	int code = ERROR_IO_DEVICE;

	if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
		code = ERROR_DISK_FULL;
	warn("%s %s", what, file->path);
	return code;
}

/* Write all of data; *bytes is how much was written, also on failure. */
static inline int file_write(struct file *file, const uint8_t *data,
			     uint32_t size, uint32_t *bytes)
{
	for (*bytes = 0; *bytes < size;) {
		ssize_t n = write(file->fd, data + *bytes, size - *bytes);

		if (n >= 0)
			*bytes += n;
		else if (errno != EINTR)
			return file_error(file, "cannot write");
	}
	return ERROR_SUCCESS;
}

/* Read size bytes, or those that are left: then ERROR_HANDLE_EOF. */
static inline int file_read(struct file *file, uint8_t *data, uint32_t size,
			    uint32_t *bytes)
{
	for (*bytes = 0; *bytes < size;) {
		ssize_t n = read(file->fd, data + *bytes, size - *bytes);

		if (!n)
			return ERROR_HANDLE_EOF;
		if (n > 0)
			*bytes += n;
		else if (errno != EINTR)
			return file_error(file, "cannot read");
	}
	return ERROR_SUCCESS;
}

/* Make durable what was written. Pipes and some devices cannot do that. */
static inline int file_sync(struct file *file)
{
	if (fsync(file->fd) && !(file->as_it_is && errno == EINVAL))
		return file_error(file, "cannot sync");
	return ERROR_SUCCESS;
}

/* Open the files of `count` devices. On failure nothing stays behind. */
static inline int files_open(struct file *files, unsigned int count,
			     const char *name, bool restore)
{
	struct stat st;
	unsigned int i;

	for (i = 0; i < count; i++) {
		struct file *file = &files[i];
		int n = i ? snprintf(file->name, PATH_MAX, "%s.%u", name, i) :
			    snprintf(file->name, PATH_MAX, "%s", name);
		int flags = restore ? O_RDONLY : O_WRONLY;

		file->fd = -1;
		file->as_it_is = !strncmp(name, "/dev/", 5) ||
				 (!stat(name, &st) && !S_ISREG(st.st_mode));
		if (file->as_it_is && count > 1) {
			warnx("%s is not a regular file: one device only",
			      name);
			break;
		}
		if (restore || file->as_it_is) {
			memcpy(file->path, file->name, PATH_MAX);
		} else {
			flags |= O_CREAT | O_EXCL;
			n = snprintf(file->path, PATH_MAX, "%s.partial",
				     file->name);
		}
		if (n >= PATH_MAX) {
			warnx("%s: name too long", name);
			break;
		}
		if (flags & O_EXCL && !access(file->name, F_OK)) {
			warnx("%s exists", file->name);
			break;
		}
		file->fd = open(file->path, flags | O_CLOEXEC, 0600);
		if (file->fd < 0) {
			file_error(file, "cannot open");
			break;
		}
	}
	if (i == count)
		return 0;
	while (i--) {
		close(files[i].fd);
		if (!restore && !files[i].as_it_is)
			unlink(files[i].path);
	}
	return -1;
}

/* Give durable files their names, and make the names durable. */
static inline int files_publish(struct file *files, unsigned int count)
{
	char path[PATH_MAX];
	unsigned int i;
	int fd, failed;

	for (i = 0; i < count; i++)
		if (file_sync(&files[i]))
			return -1;
	if (files[0].as_it_is)
		return 0;
	for (i = 0; i < count; i++) {
		if (rename(files[i].path, files[i].name)) {
			file_error(&files[i], "cannot rename");
			return -1;
		}
		memcpy(files[i].path, files[i].name, PATH_MAX);
	}
	memcpy(path, files[0].name, PATH_MAX);
	fd = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	failed = fd < 0 || fsync(fd);
	if (failed)
		file_error(&files[0], "cannot sync the directory of");
	if (fd >= 0)
		close(fd);
	return failed ? -1 : 0;
}

/* Close the files; if that fails for one, it is no good. */
static inline int files_close(struct file *files, unsigned int count)
{
	unsigned int i;
	int failed = 0;

	for (i = 0; i < count; i++) {
		if (close(files[i].fd)) {
			file_error(&files[i], "cannot close");
			failed = -1;
		}
		files[i].fd = -1;
	}
	return failed;
}

/* Remove the files of a failed backup, published or not. */
static inline void files_remove(struct file *files, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		if (!files[i].as_it_is && unlink(files[i].path))
			file_error(&files[i], "cannot remove");
}

#endif /* FILES_H */
