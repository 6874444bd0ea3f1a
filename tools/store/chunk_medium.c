// SPDX-License-Identifier: GPL-2.0-only
/*
 * chunk_medium.c - a medium of a chunk store: memory and threads
 *
 * A medium has one slot of memory more than threads, so that the caller fills or
 * empties one slot while every thread transfers another one.
 *
 *   writing  FREE -> (append) FILLING -> (full, flush) READY -> (thread) BUSY -> FREE
 *   reading  FREE -> (thread) BUSY -> READY -> (read) FREE
 *
 * The state of the slots is protected by the lock of the medium. The memory of a slot
 * belongs to the caller in FILLING and READY of a reader, and to a thread in BUSY.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "chunk.h"
#include "common/common.h"
#include "common/xxh3.h"

#define POLL_MS	100	/* interval of checks for a stop */

enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_READY, SLOT_BUSY };

struct slot {
	enum slot_state state;
	unsigned int number;	/* of the chunk, from 1 */
	size_t used;
	uint8_t *data;
};

struct chunk_medium {
	struct chunk_store *store;
	char *name;
	bool writing;
	size_t room;			/* of a slot */
	unsigned int slots;
	struct slot slot[CHUNK_MAX_TRANSFERS + 1];
	unsigned int threads;
	pthread_t thread[CHUNK_MAX_TRANSFERS];
	atomic_bool cancel;

	/* of the caller */
	struct slot *current;
	size_t at;			/* reading: in the current slot */
	unsigned int next_read;		/* number of the next chunk */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int next;		/* number of the next chunk to transfer */
	struct chunk_list stored;	/* writing */
	const struct chunk_list *list;	/* reading */
	enum chunk_result result;	/* the first failure */
	char why[CHUNK_WHY_SIZE];
};

/* Called under the lock. */
static void fail(struct chunk_medium *m, enum chunk_result result,
		 const char *why)
{
	if (m->result == CHUNK_OK) {
		m->result = result;
		snprintf(m->why, sizeof(m->why), "%s", why);
	}
	m->cancel = true;
	pthread_cond_broadcast(&m->changed);
}

static struct slot *find(struct chunk_medium *m, enum slot_state state,
			 unsigned int number)
{
	unsigned int i;

	for (i = 0; i < m->slots; i++) {
		if (m->slot[i].state == state &&
		    (!number || m->slot[i].number == number))
			return &m->slot[i];
	}
	return NULL;
}

static bool ended(const struct chunk_medium *m)
{
	return m->cancel || m->result != CHUNK_OK;
}

/* ------------------------------------------------------------ storing chunks */

/* The oldest chunk first; NULL after a cancellation. Called under the lock. */
static struct slot *take_ready(struct chunk_medium *m)
{
	while (!ended(m)) {
		struct slot *slot = m->next <= m->stored.count ?
				    find(m, SLOT_READY, m->next) : NULL;

		if (slot) {
			m->next++;
			slot->state = SLOT_BUSY;
			return slot;
		}
		vdi_cond_wait(&m->changed, &m->lock, 1000);
	}
	return NULL;
}

static void store_slot(struct chunk_medium *m, struct chunk_session *s,
		       struct slot *slot)
{
	uint64_t xxh3 = XXH3_64bits(slot->data, slot->used);
	enum chunk_result result;
	char name[128];

	chunk_name(m->store, m->name, slot->number, name, sizeof(name));
	result = m->store->driver->put(s, name, slot->data, slot->used, false);
	pthread_mutex_lock(&m->lock);
	m->stored.chunk[slot->number - 1].xxh3 = xxh3;
	slot->state = SLOT_FREE;
	slot->used = 0;
	if (result != CHUNK_OK)
		fail(m, result, s->why);
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
}

static void store_chunks(struct chunk_medium *m, struct chunk_session *s)
{
	struct slot *slot;

	for (;;) {
		pthread_mutex_lock(&m->lock);
		slot = take_ready(m);
		pthread_mutex_unlock(&m->lock);
		if (!slot)
			return;
		store_slot(m, s, slot);
	}
}

/* ----------------------------------------------------------- fetching chunks */

static struct slot *take_free(struct chunk_medium *m)
{
	struct slot *slot;

	while (!ended(m) && m->next <= m->list->count) {
		slot = find(m, SLOT_FREE, 0);
		if (slot) {
			slot->number = m->next++;
			slot->state = SLOT_BUSY;
			return slot;
		}
		vdi_cond_wait(&m->changed, &m->lock, 1000);
	}
	return NULL;
}

static enum chunk_result fetch_once(struct chunk_medium *m,
				    struct chunk_session *s, struct slot *slot)
{
	const struct chunk *chunk = &m->list->chunk[slot->number - 1];
	enum chunk_result result;
	char name[128];

