// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_chunk.c - chunk stores over a driver in memory
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "store/chunk.h"

#define SIZE	CHUNK_MIN_SIZE
#define OBJECTS	64

/* Objects, and what goes wrong. */
struct memory_store {
	struct chunk_store common;
	pthread_mutex_t lock;
	unsigned int count;
	struct object {
		char name[128];
		uint8_t *data;
		size_t size;
	} object[OBJECTS];
	unsigned int fail_put;		/* number of the chunk whose put fails */
	bool blocked;			/* puts wait until they are cancelled */
	bool lose_answer;		/* to the next put of a new object */
	bool silent;			/* no answer to any request */
};

static struct object *look_up(struct memory_store *m, const char *name)
{
	unsigned int i;

	for (i = 0; i < m->count; i++) {
		if (!strcmp(m->object[i].name, name))
			return &m->object[i];
	}
	return NULL;
}

static struct chunk_session *m_connect(struct chunk_store *store)
{
	struct chunk_session *s = calloc(1, sizeof(*s));

	s->store = store;
	return s;
}

static void m_disconnect(struct chunk_session *s)
{
	free(s);
}

static void m_close(struct chunk_store *store)
{
	struct memory_store *m = (struct memory_store *)store;
	unsigned int i;

	for (i = 0; i < m->count; i++)
		free(m->object[i].data);
	free(m);
}

static enum chunk_result add(struct memory_store *m, const char *name, const void *data,
			     size_t size, bool only_new)
{
	struct object *o = look_up(m, name);

	if (o && only_new)
		return CHUNK_EXISTS;
	if (!o) {
		o = &m->object[m->count++];
		*o = (struct object){ 0 };
	}
	snprintf(o->name, sizeof(o->name), "%s", name);
	free(o->data);
	o->data = malloc(size + 1);
	o->size = size;
	memcpy(o->data, data, size);
	return CHUNK_OK;
}

static enum chunk_result m_put(struct chunk_session *s, const char *name, const void *data,
			       size_t size, bool only_new)
{
	struct memory_store *m = (struct memory_store *)s->store;
	const char *last = strrchr(name, '/');
	enum chunk_result result;

	while (m->blocked) {
		if (chunk_session_stopped(s))
			return chunk_fail(s, CHUNK_STOPPED, "stopped");
		chunk_session_sleep(s, 0);
	}
	if (m->fail_put && last && (unsigned int)atoi(last + 1) == m->fail_put)
		return chunk_fail(s, CHUNK_FAILED, "the put of %u fails", m->fail_put);
	pthread_mutex_lock(&m->lock);
	result = m->silent && !m->lose_answer ? CHUNK_UNKNOWN :
		 add(m, name, data, size, only_new);
	if (only_new && m->lose_answer) {
		m->lose_answer = false;
		result = CHUNK_UNKNOWN;
	}
	pthread_mutex_unlock(&m->lock);
	return result == CHUNK_OK ? result : chunk_fail(s, result, "no answer");
}

static enum chunk_result m_get(struct chunk_session *s, const char *name, void *data, size_t room,
			       size_t *size)
{
	struct memory_store *m = (struct memory_store *)s->store;
	enum chunk_result result = CHUNK_MISSING;
	struct object *o;

	pthread_mutex_lock(&m->lock);
	o = look_up(m, name);
	if (o && o->size <= room) {
		memcpy(data, o->data, o->size);
		*size = o->size;
		result = CHUNK_OK;
	}
	pthread_mutex_unlock(&m->lock);
	return m->silent ? chunk_fail(s, CHUNK_FAILED, "no answer") : result;
}

static enum chunk_result m_head(struct chunk_session *s, const char *name, uint64_t *size)
{
	struct memory_store *m = (struct memory_store *)s->store;
	struct object *o = look_up(m, name);

