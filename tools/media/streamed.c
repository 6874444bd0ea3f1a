// SPDX-License-Identifier: GPL-2.0-only
/*
 * streamed.c - a medium like a pipe that a command of the user stores or supplies
 *
 * Commands are executed one after the other. A Write completes when the data is in the
 * pipe to the command. Data is durable when the command has ended with 0, so a Flush
 * ends the command, and nothing can be written after it.
 */
#include <stdio.h>

#include "medium.h"

/* A stop is no trouble. */
static bool check(struct drive *d, enum command_result result)
{
	if (result == COMMAND_OK)
		return true;
	if (result == COMMAND_STOPPED || d->trouble != DRIVE_FINE)
		return false;
	d->trouble = DRIVE_FAILED;
	d->trouble_code = ERROR_IO_DEVICE;
	snprintf(d->why, sizeof(d->why), "%s", command_why(d->config.command));
	return false;
}

bool streamed_flush(struct drive *d)
{
	return check(d, command_finish(d->config.command));
}

bool streamed_finish(struct drive *d)
{
	return d->trouble == DRIVE_FINE && streamed_flush(d);
}

void streamed_stop(struct drive *d)
{
	if (d->trouble != DRIVE_FINE || drive_stopped(d))
		command_kill(d->config.command);
}

static bool append(struct drive *d, const void *data, size_t size)
{
	return check(d, command_write(d->config.command, data, size));
}

static bool fetch(struct drive *d, void *data, size_t size, size_t *done)
{
	return check(d, command_read(d->config.command, data, size, done));
}

static void streamed_execute(struct drive *d, const struct VDC_Command *cmd,
			     struct outcome *out)
{
	static const struct sequence sequence = { append, fetch };

	sequence_execute(d, &sequence, cmd, out);
}

const struct medium_ops streamed_ops = {
	.execute = streamed_execute,
	.release = medium_release_bytes,
};
