// SPDX-License-Identifier: GPL-2.0-only
/*
 * store_tape.c - tapes of the test client: blocks and filemarks, kept in memory
 * while they are loaded
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

/* Addresses are opaque: a server must not calculate with them. */
#define ADDRESS(record)	((int64_t)(record) * 7 + 1000)

static void append(struct store *s, const uint8_t *data, uint32_t size)
{
	struct record *r;

	if (!(s->count & (s->count + 1)))
		s->records = realloc(s->records, 2 * (s->count + 1) *
				     sizeof(*s->records));
	r = &s->records[s->count++];
	r->size = size;
	r->data = malloc(size + 1);
	memcpy(r->data, data, size);
	s->used += size ? size : s->soft;
}

/* A write discards all data after it. */
static void cut(struct store *s, unsigned int count)
{
	while (s->count > count) {
		struct record *r = &s->records[--s->count];

		s->used -= r->size ? r->size : s->soft;
		free(r->data);
	}
}

static void forget(struct store *s)
{
	cut(s, 0);
	free(s->records);
	s->records = NULL;
	s->used = 0;
}

/* Sizes and data, one record after the other. */
void tape_load(struct store *s, const char *path)
{
	static _Thread_local uint8_t data[65536];
	FILE *file = fopen(path, "rb");
	uint32_t size;

	forget(s);
	while (file && fread(&size, sizeof(size), 1, file) == 1) {
		if (size > sizeof(data) ||
		    fread(data, 1, size, file) != size)
			break;
		append(s, data, size);
	}
	if (file)
		fclose(file);
}

void tape_save(struct store *s, const char *path)
{
	FILE *file = fopen(path, "wb");
	unsigned int i;

	for (i = 0; i < s->count; i++) {
		fwrite(&s->records[i].size, sizeof(uint32_t), 1, file);
		fwrite(s->records[i].data, 1, s->records[i].size, file);
	}
	if (fclose(file))
		perror(path);
	forget(s);
}

static void do_read(struct store *s, const struct VDC_Command *cmd,
		    struct result *result)
{
	while (result->bytes < (uint32_t)cmd->size) {
		const struct record *r = &s->records[s->position];

		if (s->position >= s->count) {
			result->code = ERROR_NO_DATA_DETECTED;
			return;
		}
		if (!r->size) {
			s->position += s->stay ? 0 : 1;
			result->code = ERROR_FILEMARK_DETECTED;
			return;
		}
		if (result->bytes + r->size > (uint32_t)cmd->size)
			return;
		memcpy(cmd->buffer + result->bytes, r->data, r->size);
		result->bytes += r->size;
		s->position++;
	}
}

static void do_write(struct store *s, const struct VDC_Command *cmd,
		     struct result *result)
{
	uint32_t i, n;

	cut(s, s->position);
	n = store_room(s, cmd->size, cmd->size, &result->code);
	for (i = 0; i < n; i += s->block_size)
		append(s, cmd->buffer + i, s->block_size);
	s->position = s->count;
	result->bytes = n;
}

static void skip_marks(struct store *s, int32_t n, struct result *result)
{
	for (; n > 0; s->position++) {
		if (s->position >= s->count) {
			result->code = ERROR_NO_DATA_DETECTED;
			return;
		}
		if (!s->records[s->position].size)
			n--;
	}
	for (; n < 0; ) {
		if (!s->position) {
			result->code = ERROR_BEGINNING_OF_MEDIA;
			return;
		}
		if (!s->records[--s->position].size)
			n++;
	}
}

static void skip_blocks(struct store *s, int32_t n, struct result *result)
{
	for (; n; n -= n > 0 ? 1 : -1) {
		int64_t at = n > 0 ? s->position : s->position - 1;

		if (at < 0 || at >= s->count) {
			result->code = at < 0 ? ERROR_BEGINNING_OF_MEDIA :
						ERROR_NO_DATA_DETECTED;
			return;
		}
		s->position += n > 0 ? 1 : -1;
		if (!s->records[at].size) {
			result->code = ERROR_FILEMARK_DETECTED;
			return;
		}
	}
}

void tape_execute(struct store *s, const struct VDC_Command *cmd,
		  struct result *result)
{
	switch (cmd->commandCode) {
	case VDC_Read:
		do_read(s, cmd, result);
		return;
	case VDC_Write:
		do_write(s, cmd, result);
		return;
	case VDC_Flush:
		return;
	case VDC_Rewind:
		s->position = 0;
		return;
	case VDC_WriteMark:
		cut(s, s->position);
		append(s, (const uint8_t *)"", 0);
		s->position = s->count;
		return;
	case VDC_SkipMarks:
		skip_marks(s, cmd->size, result);
		return;
	}
	if (s->simple) {
		result->code = ERROR_NOT_SUPPORTED;
		return;
	}
	switch (cmd->commandCode) {
	case VDC_SkipBlocks:
		skip_blocks(s, cmd->size, result);
		return;
	case VDC_SetPosition:
		s->position = (cmd->position - 1000) / 7;
		/* fall through */
	case VDC_GetPosition:
		result->position = ADDRESS(s->position);
		return;
	default:
		result->code = ERROR_NOT_SUPPORTED;
	}
}
