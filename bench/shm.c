// SPDX-License-Identifier: GPL-2.0-only
/*
 * shm.c - sem and futex: rings and data in POSIX shared memory
 *
 * Both use the same rings of 32-byte entries. They differ in how a side waits: sem has
 * a named semaphore for each ring, which is posted and taken once per entry; futex
 * sleeps on the ring's tail and is woken only if it has set a flag.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#define LINE	64

struct entry {
	uint32_t tag;
	uint32_t size;
	uint64_t sum;
	uint64_t offset;
	uint64_t reserved;
};

struct ring {
	_Alignas(LINE) uint32_t tail;
	_Alignas(LINE) uint32_t head;
	_Alignas(LINE) uint32_t sleeps;		/* set by the ring's consumer */
	_Alignas(LINE) struct entry entry[MAX_DEPTH];
};

struct ring_pair {
	struct ring ring[SIDES];		/* indexed by the side that fills it */
};

struct shm {
	bool sem;
	struct ring_pair *pairs;
	uint8_t *data;
	size_t bytes;
	sem_t *filled[MAX_DEVICES][SIDES];
};

static void make_sems(struct run *run, struct shm *shm)
{
	char name[NAME_MAX];
	uint32_t i;
	int side;

	for (i = 0; i < run->c.devices; i++) {
		for (side = 0; side < SIDES; side++) {
			sem_t *sem;

			snprintf(name, sizeof(name), "/%s-%u-%d", run->name, i,
				 side);
			sem = sem_open(name, O_CREAT | O_EXCL, 0600, 0);
			if (sem == SEM_FAILED)
				err(1, "semaphore %s", name);
			sem_unlink(name);
			shm->filled[i][side] = sem;
		}
	}
}

static void prepare(struct run *run, bool sem)
{
	size_t rings = run->c.devices * sizeof(struct ring_pair);
	struct shm *shm = calloc(1, sizeof(*shm));
	char name[NAME_MAX];
	void *at;
	int fd;

	if (!shm)
		err(1, "memory");
	rings = (rings + 4095) & ~(size_t)4095;
	shm->bytes = rings + (size_t)run->c.devices * run->c.depth * run->size;
	snprintf(name, sizeof(name), "/%s", run->name);
	fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
	if (fd < 0)
		err(1, "shared memory %s", name);
	shm_unlink(name);
	if (posix_fallocate(fd, 0, shm->bytes))
		errx(1, "cannot allocate %zu bytes of shared memory", shm->bytes);
	at = mmap(NULL, shm->bytes, PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_POPULATE, fd, 0);
	if (at == MAP_FAILED)
		err(1, "shared memory");
	close(fd);
	shm->sem = sem;
	shm->pairs = at;
	shm->data = (uint8_t *)at + rings;
	if (sem)
		make_sems(run, shm);
	run->priv = shm;
}

static void sem_prepare(struct run *run)
{
	prepare(run, true);
}

static void futex_prepare(struct run *run)
{
	prepare(run, false);
}

/* Page tables of shared memory are not inherited: touch all of it. */
static void shm_open_side(struct run *run, enum side side)
{
	const struct shm *shm = run->priv;
	volatile uint8_t *at = (volatile uint8_t *)shm->pairs;
	size_t i;

	for (i = 0; i < shm->bytes; i += 4096) {
		if (side == PRODUCER)
			at[i] = at[i];
		else
			(void)at[i];
	}
}

static uint8_t *shm_buffer(struct run *run, uint32_t device, uint32_t tag)
{
	const struct shm *shm = run->priv;

	return shm->data + ((size_t)device * run->c.depth + tag) * run->size;
}

static long futex(uint32_t *word, int op, uint32_t value)
{
	return syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

static void put(struct run *run, uint32_t device, enum side side,
		const struct entry *entry)
{
	struct shm *shm = run->priv;
	struct ring *ring = &shm->pairs[device].ring[side];
	uint32_t tail = ring->tail;

	/* never full: at most depth entries are outstanding */
	ring->entry[tail % MAX_DEPTH] = *entry;
	__atomic_store_n(&ring->tail, tail + 1, __ATOMIC_RELEASE);
	if (shm->sem) {
		if (sem_post(shm->filled[device][side]))
			err(1, "sem_post");
		return;
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&ring->sleeps, __ATOMIC_RELAXED)) {
		__atomic_store_n(&ring->sleeps, 0, __ATOMIC_RELAXED);
		futex(&ring->tail, FUTEX_WAKE, 1);
	}
}

