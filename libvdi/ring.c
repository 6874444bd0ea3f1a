// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ring.c - rings in shared memory, with a peer that is not trusted
 *
 * Every word the peer can write is read once, by an atomic load, into private
 * memory; checks and uses are made on that copy. Entries of both rings have
 * 32 bytes, which is why one pair of functions serves both.
 */
#include <sched.h>
#include <string.h>

#include <vditypes.h>

#include "ring.h"

#define ENTRY_WORDS	4
#define ENTRY_SIZE	(ENTRY_WORDS * sizeof(uint64_t))

#define SPIN_MIN	64
#define SPIN_MAX	4096

typedef uint64_t __attribute__((may_alias)) word_t;

_Static_assert(sizeof(struct vdiset_command) == ENTRY_SIZE, "command");
_Static_assert(sizeof(struct vdiset_completion) == ENTRY_SIZE, "completion");
_Static_assert(sizeof(struct vdiset_region) == 256, "region");

size_t vdi_ring_region_size(uint32_t depth)
{
	return sizeof(struct vdiset_region) + (size_t)depth * ENTRY_SIZE;
}

/* @depth is a power of two, as the kernel gives it. */
void vdi_ring_init(struct vdi_ring *ring, void *own, const void *peer,
		   uint32_t depth)
{
	memset(ring, 0, sizeof(*ring));
	ring->own = own;
	ring->peer = peer;
	ring->depth = depth;
}

static word_t *own_entry(const struct vdi_ring *ring, uint32_t index)
{
	word_t *entries = (word_t *)(ring->own + 1);

	return entries + (size_t)(index & (ring->depth - 1)) * ENTRY_WORDS;
}

static const word_t *peer_entry(const struct vdi_ring *ring, uint32_t index)
{
	const word_t *entries = (const word_t *)(ring->peer + 1);

	return entries + (size_t)(index & (ring->depth - 1)) * ENTRY_WORDS;
}

/*
 * The caller has fewer than depth commands outstanding, and an honest peer
 * moves its head before it completes: so there is room, or the head is wrong.
 */
static enum vdi_ring_result put(struct vdi_ring *ring, const void *entry)
{
	const word_t *from = entry;
	word_t *to = own_entry(ring, ring->tail);
	uint32_t head;
	int i;

	head = __atomic_load_n(&ring->peer->head, __ATOMIC_ACQUIRE); /* (F) */
	if (ring->tail - head >= ring->depth)
		return VDI_RING_BROKEN;

	for (i = 0; i < ENTRY_WORDS; i++)
		__atomic_store_n(&to[i], from[i], __ATOMIC_RELAXED);
	ring->tail++;
	__atomic_store_n(&ring->own->tail, ring->tail, __ATOMIC_RELEASE); /* (A) */
	return VDI_RING_OK;
}

static enum vdi_ring_result get(struct vdi_ring *ring, void *entry)
{
	const word_t *from;
	word_t *to = entry;
	uint32_t tail;
	int i;

	tail = __atomic_load_n(&ring->peer->tail, __ATOMIC_ACQUIRE); /* (B) */
	if (tail == ring->head)
		return VDI_RING_EMPTY;
	if (tail - ring->head > ring->depth)
		return VDI_RING_BROKEN;

