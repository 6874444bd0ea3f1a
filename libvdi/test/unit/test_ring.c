// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * test_ring.c - rings: two threads, wrapping, hostile indices
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <vditypes.h>

#include "check.h"
#include "../ring_ops.h"
#include "ring.h"

/* Both sides of a device in ordinary memory. */
struct pair {
	void *server_mem;
	void *client_mem;
	struct vdi_ring server;
	struct vdi_ring client;
};

static void pair_init(struct pair *pair, uint32_t depth, uint32_t start)
{
	size_t size = (vdi_ring_region_size(depth) + 63) & ~63UL;
	struct vdiset_region *region;

	pair->server_mem = aligned_alloc(64, size);
	pair->client_mem = aligned_alloc(64, size);
	memset(pair->server_mem, 0, size);
	memset(pair->client_mem, 0, size);
	region = pair->server_mem;
	region->tail = region->head = start;
	region = pair->client_mem;
	region->tail = region->head = start;
	vdi_ring_init(&pair->server, pair->server_mem, pair->client_mem,
		      depth);
	vdi_ring_init(&pair->client, pair->client_mem, pair->server_mem,
		      depth);
	pair->server.staged = pair->server.head = start;
	pair->client.staged = pair->client.head = start;
}

static void pair_free(struct pair *pair)
{
	free(pair->server_mem);
	free(pair->client_mem);
}

static void put_n(struct vdi_ring *ring, uint32_t from, uint32_t n)
{
	struct vdiset_command cmd = { 0 };

	for (; n--; from++) {
		cmd.position = from;
		cmd.tag = from % 7;
		assert_int_equal(vdi_ring_put_command(ring, &cmd),
				 VDI_RING_OK);
	}
}

static void get_n(struct vdi_ring *ring, uint32_t from, uint32_t n)
{
	struct vdiset_command cmd;

	for (; n--; from++) {
		assert_true(vdi_ring_ready(ring));
		assert_int_equal(vdi_ring_get_command(ring, &cmd),
				 VDI_RING_OK);
		assert_int_equal(cmd.position, from);
		assert_int_equal(cmd.tag, from % 7);
	}
}

static void test_fill_and_wrap(void **state)
{
	static const uint32_t starts[] = { 0, 5, UINT32_MAX - 3 };
	struct vdiset_command cmd = { 0 };
	struct pair pair;
	uint32_t depth;
	size_t i;

	(void)state;
	for (depth = 1; depth <= VDISET_MAX_DEPTH; depth *= 4) {
		for (i = 0; i < 3; i++) {
			pair_init(&pair, depth, starts[i]);
			assert_false(vdi_ring_ready(&pair.client));
			assert_int_equal(vdi_ring_get_command(&pair.client,
							      &cmd),
					 VDI_RING_EMPTY);
			put_n(&pair.server, 0, depth);
			/* one more than fits, which only a wrong head allows */
			assert_int_equal(vdi_ring_put_command(&pair.server,
							      &cmd),
					 VDI_RING_BROKEN);
			get_n(&pair.client, 0, depth);
			put_n(&pair.server, 9, 1);
			get_n(&pair.client, 9, 1);
			assert_false(vdi_ring_ready(&pair.client));
			pair_free(&pair);
		}
	}
}

/* Whatever the peer writes, nothing is read beyond the ring. */
static void test_hostile_indices(void **state)
{
	static const uint32_t bad[] = { 9, 100, 1U << 31 };
	struct vdiset_completion done;
	struct vdiset_command cmd = { 0 };
	struct vdiset_region *client;
	struct pair pair;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		pair_init(&pair, 8, 0);
		client = pair.client_mem;
		client->tail = bad[i];
		assert_true(vdi_ring_ready(&pair.server));
		assert_int_equal(vdi_ring_get_completion(&pair.server, &done),
				 VDI_RING_BROKEN);
		/* and a failure moves no index */
		assert_int_equal(pair.server.head, 0);
		client->tail = 8;
		assert_int_equal(vdi_ring_get_completion(&pair.server, &done),
				 VDI_RING_OK);
		client->head = bad[i];
		assert_int_equal(vdi_ring_put_command(&pair.server, &cmd),
				 VDI_RING_BROKEN);
		assert_int_equal(pair.server.own->tail, 0);
		pair_free(&pair);
	}
}

