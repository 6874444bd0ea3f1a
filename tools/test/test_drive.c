// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_drive.c - pipes and disks, the changer, the end of media
 */
#include <stdio.h>
#include <unistd.h>

#include "media.h"

static uint8_t data[64 * BLOCK], back[64 * BLOCK];

static void get(struct drive *d, uint32_t blocks, int64_t position,
		unsigned int seed)
{
	memset(back, 0xee, sizeof(back));
	expect_outcome(d, VDC_Read, blocks * BLOCK, position, back, 0,
		       blocks * BLOCK);
	assert_filled(back, blocks * BLOCK, seed);
}

/* ------------------------------------------------------ supported commands */

struct known {
	uint32_t features;
	uint32_t commands;	/* a bit for each supported command */
};

#define C(name) (1U << VDC_##name)
#define BASIC	(C(Write) | C(ClearError) | C(Flush))

static void test_commands_follow_features(void **state)
{
	static const struct known known[] = {
		{ VDF_LikePipe, BASIC },
		{ VDF_LikePipe | VDF_Removable, BASIC | C(Load) },
		{ VDF_LikePipe | VDF_Discard, BASIC | C(Discard) },
		{ VDF_LikeDisk, BASIC | C(Read) | C(GetPosition) |
		  C(SetPosition) },
		{ VDF_LikeDisk | VDF_Removable, BASIC | C(Read) | C(Load) |
		  C(GetPosition) | C(SetPosition) },
		{ VDF_LikeTape, BASIC | C(Read) | C(Load) | C(Rewind) |
		  C(WriteMark) | C(SkipMarks) | C(SkipBlocks) |
		  C(GetPosition) | C(SetPosition) },
	};
	struct place *place = *state;
	size_t i;
	int code;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct drive_config config = writing(known[i].features);

		for (code = 0; code <= 25; code++) {
			char name[32] = "device-00.data";
			struct outcome o;
			struct drive d;

			open_writing(&d, &config, place);
			snprintf(name, sizeof(name), "%s",
				 d.media.file[0].name);
			o = run(&d, code, 0, 0, data);
			assert_int_equal(o.code != ERROR_NOT_SUPPORTED,
					 code < 20 &&
					 known[i].commands >> code & 1);
			assert_int_equal(d.trouble, DRIVE_FINE);
			drive_close(&d);
			unlinkat(place->dir, name, 0);
			unlinkat(place->dir, "device-00.medium-0002", 0);
		}
	}
}

static void test_backwards_needs_its_bit(void **state)
{
	struct drive_config config = writing(VDF_LikeTape &
					     ~VDF_ReversePosition);
	struct drive d;

	open_writing(&d, &config, *state);
	expect_code(&d, VDC_SkipMarks, 0, 0);
	expect_code(&d, VDC_SkipMarks, -1, ERROR_NOT_SUPPORTED);
	expect_code(&d, VDC_SkipBlocks, -1, ERROR_NOT_SUPPORTED);
	drive_close(&d);
}

static void test_restore_cannot_write(void **state)
{
	static const uint32_t features[] = { VDF_LikePipe, DISK, TAPE };
	size_t i;

	for (i = 0; i < 3; i++) {
		struct drive_config config = writing(features[i]);
		struct drive d;

		config.device = i;
		open_writing(&d, &config, *state);
		write_blocks(&d, 2, 0, 1, 0, 2);
		reopen_reading(&d);
		expect_code(&d, VDC_Write, BLOCK, ERROR_NOT_SUPPORTED);
		expect_code(&d, VDC_WriteMark, 0, ERROR_NOT_SUPPORTED);
		expect_code(&d, VDC_Discard, 0, ERROR_NOT_SUPPORTED);
		expect_code(&d, VDC_Flush, 0, 0);
		get(&d, 2, 0, 1);
		drive_close(&d);
	}
}

/* -------------------------------------------------------------------- pipe */

