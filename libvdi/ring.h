/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring.h - one side's view of the two rings of a device
 *
 * Functions on mapped memory, without system calls. The letters (A) to (H) are
 * those of "DOC: rings" in <linux/vdiset.h>.
 *
 * The peer is not trusted. Every word that it can write is read once, by an
 * atomic load, into private memory; checks and uses are made on that copy.
 * Entries of both rings have 32 bytes.
 *
 * What runs for each command is inline, so that an entry passes from the ring
 * to its user in registers.
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
 * @own is mapped read-write, @peer read-only. The indices here are private;
 * those in @own are written for the peer. Only the tail in @own is read back,
 * by vdi_ring_wants_kick(), which must not use a tail before the peer can see
 * it.
 *
 * @staged is protected by the device's lock, since several threads may publish.
 * @kicked may be written by any thread.
 */
struct vdi_ring {
	struct vdiset_region *own;
	const struct vdiset_region *peer;
	uint32_t depth;
	uint32_t mask;		/* depth - 1 */
	uint32_t staged;	/* tail of the ring this side produces */
	uint32_t head;		/* head of the ring this side consumes */
	uint32_t kicked;	/* last sleep_seq of the peer that was kicked */
};

enum vdi_ring_result {
	VDI_RING_OK = 0,
	VDI_RING_EMPTY,
	VDI_RING_BROKEN		/* the peer's indices are impossible */
};

size_t vdi_ring_region_size(uint32_t depth);
void vdi_ring_init(struct vdi_ring *ring, void *own, const void *peer,
		   uint32_t depth);

/* A region and the entries that follow it, of either kind of ring. */
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
 * Entries that the peer has not released, as far as its head says. The caller
 * has no more commands outstanding than the depth, and an honest peer moves its
 * head before it completes a command. So there is room for the next entry, or
 * the head is wrong.
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
 * Write the entry at an index for which there is room. The peer does not see it
 * until the tail is published.
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

/* Write the next entry; to be published by vdi_ring_publish(). */
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
 * Publish everything that was staged by one store. No second variable has the
 * tail: see vdi_ring_wants_kick(). Barrier (C) and a kick may follow.
 */
static inline void vdi_ring_publish(struct vdi_ring *ring)
{
	__atomic_store_n(&ring->own->tail, ring->staged,
			 __ATOMIC_RELEASE); /* (A) */
}

/* Number of entries to take, from one load of the peer's tail. */
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

/* Copy the entry at an index. */
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
 * Take the next entry. The peer may reuse its slot after vdi_ring_release(),
 * which must come before anything that tells the peer of the end of a command.
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

/* Is there an entry to take, or is the peer's tail wrong? */
static inline bool vdi_ring_ready(const struct vdi_ring *ring)
{
	return __atomic_load_n(&ring->peer->tail, __ATOMIC_ACQUIRE) !=
	       ring->head;
}

/* Barrier (C) follows the store of a tail, (D) the store of need_wakeup. */
static inline void vdi_ring_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/*
 * To be called after a tail was published and barrier (C). Returns 0, or the
 * sleep number of a peer that must be kicked: the caller then passes it to
 * vdi_ring_was_kicked() and kicks. Any number of threads may do this at the
 * same time, without a lock.
 *
 * One kick per sleep is enough, but a flag alone does not show which sleep it
 * belongs to. So libvdi stores a sleep number above 1 in need_wakeup,
 * sleep_seq. Several sleeps may have the same number, but only as long as the
 * peer takes nothing from the ring: after that it stores another number before
 * it sleeps again.
 *
 * A number that was kicked needs no second kick, provided that the first kick
 * ends the last sleep with this number. After that the peer sleeps only with
 * another number. A thread that still reads the old number has published
 * before, so the peer finds its entries when it checks the ring after (D): that
 * is the pair (C) and (D).
 *
 * A kick ends a sleep if the kernel sees a tail that differs from the sleeper's
 * head. (It ends any sleep of a server's agent, which sleeps again with the
 * same number if its rings are empty.) So a number may be marked as kicked only
 * while the ring has an entry that the peer has not taken and that the kernel
 * can see:
 *
 * - The head that is read here is not older than that of the sleep, since the
 *   peer stores the head before the number. If it is newer, no further sleep
 *   uses the number, and the mark is harmless.
 * - The tail that is read here is not older than that of the caller, and is in
 *   memory: it was read from there, or is the caller's own, and (C) lies in
 *   between. It is not behind the head, since the peer has read the tail before
 *   it stored the head (B, E), and the head is loaded first here.
 *
 * If head and tail are equal the peer has taken everything that the caller has
 * published. No kick is needed, and the number is not marked: the next thread
 * that publishes will kick.
 *
 * The tail must not come from a private copy. If the copy is stored before the
 * tail, one thread may kick for an entry of another thread that is not in the
 * ring yet: the kernel finds nothing new, the peer sleeps on, and the other
 * thread finds the number marked. If the copy is stored after the tail, it may
 * be behind the head and differ from it, with the same result. model/ring.pml
 * has both as planted faults, and shows that no wake-up is lost without them.
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
 * From now on other threads rely on the caller's kick: nothing that may block
 * or fail may come before it.
 */
static inline void vdi_ring_was_kicked(struct vdi_ring *ring, uint32_t sleep_seq)
{
	__atomic_store_n(&ring->kicked, sleep_seq, __ATOMIC_RELAXED);
}

/*
 * Set the caller's own flag. Barrier (D) and a check of the rings must follow.
 * The store is a release, after the head of what was taken before.
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

/* How much there will be in all, for people; 0 = unknown. Any value may be found. */
static inline void vdi_ring_set_expected(struct vdi_ring *ring, uint64_t bytes)
{
	__atomic_store_n(&ring->own->expected, bytes, __ATOMIC_RELAXED);
}

static inline uint64_t vdi_ring_expected(const struct vdi_ring *ring)
{
	return __atomic_load_n(&ring->peer->expected, __ATOMIC_RELAXED);
}

/* Statistics that an observer can read; this side is the only writer. */
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
