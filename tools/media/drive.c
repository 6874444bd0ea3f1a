// SPDX-License-Identifier: GPL-2.0-only
/*
 * drive.c - drive and changer: execute the commands of a device
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "medium.h"

static const struct medium_ops *const ops_of[] = {
	[MEDIUM_PIPE] = &pipe_ops,
	[MEDIUM_DISK] = &disk_ops,
	[MEDIUM_TAPE] = &tape_ops,
};

static bool removable(const struct drive *d)
{
	return d->config.features & VDF_Removable;
}

static bool add_file(struct drive *d)
{
	char name[48];

	if (removable(d))
		snprintf(name, sizeof(name), "device-%02u.medium-%04u",
			 d->config.device, d->media.count + 1);
	else
		staged_file_name(d->config.stages, d->config.device, name,
				 sizeof(name));
	if (medium_list_add(&d->media, name))
		return true;
	drive_failed(d, "create", ENOMEM);
	return false;
}

/* ---------------------------------------------------- loading, unloading */

/* Flush data, size and name of the file to the disk. */
static bool make_durable(struct drive *d)
{
	struct medium *m = &d->medium;

	if (d->staged && !staged_flush(d))
		return false;
	if (d->config.chunks)
		return chunked_flush(d);
	if (d->config.command)
		return streamed_flush(d);
	if (m->dirty) {
		if (!d->ops->seal(d))
			return false;
		if (fdatasync(m->fd)) {
			drive_failed(d, "flush", errno);
			return false;
		}
		m->dirty = false;
	}
	if (d->new_names) {
		if (fsync(d->dir)) {
			drive_failed(d, "flush the directory of", errno);
			return false;
		}
		d->new_names = false;
	}
	return true;
}

/* Record size and checksum, if known without reading the file again. */
static bool note_file(struct drive *d)
{
	struct medium_file *file = drive_current_file(d);
	struct medium *m = &d->medium;

	file->blank = d->ops->blank(d);
	if (!m->changed)
		return true;
	if (file_identify(m->fd, &file->identity)) {
		drive_failed(d, "read the status of", errno);
		return false;
	}
	file->bytes = file->identity.size;
	file->summed = !m->sum.broken &&
		       m->sum.upto + m->tail_size == file->bytes;
	if (file->summed)
		file->xxh3 = filesum_digest(&m->sum, m->tail, m->tail_size);
	return true;
}

static void shut(struct drive *d)
{
	transfer_close_direct(d);
	staged_close(d);
	if (d->medium.fd >= 0)
		close(d->medium.fd);
	d->medium.fd = -1;
	chunked_close(d);
	command_close(d->config.command);
	d->config.command = NULL;
	d->loaded = false;
}

static bool unload(struct drive *d)
{
	bool ok = true;

	if (!d->loaded)
		return true;
	if (d->config.writing)
		ok = make_durable(d) && note_file(d);
	shut(d);
	return ok;
}

static bool start_medium(struct drive *d, bool empty)
{
	struct medium *m = &d->medium;

	m->dirty = empty;
	m->changed = empty;
	m->full = false;
	m->tail_size = 0;
	d->loaded = (m->direct_fd >= 0 || transfer_open_direct(d)) &&
		    d->ops->begin(d, empty);
	if (!d->loaded)
		shut(d);
	return d->loaded;
}

static bool create_medium(struct drive *d)
{
	d->ordinal = d->media.count + 1;
	if (!add_file(d))
		return false;
	if (d->config.chunks)
		return chunked_create(d) && (!d->config.stages || staged_open(d));
	d->medium.fd = openat(d->dir, drive_medium_name(d), O_RDWR | O_CREAT |
			      O_EXCL | O_CLOEXEC, 0600);
	if (d->medium.fd < 0) {
		drive_failed(d, "create", errno);
		return false;
	}
	d->new_names = true;
	return start_medium(d, true);
}

/* Is it the file that was written, and unchanged? */
static bool check_identity(struct drive *d)
{
	struct file_identity now;

	if (file_identify(d->medium.fd, &now)) {
		drive_failed(d, "read the status of", errno);
		return false;
	}
	if (file_same(&drive_current_file(d)->identity, &now))
		return true;
	drive_replaced(d);
	return false;
}

