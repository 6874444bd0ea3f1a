// SPDX-License-Identifier: GPL-2.0-only
/*
 * appliance.c - the client of a set: one thread per device
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance.h"

#define TICK_MS 200	/* interval of checks for signals and time-outs */

void appliance_init(struct appliance *a, const struct appliance_ops *ops)
{
	unsigned int i;

	*a = (struct appliance){
		.ops = ops,
		.count = 1,
		.access = VDI_ACCESS_DEFAULT,
		.timeout_ms = 300 * 1000,
		.in_flight = 8,
	};
	for (i = 0; i < VDI_MAX_DEVICES; i++)
		pthread_mutex_init(&a->worker[i].lock, NULL);
	pthread_mutex_init(&a->lock, NULL);
	vdi_cond_init(&a->cond);
}

/*
 * Only the first failure is recorded. After a signal it is that one, because a terminal
 * sends Ctrl-C to the command of the database as well, whose end is noticed first.
 */
static void record(struct appliance *a, int exit_code, const char *format,
		   va_list args)
{
	int number = vdi_signal_received();

	if (a->exit_code != EXIT_OK)
		return;
	a->exit_code = number ? EXIT_INTERRUPTED : exit_code;
	if (number)
		snprintf(a->message, sizeof(a->message), "interrupted (%s)", strsignal(number));
	else
		vsnprintf(a->message, sizeof(a->message), format, args);
}

void appliance_note(struct appliance *a, int exit_code, const char *format,
		    ...)
{
	va_list args;

	va_start(args, format);
	pthread_mutex_lock(&a->lock);
	record(a, exit_code, format, args);
	pthread_mutex_unlock(&a->lock);
	va_end(args);
}

void appliance_fail(struct appliance *a, int exit_code, const char *format,
		    ...)
{
	char text[VDI_TEXT_SIZE];
	va_list args;
	bool first;

	va_start(args, format);
	pthread_mutex_lock(&a->lock);
	record(a, exit_code, format, args);
	first = !a->aborting;
	a->aborting = true;
	exit_code = a->exit_code;
	snprintf(text, sizeof(text), "%.*s", VDI_TEXT_SIZE - 1, a->message);
	pthread_mutex_unlock(&a->lock);
	va_end(args);

	/* fails if the set does not exist yet or is aborted already: ignored */
	if (first && a->client)
		vdi_client_signal_abort(a->client, exit_code, text);
}

void appliance_replace_failure(struct appliance *a, int exit_code,
			       const char *message)
{
	pthread_mutex_lock(&a->lock);
	if (a->exit_code != EXIT_INTERRUPTED) {
		a->exit_code = exit_code;
		snprintf(a->message, sizeof(a->message), "%s", message);
	}
	pthread_mutex_unlock(&a->lock);
}

bool appliance_aborted(struct appliance *a)
{
	struct vdi_abort_info info;

	return vdi_client_abort_info(a->client, &info) == NOERROR &&
	       info.reason;
}

/* For drive_config.stop. */
bool appliance_stopped(void *context)
{
	return vdi_signal_received() || appliance_aborted(context);
}

void appliance_fail_for(struct appliance *a, int code, const char *doing)
{
	struct vdi_abort_info info;
	char text[256];

	if (code == VD_E_ABORT &&
	    vdi_client_abort_info(a->client, &info) == NOERROR && info.reason) {
		vdi_abort_text(&info, text, sizeof(text));
		appliance_fail(a, vdi_exit_for_abort(&info, a->ops->data == VDC_Read),
			       "%s", text);
		return;
	}
	vdi_client_message(a->client, text, sizeof(text));
	if (!*text)
		snprintf(text, sizeof(text), "%s", vdi_strerror(code));
	appliance_fail(a, vdi_exit_for(code), "%s: %s", doing, text);
}

uint64_t appliance_total(const struct appliance *a, uint64_t bytes)
{
	return a->estimated && bytes >= a->total ? 0 : a->total;
}

uint64_t appliance_bytes(struct appliance *a)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < a->count; i++)
		sum += atomic_load_explicit(&a->worker[i].bytes,
					    memory_order_relaxed);
	return sum;
}

uint64_t appliance_commands(struct appliance *a)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < a->count; i++)
		sum += atomic_load_explicit(&a->worker[i].commands,
					    memory_order_relaxed);
	return sum;
}

