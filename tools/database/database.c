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
#include <unistd.h>

#include "layout.h"

#define TICK_MS 200	/* interval of checks for signals */

/* The features by which layouts are distinguished. */
#define PROFILE_BITS	((VDF_LikeTape | VDF_RandomAccess) & ~VDF_Removable)

/*
 * Not to be aborted immediately: VDC_Discard can be sent only on a live set, and
 * after an error the commands that the client holds are waited for.
 */
static bool needs_orderly_end(const struct database *db)
{
	return db->orderly ||
	       (db_writes(db) && (db->config.features & VDF_Discard) &&
		db->dev[0].handle);
}

static void abort_set(struct database *db)
{
	char text[VDI_TEXT_SIZE];

	snprintf(text, sizeof(text), "%.*s", VDI_TEXT_SIZE - 1, db->message);
	vdi_server_signal_abort(db->server, db->exit_code, text);
}

bool db_fail(struct database *db, int exit_code, const char *format, ...)
{
	va_list args;

	if (db->exit_code != EXIT_OK)
		return false;
	db->exit_code = exit_code;
	va_start(args, format);
	vsnprintf(db->message, sizeof(db->message), format, args);
	va_end(args);
	if (db->server && !needs_orderly_end(db))
		abort_set(db);
	return false;
}

bool db_fail_device(struct database *db, unsigned int device,
		    const char *doing, int completion)
{
	/* 995 is set by the library; the next call reports the abort */
	if (completion == ERROR_OPERATION_ABORTED &&
	    vdi_server_run_completions(db->server, 0, NULL) == VD_E_ABORT)
		return db_fail_for(db, VD_E_ABORT, doing);
	db->dev[device].refused = true;
	db->orderly = true;
	if (db->exit_code == EXIT_OK)
		db->by_client = true;
	return db_fail(db, EXIT_FAILED, "%s '%s': %s", doing,
		       db->dev[device].name, vdi_completion_name(completion));
}

bool db_fail_medium(struct database *db, unsigned int device,
		    const char *what)
{
	const struct db_device *dev = &db->dev[device];

	return db_fail(db, EXIT_DAMAGED, "medium %u of '%s' %s",
		       dev->medium.ordinal, dev->name, what);
}

bool db_fail_for(struct database *db, int code, const char *doing)
{
	struct vdi_abort_info info;
	char text[768];

	if (code == VD_E_ABORT &&
	    vdi_server_abort_info(db->server, &info) == NOERROR &&
	    info.reason) {
		vdi_abort_text(&info, text, sizeof(text));
		if (db->exit_code == EXIT_OK)
			db->by_client = true;
		return db_fail(db, vdi_exit_for_abort(&info, !db_writes(db)),
			       "%s", text);
	}
	vdi_server_message(db->server, text, sizeof(text));
	if (!*text)
		snprintf(text, sizeof(text), "%s", vdi_strerror(code));
	return db_fail(db, vdi_exit_for(code), "%s: %s", doing, text);
}

/* Check for signals and the deadline. */
static bool must_stop(struct database *db)
{
	int number = vdi_signal_take();

	if (number) {
		db_fail(db, EXIT_INTERRUPTED, "interrupted (%s)",
			strsignal(number));
		return true;
	}
	if (db->deadline && vdi_now() > db->deadline) {
		db_fail(db, EXIT_TIMED_OUT, "%s", db->deadline_text);
		return true;
	}
	return false;
}

static void show_progress(struct database *db)
{
	vdi_progress_show(&db->progress, db->verb, db->moved, db->total);
	if (db->tick)
		db->tick(db);
}

/* Why no set was joined so far, as reported by the library. */
struct join_errors {
	char now[768];
	char ended[768];		/* of the last set that was aborted */
	bool warned;			/* of a user who is not trusted */
};

static void record_error(struct database *db, int code,
			 struct join_errors *why)
{
	uid_t user;

	vdi_server_message(db->server, why->now, sizeof(why->now));
	if (code == VD_E_ABORT)
		strcpy(why->ended, why->now);
	if (why->warned ||
	    vdi_server_get_untrusted(db->server, &user) != NOERROR)
		return;
	why->warned = true;
	vdi_error("warning: %s; to join it, use --from %lu",
		  why->now, (unsigned long)user);
}