static void test_pipe(void **state)
{
	struct drive_config config = writing(VDF_LikePipe);
	struct drive d;

	open_writing(&d, &config, *state);
	/* the position is ignored */
	write_blocks(&d, 3, 99999, 1, 0, 3);
	write_blocks(&d, 2, -5, 2, 0, 2);
	write_blocks(&d, 0, 0, 3, 0, 0);
	expect_code(&d, VDC_Flush, 0, 0);
	write_blocks(&d, 1, 0, 4, 0, 1);
	reopen_reading(&d);
	assert_int_equal(d.media.count, 1);
	assert_int_equal(d.media.file[0].bytes, 6 * BLOCK);
	get(&d, 3, 1234, 1);
	get(&d, 2, 0, 2);
	/* short at the end, then nothing */
	expect_outcome(&d, VDC_Read, 2 * BLOCK, 0, back, ERROR_HANDLE_EOF,
		       BLOCK);
	assert_filled(back, BLOCK, 4);
	expect_outcome(&d, VDC_Read, BLOCK, 0, back, ERROR_HANDLE_EOF, 0);
	expect_code(&d, VDC_ClearError, 0, 0);
	drive_close(&d);
}

static void test_pipe_damage(void **state)
{
	struct drive_config config = writing(VDF_LikePipe);
	struct drive d;

	open_writing(&d, &config, *state);
	write_blocks(&d, 4, 0, 1, 0, 4);
	reopen_reading(&d);
	flip(*state, "device-00.data", 4 * BLOCK - 1, 1);
	/* the last byte of damaged data is not handed over */
	get(&d, 3, 0, 1);
	expect_outcome(&d, VDC_Read, BLOCK, 0, back, ERROR_IO_DEVICE, 0);
	assert_int_equal(d.trouble, DRIVE_DAMAGED);
	assert_non_null(strstr(d.why, "device-00.data"));
	expect_outcome(&d, VDC_Read, BLOCK, 0, back, ERROR_IO_DEVICE, 0);
	drive_close(&d);
}

static void test_pipe_cut_off(void **state)
{
	struct drive_config config = writing(VDF_LikePipe);
	struct drive d;

	open_writing(&d, &config, *state);
	write_blocks(&d, 4, 0, 1, 0, 4);
	reopen_reading(&d);
	set_size(*state, "device-00.data", 4 * BLOCK - 1);
	expect_outcome(&d, VDC_Read, 4 * BLOCK, 0, back, ERROR_IO_DEVICE, 0);
	assert_int_equal(d.trouble, DRIVE_DAMAGED);
	drive_close(&d);
}

/* -------------------------------------------------------------------- disk */

static void test_disk_positions(void **state)
{
	struct drive_config config = writing(VDF_LikeDisk);
	struct outcome o;
	struct drive d;

	open_writing(&d, &config, *state);
	write_blocks(&d, 2, 0, 1, 0, 2);
	assert_int_equal(where(&d), 2 * BLOCK);
	write_blocks(&d, 4, 6 * BLOCK, 2, 0, 4);		/* leaves a hole */
	assert_int_equal(where(&d), 10 * BLOCK);
	/* data can be read back at once */
	get(&d, 2, 0, 1);
	assert_int_equal(where(&d), 2 * BLOCK);
	expect_outcome(&d, VDC_Read, 4 * BLOCK, 2 * BLOCK, back, 0, 4 * BLOCK);
	memset(data, 0, 4 * BLOCK);
	assert_memory_equal(back, data, 4 * BLOCK);

	o = run(&d, VDC_SetPosition, VDC_Beginning, 5, NULL);
	assert_int_equal(o.code, 0);
	assert_int_equal(o.position, 5);
	o = run(&d, VDC_SetPosition, VDC_Current, -3, NULL);
	assert_int_equal(o.position, 2);
	o = run(&d, VDC_SetPosition, VDC_End, -(int64_t)BLOCK, NULL);
	assert_int_equal(o.position, 9 * BLOCK);
	o = run(&d, VDC_SetPosition, VDC_End, 100, NULL);
	assert_int_equal(o.position, 10 * BLOCK + 100);
	o = run(&d, VDC_SetPosition, VDC_Beginning, -1, NULL);
	assert_int_equal(o.code, ERROR_NEGATIVE_SEEK);
	assert_int_equal(o.position, 10 * BLOCK + 100);
	o = run(&d, VDC_SetPosition, VDC_Current, INT64_MAX, NULL);
	assert_int_equal(o.code, ERROR_INVALID_PARAMETER);
	o = run(&d, VDC_SetPosition, 3, 0, NULL);
	assert_int_equal(o.code, ERROR_INVALID_PARAMETER);
	o = run(&d, VDC_SetPosition, -1, 0, NULL);
	assert_int_equal(o.code, ERROR_INVALID_PARAMETER);
	assert_int_equal(where(&d), 10 * BLOCK + 100);

	expect_outcome(&d, VDC_Write, BLOCK, -1, data, ERROR_NEGATIVE_SEEK, 0);
	expect_outcome(&d, VDC_Read, BLOCK, -1, back, ERROR_NEGATIVE_SEEK, 0);
	expect_outcome(&d, VDC_Read, BLOCK, INT64_MAX, back,
		       ERROR_INVALID_PARAMETER, 0);
	expect_outcome(&d, VDC_Write, BLOCK, INT64_MAX, data,
		       ERROR_INVALID_PARAMETER, 0);
	assert_int_equal(d.trouble, DRIVE_FINE);
	drive_close(&d);
}

