// SPDX-License-Identifier: GPL-2.0-only
/*
 * worker.c - a device and its thread: commands in, what came of them out
 *
 * Reads and writes are left under way, as many as there may be, and answered in
 * the order of their commands, so that the database sees what it would see if
 * they were executed one by one. Every other command waits for all before it.
 *
 * The buffers of commands are unmapped when the set is closed. A lane ends only
 * when nothing is under way, however it ends.
 */
#include <poll.h>

#include "appliance.h"

static bool under_way(const struct lane *lane)
{
	return drive_under_way(lane->drive);
}

static bool answer(struct lane *lane, const struct VDC_Command *cmd,
		   const struct outcome *outcome)
{
	struct appliance *a = lane->appliance;
	int rc;

	if (cmd->commandCode == a->ops->data)
		atomic_fetch_add_explicit(&lane->bytes, outcome->bytes,
					  memory_order_relaxed);
	atomic_fetch_add_explicit(&lane->commands, 1, memory_order_relaxed);
	/* the command is the library's, which knows it by its address only */
	rc = vdi_client_complete_command(lane->device,
					 (struct VDC_Command *)cmd,
					 outcome->code, outcome->bytes,
					 outcome->position);
	if (rc != NOERROR)
		appliance_fail_for(a, rc, lane->name);
	return rc == NOERROR;
}

static bool next_done(struct lane *lane, const struct VDC_Command **cmd,
		      struct outcome *outcome)
{
	bool done;

	pthread_mutex_lock(&lane->lock);
	done = drive_next(lane->drive, cmd, outcome);
	pthread_mutex_unlock(&lane->lock);
	if (done && !under_way(lane))
		lane->appliance->busy--;
	return done;
}

/* Answer what is done. False: the lane ends. */
static bool answer_done(struct lane *lane)
{
	struct appliance *a = lane->appliance;
	const struct VDC_Command *cmd;
	struct outcome outcome;

	while (next_done(lane, &cmd, &outcome)) {
		if (!a->ops->done(lane, cmd, &outcome) ||
		    !answer(lane, cmd, &outcome))
			return false;
	}
	return true;
}

/* For the system, and with POLLIN for commands too. False: the lane ends. */
static bool wait_for(struct lane *lane, short events)
{
	struct appliance *a = lane->appliance;

	pthread_mutex_lock(&lane->lock);
	drive_submit(lane->drive);
	pthread_mutex_unlock(&lane->lock);
	/* the drive is nobody else's while something is under way */
	drive_wait(lane->drive, vdi_client_device_fd(lane->device), events);
	if (drive_hung_up(lane->drive) && appliance_aborted(a)) {
		appliance_fail_for(a, VD_E_ABORT, lane->name);
		return false;
	}
	return answer_done(lane);
}

static bool start(struct lane *lane, const struct VDC_Command *cmd)
{
	struct appliance *a = lane->appliance;
	bool started, first = !under_way(lane);

	if (!a->ops->may_start(lane, cmd))
		return false;
	if (first)
		a->busy++;
	pthread_mutex_lock(&lane->lock);
	started = drive_start(lane->drive, cmd);
	pthread_mutex_unlock(&lane->lock);
	if (first && !started)
		a->busy--;
	return started;
}

/*
 * When one of those before has failed, the library would not have delivered
 * this command, had it known in time; but ClearError it would.
 */
static bool execute(struct lane *lane, const struct VDC_Command *cmd)
{
	struct outcome outcome = { .code = ERROR_SUCCESS };
	struct appliance *a = lane->appliance;
	bool waits = under_way(lane), good = true;

	while (under_way(lane)) {
		if (!wait_for(lane, 0))
			return false;
	}
	if (waits && lane->drive->trouble != DRIVE_FINE &&
	    cmd->commandCode != VDC_ClearError) {
		outcome.code = ERROR_IO_DEVICE;
	} else {
		a->busy++;
		good = a->ops->execute(lane, cmd, &outcome);
		a->busy--;
	}
	return good && answer(lane, cmd, &outcome);
}

/* VD_E_TIMEOUT: none now, but something is under way. */
static int next_command(struct lane *lane, struct VDC_Command **cmd)
{
	*cmd = NULL;
	if (!under_way(lane))
		return vdi_client_get_command(lane->device, -1, cmd);
	if (drive_full(lane->drive))
		return VD_E_TIMEOUT;
	return vdi_client_get_command(lane->device, 0, cmd);
}

static void serve(struct lane *lane)
{
	struct appliance *a = lane->appliance;
	struct VDC_Command *cmd;
	int rc;

	for (;;) {
		rc = next_command(lane, &cmd);
		if (rc == VD_E_TIMEOUT) {
			if (!wait_for(lane, drive_full(lane->drive) ? 0 :
				      POLLIN))
				return;
			continue;
		}
		if (rc != NOERROR)
			break;
		if (!start(lane, cmd) && !execute(lane, cmd))
			return;
	}
	if (rc == VD_E_CLOSE)
		a->ops->closed(lane);
	else
		appliance_fail_for(a, rc, lane->name);
}

void lane_serve(struct lane *lane)
{
	serve(lane);
	if (under_way(lane))
		lane->appliance->busy--;
	pthread_mutex_lock(&lane->lock);
	drive_stop(lane->drive);
	pthread_mutex_unlock(&lane->lock);
}
