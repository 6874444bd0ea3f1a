// SPDX-License-Identifier: GPL-2.0-only
/*
 * tape_format.c - the file format of a tape: label, frames and their index
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "medium.h"

#define STOP_INTERVAL	1024	/* frames between two calls of drive_stopped() */

_Static_assert(sizeof(struct tape_label) == TAPE_LABEL_SIZE, "label");
_Static_assert(sizeof(struct tape_frame) == TAPE_FRAME_SIZE, "frame");

static uint64_t label_sum(const struct tape_label *label)
{
	return XXH3_64bits(label, offsetof(struct tape_label, xxh3));
}

static uint64_t frame_sum(const struct tape_frame *frame)
{
	return XXH3_64bits(frame, offsetof(struct tape_frame, xxh3));
}

uint64_t tape_length(const struct tape *t)
{
	const struct tape_entry *last;

	if (!t->count)
		return 0;
	last = &t->entry[t->count - 1];
	return last->address + last->blocks;
}

size_t tape_find(const struct tape *t, uint64_t address)
{
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct tape_entry *e = &t->entry[middle];

		if (address < e->address)
			high = middle;
		else if (address >= e->address + e->blocks)
			low = middle + 1;
		else
			return middle;
	}
	return t->count;
}

void tape_free(struct tape *t)
{
	free(t->entry);
	free(t->cache);
	*t = (struct tape){ 0 };
}

/* Family and allocated memory are kept for the next medium. */
static void reset_index(struct tape *t)
{
	t->count = 0;
	t->used = 0;
	t->cached = 0;
	t->end = TAPE_LABEL_SIZE;
}

static bool make_room(struct drive *d)
{
	struct tape *t = &d->medium.tape;
	size_t room = t->room ? 2 * t->room : 256;
	struct tape_entry *entry;

	if (t->count < t->room)
		return true;
	entry = realloc(t->entry, room * sizeof(*entry));
	if (!entry) {
		drive_failed(d, "index", ENOMEM);
		return false;
	}
	t->entry = entry;
	t->room = room;
	return true;
}

/* A buffer for a payload of any size. */
static uint8_t *get_cache(struct drive *d)
{
	struct tape *t = &d->medium.tape;

	if (!t->cache)
		t->cache = malloc(TAPE_MAX_PAYLOAD);
	if (!t->cache)
		drive_failed(d, "read", ENOMEM);
	t->cached = 0;
	return t->cache;
}

static uint64_t last_sum(const struct tape *t)
{
	return t->count ? t->entry[t->count - 1].xxh3 : t->label_xxh3;
}

/* ---------------------------------------------------------------- writing */

bool tape_create(struct drive *d)
{
	struct tape *t = &d->medium.tape;
	struct tape_label label = {
		.magic = htole64(TAPE_LABEL_MAGIC),
		.family = htole64(d->config.family),
		.capacity = htole64(d->config.capacity),
		.medium = htole32(d->ordinal),
		.device = htole32(d->config.device),
		.block_size = htole32(d->config.block_size),
		.soft_mark_size = htole32(d->config.soft_mark_size),
	};
	struct iovec iov = { .iov_base = &label, .iov_len = sizeof(label) };

	t->label_xxh3 = label_sum(&label);
	t->family = d->config.family;
	label.xxh3 = htole64(t->label_xxh3);
	reset_index(t);
	filesum_begin(&d->medium.sum, 0);
	return medium_write(d, 0, &iov, 1);
}

static struct tape_frame make_frame(const struct drive *d, uint32_t kind,
				    const void *data, uint32_t size)
{
	const struct tape *t = &d->medium.tape;
	struct tape_frame frame = {
		.magic = htole32(TAPE_FRAME_MAGIC),
		.kind = htole32(kind),
		.number = htole64(t->count),
		.address = htole64(tape_length(t)),
		.family = htole64(t->family),
		.size = htole32(size),
		.medium = htole32(d->ordinal),
		.payload_xxh3 = htole64(XXH3_64bits(data, size)),
		.previous = htole64(last_sum(t)),
	};

	frame.xxh3 = htole64(frame_sum(&frame));
	return frame;
}