static void test_disk_ends(void **state)
{
	struct drive_config config = writing(VDF_LikeDisk);
	struct drive d;

	open_writing(&d, &config, *state);
	write_blocks(&d, 8, 0, 1, 0, 8);
	/* writing the header again at the end must not truncate the data */
	write_blocks(&d, 1, 0, 2, 0, 1);
	expect_code(&d, VDC_Flush, 0, 0);
	assert_int_equal(size_of(*state, "device-00.data"), 8 * BLOCK);
	expect_outcome(&d, VDC_Read, 4 * BLOCK, 6 * BLOCK, back,
		       ERROR_HANDLE_EOF, 2 * BLOCK);
	expect_outcome(&d, VDC_Read, BLOCK, 8 * BLOCK, back,
		       ERROR_HANDLE_EOF, 0);
	expect_outcome(&d, VDC_Read, BLOCK, 1000 * BLOCK, back,
		       ERROR_HANDLE_EOF, 0);
	reopen_reading(&d);
	assert_int_equal(d.media.file[0].bytes, 8 * BLOCK);
	get(&d, 1, 0, 2);
	expect_outcome(&d, VDC_Read, 9 * BLOCK, 0, back, ERROR_HANDLE_EOF,
		       8 * BLOCK);
	drive_close(&d);
}

/* An older and longer file is truncated to the data. */
static void test_flush_sets_the_end(void **state)
{
	static const uint32_t features[] = { VDF_LikePipe, VDF_LikeDisk };
	size_t i;

	for (i = 0; i < 2; i++) {
		struct drive_config config = writing(features[i]);
		char name[32];
		struct drive d;

		config.device = i;
		open_writing(&d, &config, *state);
		snprintf(name, sizeof(name), "device-%02zu.data", i);
		write_blocks(&d, 3, 0, 1, 0, 3);
		set_size(*state, name, 9 * BLOCK);
		expect_code(&d, VDC_Flush, 0, 0);
		assert_int_equal(size_of(*state, name), 3 * BLOCK);
		drive_close(&d);
	}
}

/* A write after the end that stores nothing does not move the end. */
static void test_disk_no_bytes(void **state)
{
	struct drive_config config = writing(VDF_LikeDisk);
	struct drive d;

	config.capacity = 4 * BLOCK;
	open_writing(&d, &config, *state);
	write_blocks(&d, 2, 0, 1, 0, 2);
	expect_outcome(&d, VDC_Write, 0, 3 * BLOCK, data, 0, 0);
	expect_outcome(&d, VDC_Read, BLOCK, 2 * BLOCK, back,
		       ERROR_HANDLE_EOF, 0);
	write_blocks(&d, 1, 9 * BLOCK, 1, ERROR_END_OF_MEDIA, 0);
	expect_outcome(&d, VDC_Read, BLOCK, 2 * BLOCK, back,
		       ERROR_HANDLE_EOF, 0);
	assert_int_equal(d.trouble, DRIVE_FINE);
	reopen_reading(&d);
	assert_int_equal(d.media.file[0].bytes, 2 * BLOCK);
	drive_close(&d);
}