/* Words that are written for the peer are never read back. */
static void test_own_words(void **state)
{
	struct vdiset_region *server;
	struct pair pair;

	(void)state;
	pair_init(&pair, 4, 0);
	server = pair.server_mem;
	put_n(&pair.server, 0, 1);
	server->tail = 77;
	put_n(&pair.server, 1, 1);
	assert_int_equal(server->tail, 2);
	get_n(&pair.client, 0, 2);
	pair_free(&pair);
}

static void test_kick(void **state)
{
	struct pair pair;
	uint32_t e;

	(void)state;
	pair_init(&pair, 4, 0);
	assert_int_equal(vdi_ring_wants_kick(&pair.server), 0);
	e = vdi_ring_next_sleep_seq(0);
	assert_true(e > 1);
	/* everything was taken: a kick would not end the sleep */
	vdi_ring_set_wakeup(&pair.client, e);
	assert_int_equal(vdi_ring_wants_kick(&pair.server), 0);
	put_n(&pair.server, 0, 1);
	vdi_ring_set_wakeup(&pair.client, e);
	assert_int_equal(vdi_ring_own_wakeup(&pair.client), e);
	assert_int_equal(vdi_ring_wants_kick(&pair.server), e);
	assert_int_equal(vdi_ring_wants_kick(&pair.server), e);
	vdi_ring_was_kicked(&pair.server, e);
	assert_int_equal(vdi_ring_wants_kick(&pair.server), 0);
	vdi_ring_set_wakeup(&pair.client, vdi_ring_next_sleep_seq(e));
	assert_true(vdi_ring_wants_kick(&pair.server));
	/* a peer without sleep numbers is always kicked */
	vdi_ring_set_wakeup(&pair.client, 1);
	vdi_ring_was_kicked(&pair.server, 1);
	assert_int_equal(vdi_ring_wants_kick(&pair.server), 1);
	assert_int_equal(vdi_ring_next_sleep_seq(UINT32_MAX), 2);
	pair_free(&pair);
}

/*
 * A second thread that publishes at the same time, simulated in one thread: the
 * page of the tail is read-only, so that the store faults, and the handler is
 * that thread. It decides about its kick when everything before that store was
 * done.
 */
static struct {
	struct vdi_ring *ring;
	void *page;
	size_t size;
	uint32_t kick;
	unsigned int faults;
} other;

static void other_thread(int signal)
{
	(void)signal;
	other.faults++;
	other.kick = vdi_ring_wants_kick(other.ring);
	if (other.kick)
		vdi_ring_was_kicked(other.ring, other.kick);
	if (mprotect(other.page, other.size, PROT_READ | PROT_WRITE))
		abort();
}

static void publish_beside_other_thread(struct vdi_ring *ring)
{
	struct sigaction act = { .sa_handler = other_thread }, old;

	other.faults = 0;
	sigaction(SIGSEGV, &act, &old);
	assert_int_equal(mprotect(other.page, other.size, PROT_READ), 0);
	vdi_ring_publish(ring);
	sigaction(SIGSEGV, &old, NULL);
	assert_int_equal(other.faults, 1);
}

/*
 * Thread A has published an entry, which the peer has taken before it slept.
 * Before A checks whether to kick, B begins to publish. A must not kick for B's
 * entry, which the kernel cannot see: B would rely on that kick.
 */