static bool reopen_written(struct drive *d)
{
	struct stat st;

	d->medium.fd = file_open(d->dir, drive_medium_name(d), O_RDWR, &st);
	if (d->medium.fd < 0) {
		if (errno == FILE_NOT_REGULAR)
			drive_replaced(d);
		else
			drive_failed(d, "open", errno);
		return false;
	}
	if (check_identity(d))
		return true;
	shut(d);
	return false;
}

static bool open_listed(struct drive *d)
{
	enum drive_trouble trouble;
	char why[128];

	d->medium.fd = medium_open_listed(d->dir, drive_current_file(d), &trouble,
					  why, sizeof(why));
	if (trouble == DRIVE_DAMAGED)
		drive_damaged(d, "%s", why);
	else if (trouble == DRIVE_FAILED)
		drive_failed(d, "open", errno);
	return trouble == DRIVE_FINE;
}

static bool open_file(struct drive *d, unsigned int ordinal)
{
	d->ordinal = ordinal;
	return d->config.writing ? reopen_written(d) : open_listed(d);
}

static bool open_medium(struct drive *d, unsigned int ordinal)
{
	if (d->config.chunks) {
		d->ordinal = ordinal;
		return chunked_open(d) && (!d->config.stages || staged_open(d));
	}
	return open_file(d, ordinal) && start_medium(d, false);
}

/* --------------------------------------------------------------- commands */

/*
 * The first Load may request the medium that is loaded from the start, or the
 * next one, if the database has already used the first.
 */
static unsigned int wanted_ordinal(const struct drive *d, int32_t size)
{
	if (size)
		return size;
	return d->fresh ? d->ordinal : d->ordinal + 1;
}

/* On a pipe that is being written, earlier media are not accessible. */
static bool can_go_to(const struct drive *d, unsigned int ordinal)
{
	if (d->config.writing && d->config.profile == MEDIUM_PIPE &&
	    ordinal <= d->media.count)
		return ordinal == d->ordinal && d->fresh;
	return ordinal <= d->media.count ||
	       (d->config.writing && ordinal == d->media.count + 1 &&
		ordinal <= MEDIUM_MAX_COUNT);
}

/*
 * If the medium does not exist, the drive is left empty, so that the database does
 * not continue on the old medium by mistake. The ordinal is kept for the next
 * Load.
 */
static void load(struct drive *d, int32_t size, struct outcome *out)
{
	unsigned int ordinal = wanted_ordinal(d, size);
	bool ok;

	if (size < 0) {
		out->code = ERROR_INVALID_PARAMETER;
		return;
	}
	if (can_go_to(d, ordinal) && ordinal == d->ordinal && d->fresh &&
	    d->loaded) {
		d->fresh = false;
		return;
	}
	d->fresh = false;
	ok = unload(d);
	if (ok && !can_go_to(d, ordinal)) {
		out->code = ERROR_NO_MEDIA_IN_DRIVE;
		return;
	}
	if (ok && ordinal > d->media.count)
		ok = create_medium(d);
	else if (ok)
		ok = open_medium(d, ordinal);
	if (!ok)
		out->code = d->trouble_code;
}

/* Discard all data of the device, on all of its media. */
static bool discard(struct drive *d)
{
	if (!d->loaded || d->ordinal != 1) {
		if (!unload(d) || !open_file(d, 1))
			return false;
	}
	while (d->media.count > 1) {
		struct medium_file *last = &d->media.file[d->media.count - 1];

		if (unlinkat(d->dir, last->name, 0)) {
			drive_failed(d, "remove a medium that follows", errno);
			return false;
		}
		free(last->name);
		d->media.count--;
		d->new_names = true;
	}
	d->fresh = true;
	return medium_truncate(d, 0) && start_medium(d, true);
}