	if (m->silent)
		return chunk_fail(s, CHUNK_FAILED, "no answer");
	*size = o ? o->size : 0;
	return o ? CHUNK_OK : CHUNK_MISSING;
}

static enum chunk_result m_remove(struct chunk_session *s, const char *name)
{
	struct memory_store *m = (struct memory_store *)s->store;
	struct object *o = look_up(m, name);

	if (o) {
		free(o->data);
		*o = m->object[--m->count];
	}
	return CHUNK_OK;
}

static enum chunk_result m_list(struct chunk_session *s, const char *prefix, bool shallow,
				chunk_listed *listed, void *context)
{
	struct memory_store *m = (struct memory_store *)s->store;
	unsigned int i;

	/* backwards, because listed() may remove the object */
	for (i = m->count; i > 0; i--) {
		char name[128];

		snprintf(name, sizeof(name), "%s", m->object[i - 1].name);
		if (!strncmp(name, prefix, strlen(prefix)) &&
		    !listed(context, name, m->object[i - 1].size, ""))
			break;
	}
	return CHUNK_OK;
}

static const struct chunk_driver driver = {
	.scheme = "memory",
	.close = m_close,
	.connect = m_connect,
	.disconnect = m_disconnect,
	.put = m_put,
	.get = m_get,
	.head = m_head,
	.remove = m_remove,
	.list = m_list,
};

static int setup(void **state)
{
	static const struct chunk_options options = { .chunk_size = SIZE, .transfers = 3 };
	struct memory_store *m = calloc(1, sizeof(*m));

	pthread_mutex_init(&m->lock, NULL);
	chunk_init_store(&m->common, &driver, "memory://x", &options);
	assert_int_equal(chunk_begin(&m->common), CHUNK_OK);
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	struct memory_store *m = *state;

	chunk_close(&m->common);
	return 0;
}

static uint8_t data[10 * SIZE], back[10 * SIZE];

static struct chunk_medium *create(struct memory_store *m)
{
	char why[128];
	struct chunk_medium *medium = chunk_create(&m->common, "d", why, sizeof(why));
	size_t i;

	assert_non_null(medium);
	for (i = 0; i < sizeof(data); i++)
		data[i] = i * 7 + i / SIZE;
	return medium;
}

/* Pieces of any size, Flush at any byte: the chunks are the same bytes. */
static void test_round_trip(void **state)
{
	struct memory_store *m = *state;
	struct chunk_medium *medium = create(m);
	struct chunk_list list;
	size_t at = 0, done, piece = 1;
	char why[128];

	while (at < sizeof(data)) {
		if (piece > sizeof(data) - at)
			piece = sizeof(data) - at;
		assert_int_equal(chunk_append(medium, data + at, piece), CHUNK_OK);
		at += piece;
		if (piece % 5 == 0)
			assert_int_equal(chunk_flush(medium), CHUNK_OK);
		piece = piece * 3 + 1;
	}
	assert_int_equal(chunk_flush(medium), CHUNK_OK);
	assert_true(chunk_list_copy(&list, chunk_stored(medium)));
	chunk_close_medium(medium);
	assert_int_equal(list.count, m->count);
	assert_int_equal(chunk_list_bytes(&list), sizeof(data));

	medium = chunk_open_medium(&m->common, "d", &list, why, sizeof(why));
	for (at = 0, piece = 1; at < sizeof(back); at += done, piece = piece * 5 + 1)
		assert_int_equal(chunk_read(medium, back + at, piece < sizeof(back) - at ?
					    piece : sizeof(back) - at, &done), CHUNK_OK);
	assert_memory_equal(data, back, sizeof(data));
	assert_int_equal(chunk_read(medium, back, 1, &done), CHUNK_OK);
	assert_int_equal(done, 0);
	chunk_close_medium(medium);
	chunk_list_free(&list);
}

