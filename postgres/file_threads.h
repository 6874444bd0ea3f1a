/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * file_threads.h - threads that write files, while the stream is read and checked
 *
 * All functions are called by one thread. Data is copied. A file belongs to one of the
 * threads, which writes it in order.
 */
#ifndef VDISET_FILE_THREADS_H
#define VDISET_FILE_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

struct file_threads;
struct file_job;

/* A file that is being written. */
struct thread_file {
	struct file_threads *threads;
	unsigned int thread;
	struct file_job *job;	/* being filled */
	int fd;
	mode_t mode;
	struct timespec modified;
	char name[];		/* for messages */
};

/* NULL with errno. */
struct file_threads *file_threads_start(unsigned int count);
/* Takes over `fd`, even if it fails. NULL with errno. */
struct thread_file *file_threads_begin(struct file_threads *threads, int fd, const char *name,
				       mode_t mode, time_t modified);
/* False: a thread has failed, with this or another file. */
bool file_threads_put(struct thread_file *file, const void *data, size_t size);
/* The file is complete, or is given up; it is closed and freed later. */
void file_threads_end(struct thread_file *file);
/* Wait until all files are written. False: one has failed. */
bool file_threads_drain(struct file_threads *threads);
/* The name of the file that has failed first; *error receives the cause. */
const char *file_threads_failure(struct file_threads *threads, int *error);
/* Nothing more is written; end the threads. */
void file_threads_stop(struct file_threads *threads);

#endif /* VDISET_FILE_THREADS_H */
