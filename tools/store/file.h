/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * file.h - regular files of a directory: opening and identifying them
 */
#ifndef VDI_FILE_H
#define VDI_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/*
 * Identifies a file and its contents. An inode number is reused after the file
 * is deleted; a file handle is not. A file system without handles may also
 * update the time of the last write later, so without handles neither is
 * compared.
 */
struct file_identity {
	dev_t device;
	ino_t inode;
	uint64_t size;
	uint64_t handle;	/* digest of the file handle; 0 = none */
	struct timespec written;
};

#define FILE_NOT_REGULAR	EBADF

/*
 * Open a regular file of `dir` with O_RDONLY or O_RDWR; *st receives its status.
 * Symbolic links are not followed and FIFOs do not block. Returns -1 with errno,
 * which is FILE_NOT_REGULAR for any other type of file.
 */
int file_open(int dir, const char *name, int flags, struct stat *st);
/* -1 with errno. */
int file_identify(int fd, struct file_identity *id);
int file_identify_name(int dir, const char *name, struct file_identity *id);
bool file_same(const struct file_identity *a, const struct file_identity *b);

#endif /* VDI_FILE_H */
