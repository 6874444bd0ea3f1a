// SPDX-License-Identifier: GPL-2.0-only
/*
 * tape.c - a medium like a tape: blocks and filemarks
 *
 * As on tape drives, a command that meets a filemark stops after it, or before it
 * when moving backwards. A command that meets the end of the data or the
 * beginning of the tape stops there. A write discards all data after it.
 */
#include <stdlib.h>

#include "medium.h"

static bool tape_begin(struct drive *d, bool empty)
{
	struct medium *m = &d->medium;

	m->position = 0;
	if (empty)
		return tape_create(d);
	filesum_begin(&m->sum, 1);	/* broken: writes do not continue the sum */
	return tape_scan(d, NULL, NULL);
}

static bool tape_blank(struct drive *d)
{
	return !d->medium.tape.count;
}

static bool tape_check(struct drive *d, medium_tick *tick, void *context)
{
	return tape_scan(d, tick, context);
}

static void tape_release(struct drive *d)
{
	tape_free(&d->medium.tape);
}

/* ------------------------------------------------------- reading, writing */

/* Read blocks up to `size` or the end of this frame. 0 = trouble. */
static uint32_t read_blocks(struct drive *d, size_t index, uint8_t *data,
			    uint32_t size)
{
	struct medium *m = &d->medium;
	const struct tape_entry *e = &m->tape.entry[index];
	uint32_t offset = (m->position - e->address) * d->config.block_size;

	if (size > e->size - offset)
		size = e->size - offset;
	if (!tape_read_frame(d, index, offset, data, size))
		return 0;
	m->position += size / d->config.block_size;
	return size;
}

static void tape_read(struct drive *d, const struct VDC_Command *cmd,
		      struct outcome *out)
{
	struct medium *m = &d->medium;
	uint32_t size = cmd->size;

	if (size % d->config.block_size) {
		out->code = ERROR_INVALID_BLOCK_LENGTH;
		return;
	}
	while (out->bytes < size) {
		size_t index = tape_find(&m->tape, m->position);
		uint32_t n;

		if (index == m->tape.count) {
			out->code = ERROR_NO_DATA_DETECTED;
			return;
		}
		if (m->tape.entry[index].kind != TAPE_DATA) {
			m->position++;
			out->code = ERROR_FILEMARK_DETECTED;
			return;
		}
		n = read_blocks(d, index, cmd->buffer + out->bytes,
				size - out->bytes);
		if (!n) {
			out->code = d->trouble_code;
			return;
		}
		out->bytes += n;
	}
}

static void tape_write(struct drive *d, const struct VDC_Command *cmd,
		       struct outcome *out)
{
	struct medium *m = &d->medium;
	struct tape *t = &m->tape;
	uint32_t fits;

	if (cmd->size % d->config.block_size) {
		out->code = ERROR_INVALID_BLOCK_LENGTH;
		return;
	}
	if (!cmd->size)
		return;
	if (!tape_cut(d, m->position)) {
		out->code = d->trouble_code;
		return;
	}
	fits = medium_room(d, t->used, cmd->size);
	if (fits && !tape_append(d, TAPE_DATA, cmd->buffer, fits)) {
		out->code = d->trouble_code;
		return;
	}
	m->position = tape_length(t);
	out->bytes = fits;
	out->code = medium_write_code(d, t->used, cmd->size, fits);
}

/*
 * Hard filemarks do not count towards the capacity, so that a database can always
 * end its data. Soft filemarks do, and are never written in part.
 */
static void write_mark(struct drive *d, struct outcome *out)
{
	uint32_t size = d->config.soft_mark_size;
	struct medium *m = &d->medium;
	struct tape *t = &m->tape;
	void *zero = NULL;

	if (!tape_cut(d, m->position)) {
		out->code = d->trouble_code;
		return;
	}
	if (d->config.capacity &&
	    t->used + size > d->config.capacity + medium_reserve(d)) {
		out->code = ERROR_EOM_OVERFLOW;
		return;
	}
	if (size) {
		zero = calloc(1, size);
		if (!zero) {
			out->code = ERROR_NO_SYSTEM_RESOURCES;
			return;
		}
	}
	if (!tape_append(d, size ? TAPE_SOFT_MARK : TAPE_MARK, zero, size))
		out->code = d->trouble_code;
	free(zero);
	m->position = tape_length(t);
}

