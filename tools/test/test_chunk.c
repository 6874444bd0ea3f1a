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
#include "memory_store.h"

#define SIZE	CHUNK_MIN_SIZE

static int setup(void **state)
{
	static const struct chunk_options options = { .chunk_size = SIZE, .transfers = 3 };
	struct memory_store *m = memory_store_new("memory://x", &options);

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
	memory_store_find(m, name)->data[SIZE - 1] ^= 1;
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
	memory_store_remove(m, "manifest.json");
	m->lose_answer = m->silent = true;
	assert_int_equal(chunk_publish(&m->common, "one", 3), CHUNK_UNKNOWN);
}

struct names {
	char text[256];
};

static bool note_name(void *context, const char *name, uint64_t bytes, const char *changed)
{
	struct names *n = context;
	size_t used = strlen(n->text);

	(void)changed;
	snprintf(n->text + used, sizeof(n->text) - used, "%s %u,", name, (unsigned int)bytes);
	return true;
}

/* Objects beside those of a backup, and the names directly below a prefix. */
static void test_other_objects(void **state)
{
	struct memory_store *m = *state;
	struct names names = { "" }, below = { "" };
	unsigned int left;
	size_t size;
	char *text;

	chunk_keep_connection(&m->common);
	assert_int_equal(chunk_put_text(&m->common, "a/1", "one"), CHUNK_OK);
	assert_int_equal(chunk_put_text(&m->common, "a/b/2", "two"), CHUNK_OK);
	assert_int_equal(chunk_put_text(&m->common, "a/b/3", "three"), CHUNK_OK);
	assert_int_equal(chunk_put_text(&m->common, "c", "four"), CHUNK_OK);
	assert_int_equal(chunk_look(&m->common, "", note_name, &names), CHUNK_OK);
	assert_string_equal(names.text, "a/ 0,c 4,");
	assert_int_equal(chunk_look(&m->common, "a/", note_name, &below), CHUNK_OK);
	assert_string_equal(below.text, "a/1 3,a/b/ 0,");
	assert_int_equal(chunk_fetch(&m->common, "a/1", 3, &text, &size), CHUNK_OK);
	assert_string_equal(text, "one");
	free(text);
	assert_int_equal(chunk_fetch(&m->common, "a/b", 3, &text, &size), CHUNK_MISSING);
	assert_int_equal(chunk_remove(&m->common, "a/1"), CHUNK_OK);
	assert_int_equal(chunk_remove_all(&m->common, "a/", &left), CHUNK_OK);
	assert_int_equal(left, 0);
	assert_int_equal(m->count, 1);
	/* the failure of one request does not stay with the connection */
	m->silent = true;
	assert_int_equal(chunk_look(&m->common, "", note_name, &names), CHUNK_FAILED);
	assert_string_equal(chunk_why(&m->common), "no answer");
	m->silent = false;
	assert_int_equal(chunk_fetch(&m->common, "none", 3, &text, &size), CHUNK_MISSING);
	assert_string_equal(chunk_why(&m->common), "");
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
		TEST(test_other_objects),
	};

	return cmocka_run_group_tests_name("chunk", tests, NULL, NULL);
}
