// SPDX-License-Identifier: GPL-2.0-only
/*
 * transfer.c - concurrent reads and writes of a drive
 *
 * Transfers start and complete in the order of their commands, in whatever order
 * the kernel moves the data. If a transfer fails, its effect on the medium's state
 * and that of the transfers after it is undone, and those fail as well.
 *
 * A page is never accessed with O_DIRECT and through the page cache at the same
 * time: O_DIRECT is used for whole pages, and transfers that overlap are not in
 * flight together.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "medium.h"

/*
 * The alignment for O_DIRECT. If a file system requires more, it rejects the
 * transfer, which is repeated without O_DIRECT.
 */
static uint64_t page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

/* ---------------------------------------------------------------- O_DIRECT */

static bool same_file(int a, int b)
{
	struct stat is, other;

	return !fstat(a, &is) && !fstat(b, &other) &&
	       is.st_dev == other.st_dev && is.st_ino == other.st_ino;
}

/* Open the medium with O_DIRECT too. False: required but not possible. */
bool transfer_open_direct(struct drive *d)
{
	int flags = O_DIRECT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK |
		    (d->config.writing ? O_RDWR : O_RDONLY);
	struct medium *m = &d->medium;

	m->direct_fd = -1;
	if (d->config.direct == DIRECT_NEVER ||
	    d->config.profile == MEDIUM_TAPE)
		return true;
	m->direct_fd = openat(d->dir, drive_medium_name(d), flags);
	if (m->direct_fd >= 0 && !same_file(m->fd, m->direct_fd)) {
		close(m->direct_fd);
		m->direct_fd = -1;
		errno = ESTALE;
	}
	if (m->direct_fd >= 0 || d->config.direct != DIRECT_ALWAYS)
		return true;
	drive_failed(d, "open for O_DIRECT", errno);
	return false;
}

void transfer_close_direct(struct drive *d)
{
	if (d->medium.direct_fd >= 0)
		close(d->medium.direct_fd);
	d->medium.direct_fd = -1;
}

static void add_part(struct transfer *t, int fd, uint32_t from, uint32_t size,
		     uint32_t enough)
{
	t->part[t->parts++] = (struct io_request){
		.fd = fd,
		.write = t->write,
		.data = t->cmd->buffer + from,
		.offset = t->at + from,
		.size = size,
		.enough = enough,
	};
}

/*
 * Whole pages bypass the page cache. The rest of a write uses the page cache; a
 * read is extended to the end of the page if the buffer has room.
 */
static void split(struct drive *d, struct transfer *t)
{
	uint64_t page = page_size();
	struct medium *m = &d->medium;
	uint32_t whole = t->size - t->size % page;

	if (m->direct_fd < 0 || d->config.direct == DIRECT_NEVER ||
	    t->at % page || (uintptr_t)t->cmd->buffer % page) {
		add_part(t, m->fd, 0, t->size, t->size);
		return;
	}
	if (!t->write && t->size > whole &&
	    (uint32_t)t->cmd->size - whole >= page) {
		add_part(t, m->direct_fd, 0, whole + page, t->size);
		return;
	}
	if (whole)
		add_part(t, m->direct_fd, 0, whole, whole);
	if (t->size > whole)
		add_part(t, m->fd, whole, t->size - whole, t->size - whole);
}

/*
 * A file system may accept O_DIRECT in open(2) and reject the transfer. This and
 * all later transfers then use the page cache.
 */
static bool retry_without_direct(struct drive *d, struct io_request *part)
{
	if (part->fd != d->medium.direct_fd || part->error != EINVAL ||
	    d->config.direct == DIRECT_ALWAYS)
		return false;
	d->config.direct = DIRECT_NEVER;
	part->fd = d->medium.fd;
	io_start(d->io, part);
	return true;
}

/* --------------------------------------------------------------- the queue */

/* The n-th transfer in flight, from 0. */
static struct transfer *nth(struct drive *d, unsigned int n)
{
	return &d->transfer[(d->first + n) % d->depth];
}

static bool open_engine(struct drive *d)
{
	if (d->io)
		return true;
	d->depth = d->config.in_flight ? : 1;
	d->io = io_open(d->depth);
	if (!d->io)
		return false;
	d->depth = io_depth(d->io);
	d->transfer = calloc(d->depth, sizeof(*d->transfer));
	if (d->transfer)
		return true;
	io_close(d->io);
	d->io = NULL;
	return false;
}

bool drive_under_way(const struct drive *d)
{
	return d->under_way;
}

bool drive_full(struct drive *d)
{
	return d->under_way == d->depth ||
	       (d->under_way &&
		nth(d, d->under_way - 1)->out.code != ERROR_SUCCESS);
}