	chunk_name(m->store, m->name, slot->number, name, sizeof(name));
	result = m->store->driver->get(s, name, slot->data, chunk->bytes,
				       &slot->used);
	if (result == CHUNK_MISSING)
		return chunk_fail(s, result, "%s is missing", name);
	if (result != CHUNK_OK)
		return result;
	if (slot->used != chunk->bytes)
		return chunk_fail(s, CHUNK_DAMAGED,
				  "%s is damaged: it has %zu bytes, not %u",
				  name, slot->used, chunk->bytes);
	if (XXH3_64bits(slot->data, slot->used) != chunk->xxh3)
		return chunk_fail(s, CHUNK_DAMAGED,
				  "%s is damaged: its checksum does not match",
				  name);
	return CHUNK_OK;
}

/* Damage may have happened on the way, so the chunk is fetched again, once. */
static void fetch_slot(struct chunk_medium *m, struct chunk_session *s,
		       struct slot *slot)
{
	enum chunk_result result = fetch_once(m, s, slot);

	if (result == CHUNK_DAMAGED)
		result = fetch_once(m, s, slot);
	pthread_mutex_lock(&m->lock);
	slot->state = SLOT_READY;
	if (result != CHUNK_OK)
		fail(m, result, s->why);
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
}

static void fetch_chunks(struct chunk_medium *m, struct chunk_session *s)
{
	struct slot *slot;

	for (;;) {
		pthread_mutex_lock(&m->lock);
		slot = take_free(m);
		pthread_mutex_unlock(&m->lock);
		if (!slot)
			return;
		fetch_slot(m, s, slot);
	}
}

/* --------------------------------------------------------- memory and threads */

static void *transfer(void *argument)
{
	struct chunk_medium *m = argument;
	struct chunk_session *s = m->store->driver->connect(m->store);

	if (!s) {
		pthread_mutex_lock(&m->lock);
		fail(m, CHUNK_FAILED, "out of memory");
		pthread_mutex_unlock(&m->lock);
		return NULL;
	}
	/* the caller polls for a stop, in whose thread that is safe */
	s->cancel = &m->cancel;
	s->unstoppable = true;
	if (m->writing)
		store_chunks(m, s);
	else
		fetch_chunks(m, s);
	m->store->driver->disconnect(s);
	return NULL;
}

