// SPDX-License-Identifier: GPL-2.0-only
/*
 * store.c - pipes and disks of the test client, and parts common to all media
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

static bool is_tape(const struct store *s)
{
	return s->features & VDF_FileMarks;
}

static void path_of(const struct store *s, uint32_t ordinal, char *path,
		    size_t size)
{
	snprintf(path, size, "%s/d%02u.m%u", s->dir, s->device, ordinal);
}

/* Open the medium with this number; create it, or fail with `keep`. */
bool store_open(struct store *s, uint32_t ordinal)
{
	char path[256];

	path_of(s, ordinal, path, sizeof(path));
	if (s->keep && access(path, F_OK))
		return false;
	s->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->fd < 0) {
		perror(path);
		exit(9);
	}
	s->ordinal = ordinal;
	s->position = 0;
	s->written = 0;
	s->used = lseek(s->fd, 0, SEEK_END);
	lseek(s->fd, 0, SEEK_SET);
	if (is_tape(s))
		tape_load(s, path);
	return true;
}

void store_close(struct store *s)
{
	char path[256];

	if (!s->ordinal)
		return;
	path_of(s, s->ordinal, path, sizeof(path));
	if (is_tape(s))
		tape_save(s, path);
	close(s->fd);
	s->ordinal = 0;
}

void store_discard(struct store *s)
{
	char path[256];
	uint32_t i;

	for (i = 1; i < 100; i++) {
		path_of(s, i, path, sizeof(path));
		unlink(path);
	}
}

uint32_t store_room(const struct store *s, uint32_t size, uint64_t growth,
		    int *code)
{
	uint64_t left;

	*code = ERROR_SUCCESS;
	if (!s->capacity || s->used + growth + s->zone <= s->capacity)
		return size;
	*code = ERROR_END_OF_MEDIA;
	if (!(s->features & VDF_Removable))
		*code = ERROR_DISK_FULL;
	else if (s->used + growth <= s->capacity)
		return size;
	else if (s->zone)	/* the database was warned */
		*code = ERROR_EOM_OVERFLOW;
	/* there is always room for the blocks that end the medium */
	if (size == s->block_size && !s->zone) {
		*code = ERROR_SUCCESS;
		return size;
	}
	left = s->capacity > (uint64_t)s->used ? s->capacity - s->used : 0;
	left -= left % s->block_size;
	return left < size ? left : size;
}

static void do_read(struct store *s, const struct VDC_Command *cmd,
		    struct result *result)
{
	int64_t at = s->features & VDF_RandomAccess ? cmd->position :
						      s->position;
	ssize_t n = pread(s->fd, cmd->buffer, cmd->size, at);

	if (n < 0)
		n = 0;
	s->position = at + n;
	result->bytes = n;
	result->code = n < cmd->size ? ERROR_HANDLE_EOF : ERROR_SUCCESS;
}

static void do_write(struct store *s, const struct VDC_Command *cmd,
		     struct result *result)
{
	int64_t at = s->features & VDF_RandomAccess ? cmd->position :
						      s->position;
	int64_t end = at + cmd->size;
	uint32_t n;

	n = store_room(s, cmd->size, end > s->used ? end - s->used : 0,
		       &result->code);
	/* existing data can be overwritten */
	if (end <= s->used) {
		n = cmd->size;
		result->code = ERROR_SUCCESS;
	}
	if (pwrite(s->fd, cmd->buffer, n, at) != (ssize_t)n)
		result->code = ERROR_DISK_FULL;
	s->position = at + n;
	s->written = at + n;
	if (s->position > s->used)
		s->used = s->position;
	result->bytes = n;
}

static void set_position(struct store *s, const struct VDC_Command *cmd,
			 struct result *result)
{
	int64_t base = 0;

	if (cmd->size == VDC_Current)
		base = s->position;
	else if (cmd->size == VDC_End)
		base = lseek(s->fd, 0, SEEK_END);
	s->position = base + cmd->position;
	result->position = s->position;
}

static void load(struct store *s, const struct VDC_Command *cmd,
		 struct result *result)
{
	uint32_t ordinal = cmd->size ? (uint32_t)cmd->size : s->ordinal + 1;

	store_close(s);
	if (!store_open(s, ordinal))
		result->code = ERROR_NO_MEDIA_IN_DRIVE;
}

/* Optional commands that are the same for all kinds of media. */
static bool common(struct store *s, const struct VDC_Command *cmd,
		   struct result *result)
{
	switch (cmd->commandCode) {
	case VDC_ClearError:
	case VDC_Complete:
	case VDC_PrepareToFreeze:
	case VDC_Snapshot:
	case VDC_MountSnapshot:
		return true;
	case VDC_Load:
		if (!(s->features & VDF_Removable) || s->simple)
			break;
		load(s, cmd, result);
		return true;
	case VDC_Discard:
		if (!(s->features & VDF_Discard))
			break;
		store_close(s);
		store_discard(s);
		return true;
	default:
		return false;
	}
	result->code = ERROR_NOT_SUPPORTED;
	return true;
}

void store_execute(struct store *s, const struct VDC_Command *cmd,
		   struct result *result)
{
	if (common(s, cmd, result))
		return;
	if (is_tape(s)) {
		tape_execute(s, cmd, result);
		return;
	}
	switch (cmd->commandCode) {
	case VDC_Read:
		do_read(s, cmd, result);
		return;
	case VDC_Write:
		do_write(s, cmd, result);
		return;
	case VDC_Flush:
		/* after the latest write */
		if ((s->features & VDF_RandomAccess) &&
		    ftruncate(s->fd, s->written))
			result->code = ERROR_IO_DEVICE;
		fsync(s->fd);
		return;
	case VDC_GetPosition:
	case VDC_SetPosition:
		if (s->simple || !(s->features & VDF_RandomAccess))
			break;
		if (cmd->commandCode == VDC_SetPosition)
			set_position(s, cmd, result);
		result->position = s->position;
		return;
	}
	result->code = ERROR_NOT_SUPPORTED;
}
