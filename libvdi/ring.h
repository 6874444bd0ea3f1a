/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring.h - one side's view of a device's two rings
 *
 * Functions on mapped memory, without system calls. The letters (A) to (H) are
 * those of "DOC: rings" in <linux/vdiset.h>.
 *
 * The peer is not trusted: every word it can write is read once, by an atomic
 * load, into private memory; checks and uses are made on that copy. Entries of
 * both rings have 32 bytes.
 *
 * What is done for each command is in line, so that entries pass from the ring to
 * where they are used in registers.
 */
#ifndef VDI_RING_H
#define VDI_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/vdiset.h>

#include "compiler.h"

#define VDI_ENTRY_SIZE	32

/*
 * @own is mapped read-write, @peer read-only. The indices are private; those in
 * @own are written for the peer. One of them is read back: the tail, by
 * vdi_ring_wants_kick(), which must not know of a tail before the peer can.
 *
 * @staged belongs to the holder of the device's lock, where several threads
 * publish; @kicked is any thread's.
 */
struct vdi_ring {
	struct vdiset_region *own;
	const struct vdiset_region *peer;
	uint32_t depth;
	uint32_t mask;		/* depth - 1 */
	uint32_t staged;	/* tail of the ring this side produces, with
				 * what is not published yet */
	uint32_t head;		/* of the ring this side consumes */
	uint32_t kicked;	/* sleep of the peer that was answered last */
};

enum vdi_ring_result {
	VDI_RING_OK = 0,
	VDI_RING_EMPTY,
	VDI_RING_BROKEN		/* the peer's indices are impossible */
};

size_t vdi_ring_region_size(uint32_t depth);
void vdi_ring_init(struct vdi_ring *ring, void *own, const void *peer,
		   uint32_t depth);

/* A region and what follows it, of either kind of ring. */
struct vdi_ring_image {
	struct vdiset_region region;
	union {
		struct vdiset_command command;
		struct vdiset_completion completion;
	} entry[];
};

static inline struct vdi_ring_image *vdi_ring_own(const struct vdi_ring *ring)
{
	return (struct vdi_ring_image *)ring->own;
}

static inline const struct vdi_ring_image *
vdi_ring_peer(const struct vdi_ring *ring)
{
	return (const struct vdi_ring_image *)ring->peer;
}

/*
 * Entries that the peer has not let go of, as it says. The caller has no more
 * commands outstanding than the depth, and an honest peer moves its head before
 * it completes: so there is room for the next, or the head is wrong.
 */
static inline uint32_t vdi_ring_used(const struct vdi_ring *ring)
{
	uint32_t head;

	head = __atomic_load_n(&ring->peer->head, __ATOMIC_ACQUIRE); /* (F) */
	return ring->staged - head;
}

#define VDI_PUT_FIELD(to, from, field) \
	__atomic_store_n(&(to)->field, (from)->field, __ATOMIC_RELAXED)
#define VDI_GET_FIELD(to, from, field) \
	((to)->field = __atomic_load_n(&(from)->field, __ATOMIC_RELAXED))

/*
 * Write the entry of an index for which there is room: the peer does not see it
 * before it is staged and published.
 */
static inline void vdi_ring_write_command(const struct vdi_ring *ring,
					  uint32_t index,
					  const struct vdiset_command *cmd)
{
	struct vdiset_command *to =
		&vdi_ring_own(ring)->entry[index & ring->mask].command;

	VDI_PUT_FIELD(to, cmd, code);
	VDI_PUT_FIELD(to, cmd, tag);
	VDI_PUT_FIELD(to, cmd, size);
	VDI_PUT_FIELD(to, cmd, reserved);
	VDI_PUT_FIELD(to, cmd, position);
	VDI_PUT_FIELD(to, cmd, buffer);
}