static void test_kick_two_publishers(void **state)
{
	struct vdiset_command cmd = { 0 };
	struct pair pair;
	uint32_t e = 2;

	(void)state;
	pair_init(&pair, 4, 0);
	other.size = sysconf(_SC_PAGESIZE);
	other.page = mmap(NULL, other.size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(other.page != MAP_FAILED);
	vdi_ring_init(&pair.server, other.page, pair.client_mem, 4);
	vdi_ring_init(&pair.client, pair.client_mem, other.page, 4);
	other.ring = &pair.server;

	put_n(&pair.server, 0, 1);			/* A */
	get_n(&pair.client, 0, 1);
	vdi_ring_set_wakeup(&pair.client, e);
	assert_false(vdi_ring_ready(&pair.client));	/* sleeps */
	assert_int_equal(vdi_ring_stage_command(&pair.server, &cmd),
			 VDI_RING_OK);			/* B */
	publish_beside_other_thread(&pair.server);
	assert_int_equal(other.kick, 0);
	assert_int_equal(vdi_ring_wants_kick(&pair.server), e);
	/* now one kick is enough for both */
	vdi_ring_was_kicked(&pair.server, e);
	assert_int_equal(vdi_ring_wants_kick(&pair.server), 0);

	munmap(other.page, other.size);
	pair_free(&pair);
}

/*
 * The tail is loaded once, many entries are taken, and the head is stored once:
 * until then their slots are kept.
 */
static void test_take(void **state)
{
	struct vdiset_command cmd;
	struct pair pair;
	uint32_t count;
	int i;

	(void)state;
	pair_init(&pair, 8, UINT32_MAX - 2);
	assert_int_equal(vdi_ring_available(&pair.client, &count), VDI_RING_EMPTY);
	put_n(&pair.server, 0, 8);
	assert_int_equal(vdi_ring_available(&pair.client, &count), VDI_RING_OK);
	assert_int_equal(count, 8);
	for (i = 0; i < 5; i++) {
		vdi_ring_take_command(&pair.client, &cmd);
		assert_int_equal(cmd.position, i);
	}
	assert_true(vdi_ring_used(&pair.server) > pair.server.mask);
	vdi_ring_release(&pair.client);
	assert_false(vdi_ring_used(&pair.server) > pair.server.mask);
	assert_int_equal(vdi_ring_available(&pair.client, &count), VDI_RING_OK);
	assert_int_equal(count, 3);
	put_n(&pair.server, 8, 5);
	assert_true(vdi_ring_used(&pair.server) > pair.server.mask);
	get_n(&pair.client, 5, 8);
	assert_int_equal(vdi_ring_available(&pair.client, &count), VDI_RING_EMPTY);
	pair_free(&pair);
}

/* Staged entries become visible all at once, and not before. */
static void test_batch(void **state)
{
	struct vdiset_command cmd = { 0 };
	struct pair pair;
	int i;

	(void)state;
	pair_init(&pair, 8, UINT32_MAX - 2);
	for (i = 0; i < 8; i++) {
		cmd.position = i;
		assert_int_equal(vdi_ring_stage_command(&pair.server, &cmd),
				 VDI_RING_OK);
		assert_false(vdi_ring_ready(&pair.client));
	}
	assert_int_equal(vdi_ring_stage_command(&pair.server, &cmd),
			 VDI_RING_BROKEN);
	vdi_ring_publish(&pair.server);
	for (i = 0; i < 8; i++) {
		assert_int_equal(vdi_ring_get_command(&pair.client, &cmd),
				 VDI_RING_OK);
		assert_int_equal(cmd.position, i);
	}
	assert_false(vdi_ring_ready(&pair.client));
	pair_free(&pair);
}

#define ROUNDS	200000

/* The client of the stress test: returns every command as a completion. */
static void *echo(void *arg)
{
	struct vdi_ring *ring = arg;
	struct vdiset_completion done = { 0 };
	struct vdiset_command cmd;
	uint32_t n = 0;

	while (n < ROUNDS) {
		if (vdi_ring_get_command(ring, &cmd) != VDI_RING_OK) {
			sched_yield();
			continue;
		}
		assert_int_equal(cmd.position, n);
		done.tag = cmd.tag;
		done.position = -cmd.position;
		assert_int_equal(vdi_ring_put_completion(ring, &done),
				 VDI_RING_OK);
		n++;
	}
	return NULL;
}

static void test_two_threads(void **state)
{
	struct vdiset_completion done;
	struct vdiset_command cmd = { 0 };
	uint32_t sent = 0, got = 0;
	struct pair pair;
	pthread_t thread;

	(void)state;
	pair_init(&pair, 16, UINT32_MAX - 1000);
	pthread_create(&thread, NULL, echo, &pair.client);
	while (got < ROUNDS) {
		while (sent < ROUNDS && sent - got < 16) {
			cmd.tag = sent % 16;
			cmd.position = sent++;
			assert_int_equal(vdi_ring_put_command(&pair.server,
							      &cmd),
					 VDI_RING_OK);
		}
		if (vdi_ring_get_completion(&pair.server, &done)) {
			sched_yield();
			continue;
		}
		assert_int_equal(done.position, -(int64_t)got);
		assert_int_equal(done.tag, got % 16);
		got++;
	}
	pthread_join(thread, NULL);
	pair_free(&pair);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed;
}

/*
 * Sleeping as in the kernel: the sleeper is queued first, then the tail is
 * compared; a kick that finds nothing new does not end the sleep.
 */
static pthread_mutex_t queue = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t kicks = PTHREAD_COND_INITIALIZER;

static void sleep_on(struct vdi_ring *ring, uint32_t *sleep_seq)
{
	struct timespec until;

	*sleep_seq = vdi_ring_next_sleep_seq(*sleep_seq);
	vdi_ring_set_wakeup(ring, *sleep_seq);
	vdi_ring_barrier();
	if (vdi_ring_ready(ring))
		return;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&queue);
	while (!vdi_ring_ready(ring))
		assert_int_equal(pthread_cond_timedwait(&kicks, &queue,
							&until), 0);
	pthread_mutex_unlock(&queue);
}

