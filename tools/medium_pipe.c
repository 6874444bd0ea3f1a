// SPDX-License-Identifier: GPL-2.0-only
/*
 * medium_pipe.c - a medium like a pipe: in sequence, once
 *
 * On a restore the checksum is made while reading, and the last byte is given
 * away only when it is right.
 */
#include "medium.h"

static bool pipe_begin(struct drive *d, bool empty)
{
	struct medium *m = &d->medium;
	const struct medium_file *file = &d->media.file[d->ordinal - 1];

	m->position = 0;
	m->end = empty ? 0 : file->bytes;
	/* no way back while writing: this is checked by the changer */
	filesum_begin(&m->sum, 0);
	return true;
}

/* When all was read: is the file what was written? */
static bool complete_and_right(struct drive *d)
{
	struct medium_file *file = &d->media.file[d->ordinal - 1];
	const struct medium *m = &d->medium;

	if (m->position < m->end)
		return true;
	file->whole = !m->sum.broken && m->sum.upto == file->bytes &&
		      filesum_digest(&m->sum, NULL, 0) == file->xxh3;
	return file->whole;
}

static void pipe_read(struct drive *d, const struct VDC_Command *cmd,
		      struct outcome *out)
{
	struct medium *m = &d->medium;
	uint64_t at = m->position;

	if (!medium_fetch(d, at, cmd, out))
		return;
	filesum_add(&m->sum, at, cmd->buffer, out->bytes);
	if (complete_and_right(d))
		return;
	drive_damaged(d, "its checksum does not match");
	out->bytes = 0;
	out->code = d->trouble_code;
}

static void pipe_execute(struct drive *d, const struct VDC_Command *cmd,
			 struct outcome *out)
{
	if (cmd->commandCode == VDC_Write && d->config.writing)
		medium_store(d, d->medium.end, cmd, out);
	else if (cmd->commandCode == VDC_Read && !d->config.writing)
		pipe_read(d, cmd, out);
	else
		out->code = ERROR_NOT_SUPPORTED;
}

const struct medium_ops pipe_ops = {
	.begin = pipe_begin,
	.execute = pipe_execute,
	.seal = medium_seal_bytes,
	.blank = medium_blank_bytes,
	.check = medium_check_bytes,
	.release = medium_release_bytes,
};
