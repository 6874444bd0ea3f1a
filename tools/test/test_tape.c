// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_tape.c - blocks, filemarks, positions, and damage to every byte
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "media.h"

#define FILE_1	"device-00.medium-0001"

static uint8_t data[32 * BLOCK], back[32 * BLOCK];

static void put(struct drive *d, uint32_t blocks, unsigned int seed)
{
	fill(data, blocks * BLOCK, seed);
	expect_outcome(d, VDC_Write, blocks * BLOCK, 0, data, 0,
		       blocks * BLOCK);
}

static void mark(struct drive *d)
{
	expect_code(d, VDC_WriteMark, 0, 0);
}

static void get(struct drive *d, uint32_t blocks, unsigned int seed)
{
	memset(back, 0xee, sizeof(back));
	expect_outcome(d, VDC_Read, blocks * BLOCK, 0, back, 0, blocks * BLOCK);
	assert_filled(back, blocks * BLOCK, seed);
}

static void seek(struct drive *d, int64_t to)
{
	struct outcome o = run(d, VDC_SetPosition, 0, to, NULL);

	assert_int_equal(o.code, 0);
	assert_int_equal(o.position, to);
}

/*
 * 0 1 2 | 3 = mark | 4 5 6 7 8 | 9 = mark | 10 = mark | 11 | end
 */
static void make(struct drive *d, void **state, uint32_t soft)
{
	struct drive_config config = writing(TAPE);

	config.soft_mark_size = soft;
	open_writing(d, &config, *state);
	put(d, 3, 1);
	mark(d);
	put(d, 5, 2);
	mark(d);
	mark(d);
	put(d, 1, 3);
	assert_int_equal(where(d), 12);
}

/* ----------------------------------------------------------------- reading */

static void check_reading(struct drive *d)
{
	expect_code(d, VDC_Rewind, 0, 0);
	assert_int_equal(where(d), 0);
	get(d, 3, 1);
	assert_int_equal(where(d), 3);
	/* a read at the filemark returns nothing and moves past it */
	expect_outcome(d, VDC_Read, BLOCK, 0, back, ERROR_FILEMARK_DETECTED, 0);
	assert_int_equal(where(d), 4);
	/* five blocks: the read reaches the filemark */
	expect_outcome(d, VDC_Read, 8 * BLOCK, 0, back,
		       ERROR_FILEMARK_DETECTED, 5 * BLOCK);
	assert_filled(back, 5 * BLOCK, 2);
	assert_int_equal(where(d), 10);
	expect_outcome(d, VDC_Read, BLOCK, 0, back, ERROR_FILEMARK_DETECTED, 0);
	expect_outcome(d, VDC_Read, 4 * BLOCK, 0, back, ERROR_NO_DATA_DETECTED,
		       BLOCK);
	assert_filled(back, BLOCK, 3);
	expect_outcome(d, VDC_Read, BLOCK, 0, back, ERROR_NO_DATA_DETECTED, 0);
	assert_int_equal(where(d), 12);
	/* an empty read reports nothing */
	expect_outcome(d, VDC_Read, 0, 0, back, 0, 0);
	expect_outcome(d, VDC_Read, BLOCK + 1, 0, back,
		       ERROR_INVALID_BLOCK_LENGTH, 0);
}

static void test_reading(void **state)
{
	static const uint32_t soft[] = { 0, 512, 4096 };
	struct drive d;
	size_t i;

	for (i = 0; i < 3; i++) {
		make(&d, state, soft[i]);
		check_reading(&d);
		reopen_reading(&d);
		check_reading(&d);
		drive_close(&d);
		unlinkat(((struct place *)*state)->dir, FILE_1, 0);
	}
}

