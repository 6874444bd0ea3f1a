// SPDX-License-Identifier: GPL-2.0-only
/*
 * sequence.c - Write and Read of media that are written and read in sequence only
 *
 * Commands are executed one after the other. A failure is in the drive; after a stop
 * there is none.
 */
#include "medium.h"

void sequence_execute(struct drive *d, const struct sequence *s,
		      const struct VDC_Command *cmd, struct outcome *out)
{
	bool writing = d->config.writing, good;
	size_t done = cmd->size;

	if (cmd->commandCode != (writing ? VDC_Write : VDC_Read)) {
		out->code = ERROR_NOT_SUPPORTED;
		return;
	}
	good = writing ? s->append(d, cmd->buffer, cmd->size) :
			 s->fetch(d, cmd->buffer, cmd->size, &done);
	if (!good) {
		out->code = d->trouble_code ? : ERROR_OPERATION_ABORTED;
		return;
	}
	out->bytes = done;
	if (done < (size_t)cmd->size)
		out->code = ERROR_HANDLE_EOF;
}
