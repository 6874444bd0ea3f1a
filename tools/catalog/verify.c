// SPDX-License-Identifier: GPL-2.0-only
/*
 * verify.c - read stored backups and check them against their manifests
 *
 * Several threads read one device each. They take the devices of one backup after
 * the other, so that all backups of a place are read with the same parallelism as
 * the devices of one. The first failure of a backup ends the work on it.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/report.h"
#include "place.h"
#include "verify.h"

/* A backup whose devices are being read. Under verification.lock, but `source`. */
struct task {
	struct task *next;
	struct verification *all;
	struct source *source;
	unsigned int handed_out;	/* devices */
	unsigned int unfinished;
	_Atomic int rc;
	double started;
};

struct verification {
	pthread_mutex_t lock;
	struct vdi_progress progress;
	struct vdi_figures figures;	/* bytes read, of all backups */
	const struct verify_options *options;
	unsigned int jobs;
	/*
	 * The next backup, opened by the caller's function; NULL = there is none.
	 * It reports and counts backups that cannot be opened.
	 */
	struct task *(*open_next)(struct verification *v);
	/* All devices were read, or the work was ended by a failure. */
	void (*finished)(struct verification *v, struct task *task);
	struct task *current;		/* has devices to hand out */
	bool exhausted;
	int rc;				/* the worst */
	const struct task *only;	/* NULL = several backups */
	void *context;
};

static FILE *text_of(const struct verification *v)
{
	return v->options->report ? vdi_report_text(v->options->report) : stdout;
}

static bool tick(void *context, uint64_t bytes)
{
	struct task *task = context;
	struct verification *v = task->all;

	pthread_mutex_lock(&v->lock);
	v->figures.bytes += bytes;
	vdi_progress_show(&v->progress, "verify", v->figures.bytes,
			  v->figures.total);
	if (v->options->report && vdi_report_due(v->options->report, "verify"))
		vdi_report_status(v->options->report, "verify", &v->figures);
	pthread_mutex_unlock(&v->lock);
	return !vdi_signal_received() && task->rc == EXIT_OK;
}

static void message(struct verification *v, const char *format,
		    const struct source *s, const char *why)
{
	pthread_mutex_lock(&v->lock);
	vdi_progress_end(&v->progress);
	vdi_error(format, s->path, why);
	pthread_mutex_unlock(&v->lock);
}

/* Only the first failure of a backup is reported. */
static bool is_first(struct task *task, int rc)
{
	int none = EXIT_OK;

	return atomic_compare_exchange_strong(&task->rc, &none, rc);
}

static void verify_device(struct task *task, unsigned int device)
{
	struct source *s = task->source;
	struct drive_config config;
	struct drive drive;

	source_drive_config(s, device, &config);
	if (drive_verify(&drive, &config, s->dir,
			 &s->manifest.device[device].media, tick, task))
		return;
	if (drive.trouble == DRIVE_DAMAGED && is_first(task, EXIT_DAMAGED))
		message(task->all, "backup %s is damaged: %s", s, drive.why);
	else if (drive.trouble == DRIVE_FAILED && is_first(task, EXIT_FAILED))
		message(task->all, "cannot verify backup %s: %s", s, drive.why);
	else if (drive.trouble == DRIVE_FINE && vdi_signal_received())
		is_first(task, EXIT_INTERRUPTED);
}

/* The next device, in the order of the backups. Called with the lock held. */
static struct task *take_device(struct verification *v, unsigned int *device)
{
	struct task *task = v->current;

	if (!task && !v->exhausted && !vdi_signal_received()) {
		task = v->open_next(v);
		v->exhausted = !task;
	}
	v->current = task;
	if (!task)
		return NULL;
	*device = task->handed_out++;
	task->unfinished++;
	if (task->handed_out == task->source->manifest.count)
		v->current = NULL;
	return task;
}

/* After the first failure the remaining devices are not handed out. */
static void give_back(struct verification *v, struct task *task)
{
	if (task->rc != EXIT_OK && v->current == task)
		v->current = NULL;
	if (--task->unfinished || v->current == task)
		return;
	if (task->rc > v->rc)
		v->rc = task->rc;
	v->finished(v, task);
}

static void *work(void *context)
{
	struct verification *v = context;
	unsigned int device;
	struct task *task;

	pthread_mutex_lock(&v->lock);
	while ((task = take_device(v, &device))) {
		pthread_mutex_unlock(&v->lock);
		verify_device(task, device);
		pthread_mutex_lock(&v->lock);
		give_back(v, task);
	}
	pthread_mutex_unlock(&v->lock);
	return NULL;
}

static unsigned int default_jobs(void)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	return online < 1 ? 1 : online > VERIFY_MAX_JOBS ? VERIFY_MAX_JOBS : online;
}

/* The calling thread takes part: if no other can be created, it does everything. */
static int verify(struct verification *v)
{
	pthread_t thread[VERIFY_MAX_JOBS];
	unsigned int i, count = 0;

	pthread_mutex_init(&v->lock, NULL);
	vdi_progress_start(&v->progress, v->options->quiet);
	v->jobs = v->options->jobs ? : default_jobs();
	if (v->only && v->jobs > v->only->source->manifest.count)
		v->jobs = v->only->source->manifest.count;
	for (i = 1; i < v->jobs; i++) {
		if (!pthread_create(&thread[count], NULL, work, v))
			count++;
	}
	work(v);
	for (i = 0; i < count; i++)
		pthread_join(thread[i], NULL);
	vdi_progress_end(&v->progress);
	pthread_mutex_destroy(&v->lock);
	if (vdi_signal_received() && v->rc != EXIT_INTERRUPTED &&
	    !v->exhausted)
		v->rc = EXIT_INTERRUPTED;
	if (v->rc == EXIT_INTERRUPTED)
		vdi_error("interrupted");
	return v->rc;
}