/* Reads of other sizes than the writes. */
static void test_other_pieces(void **state)
{
	struct drive_config config = writing(TAPE);
	uint8_t *want = malloc(21 * BLOCK);
	unsigned int i, step;
	struct drive d;

	open_writing(&d, &config, *state);
	fill(want, 7 * BLOCK, 1);
	fill(want + 7 * BLOCK, 7 * BLOCK, 2);
	fill(want + 14 * BLOCK, 7 * BLOCK, 3);
	for (i = 1; i <= 3; i++)
		put(&d, 7, i);
	reopen_reading(&d);
	for (step = 1; step <= 21; step++) {
		expect_code(&d, VDC_Rewind, 0, 0);
		for (i = 0; i + step <= 21; i += step) {
			expect_outcome(&d, VDC_Read, step * BLOCK, 0, back, 0,
				       step * BLOCK);
			assert_memory_equal(back, want + i * BLOCK,
					    step * BLOCK);
		}
	}
	drive_close(&d);
	free(want);
}

static void test_writing_is_in_blocks(void **state)
{
	struct drive_config config = writing(TAPE);
	struct drive d;

	open_writing(&d, &config, *state);
	expect_outcome(&d, VDC_Write, BLOCK - 1, 0, data,
		       ERROR_INVALID_BLOCK_LENGTH, 0);
	expect_outcome(&d, VDC_Write, 0, 0, data, 0, 0);
	mark(&d);
	drive_close(&d);
}

/* ------------------------------------------------------------- positioning */

static void skips(struct drive *d, int command, int64_t from, int32_t count,
		 int code, int64_t to)
{
	seek(d, from);
	expect_code(d, command, count, code);
	assert_int_equal(where(d), to);
}

static void test_skip_marks(void **state)
{
	struct drive d;

	make(&d, state, 0);
	reopen_reading(&d);
	skips(&d, VDC_SkipMarks, 5, 0, 0, 5);
	skips(&d, VDC_SkipMarks, 0, 1, 0, 4);
	skips(&d, VDC_SkipMarks, 3, 1, 0, 4);
	skips(&d, VDC_SkipMarks, 2, 2, 0, 10);
	skips(&d, VDC_SkipMarks, 0, 3, 0, 11);
	skips(&d, VDC_SkipMarks, 4, 2, 0, 11);
	skips(&d, VDC_SkipMarks, 0, 4, ERROR_NO_DATA_DETECTED, 12);
	skips(&d, VDC_SkipMarks, 11, 1, ERROR_NO_DATA_DETECTED, 12);
	skips(&d, VDC_SkipMarks, 12, 1, ERROR_NO_DATA_DETECTED, 12);
	skips(&d, VDC_SkipMarks, 0, INT32_MAX, ERROR_NO_DATA_DETECTED, 12);
	/* backwards: stops before the filemark */
	skips(&d, VDC_SkipMarks, 12, -1, 0, 10);
	skips(&d, VDC_SkipMarks, 11, -1, 0, 10);
	skips(&d, VDC_SkipMarks, 10, -1, 0, 9);
	skips(&d, VDC_SkipMarks, 9, -1, 0, 3);
	skips(&d, VDC_SkipMarks, 7, -1, 0, 3);
	skips(&d, VDC_SkipMarks, 12, -3, 0, 3);
	skips(&d, VDC_SkipMarks, 12, -4, ERROR_BEGINNING_OF_MEDIA, 0);
	skips(&d, VDC_SkipMarks, 3, -1, ERROR_BEGINNING_OF_MEDIA, 0);
	skips(&d, VDC_SkipMarks, 0, -1, ERROR_BEGINNING_OF_MEDIA, 0);
	skips(&d, VDC_SkipMarks, 12, INT32_MIN, ERROR_BEGINNING_OF_MEDIA, 0);
	drive_close(&d);
}