	from = peer_entry(ring, ring->head);
	for (i = 0; i < ENTRY_WORDS; i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	ring->head++;
	__atomic_store_n(&ring->own->head, ring->head, __ATOMIC_RELEASE); /* (E) */
	return VDI_RING_OK;
}

enum vdi_ring_result vdi_ring_put_command(struct vdi_ring *ring,
					  const struct vdiset_command *cmd)
{
	return put(ring, cmd);
}

enum vdi_ring_result vdi_ring_put_completion(struct vdi_ring *ring,
					const struct vdiset_completion *done)
{
	return put(ring, done);
}

enum vdi_ring_result vdi_ring_get_command(struct vdi_ring *ring,
					  struct vdiset_command *cmd)
{
	return get(ring, cmd);
}

enum vdi_ring_result vdi_ring_get_completion(struct vdi_ring *ring,
					struct vdiset_completion *done)
{
	return get(ring, done);
}

/* Is there something to get, or something wrong with the peer's tail? */
bool vdi_ring_ready(const struct vdi_ring *ring)
{
	return __atomic_load_n(&ring->peer->tail, __ATOMIC_ACQUIRE) !=
	       ring->head;
}

/* (C) after a tail was stored, (D) after need_wakeup was stored. */
void vdi_ring_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/*
 * After put and barrier (C): 0, or the peer sleeps and must be kicked; then
 * report the value with vdi_ring_was_kicked().
 *
 * One kick per sleep is enough, but a flag says nothing about which sleep it
 * belongs to. So libvdi stores a new number above 1 for each (an "episode");
 * a number that was kicked before needs no second kick: whoever read it had
 * published before the peer began its next episode, whose look at the rings
 * after (D) then finds the entry. A peer that stores just 1 is kicked always.
 */
uint32_t vdi_ring_wants_kick(const struct vdi_ring *ring)
{
	uint32_t episode;

	episode = __atomic_load_n(&ring->peer->need_wakeup, __ATOMIC_RELAXED);
	if (episode > 1 &&
	    episode == __atomic_load_n(&ring->kicked, __ATOMIC_RELAXED))
		return 0;
	return episode;
}

void vdi_ring_was_kicked(struct vdi_ring *ring, uint32_t episode)
{
	__atomic_store_n(&ring->kicked, episode, __ATOMIC_RELAXED);
}

/* The caller's own flag; barrier (D) and a look at the rings must follow. */
void vdi_ring_set_wakeup(struct vdi_ring *ring, uint32_t episode)
{
	__atomic_store_n(&ring->own->need_wakeup, episode, __ATOMIC_RELAXED);
}

uint32_t vdi_ring_own_wakeup(const struct vdi_ring *ring)
{
	return __atomic_load_n(&ring->own->need_wakeup, __ATOMIC_RELAXED);
}

uint32_t vdi_ring_next_episode(uint32_t episode)
{
	return episode < 2 || episode == UINT32_MAX ? 2 : episode + 1;
}

/* Figures for people; the owner is the only writer. */
void vdi_ring_count(struct vdi_ring *ring, uint64_t bytes)
{
	struct vdiset_region *own = ring->own;

	__atomic_store_n(&own->operations, own->operations + 1,
			 __ATOMIC_RELAXED);
	if (bytes)
		__atomic_store_n(&own->bytes, own->bytes + bytes,
				 __ATOMIC_RELAXED);
}

bool vdi_command_has_data(uint32_t code)
{
	return code == VDC_Read || code == VDC_Write;
}

/*
 * Does this completion put the device into IO-ERROR? Both sides must come to
 * the same answer, see client.c. 1100 with everything stored is a warning.
 */
bool vdi_completion_is_error(uint32_t command, int32_t size, uint32_t code,
			     uint64_t bytes)
{
	if (code == ERROR_END_OF_MEDIA)
		return vdi_command_has_data(command) && bytes < (uint64_t)size;
	return code != ERROR_SUCCESS;
}

/*
 * What is wrong with a command, as far as it can be seen without the area;
 * NULL = nothing. @cmd is the private copy.
 */
const char *vdi_command_check(const struct vdiset_command *cmd,
			      const struct vdi_ring_limits *limits)
{
	if (cmd->tag >= limits->depth)
		return "command with a tag beyond the depth";
	if (cmd->reserved)
		return "command with a reserved field set";
	if (cmd->code == VDC_Complete &&
	    !(limits->features & VDF_CompleteEnabled))
		return "VDC_Complete without VDF_CompleteEnabled";
	if (!vdi_command_has_data(cmd->code))
		return cmd->buffer != VDISET_NO_BUFFER && cmd->size < 0 ?
			"command with a buffer of negative size" : NULL;
	if (cmd->size < 0)
		return "transfer of negative size";
	if ((uint32_t)cmd->size > limits->max_transfer)
		return "transfer larger than maxTransferSize";
	if (cmd->buffer == VDISET_NO_BUFFER && cmd->size)
		return "transfer without a buffer";
	return NULL;
}

/* The same for a completion of a command with this code and size. */
const char *vdi_completion_check(const struct vdiset_completion *done,
				 uint32_t command, int32_t size)
{
	if (done->reserved)
		return "completion with a reserved field set";
	if (vdi_command_has_data(command) && done->bytes > (uint64_t)size)
		return "completion of more bytes than were asked for";
	if (done->bytes > UINT32_MAX)
		return "completion with an impossible number of bytes";
	return NULL;
}

/*
 * Spinning hands over in a fraction of the time a wake-up takes, but burns
 * what it fails to win, and with one CPU keeps the peer from running at all.
 */
void vdi_spin_init(struct vdi_spin *spin, bool several_cpus)
{
	spin->max = several_cpus ? SPIN_MAX : 0;
	spin->budget = several_cpus ? SPIN_MAX / 4 : 0;
}

void vdi_spin_won(struct vdi_spin *spin)
{
	spin->budget += spin->budget / 2;
	if (spin->budget > spin->max)
		spin->budget = spin->max;
}

void vdi_spin_lost(struct vdi_spin *spin)
{
	spin->budget /= 2;
	if (spin->budget < SPIN_MIN)
		spin->budget = spin->max ? SPIN_MIN : 0;
}

void vdi_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
	__asm__ __volatile__("yield" ::: "memory");
#endif
}

bool vdi_several_cpus(void)
{
	cpu_set_t set;

	/* fails where there are more CPUs than fit: that is several */
	if (sched_getaffinity(0, sizeof(set), &set))
		return true;
	return CPU_COUNT(&set) > 1;
}