static void notify(struct vdi_ring *ring, uint32_t *seed)
{
	uint32_t sleep_seq;

	if (next_random(seed) >> 30 == 0)
		sched_yield();		/* the peer is far ahead */
	vdi_ring_barrier();
	sleep_seq = vdi_ring_wants_kick(ring);
	if (!sleep_seq)
		return;
	pthread_mutex_lock(&queue);
	pthread_cond_broadcast(&kicks);
	pthread_mutex_unlock(&queue);
	if (next_random(seed) >> 30 == 0)
		sched_yield();
	vdi_ring_was_kicked(ring, sleep_seq);
}

static void *sleepy_client(void *arg)
{
	struct vdi_ring *ring = arg;
	struct vdiset_completion done = { 0 };
	struct vdiset_command cmd = { 0 };
	uint32_t n = 0, sleep_seq = 0, seed = 3;

	while (n < ROUNDS / 4) {
		if (vdi_ring_get_command(ring, &cmd) == VDI_RING_EMPTY) {
			sleep_on(ring, &sleep_seq);
			continue;
		}
		vdi_ring_set_wakeup(ring, 0);
		done.tag = cmd.tag;
		vdi_ring_put_completion(ring, &done);
		notify(ring, &seed);
		n++;
	}
	return NULL;
}

/* No wake-up is lost, although most kicks are omitted. */
static void test_sleepers(void **state)
{
	uint32_t sent = 0, got = 0, sleep_seq = 0, seed = 4, depth;
	struct vdiset_completion done;
	struct vdiset_command cmd = { 0 };
	struct pair pair;
	pthread_t thread;

	(void)state;
	for (depth = 1; depth <= 16; depth *= 4, sent = got = 0) {
		pair_init(&pair, depth, 0);
		pthread_create(&thread, NULL, sleepy_client, &pair.client);
		while (got < ROUNDS / 4) {
			while (sent < ROUNDS / 4 && sent - got < depth) {
				sent++;
				vdi_ring_put_command(&pair.server, &cmd);
				notify(&pair.server, &seed);
			}
			if (vdi_ring_get_completion(&pair.server, &done))
				sleep_on(&pair.server, &sleep_seq);
			else
				got++, vdi_ring_set_wakeup(&pair.server, 0);
		}
		pthread_join(thread, NULL);
		pair_free(&pair);
	}
}

/*
 * Several threads publish on one ring, and the consumer sleeps as in the kernel
 * whenever it finds nothing. When all threads have made their kicks, it is
 * awake or the ring is empty, whatever their order was. No time-out decides.
 */
#define PRODUCERS	3
#define BURST		4
#define TURNS		2000

static struct {
	struct vdi_ring *ring;
	pthread_mutex_t publish;	/* stands for the lock of a device */
	pthread_barrier_t turn;
	pthread_cond_t drained;
	uint32_t taken;			/* protected, as the rest, by queue */
	uint32_t seen;			/* the sleeper's head */
	bool asleep;
} many;

/* As the kernel compares: a kick with nothing new wakes no thread. */
static bool anything_new(void)
{
	return __atomic_load_n(&many.ring->own->tail, __ATOMIC_ACQUIRE) !=
	       many.seen;
}

static void *publisher(void *arg)
{
	struct vdiset_command cmd = { 0 };
	uint32_t sleep_seq;
	int turn, i;

	(void)arg;
	for (turn = 0; turn < TURNS; turn++) {
		pthread_barrier_wait(&many.turn);
		for (i = 0; i < BURST; i++) {
			pthread_mutex_lock(&many.publish);
			vdi_ring_put_command(many.ring, &cmd);
			pthread_mutex_unlock(&many.publish);
			vdi_ring_barrier();
			sleep_seq = vdi_ring_wants_kick(many.ring);
			if (!sleep_seq)
				continue;
			vdi_ring_was_kicked(many.ring, sleep_seq);
			pthread_mutex_lock(&queue);
			if (anything_new())
				many.asleep = false;
			pthread_cond_broadcast(&kicks);
			pthread_mutex_unlock(&queue);
		}
		pthread_barrier_wait(&many.turn);
	}
	return NULL;
}