static void test_skip_blocks(void **state)
{
	struct drive d;

	make(&d, state, 4096);
	reopen_reading(&d);
	skips(&d, VDC_SkipBlocks, 7, 0, 0, 7);
	skips(&d, VDC_SkipBlocks, 0, 2, 0, 2);
	skips(&d, VDC_SkipBlocks, 0, 3, 0, 3);
	skips(&d, VDC_SkipBlocks, 0, 4, ERROR_FILEMARK_DETECTED, 4);
	skips(&d, VDC_SkipBlocks, 5, 100, ERROR_FILEMARK_DETECTED, 10);
	skips(&d, VDC_SkipBlocks, 10, 1, ERROR_FILEMARK_DETECTED, 11);
	skips(&d, VDC_SkipBlocks, 11, 1, 0, 12);
	skips(&d, VDC_SkipBlocks, 11, 2, ERROR_NO_DATA_DETECTED, 12);
	skips(&d, VDC_SkipBlocks, 12, INT32_MAX, ERROR_NO_DATA_DETECTED, 12);
	skips(&d, VDC_SkipBlocks, 12, -1, 0, 11);
	skips(&d, VDC_SkipBlocks, 12, -2, ERROR_FILEMARK_DETECTED, 10);
	skips(&d, VDC_SkipBlocks, 9, -5, 0, 4);
	skips(&d, VDC_SkipBlocks, 9, -6, ERROR_FILEMARK_DETECTED, 3);
	skips(&d, VDC_SkipBlocks, 2, -2, 0, 0);
	skips(&d, VDC_SkipBlocks, 2, -3, ERROR_BEGINNING_OF_MEDIA, 0);
	skips(&d, VDC_SkipBlocks, 3, INT32_MIN, ERROR_BEGINNING_OF_MEDIA, 0);
	drive_close(&d);
}

static void test_set_position(void **state)
{
	struct outcome o;
	struct drive d;
	int64_t i;

	make(&d, state, 0);
	for (i = 0; i <= 12; i++)
		seek(&d, i);
	o = run(&d, VDC_SetPosition, 0, 13, NULL);
	assert_int_equal(o.code, ERROR_NO_DATA_DETECTED);
	assert_int_equal(o.position, 12);
	o = run(&d, VDC_SetPosition, 0, -1, NULL);
	assert_int_equal(o.code, ERROR_BEGINNING_OF_MEDIA);
	assert_int_equal(o.position, 0);
	o = run(&d, VDC_SetPosition, 0, INT64_MIN, NULL);
	assert_int_equal(o.code, ERROR_BEGINNING_OF_MEDIA);
	seek(&d, 6);
	memset(back, 0, sizeof(back));
	expect_outcome(&d, VDC_Read, BLOCK, 0, back, 0, BLOCK);
	fill(data, 5 * BLOCK, 2);
	assert_memory_equal(back, data + 2 * BLOCK, BLOCK);
	drive_close(&d);
}

/* ----------------------------------------------------- writing in the middle */

static void test_overwriting_truncates(void **state)
{
	struct drive d;

	make(&d, state, 0);
	expect_code(&d, VDC_Flush, 0, 0);
	seek(&d, 6);		/* two of five blocks are kept */
	put(&d, 4, 9);
	assert_int_equal(where(&d), 10);
	expect_outcome(&d, VDC_Read, BLOCK, 0, back, ERROR_NO_DATA_DETECTED, 0);
	expect_code(&d, VDC_Rewind, 0, 0);
	expect_code(&d, VDC_SkipMarks, 2, ERROR_NO_DATA_DETECTED);
	reopen_reading(&d);
	assert_true(verifies(&d.config, *state, &d.media, NULL));
	get(&d, 3, 1);
	seek(&d, 4);
	expect_outcome(&d, VDC_Read, 2 * BLOCK, 0, back, 0, 2 * BLOCK);
	fill(data, 5 * BLOCK, 2);
	assert_memory_equal(back, data, 2 * BLOCK);
	get(&d, 4, 9);
	expect_outcome(&d, VDC_Read, BLOCK, 0, back, ERROR_NO_DATA_DETECTED, 0);
	drive_close(&d);
}