static void test_disk_sums(void **state)
{
	struct drive_config config = writing(VDF_LikeDisk);
	struct medium_list list;
	enum drive_trouble trouble;
	struct drive d;

	open_writing(&d, &config, *state);
	write_blocks(&d, 8, 0, 1, 0, 8);
	write_blocks(&d, 1, 3 * BLOCK, 2, 0, 1);
	assert_true(drive_finish(&d));
	list = copy_list(&d.media);
	drive_close(&d);
	assert_true(verifies(&config, *state, &list, &trouble));
	flip(*state, "device-00.data", 5 * BLOCK, 0x80);
	assert_false(verifies(&config, *state, &list, &trouble));
	assert_int_equal(trouble, DRIVE_DAMAGED);
	flip(*state, "device-00.data", 5 * BLOCK, 0x80);
	assert_true(verifies(&config, *state, &list, &trouble));
	set_size(*state, "device-00.data", 8 * BLOCK + 1);
	assert_false(verifies(&config, *state, &list, &trouble));
	assert_int_equal(trouble, DRIVE_DAMAGED);
	medium_list_free(&list);
}

/* ----------------------------------------------------------------- changer */

static void test_load_on_backup(void **state)
{
	struct drive_config config = writing(VDF_LikeDisk | VDF_Removable);
	struct drive d;

	open_writing(&d, &config, *state);
	/* the first Load may request the loaded medium */
	expect_code(&d, VDC_Load, 0, 0);
	assert_int_equal(d.ordinal, 1);
	write_blocks(&d, 1, 0, 1, 0, 1);
	expect_code(&d, VDC_Load, 0, 0);
	assert_int_equal(d.ordinal, 2);
	assert_int_equal(where(&d), 0);
	write_blocks(&d, 2, 0, 2, 0, 2);
	expect_code(&d, VDC_Load, 3, 0);
	write_blocks(&d, 3, 0, 3, 0, 3);
	/* back to an existing medium, to read and change it */
	expect_code(&d, VDC_Load, 2, 0);
	get(&d, 2, 0, 2);
	write_blocks(&d, 1, BLOCK, 5, 0, 1);
	expect_code(&d, VDC_Load, 1, 0);
	get(&d, 1, 0, 1);
	/* a medium after the next does not exist; the drive is then empty */
	expect_code(&d, VDC_Load, 5, ERROR_NO_MEDIA_IN_DRIVE);
	expect_code(&d, VDC_Read, BLOCK, ERROR_NO_MEDIA_IN_DRIVE);
	expect_code(&d, VDC_Write, BLOCK, ERROR_NO_MEDIA_IN_DRIVE);
	expect_code(&d, VDC_GetPosition, 0, ERROR_NO_MEDIA_IN_DRIVE);
	expect_code(&d, VDC_Flush, 0, 0);
	expect_code(&d, VDC_Load, -1, ERROR_INVALID_PARAMETER);
	expect_code(&d, VDC_Load, 3, 0);
	get(&d, 3, 0, 3);
	/* a blank medium is not kept */
	expect_code(&d, VDC_Load, 0, 0);
	assert_int_equal(d.ordinal, 4);
	reopen_reading(&d);
	assert_int_equal(d.media.count, 3);
	assert_true(verifies(&config, *state, &d.media, NULL));
	assert_int_equal(faccessat(((struct place *)*state)->dir,
				   "device-00.medium-0004", F_OK, 0), -1);
	get(&d, 1, 0, 1);
	expect_code(&d, VDC_Load, 0, 0);
	get(&d, 1, BLOCK, 5);
	drive_close(&d);
}

