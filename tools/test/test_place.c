// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_place.c - places in a chunk store: what is a backup, and how it is removed
 */
#include <stdio.h>
#include <time.h>

#include "catalog/place.h"
#include "catalog/retention.h"
#include "media.h"
#include "memory_store.h"

#define ADDRESS	"memory://bucket/place"
#define HOUR	3600
#define DAY	(24 * HOUR)

/* Sorted by these digits, "1" before "2". */
static const char *id_of(char digit)
{
	static char id[CHUNK_ID_SIZE];

	memset(id, digit, CHUNK_ID_SIZE - 1);
	return id;
}

static void put(struct memory_store *m, const char *name, const char *object, const char *text)
{
	char key[160];

	snprintf(key, sizeof(key), "%s%s%s", name, *name ? "/" : "", object);
	memory_store_put(m, key, text, strlen(text));
}

/* Further objects are stored so many seconds ago. */
static void set_age(struct memory_store *m, int64_t age)
{
	place_format_time(time(NULL) - age, m->now, sizeof(m->now));
}

static void put_chunks(struct memory_store *m, const char *name, const char *id)
{
	char key[128];
	int i;

	for (i = 1; i <= 3; i++) {
		snprintf(key, sizeof(key), "data-%s/device-00.data/%08u", id, i);
		put(m, name, key, "chunk");
	}
}

static const char *base_name;	/* of the next manifest; NULL = none */
static uint64_t base_sum;

static void put_manifest(struct memory_store *m, const char *name, const char *set,
			 const char *id, int64_t age)
{
	struct manifest manifest = {
		.set = strdup(set),
		.profile = MEDIUM_PIPE,
		.started = time(NULL) - age,
		.finished = time(NULL) - age,
		.chunk_size = CHUNK_DEFAULT_SIZE,
		.base = base_name ? strdup(base_name) : NULL,
		.base_sum = base_sum,
		.count = 1,
	};
	struct medium_list *media = &manifest.device[0].media;
	char *text;
	int i;

	strcpy(manifest.id, id);
	manifest.device[0].name = strdup(set);
	media->file = calloc(1, sizeof(*media->file));
	media->count = 1;
	media->file[0].name = strdup("device-00.data");
	media->file[0].bytes = 15;
	for (i = 0; i < 3; i++)
		assert_true(chunk_list_add(&media->file[0].chunks, 5, 0));
	text = manifest_text(&manifest);
	assert_non_null(text);
	put(m, name, MANIFEST_FILE, text);
	free(text);
	manifest_free(&manifest);
}

static void make(struct memory_store *m, const char *name, const char *set, const char *id,
		 int64_t age)
{
	set_age(m, age);
	put_chunks(m, name, id);
	put_manifest(m, name, set, id, age);
}

static struct backup_place look(struct memory_store *m)
{
	struct backup_place p;

	/* as the last place has closed it */
	if (!m->common.address)
		m->common.address = strdup(ADDRESS);
	m->common.kept = NULL;
	assert_int_equal(place_open_store(&p, &m->common, NULL), EXIT_OK);
	return p;
}

static void done(struct memory_store *m, struct backup_place *p)
{
	place_close(p);
	m->common.address = NULL;
}

static struct place_entry *entry_of(struct backup_place *p, const char *name)
{
	size_t i;

	for (i = 0; i < p->count; i++) {
		if (!strcmp(p->entry[i].name, name))
			return &p->entry[i];
	}
	fail_msg("%s is not listed", name);
	return NULL;
}

static void assert_state(struct memory_store *m, const char *name, enum backup_state state)
{
	struct backup_place p = look(m);

	assert_string_equal(place_state_name(entry_of(&p, name)->state), place_state_name(state));
	done(m, &p);
}

static int setup(void **state)
{
	struct memory_store *m = memory_store_new(ADDRESS, NULL);

	m->held = true;
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	struct memory_store *m = *state;

	free(m->common.address);
	memory_store_free(m);
	return 0;
}

