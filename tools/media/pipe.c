// SPDX-License-Identifier: GPL-2.0-only
/*
 * pipe.c - a medium like a pipe: bytes in sequence, once
 *
 * A restore computes the checksum while reading. It hands over the last byte only
 * if the checksum matches.
 */
#include "medium.h"

static bool pipe_begin(struct drive *d, bool empty)
{
	struct medium *m = &d->medium;
	const struct medium_file *file = drive_current_file(d);

	m->position = 0;
	m->end = empty ? 0 : file->bytes;
	/* going back while writing is refused by the changer, see can_go_to() */
	filesum_begin(&m->sum, 0);
	return true;
}

static void pipe_transfer(struct drive *d, struct transfer *t)
{
	if (t->cmd->commandCode == VDC_Write && d->config.writing)
		medium_store(d, d->medium.end, t);
	else if (t->cmd->commandCode == VDC_Read && !d->config.writing)
		medium_fetch(d, d->medium.position, t);
	else
		t->out.code = ERROR_NOT_SUPPORTED;
}

/* At the end of the file: does its checksum match? */
static bool pipe_fetched(struct drive *d, const struct transfer *t)
{
	struct medium_file *file = drive_current_file(d);
	struct medium *m = &d->medium;

	/* reads complete in order, so the data is summed here */
	filesum_add(&m->sum, t->at, t->cmd->buffer, t->size);
	if (t->at + t->size < m->end)
		return true;
	file->whole = !m->sum.broken && m->sum.upto == file->bytes &&
		      filesum_digest(&m->sum, NULL, 0) == file->xxh3;
	if (!file->whole)
		drive_damaged(d, "its checksum does not match");
	return file->whole;
}

static void pipe_execute(struct drive *d, const struct VDC_Command *cmd,
			 struct outcome *out)
{
	(void)d;
	(void)cmd;
	out->code = ERROR_NOT_SUPPORTED;
}

const struct medium_ops pipe_ops = {
	.begin = pipe_begin,
	.execute = pipe_execute,
	.transfer = pipe_transfer,
	.fetched = pipe_fetched,
	.seal = medium_seal_bytes,
	.blank = medium_blank_bytes,
	.check = medium_check_bytes,
	.release = medium_release_bytes,
};