static void test_mark_truncates(void **state)
{
	struct drive d;

	make(&d, state, 1024);
	expect_code(&d, VDC_Rewind, 0, 0);
	mark(&d);
	reopen_reading(&d);
	assert_true(verifies(&d.config, *state, &d.media, NULL));
	assert_int_equal(size_of(*state, FILE_1),
			 TAPE_LABEL_SIZE + 2 * TAPE_FRAME_SIZE + 1024);
	expect_outcome(&d, VDC_Read, BLOCK, 0, back, ERROR_FILEMARK_DETECTED, 0);
	expect_outcome(&d, VDC_Read, BLOCK, 0, back, ERROR_NO_DATA_DETECTED, 0);
	drive_close(&d);
}

/* Damaged data must not become valid when its frame is split. */
static void test_cutting_damage(void **state)
{
	struct drive d;

	make(&d, state, 0);
	flip(*state, FILE_1, TAPE_LABEL_SIZE + TAPE_FRAME_SIZE + 17, 4);
	seek(&d, 1);
	fill(data, BLOCK, 9);
	expect_outcome(&d, VDC_Write, BLOCK, 0, data, ERROR_IO_DEVICE, 0);
	assert_int_equal(d.trouble, DRIVE_DAMAGED);
	assert_false(drive_finish(&d));
	drive_close(&d);
}

static void test_flush_then_more(void **state)
{
	struct drive_config config = writing(TAPE);
	struct drive d;
	int i;

	open_writing(&d, &config, *state);
	expect_code(&d, VDC_Flush, 0, 0);
	for (i = 0; i < 5; i++) {
		put(&d, 2, i);
		expect_code(&d, VDC_Flush, 0, 0);
		expect_code(&d, VDC_Flush, 0, 0);
	}
	reopen_reading(&d);
	/* the checksum was computed while writing, without reading the file again */
	assert_true(verifies(&config, *state, &d.media, NULL));
	for (i = 0; i < 5; i++)
		get(&d, 2, i);
	drive_close(&d);
}

/* Overwritten data does not count towards the capacity. */
static void test_room_after_rewind(void **state)
{
	struct drive_config config = writing(TAPE);
	struct drive d;

	config.capacity = 8 * BLOCK;
	open_writing(&d, &config, *state);
	put(&d, 7, 1);
	expect_outcome(&d, VDC_Write, 2 * BLOCK, 0, data, ERROR_END_OF_MEDIA,
		       BLOCK);
	expect_outcome(&d, VDC_Write, 2 * BLOCK, 0, data, ERROR_EOM_OVERFLOW,
		       0);
	seek(&d, 3);
	put(&d, 4, 2);
	expect_outcome(&d, VDC_Write, BLOCK, 0, data, ERROR_END_OF_MEDIA,
		       BLOCK);
	expect_outcome(&d, VDC_Write, 2 * BLOCK, 0, data, ERROR_END_OF_MEDIA,
		       0);
	expect_outcome(&d, VDC_Write, 2 * BLOCK, 0, data, ERROR_EOM_OVERFLOW,
		       0);
	/* hard filemarks do not count towards the capacity */
	mark(&d);
	drive_close(&d);
}

static void test_soft_marks_take_room(void **state)
{
	struct drive_config config = writing(TAPE);
	struct drive d;

	config.capacity = 8 * BLOCK;
	config.soft_mark_size = 3 * BLOCK;
	open_writing(&d, &config, *state);
	put(&d, 4, 1);
	/* one fits; the reserve has room for two more, and two blocks */
	mark(&d);
	mark(&d);
	mark(&d);
	mark(&d);
	expect_code(&d, VDC_WriteMark, 0, ERROR_EOM_OVERFLOW);
	assert_int_equal(where(&d), 8);
	expect_outcome(&d, VDC_Write, BLOCK, 0, data, ERROR_END_OF_MEDIA, 0);
	reopen_reading(&d);
	get(&d, 4, 1);
	expect_outcome(&d, VDC_Read, BLOCK, 0, back, ERROR_FILEMARK_DETECTED, 0);
	drive_close(&d);
}