static void test_states(void **state)
{
	struct memory_store *m = *state;
	struct backup_place p;

	make(m, "whole", "a", id_of('1'), DAY);
	make(m, "truncated", "a", id_of('2'), DAY);
	memory_store_find(m, "truncated/manifest.json")->size = 100;
	make(m, "no-chunks", "a", id_of('3'), DAY);
	memory_store_remove(m, "no-chunks/data-33333333333333333333333333333333/device-00.data/00000001");
	memory_store_remove(m, "no-chunks/data-33333333333333333333333333333333/device-00.data/00000002");
	memory_store_remove(m, "no-chunks/data-33333333333333333333333333333333/device-00.data/00000003");
	set_age(m, HOUR);
	put_chunks(m, "young", id_of('4'));
	set_age(m, 2 * DAY);
	put_chunks(m, "old", id_of('5'));
	put(m, "old/data-55555555555555555555555555555555", "expired", "");
	put_chunks(m, "old", id_of('6'));
	put_chunks(m, "whole", id_of('7'));	/* of another run */
	put(m, "others", "file", "");
	put(m, ".hidden", MANIFEST_FILE, "");
	put(m, "", "file", "");

	p = look(m);
	assert_int_equal(p.count, 7);
	assert_null(p.only);
	assert_int_equal(entry_of(&p, "whole")->state, BACKUP_WHOLE);
	assert_string_equal(entry_of(&p, "whole")->path, ADDRESS "/whole");
	assert_int_equal(entry_of(&p, "truncated")->state, BACKUP_DAMAGED);
	assert_string_equal(entry_of(&p, "no-chunks")->why, "its chunks are missing");
	assert_int_equal(entry_of(&p, "young/data-44444444444444444444444444444444")->state,
			 BACKUP_WRITING);
	assert_int_equal(entry_of(&p, "old/data-55555555555555555555555555555555")->state,
			 BACKUP_EXPIRED);
	assert_int_equal(entry_of(&p, "old/data-66666666666666666666666666666666")->state,
			 BACKUP_REMAINS);
	assert_int_equal(entry_of(&p, "whole/data-77777777777777777777777777777777")->state,
			 BACKUP_REMAINS);
	assert_int_equal(entry_of(&p, "whole/data-77777777777777777777777777777777")->stored, 15);
	done(m, &p);
}

/* Chunks whose time is not known are taken for young ones. */
static void test_unknown_time(void **state)
{
	struct memory_store *m = *state;

	strcpy(m->now, "yesterday");
	put_chunks(m, "x", id_of('1'));
	assert_state(m, "x/data-11111111111111111111111111111111", BACKUP_WRITING);
}

static void test_address_of_backup(void **state)
{
	struct memory_store *m = *state;
	struct backup_place p;

	make(m, "", "a", id_of('1'), DAY);
	put_chunks(m, "", id_of('2'));
	p = look(m);
	assert_string_equal(p.only, "place");
	assert_string_equal(p.path, "memory://bucket");
	assert_int_equal(p.count, 2);
	assert_string_equal(entry_of(&p, "place")->path, ADDRESS);
	assert_int_equal(entry_of(&p, "place")->state, BACKUP_WHOLE);
	assert_int_equal(entry_of(&p, "place/data-22222222222222222222222222222222")->state,
			 BACKUP_REMAINS);
	done(m, &p);
}

static void test_bases(void **state)
{
	struct retention rules = { .last = 1, .within = -1, .remains = DAY };
	struct memory_store *m = *state;
	struct decision d[8];
	struct backup_place p;

	make(m, "full", "a", id_of('1'), 3 * DAY);
	p = look(m);
	base_name = "full";
	base_sum = entry_of(&p, "full")->manifest.sum;
	done(m, &p);
	make(m, "increment", "b", id_of('2'), 2 * DAY);
	base_name = NULL;
	make(m, "later", "a", id_of('3'), DAY);
	p = look(m);
	assert_string_equal(entry_of(&p, "increment")->manifest.base, "full");
	assert_int_equal(entry_of(&p, "increment")->state, BACKUP_WHOLE);
	retention_decide(&p, &rules, time(NULL), d);
	assert_false(d[entry_of(&p, "full") - p.entry].remove);
	done(m, &p);
	memory_store_remove(m, "full/manifest.json");
	p = look(m);
	assert_int_equal(entry_of(&p, "increment")->state, BACKUP_DAMAGED);
	assert_string_equal(entry_of(&p, "increment")->why, "its base full is missing");
	done(m, &p);
}

