// SPDX-License-Identifier: GPL-2.0-only
/*
 * bridge.c - vdi-mssql: SQL Server as the database of a virtual device set
 *
 * There are two sets: that of vdi backup or vdi restore, of which this program is the
 * server, and one of SQL Server's library, of which it is the client. A thread for each
 * device hands the commands over (channel.c). The main thread configures both sets, watches
 * the threads, the command and the signals, and is the only one that records a failure.
 *
 * The devices of the vdiset are closed only after the statement has succeeded. Without
 * VDC_Complete the close is what publishes a backup, and a backup whose statement failed is
 * none.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bridge.h"

#define TICK_MS		100
/* Time between the end of the statement and of the transfer, in either order. */
#define PATIENCE	30

/* What the server of a set decides. */
#define SERVER_FEATURES	(VDF_WriteMedia | VDF_ReadMedia | VDF_CompleteEnabled)

static bool fail_sdk(struct bridge *b, const char *doing, int code)
{
	return db_fail(&b->db, vdi_exit_for(code), "SQL Server's library: %s: %s",
		       doing, vdi_strerror(code));
}

/* A signal or an abort of the vdiset. */
static bool stopped(struct bridge *b)
{
	int number = vdi_signal_take();
	struct vdi_abort_info info;

	if (number)
		return !db_fail(&b->db, EXIT_INTERRUPTED, "interrupted (%s)",
				strsignal(number));
	if (vdi_server_abort_info(b->db.server, &info) == NOERROR && info.reason)
		return !db_fail_for(&b->db, VD_E_ABORT, "the set");
	return false;
}

/* ---------------------------------------------------------- configuration */

/*
 * Names for SQL Server. They need no quoting in a statement, and no other set has them;
 * false: there are no random numbers.
 */
static bool make_names(struct bridge *b)
{
	char id[40] = "";
	unsigned int i;
	ssize_t n;
	int fd = open("/proc/sys/kernel/random/uuid", O_RDONLY | O_CLOEXEC);

	n = fd >= 0 ? read(fd, id, sizeof(id) - 1) : -1;
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return db_fail(&b->db, EXIT_FAILED,
			       "cannot read /proc/sys/kernel/random/uuid: %s",
			       strerror(errno));
	id[strcspn(id, "\n")] = '\0';
	for (i = 0; i < b->db.count; i++) {
		struct channel *ch = &b->channel[i];

		ch->bridge = b;
		ch->name = vdi_names_get(&b->db.names, i);
		if (!ch->name)
			return db_fail(&b->db, EXIT_FAILED, "out of memory");
		snprintf(ch->sdk_name, sizeof(ch->sdk_name), i ? "%s-%u" : "%s",
			 id, i);
		pthread_mutex_init(&ch->lock, NULL);
		pthread_cond_init(&ch->cond, NULL);
	}
	return true;
}

static bool join(struct bridge *b)
{
	struct database *db = &b->db;
	int rc;

	if (!db_join(db))
		return false;
	rc = vdi_server_get_configuration(db->server, &db->config);
	if (rc != NOERROR)
		return db_fail_for(db, rc, "configuring the set");
	db->count = db->config.deviceCount;
	return make_names(b);
}

static bool create(struct bridge *b)
{
	const struct VDConfig *client = &b->db.config;
	struct VDConfig config = {
		.deviceCount = client->deviceCount,
		.features = client->features & ~SERVER_FEATURES,
		.alignment = client->alignment,
		.softFileMarkBlockSize = client->softFileMarkBlockSize,
		.EOMWarningSize = client->EOMWarningSize,
	};
	int rc;

	b->sdk = sdk_set_new();
	if (!b->sdk)
		return db_fail(&b->db, EXIT_FAILED, "out of memory");
	rc = sdk_create(b->sdk, b->channel[0].sdk_name, &config);
	b->created = rc == NOERROR;
	return b->created || fail_sdk(b, "creating a set", rc);
}

static void tick(void)
{
	const struct timespec time = { .tv_nsec = TICK_MS * 1000000L };

	nanosleep(&time, NULL);
}

/* Until SQL Server has joined and configured its set. */
static bool wait_for_server(struct bridge *b)
{
	double deadline = vdi_now() + b->db.timeout_ms / 1000.0;
	int status, rc;

	for (;;) {
		rc = sdk_get_configuration(b->sdk, &b->sql);
		if (rc == NOERROR)
			return true;
		if (rc != VD_E_TIMEOUT)
			return fail_sdk(b, "configuring the set", rc);
		if (stopped(b))
			return false;
		if (statement_ended(b, &status))
			return statement_fail(b, status);
		if (b->db.timeout_ms && vdi_now() > deadline)
			return db_fail(&b->db, EXIT_TIMED_OUT,
				       "SQL Server did not join its set within %g s",
				       b->db.timeout_ms / 1000.0);
		tick();
	}
}