/* -------------------------------------------------------------- one backup */

static struct task *open_only(struct verification *v)
{
	struct task *task = v->context;

	v->context = NULL;
	return task;
}

static void finished_only(struct verification *v, struct task *task)
{
	(void)v;
	(void)task;
}

int verify_backup(struct source *s, const struct verify_options *options)
{
	struct verification v = {
		.figures.total = manifest_bytes(&s->manifest),
		.options = options,
		.open_next = open_only,
		.finished = finished_only,
	};
	struct task task = { .all = &v, .source = s };

	source_unfilter(s, options->unfilter);
	v.context = &task;
	v.only = &task;
	return verify(&v);
}

/* -------------------------------------------------------- all of a place */

struct tally {
	struct backup_place place;
	size_t next;
	unsigned int good, bad, skipped;
	uint64_t good_bytes;
	struct task *tasks;		/* all, to be freed */
};

static void count_bad(struct verification *v, int rc)
{
	struct tally *t = v->context;

	t->bad++;
	if (rc > v->rc)
		v->rc = rc;
}

/* Remains are not backups. What looks like one, but is not whole, is damaged. */
static bool is_readable(struct verification *v, const struct place_entry *e)
{
	struct tally *t = v->context;

	switch (e->state) {
	case BACKUP_WHOLE:
		return true;
	case BACKUP_DAMAGED:
	case BACKUP_INCOMPLETE:
		vdi_progress_end(&v->progress);
		vdi_error("backup %s is damaged: %s", e->path, e->why);
		count_bad(v, EXIT_DAMAGED);
		return false;
	case BACKUP_UNREADABLE:
		vdi_progress_end(&v->progress);
		vdi_error("cannot verify backup %s: %s", e->path, e->why);
		count_bad(v, EXIT_FAILED);
		return false;
	case BACKUP_LOCK:
		return false;
	default:
		t->skipped++;
		return false;
	}
}

static struct task *open_entry(struct verification *v,
			       const struct place_entry *e)
{
	struct task *task = calloc(1, sizeof(*task));
	struct source *s = calloc(1, sizeof(*s));
	struct tally *t = v->context;
	int rc = EXIT_FAILED;

	if (!task || !s)
		vdi_error("out of memory");
	else
		rc = source_open(s, e->path);
	if (rc != EXIT_OK) {
		if (task && s)
			source_close(s);
		free(task);
		free(s);
		count_bad(v, rc);
		return NULL;
	}
	source_unfilter(s, v->options->unfilter);
	*task = (struct task){
		.next = t->tasks,
		.all = v,
		.source = s,
		.started = vdi_now(),
	};
	t->tasks = task;
	return task;
}

static struct task *open_next(struct verification *v)
{
	struct tally *t = v->context;
	struct task *task = NULL;

	while (!task && t->next < t->place.count) {
		const struct place_entry *e = &t->place.entry[t->next++];

		if (is_readable(v, e))
			task = open_entry(v, e);
	}
	return task;
}

static void close_source(struct task *task)
{
	if (task->source)
		source_close(task->source);
	free(task->source);
	task->source = NULL;
}

static void finished_entry(struct verification *v, struct task *task)
{
	struct tally *t = v->context;

	if (task->rc == EXIT_OK) {
		t->good++;
		t->good_bytes += manifest_bytes(&task->source->manifest);
		vdi_progress_end(&v->progress);
		if (!v->options->quiet)
			source_print(text_of(v), task->source, "verified",
				     manifest_bytes(&task->source->manifest),
				     vdi_now() - task->started, true);
	} else if (task->rc != EXIT_INTERRUPTED) {
		t->bad++;
	}
	close_source(task);
}

static uint64_t whole_bytes(const struct backup_place *p)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < p->count; i++) {
		if (p->entry[i].state == BACKUP_WHOLE)
			sum += manifest_bytes(&p->entry[i].manifest);
	}
	return sum;
}

static void free_tasks(struct task *task)
{
	while (task) {
		struct task *next = task->next;

		close_source(task);
		free(task);
		task = next;
	}
}

static int verify_entries(struct verification *v, const char *path)
{
	const char *set = v->options->set;
	struct tally *t = v->context;
	int rc;

	v->figures.total = whole_bytes(&t->place);
	rc = verify(v);
	free_tasks(t->tasks);
	if (rc == EXIT_OK && !t->good && !t->bad) {
		vdi_error("there is no backup%s%s%s in %s",
			  set ? " of set '" : "", set ? : "", set ? "'" : "",
			  path);
		return EXIT_FAILED;
	}
	if (!v->options->quiet)
		fprintf(text_of(v),
			"%u verified, %u failed, %u incomplete and skipped\n",
			t->good, t->bad, t->skipped);
	return rc;
}

int verify_place(const char *path, const struct verify_options *options,
		 uint64_t *bytes)
{
	struct tally t = { .next = 0 };
	struct verification v = {
		.options = options,
		.open_next = open_next,
		.finished = finished_entry,
		.context = &t,
	};
	int rc = place_open(&t.place, path, options->set);

	if (rc == EXIT_OK)
		rc = verify_entries(&v, path);
	*bytes = t.good_bytes;
	place_close(&t.place);
	return rc;
}