/* A name, a size, a number: each is compared with the manifest. */
static void test_confirm(void **state)
{
	static const char *const chunk =
		"b/data-22222222222222222222222222222222/device-00.data/00000002";
	struct memory_store *m = *state;
	struct backup_place p;

	make(m, "a", "s", id_of('1'), DAY);
	make(m, "b", "s", id_of('2'), HOUR);
	p = look(m);
	assert_int_equal(place_confirm(&p), EXIT_OK);
	assert_int_equal(entry_of(&p, "b")->state, BACKUP_WHOLE);
	memory_store_find(m, chunk)->size--;
	assert_int_equal(place_confirm(&p), EXIT_OK);
	assert_int_equal(entry_of(&p, "a")->state, BACKUP_WHOLE);
	assert_int_equal(entry_of(&p, "b")->state, BACKUP_DAMAGED);
	assert_string_equal(entry_of(&p, "b")->why,
			    "1 of 3 chunks are missing or have another size");
	done(m, &p);

	memory_store_remove(m, chunk);
	put(m, "b/data-22222222222222222222222222222222/device-00.data", "00000004", "chunk");
	p = look(m);
	assert_int_equal(place_confirm(&p), EXIT_OK);
	assert_int_equal(entry_of(&p, "b")->state, BACKUP_DAMAGED);
	m->silent = true;
	assert_int_equal(place_confirm(&p), EXIT_OK);
	assert_int_equal(entry_of(&p, "a")->state, BACKUP_UNREADABLE);
	done(m, &p);
}

static void test_retention(void **state)
{
	static const char *const young = "c/data-33333333333333333333333333333333";
	static const char *const old = "d/data-44444444444444444444444444444444";
	const struct retention rules = { .last = 1, .within = -1, .remains = 3 * HOUR };
	struct memory_store *m = *state;
	struct decision decision[4];
	struct backup_place p;

	make(m, "a", "s", id_of('1'), 2 * DAY);
	make(m, "b", "s", id_of('2'), DAY);
	set_age(m, 2 * HOUR);
	put_chunks(m, "c", id_of('3'));
	set_age(m, 4 * HOUR);
	put_chunks(m, "d", id_of('4'));
	p = look(m);
	assert_int_equal(p.count, 4);
	retention_decide(&p, &rules, time(NULL), decision);
	assert_true(decision[entry_of(&p, "a") - p.entry].remove);
	assert_false(decision[entry_of(&p, "b") - p.entry].remove);
	assert_false(decision[entry_of(&p, young) - p.entry].remove);
	/* by the rule, although the state is "being written" */
	assert_true(decision[entry_of(&p, old) - p.entry].remove);
	/* the youngest one is damaged: the older one is the last whole one */
	place_set_state(entry_of(&p, "b"), BACKUP_DAMAGED, "");
	retention_decide(&p, &rules, time(NULL), decision);
	assert_false(decision[entry_of(&p, "a") - p.entry].remove);
	assert_false(decision[entry_of(&p, "b") - p.entry].remove);
	done(m, &p);
}

static enum place_removal remove_entry(struct memory_store *m, const char *name, char why[256])
{
	struct backup_place p = look(m);
	struct place_entry *e = entry_of(&p, name);
	enum place_removal result = p.ops->remove(&p, e, why, 256);

	done(m, &p);
	return result;
}

/*
 * The removal ends after each possible number of changes. What is left is a whole
 * backup, or no backup, and the next removal completes it.
 */