/* ------------------------------------------------------------------ damage */

static void read_all(struct drive *d)
{
	static const unsigned int seeds[] = { 1, 2, 3 };
	static const unsigned int sizes[] = { 3, 5, 1 };
	int i;

	for (i = 0; i < 3; i++) {
		struct outcome o;

		memset(back, 0xee, sizeof(back));
		o = run(d, VDC_Read, sizes[i] * BLOCK, 0, back);
		if (o.code == ERROR_IO_DEVICE ||
		    o.code == ERROR_NO_DATA_DETECTED)
			return;
		assert_int_equal(o.code, 0);
		assert_filled(back, o.bytes, seeds[i]);
		run(d, VDC_SkipMarks, i + 1, 0, NULL);
	}
}

static bool opens(const struct drive_config *config, const struct place *place,
		  const struct medium_list *list)
{
	struct drive_config reader = reading(config);
	struct medium_list copy = copy_list(list);
	struct drive d;
	bool ok;

	ok = drive_open(&d, &reader, place->dir, &copy);
	if (ok)
		read_all(&d);
	ok = d.trouble == DRIVE_FINE;
	if (!ok)
		assert_int_equal(d.trouble, DRIVE_DAMAGED);
	drive_close(&d);
	return ok;
}

/*
 * Flip each bit once: the checksum of the manifest detects it, and so do the
 * checksums of the tape, at the latest when the block is read.
 */
static void test_every_byte(void **state)
{
	struct drive_config config;
	enum drive_trouble trouble;
	struct medium_list list;
	uint64_t at, size;
	struct drive d;

	make(&d, state, 512);
	assert_true(drive_finish(&d));
	config = d.config;
	list = copy_list(&d.media);
	drive_close(&d);
	assert_true(opens(&config, *state, &list));
	assert_true(verifies(&config, *state, &list, NULL));
	size = size_of(*state, FILE_1);
	for (at = 0; at < size; at++) {
		flip(*state, FILE_1, at, 1U << at % 8);
		assert_false(verifies(&config, *state, &list, &trouble));
		assert_int_equal(trouble, DRIVE_DAMAGED);
		opens(&config, *state, &list);
		flip(*state, FILE_1, at, 1U << at % 8);
	}
	assert_true(opens(&config, *state, &list));
	medium_list_free(&list);
}

/* The checksums of the tape detect damage in each of its parts. */
static void test_parts(void **state)
{
	static const struct {
		uint64_t at;
		const char *what;
	} parts[] = {
		{ 0, "label" }, { 300, "label" }, { 511, "label" },
		{ 512, "frame 0" }, { 512 + 63, "frame 0" },
		{ 512 + 64, "block 0" },
		{ 512 + 64 + 3 * BLOCK + 20, "frame 1" },
	};
	struct drive_config config;
	struct medium_list list;
	struct drive d;
	size_t i;

	make(&d, state, 0);
	assert_true(drive_finish(&d));
	list = copy_list(&d.media);
	config = reading(&d.config);
	drive_close(&d);
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct medium_list copy = copy_list(&list);

		flip(*state, FILE_1, parts[i].at, 0x10);
		assert_false(drive_verify(&d, &config,
					  ((struct place *)*state)->dir, &copy,
					  any_tick, NULL));
		assert_int_equal(d.trouble, DRIVE_DAMAGED);
		assert_non_null(strstr(d.why, parts[i].what));
		assert_non_null(strstr(d.why, FILE_1));
		flip(*state, FILE_1, parts[i].at, 0x10);
		medium_list_free(&copy);
	}
	medium_list_free(&list);
}

