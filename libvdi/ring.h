/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring.h - one side's view of a device's two rings
 *
 * Functions on mapped memory, without system calls. The letters (A) to (H) are
 * those of "DOC: rings" in <linux/vdiset.h>.
 *
 * The peer is not trusted: every word it can write is read once, by an atomic
 * load, into private memory; checks and uses are made on that copy. Entries of
 * both rings have 32 bytes, which is why one pair of functions serves both.
 */
#ifndef VDI_RING_H
#define VDI_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/vdiset.h>
#include <vditypes.h>

#define VDI_ENTRY_WORDS	4
#define VDI_ENTRY_SIZE	(VDI_ENTRY_WORDS * sizeof(uint64_t))

/* Largest number of looks before a sleep. */
#define VDI_SPIN_MAX	(1U << 24)

typedef uint64_t __attribute__((may_alias)) vdi_word_t;

/* @own is mapped read-write, @peer read-only. The indices are private: what
 * is in shared memory is only told, never read back. */
struct vdi_ring {
	struct vdiset_region *own;
	const struct vdiset_region *peer;
	uint32_t depth;
	uint32_t tail;		/* of the ring this side produces */
	uint32_t staged;	/* likewise, with what is not published yet */
	uint32_t head;		/* of the ring this side consumes */
	uint32_t kicked;	/* sleep of the peer that was answered last */
};

enum vdi_ring_result {
	VDI_RING_OK = 0,
	VDI_RING_EMPTY,
	VDI_RING_BROKEN		/* the peer's indices are impossible */
};

struct vdi_ring_limits {
	uint32_t depth;
	uint32_t max_transfer;
	uint32_t features;
};

/* How often to look before sleeping; see vdi_spin_init(). */
struct vdi_spin {
	uint32_t max;
	uint32_t budget;
	uint32_t skip;		/* sleeps without a look, the next time */
	uint32_t left;		/* of those, now */
};

size_t vdi_ring_region_size(uint32_t depth);
void vdi_ring_init(struct vdi_ring *ring, void *own, const void *peer,
		   uint32_t depth);

const char *vdi_command_check(const struct vdiset_command *cmd,
			      const struct vdi_ring_limits *limits);
const char *vdi_completion_check(const struct vdiset_completion *done,
				 uint32_t command, int32_t size);

void vdi_spin_init(struct vdi_spin *spin, uint32_t max);
uint32_t vdi_spin_begin(struct vdi_spin *spin);
void vdi_spin_won(struct vdi_spin *spin);
void vdi_spin_lost(struct vdi_spin *spin);
uint32_t vdi_spin_default(void);
bool vdi_several_cpus(void);

static inline vdi_word_t *vdi_ring_own_entry(const struct vdi_ring *ring, uint32_t index)
{
	vdi_word_t *entries = (vdi_word_t *)(ring->own + 1);

	return entries + (size_t)(index & (ring->depth - 1)) * VDI_ENTRY_WORDS;
}

static inline const vdi_word_t *vdi_ring_peer_entry(const struct vdi_ring *ring, uint32_t index)
{
	const vdi_word_t *entries = (const vdi_word_t *)(ring->peer + 1);

	return entries + (size_t)(index & (ring->depth - 1)) * VDI_ENTRY_WORDS;
}

/* Each word is read and written once. */
static inline void vdi_ring_copy(vdi_word_t *to, const vdi_word_t *from)
{
#define VDI_COPY_WORD(i)						\
	__atomic_store_n(&to[i], __atomic_load_n(&from[i], __ATOMIC_RELAXED), \
			 __ATOMIC_RELAXED)
	VDI_COPY_WORD(0);
	VDI_COPY_WORD(1);
	VDI_COPY_WORD(2);
	VDI_COPY_WORD(3);
#undef VDI_COPY_WORD
}

/*
 * Write an entry that the peer does not see before vdi_ring_publish(). The
 * caller has fewer than depth commands outstanding, and an honest peer moves
 * its head before it completes: so there is room, or the head is wrong.
 */
static inline enum vdi_ring_result vdi_ring_stage(struct vdi_ring *ring,
						  const void *entry)
{
	const vdi_word_t *from = (const vdi_word_t *)entry;
	vdi_word_t *to = vdi_ring_own_entry(ring, ring->staged);
	uint32_t head;

	head = __atomic_load_n(&ring->peer->head, __ATOMIC_ACQUIRE); /* (F) */
	if (ring->staged - head >= ring->depth)
		return VDI_RING_BROKEN;

	vdi_ring_copy(to, from);
	ring->staged++;
	return VDI_RING_OK;
}

/* All that was staged, by one store. Barrier (C) and a kick may follow. */
static inline void vdi_ring_publish(struct vdi_ring *ring)
{
	__atomic_store_n(&ring->tail, ring->staged, __ATOMIC_RELAXED);
	__atomic_store_n(&ring->own->tail, ring->staged,
			 __ATOMIC_RELEASE); /* (A) */
}