static inline void vdi_ring_write_completion(const struct vdi_ring *ring,
					     uint32_t index,
					     const struct vdiset_completion *done)
{
	struct vdiset_completion *to =
		&vdi_ring_own(ring)->entry[index & ring->mask].completion;

	VDI_PUT_FIELD(to, done, tag);
	VDI_PUT_FIELD(to, done, code);
	VDI_PUT_FIELD(to, done, bytes);
	VDI_PUT_FIELD(to, done, position);
	VDI_PUT_FIELD(to, done, reserved);
}

/* The next one; published by vdi_ring_publish(). */
static inline enum vdi_ring_result
vdi_ring_stage_completion(struct vdi_ring *ring,
			  const struct vdiset_completion *done)
{
	if (vdi_unlikely(vdi_ring_used(ring) > ring->mask))
		return VDI_RING_BROKEN;
	vdi_ring_write_completion(ring, ring->staged, done);
	ring->staged++;
	return VDI_RING_OK;
}

/*
 * All that was staged, by one store, and no second place that has the tail: see
 * vdi_ring_wants_kick(). Barrier (C) and a kick may follow.
 */
static inline void vdi_ring_publish(struct vdi_ring *ring)
{
	__atomic_store_n(&ring->own->tail, ring->staged,
			 __ATOMIC_RELEASE); /* (A) */
}

/* How many entries there are to take, by one look at the peer's tail. */
static inline enum vdi_ring_result
vdi_ring_available(const struct vdi_ring *ring, uint32_t *count)
{
	uint32_t tail;

	tail = __atomic_load_n(&ring->peer->tail, __ATOMIC_ACQUIRE); /* (B) */
	*count = tail - ring->head;
	if (!*count)
		return VDI_RING_EMPTY;
	return *count > ring->depth ? VDI_RING_BROKEN : VDI_RING_OK;
}

/* Copy the entry of an index, one of them. */
static inline void vdi_ring_read_command(const struct vdi_ring *ring,
					 uint32_t index,
					 struct vdiset_command *cmd)
{
	const struct vdiset_command *from =
		&vdi_ring_peer(ring)->entry[index & ring->mask].command;

	VDI_GET_FIELD(cmd, from, code);
	VDI_GET_FIELD(cmd, from, tag);
	VDI_GET_FIELD(cmd, from, size);
	VDI_GET_FIELD(cmd, from, reserved);
	VDI_GET_FIELD(cmd, from, position);
	VDI_GET_FIELD(cmd, from, buffer);
}

static inline void vdi_ring_read_completion(const struct vdi_ring *ring,
					    uint32_t index,
					    struct vdiset_completion *done)
{
	const struct vdiset_completion *from =
		&vdi_ring_peer(ring)->entry[index & ring->mask].completion;

	VDI_GET_FIELD(done, from, tag);
	VDI_GET_FIELD(done, from, code);
	VDI_GET_FIELD(done, from, bytes);
	VDI_GET_FIELD(done, from, position);
	VDI_GET_FIELD(done, from, reserved);
}

#undef VDI_PUT_FIELD
#undef VDI_GET_FIELD

/*
 * The next of them. Its place is the peer's again with vdi_ring_release(),
 * which must come before the peer is told of anything that ends a command.
 */
static inline void vdi_ring_take_command(struct vdi_ring *ring,
					 struct vdiset_command *cmd)
{
	vdi_ring_read_command(ring, ring->head++, cmd);
}

static inline void vdi_ring_release(struct vdi_ring *ring)
{
	__atomic_store_n(&ring->own->head, ring->head, __ATOMIC_RELEASE); /* (E) */
}

/* Is there something to get, or something wrong with the peer's tail? */
static inline bool vdi_ring_ready(const struct vdi_ring *ring)
{
	return __atomic_load_n(&ring->peer->tail, __ATOMIC_ACQUIRE) !=
	       ring->head;
}