static void test_first_load_after_use(void **state)
{
	struct drive_config config = writing(VDF_LikePipe | VDF_Removable);
	struct drive d;

	open_writing(&d, &config, *state);
	expect_code(&d, VDC_Flush, 0, 0);
	expect_code(&d, VDC_Load, 1, 0);
	assert_int_equal(d.ordinal, 1);
	write_blocks(&d, 1, 0, 1, 0, 1);
	/* on a pipe, earlier media are not accessible */
	expect_code(&d, VDC_Load, 1, ERROR_NO_MEDIA_IN_DRIVE);
	expect_code(&d, VDC_Load, 0, 0);
	assert_int_equal(d.ordinal, 2);
	write_blocks(&d, 1, 0, 2, 0, 1);
	reopen_reading(&d);
	get(&d, 1, 0, 1);
	expect_code(&d, VDC_Load, 0, 0);
	get(&d, 1, 0, 2);
	/* except in a restore */
	expect_code(&d, VDC_Load, 1, 0);
	get(&d, 1, 0, 1);
	expect_outcome(&d, VDC_Read, BLOCK, 0, back, ERROR_HANDLE_EOF, 0);
	expect_code(&d, VDC_Load, 0, 0);
	expect_code(&d, VDC_Load, 0, ERROR_NO_MEDIA_IN_DRIVE);
	expect_code(&d, VDC_Load, 0, ERROR_NO_MEDIA_IN_DRIVE);
	expect_code(&d, VDC_Read, BLOCK, ERROR_NO_MEDIA_IN_DRIVE);
	expect_code(&d, VDC_Load, 2, 0);
	get(&d, 1, 0, 2);
	drive_close(&d);
}

static void test_many_media(void **state)
{
	struct drive_config config = writing(VDF_LikePipe | VDF_Removable);
	struct drive d;
	int i;

	open_writing(&d, &config, *state);
	for (i = 0; i < 300; i++) {
		write_blocks(&d, 1, 0, i, 0, 1);
		expect_code(&d, VDC_Load, 0, 0);
	}
	reopen_reading(&d);
	assert_int_equal(d.media.count, 300);
	assert_string_equal(d.media.file[299].name, "device-00.medium-0300");
	for (i = 0; i < 300; i++) {
		get(&d, 1, 0, i);
		expect_code(&d, VDC_Load, 0,
			    i < 299 ? 0 : ERROR_NO_MEDIA_IN_DRIVE);
	}
	drive_close(&d);
}

static void test_discard(void **state)
{
	static const uint32_t features[] = {
		VDF_LikePipe | VDF_Removable | VDF_Discard,
		VDF_LikeDisk | VDF_Removable | VDF_Discard, TAPE,
	};
	size_t i;

	for (i = 0; i < 3; i++) {
		struct drive_config config = writing(features[i]);
		struct drive d;

		config.device = i;
		open_writing(&d, &config, *state);
		write_blocks(&d, 9, 0, 1, 0, 9);
		expect_code(&d, VDC_Load, 0, 0);
		write_blocks(&d, 9, 0, 1, 0, 9);
		expect_code(&d, VDC_Discard, 0, 0);
		assert_int_equal(d.media.count, 1);
		write_blocks(&d, 2, 0, 2, 0, 2);
		reopen_reading(&d);
		assert_true(verifies(&config, *state, &d.media, NULL));
		get(&d, 2, 0, 2);
		expect_outcome(&d, VDC_Read, BLOCK, 2 * BLOCK, back,
			       i == 2 ? ERROR_NO_DATA_DETECTED :
			       ERROR_HANDLE_EOF, 0);
		drive_close(&d);
	}
}

/* ------------------------------------------------------------ end of media */