static void add_entry(struct drive *d, const struct tape_frame *frame)
{
	struct tape *t = &d->medium.tape;
	uint32_t kind = le32toh(frame->kind), size = le32toh(frame->size);

	t->entry[t->count] = (struct tape_entry){
		.address = tape_length(t),
		.offset = t->end,
		.xxh3 = le64toh(frame->xxh3),
		.blocks = kind == TAPE_DATA ? size / d->config.block_size : 1,
		.size = size,
		.kind = kind,
	};
	t->count++;
	t->used += size;
	t->end += TAPE_FRAME_SIZE + size;
}

bool tape_append(struct drive *d, uint32_t kind, const void *data,
		 uint32_t size)
{
	struct tape_frame frame = make_frame(d, kind, data, size);
	struct iovec iov[2] = {
		{ .iov_base = &frame, .iov_len = sizeof(frame) },
		{ .iov_base = (void *)data, .iov_len = size },
	};

	/* an end frame is overwritten */
	d->medium.tail_size = 0;
	if (!make_room(d) ||
	    !medium_write(d, d->medium.tape.end, iov, size ? 2 : 1))
		return false;
	add_entry(d, &frame);
	return true;
}

bool tape_write_end(struct drive *d)
{
	struct medium *m = &d->medium;
	struct tape_frame frame = make_frame(d, TAPE_END, NULL, 0);
	struct iovec iov = { .iov_base = &frame, .iov_len = sizeof(frame) };
	struct filesum sum = m->sum;
	bool ok;

	/* not in the checksum, as the next frame overwrites it */
	m->sum.broken = true;
	ok = medium_write(d, m->tape.end, &iov, 1) &&
	     medium_truncate(d, m->tape.end + sizeof(frame));
	m->sum = sum;
	memcpy(m->tail, &frame, sizeof(frame));
	m->tail_size = sizeof(frame);
	return ok;
}

/* Truncate the index; the caller truncates the file. */
static void drop_entries(struct tape *t, size_t count)
{
	while (t->count > count) {
		const struct tape_entry *e = &t->entry[--t->count];

		t->used -= e->size;
		t->end = e->offset;
	}
	t->cached = 0;
}

/*
 * A frame that is split is verified before its first part gets a checksum of its
 * own; otherwise damaged data would get a valid checksum.
 */
bool tape_cut(struct drive *d, uint64_t address)
{
	struct tape *t = &d->medium.tape;
	size_t index = tape_find(t, address);
	uint32_t keep;

	if (index == t->count)
		return true;
	keep = (address - t->entry[index].address) * d->config.block_size;
	if (keep && (!get_cache(d) ||
		     !tape_read_frame(d, index, 0, t->cache, 0)))
		return false;
	drop_entries(t, index);
	d->medium.dirty = true;
	d->medium.changed = true;
	d->medium.sum.broken = true;
	d->medium.full = false;
	if (!medium_truncate(d, t->end))
		return false;
	return !keep || tape_append(d, TAPE_DATA, t->cache, keep);
}

/* ---------------------------------------------------------------- reading */

/* The header is read again as well, because the file may have changed. */
static bool read_payload(struct drive *d, const struct tape_entry *e,
			 uint8_t *data)
{
	struct tape_frame frame;

	if (!medium_read_all(d, e->offset, &frame, sizeof(frame)) ||
	    !medium_read_all(d, e->offset + sizeof(frame), data, e->size))
		return false;
	if (frame_sum(&frame) == e->xxh3 &&
	    le64toh(frame.payload_xxh3) == XXH3_64bits(data, e->size))
		return true;
	drive_damaged(d, "block %llu, at byte %llu, does not match its checksum",
		      (unsigned long long)e->address,
		      (unsigned long long)e->offset);
	return false;
}

/* A whole frame is read directly into the memory of the caller. */
bool tape_read_frame(struct drive *d, size_t index, uint32_t offset,
		     uint8_t *data, uint32_t size)
{
	struct tape *t = &d->medium.tape;
	const struct tape_entry *e = &t->entry[index];

	if (size == e->size)
		return read_payload(d, e, data);
	if (t->cached != index + 1) {
		if (!get_cache(d) || !read_payload(d, e, t->cache))
			return false;
		t->cached = index + 1;
	}
	memcpy(data, t->cache + offset, size);
	return true;
}