/* Whatever was fetched, nothing after the failure is handed over. */
static void test_damage(void **state)
{
	struct memory_store *m = *state;
	struct chunk_medium *medium = create(m);
	struct chunk_list list;
	char why[128], name[128];
	size_t done, total = 0;

	assert_int_equal(chunk_append(medium, data, sizeof(data)), CHUNK_OK);
	assert_int_equal(chunk_flush(medium), CHUNK_OK);
	assert_true(chunk_list_copy(&list, chunk_stored(medium)));
	chunk_close_medium(medium);
	chunk_name(&m->common, "d", 7, name, sizeof(name));
	look_up(m, name)->data[SIZE - 1] ^= 1;
	medium = chunk_open_medium(&m->common, "d", &list, why, sizeof(why));
	while (chunk_read(medium, back, 1000, &done) == CHUNK_OK && done)
		total += done;
	assert_true(total <= 6 * SIZE);
	assert_non_null(strstr(chunk_medium_why(medium), "00000007 is damaged"));
	assert_int_equal(chunk_read(medium, back, 1, &done), CHUNK_DAMAGED);
	assert_int_equal(done, 0);
	chunk_close_medium(medium);
	chunk_list_free(&list);
}

static void test_failed_put(void **state)
{
	struct memory_store *m = *state;
	struct chunk_medium *medium = create(m);
	unsigned int left;

	m->fail_put = 4;
	/* this waits for the failure, as there is less memory than data */
	assert_int_equal(chunk_append(medium, data, sizeof(data)), CHUNK_FAILED);
	assert_int_equal(chunk_flush(medium), CHUNK_FAILED);
	assert_string_equal(chunk_medium_why(medium), "the put of 4 fails");
	chunk_close_medium(medium);
	assert_int_equal(chunk_discard(&m->common, &left), CHUNK_OK);
	assert_int_equal(m->count, 0);
}

static bool always(void *context)
{
	(void)context;
	return true;
}

/* A stop ends a wait for memory, and the transfers. */
static void test_stop(void **state)
{
	struct memory_store *m = *state;
	struct chunk_medium *medium = create(m);

	m->blocked = true;
	assert_int_equal(chunk_append(medium, data, 4 * SIZE), CHUNK_OK);
	chunk_stop_with(&m->common, always, NULL);
	assert_int_equal(chunk_append(medium, data, 1), CHUNK_STOPPED);
	assert_int_equal(chunk_flush(medium), CHUNK_STOPPED);
	chunk_close_medium(medium);
	assert_int_equal(m->count, 0);
}

static void test_publish(void **state)
{
	struct memory_store *m = *state;
	char *text;
	size_t size;

	assert_int_equal(chunk_publish(&m->common, "one", 3), CHUNK_OK);
	/* the same again: a repetition after a lost answer */
	assert_int_equal(chunk_publish(&m->common, "one", 3), CHUNK_OK);
	assert_int_equal(chunk_publish(&m->common, "two", 3), CHUNK_EXISTS);
	assert_int_equal(chunk_begin(&m->common), CHUNK_EXISTS);
	assert_int_equal(chunk_manifest(&m->common, 3, &text, &size), CHUNK_OK);
	assert_string_equal(text, "one");
	free(text);
	assert_int_equal(chunk_manifest(&m->common, 2, &text, &size), CHUNK_DAMAGED);
}

static void test_lost_answers(void **state)
{
	struct memory_store *m = *state;

	m->lose_answer = true;
	assert_int_equal(chunk_publish(&m->common, "one", 3), CHUNK_OK);
	m_remove(&(struct chunk_session){ .store = &m->common }, "manifest.json");
	m->lose_answer = m->silent = true;
	assert_int_equal(chunk_publish(&m->common, "one", 3), CHUNK_UNKNOWN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_round_trip),
		TEST(test_damage),
		TEST(test_failed_put),
		TEST(test_stop),
		TEST(test_publish),
		TEST(test_lost_answers),
	};

	return cmocka_run_group_tests_name("chunk", tests, NULL, NULL);
}