/* The data of a backup does not belong into a core dump. */
static bool map_slots(struct chunk_medium *m)
{
	unsigned int i;

	for (i = 0; i < m->slots; i++) {
		void *data = mmap(NULL, m->room, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (data == MAP_FAILED)
			return false;
		madvise(data, m->room, MADV_DONTDUMP);
		/* a third of the CPU time for a small backup was page faults */
		madvise(data, m->room, MADV_HUGEPAGE);
		m->slot[i].data = data;
	}
	return true;
}

static void unmap_slots(struct chunk_medium *m)
{
	unsigned int i;

	for (i = 0; i < m->slots; i++) {
		if (m->slot[i].data)
			munmap(m->slot[i].data, m->room);
	}
}

/* Returns an errno. */
static int start_threads(struct chunk_medium *m, unsigned int count)
{
	int rc = 0;

	while (!rc && m->threads < count) {
		rc = vdi_thread_start(&m->thread[m->threads], transfer, m);
		m->threads += !rc;
	}
	return rc;
}

static struct chunk_medium *make(struct chunk_store *store, const char *name,
				 unsigned int transfers, size_t room)
{
	struct chunk_medium *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->store = store;
	m->name = strdup(name);
	m->slots = transfers + 1;
	m->room = room;
	m->next = 1;
	m->next_read = 1;
	pthread_mutex_init(&m->lock, NULL);
	vdi_cond_init(&m->changed);
	return m;
}

static struct chunk_medium *start(struct chunk_medium *m, char *why,
				  size_t size)
{
	int rc = ENOMEM;

	if (m && m->name && map_slots(m))
		rc = start_threads(m, m->slots - 1);
	if (!rc)
		return m;
	snprintf(why, size, "cannot start the transfers of %s: %s",
		 m && m->name ? m->name : "a medium", strerror(rc));
	chunk_close_medium(m);
	return NULL;
}

struct chunk_medium *chunk_create(struct chunk_store *store, const char *name,
				  char *why, size_t size)
{
	struct chunk_medium *m = make(store, name, store->options.transfers,
				      store->options.chunk_size);

	if (m)
		m->writing = true;
	return start(m, why, size);
}

/* A slot holds the largest chunk, which the manifest limits. */
struct chunk_medium *chunk_open_medium(struct chunk_store *store,
				       const char *name,
				       const struct chunk_list *list,
				       char *why, size_t size)
{
	struct chunk_medium *m;
	size_t room = 1;
	unsigned int i;

	for (i = 0; i < list->count; i++) {
		if (list->chunk[i].bytes > room)
			room = list->chunk[i].bytes;
	}
	m = make(store, name, store->options.transfers, room);
	if (m)
		m->list = list;
	return start(m, why, size);
}

void chunk_close_medium(struct chunk_medium *m)
{
	unsigned int i;

	if (!m)
		return;
	pthread_mutex_lock(&m->lock);
	m->cancel = true;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
	for (i = 0; i < m->threads; i++)
		pthread_join(m->thread[i], NULL);
	unmap_slots(m);
	chunk_list_free(&m->stored);
	pthread_cond_destroy(&m->changed);
	pthread_mutex_destroy(&m->lock);
	free(m->name);
	free(m);
}

/* ---------------------------------------------------------------- the caller */

/* Wait for a change of the slots. False: failed or stopped. Under the lock. */
static bool wait_for_change(struct chunk_medium *m)
{
	if (m->result == CHUNK_OK && chunk_stopped(m->store))
		fail(m, CHUNK_STOPPED, "interrupted");
	if (m->result != CHUNK_OK)
		return false;
	vdi_cond_wait(&m->changed, &m->lock, POLL_MS);
	return m->result == CHUNK_OK;
}

/* Hand the current slot to the threads. Called under the lock. */
static bool queue_current(struct chunk_medium *m)
{
	struct slot *slot = m->current;

	m->current = NULL;
	if (m->result != CHUNK_OK)
		return false;
	if (++m->store->chunks > CHUNK_MAX_COUNT) {
		fail(m, CHUNK_FAILED,
		     "the backup has more than 1000000 chunks; use a larger --chunk-size");
		return false;
	}
	if (!chunk_list_add(&m->stored, slot->used, 0)) {
		fail(m, CHUNK_FAILED, "out of memory");
		return false;
	}
	slot->number = m->stored.count;
	slot->state = SLOT_READY;
	pthread_cond_broadcast(&m->changed);
	return true;
}

static bool get_slot(struct chunk_medium *m)
{
	bool good = true;

	if (m->current)
		return true;
	pthread_mutex_lock(&m->lock);
	while (good && !(m->current = find(m, SLOT_FREE, 0)))
		good = wait_for_change(m);
	if (m->current)
		m->current->state = SLOT_FILLING;
	good = m->result == CHUNK_OK;
	pthread_mutex_unlock(&m->lock);
	return good;
}

static bool put_slot(struct chunk_medium *m)
{
	bool good;

	pthread_mutex_lock(&m->lock);
	good = queue_current(m);
	pthread_mutex_unlock(&m->lock);
	return good;
}

enum chunk_result chunk_append(struct chunk_medium *m, const void *data,
			       size_t size)
{
	while (size) {
		struct slot *slot;
		size_t n;

		if (!get_slot(m))
			return m->result;
		slot = m->current;
		n = m->room - slot->used < size ? m->room - slot->used : size;
		memcpy(slot->data + slot->used, data, n);
		slot->used += n;
		data = (const char *)data + n;
		size -= n;
		if (slot->used == m->room && !put_slot(m))
			return m->result;
	}
	return CHUNK_OK;
}

/* Called under the lock. */
static bool any_pending(struct chunk_medium *m)
{
	return find(m, SLOT_READY, 0) || find(m, SLOT_BUSY, 0);
}

enum chunk_result chunk_flush(struct chunk_medium *m)
{
	enum chunk_result result;
	bool good = true;

	pthread_mutex_lock(&m->lock);
	if (m->current && m->current->used)
		good = queue_current(m);
	while (good && any_pending(m))
		good = wait_for_change(m);
	result = m->result;
	pthread_mutex_unlock(&m->lock);
	return result;
}

const struct chunk_list *chunk_stored(const struct chunk_medium *m)
{
	return &m->stored;
}

/* After a failure no further chunk is handed over, even if it was fetched. */
static bool next_slot(struct chunk_medium *m)
{
	struct slot *slot;

	pthread_mutex_lock(&m->lock);
	while (!(slot = find(m, SLOT_READY, m->next_read))) {
		if (!wait_for_change(m))
			break;
	}
	if (m->result != CHUNK_OK)
		slot = NULL;
	pthread_mutex_unlock(&m->lock);
	m->current = slot;
	m->at = 0;
	return slot;
}

static void release_slot(struct chunk_medium *m)
{
	pthread_mutex_lock(&m->lock);
	m->current->state = SLOT_FREE;
	m->current = NULL;
	m->next_read++;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
}

enum chunk_result chunk_read(struct chunk_medium *m, void *data, size_t size,
			     size_t *done)
{
	*done = 0;
	while (*done < size && m->next_read <= m->list->count) {
		size_t n = size - *done;

		if (!m->current && !next_slot(m))
			return m->result;
		if (n > m->current->used - m->at)
			n = m->current->used - m->at;
		memcpy((char *)data + *done, m->current->data + m->at, n);
		m->at += n;
		*done += n;
		if (m->at == m->current->used)
			release_slot(m);
	}
	return CHUNK_OK;
}

const char *chunk_medium_why(const struct chunk_medium *m)
{
	return m->why;
}