/* The same arithmetic for all removable media. */
static void end_of_medium(void **state, uint32_t features, unsigned int device)
{
	struct drive_config config = writing(features);
	struct drive d;

	config.device = device;
	config.capacity = 16 * BLOCK + 100;	/* in whole blocks */
	config.eom_warning = 4 * BLOCK + 100;
	open_writing(&d, &config, *state);
	write_blocks(&d, 11, 0, 1, 0, 11);
	/* up to the start of the zone: there is a warning */
	write_blocks(&d, 1, 11 * BLOCK, 2, ERROR_END_OF_MEDIA, 1);
	write_blocks(&d, 2, 12 * BLOCK, 3, ERROR_END_OF_MEDIA, 2);
	/* past the end: one write is stored in part, the next is refused */
	write_blocks(&d, 5, 14 * BLOCK, 4, ERROR_END_OF_MEDIA, 2);
	write_blocks(&d, 2, 16 * BLOCK, 5, ERROR_EOM_OVERFLOW, 0);
	/* except the two blocks that end the medium */
	write_blocks(&d, 1, 16 * BLOCK, 5, ERROR_END_OF_MEDIA, 1);
	write_blocks(&d, 1, 17 * BLOCK, 6, ERROR_END_OF_MEDIA, 1);
	write_blocks(&d, 1, 18 * BLOCK, 7, ERROR_EOM_OVERFLOW, 0);
	assert_int_equal(d.trouble, DRIVE_FINE);
	expect_code(&d, VDC_Flush, 0, 0);
	expect_code(&d, VDC_Load, 0, 0);
	write_blocks(&d, 16, 0, 6, ERROR_END_OF_MEDIA, 16);
	/* exactly full: the next write stores nothing */
	write_blocks(&d, 2, 16 * BLOCK, 7, ERROR_END_OF_MEDIA, 0);
	write_blocks(&d, 2, 16 * BLOCK, 7, ERROR_EOM_OVERFLOW, 0);
	expect_code(&d, VDC_Load, 0, 0);
	write_blocks(&d, 20, 0, 8, ERROR_END_OF_MEDIA, 16);
	write_blocks(&d, 20, 16 * BLOCK, 9, ERROR_EOM_OVERFLOW, 0);
	reopen_reading(&d);
	assert_int_equal(d.media.count, 3);
	get(&d, 11, 0, 1);
	get(&d, 1, 11 * BLOCK, 2);
	get(&d, 2, 12 * BLOCK, 3);
	get(&d, 2, 14 * BLOCK, 4);
	expect_code(&d, VDC_Load, 0, 0);
	get(&d, 16, 0, 6);
	expect_code(&d, VDC_Load, 0, 0);
	get(&d, 16, 0, 8);
	drive_close(&d);
}

static void test_end_of_medium(void **state)
{
	end_of_medium(state, VDF_LikePipe | VDF_Removable, 0);
	end_of_medium(state, VDF_LikeDisk | VDF_Removable, 1);
	end_of_medium(state, VDF_LikeTape, 2);
}

static void test_no_zone(void **state)
{
	struct drive_config config = writing(VDF_LikePipe | VDF_Removable);
	struct drive d;

	config.capacity = 4 * BLOCK;
	open_writing(&d, &config, *state);
	write_blocks(&d, 3, 0, 1, 0, 3);
	write_blocks(&d, 1, 0, 2, ERROR_END_OF_MEDIA, 1);
	write_blocks(&d, 1, 0, 3, ERROR_END_OF_MEDIA, 1);
	write_blocks(&d, 1, 0, 4, ERROR_END_OF_MEDIA, 1);
	write_blocks(&d, 1, 0, 5, ERROR_END_OF_MEDIA, 0);
	write_blocks(&d, 1, 0, 5, ERROR_EOM_OVERFLOW, 0);
	drive_close(&d);
}

static void test_disk_overwrite_near_the_end(void **state)
{
	struct drive_config config = writing(VDF_LikeDisk | VDF_Removable);
	struct drive d;

	config.capacity = 16 * BLOCK;
	config.eom_warning = 4 * BLOCK;
	open_writing(&d, &config, *state);
	write_blocks(&d, 16, 0, 1, ERROR_END_OF_MEDIA, 16);
	write_blocks(&d, 1, 0, 2, 0, 1);		/* the header fits */
	write_blocks(&d, 2, 11 * BLOCK, 3, ERROR_END_OF_MEDIA, 2);
	write_blocks(&d, 1, 100 * BLOCK, 3, ERROR_END_OF_MEDIA, 0);
	/* data that was not stored has not extended the file */
	assert_int_equal(d.medium.end, 16 * BLOCK);
	drive_close(&d);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_commands_follow_features),
		TEST(test_backwards_needs_its_bit),
		TEST(test_restore_cannot_write),
		TEST(test_pipe),
		TEST(test_pipe_damage),
		TEST(test_pipe_cut_off),
		TEST(test_disk_positions),
		TEST(test_disk_ends),
		TEST(test_flush_sets_the_end),
		TEST(test_disk_no_bytes),
		TEST(test_disk_sums),
		TEST(test_load_on_backup),
		TEST(test_first_load_after_use),
		TEST(test_many_media),
		TEST(test_discard),
		TEST(test_end_of_medium),
		TEST(test_no_zone),
		TEST(test_disk_overwrite_near_the_end),
	};

	return cmocka_run_group_tests_name("drive", tests, NULL, NULL);
}