static bool fail_timeout(struct database *db, const struct join_errors *why)
{
	bool both = *why->ended && strcmp(why->ended, why->now);

	return db_fail(db, EXIT_TIMED_OUT,
		       "no backup program has created the set within %g s: %s%s%s",
		       db->timeout_ms / 1000.0, why->now,
		       both ? "; before that, " : "", both ? why->ended : "");
}

static void report_client(struct database *db)
{
	struct vdi_peer peer;
	char text[128];

	if (db->quiet || vdi_server_get_peer(db->server, &peer) != NOERROR)
		return;
	vdi_peer_describe(&peer, text, sizeof(text));
	fprintf(stderr, "%s: joined '%s' of %s\n", vdi_program(),
		db->names.set, text);
}

/*
 * The client may create its set later, so retry until the time-out. A terminated
 * set that a process still holds open may be replaced by a live one.
 */
static bool open_set(struct database *db)
{
	const struct timespec tick = { .tv_nsec = TICK_MS * 1000000L };
	double deadline = vdi_now() + db->timeout_ms / 1000.0;
	struct join_errors why = { .warned = false };
	int rc;

	rc = vdi_server_set_trusted_users(db->server, db->from.uid,
					  db->from.count);
	if (rc != NOERROR)
		return db_fail_for(db, rc, "opening the set");
	for (;;) {
		show_progress(db);
		rc = vdi_server_open(db->server, db->instance, db->names.set);
		if (rc == NOERROR)
			break;
		if (rc != VD_E_INVALID && rc != VD_E_ABORT)
			return db_fail_for(db, rc, "opening the set");
		record_error(db, rc, &why);
		if (must_stop(db))
			return false;
		if (db->timeout_ms && vdi_now() >= deadline)
			return fail_timeout(db, &why);
		nanosleep(&tick, NULL);
	}
	report_client(db);
	return true;
}

static bool choose_layout(struct database *db)
{
	const struct layout *const *p = db->layouts;
	const char *is = "of an unknown kind";

	for (; *p && !db->layout; p++) {
		if (((*p)->features ^ db->config.features) & PROFILE_BITS)
			continue;
		db->layout = *p;
	}
	if (db->layout && (!db->wanted || db->wanted == db->layout))
		return true;
	switch (db->config.features & PROFILE_BITS) {
	case VDF_LikePipe:
		is = "like pipes";
		break;
	case VDF_LikeDisk:
		is = "like disks";
		break;
	case VDF_LikeTape & PROFILE_BITS:
		is = "like tapes";
		break;
	}
	return db_fail(db, EXIT_FAILED,
		       "the devices of the set are %s, not like %ss as required",
		       is, (db->wanted ? : db->layouts[0])->name);
}

static bool check_use(struct database *db)
{
	if (db->snapshot && (db->count != 1 || db->layout->media))
		return db_fail(db, EXIT_FAILED,
			       "a snapshot requires a set of one device like a pipe; this set has %u like %ss",
			       db->count, db->layout->name);
	if (db->read_back && !db->layout->media)
		return db_fail(db, EXIT_FAILED,
			       "the devices of the set are like pipes, which cannot be read again; leave out --read-back");
	return true;
}

/* The features of the client, and those that this server uses. */
static uint32_t features(const struct database *db)
{
	uint32_t bits = db->config.features | db->direction;

	/* the header of a disk is read back in every backup */
	if (db->read_back || (db_writes(db) && db->layout->positions))
		bits |= VDF_ReadMedia;
	if (db_writes(db) && (bits & VDF_RequestComplete))
		bits |= VDF_CompleteEnabled;
	return bits;
}

static bool configure(struct database *db)
{
	int rc;

	rc = vdi_server_get_configuration(db->server, &db->config);
	if (rc != NOERROR)
		return db_fail_for(db, rc, "configuring the set");
	if (db->count && db->count != db->config.deviceCount)
		return db_fail(db, EXIT_FAILED,
			       "the set has %u devices, not %u",
			       db->config.deviceCount, db->count);
	db->count = db->config.deviceCount;
	if (!choose_layout(db) || !check_use(db))
		return false;
	if (!db->buffer_count)
		db->buffer_count = 4 * db->count;
	if (db->buffer_count < db->count)
		return db_fail(db, EXIT_USAGE,
			       "%u buffers are too few for %u devices: at least one per device is required",
			       db->buffer_count, db->count);

	rc = vdi_server_begin_configuration(db->server, features(db),
					    db->block_size, 0,
					    db->max_transfer, -1);
	if (rc == NOERROR)
		rc = vdi_server_request_buffers(db->server, db->max_transfer, 0,
						db->buffer_count);
	if (rc == NOERROR && db->layout->media)
		rc = vdi_server_request_buffers(db->server, db->block_size, 0,
						db->count);
	if (rc == NOERROR)
		rc = vdi_server_end_configuration(db->server);
	if (rc == NOERROR)
		rc = vdi_server_get_configuration(db->server, &db->config);
	if (rc != NOERROR)
		return db_fail_for(db, rc, "configuring the set");
	return true;
}

