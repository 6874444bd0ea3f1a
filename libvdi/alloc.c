// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * alloc.c - the server's allocator of buffers in the area
 *
 * Every announced buffer has a slot. So the announced number of buffers of a
 * shape can always be allocated, whatever was allocated and freed before. The
 * slots of one shape form a pool. A request for another shape splits a slot.
 * Extents of one slot are merged again when they are free; extents of two slots
 * never are.
 *
 * A slot contains the prefix zone, the data and the gap to the next prefix
 * zone:
 *
 *	|prefix|data.......|gap|prefix|data.......|gap|
 *	       ^ aligned              ^ aligned, + stride
 *
 * Costs: a buffer of an announced shape takes one list operation. Another shape
 * searches the bins of free extents by power of two. Freeing takes one hash
 * look-up. Memory for extents is allocated in chunks and reused.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "alloc.h"
#include "area.h"

#define CHUNK		64
#define LEAST_REST	512U	/* least bytes of an extent of their own */

struct vdi_extent {
	uint64_t start;
	uint64_t length;
	uint64_t data;			/* offset of the buffer, if used */
	uint32_t size;			/* of the buffer, when used */
	bool used;
	struct vdi_pool *pool;		/* its slot's */
	struct vdi_extent *before;	/* neighbours in its slot */
	struct vdi_extent *after;
	struct vdi_extent *next;	/* in pool, bin, hash chain or unused */
	struct vdi_extent **link;	/* the pointer to it there */
};

struct vdi_pool {
	uint32_t size;
	uint32_t alignment;
	uint64_t stride;
	struct vdi_extent *whole;	/* free slots */
	struct vdi_pool *next;
};

struct vdi_slots {
	struct vdi_slots *next;
	struct vdi_pool *pool;
	bool new_pool;
	uint32_t count;
	struct vdi_extent extents[];
};

struct vdi_nodes {
	struct vdi_nodes *next;
	struct vdi_extent extents[CHUNK];
};

static uint64_t align_up(uint64_t n, uint64_t alignment)
{
	return (n + alignment - 1) & ~(alignment - 1);
}

static int log2_of(uint64_t n)
{
	return 63 - __builtin_clzll(n);
}

/* ------------------------------------------------------------------ lists */

static void list_add(struct vdi_extent **head, struct vdi_extent *ext)
{
	ext->next = *head;
	ext->link = head;
	if (ext->next)
		ext->next->link = &ext->next;
	*head = ext;
}

static void list_del(struct vdi_extent *ext)
{
	*ext->link = ext->next;
	if (ext->next)
		ext->next->link = ext->link;
}

static bool is_whole(const struct vdi_extent *ext)
{
	return !ext->before && !ext->after;
}

static void add_free(struct vdi_alloc *alloc, struct vdi_extent *ext)
{
	ext->used = false;
	if (is_whole(ext))
		list_add(&ext->pool->whole, ext);
	else
		list_add(&alloc->bins[log2_of(ext->length)], ext);
}

/* ------------------------------------------------------------------- hash */

static struct vdi_extent **bucket(const struct vdi_alloc *alloc,
				  uint64_t data)
{
	uint64_t mixed = data * 0x9e3779b97f4a7c15ULL;

	return &alloc->hash[mixed >> (64 - alloc->hash_bits)];
}

/*
 * Keep hash chains short for @count extents. After a failure they are longer.
 */
static int grow_hash(struct vdi_alloc *alloc, uint64_t count)
{
	struct vdi_extent **old = alloc->hash;
	uint64_t i, n = old ? 1ULL << alloc->hash_bits : 0;
	uint32_t bits = log2_of(count | 63) + 1;

	if (old && bits <= alloc->hash_bits)
		return 0;
	alloc->hash = calloc(1ULL << bits, sizeof(*alloc->hash));
	if (!alloc->hash) {
		alloc->hash = old;
		return old ? 0 : -ENOMEM;
	}
	alloc->hash_bits = bits;
	for (i = 0; i < n; i++) {
		while (old[i]) {
			struct vdi_extent *ext = old[i];

			list_del(ext);
			list_add(bucket(alloc, ext->data), ext);
		}
	}
	free(old);
	return 0;
}