static bool right_direction(struct bridge *b)
{
	bool writes = b->sql.features & VDF_WriteMedia;

	return writes == b->backup ||
	       db_fail(&b->db, EXIT_FAILED,
		       b->backup ? "SQL Server wants to restore: the statement is not a BACKUP" :
				   "SQL Server wants to back up: the statement is not a RESTORE");
}

/* SQL Server's sizes, in the units that the vdiset has. */
static void take_sizes(struct bridge *b)
{
	const uint32_t unit = 65536;

	b->transfer = b->sql.maxTransferSize ? : unit;
	b->transfer = (b->transfer + unit - 1) / unit * unit;
	b->depth = b->sql.maxIODepth;
	if (!b->depth || b->depth > MAX_DEPTH)
		b->depth = MAX_DEPTH;
}

static bool configure(struct bridge *b)
{
	struct vdi_server *server = b->db.server;
	uint32_t features = b->db.config.features & b->sql.features;
	int rc;

	if (!right_direction(b))
		return false;
	take_sizes(b);
	features |= b->sql.features & SERVER_FEATURES;
	rc = vdi_server_begin_configuration(server, features, b->sql.blockSize,
					    0, b->transfer, -1);
	if (rc == NOERROR)
		rc = vdi_server_request_buffers(server, b->transfer, 0,
						b->db.count * b->depth);
	if (rc == NOERROR)
		rc = vdi_server_end_configuration(server);
	if (rc == NOERROR)
		rc = vdi_server_get_configuration(server, &b->db.config);
	return rc == NOERROR || db_fail_for(&b->db, rc, "configuring the set");
}

static bool open_channel(struct bridge *b, struct channel *ch)
{
	unsigned int i;
	int rc;

	if (b->depth > b->db.config.maxIODepth)
		b->depth = b->db.config.maxIODepth;
	for (i = 0; i < b->depth; i++) {
		rc = vdi_server_allocate_buffer(b->db.server, &ch->job[i].buffer,
						b->transfer, 0);
		if (rc != NOERROR)
			return db_fail_for(&b->db, rc, "allocating buffers");
	}
	rc = vdi_server_open_device(b->db.server, ch->name, &ch->device);
	if (rc != NOERROR)
		return db_fail_for(&b->db, rc, ch->name);
	rc = sdk_open_device(b->sdk, ch->sdk_name, &ch->sdk);
	return rc == NOERROR || fail_sdk(b, "opening a device", rc);
}

static bool open_channels(struct bridge *b)
{
	unsigned int i;

	for (i = 0; i < b->db.count; i++) {
		if (!open_channel(b, &b->channel[i]))
			return false;
	}
	return true;
}

/* --------------------------------------------------------------- transfer */

/* It ends when the devices are closed, or with the abort of the set. */
static void *agent_main(void *argument)
{
	struct bridge *b = argument;

	vdi_server_execute_completion_agent(b->db.server);
	return NULL;
}

static bool fail_thread(struct bridge *b, int error)
{
	return db_fail(&b->db, EXIT_FAILED, "cannot start a thread: %s",
		       strerror(error));
}

/* Signals are handled by the main thread. */
static bool start_threads(struct bridge *b)
{
	sigset_t all, old;
	unsigned int i;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&b->agent, NULL, agent_main, b);
	b->agent_runs = !rc;
	for (i = 0; !rc && i < b->db.count; i++) {
		pthread_mutex_lock(&b->lock);
		rc = pthread_create(&b->channel[i].thread, NULL, channel_main,
				    &b->channel[i]);
		if (!rc)
			b->running++;
		else
			b->channel[i].thread = 0;
		pthread_mutex_unlock(&b->lock);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return !rc || fail_thread(b, rc);
}

static uint64_t moved(struct bridge *b)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < b->db.count; i++)
		sum += b->channel[i].bytes;
	return sum;
}

/* Wait for a moment. Do threads of devices run, and was no device aborted? */
static bool transferring(struct bridge *b)
{
	bool goes_on;

	pthread_mutex_lock(&b->lock);
	if (b->running && !b->sql_aborted)
		vdi_cond_wait(&b->cond, &b->lock, TICK_MS);
	goes_on = b->running && !b->sql_aborted;
	pthread_mutex_unlock(&b->lock);
	return goes_on;
}

/*
 * SQL Server has ended its set early. The statement knows the reason, and should end now as
 * well.
 */
static bool fail_aborted(struct bridge *b)
{
	double until = vdi_now() + PATIENCE;
	int status;

	while (vdi_now() < until) {
		if (stopped(b))
			return false;
		if (statement_ended(b, &status))
			return statement_fail(b, status);
		tick();
	}
	return db_fail(&b->db, EXIT_ABORTED, "SQL Server has aborted its set");
}