static bool open_devices(struct database *db)
{
	unsigned int i;
	int rc;

	for (i = 0; i < db->count; i++) {
		struct db_device *dev = &db->dev[i];

		dev->name = vdi_names_get(&db->names, i);
		dev->medium.ordinal = 1;
		dev->sum = XXH3_createState();
		if (!dev->name || !dev->sum)
			return db_fail(db, EXIT_FAILED, "out of memory");
		XXH3_64bits_reset(dev->sum);
		rc = vdi_server_open_device(db->server, dev->name,
					    &dev->handle);
		if (rc != NOERROR)
			return db_fail_for(db, rc, dev->name);
	}
	return true;
}

static bool allocate_slots(struct database *db)
{
	uint32_t i;
	int rc;

	db->slots = calloc(db->buffer_count, sizeof(*db->slots));
	db->list = calloc(db->buffer_count, sizeof(*db->list));
	if (!db->slots || !db->list)
		return db_fail(db, EXIT_FAILED, "out of memory");
	for (i = 0; i < db->buffer_count; i++) {
		rc = vdi_server_allocate_buffer(db->server,
						&db->slots[i].buffer,
						db->max_transfer, 0);
		if (rc != NOERROR)
			return db_fail_for(db, rc, "allocating buffers");
	}
	for (i = 0; db->layout->media && i < db->count; i++) {
		rc = vdi_server_allocate_buffer(db->server,
						&db->dev[i].control.buffer,
						db->block_size, 0);
		if (rc != NOERROR)
			return db_fail_for(db, rc, "allocating buffers");
	}
	return true;
}

bool db_join(struct database *db)
{
	int rc = vdi_server_new(&db->server);

	if (rc != NOERROR)
		return db_fail(db, EXIT_FAILED, "%s", vdi_strerror(rc));
	return open_set(db);
}

bool db_connect(struct database *db, uint32_t direction)
{
	db->direction = direction;
	if (!db_join(db) || !configure(db) || !open_devices(db) ||
	    !allocate_slots(db))
		return false;
	db->shape.devices = db->count;
	db->shape.block_size = db->block_size;
	db->counted = db_writes(db) ? VDC_Write : VDC_Read;
	db->started = vdi_now();
	return true;
}

void db_expect(struct database *db, uint64_t bytes)
{
	unsigned int i;

	for (i = 0; i < db->count; i++)
		vdi_server_set_expected_bytes(db->dev[i].handle,
					      bytes / db->count);
}

static void completed(struct VDS_Command *cmd)
{
	struct slot *slot = cmd->completionContext;
	struct db_device *dev = &slot->db->dev[slot->device];
	bool data = cmd->commandCode == VDC_Read ||
		    cmd->commandCode == VDC_Write;

	slot->busy = false;
	dev->outstanding--;
	if (cmd->commandCode == slot->db->counted)
		slot->db->moved += cmd->bytesTransferred;
	if (cmd->commandCode == VDC_Write)
		dev->writing -= cmd->size;
	/* as in the library: after a full transfer, 1100 is only a warning */
	if (cmd->completionCode == ERROR_END_OF_MEDIA) {
		dev->warned = true;
		if (data && cmd->bytesTransferred < (uint32_t)cmd->size)
			dev->io_error = true;
	} else if (cmd->completionCode != ERROR_SUCCESS) {
		dev->io_error = true;
	} else if (cmd->commandCode == VDC_ClearError) {
		dev->io_error = false;
	}
}

bool db_step(struct database *db)
{
	int rc;

	show_progress(db);
	rc = vdi_server_run_completions(db->server, TICK_MS, NULL);
	if (rc == NOERROR || rc == VD_E_TIMEOUT)
		return !must_stop(db);
	return db_fail_for(db, rc, "waiting for the backup program");
}