static struct vdi_extent *find_used(const struct vdi_alloc *alloc,
				    uint64_t data)
{
	struct vdi_extent *ext;

	if (!alloc->hash)
		return NULL;
	for (ext = *bucket(alloc, data); ext; ext = ext->next)
		if (ext->data == data)
			return ext;
	return NULL;
}

/* ------------------------------------------------------------------ nodes */

static int more_nodes(struct vdi_alloc *alloc)
{
	struct vdi_nodes *nodes = calloc(1, sizeof(*nodes));
	int i;

	if (!nodes)
		return -ENOMEM;
	nodes->next = alloc->nodes;
	alloc->nodes = nodes;
	for (i = 0; i < CHUNK; i++)
		list_add(&alloc->unused, &nodes->extents[i]);
	return 0;
}

/* Split @ext at @at. Returns the second part, linked but in no list. */
static struct vdi_extent *split(struct vdi_alloc *alloc,
				struct vdi_extent *ext, uint64_t at)
{
	struct vdi_extent *rest;

	if (!alloc->unused && more_nodes(alloc))
		return NULL;
	rest = alloc->unused;
	list_del(rest);
	rest->start = at;
	rest->length = ext->start + ext->length - at;
	rest->pool = ext->pool;
	rest->before = ext;
	rest->after = ext->after;
	if (rest->after)
		rest->after->before = rest;
	ext->after = rest;
	ext->length = at - ext->start;
	grow_hash(alloc, ++alloc->count);
	return rest;
}

/* Merge @ext and the one after it; both are in no list. */
static void join(struct vdi_alloc *alloc, struct vdi_extent *ext)
{
	struct vdi_extent *gone = ext->after;

	ext->length += gone->length;
	ext->after = gone->after;
	if (ext->after)
		ext->after->before = ext;
	list_add(&alloc->unused, gone);
	alloc->count--;
}

/* ------------------------------------------------------------- life cycle */

/* @alignment is a power of two. */
void vdi_alloc_init(struct vdi_alloc *alloc, uint32_t prefix,
		    uint32_t alignment)
{
	*alloc = (struct vdi_alloc){ .prefix = prefix, .alignment = alignment };
}

/* Forget everything announced and allocated. */
void vdi_alloc_destroy(struct vdi_alloc *alloc)
{
	while (alloc->slots) {
		struct vdi_slots *slots = alloc->slots;

		alloc->slots = slots->next;
		free(slots);
	}
	while (alloc->nodes) {
		struct vdi_nodes *nodes = alloc->nodes;

		alloc->nodes = nodes->next;
		free(nodes);
	}
	while (alloc->pools) {
		struct vdi_pool *pool = alloc->pools;

		alloc->pools = pool->next;
		free(pool);
	}
	free(alloc->hash);
	vdi_alloc_init(alloc, alloc->prefix, alloc->alignment);
}

/* The alignment that a buffer gets; 0 if @alignment is not possible. */
static uint32_t effective(const struct vdi_alloc *alloc, uint32_t alignment)
{
	if (alignment & (alignment - 1) || alignment > VDI_AREA_ALIGN)
		return 0;
	return alignment > alloc->alignment ? alignment : alloc->alignment;
}

static struct vdi_pool *find_pool(const struct vdi_alloc *alloc,
				  uint32_t size, uint32_t alignment)
{
	struct vdi_pool *pool;

	for (pool = alloc->pools; pool; pool = pool->next)
		if (pool->size == size && pool->alignment == alignment)
			return pool;
	return NULL;
}

static struct vdi_pool *new_pool(const struct vdi_alloc *alloc, uint32_t size,
				 uint32_t alignment)
{
	struct vdi_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->size = size;
	pool->alignment = alignment;
	pool->stride = align_up((uint64_t)alloc->prefix + size, alignment);
	return pool;
}

static void lay_out(const struct vdi_alloc *alloc, struct vdi_slots *slots,
		    uint64_t offset)
{
	uint64_t stride = slots->pool->stride;
	uint64_t start = align_up(offset + alloc->prefix,
				  slots->pool->alignment) - alloc->prefix;
	uint32_t i;

	for (i = 0; i < slots->count; i++) {
		slots->extents[i].start = start + i * stride;
		slots->extents[i].length = stride;
		slots->extents[i].pool = slots->pool;
	}
}