/* ------------------------------------------------------------ positioning */

static void skip_marks(struct drive *d, int64_t count, struct outcome *out)
{
	struct medium *m = &d->medium;
	const struct tape *t = &m->tape;
	size_t i = tape_find(t, m->position);

	for (; count > 0; i++) {
		if (i == t->count) {
			m->position = tape_length(t);
			out->code = ERROR_NO_DATA_DETECTED;
			return;
		}
		if (t->entry[i].kind == TAPE_DATA)
			continue;
		m->position = t->entry[i].address + 1;
		count--;
	}
	/* the position is within entry i, or at its start */
	for (; count < 0; i--) {
		if (!i) {
			m->position = 0;
			out->code = ERROR_BEGINNING_OF_MEDIA;
			return;
		}
		if (t->entry[i - 1].kind == TAPE_DATA)
			continue;
		m->position = t->entry[i - 1].address;
		count++;
	}
}

static void skip_forward(struct drive *d, uint64_t count, struct outcome *out)
{
	struct medium *m = &d->medium;
	const struct tape *t = &m->tape;

	while (count) {
		size_t i = tape_find(t, m->position);
		uint64_t step;

		if (i == t->count) {
			out->code = ERROR_NO_DATA_DETECTED;
			return;
		}
		if (t->entry[i].kind != TAPE_DATA) {
			m->position++;
			out->code = ERROR_FILEMARK_DETECTED;
			return;
		}
		step = t->entry[i].address + t->entry[i].blocks - m->position;
		if (step > count)
			step = count;
		m->position += step;
		count -= step;
	}
}

static void skip_backward(struct drive *d, uint64_t count,
			  struct outcome *out)
{
	struct medium *m = &d->medium;
	const struct tape *t = &m->tape;

	while (count) {
		uint64_t step;
		size_t i;

		if (!m->position) {
			out->code = ERROR_BEGINNING_OF_MEDIA;
			return;
		}
		i = tape_find(t, m->position - 1);
		if (t->entry[i].kind != TAPE_DATA) {
			m->position--;
			out->code = ERROR_FILEMARK_DETECTED;
			return;
		}
		step = m->position - t->entry[i].address;
		if (step > count)
			step = count;
		m->position -= step;
		count -= step;
	}
}

/* Positions outside the tape are replaced by the nearest valid one. */
static void set_position(struct drive *d, int64_t position,
			 struct outcome *out)
{
	struct medium *m = &d->medium;
	uint64_t length = tape_length(&m->tape);

	if (position < 0) {
		m->position = 0;
		out->code = ERROR_BEGINNING_OF_MEDIA;
	} else if ((uint64_t)position > length) {
		m->position = length;
		out->code = ERROR_NO_DATA_DETECTED;
	} else {
		m->position = position;
	}
	out->position = m->position;
}

static void tape_execute(struct drive *d, const struct VDC_Command *cmd,
			 struct outcome *out)
{
	switch (cmd->commandCode) {
	case VDC_Read:
		tape_read(d, cmd, out);
		break;
	case VDC_Write:
		if (d->config.writing)
			tape_write(d, cmd, out);
		else
			out->code = ERROR_NOT_SUPPORTED;
		break;
	case VDC_WriteMark:
		if (d->config.writing)
			write_mark(d, out);
		else
			out->code = ERROR_NOT_SUPPORTED;
		break;
	case VDC_Rewind:
		d->medium.position = 0;
		break;
	case VDC_SkipMarks:
		skip_marks(d, cmd->size, out);
		break;
	case VDC_SkipBlocks:
		if (cmd->size >= 0)
			skip_forward(d, cmd->size, out);
		else
			skip_backward(d, -(int64_t)cmd->size, out);
		break;
	case VDC_GetPosition:
		out->position = d->medium.position;
		break;
	case VDC_SetPosition:
		set_position(d, cmd->position, out);
		break;
	default:
		out->code = ERROR_NOT_SUPPORTED;
	}
}

const struct medium_ops tape_ops = {
	.begin = tape_begin,
	.execute = tape_execute,
	.seal = tape_write_end,
	.blank = tape_blank,
	.check = tape_check,
	.release = tape_release,
};