static void test_removal_ends_at_any_point(void **state)
{
	static const char *const data = "b/data-22222222222222222222222222222222";
	struct memory_store *m = *state;
	struct backup_place p;
	unsigned int last;
	char why[256];

	make(m, "a", "s", id_of('1'), DAY);
	/* the mark, the manifest, three chunks, the mark */
	for (last = 1; last <= 6; last++) {
		make(m, "b", "s", id_of('2'), HOUR);
		m->changes = 0;
		m->last_change = last;
		assert_int_equal(remove_entry(m, "b", why), last < 6 ? PLACE_KEPT : PLACE_REMOVED);
		m->last_change = 0;
		p = look(m);
		assert_int_equal(entry_of(&p, "a")->state, BACKUP_WHOLE);
		if (last == 1) {
			assert_int_equal(entry_of(&p, "b")->state, BACKUP_WHOLE);
			assert_int_equal(place_confirm(&p), EXIT_OK);
			assert_int_equal(entry_of(&p, "b")->state, BACKUP_WHOLE);
		} else if (last < 6) {
			assert_int_equal(p.count, 2);
			assert_int_equal(entry_of(&p, data)->state, BACKUP_EXPIRED);
		}
		done(m, &p);
		if (last < 6)
			assert_int_equal(remove_entry(m, last == 1 ? "b" : data, why),
					 PLACE_REMOVED);
		assert_int_equal(m->count, 4);	/* those of "a" */
	}
}

/* A store that is full takes no mark: the backup is removed without. */
static void test_removal_without_mark(void **state)
{
	struct memory_store *m = *state;
	char why[256];

	make(m, "a", "s", id_of('1'), DAY);
	m->refuse = "expired";
	assert_int_equal(remove_entry(m, "a", why), PLACE_REMOVED);
	assert_int_equal(m->count, 0);
}

static void test_removal_of_what_has_changed(void **state)
{
	struct memory_store *m = *state;
	struct backup_place p;
	char why[256];

	make(m, "a", "s", id_of('1'), DAY);
	set_age(m, 2 * DAY);
	put_chunks(m, "b", id_of('2'));
	p = look(m);
	put_manifest(m, "a", "s", id_of('3'), 0);
	assert_int_equal(p.ops->remove(&p, entry_of(&p, "a"), why, sizeof(why)), PLACE_KEPT);
	assert_string_equal(why, "it was replaced or changed meanwhile");
	put_manifest(m, "b", "s", id_of('2'), 0);
	assert_int_equal(p.ops->remove(&p, entry_of(&p, "b/data-22222222222222222222222222222222"),
				       why, sizeof(why)), PLACE_IN_USE);
	assert_string_equal(why, "it has a manifest now");
	assert_int_equal(m->count, 8);
	done(m, &p);
}

/* Objects of others stay; those of other runs, too. */
static void test_removal_keeps_others(void **state)
{
	struct memory_store *m = *state;
	char why[256];

	make(m, "a", "s", id_of('1'), DAY);
	put_chunks(m, "a", id_of('2'));
	put(m, "a", "file", "");
	make(m, "ab", "s", id_of('1'), DAY);
	assert_int_equal(remove_entry(m, "a", why), PLACE_REMOVED);
	assert_int_equal(m->count, 3 + 1 + 4);
	assert_state(m, "ab", BACKUP_WHOLE);
	assert_state(m, "a/data-22222222222222222222222222222222", BACKUP_REMAINS);
}

static void test_no_answer(void **state)
{
	struct memory_store *m = *state;
	struct backup_place p;

	m->silent = true;
	assert_int_equal(place_open_store(&p, &m->common, NULL), EXIT_FAILED);
	done(m, &p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_states),
		TEST(test_unknown_time),
		TEST(test_address_of_backup),
		TEST(test_bases),
		TEST(test_confirm),
		TEST(test_retention),
		TEST(test_removal_ends_at_any_point),
		TEST(test_removal_without_mark),
		TEST(test_removal_of_what_has_changed),
		TEST(test_removal_keeps_others),
		TEST(test_no_answer),
	};

	return cmocka_run_group_tests_name("place", tests, NULL, NULL);
}
