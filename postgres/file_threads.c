// SPDX-License-Identifier: GPL-2.0-only
/*
 * file_threads.c - threads that write files, while the stream is read and checked
 *
 * Each thread has a queue of jobs, which are pieces of its files. The number of jobs bounds
 * the memory: when all are queued, the caller waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/common.h"
#include "file_threads.h"
#include "unpack.h"

#define JOB_SIZE	(256 << 10)
#define JOBS		16		/* for each thread */

struct file_job {
	struct file_job *next;
	struct thread_file *file;
	size_t size;
	bool last;			/* of the file, which is then closed */
	uint8_t data[JOB_SIZE];
};

struct file_thread {
	struct file_threads *all;
	pthread_t id;
	pthread_cond_t work;
	struct file_job *first, **end;
	size_t queued;			/* bytes */
};

struct file_threads {
	pthread_mutex_t lock;
	pthread_cond_t done;		/* a job is free, or nothing is queued */
	struct file_job *unused;
	unsigned int busy;		/* jobs that are queued or being written */
	bool stop;
	int error;			/* of the first failure */
	char *failed;			/* name of its file */
	unsigned int count;
	struct file_job *jobs;
	struct file_thread thread[];
};

/* --------------------------------------------------------------- the threads */

static bool write_job(const struct file_job *job)
{
	const struct thread_file *file = job->file;
	const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, file->modified };

	if (!unpack_write_all(file->fd, job->data, job->size))
		return false;
	if (!job->last)
		return true;
	if (fchmod(file->fd, file->mode) || futimens(file->fd, times))
		return false;
	/* the flush at the end then has less to wait for; it reports the errors */
	sync_file_range(file->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	return true;
}

static void note_failure(struct file_threads *all, const struct thread_file *file, int error)
{
	if (all->error)
		return;
	all->error = error ? : EIO;
	all->failed = strdup(file->name);
}

static void end_file(struct file_threads *all, struct thread_file *file)
{
	if (close(file->fd)) {
		pthread_mutex_lock(&all->lock);
		note_failure(all, file, errno);
		pthread_mutex_unlock(&all->lock);
	}
	free(file);
}

/* With the lock held; returns the job, or NULL if the thread is to end. */
static struct file_job *next_job(struct file_thread *t)
{
	struct file_job *job;

	while (!t->first && !t->all->stop)
		pthread_cond_wait(&t->work, &t->all->lock);
	job = t->first;
	if (!job)
		return NULL;
	t->first = job->next;
	if (!t->first)
		t->end = &t->first;
	t->queued -= job->size;
	return job;
}

/* Without the lock. After a failure the rest is not written. */
static void execute(struct file_threads *all, struct file_job *job, bool skip)
{
	if (!skip && !write_job(job)) {
		int error = errno;

		pthread_mutex_lock(&all->lock);
		note_failure(all, job->file, error);
		pthread_mutex_unlock(&all->lock);
	}
	if (job->last)
		end_file(all, job->file);
}

static void *run(void *argument)
{
	struct file_thread *t = argument;
	struct file_threads *all = t->all;
	struct file_job *job;
	bool skip;

	pthread_mutex_lock(&all->lock);
	while ((job = next_job(t))) {
		skip = all->error || all->stop;
		pthread_mutex_unlock(&all->lock);
		execute(all, job, skip);
		pthread_mutex_lock(&all->lock);
		job->next = all->unused;
		all->unused = job;
		all->busy--;
		pthread_cond_signal(&all->done);
	}
	pthread_mutex_unlock(&all->lock);
	return NULL;
}

/* --------------------------------------------------------------- the caller */

static bool start_thread(struct file_threads *all)
{
	struct file_thread *t = &all->thread[all->count];

	*t = (struct file_thread){ .all = all };
	t->end = &t->first;
	pthread_cond_init(&t->work, NULL);
	errno = vdi_thread_start(&t->id, run, t);
	if (errno)
		return false;
	all->count++;
	return true;
}

struct file_threads *file_threads_start(unsigned int count)
{
	struct file_threads *all = calloc(1, sizeof(*all) + count * sizeof(all->thread[0]));
	unsigned int i;
	int error;