static inline enum vdi_ring_result vdi_ring_get(struct vdi_ring *ring,
						void *entry)
{
	const vdi_word_t *from;
	vdi_word_t *to = (vdi_word_t *)entry;
	uint32_t tail;

	tail = __atomic_load_n(&ring->peer->tail, __ATOMIC_ACQUIRE); /* (B) */
	if (tail == ring->head)
		return VDI_RING_EMPTY;
	if (tail - ring->head > ring->depth)
		return VDI_RING_BROKEN;

	from = vdi_ring_peer_entry(ring, ring->head);
	vdi_ring_copy(to, from);
	ring->head++;
	__atomic_store_n(&ring->own->head, ring->head, __ATOMIC_RELEASE); /* (E) */
	return VDI_RING_OK;
}

/* The same by the types of the entries. */
static inline enum vdi_ring_result
vdi_ring_put_command(struct vdi_ring *ring, const struct vdiset_command *cmd)
{
	enum vdi_ring_result result = vdi_ring_stage(ring, cmd);

	if (result == VDI_RING_OK)
		vdi_ring_publish(ring);
	return result;
}

static inline enum vdi_ring_result
vdi_ring_put_completion(struct vdi_ring *ring,
			const struct vdiset_completion *done)
{
	enum vdi_ring_result result = vdi_ring_stage(ring, done);

	if (result == VDI_RING_OK)
		vdi_ring_publish(ring);
	return result;
}

static inline enum vdi_ring_result
vdi_ring_get_command(struct vdi_ring *ring, struct vdiset_command *cmd)
{
	return vdi_ring_get(ring, cmd);
}

static inline enum vdi_ring_result
vdi_ring_get_completion(struct vdi_ring *ring, struct vdiset_completion *done)
{
	return vdi_ring_get(ring, done);
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
 * report the value with vdi_ring_was_kicked().
 *
 * One kick per sleep is enough, but a flag does not say which sleep it belongs
 * to. So libvdi stores a new number above 1 for each (an "episode"), which
 * lasts until the peer takes something from the ring. A number that was
 * kicked needs no second kick: whoever reads it has published before the peer
 * can begin its next episode, and the peer's look at the ring after (D) finds
 * the entry.
 *
 * That holds only if the first kick ends the sleep, which it does not when the
 * peer has taken all there was before it fell asleep: the kernel then finds
 * nothing new and lets it sleep on. Then there is no need to kick either. The
 * head read here is that of this episode, or later: the peer stores it before
 * the number.
 *
 * A peer that stores just 1 is always kicked.
 */
static inline uint32_t vdi_ring_wants_kick(const struct vdi_ring *ring)
{
	uint32_t episode, head;

	episode = __atomic_load_n(&ring->peer->need_wakeup, __ATOMIC_ACQUIRE);
	if (episode <= 1)
		return episode;
	if (episode == __atomic_load_n(&ring->kicked, __ATOMIC_RELAXED))
		return 0;
	head = __atomic_load_n(&ring->peer->head, __ATOMIC_ACQUIRE);
	if (head == __atomic_load_n(&ring->tail, __ATOMIC_RELAXED))
		return 0;
	return episode;
}

static inline void vdi_ring_was_kicked(struct vdi_ring *ring, uint32_t episode)
{
	__atomic_store_n(&ring->kicked, episode, __ATOMIC_RELAXED);
}

/* The caller's own flag; barrier (D) and a look at the rings must follow. */
static inline void vdi_ring_set_wakeup(struct vdi_ring *ring, uint32_t episode)
{
	__atomic_store_n(&ring->own->need_wakeup, episode, __ATOMIC_RELEASE);
}

static inline uint32_t vdi_ring_own_wakeup(const struct vdi_ring *ring)
{
	return __atomic_load_n(&ring->own->need_wakeup, __ATOMIC_RELAXED);
}

static inline uint32_t vdi_ring_next_episode(uint32_t episode)
{
	return episode < 2 || episode == UINT32_MAX ? 2 : episode + 1;
}

/* Figures for people; the owner is the only writer. */
static inline void vdi_ring_count(struct vdi_ring *ring, uint64_t bytes)
{
	struct vdiset_region *own = ring->own;

	__atomic_store_n(&own->operations, own->operations + 1,
			 __ATOMIC_RELAXED);
	if (bytes)
		__atomic_store_n(&own->bytes, own->bytes + bytes,
				 __ATOMIC_RELAXED);
}

static inline bool vdi_command_has_data(uint32_t code)
{
	return code == VDC_Read || code == VDC_Write;
}

/*
 * Does this completion put the device into IO-ERROR? Both sides must come to
 * the same answer, see client.c. 1100 with everything stored is a warning.
 */
static inline bool vdi_completion_is_error(uint32_t command, int32_t size,
					   uint32_t code, uint64_t bytes)
{
	if (code == ERROR_END_OF_MEDIA)
		return vdi_command_has_data(command) && bytes < (uint64_t)size;
	return code != ERROR_SUCCESS;
}

static inline void vdi_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
	__asm__ __volatile__("yield" ::: "memory");
#endif
}

#endif /* VDI_RING_H */