/* (C) after a tail was stored, (D) after need_wakeup was stored. */
static inline void vdi_ring_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/*
 * After put and barrier (C): 0, or the peer sleeps and must be kicked; then
 * report the value with vdi_ring_was_kicked() and kick. Any number of threads
 * may do this at the same time, without a lock.
 *
 * One kick per sleep is enough, but a flag does not say which sleep it belongs
 * to. So libvdi stores a new number above 1 for each, sleep_seq. The same
 * number may be there for several sleeps, but not after the peer has taken
 * something from the ring: then it stores another one before it sleeps again.
 *
 * A number that was kicked needs no second kick, provided that the first one
 * ends the last sleep of this number. Then the peer sleeps again only with
 * another number; a thread that still reads the old one has published before,
 * so the peer's look at the ring after (D) finds its entries: (C) and (D).
 *
 * A kick ends a sleep when the kernel sees a tail that is not the sleeper's
 * head. (It ends any sleep of a server's agent, which with nothing in its rings
 * sleeps again with the same number.) So a number may be marked as kicked only
 * with an entry in the ring that the peer has not taken and that the kernel can
 * see:
 *
 * - The head read here is at least that of the sleep: the peer stores the head
 *   before the number. If it is a later one, the number is used for no further
 *   sleep, and the mark does no harm.
 * - The tail read here is at least that of the caller, and is in memory: it was
 *   read from there, or is the caller's own, and (C) lies in between. It is not
 *   behind the head: the peer has read the tail before it stored the head (B,
 *   E), and the head is loaded first.
 *
 * Where head and tail are equal the peer has taken all that the caller has
 * published. No kick is needed, and the number is not marked: the next thread that
 * publishes will kick.
 *
 * The tail must not come from a private copy. With a copy that is stored before
 * the tail, one thread kicks for an entry of another that is not in the ring yet:
 * the kernel finds nothing new, the peer sleeps on, and the other thread finds the
 * number marked. A copy that is stored after the tail can be behind the head, and
 * then differs from it, with the same result. model/ring.pml has these faults, and
 * shows that there is none without them.
 *
 * A peer that stores just 1 is always kicked.
 */
static inline uint32_t vdi_ring_wants_kick(const struct vdi_ring *ring)
{
	uint32_t sleep_seq, head;

	sleep_seq = __atomic_load_n(&ring->peer->need_wakeup, __ATOMIC_ACQUIRE);
	if (sleep_seq <= 1)
		return sleep_seq;
	if (sleep_seq == __atomic_load_n(&ring->kicked, __ATOMIC_RELAXED))
		return 0;
	head = __atomic_load_n(&ring->peer->head, __ATOMIC_ACQUIRE);
	if (head == __atomic_load_n(&ring->own->tail, __ATOMIC_RELAXED))
		return 0;
	return sleep_seq;
}

/*
 * From now on other threads rely on the caller's kick: nothing that may wait
 * or fail may come before it.
 */
static inline void vdi_ring_was_kicked(struct vdi_ring *ring, uint32_t sleep_seq)
{
	__atomic_store_n(&ring->kicked, sleep_seq, __ATOMIC_RELAXED);
}

/*
 * The caller's own flag; barrier (D) and a look at the rings must follow. After
 * the head of what was taken before: release.
 */
static inline void vdi_ring_set_wakeup(struct vdi_ring *ring, uint32_t sleep_seq)
{
	__atomic_store_n(&ring->own->need_wakeup, sleep_seq, __ATOMIC_RELEASE);
}

static inline uint32_t vdi_ring_own_wakeup(const struct vdi_ring *ring)
{
	return __atomic_load_n(&ring->own->need_wakeup, __ATOMIC_RELAXED);
}

static inline uint32_t vdi_ring_next_sleep_seq(uint32_t sleep_seq)
{
	return sleep_seq < 2 || sleep_seq == UINT32_MAX ? 2 : sleep_seq + 1;
}

/* Figures for people; the owner is the only writer. */
static inline void vdi_ring_count(struct vdi_ring *ring, uint64_t operations,
				  uint64_t bytes)
{
	struct vdiset_region *own = ring->own;

	__atomic_store_n(&own->operations, own->operations + operations,
			 __ATOMIC_RELAXED);
	if (bytes)
		__atomic_store_n(&own->bytes, own->bytes + bytes,
				 __ATOMIC_RELAXED);
}

#endif /* VDI_RING_H */