	if (all)
		all->jobs = calloc(count * JOBS, sizeof(*all->jobs));
	if (!all || !all->jobs) {
		free(all);
		errno = ENOMEM;
		return NULL;
	}
	pthread_mutex_init(&all->lock, NULL);
	pthread_cond_init(&all->done, NULL);
	for (i = 0; i < count * JOBS; i++) {
		all->jobs[i].next = all->unused;
		all->unused = &all->jobs[i];
	}
	for (i = 0; i < count; i++) {
		if (!start_thread(all)) {
			error = errno;
			file_threads_stop(all);
			errno = error;
			return NULL;
		}
	}
	return all;
}

/* Returns the index of the thread with the fewest bytes in its queue. */
static unsigned int choose_thread(struct file_threads *all)
{
	unsigned int i, best = 0;

	pthread_mutex_lock(&all->lock);
	for (i = 1; i < all->count; i++) {
		if (all->thread[i].queued < all->thread[best].queued)
			best = i;
	}
	pthread_mutex_unlock(&all->lock);
	return best;
}

struct thread_file *file_threads_begin(struct file_threads *all, int fd, const char *name,
				       mode_t mode, time_t modified)
{
	size_t size = strlen(name) + 1;
	struct thread_file *file = malloc(sizeof(*file) + size);

	if (!file) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	*file = (struct thread_file){
		.threads = all,
		.thread = choose_thread(all),
		.fd = fd,
		.mode = mode,
		.modified = { .tv_sec = modified },
	};
	memcpy(file->name, name, size);
	return file;
}

static struct file_job *take_job(struct thread_file *file)
{
	struct file_threads *all = file->threads;
	struct file_job *job;

	pthread_mutex_lock(&all->lock);
	while (!all->unused)
		pthread_cond_wait(&all->done, &all->lock);
	job = all->unused;
	all->unused = job->next;
	pthread_mutex_unlock(&all->lock);
	job->next = NULL;
	job->file = file;
	job->size = 0;
	job->last = false;
	return job;
}

static void queue_job(struct thread_file *file)
{
	struct file_threads *all = file->threads;
	struct file_thread *t = &all->thread[file->thread];
	struct file_job *job = file->job;

	/* the thread frees the file of the last job */
	file->job = NULL;
	pthread_mutex_lock(&all->lock);
	*t->end = job;
	t->end = &job->next;
	t->queued += job->size;
	all->busy++;
	pthread_cond_signal(&t->work);
	pthread_mutex_unlock(&all->lock);
}

static bool has_failed(struct file_threads *all)
{
	bool failed;

	pthread_mutex_lock(&all->lock);
	failed = all->error;
	pthread_mutex_unlock(&all->lock);
	return failed;
}

bool file_threads_put(struct thread_file *file, const void *data, size_t size)
{
	while (size) {
		struct file_job *job = file->job;
		size_t part;

		if (!job)
			job = file->job = take_job(file);
		part = JOB_SIZE - job->size;
		if (part > size)
			part = size;
		memcpy(job->data + job->size, data, part);
		job->size += part;
		data = (const uint8_t *)data + part;
		size -= part;
		if (job->size < JOB_SIZE)
			break;
		queue_job(file);
		if (has_failed(file->threads))
			return false;
	}
	return true;
}

void file_threads_end(struct thread_file *file)
{
	if (!file->job)
		file->job = take_job(file);
	file->job->last = true;
	queue_job(file);
}

bool file_threads_drain(struct file_threads *all)
{
	bool ok;

	pthread_mutex_lock(&all->lock);
	while (all->busy)
		pthread_cond_wait(&all->done, &all->lock);
	ok = !all->error;
	pthread_mutex_unlock(&all->lock);
	return ok;
}

const char *file_threads_failure(struct file_threads *all, int *error)
{
	const char *name;

	pthread_mutex_lock(&all->lock);
	*error = all->error;
	name = all->failed ? : "a file";
	pthread_mutex_unlock(&all->lock);
	return name;
}

void file_threads_stop(struct file_threads *all)
{
	unsigned int i;

	pthread_mutex_lock(&all->lock);
	all->stop = true;
	for (i = 0; i < all->count; i++)
		pthread_cond_signal(&all->thread[i].work);
	pthread_mutex_unlock(&all->lock);
	for (i = 0; i < all->count; i++) {
		pthread_join(all->thread[i].id, NULL);
		pthread_cond_destroy(&all->thread[i].work);
	}
	pthread_cond_destroy(&all->done);
	pthread_mutex_destroy(&all->lock);
	free(all->failed);
	free(all->jobs);
	free(all);
}