/* Truncated at any position, with a manifest that matches. */
static void test_every_length(void **state)
{
	struct drive_config config;
	struct medium_list list;
	uint64_t size;
	struct drive d;

	make(&d, state, 512);
	assert_true(drive_finish(&d));
	config = d.config;
	list = copy_list(&d.media);
	drive_close(&d);
	size = size_of(*state, FILE_1);
	set_size(*state, FILE_1, size + 1);
	assert_false(opens(&config, *state, &list));
	while (size > 0) {
		size--;
		set_size(*state, FILE_1, size);
		list.file[0].bytes = size;
		assert_false(opens(&config, *state, &list));
		assert_false(verifies(&config, *state, &list, NULL));
	}
	medium_list_free(&list);
}

static void copy_file(const struct place *place, const char *from,
		      const char *to)
{
	int in = openat(place->dir, from, O_RDONLY);
	int out = openat(place->dir, to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t n;

	while ((n = read(in, back, sizeof(back))) > 0)
		assert_int_equal(write(out, back, n), n);
	close(in);
	close(out);
}

/* Valid tapes of another device or ordinal. */
static void test_strangers(void **state)
{
	struct drive_config config = writing(TAPE), other = writing(TAPE);
	struct medium_list list;
	struct drive d;

	open_writing(&d, &config, *state);
	put(&d, 1, 1);
	expect_code(&d, VDC_Load, 0, 0);
	put(&d, 1, 2);
	assert_true(drive_finish(&d));
	list = copy_list(&d.media);
	drive_close(&d);

	other.device = 1;
	open_writing(&d, &other, *state);
	put(&d, 1, 1);
	assert_true(drive_finish(&d));
	drive_close(&d);

	copy_file(*state, FILE_1, "saved");
	copy_file(*state, "device-00.medium-0002", FILE_1);
	assert_false(opens(&config, *state, &list));
	copy_file(*state, "device-01.medium-0001", FILE_1);
	assert_false(opens(&config, *state, &list));
	copy_file(*state, "saved", FILE_1);
	assert_true(opens(&config, *state, &list));
	config.block_size = 1024;
	assert_false(opens(&config, *state, &list));
	medium_list_free(&list);
}

/* The second medium of another backup, after the first of this one. */
static void test_mixed_families(void **state)
{
	struct drive_config config = writing(TAPE);
	struct place *place = *state;
	struct drive d;
	int family;

	for (family = 2; family; family--) {
		unlinkat(place->dir, FILE_1, 0);
		config.family = family;
		open_writing(&d, &config, place);
		put(&d, 1, 1);
		expect_code(&d, VDC_Load, 0, 0);
		put(&d, 1, 2);
		if (family == 1)
			break;
		assert_true(drive_finish(&d));
		drive_close(&d);
		copy_file(place, "device-00.medium-0002", "saved");
		unlinkat(place->dir, "device-00.medium-0002", 0);
	}
	reopen_reading(&d);
	get(&d, 1, 1);
	copy_file(place, "saved", "device-00.medium-0002");
	expect_code(&d, VDC_Load, 0, ERROR_IO_DEVICE);
	assert_int_equal(d.trouble, DRIVE_DAMAGED);
	drive_close(&d);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_reading),
		TEST(test_other_pieces),
		TEST(test_writing_is_in_blocks),
		TEST(test_skip_marks),
		TEST(test_skip_blocks),
		TEST(test_set_position),
		TEST(test_overwriting_truncates),
		TEST(test_mark_truncates),
		TEST(test_cutting_damage),
		TEST(test_flush_then_more),
		TEST(test_room_after_rewind),
		TEST(test_soft_marks_take_room),
		TEST(test_every_byte),
		TEST(test_parts),
		TEST(test_every_length),
		TEST(test_strangers),
		TEST(test_mixed_families),
	};

	return cmocka_run_group_tests_name("tape", tests, NULL, NULL);
}