static void *worker_thread(void *argument)
{
	struct worker *worker = argument;
	struct appliance *a = worker->appliance;

	worker_serve(worker);
	pthread_mutex_lock(&a->lock);
	a->running--;
	pthread_cond_signal(&a->cond);
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

bool appliance_interrupted(struct appliance *a)
{
	int number = vdi_signal_received();

	if (number)
		appliance_fail(a, EXIT_INTERRUPTED, "interrupted (%s)",
			       strsignal(number));
	return number != 0;
}

static void report_database(struct appliance *a)
{
	struct vdi_peer peer;
	char text[128];

	if (vdi_client_get_peer(a->client, &peer) != NOERROR)
		return;
	vdi_peer_describe(&peer, text, sizeof(text));
	fprintf(stderr, "vdi: the database on '%s' is %s\n", a->names.set,
		text);
}

static bool wait_for_database(struct appliance *a)
{
	double deadline = vdi_now() + a->timeout_ms / 1000.0;
	int rc;

	do {
		if (appliance_interrupted(a))
			return false;
		events_status(a, "waiting");
		rc = vdi_client_get_configuration(a->client, TICK_MS,
						  &a->config);
		if (rc == VD_E_TIMEOUT && a->timeout_ms &&
		    vdi_now() >= deadline) {
			appliance_fail(a, EXIT_TIMED_OUT,
				       "no database joined the set within %.0f s",
				       a->timeout_ms / 1000.0);
			return false;
		}
		if (rc == VD_E_TIMEOUT && partner_is_gone(a))
			return false;
	} while (rc == VD_E_TIMEOUT);
	a->joined = rc == NOERROR;
	if (!a->joined)
		appliance_fail_for(a, rc, "configuring the set");
	else if (!a->quiet && !a->partner.pid)
		report_database(a);
	return a->joined;
}

static bool open_workers(struct appliance *a)
{
	unsigned int i;
	int rc;

	for (i = 0; i < a->count; i++) {
		struct worker *worker = &a->worker[i];

		worker->appliance = a;
		worker->index = i;
		worker->name = vdi_names_get(&a->names, i);
		rc = vdi_client_open_device(a->client, worker->name,
					    &worker->device);
		if (rc != NOERROR) {
			appliance_fail_for(a, rc, worker->name);
			return false;
		}
	}
	return true;
}

void appliance_chunks(struct appliance *a, struct chunk_store *store,
		      struct drive_config *config)
{
	config->chunks = store;
	if (store)
		chunk_stop_with(store, appliance_stopped, a);
}

void appliance_drive_options(const struct appliance *a,
			     struct drive_config *config)
{
	config->in_flight = a->in_flight;
	config->direct = a->direct;
}

/* Signals are the matter of the main thread; an abort wakes the workers. */
static void start_workers(struct appliance *a)
{
	unsigned int i;
	int rc = 0;

	for (i = 0; !rc && i < a->count; i++) {
		pthread_mutex_lock(&a->lock);
		a->running++;
		pthread_mutex_unlock(&a->lock);
		rc = vdi_thread_start(&a->worker[i].thread, worker_thread, &a->worker[i]);
	}
	if (rc) {
		appliance_fail(a, EXIT_FAILED, "cannot start a thread: %s",
			       strerror(rc));
		a->worker[i - 1].thread = 0;
		pthread_mutex_lock(&a->lock);
		a->running--;
		pthread_mutex_unlock(&a->lock);
	}
}

static bool workers_running(struct appliance *a)
{
	bool running;

	pthread_mutex_lock(&a->lock);
	if (a->running)
		vdi_cond_wait(&a->cond, &a->lock, TICK_MS);
	running = a->running;
	pthread_mutex_unlock(&a->lock);
	return running;
}

/*
 * The database may say how much it will write. What the user says, and the size of a
 * backup that is restored, count more. The database's numbers may be any.
 */
static void ask_for_total(struct appliance *a)
{
	uint64_t bytes, sum = 0;
	unsigned int i;

	if (a->total && !a->told)
		return;
	for (i = 0; i < a->count; i++) {
		if (!vdi_client_expected_bytes(a->worker[i].device, &bytes) &&
		    bytes <= INT64_MAX - sum)
			sum += bytes;
	}
	if (!sum)
		return;
	a->told = true;
	a->estimated = true;
	a->total = sum;
}

static void watch_workers(struct appliance *a)
{
	struct vdi_progress progress;
	uint64_t commands = 0;
	double moved = vdi_now();

	vdi_progress_start(&progress, a->quiet);
	events_status(a, "transfer");
	while (workers_running(a)) {
		uint64_t now_commands = appliance_commands(a);
		uint64_t bytes = appliance_bytes(a);

		appliance_interrupted(a);
		if (now_commands != commands || a->busy) {
			commands = now_commands;
			moved = vdi_now();
		} else if (a->idle_ms &&
			   vdi_now() - moved > a->idle_ms / 1000.0) {
			appliance_fail(a, EXIT_TIMED_OUT,
				       "no command arrived for %.0f s",
				       a->idle_ms / 1000.0);
		}
		ask_for_total(a);
		vdi_progress_show(&progress, a->ops->verb, bytes,
				  appliance_total(a, bytes));
		events_status(a, "transfer");
	}
	vdi_progress_end(&progress);
}

static void run_workers(struct appliance *a)
{
	unsigned int i;

	start_workers(a);
	watch_workers(a);
	for (i = 0; i < a->count; i++) {
		if (a->worker[i].thread)
			pthread_join(a->worker[i].thread, NULL);
	}
}

/* EXIT_OK, or an exit code after a message. */
static int limit_rate(struct appliance *a)
{
	char text[VDI_MESSAGE_SIZE];

	if (!a->max_rate ||
	    vdi_client_set_rate(a->client, a->max_rate) == NOERROR)
		return EXIT_OK;
	vdi_client_message(a->client, text, sizeof(text));
	vdi_error("--max-rate: %s", text);
	return EXIT_FAILED;
}

static int create_set(struct appliance *a)
{
	char text[1024];
	int rc;

	if (vdi_load_module(text, sizeof(text)) != NOERROR) {
		vdi_error("%s", text);
		return EXIT_NO_MODULE;
	}
	rc = vdi_client_new(&a->client);
	if (rc != NOERROR) {
		vdi_error("%s", vdi_strerror(rc));
		return EXIT_FAILED;
	}
	a->config.deviceCount = a->count;
	/* O_DIRECT requires aligned buffers */
	if (a->direct != DIRECT_NEVER &&
	    medium_profile_of(a->config.features) != MEDIUM_TAPE)
		a->config.alignment = sysconf(_SC_PAGESIZE);
	rc = vdi_client_create(a->client, a->instance ? :
			       vdi_default_instance(), a->names.set,
			       &a->config, &a->access);
	if (rc == NOERROR) {
		rc = limit_rate(a);
		if (rc == EXIT_OK)
			return EXIT_OK;
	} else {
		vdi_client_message(a->client, text, sizeof(text));
		vdi_error("cannot create set '%s': %s", a->names.set,
			  *text ? text : vdi_strerror(rc));
	}
	vdi_client_free(a->client);
	a->client = NULL;
	return EXIT_FAILED;
}

/* A failed close is a failure: the database has then seen an error as well. */
static void close_set(struct appliance *a)
{
	int rc;

	events_last_sample(a);
	rc = vdi_client_close(a->client);
	if (rc != NOERROR)
		appliance_fail_for(a, rc, "closing the set");
	vdi_client_free(a->client);
	a->client = NULL;
}

int appliance_run(struct appliance *a)
{
	int rc;

	vdi_catch_signals();
	rc = create_set(a);
	if (rc != EXIT_OK)
		return rc;
	if (!a->quiet && !a->partner.command)
		fprintf(stderr, "vdi: waiting for the database on '%s', %u device%s\n",
			a->names.set, a->count, a->count == 1 ? "" : "s");
	vdi_notify_ready();
	a->started = vdi_now();
	if (partner_start(a) && wait_for_database(a) && a->ops->configured(a) &&
	    open_workers(a) && !appliance_interrupted(a)) {
		a->started = vdi_now();
		run_workers(a);
	}
	if (a->exit_code == EXIT_OK)
		a->ops->finish(a);
	close_set(a);
	partner_end(a);
	if (a->exit_code != EXIT_OK)
		vdi_error("%s of '%s' failed: %s", a->ops->verb, a->names.set,
			  a->message);
	return a->exit_code;
}