/* The set was aborted while waiting for fd; report a long wait as well. */
static bool fail_aborted_wait(struct database *db, int fd, double since)
{
	double seconds = vdi_now() - since;
	size_t used;

	if (db->exit_code != EXIT_OK)
		return false;
	db_fail_for(db, VD_E_ABORT, "the stream");
	used = strlen(db->message);
	if (seconds >= 1 && db->stream && fd == db->stream_fd)
		snprintf(db->message + used, sizeof(db->message) - used,
			 db_writes(db) ?
			 "; the input had delivered no data for %.0f s" :
			 "; the output had accepted no data for %.0f s", seconds);
	return false;
}

bool db_poll(struct database *db, int fd, short events)
{
	double since = vdi_now();
	struct pollfd fds[] = {
		{ .fd = fd, .events = events },
		{ .fd = vdi_server_fd(db->server) },
	};

	for (;;) {
		int n = poll(fds, 2, TICK_MS);

		if (must_stop(db))
			return false;
		if (n < 0 && errno != EINTR)
			return db_fail(db, EXIT_FAILED, "cannot wait for input or output: %s",
				       strerror(errno));
		if (n > 0 && fds[1].revents)
			return fail_aborted_wait(db, fd, since);
		if (n > 0)
			return true;
		if (db->watch && !db->watch(db))
			return false;
		show_progress(db);
	}
}

bool db_send(struct database *db, struct slot *slot, unsigned int device,
	     int code, uint32_t size, int64_t position)
{
	struct db_device *dev = &db->dev[device];
	int rc;

	while (dev->outstanding >= db->config.maxIODepth) {
		if (!db_step(db))
			return false;
	}
	slot->cmd = (struct VDS_Command){
		.commandCode = code,
		.size = size,
		.inPosition = position,
		.buffer = slot->buffer,
		.completionRoutine = completed,
		.completionContext = slot,
	};
	slot->db = db;
	slot->device = device;
	slot->busy = true;
	dev->outstanding++;
	if (code == VDC_Write)
		dev->writing += size;
	rc = vdi_server_send_command(dev->handle, &slot->cmd);
	if (rc == VD_E_INVALID)	/* the command was not queued */
		completed(&slot->cmd);
	if (rc != NOERROR)
		return db_fail_for(db, rc, vdi_command_name(code));
	return true;
}

bool db_drain_device(struct database *db, unsigned int device)
{
	while (db->dev[device].outstanding) {
		if (!db_step(db))
			return false;
	}
	return true;
}

bool db_drain(struct database *db)
{
	unsigned int i;

	for (i = 0; i < db->count; i++) {
		if (!db_drain_device(db, i))
			return false;
	}
	return true;
}

bool db_close_devices(struct database *db)
{
	unsigned int i;
	int rc;

	for (i = 0; i < db->count; i++) {
		rc = vdi_server_close_device(db->dev[i].handle);
		if (rc != NOERROR)
			return db_fail_for(db, rc, "closing a device");
	}
	return true;
}

static void free_devices(struct database *db)
{
	unsigned int i;

	for (i = 0; i < VDI_MAX_DEVICES; i++) {
		XXH3_freeState(db->dev[i].sum);
		db->dev[i].sum = NULL;
	}
	free(db->slots);
	free(db->list);
	db->slots = NULL;
	db->list = NULL;
}

int db_end(struct database *db)
{
	vdi_progress_end(&db->progress);
	if (db->server) {
		int rc;

		if (db->exit_code != EXIT_OK && needs_orderly_end(db) &&
		    !db_wind_down(db))
			abort_set(db);
		rc = vdi_server_close(db->server);
		if (rc != NOERROR)
			db_fail_for(db, rc, "closing the set");
		vdi_server_free(db->server);
		db->server = NULL;
	}
	if (db->exit_code != EXIT_OK && db->report_fd)
		dprintf(db->report_fd, "%d %s %s\n", db->exit_code,
			db->by_client ? "client" : "server", db->message);
	else if (db->exit_code != EXIT_OK)
		vdi_error("%s of '%s' failed: %s", db->verb, db->names.set,
			  db->message);
	free_devices(db);
	vdi_names_free(&db->names);
	return db->exit_code;
}