/* The feature bits that a command requires; ~0 = unknown command. */
static uint32_t needs(const struct VDC_Command *cmd)
{
	uint32_t back = cmd->size < 0 ? VDF_ReversePosition : 0;

	switch (cmd->commandCode) {
	case VDC_Read:
	case VDC_Write:
	case VDC_ClearError:
	case VDC_Flush:
		return 0;
	case VDC_Rewind:
		return VDF_Rewind;
	case VDC_WriteMark:
		return VDF_FileMarks;
	case VDC_SkipMarks:
		return VDF_FileMarks | back;
	case VDC_SkipBlocks:
		return VDF_SkipBlocks | back;
	case VDC_Load:
		return VDF_Removable;
	case VDC_Discard:
		return VDF_Discard;
	default:
		return ~0U;
	}
}

static bool supported(const struct drive *d, const struct VDC_Command *cmd)
{
	uint32_t bits;

	if (cmd->commandCode == VDC_GetPosition ||
	    cmd->commandCode == VDC_SetPosition)
		return d->config.features & (VDF_Position | VDF_RandomAccess);
	bits = needs(cmd);
	return (d->config.features & bits) == bits;
}

static bool moves_data(int code)
{
	return code == VDC_Read || code == VDC_Write;
}

static bool uses_medium(int code)
{
	return moves_data(code) || code == VDC_WriteMark ||
	       code == VDC_SkipMarks || code == VDC_SkipBlocks;
}

/*
 * After a failed write no more data is stored: the contents of the file are
 * undefined, and the backup fails.
 */
static bool refused(const struct drive *d, int code)
{
	if (d->finished)
		return code != VDC_ClearError && code != VDC_Flush;
	if (d->trouble == DRIVE_DAMAGED)
		return code != VDC_ClearError;
	return d->trouble == DRIVE_FAILED && d->config.writing &&
	       code != VDC_ClearError && code != VDC_Read;
}

static void execute_medium(struct drive *d, const struct VDC_Command *cmd,
			   struct outcome *out)
{
	if (!d->loaded) {
		out->code = ERROR_NO_MEDIA_IN_DRIVE;
		return;
	}
	if (uses_medium(cmd->commandCode))
		d->fresh = false;
	if (d->ops->transfer && moves_data(cmd->commandCode))
		transfer_alone(d, cmd, out);
	else
		d->ops->execute(d, cmd, out);
}

/* drive_execute() returns the right code for a drive in trouble or empty. */
bool drive_start(struct drive *d, const struct VDC_Command *cmd)
{
	if (!d->ops->transfer || !moves_data(cmd->commandCode) || !d->loaded ||
	    d->finished || d->trouble != DRIVE_FINE || !transfer_begin(d, cmd))
		return false;
	d->fresh = false;
	return true;
}

void drive_execute(struct drive *d, const struct VDC_Command *cmd,
		   struct outcome *out)
{
	*out = (struct outcome){ .code = ERROR_SUCCESS };
	if (!supported(d, cmd)) {
		out->code = ERROR_NOT_SUPPORTED;
		return;
	}
	if (refused(d, cmd->commandCode)) {
		out->code = d->trouble_code ? : ERROR_IO_DEVICE;
		return;
	}
	switch (cmd->commandCode) {
	case VDC_ClearError:
		break;
	case VDC_Flush:
		/* unloading has made an empty drive's media durable */
		if (d->config.writing && d->loaded && !make_durable(d))
			out->code = d->trouble_code ? : ERROR_OPERATION_ABORTED;
		break;
	case VDC_Load:
		load(d, cmd->size, out);
		break;
	case VDC_Discard:
		if (!d->config.writing)
			out->code = ERROR_NOT_SUPPORTED;
		else if (!discard(d))
			out->code = d->trouble_code;
		break;
	default:
		execute_medium(d, cmd, out);
	}
}

/* ----------------------------------------------------- open, close, verify */

static void init(struct drive *d, const struct drive_config *config, int dir)
{
	*d = (struct drive){
		.config = *config,
		.ops = config->stages ? &staged_ops :
		       config->chunks ? &chunked_ops :
		       config->command ? &streamed_ops :
		       ops_of[config->profile],
		.dir = dir,
		.fresh = true,
		.medium = { .fd = -1, .direct_fd = -1 },
	};
	filesum_begin(&d->medium.sum, 0);
	d->medium.tape.family = config->writing ? config->family : 0;
	/* frames are not aligned */
	if (config->stages)
		d->config.direct = DIRECT_NEVER;
}

