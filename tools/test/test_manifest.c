// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_manifest.c - what is written is what is read, and nothing else is
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "catalog/manifest.h"
#include "media.h"

static void add_device(struct manifest *m, const char *name, int media)
{
	struct manifest_device *device = &m->device[m->count];
	int i;

	device->name = strdup(name);
	for (i = 0; i < media; i++) {
		char file[48];

		snprintf(file, sizeof(file), "device-%02u.medium-%04d",
			 m->count, i + 1);
		assert_true(medium_list_add(&device->media, file));
		device->media.file[i].bytes = UINT64_C(1) << (i % 60);
		device->media.file[i].xxh3 = ~(uint64_t)i;
	}
	m->count++;
}

static void make(struct manifest *m)
{
	*m = (struct manifest){
		.set = strdup("a \"set\" / ü"),
		.started = 1,
		.finished = 2,
		.profile = MEDIUM_TAPE,
		.removable = true,
		.config = { .deviceCount = 2, .blockSize = 4096,
			    .features = VDF_LikeTape,
			    .softFileMarkBlockSize = 512 },
	};
	add_device(m, "first", 3);
	add_device(m, "second", 1);
}

static void put_text(const struct place *place, const char *text)
{
	int fd = openat(place->dir, MANIFEST_FILE, O_WRONLY | O_CREAT |
			O_TRUNC, 0600);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static char *get_text(const struct place *place)
{
	static char text[65536];
	int fd = openat(place->dir, MANIFEST_FILE, O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	assert_true(n > 0);
	text[n] = '\0';
	close(fd);
	return text;
}

static void refused(const struct place *place, const char *because)
{
	struct manifest m;
	const char *why;

	assert_int_equal(manifest_read(place->dir, &m, &why),
			 EXIT_DAMAGED);
	assert_non_null(strstr(why, because));
	manifest_free(&m);
}

static void test_there_and_back(void **state)
{
	struct place *place = *state;
	struct manifest m, back;
	const char *why;
	unsigned int i, k;

	make(&m);
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	assert_int_equal(manifest_read(place->dir, &back, &why), 0);
	assert_string_equal(back.set, m.set);
	assert_int_equal(back.profile, MEDIUM_TAPE);
	assert_true(back.removable);
	assert_false(back.snapshot);
	assert_memory_equal(&back.config, &m.config, sizeof(m.config));
	assert_int_equal(back.count, 2);
	assert_int_equal(manifest_bytes(&back), 1 + 2 + 4 + 1);
	for (i = 0; i < 2; i++) {
		const struct medium_list *got = &back.device[i].media;
		const struct medium_list *want = &m.device[i].media;

		assert_string_equal(back.device[i].name, m.device[i].name);
		assert_int_equal(got->count, want->count);
		for (k = 0; k < got->count; k++) {
			assert_string_equal(got->file[k].name,
					    want->file[k].name);
			assert_true(got->file[k].bytes == want->file[k].bytes);
			assert_true(got->file[k].xxh3 == want->file[k].xxh3);
		}
	}
	manifest_free(&back);
	manifest_free(&m);
}

/* As many media as there may be. */
static void test_long(void **state)
{
	struct place *place = *state;
	struct manifest m, back;
	const char *why;

	make(&m);
	add_device(&m, "third", MEDIUM_MAX_COUNT);
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	assert_int_equal(manifest_read(place->dir, &back, &why), 0);
	assert_int_equal(back.device[2].media.count, MEDIUM_MAX_COUNT);
	manifest_free(&back);
	manifest_free(&m);
}

/* Numbers that a reader of tapes could not divide by. */
static void test_block_sizes(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 256, 513, 768, 131072 };
	struct place *place = *state;
	struct manifest m;
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		make(&m);
		m.config.blockSize = sizes[i];
		assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
		refused(place, "bad one");
		manifest_free(&m);
	}
}

static void test_names_stay_inside(void **state)
{
	static const char *const names[] = { "../x", "a/b", "/x", ".", "" };
	struct place *place = *state;
	struct manifest m;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		make(&m);
		free(m.device[1].media.file[0].name);
		m.device[1].media.file[0].name = strdup(names[i]);
		assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
		refused(place, "lacks a field");
		manifest_free(&m);
	}
}

static void test_no_media(void **state)
{
	struct place *place = *state;
	struct manifest m;

	make(&m);
	add_device(&m, "third", 0);
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	refused(place, "lacks a field");
	manifest_free(&m);
}

/* Each character of the file, where it says something. */
static void test_every_byte(void **state)
{
	struct place *place = *state;
	struct manifest m, back;
	const char *why;
	char *text;
	size_t i, length;

	make(&m);
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	text = strdup(get_text(place));
	length = strlen(text);
	for (i = 0; i < length; i++) {
		char was = text[i];

		if (strchr(" \n\t", was))
			continue;
		text[i] ^= 1;
		put_text(place, text);
		text[i] = was;
		if (manifest_read(place->dir, &back, &why))
			continue;
		/* 1E and 1e are the same number; nothing else may pass */
		assert_memory_equal(&back.config, &m.config,
				    sizeof(m.config));
		assert_int_equal(manifest_bytes(&back), manifest_bytes(&m));
		assert_string_equal(back.set, m.set);
		manifest_free(&back);
	}
	for (i = 0; i < length - 2; i += 7) {
		char was = text[i];

		text[i] = '\0';
		put_text(place, text);
		text[i] = was;
		assert_int_equal(manifest_read(place->dir, &back, &why),
				 EXIT_DAMAGED);
	}
	free(text);
	manifest_free(&m);
}

static void test_other_files(void **state)
{
	struct place *place = *state;

	refused(place, "no " MANIFEST_FILE);
	put_text(place, "");
	refused(place, "no JSON");
	put_text(place, "[1, 2]");
	refused(place, "not that of a backup");
	put_text(place, "{}");
	refused(place, "not that of a backup");
	put_text(place, "{\"vdi_backup\": 1}");
	refused(place, "version");
	put_text(place, "{\"vdi_backup\": 2}");
	refused(place, "no checksum");
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_there_and_back),
		TEST(test_long),
		TEST(test_block_sizes),
		TEST(test_names_stay_inside),
		TEST(test_no_media),
		TEST(test_every_byte),
		TEST(test_other_files),
	};

	return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