static bool transfer(struct bridge *b)
{
	double ended = 0;
	int status;

	while (transferring(b)) {
		vdi_progress_show(&b->db.progress, b->db.verb, moved(b), 0);
		if (stopped(b))
			return false;
		if (!statement_ended(b, &status))
			continue;
		if (!ended)
			ended = vdi_now();
		if (status || vdi_now() - ended > PATIENCE)
			return statement_fail(b, status);
	}
	return !b->sql_aborted || fail_aborted(b);
}

/*
 * Both sets may still have waiting threads; an abort of both wakes all of them. A library
 * that does not return is given up.
 */
static void stop_threads(struct bridge *b)
{
	double until = vdi_now() + PATIENCE;
	unsigned int i;
	bool hangs;

	if (b->db.exit_code != EXIT_OK)
		sdk_signal_abort(b->sdk);
	pthread_mutex_lock(&b->lock);
	while (b->running && vdi_now() < until && vdi_signal_pending() < 2)
		vdi_cond_wait(&b->cond, &b->lock, TICK_MS);
	hangs = b->running;
	pthread_mutex_unlock(&b->lock);
	if (hangs) {
		vdi_error("%s of '%s' failed: %s; SQL Server's library does not return from GetCommand",
			  b->db.verb, b->db.names.set, b->db.message);
		_exit(b->db.exit_code);
	}
	for (i = 0; i < b->db.count; i++) {
		if (b->channel[i].thread)
			pthread_join(b->channel[i].thread, NULL);
	}
}

static bool close_sdk(struct bridge *b)
{
	int rc;

	if (!b->created)
		return true;
	b->created = false;
	if (b->db.exit_code != EXIT_OK)
		sdk_signal_abort(b->sdk);
	rc = sdk_close(b->sdk);
	return rc == NOERROR || b->db.exit_code != EXIT_OK ||
	       fail_sdk(b, "closing the set", rc);
}

/* A restore may take long after the last byte was read. */
static bool wait_for_statement(struct bridge *b)
{
	int status;

	while (!statement_ended(b, &status)) {
		if (stopped(b))
			return false;
		tick();
	}
	return !status || statement_fail(b, status);
}

static bool close_devices(struct bridge *b)
{
	unsigned int i;
	int rc;

	for (i = 0; i < b->db.count; i++) {
		rc = vdi_server_close_device(b->channel[i].device);
		if (rc != NOERROR)
			return db_fail_for(&b->db, rc, "closing a device");
	}
	return true;
}

/* --------------------------------------------------------------- the program */

static bool run(struct bridge *b)
{
	bool ok;

	if (!join(b) || !create(b) || !statement_start(b) || !wait_for_server(b) ||
	    !configure(b) || !open_channels(b))
		return false;
	b->db.started = vdi_now();
	vdi_progress_start(&b->db.progress, b->db.quiet);
	ok = start_threads(b) && transfer(b);
	vdi_progress_end(&b->db.progress);
	stop_threads(b);
	return ok && close_sdk(b) && wait_for_statement(b) && close_devices(b);
}

static void summary(struct bridge *b, double seconds)
{
	char text[160];

	vdi_format_transfer(b->db.count, "", moved(b), seconds, text,
			    sizeof(text));
	printf("%s through '%s' is complete: %s\n", b->db.verb, b->db.names.set,
	       text);
}

int main(int argc, char **argv)
{
	static struct bridge b = {
		.library = SDK_LIBRARY,
		.db = { .timeout_ms = 300 * 1000 },
	};
	double seconds;
	char why[512];
	int rc;

	vdi_occupy_standard_files();
	vdi_set_program("vdi-mssql");
	pthread_mutex_init(&b.lock, NULL);
	vdi_cond_init(&b.cond);
	rc = options_parse(&b, argc, argv);
	if (rc != EXIT_OK)
		return rc;
	if (vdi_load_module(why, sizeof(why)) != NOERROR) {
		vdi_error("%s", why);
		return EXIT_NO_MODULE;
	}
	vdi_catch_signals();
	if (!sdk_load(b.library, b.trace, why, sizeof(why))) {
		vdi_error("%s; --library names another one", why);
		return EXIT_FAILED;
	}
	run(&b);
	seconds = vdi_now() - b.db.started;
	close_sdk(&b);
	sdk_set_free(b.sdk);
	statement_stop(&b);
	/* aborts the vdiset after a failure, which ends the agent */
	if (b.agent_runs)
		pthread_join(b.agent, NULL);
	rc = db_end(&b.db);
	if (rc == EXIT_OK && !b.db.quiet)
		summary(&b, seconds);
	return rc;
}
