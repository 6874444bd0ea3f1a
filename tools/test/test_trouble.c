// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_trouble.c - drives after errors: full disks; missing, replaced media
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "media.h"

static void limit(rlim_t bytes)
{
	struct rlimit rlimit;

	getrlimit(RLIMIT_FSIZE, &rlimit);
	rlimit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &rlimit), 0);
}

static void no_room(void **state, uint32_t features, unsigned int device)
{
	struct drive_config config = writing(features);
	struct drive d;

	config.device = device;
	open_writing(&d, &config, *state);
	write_blocks(&d, 8, 0, 1, 0, 8);
	limit(16 * BLOCK);
	write_blocks(&d, 16, 8 * BLOCK, 2, ERROR_DISK_FULL, 0);
	limit(RLIM_INFINITY);
	assert_int_equal(d.trouble, DRIVE_FAILED);
	assert_non_null(strstr(d.why, d.media.file[0].name));
	assert_non_null(strstr(d.why, strerror(EFBIG)));
	/* the trouble remains, but the database can clear the error and read */
	expect_code(&d, VDC_ClearError, 0, 0);
	write_blocks(&d, 1, 8 * BLOCK, 3, ERROR_DISK_FULL, 0);
	expect_code(&d, VDC_Flush, 0, ERROR_DISK_FULL);
	assert_false(drive_finish(&d));
	drive_close(&d);
}

static void test_no_room(void **state)
{
	no_room(state, VDF_LikePipe, 0);
	no_room(state, VDF_LikeDisk, 1);
	no_room(state, VDF_LikeTape, 2);
}

static void test_no_room_for_the_end_of_a_tape(void **state)
{
	struct drive_config config = writing(VDF_LikeTape);
	struct drive d;

	open_writing(&d, &config, *state);
	write_blocks(&d, 8, 0, 1, 0, 8);
	limit(TAPE_LABEL_SIZE + TAPE_FRAME_SIZE + 8 * BLOCK + 10);
	expect_code(&d, VDC_Flush, 0, ERROR_DISK_FULL);
	limit(RLIM_INFINITY);
	assert_false(drive_finish(&d));
	drive_close(&d);
}

static void test_broken_disk(void **state)
{
	static const uint32_t features[] = { VDF_LikePipe, DISK, TAPE };
	size_t i;

	for (i = 0; i < 3; i++) {
		struct drive_config config = writing(features[i]);
		struct drive d;
		int fd;

		config.device = i;
		open_writing(&d, &config, *state);
		write_blocks(&d, 1, 0, 1, 0, 1);
		/* a descriptor that cannot be written: EBADF in place of EIO */
		fd = open("/dev/null", O_RDONLY);
		dup2(fd, d.medium.fd);
		close(fd);
		write_blocks(&d, 1, BLOCK, 2, ERROR_IO_DEVICE, 0);
		assert_int_equal(d.trouble, DRIVE_FAILED);
		expect_code(&d, VDC_Flush, 0, ERROR_IO_DEVICE);
		assert_false(drive_finish(&d));
		drive_close(&d);
	}
}

static void test_cannot_create(void **state)
{
	struct drive_config config = writing(VDF_LikePipe | VDF_Removable);
	struct place *place = *state;
	struct drive d, other;
	int fd;

	open_writing(&d, &config, place);
	/* existing files are never overwritten */
	assert_false(drive_open(&other, &config, place->dir, NULL));
	assert_int_equal(other.trouble, DRIVE_FAILED);
	assert_non_null(strstr(other.why, "device-00.medium-0001"));
	drive_close(&other);
	fd = openat(place->dir, "device-00.medium-0002", O_CREAT | O_RDWR,
		    0600);
	close(fd);
	write_blocks(&d, 1, 0, 1, 0, 1);
	expect_code(&d, VDC_Load, 0, ERROR_IO_DEVICE);
	assert_int_equal(d.trouble, DRIVE_FAILED);
	assert_false(drive_finish(&d));
	drive_close(&d);
}

/* A medium that is loaded again must be the file that was unloaded. */
static void test_replaced_medium(void **state)
{
	static const char *const commands[] = {
		"cd %s && cp device-00.medium-0001 x && mv x device-00.medium-0001",
		"cd %s && rm device-00.medium-0001 && mkfifo device-00.medium-0001",
		"cd %s && echo >> device-00.medium-0001",
	};
	struct drive_config config = writing(VDF_LikeDisk | VDF_Removable);
	struct place *place = *state;
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		char command[256];
		struct drive d;

		open_writing(&d, &config, place);
		write_blocks(&d, 1, 0, 1, 0, 1);
		expect_code(&d, VDC_Load, 2, 0);
		snprintf(command, sizeof(command), commands[i], place->path);
		assert_int_equal(system(command), 0);
		expect_code(&d, VDC_Load, 1, ERROR_IO_DEVICE);
		assert_int_equal(d.trouble, DRIVE_FAILED);
		assert_non_null(strstr(d.why, "device-00.medium-0001 was replaced"));
		assert_false(drive_finish(&d));
		drive_close(&d);
		unlinkat(place->dir, "device-00.medium-0001", 0);
		unlinkat(place->dir, "device-00.medium-0002", 0);
	}
}

