// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * alloc.c - the allocator of buffers against a list of allocated buffers
 *
 * No two buffers overlap, prefix zones included. Each is aligned and inside an
 * announced part. As many can be allocated as are reported to be available, and
 * no more. As long as no more buffers of a shape are in use than were
 * announced, none is refused. When all are freed, all announced ones can be
 * allocated again.
 */
#include <errno.h>
#include <stdbool.h>

#include "../alloc.h"
#include "../area.h"
#include "fuzz.h"

#define MAX_LIVE	512
#define MAX_SHAPES	12
#define MAX_COUNT	24		/* buffers of one announcement */
#define MAX_AREA	(1ULL << 40)

struct buffer {
	uint64_t offset;
	uint32_t size;
	int shape;			/* -1 = was never announced */
};

struct shape {
	uint32_t size;
	uint32_t alignment;		/* effective */
	uint32_t count;
	uint32_t live;
};

struct model {
	struct vdi_alloc alloc;
	uint64_t area;
	unsigned int count;
	struct buffer buffer[MAX_LIVE];
	unsigned int shapes;
	struct shape shape[MAX_SHAPES];
	/* since the last time all were free, no shape was overdrawn */
	bool modest;
};

static bool power_of_two(uint32_t n)
{
	return n && !(n & (n - 1));
}

static uint32_t effective(const struct model *m, uint32_t alignment)
{
	return alignment > m->alloc.alignment ? alignment :
						m->alloc.alignment;
}

static bool possible(uint32_t size, uint32_t alignment)
{
	return size && (!alignment || power_of_two(alignment)) &&
	       alignment <= VDI_AREA_ALIGN;
}

static int find_shape(const struct model *m, uint32_t size,
		      uint32_t alignment)
{
	unsigned int i;

	for (i = 0; i < m->shapes; i++)
		if (m->shape[i].size == size &&
		    m->shape[i].alignment == effective(m, alignment))
			return i;
	return -1;
}

/* A shape that was announced, or any. */
static void pick_shape(struct fuzz_input *in, const struct model *m,
		       uint32_t *size, uint32_t *alignment)
{
	uint32_t i;

	if (m->shapes && fuzz_below(in, 3)) {
		i = fuzz_below(in, m->shapes);
		*size = m->shape[i].size;
		*alignment = m->shape[i].alignment;
		return;
	}
	*size = fuzz_number(in);
	if (fuzz_below(in, 8))
		*size %= 5U << 20;
	*alignment = fuzz_below(in, 4) ? 0 : fuzz_number(in);
}

/* ------------------------------------------------------------ announcing */

static void note_shape(struct model *m, uint32_t size, uint32_t alignment,
		       uint32_t count)
{
	int i = find_shape(m, size, alignment);

	if (i < 0) {
		i = m->shapes++;
		m->shape[i].size = size;
		m->shape[i].alignment = effective(m, alignment);
	}
	m->shape[i].count += count;
}

static void announce(struct fuzz_input *in, struct model *m)
{
	uint32_t size, alignment, count;
	struct vdi_slots *slots;
	uint64_t bytes;
	int rc;

	pick_shape(in, m, &size, &alignment);
	count = fuzz_below(in, 16) ? fuzz_below(in, MAX_COUNT) : UINT32_MAX;
	/* impossible; a smaller number would take all memory */
	if (count == UINT32_MAX)
		size |= 1U << 31;
	rc = vdi_alloc_announce(&m->alloc, size, alignment, count, m->area,
				&slots, &bytes);
	if (!possible(size, alignment) || !count) {
		fuzz_assert(rc == -EINVAL);
		return;
	}
	if (count == UINT32_MAX) {
		fuzz_assert(rc == -ENOMEM);
		return;
	}
	fuzz_assert(!rc);
	fuzz_assert(bytes >= (uint64_t)count * size);
	/* with the gap at the beginning and before each prefix zone */
	fuzz_assert(bytes <= (count + 1) *
		    ((uint64_t)m->alloc.prefix + size +
		     effective(m, alignment)));
	if (m->shapes == MAX_SHAPES || m->area + bytes > MAX_AREA ||
	    !fuzz_below(in, 8)) {
		vdi_alloc_discard(slots);
		return;
	}
	vdi_alloc_commit(&m->alloc, slots);
	note_shape(m, size, alignment, count);
	m->area += (bytes + 4095) & ~4095ULL;
}

/* ------------------------------------------------------------- allocating */