/* Waits until the ring is not empty. */
static void wait_filled(struct ring *ring)
{
	uint32_t tail;

	for (;;) {
		tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
		if (tail != ring->head)
			return;
		__atomic_store_n(&ring->sleeps, 1, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (futex(&ring->tail, FUTEX_WAIT, tail) && errno != EAGAIN &&
		    errno != EINTR)
			err(1, "futex");
		__atomic_store_n(&ring->sleeps, 0, __ATOMIC_RELAXED);
	}
}

static bool get(struct run *run, uint32_t device, enum side side, bool wait,
		struct entry *entry)
{
	struct shm *shm = run->priv;
	struct ring *ring = &shm->pairs[device].ring[side];
	sem_t *sem = shm->filled[device][side];

	if (shm->sem) {
		while (wait ? sem_wait(sem) : sem_trywait(sem)) {
			if (errno == EAGAIN)
				return false;
			if (errno != EINTR)
				err(1, "sem_wait");
		}
	} else if (wait) {
		wait_filled(ring);
	} else if (__atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) ==
		   ring->head) {
		return false;
	}
	*entry = ring->entry[ring->head % MAX_DEPTH];
	__atomic_store_n(&ring->head, ring->head + 1, __ATOMIC_RELEASE);
	return true;
}

static void shm_send(struct run *run, uint32_t device, uint32_t tag)
{
	const struct shm *shm = run->priv;
	struct entry entry = {
		.tag = tag,
		.size = run->c.size,
		.offset = shm_buffer(run, device, tag) - shm->data,
	};

	put(run, device, PRODUCER, &entry);
}

static uint32_t shm_reap(struct run *run, uint32_t device, struct done *done)
{
	struct entry entry;
	uint32_t n = 0;

	while (n < run->c.depth &&
	       get(run, device, CONSUMER, !n, &entry)) {
		done[n].tag = entry.tag;
		done[n].sum = entry.sum;
		n++;
	}
	return n;
}

static uint32_t shm_receive(struct run *run, uint32_t device,
			    struct item *items)
{
	const struct shm *shm = run->priv;
	struct entry entry;

	get(run, device, PRODUCER, true, &entry);
	if (entry.size != run->c.size)
		errx(1, "command of wrong size");
	items[0].data = shm->data + entry.offset;
	items[0].tag = entry.tag;
	return 1;
}

static void shm_complete(struct run *run, uint32_t device,
			 const struct item *items, const struct done *done,
			 uint32_t n)
{
	uint32_t i;

	(void)items;
	for (i = 0; i < n; i++) {
		struct entry entry = { .tag = done[i].tag, .sum = done[i].sum };

		put(run, device, CONSUMER, &entry);
	}
}

static void shm_finish(struct run *run)
{
	struct shm *shm = run->priv;
	uint32_t i;
	int side;

	for (i = 0; shm->sem && i < run->c.devices; i++) {
		for (side = 0; side < SIDES; side++)
			sem_close(shm->filled[i][side]);
	}
	munmap(shm->pairs, shm->bytes);
	free(shm);
}

const struct transport transport_sem = {
	.name = "sem",
	.what = "POSIX shared memory, a named semaphore for each ring",
	.prepare = sem_prepare,
	.open = shm_open_side,
	.buffer = shm_buffer,
	.send = shm_send,
	.reap = shm_reap,
	.receive = shm_receive,
	.complete = shm_complete,
	.finish = shm_finish,
};

const struct transport transport_futex = {
	.name = "futex",
	.what = "POSIX shared memory, rings with futexes",
	.prepare = futex_prepare,
	.open = shm_open_side,
	.buffer = shm_buffer,
	.send = shm_send,
	.reap = shm_reap,
	.receive = shm_receive,
	.complete = shm_complete,
	.finish = shm_finish,
};
