/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * file.h - files of a directory: opened as nothing else, recognized again
 */
#ifndef VDI_FILE_H
#define VDI_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/*
 * Which file it was, and what it held. An inode number is used again once the
 * file is gone; the handle of the file system is not. A file system without
 * handles may also change the time of the last write later on, so there neither
 * is compared.
 */
struct file_identity {
	dev_t device;
	ino_t inode;
	uint64_t size;
	uint64_t handle;	/* digest; 0 = the file system has none */
	struct timespec written;
};

#define FILE_NOT_REGULAR	EBADF

/*
 * Open a file of `dir` for reading or, with O_RDWR, for writing too. What is no
 * regular file, a symbolic link or a FIFO for example, is neither followed nor
 * waited for. -1 with errno, FILE_NOT_REGULAR for such; *st is its status.
 */
int file_open(int dir, const char *name, int flags, struct stat *st);
/* -1 with errno. */
int file_identify(int fd, struct file_identity *id);
int file_identify_name(int dir, const char *name, struct file_identity *id);
bool file_same(const struct file_identity *a, const struct file_identity *b);

#endif /* VDI_FILE_H */
