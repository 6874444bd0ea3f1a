// SPDX-License-Identifier: GPL-2.0-only
/*
 * database.c - the server of a set, with a single thread
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "database.h"

#define TICK_MS 200	/* how soon a signal that came between waits is noticed */

bool db_fail(struct database *db, int exit_code, const char *format, ...)
{
	va_list args;

	if (db->exit_code != EXIT_OK)
		return false;
	db->exit_code = exit_code;
	va_start(args, format);
	vsnprintf(db->message, sizeof(db->message), format, args);
	va_end(args);
	if (db->server) {
		char text[VDI_TEXT_SIZE];

		snprintf(text, sizeof(text), "%.*s", VDI_TEXT_SIZE - 1,
			 db->message);
		vdi_server_signal_abort(db->server, exit_code, text);
	}
	return false;
}

bool db_fail_for(struct database *db, int code, const char *doing)
{
	struct vdi_abort_info info;
	char text[256];

	if (code == VD_E_ABORT &&
	    vdi_server_abort_info(db->server, &info) == NOERROR &&
	    info.reason) {
		vdi_abort_describe(&info, text, sizeof(text));
		return db_fail(db, EXIT_ABORTED, "%s", text);
	}
	vdi_server_message(db->server, text, sizeof(text));
	if (!*text)
		snprintf(text, sizeof(text), "%s", vdi_strerror(code));
	return db_fail(db, vdi_exit_for(code), "%s: %s", doing, text);
}

static bool interrupted(struct database *db)
{
	int number = vdi_signal_received();

	if (number)
		db_fail(db, EXIT_INTERRUPTED, "interrupted (%s)",
			strsignal(number));
	return number != 0;
}

/* The client may come after us: look for its set until the time-out. */
static bool open_set(struct database *db)
{
	const struct timespec tick = { .tv_nsec = TICK_MS * 1000000L };
	double deadline = vdi_now() + db->timeout_ms / 1000.0;
	int rc;

	for (;;) {
		rc = vdi_server_open(db->server, NULL, db->names.set);
		if (rc == NOERROR)
			return true;
		if (rc != VD_E_INVALID)
			return db_fail_for(db, rc, "opening the set");
		if (interrupted(db))
			return false;
		if (db->timeout_ms && vdi_now() >= deadline)
			return db_fail(db, EXIT_TIMED_OUT,
				       "no backup program has created the set within %.0f s (or it may not be used by this user)",
				       db->timeout_ms / 1000.0);
		nanosleep(&tick, NULL);
	}
}

static bool configure(struct database *db, uint32_t direction)
{
	uint32_t features;
	int rc;

	rc = vdi_server_get_configuration(db->server, &db->config);
	if (rc != NOERROR)
		return db_fail_for(db, rc, "configuration");
	if (db->count && db->count != db->config.deviceCount)
		return db_fail(db, EXIT_FAILED,
			       "the set has %u devices, not %u",
			       db->config.deviceCount, db->count);
	db->count = db->config.deviceCount;
	if (!db->buffer_count)
		db->buffer_count = 4 * db->count;
	if (db->buffer_count < db->count)
		return db_fail(db, EXIT_USAGE,
			       "%u buffers are too few for %u devices",
			       db->buffer_count, db->count);

	features = db->config.features | direction;
	if ((direction & VDF_WriteMedia) && (features & VDF_RequestComplete))
		features |= VDF_CompleteEnabled;
	rc = vdi_server_begin_configuration(db->server, features,
					    db->block_size, 0,
					    db->max_transfer, -1);
	if (rc == NOERROR)
		rc = vdi_server_request_buffers(db->server, db->max_transfer, 0,
						db->buffer_count);
	if (rc == NOERROR)
		rc = vdi_server_end_configuration(db->server);
	if (rc == NOERROR)
		rc = vdi_server_get_configuration(db->server, &db->config);
	if (rc != NOERROR)
		return db_fail_for(db, rc, "configuration");
	return true;
}

static bool open_devices(struct database *db)
{
	unsigned int i;
	int rc;

	for (i = 0; i < db->count; i++) {
		const char *name = vdi_names_get(&db->names, i);

		rc = vdi_server_open_device(db->server, name, &db->device[i]);
		if (rc != NOERROR)
			return db_fail_for(db, rc, name);
	}
	return true;
}

static bool allocate_slots(struct database *db)
{
	uint32_t i;
	int rc;

	db->slots = calloc(db->buffer_count, sizeof(*db->slots));
	if (!db->slots)
		return db_fail(db, EXIT_FAILED, "out of memory");
	for (i = 0; i < db->buffer_count; i++) {
		rc = vdi_server_allocate_buffer(db->server,
						&db->slots[i].buffer,
						db->max_transfer, 0);
		if (rc != NOERROR)
			return db_fail_for(db, rc, "buffers");
	}
	return true;
}

