// SPDX-License-Identifier: GPL-2.0-only
/*
 * worker.c - the thread of a device: fetches, executes and completes commands
 *
 * Several reads and writes are in flight at a time. They are completed in the
 * order of their commands, so that the database sees the same results as with
 * synchronous execution. Any other command waits for all commands before it.
 *
 * Closing the set unmaps the buffers of commands. A worker therefore terminates
 * only when no transfer is under way, even after an error or an abort.
 */
#include <poll.h>

#include "appliance.h"

static bool under_way(const struct worker *worker)
{
	return drive_under_way(worker->drive);
}

static bool complete(struct worker *worker, const struct VDC_Command *cmd,
		   const struct outcome *outcome)
{
	struct appliance *a = worker->appliance;
	int rc;

	if (cmd->commandCode == a->ops->data)
		atomic_fetch_add_explicit(&worker->bytes, outcome->bytes,
					  memory_order_relaxed);
	atomic_fetch_add_explicit(&worker->commands, 1, memory_order_relaxed);
	/*
	 * The library identifies the command by its address. It delays the return by a
	 * rate limit, which is not the time of an idle set.
	 */
	a->busy++;
	rc = vdi_client_complete_command(worker->device,
					 (struct VDC_Command *)cmd,
					 outcome->code, outcome->bytes,
					 outcome->position);
	a->busy--;
	if (rc != NOERROR)
		appliance_fail_for(a, rc, worker->name);
	return rc == NOERROR;
}

static bool next_done(struct worker *worker, const struct VDC_Command **cmd,
		      struct outcome *outcome)
{
	bool done;

	pthread_mutex_lock(&worker->lock);
	done = drive_next(worker->drive, cmd, outcome);
	pthread_mutex_unlock(&worker->lock);
	if (done && !under_way(worker))
		worker->appliance->busy--;
	return done;
}

/* Complete the commands that are done. False: the worker terminates. */
static bool complete_done(struct worker *worker)
{
	struct appliance *a = worker->appliance;
	const struct VDC_Command *cmd;
	struct outcome outcome;

	while (next_done(worker, &cmd, &outcome)) {
		if (!a->ops->done(worker, cmd, &outcome) ||
		    !complete(worker, cmd, &outcome))
			return false;
	}
	return true;
}

/* Wait for a transfer, with POLLIN also for commands. False: terminate. */
static bool wait_for(struct worker *worker, short events)
{
	struct appliance *a = worker->appliance;

	pthread_mutex_lock(&worker->lock);
	drive_submit(worker->drive);
	pthread_mutex_unlock(&worker->lock);
	/* no lock: only this thread uses the drive while transfers are in flight */
	drive_wait(worker->drive, vdi_client_device_fd(worker->device), events);
	if (drive_hung_up(worker->drive) && appliance_aborted(a)) {
		appliance_fail_for(a, VD_E_ABORT, worker->name);
		return false;
	}
	return complete_done(worker);
}

static bool start(struct worker *worker, const struct VDC_Command *cmd)
{
	struct appliance *a = worker->appliance;
	bool started, first = !under_way(worker);

	if (!a->ops->may_start(worker, cmd))
		return false;
	if (first)
		a->busy++;
	pthread_mutex_lock(&worker->lock);
	started = drive_start(worker->drive, cmd);
	pthread_mutex_unlock(&worker->lock);
	if (first && !started)
		a->busy--;
	return started;
}

/*
 * After a failed command, the library delivers no command but ClearError. If this
 * command was fetched before the failure was known, it fails here instead.
 */
static bool execute(struct worker *worker, const struct VDC_Command *cmd)
{
	struct outcome outcome = { .code = ERROR_SUCCESS };
	struct appliance *a = worker->appliance;
	bool waits = under_way(worker), good = true;

	while (under_way(worker)) {
		if (!wait_for(worker, 0))
			return false;
	}
	if (waits && worker->drive->trouble != DRIVE_FINE &&
	    cmd->commandCode != VDC_ClearError) {
		outcome.code = ERROR_IO_DEVICE;
	} else {
		a->busy++;
		good = a->ops->execute(worker, cmd, &outcome);
		a->busy--;
	}
	return good && complete(worker, cmd, &outcome);
}

/* VD_E_TIMEOUT: no command now, but transfers are in flight. */
static int next_command(struct worker *worker, struct VDC_Command **cmd)
{
	*cmd = NULL;
	if (!under_way(worker))
		return vdi_client_get_command(worker->device, -1, cmd);
	if (drive_full(worker->drive))
		return VD_E_TIMEOUT;
	return vdi_client_get_command(worker->device, 0, cmd);
}

static void serve(struct worker *worker)
{
	struct appliance *a = worker->appliance;
	struct VDC_Command *cmd;
	int rc;

	for (;;) {
		rc = next_command(worker, &cmd);
		if (rc == VD_E_TIMEOUT) {
			if (!wait_for(worker, drive_full(worker->drive) ? 0 :
				      POLLIN))
				return;
			continue;
		}
		if (rc != NOERROR)
			break;
		if (!start(worker, cmd) && !execute(worker, cmd))
			return;
	}
	if (rc == VD_E_CLOSE)
		a->ops->closed(worker);
	else
		appliance_fail_for(a, rc, worker->name);
}

void worker_serve(struct worker *worker)
{
	drive_watch(worker->drive, vdi_client_device_fd(worker->device));
	serve(worker);
	if (under_way(worker))
		worker->appliance->busy--;
	pthread_mutex_lock(&worker->lock);
	drive_stop(worker->drive);
	pthread_mutex_unlock(&worker->lock);
}