/*
 * Prepare @count slots in a part of the area that begins at @offset; the part
 * needs at least *@bytes. All that can fail is done here. 0, -EINVAL or
 * -ENOMEM.
 */
int vdi_alloc_announce(struct vdi_alloc *alloc, uint32_t size,
		       uint32_t alignment, uint32_t count, uint64_t offset,
		       struct vdi_slots **out, uint64_t *bytes)
{
	struct vdi_slots *slots;
	uint64_t room;

	alignment = effective(alloc, alignment);
	if (!alignment || !size || !count)
		return -EINVAL;
	room = align_up((uint64_t)alloc->prefix + size, alignment);
	if (__builtin_mul_overflow(room, (uint64_t)count, &room) ||
	    __builtin_add_overflow(room, offset, &room) || room >> 62)
		return -ENOMEM;
	if (grow_hash(alloc, alloc->count + count))
		return -ENOMEM;

	slots = calloc(1, sizeof(*slots) +
			  (size_t)count * sizeof(slots->extents[0]));
	if (!slots)
		return -ENOMEM;
	slots->count = count;
	slots->pool = find_pool(alloc, size, alignment);
	if (!slots->pool) {
		slots->new_pool = true;
		slots->pool = new_pool(alloc, size, alignment);
	}
	if (!slots->pool) {
		free(slots);
		return -ENOMEM;
	}
	lay_out(alloc, slots, offset);
	*bytes = slots->extents[0].start + slots->pool->stride * count - offset;
	*out = slots;
	return 0;
}

static void insert_pool(struct vdi_alloc *alloc, struct vdi_pool *pool)
{
	struct vdi_pool **link = &alloc->pools;

	while (*link && (*link)->stride < pool->stride)
		link = &(*link)->next;
	pool->next = *link;
	*link = pool;
}

/* The part was allocated: its buffers can be used. Cannot fail. */
void vdi_alloc_commit(struct vdi_alloc *alloc, struct vdi_slots *slots)
{
	uint32_t i;

	if (slots->new_pool)
		insert_pool(alloc, slots->pool);
	for (i = slots->count; i--; )
		list_add(&slots->pool->whole, &slots->extents[i]);
	slots->next = alloc->slots;
	alloc->slots = slots;
	alloc->count += slots->count;
}

/* The part could not be allocated. */
void vdi_alloc_discard(struct vdi_slots *slots)
{
	if (slots->new_pool)
		free(slots->pool);
	free(slots);
}

/* ------------------------------------------------------------- allocation */

/*
 * Bytes of @ext from the first position where data of this alignment may begin.
 */
static uint64_t room_in(const struct vdi_alloc *alloc,
			const struct vdi_extent *ext, uint32_t alignment)
{
	uint64_t data = align_up(ext->start + alloc->prefix, alignment);
	uint64_t end = ext->start + ext->length;

	return data < end ? end - data : 0;
}

static struct vdi_extent *first_fit(const struct vdi_alloc *alloc,
				    struct vdi_extent *list, uint32_t size,
				    uint32_t alignment)
{
	for (; list; list = list->next)
		if (room_in(alloc, list, alignment) >= size)
			return list;
	return NULL;
}

/* Find a part of a slot that was split before. */
static struct vdi_extent *find_part(const struct vdi_alloc *alloc,
				    uint32_t size, uint32_t alignment)
{
	struct vdi_extent *ext;
	int bin = log2_of((uint64_t)alloc->prefix + size);

	for (; bin < VDI_ALLOC_BINS; bin++) {
		ext = first_fit(alloc, alloc->bins[bin], size, alignment);
		if (ext)
			return ext;
	}
	return NULL;
}

/* Find a whole slot of the smallest shape that is large enough. */
static struct vdi_extent *find_slot(const struct vdi_alloc *alloc,
				    uint32_t size, uint32_t alignment)
{
	struct vdi_extent *ext;
	struct vdi_pool *pool;

	for (pool = alloc->pools; pool; pool = pool->next) {
		ext = first_fit(alloc, pool->whole, size, alignment);
		if (ext)
			return ext;
	}
	return NULL;
}