static void test_missing_medium(void **state)
{
	struct drive_config config = writing(VDF_LikePipe | VDF_Removable);
	struct place *place = *state;
	struct drive d;

	open_writing(&d, &config, place);
	write_blocks(&d, 1, 0, 1, 0, 1);
	expect_code(&d, VDC_Load, 0, 0);
	write_blocks(&d, 1, 0, 1, 0, 1);
	reopen_reading(&d);
	unlinkat(place->dir, "device-00.medium-0002", 0);
	assert_false(verifies(&config, place, &d.media, NULL));
	expect_code(&d, VDC_Load, 2, ERROR_IO_DEVICE);
	assert_int_equal(d.trouble, DRIVE_DAMAGED);
	assert_non_null(strstr(d.why, "device-00.medium-0002"));
	drive_close(&d);
}

/* A restore rejects everything that verify rejects. */
static void test_restore_rejects_what_verify_rejects(void **state)
{
	static const char *const commands[] = {
		"cd %s && echo >> device-00.medium-0001",
		"cd %s && truncate -s -1 device-00.medium-0001",
		"cd %s && rm device-00.medium-0001",
		"cd %s && mv device-00.medium-0001 x && ln -s x device-00.medium-0001",
		"cd %s && rm device-00.medium-0001 && mkfifo device-00.medium-0001",
		"cd %s && rm device-00.medium-0001 && mkdir device-00.medium-0001",
	};
	struct drive_config config = writing(VDF_LikePipe | VDF_Removable);
	struct place *place = *state;
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct drive_config reader = reading(&config);
		enum drive_trouble trouble;
		struct medium_list list;
		char command[256];
		struct drive d;

		open_writing(&d, &config, place);
		write_blocks(&d, 2, 0, 1, 0, 2);
		assert_true(drive_finish(&d));
		list = copy_list(&d.media);
		drive_close(&d);
		snprintf(command, sizeof(command), commands[i], place->path);
		assert_int_equal(system(command), 0);
		assert_false(verifies(&config, place, &list, &trouble));
		assert_int_equal(trouble, DRIVE_DAMAGED);
		assert_false(drive_open(&d, &reader, place->dir, &list));
		assert_int_equal(d.trouble, DRIVE_DAMAGED);
		drive_close(&d);
		snprintf(command, sizeof(command), "rm -rf %s/*", place->path);
		assert_int_equal(system(command), 0);
	}
}

/* An empty medium is not read, but its checksum is checked. */
static void test_empty_medium(void **state)
{
	struct drive_config config = writing(VDF_LikePipe);
	struct drive_config reader = reading(&config);
	struct place *place = *state;
	enum drive_trouble trouble;
	struct medium_list list;
	struct drive d;

	open_writing(&d, &config, place);
	assert_true(drive_finish(&d));
	list = copy_list(&d.media);
	assert_true(verifies(&config, place, &list, &trouble));
	list.file[0].xxh3++;
	assert_false(verifies(&config, place, &list, &trouble));
	drive_close(&d);
	assert_false(drive_open(&d, &reader, place->dir, &list));
	assert_int_equal(d.trouble, DRIVE_DAMAGED);
	assert_non_null(strstr(d.why, "checksum"));
	drive_close(&d);
}

/* A file that was replaced after open is rejected, even with the same contents. */
static void test_replaced_since_opened(void **state)
{
	struct drive_config config = writing(VDF_LikeDisk);
	struct drive_config reader = reading(&config);
	struct place *place = *state;
	struct medium_list list;
	char command[256];
	struct drive d;

	open_writing(&d, &config, place);
	write_blocks(&d, 2, 0, 1, 0, 2);
	assert_true(drive_finish(&d));
	assert_true(medium_list_copy(&list, &d.media));
	drive_close(&d);
	snprintf(command, sizeof(command),
		 "cd %s && cp device-00.data x && mv x device-00.data",
		 place->path);
	assert_int_equal(system(command), 0);
	assert_false(drive_open(&d, &reader, place->dir, &list));
	assert_int_equal(d.trouble, DRIVE_DAMAGED);
	assert_non_null(strstr(d.why, "replaced or changed"));
	drive_close(&d);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_no_room),
		TEST(test_no_room_for_the_end_of_a_tape),
		TEST(test_broken_disk),
		TEST(test_cannot_create),
		TEST(test_replaced_medium),
		TEST(test_missing_medium),
		TEST(test_restore_rejects_what_verify_rejects),
		TEST(test_empty_medium),
		TEST(test_replaced_since_opened),
	};

	return cmocka_run_group_tests_name("trouble", tests, NULL, NULL);
}