bool drive_open(struct drive *d, const struct drive_config *config, int dir,
		struct medium_list *media)
{
	init(d, config, dir);
	if (config->command) {
		d->loaded = true;
		return true;
	}
	if (config->writing)
		return create_medium(d);
	d->media = *media;
	*media = (struct medium_list){ 0 };
	return open_medium(d, 1);
}

/* Never stops; drive_stopped() is polled as well. */
static bool no_tick(void *context, uint64_t bytes)
{
	(void)context;
	(void)bytes;
	return true;
}

/* A file that was not written in sequence is read again for its checksum. */
static bool sum_file(struct drive *d, unsigned int ordinal)
{
	struct medium_file *file = &d->media.file[ordinal - 1];
	bool ok;

	if (file->summed)
		return true;
	if (!open_file(d, ordinal))
		return false;
	d->medium.tape.family = d->config.family;
	filesum_begin(&d->medium.sum, 0);
	ok = d->ops->check(d, no_tick, NULL);
	shut(d);
	if (ok && d->medium.sum.upto != file->bytes)
		drive_damaged(d, "its size has changed");
	if (!ok || d->trouble != DRIVE_FINE)
		return false;
	file->xxh3 = filesum_digest(&d->medium.sum, NULL, 0);
	file->summed = true;
	return true;
}

static bool drop_blank_media(struct drive *d)
{
	while (d->media.count > 1) {
		struct medium_file *last = &d->media.file[d->media.count - 1];

		if (!last->blank)
			return true;
		if (unlinkat(d->dir, last->name, 0)) {
			d->ordinal = d->media.count;
			drive_failed(d, "remove", errno);
			return false;
		}
		free(last->name);
		d->media.count--;
	}
	return true;
}

bool drive_finish(struct drive *d)
{
	unsigned int i;

	d->finished = true;
	if (d->staged && (d->trouble != DRIVE_FINE || !staged_end(d)))
		return false;
	if (d->config.chunks)
		return chunked_finish(d);
	if (d->config.command)
		return streamed_finish(d);
	if (d->trouble != DRIVE_FINE || !unload(d) || !drop_blank_media(d))
		return false;
	for (i = 1; i <= d->media.count; i++) {
		if (!sum_file(d, i))
			return false;
	}
	return true;
}

void drive_watch(struct drive *d, int fd)
{
	if (d->config.command)
		command_watch(d->config.command, fd);
}

void drive_close(struct drive *d)
{
	if (!d->ops)
		return;
	drive_stop(d);
	shut(d);
	d->ops->release(d);
	XXH3_freeState(d->medium.sum.state);
	medium_list_free(&d->media);
	d->ops = NULL;
}

static bool verify_file(struct drive *d, unsigned int ordinal,
			medium_tick *tick, void *context)
{
	const struct medium_file *file = &d->media.file[ordinal - 1];
	bool ok;

	if (d->config.stages) {
		ok = open_medium(d, ordinal) && staged_verify(d, tick, context);
		shut(d);
		return ok;
	}
	if (d->config.chunks) {
		d->ordinal = ordinal;
		ok = chunked_open(d) && chunked_verify(d, tick, context);
		shut(d);
		return ok;
	}
	if (!open_file(d, ordinal))
		return false;
	filesum_begin(&d->medium.sum, 0);
	ok = d->ops->check(d, tick, context);
	shut(d);
	if (!ok)
		return false;
	if (d->medium.sum.upto == file->bytes &&
	    filesum_digest(&d->medium.sum, NULL, 0) == file->xxh3)
		return true;
	drive_damaged(d, "its checksum does not match");
	return false;
}

bool drive_verify(struct drive *d, const struct drive_config *config, int dir,
		  struct medium_list *media, medium_tick *tick, void *context)
{
	bool ok = true;
	unsigned int i;

	init(d, config, dir);
	d->media = *media;
	for (i = 1; ok && i <= media->count; i++)
		ok = verify_file(d, i, tick, context);
	/* the caller keeps ownership of the list */
	d->media = (struct medium_list){ 0 };
	shut(d);
	d->ops->release(d);
	XXH3_freeState(d->medium.sum.state);
	d->medium.sum.state = NULL;
	d->ops = NULL;
	return ok;
}