static bool read_label(struct drive *d)
{
	struct tape *t = &d->medium.tape;
	struct tape_label label;

	if (!medium_read_all(d, 0, &label, sizeof(label)))
		return false;
	filesum_add(&d->medium.sum, 0, &label, sizeof(label));
	t->label_xxh3 = label_sum(&label);
	if (le64toh(label.magic) != TAPE_LABEL_MAGIC ||
	    le64toh(label.xxh3) != t->label_xxh3) {
		drive_damaged(d, "its label is missing or damaged");
		return false;
	}
	if (!t->family)
		t->family = le64toh(label.family);
	if (le64toh(label.family) == t->family &&
	    le32toh(label.medium) == d->ordinal &&
	    le32toh(label.device) == d->config.device &&
	    le32toh(label.block_size) == d->config.block_size)
		return true;
	drive_damaged(d, "it is medium %u of device %u, of another backup or with another block size",
		      le32toh(label.medium), le32toh(label.device));
	return false;
}

static bool good_size(const struct drive *d, uint32_t kind, uint32_t size)
{
	switch (kind) {
	case TAPE_DATA:
		return size && size <= TAPE_MAX_PAYLOAD &&
		       !(size % d->config.block_size);
	case TAPE_SOFT_MARK:
		return size && size <= TAPE_MAX_PAYLOAD;
	case TAPE_MARK:
	case TAPE_END:
		return !size;
	default:
		return false;
	}
}

static bool good_frame(const struct drive *d, const struct tape_frame *frame)
{
	const struct tape *t = &d->medium.tape;

	return le32toh(frame->magic) == TAPE_FRAME_MAGIC &&
	       le64toh(frame->xxh3) == frame_sum(frame) &&
	       le64toh(frame->number) == t->count &&
	       le64toh(frame->address) == tape_length(t) &&
	       le64toh(frame->family) == t->family &&
	       le64toh(frame->previous) == last_sum(t) &&
	       le32toh(frame->medium) == d->ordinal &&
	       good_size(d, le32toh(frame->kind), le32toh(frame->size));
}

/* Nothing may follow the end frame. */
static bool check_end(struct drive *d)
{
	uint64_t end = d->medium.tape.end + TAPE_FRAME_SIZE;
	struct stat st;

	if (fstat(d->medium.fd, &st)) {
		drive_failed(d, "read the status of", errno);
		return false;
	}
	if ((uint64_t)st.st_size == end)
		return true;
	drive_damaged(d, "it has data after its end, at byte %llu",
		      (unsigned long long)end);
	return false;
}

/* The payload of the entry that was added last. */
static bool check_payload(struct drive *d)
{
	struct tape *t = &d->medium.tape;
	const struct tape_entry *e = &t->entry[t->count - 1];

	if (!e->size)
		return true;
	if (!get_cache(d) || !read_payload(d, e, t->cache))
		return false;
	filesum_add(&d->medium.sum, e->offset + TAPE_FRAME_SIZE, t->cache,
		    e->size);
	return true;
}

static bool scan_frame(struct drive *d, struct tape_frame *frame)
{
	struct tape *t = &d->medium.tape;

	if (!medium_read_all(d, t->end, frame, sizeof(*frame)))
		return false;
	if (!good_frame(d, frame)) {
		drive_damaged(d, "frame %llu, at byte %llu, is damaged",
			      (unsigned long long)t->count,
			      (unsigned long long)t->end);
		return false;
	}
	filesum_add(&d->medium.sum, t->end, frame, sizeof(*frame));
	return true;
}

bool tape_scan(struct drive *d, bool (*tick)(void *, uint64_t), void *context)
{
	struct tape *t = &d->medium.tape;
	struct tape_frame frame;

	reset_index(t);
	if (!read_label(d))
		return false;
	for (;;) {
		if (!(t->count % STOP_INTERVAL) && drive_stopped(d)) {
			drive_failed(d, "read", EINTR);
			return false;
		}
		if (!scan_frame(d, &frame))
			return false;
		if (le32toh(frame.kind) == TAPE_END)
			return check_end(d);
		if (!make_room(d))
			return false;
		add_entry(d, &frame);
		if (tick && (!check_payload(d) ||
			     !tick(context, TAPE_FRAME_SIZE +
				   t->entry[t->count - 1].size)))
			return false;
	}
}