/*
 * Split off what the buffer does not need. If there is no memory for an extent,
 * the buffer is larger than it must be; that is no error.
 */
static struct vdi_extent *trim(struct vdi_alloc *alloc,
			       struct vdi_extent *ext, uint64_t data,
			       uint32_t size)
{
	uint64_t start = data - alloc->prefix;
	uint64_t end = data + size;
	struct vdi_extent *rest;

	if (start - ext->start >= LEAST_REST) {
		rest = split(alloc, ext, start);
		if (rest) {
			add_free(alloc, ext);
			ext = rest;
		}
	}
	if (ext->start + ext->length - end >= LEAST_REST) {
		rest = split(alloc, ext, end);
		if (rest)
			add_free(alloc, rest);
	}
	return ext;
}

static void use(struct vdi_alloc *alloc, struct vdi_extent *ext,
		uint64_t data, uint32_t size)
{
	ext->used = true;
	ext->data = data;
	ext->size = size;
	list_add(bucket(alloc, data), ext);
}

/* Allocate a buffer; *@offset is that of its data. 0, -EINVAL or -ENOMEM. */
int vdi_alloc_get(struct vdi_alloc *alloc, uint32_t size, uint32_t alignment,
		  uint64_t *offset)
{
	struct vdi_extent *ext = NULL;
	struct vdi_pool *pool;
	uint64_t data;

	alignment = effective(alloc, alignment);
	if (!alignment || !size)
		return -EINVAL;
	pool = find_pool(alloc, size, alignment);
	if (pool && pool->whole) {
		ext = pool->whole;
		data = ext->start + alloc->prefix;
		list_del(ext);
	} else {
		ext = find_part(alloc, size, alignment);
		if (!ext)
			ext = find_slot(alloc, size, alignment);
		if (!ext)
			return -ENOMEM;
		data = align_up(ext->start + alloc->prefix, alignment);
		list_del(ext);
		ext = trim(alloc, ext, data, size);
	}
	use(alloc, ext, data, size);
	*offset = data;
	return 0;
}

/* Free a buffer that was allocated as @size bytes at @offset. 0 or -EINVAL. */
int vdi_alloc_put(struct vdi_alloc *alloc, uint64_t offset, uint32_t size)
{
	struct vdi_extent *ext = find_used(alloc, offset);

	if (!ext || ext->size != size)
		return -EINVAL;
	list_del(ext);
	if (ext->after && !ext->after->used) {
		list_del(ext->after);
		join(alloc, ext);
	}
	if (ext->before && !ext->before->used) {
		ext = ext->before;
		list_del(ext);
		join(alloc, ext);
	}
	add_free(alloc, ext);
	return 0;
}

/* ---------------------------------------------------------------- queries */

static uint64_t count_in(const struct vdi_alloc *alloc,
			 const struct vdi_extent *ext, uint32_t size,
			 uint32_t alignment)
{
	uint64_t stride = align_up((uint64_t)alloc->prefix + size, alignment);
	uint64_t room = room_in(alloc, ext, alignment);

	if (room < size)
		return 0;
	/* a buffer of an announced shape uses its whole slot */
	if (is_whole(ext) && ext->pool->size == size &&
	    ext->pool->alignment == alignment)
		return 1;
	return 1 + (room - size) / stride;
}

/* Number of such buffers that could be allocated one after the other. */
uint64_t vdi_alloc_available(const struct vdi_alloc *alloc, uint32_t size,
			     uint32_t alignment)
{
	const struct vdi_extent *ext;
	const struct vdi_pool *pool;
	uint64_t count = 0;
	int bin;

	alignment = effective(alloc, alignment);
	if (!alignment || !size)
		return 0;
	for (pool = alloc->pools; pool; pool = pool->next)
		for (ext = pool->whole; ext; ext = ext->next)
			count += count_in(alloc, ext, size, alignment);
	for (bin = 0; bin < VDI_ALLOC_BINS; bin++)
		for (ext = alloc->bins[bin]; ext; ext = ext->next)
			count += count_in(alloc, ext, size, alignment);
	return count;
}
