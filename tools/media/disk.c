// SPDX-License-Identifier: GPL-2.0-only
/*
 * disk.c - a medium like a disk: bytes by position
 *
 * Flush sets the end of the file after the byte with the highest position that was
 * written since the medium was created or discarded. It does not use the end of
 * the latest write: a database that overwrites its header last would lose all
 * other data. Bytes of an older and longer file are truncated.
 */
#include "medium.h"

static bool disk_begin(struct drive *d, bool empty)
{
	struct medium *m = &d->medium;
	uint64_t bytes = drive_current_file(d)->bytes;

	m->position = 0;
	m->end = empty ? 0 : bytes;
	filesum_begin(&m->sum, m->end);
	return true;
}

static void disk_seek(struct drive *d, const struct VDC_Command *cmd,
		      struct outcome *out)
{
	struct medium *m = &d->medium;
	int64_t base, to;

	switch (cmd->size) {
	case VDC_Beginning:
		base = 0;
		break;
	case VDC_Current:
		base = m->position;
		break;
	case VDC_End:
		base = m->end;
		break;
	default:
		out->code = ERROR_INVALID_PARAMETER;
		return;
	}
	if (__builtin_add_overflow(base, cmd->position, &to))
		out->code = ERROR_INVALID_PARAMETER;
	else if (to < 0)
		out->code = ERROR_NEGATIVE_SEEK;
	else
		m->position = to;
	/* the current position, even if it did not change */
	out->position = m->position;
}

static void disk_transfer(struct drive *d, struct transfer *t)
{
	const struct VDC_Command *cmd = t->cmd;
	int64_t end;

	if (cmd->position < 0)
		t->out.code = ERROR_NEGATIVE_SEEK;
	else if (__builtin_add_overflow(cmd->position, (int64_t)cmd->size,
					&end))
		t->out.code = ERROR_INVALID_PARAMETER;
	else if (cmd->commandCode == VDC_Read)
		medium_fetch(d, cmd->position, t);
	else if (d->config.writing)
		medium_store(d, cmd->position, t);
	else
		t->out.code = ERROR_NOT_SUPPORTED;
}

static void disk_execute(struct drive *d, const struct VDC_Command *cmd,
			 struct outcome *out)
{
	switch (cmd->commandCode) {
	case VDC_SetPosition:
		disk_seek(d, cmd, out);
		break;
	case VDC_GetPosition:
		out->position = d->medium.position;
		break;
	default:
		out->code = ERROR_NOT_SUPPORTED;
	}
}

const struct medium_ops disk_ops = {
	.begin = disk_begin,
	.execute = disk_execute,
	.transfer = disk_transfer,
	.seal = medium_seal_bytes,
	.blank = medium_blank_bytes,
	.check = medium_check_bytes,
	.release = medium_release_bytes,
};