static bool overlap(const struct transfer *t, const struct transfer *other)
{
	return (t->write || other->write) && t->at < other->at + other->size &&
	       other->at < t->at + t->size;
}

static bool overlaps_another(struct drive *d, const struct transfer *t)
{
	unsigned int i;

	for (i = 0; i < d->under_way; i++) {
		if (overlap(t, nth(d, i)))
			return true;
	}
	return false;
}

static void undo(struct drive *d, const struct transfer *t)
{
	d->medium.position = t->position;
	d->medium.end = t->end;
}

/* False: no memory, the queue is full, or it overlaps with another transfer. */
bool transfer_begin(struct drive *d, const struct VDC_Command *cmd)
{
	struct transfer *t;
	unsigned int i;

	if (!open_engine(d) || drive_full(d))
		return false;
	t = nth(d, d->under_way);
	*t = (struct transfer){
		.cmd = cmd,
		.position = d->medium.position,
		.end = d->medium.end,
	};
	d->ops->transfer(d, t);
	if (overlaps_another(d, t)) {
		undo(d, t);
		return false;
	}
	d->under_way++;
	if (t->write)
		d->medium.dirty = d->medium.changed = true;
	if (!t->size)
		return true;
	io_register(d->io, cmd->buffer, cmd->size);
	split(d, t);
	for (i = 0; i < t->parts; i++)
		io_start(d->io, &t->part[i]);
	return true;
}

static void add_to_sum(struct drive *d, struct transfer *t)
{
	if (t->write && !t->summed)
		filesum_add(&d->medium.sum, t->at, t->cmd->buffer, t->size);
	t->summed = true;
}

/* Checksums are computed while the kernel writes the data. */
void drive_submit(struct drive *d)
{
	unsigned int i;

	if (!d->io)
		return;
	io_submit(d->io);
	for (i = 0; i < d->under_way; i++)
		add_to_sum(d, nth(d, i));
}

static bool is_busy(struct drive *d, struct transfer *t)
{
	unsigned int i;
	bool busy = false;

	for (i = 0; i < t->parts; i++) {
		struct io_request *part = &t->part[i];

		if (!part->busy && part->error)
			retry_without_direct(d, part);
		busy |= part->busy;
	}
	return busy;
}

void drive_wait(struct drive *d, int fd, short events)
{
	io_reap(d->io);
	if (is_busy(d, nth(d, 0)))
		io_wait(d->io, fd, events);
}

bool drive_hung_up(const struct drive *d)
{
	return d->io && io_hung_up(d->io);
}

/* Was all data transferred? */
static bool succeeded(struct drive *d, const struct transfer *t)
{
	unsigned int i;

	for (i = 0; i < t->parts; i++) {
		const struct io_request *part = &t->part[i];

		if (part->error) {
			drive_failed(d, t->write ? "write" : "read",
				     part->error);
			return false;
		}
		if (part->done < part->enough) {
			drive_damaged(d, "it is truncated at byte %llu",
				      (unsigned long long)part->offset +
				      part->done);
			return false;
		}
	}
	return true;
}

/*
 * The first failed transfer reports the cause. With synchronous execution the
 * commands after it would not have been fetched; they complete like such commands.
 */
static void finish(struct drive *d, struct transfer *t)
{
	bool failed_before = d->failed_transfer;

	if (!failed_before && succeeded(d, t)) {
		add_to_sum(d, t);
		if (!t->read || !d->ops->fetched || d->ops->fetched(d, t))
			return;
	}
	t->out.bytes = 0;
	t->out.code = failed_before ? ERROR_IO_DEVICE : d->trouble_code;
	if (!failed_before)
		undo(d, t);
	d->failed_transfer = true;
}

bool drive_next(struct drive *d, const struct VDC_Command **cmd,
		struct outcome *out)
{
	struct transfer *t;

	if (!d->under_way)
		return false;
	t = nth(d, 0);
	io_reap(d->io);
	if (is_busy(d, t))
		return false;
	finish(d, t);
	*cmd = t->cmd;
	*out = t->out;
	d->first = (d->first + 1) % d->depth;
	if (!--d->under_way)
		d->failed_transfer = false;
	return true;
}

void transfer_alone(struct drive *d, const struct VDC_Command *cmd,
		    struct outcome *out)
{
	if (!transfer_begin(d, cmd)) {
		drive_failed(d, "allocate transfers for", ENOMEM);
		out->code = d->trouble_code;
		return;
	}
	drive_submit(d);
	while (!drive_next(d, &cmd, out))
		drive_wait(d, -1, 0);
}

void drive_stop(struct drive *d)
{
	if (d->config.command)
		streamed_stop(d);
	io_close(d->io);
	d->io = NULL;
	d->first = 0;
	d->under_way = 0;
	d->failed_transfer = false;
	free(d->transfer);
	d->transfer = NULL;
}
