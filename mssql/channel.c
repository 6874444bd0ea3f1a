// SPDX-License-Identifier: GPL-2.0-only
/*
 * channel.c - hand the commands of a device over, and their results back
 *
 * A command is copied from SQL Server's set to the vdiset when it is fetched, with the data
 * of a Write; its result is copied back, with the data of a Read, when the client of the
 * vdiset has completed it. Several commands are on their way at a time, and are completed
 * in their order.
 */
#include <string.h>

#include "bridge.h"

#define ERROR_INVALID_PARAMETER	87L	/* of Win32, not in the interface's header */

static bool has_data(const struct VDC_Command *cmd)
{
	return cmd->commandCode == VDC_Read || cmd->commandCode == VDC_Write;
}

/* By the completion agent; or by the thread of the device, if the command was not sent. */
static void completed(struct VDS_Command *cmd)
{
	struct job *job = cmd->completionContext;
	struct channel *ch = job->channel;

	pthread_mutex_lock(&ch->lock);
	job->done = true;
	pthread_cond_signal(&ch->cond);
	pthread_mutex_unlock(&ch->lock);
}

static struct job *nth(struct channel *ch, unsigned int n)
{
	return &ch->job[(ch->first + n) % ch->bridge->depth];
}

static void refuse(struct job *job, int code)
{
	job->to.completionCode = code;
	job->to.bytesTransferred = 0;
	job->to.outPosition = 0;
	completed(&job->to);
}

static void start(struct channel *ch, struct VDC_Command *from)
{
	struct job *job = nth(ch, ch->count++);
	const struct VDC_Command *cmd = &job->copy;

	job->channel = ch;
	job->from = from;
	job->copy = *(volatile struct VDC_Command *)from;
	job->done = false;
	job->to = (struct VDS_Command){
		.commandCode = cmd->commandCode,
		.size = cmd->size,
		.inPosition = cmd->position,
		.completionRoutine = completed,
		.completionContext = job,
	};
	if (has_data(cmd)) {
		if (cmd->size < 0 || (uint32_t)cmd->size > ch->bridge->transfer) {
			refuse(job, ERROR_INVALID_PARAMETER);
			return;
		}
		job->to.buffer = job->buffer;
		if (cmd->commandCode == VDC_Write)
			memcpy(job->buffer, cmd->buffer, cmd->size);
	}
	/* VD_E_INVALID: a command that the interface does not have; no routine was called */
	if (vdi_server_send_command(ch->device, &job->to) == VD_E_INVALID)
		refuse(job, ERROR_NOT_SUPPORTED);
}

/* Fetch what SQL Server has sent; wait for a command if none is on its way. */
static int fetch(struct channel *ch)
{
	struct VDC_Command *cmd;
	int rc;

	while (ch->count < ch->bridge->depth) {
		rc = sdk_get_command(ch->sdk, !ch->count, &cmd);
		if (rc == VD_E_TIMEOUT && !ch->count)
			continue;
		if (rc != NOERROR)
			return rc == VD_E_TIMEOUT ? NOERROR : rc;
		start(ch, cmd);
	}
	return NOERROR;
}

static bool is_done(struct channel *ch, const struct job *job, bool wait)
{
	bool done;

	pthread_mutex_lock(&ch->lock);
	while (wait && !job->done)
		pthread_cond_wait(&ch->cond, &ch->lock);
	done = job->done;
	pthread_mutex_unlock(&ch->lock);
	return done;
}

static int give_back(struct channel *ch, struct job *job)
{
	const struct VDS_Command *to = &job->to;

	if (to->commandCode == VDC_Read && job->to.buffer)
		memcpy(job->copy.buffer, job->buffer, to->bytesTransferred);
	if (has_data(&job->copy))
		ch->bytes += to->bytesTransferred;
	return sdk_complete_command(ch->sdk, job->from, to->completionCode,
				    to->bytesTransferred, to->outPosition);
}

/* Give back the results of the oldest command, and of those after it that are done. */
static int finish(struct channel *ch)
{
	bool wait = true;
	int rc = NOERROR;

	while (ch->count && rc == NOERROR && is_done(ch, nth(ch, 0), wait)) {
		rc = give_back(ch, nth(ch, 0));
		ch->first = (ch->first + 1) % ch->bridge->depth;
		ch->count--;
		wait = false;
	}
	return rc;
}

void *channel_main(void *argument)
{
	struct channel *ch = argument;
	struct bridge *b = ch->bridge;
	int rc;

	do {
		rc = fetch(ch);
		if (rc == NOERROR)
			rc = finish(ch);
	} while (rc == NOERROR);
	/* what is on its way refers to this channel */
	while (ch->count) {
		is_done(ch, nth(ch, 0), true);
		ch->first = (ch->first + 1) % b->depth;
		ch->count--;
	}
	ch->end = rc;
	pthread_mutex_lock(&b->lock);
	b->running--;
	if (rc != VD_E_CLOSE)
		b->sql_aborted = true;
	pthread_cond_signal(&b->cond);
	pthread_mutex_unlock(&b->lock);
	return NULL;
}