static void *drowsy(void *arg)
{
	const uint32_t all = TURNS * PRODUCERS * BURST;
	struct vdi_ring *ring = arg;
	struct vdiset_command cmd;
	uint32_t sleep_seq = 0, n = 0;

	while (n < all) {
		if (vdi_ring_get_command(ring, &cmd) == VDI_RING_OK) {
			if (vdi_ring_own_wakeup(ring))
				vdi_ring_set_wakeup(ring, 0);
			n++;
			continue;
		}
		pthread_mutex_lock(&queue);
		many.taken = n;
		pthread_cond_signal(&many.drained);
		pthread_mutex_unlock(&queue);
		sleep_seq = vdi_ring_next_sleep_seq(sleep_seq);
		vdi_ring_set_wakeup(ring, sleep_seq);
		vdi_ring_barrier();
		if (vdi_ring_ready(ring))
			continue;
		pthread_mutex_lock(&queue);
		many.seen = ring->head;
		many.asleep = !anything_new();
		while (many.asleep)
			pthread_cond_wait(&kicks, &queue);
		pthread_mutex_unlock(&queue);
	}
	pthread_mutex_lock(&queue);
	many.taken = n;
	pthread_cond_signal(&many.drained);
	pthread_mutex_unlock(&queue);
	return NULL;
}

static void test_many_publishers(void **state)
{
	pthread_t consumer, thread[PRODUCERS];
	uint32_t sent = 0;
	struct pair pair;
	int turn, i;

	(void)state;
	pair_init(&pair, 16, UINT32_MAX - 1000);
	many.ring = &pair.server;
	pthread_mutex_init(&many.publish, NULL);
	pthread_cond_init(&many.drained, NULL);
	pthread_barrier_init(&many.turn, NULL, PRODUCERS + 1);
	pthread_create(&consumer, NULL, drowsy, &pair.client);
	for (i = 0; i < PRODUCERS; i++)
		pthread_create(&thread[i], NULL, publisher, NULL);
	for (turn = 0; turn < TURNS; turn++) {
		pthread_barrier_wait(&many.turn);
		pthread_barrier_wait(&many.turn);
		sent += PRODUCERS * BURST;
		pthread_mutex_lock(&queue);
		while (many.taken != sent) {
			/* every kick was done */
			assert_false(many.asleep && anything_new());
			pthread_cond_wait(&many.drained, &queue);
		}
		pthread_mutex_unlock(&queue);
	}
	for (i = 0; i < PRODUCERS; i++)
		pthread_join(thread[i], NULL);
	pthread_join(consumer, NULL);
	pthread_barrier_destroy(&many.turn);
	pair_free(&pair);
}

/* A peer that writes anything anywhere in its region. */
static void *scribble(void *arg)
{
	struct vdiset_region *region = arg;
	uint64_t *entries = (uint64_t *)(region + 1);
	uint32_t seed = 1, r, i;

	for (i = 0; i < ROUNDS; i++) {
		r = next_random(&seed) >> 8;
		__atomic_store_n(&region->tail, r % 3 ? i : r,
				 __ATOMIC_RELAXED);
		__atomic_store_n(&region->head, r % 5 ? i : r,
				 __ATOMIC_RELAXED);
		__atomic_store_n(&region->need_wakeup, r, __ATOMIC_RELAXED);
		__atomic_store_n(&entries[r % 32], r, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&region->need_wakeup, 0xdeadU, __ATOMIC_RELEASE);
	return NULL;
}

static void test_scribbler(void **state)
{
	struct vdiset_completion done;
	struct vdiset_command cmd = { 0 };
	struct pair pair;
	pthread_t thread;

	(void)state;
	pair_init(&pair, 8, 0);
	pthread_create(&thread, NULL, scribble, pair.client_mem);
	while (vdi_ring_wants_kick(&pair.server) != 0xdeadU) {
		vdi_ring_get_completion(&pair.server, &done);
		vdi_completion_check(&done, VDC_Read, 512);
		vdi_ring_put_command(&pair.server, &cmd);
		vdi_ring_count(&pair.server, 1, 1);
		vdi_ring_was_kicked(&pair.server, 7);
	}
	pthread_join(thread, NULL);
	pair_free(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fill_and_wrap),
		cmocka_unit_test(test_hostile_indices),
		cmocka_unit_test(test_own_words),
		cmocka_unit_test(test_kick),
		cmocka_unit_test(test_kick_two_publishers),
		cmocka_unit_test(test_batch),
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_two_threads),
		cmocka_unit_test(test_sleepers),
		cmocka_unit_test(test_many_publishers),
		cmocka_unit_test(test_scribbler),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