bool db_connect(struct database *db, uint32_t direction)
{
	int rc = vdi_server_new(&db->server);

	if (rc != NOERROR)
		return db_fail(db, EXIT_FAILED, "%s", vdi_strerror(rc));
	return open_set(db) && configure(db, direction) && open_devices(db) &&
	       allocate_slots(db);
}

static void completed(struct VDS_Command *cmd)
{
	struct slot *slot = cmd->completionContext;

	slot->busy = false;
	slot->db->outstanding[slot->device]--;
	if (cmd->completionCode == ERROR_HANDLE_EOF ||
	    cmd->completionCode == ERROR_NO_DATA_DETECTED)
		slot->db->ended[slot->device] = true;
}

bool db_step(struct database *db)
{
	int rc;

	vdi_progress_show(&db->progress, db->verb, db->bytes, 0);
	rc = vdi_server_run_completions(db->server, TICK_MS, NULL);
	if (rc == NOERROR || rc == VD_E_TIMEOUT)
		return !interrupted(db);
	return db_fail_for(db, rc, "waiting for the backup program");
}

bool db_poll(struct database *db, int fd, short events)
{
	struct pollfd fds[] = {
		{ .fd = fd, .events = events },
		{ .fd = vdi_server_fd(db->server) },
	};

	for (;;) {
		int n = poll(fds, 2, TICK_MS);

		if (interrupted(db))
			return false;
		if (n < 0 && errno != EINTR)
			return db_fail(db, EXIT_FAILED, "poll: %s",
				       strerror(errno));
		if (n > 0 && fds[1].revents)
			return db_fail_for(db, VD_E_ABORT, "the stream");
		if (n > 0)
			return true;
		vdi_progress_show(&db->progress, db->verb, db->bytes, 0);
	}
}

bool db_send(struct database *db, struct slot *slot, unsigned int device,
	     int code, uint32_t size)
{
	int rc;

	while (db->outstanding[device] >= db->config.maxIODepth) {
		if (!db_step(db))
			return false;
	}
	slot->cmd = (struct VDS_Command){
		.commandCode = code,
		.size = size,
		.buffer = slot->buffer,
		.completionRoutine = completed,
		.completionContext = slot,
	};
	slot->db = db;
	slot->device = device;
	slot->busy = true;
	db->outstanding[device]++;
	rc = vdi_server_send_command(db->device[device], &slot->cmd);
	if (rc == VD_E_INVALID)	/* the one failure that completes nothing */
		completed(&slot->cmd);
	if (rc != NOERROR)
		return db_fail_for(db, rc, vdi_command_name(code));
	return true;
}

bool db_drain(struct database *db)
{
	unsigned int i;

	for (i = 0; i < db->count; i++) {
		while (db->outstanding[i]) {
			if (!db_step(db))
				return false;
		}
	}
	return true;
}

bool db_all(struct database *db, int code)
{
	struct slot slots[VDI_MAX_DEVICES] = { 0 };
	unsigned int i;
	bool ok = true;

	for (i = 0; ok && i < db->count; i++)
		ok = db_send(db, &slots[i], i, code, 0);
	/* the slots are on this stack: none may stay outstanding */
	if (!ok || !db_drain(db)) {
		while (vdi_server_run_completions(db->server, -1, NULL) ==
		       NOERROR)
			;
		return false;
	}
	for (i = 0; i < db->count; i++) {
		if (slots[i].cmd.completionCode != ERROR_SUCCESS)
			return db_fail(db, EXIT_FAILED, "%s on '%s': %s",
				       vdi_command_name(code),
				       vdi_names_get(&db->names, i),
				       vdi_completion_name(slots[i].cmd.completionCode));
	}
	return true;
}

bool db_close_devices(struct database *db)
{
	unsigned int i;
	int rc;

	for (i = 0; i < db->count; i++) {
		rc = vdi_server_close_device(db->device[i]);
		if (rc != NOERROR)
			return db_fail_for(db, rc, "closing a device");
	}
	return true;
}

int db_end(struct database *db)
{
	vdi_progress_end(&db->progress);
	if (db->server) {
		int rc = vdi_server_close(db->server);

		if (rc != NOERROR)
			db_fail_for(db, rc, "closing the set");
		vdi_server_free(db->server);
	}
	if (db->exit_code != EXIT_OK)
		vdi_error("%s of '%s' failed: %s", db->verb, db->names.set,
			  db->message);
	free(db->slots);
	vdi_names_free(&db->names);
	return db->exit_code;
}