static void check_place(const struct model *m, uint64_t offset, uint32_t size,
			uint32_t alignment)
{
	uint32_t prefix = m->alloc.prefix;
	const struct buffer *b;
	unsigned int i;

	fuzz_assert(offset % effective(m, alignment) == 0);
	fuzz_assert(offset >= prefix && offset + size <= m->area);
	for (i = 0; i < m->count; i++) {
		b = &m->buffer[i];
		fuzz_assert(offset + size <= b->offset - prefix ||
			    offset - prefix >= b->offset + b->size);
	}
}

static int take(struct model *m, uint32_t size, uint32_t alignment)
{
	int shape = find_shape(m, size, alignment);
	bool announced = shape >= 0 &&
			 m->shape[shape].live < m->shape[shape].count;
	uint64_t offset;
	int rc;

	rc = vdi_alloc_get(&m->alloc, size, alignment, &offset);
	if (!possible(size, alignment)) {
		fuzz_assert(rc == -EINVAL);
		return rc;
	}
	if (rc) {
		fuzz_assert(rc == -ENOMEM);
		fuzz_assert(!m->modest || !announced);
		return rc;
	}
	check_place(m, offset, size, alignment);
	m->buffer[m->count++] = (struct buffer){ offset, size, shape };
	if (shape >= 0)
		m->shape[shape].live++;
	if (!announced)
		m->modest = false;
	return 0;
}

static void give(struct model *m, unsigned int i)
{
	struct buffer b = m->buffer[i];

	fuzz_assert(!vdi_alloc_put(&m->alloc, b.offset, b.size));
	/* once */
	fuzz_assert(vdi_alloc_put(&m->alloc, b.offset, b.size) == -EINVAL);
	m->buffer[i] = m->buffer[--m->count];
	if (b.shape >= 0)
		m->shape[b.shape].live--;
	if (!m->count)
		m->modest = true;
}

static void get(struct fuzz_input *in, struct model *m)
{
	uint32_t size, alignment;

	pick_shape(in, m, &size, &alignment);
	if (m->count < MAX_LIVE)
		take(m, size, alignment);
}

static void put(struct fuzz_input *in, struct model *m)
{
	uint64_t offset = fuzz_number(in);
	unsigned int i;

	if (m->count && fuzz_below(in, 8)) {
		give(m, fuzz_below(in, m->count));
		return;
	}
	/* no buffer, and a buffer with a wrong size */
	for (i = 0; i < m->count && m->buffer[i].offset != offset; i++)
		;
	if (i == m->count)
		fuzz_assert(vdi_alloc_put(&m->alloc, offset, 4096) == -EINVAL);
	else
		fuzz_assert(vdi_alloc_put(&m->alloc, offset,
					  m->buffer[i].size + 1) == -EINVAL);
}

/* Allocate so many, and fail to allocate one more; then free them. */
static void available(struct fuzz_input *in, struct model *m)
{
	unsigned int had = m->count;
	uint32_t size, alignment;
	bool modest = m->modest;
	uint64_t n, i;

	pick_shape(in, m, &size, &alignment);
	n = vdi_alloc_available(&m->alloc, size, alignment);
	if (!possible(size, alignment)) {
		fuzz_assert(!n);
		return;
	}
	if (n > MAX_LIVE - had - 1)
		return;
	for (i = 0; i < n; i++)
		fuzz_assert(!take(m, size, alignment));
	fuzz_assert(take(m, size, alignment) == -ENOMEM);
	while (m->count > had)
		give(m, m->count - 1);
	m->modest = modest || !had;
	fuzz_assert(vdi_alloc_available(&m->alloc, size, alignment) == n);
}

/* Free everything, then allocate everything that was announced. */
static void finish(struct model *m)
{
	unsigned int i, k;

	while (m->count)
		give(m, m->count / 2);
	for (i = 0; i < m->shapes; i++)
		for (k = 0; k < m->shape[i].count && m->count < MAX_LIVE; k++)
			fuzz_assert(!take(m, m->shape[i].size,
					  m->shape[i].alignment));
	vdi_alloc_destroy(&m->alloc);
	fuzz_assert(!m->alloc.pools && !m->alloc.slots && !m->alloc.hash);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct model *m = calloc(1, sizeof(*m));
	uint32_t prefix;

	fuzz_assert(m);
	prefix = fuzz_below(&in, 2) ? fuzz_below(&in, 1 << 17) : 0;
	vdi_alloc_init(&m->alloc, prefix, 512U << fuzz_below(&in, 8));
	m->modest = true;
	while (in.left) {
		switch (fuzz_below(&in, 8)) {
		case 0:
			announce(&in, m);
			break;
		case 1:
		case 2:
		case 3:
			get(&in, m);
			break;
		case 4:
			available(&in, m);
			break;
		default:
			put(&in, m);
		}
	}
	finish(m);
	free(m);
	return 0;
}
