// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_io.c - concurrent transfers: the engine, and drives that use it
 *
 * All tests run with io_uring, if the kernel supports it, and with plain system
 * calls. The results must be the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "media.h"

#define SIZE	65536U
#define MANY	8U

static uint8_t *data;	/* MANY buffers on page boundaries, shared memory */

static uint8_t *buffer(unsigned int i)
{
	return data + i * SIZE;
}

static int setup(void **state)
{
	data = mmap(NULL, MANY * SIZE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(data, MAP_FAILED);
	return place_setup(state);
}

static int teardown(void **state)
{
	munmap(data, MANY * SIZE);
	return place_teardown(state);
}

/* ------------------------------------------------------------- the engine */

static int open_file(const struct place *place, int flags)
{
	int fd = openat(place->dir, "file", O_RDWR | O_CREAT | flags, 0600);

	assert_true(fd >= 0);
	return fd;
}

static void run_all(struct io *io, struct io_request *r, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		io_start(io, &r[i]);
	io_submit(io);
	for (i = 0; i < count; i++) {
		io_reap(io);
		while (r[i].busy)
			io_wait(io, -1, 0);
	}
}

static void write_and_read(const struct place *place, unsigned int depth,
			   bool expected)
{
	struct io_request r[MANY];
	struct io *io = io_open(depth);
	int fd = open_file(place, O_TRUNC);
	unsigned int i, pass;

	assert_non_null(io);
	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < MANY; i++) {
			if (expected)
				io_register(io, buffer(i), SIZE);
			if (!pass)
				fill(buffer(i), SIZE, i);
			else
				memset(buffer(i), 0, SIZE);
			r[i] = (struct io_request){
				.fd = fd,
				.write = !pass,
				.data = buffer(i),
				.offset = (uint64_t)(MANY - i) * SIZE,
				.size = SIZE,
				.enough = SIZE,
			};
		}
		run_all(io, r, MANY);
		for (i = 0; i < MANY; i++) {
			assert_int_equal(r[i].error, 0);
			assert_int_equal(r[i].done, SIZE);
			assert_filled(buffer(i), SIZE, i);
		}
	}
	io_close(io);
	close(fd);
}

static void test_engine(void **state)
{
	write_and_read(*state, MANY, false);
	write_and_read(*state, MANY, true);
	write_and_read(*state, 1, true);
}

/* The end of a file, and a file that cannot be written. */
static void test_engine_short(void **state)
{
	unsigned int depth;

	for (depth = 1; depth <= MANY; depth += MANY - 1) {
		struct io *io = io_open(depth);
		int fd = open_file(*state, O_TRUNC);
		struct io_request r[2] = {
			{ .fd = fd, .data = buffer(0), .size = SIZE,
			  .enough = 1000 },
			{ .fd = fd, .data = buffer(1), .size = SIZE,
			  .enough = 1001 },
		};
		struct io_request w = { .fd = -1, .write = true,
			.data = buffer(2), .size = SIZE, .enough = SIZE };

		assert_int_equal(pwrite(fd, data, 1000, 0), 1000);
		run_all(io, r, 2);
		assert_int_equal(r[0].error, 0);
		assert_int_equal(r[0].done, 1000);
		assert_int_equal(r[1].error, 0);
		assert_int_equal(r[1].done, 1000);
		run_all(io, &w, 1);
		assert_int_equal(w.error, EBADF);
		io_close(io);
		close(fd);
	}
}

static void test_engine_wait(void **state)
{
	struct io *io = io_open(4);
	struct io_request r = { .data = buffer(0), .size = 1, .enough = 1 };
	int file[2], other[2];

	(void)state;
	assert_int_equal(pipe(file), 0);
	assert_int_equal(pipe(other), 0);
	if (io_depth(io) == 1) {
		io_close(io);
		skip();
	}
	/* a read that does not complete; the other event ends the wait */
	r.fd = file[0];
	r.offset = -1;
	io_start(io, &r);
	assert_int_equal(write(other[1], "x", 1), 1);
	io_wait(io, other[0], POLLIN);
	assert_true(r.busy);
	assert_false(io_hung_up(io));
	close(other[1]);
	while (!io_hung_up(io))
		io_wait(io, other[0], 0);
	assert_true(r.busy);
	/* cancelling it leaves nothing in flight */
	io_cancel(io);
	assert_false(r.busy);
	assert_int_not_equal(r.error, 0);
	io_close(io);
	assert_int_equal(write(file[1], "y", 1), 1);
	assert_int_equal(read(file[0], buffer(1), 1), 1);
	close(file[0]);
	close(file[1]);
	close(other[0]);
}

/* -------------------------------------------------------------- transfers */

static struct VDC_Command commands[MANY];

static bool start(struct drive *d, unsigned int i, int code, int32_t size,
		  int64_t position)
{
	commands[i] = (struct VDC_Command){
		.commandCode = code,
		.size = size,
		.position = position,
		.buffer = buffer(i),
	};
	return drive_start(d, &commands[i]);
}

static struct outcome next(struct drive *d, unsigned int i)
{
	const struct VDC_Command *cmd;
	struct outcome out;

	drive_submit(d);
	while (!drive_next(d, &cmd, &out)) {
		assert_true(drive_under_way(d));
		drive_wait(d, -1, 0);
	}
	assert_ptr_equal(cmd, &commands[i]);
	return out;
}

static void done(struct drive *d, unsigned int i, int code, uint32_t bytes)
{
	struct outcome out = next(d, i);

	assert_int_equal(out.code, code);
	assert_int_equal(out.bytes, bytes);
}

struct way {
	unsigned int in_flight;
	enum medium_direct direct;
};

static const struct way ways[] = {
	{ MANY, DIRECT_AUTO }, { MANY, DIRECT_NEVER }, { 3, DIRECT_AUTO },
	{ 1, DIRECT_AUTO }, { 1, DIRECT_NEVER },
};

#define NWAYS	(sizeof(ways) / sizeof(ways[0]))

static struct drive_config config_of(uint32_t features, const struct way *way)
{
	struct drive_config config = writing(features);

	config.in_flight = way->in_flight;
	config.direct = way->direct;
	return config;
}

/* Start as many transfers of this size as possible, then wait for all. */
static void stream(struct place *place, const struct way *way, uint32_t size)
{
	struct drive_config config = config_of(VDF_LikePipe, way);
	unsigned int i, first, count = 3 * MANY;
	enum drive_trouble trouble;
	struct medium_list list;
	struct drive d;

	open_writing(&d, &config, place);
	for (i = first = 0; first < count; ) {
		while (i < count && i - first < MANY) {
			fill(buffer(i % MANY), size, i);
			if (!start(&d, i % MANY, VDC_Write, size, 0))
				break;
			i++;
		}
		assert_true(i > first);
		done(&d, first++ % MANY, ERROR_SUCCESS, size);
	}
	assert_int_equal(run(&d, VDC_Flush, 0, 0, NULL).code, 0);
	reopen_reading(&d);
	assert_int_equal(d.media.file[0].bytes, (uint64_t)count * size);
	list = copy_list(&d.media);
	assert_true(verifies(&d.config, place, &list, &trouble));
	medium_list_free(&list);
	for (i = first = 0; first < count; ) {
		while (i < count && i - first < MANY &&
		       start(&d, i % MANY, VDC_Read, size, 0))
			i++;
		done(&d, first % MANY, ERROR_SUCCESS, size);
		assert_filled(buffer(first % MANY), size, first);
		first++;
	}
	assert_true(d.media.file[0].whole);
	assert_true(start(&d, 0, VDC_Read, size, 0));
	assert_true(drive_full(&d));
	done(&d, 0, ERROR_HANDLE_EOF, 0);
	drive_close(&d);
	assert_int_equal(unlinkat(place->dir, "device-00.data", 0), 0);
}

static void test_stream(void **state)
{
	static const uint32_t sizes[] = { SIZE, 4096, 512, 7 * 512, 4096 + 512,
					  SIZE - 512, 5000 };
	unsigned int i, j;

	for (i = 0; i < NWAYS; i++) {
		for (j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++)
			stream(*state, &ways[i], sizes[j]);
	}
}

/* Count transfers in flight; transfers without I/O do not count. */
static void test_several(void **state)
{
	struct drive_config config = config_of(VDF_LikePipe, &ways[0]);
	struct drive d;
	unsigned int i;

	open_writing(&d, &config, *state);
	assert_true(start(&d, 0, VDC_Write, SIZE, 0));
	if (d.depth == 1) {
		drive_close(&d);
		skip();
	}
	for (i = 1; i < MANY; i++) {
		assert_false(drive_full(&d));
		assert_true(start(&d, i, VDC_Write, SIZE, 0));
	}
	assert_true(drive_full(&d));
	assert_false(start(&d, 0, VDC_Write, SIZE, 0));
	/* commands are completed in order */
	for (i = 0; i < MANY; i++)
		done(&d, i, ERROR_SUCCESS, SIZE);
	assert_false(drive_under_way(&d));
	drive_close(&d);
}

/* Transfers that overlap wait for each other. */
static void test_overlap(void **state)
{
	struct drive_config config = config_of(VDF_LikeDisk, &ways[0]);
	struct drive d;

	open_writing(&d, &config, *state);
	fill(buffer(0), SIZE, 1);
	fill(buffer(1), SIZE, 2);
	assert_true(start(&d, 0, VDC_Write, SIZE, 0));
	if (d.depth == 1) {
		drive_close(&d);
		skip();
	}
	assert_false(start(&d, 1, VDC_Write, SIZE, SIZE - 512));
	assert_false(start(&d, 2, VDC_Read, 512, 512));
	assert_true(start(&d, 1, VDC_Write, SIZE, SIZE));
	assert_int_equal(d.medium.end, 2 * SIZE);
	done(&d, 0, ERROR_SUCCESS, SIZE);
	assert_true(start(&d, 2, VDC_Read, SIZE, 0));
	/* reads of the same data do not wait */
	assert_true(start(&d, 3, VDC_Read, SIZE, 0));
	done(&d, 1, ERROR_SUCCESS, SIZE);
	done(&d, 2, ERROR_SUCCESS, SIZE);
	done(&d, 3, ERROR_SUCCESS, SIZE);
	assert_filled(buffer(2), SIZE, 1);
	assert_filled(buffer(3), SIZE, 1);
	drive_close(&d);
}

/*
 * The disk is full in the middle of several writes: the first failed write reports
 * the cause, those after it count as not executed, and data before it is kept.
 */
static void no_room(struct place *place, const struct way *way,
		    uint32_t features)
{
	struct drive_config config = config_of(features, way);
	struct rlimit old, limit = { 2 * SIZE + 4096, RLIM_INFINITY };
	unsigned int i, started = 0;
	struct drive d;

	open_writing(&d, &config, place);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (i = 0; i < 5; i++) {
		fill(buffer(i), SIZE, i);
		started += start(&d, i, VDC_Write, SIZE, i * SIZE);
		if (d.depth == 1 && started)
			break;
	}
	if (d.depth == 1) {
		/* one by one */
		done(&d, 0, ERROR_SUCCESS, SIZE);
		assert_true(start(&d, 1, VDC_Write, SIZE, SIZE));
		done(&d, 1, ERROR_SUCCESS, SIZE);
		assert_true(start(&d, 2, VDC_Write, SIZE, 2 * SIZE));
		done(&d, 2, ERROR_DISK_FULL, 0);
	} else {
		for (i = 0; i < started; i++) {
			struct outcome out = next(&d, i);

			assert_int_equal(out.code, i < 2 ? ERROR_SUCCESS :
					 i == 2 ? ERROR_DISK_FULL :
					 ERROR_IO_DEVICE);
			assert_int_equal(out.bytes, i < 2 ? SIZE : 0);
		}
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(d.trouble, DRIVE_FAILED);
	assert_non_null(strstr(d.why, "cannot write device-00.data: "));
	assert_int_equal(d.medium.end, 2 * SIZE);
	/* ClearError does not clear the trouble of the drive */
	assert_false(start(&d, 0, VDC_Write, SIZE, 0));
	assert_int_equal(run(&d, VDC_Write, SIZE, 0, data).code,
			 ERROR_DISK_FULL);
	assert_false(drive_finish(&d));
	drive_close(&d);
	assert_int_equal(unlinkat(place->dir, "device-00.data", 0), 0);
}

static void test_no_room(void **state)
{
	unsigned int i;

	for (i = 0; i < NWAYS; i++) {
		no_room(*state, &ways[i], VDF_LikePipe);
		no_room(*state, &ways[i], VDF_LikeDisk);
	}
}

/* The latest write wins; a write that fits in part ends a medium. */
static void test_end_of_medium(void **state)
{
	struct drive_config config = config_of(VDF_LikePipe | VDF_Removable,
					       &ways[0]);
	struct drive d;

	config.capacity = 2 * SIZE + 512;
	open_writing(&d, &config, *state);
	assert_true(start(&d, 0, VDC_Write, SIZE, 0));
	if (d.depth == 1) {
		drive_close(&d);
		skip();
	}
	assert_true(start(&d, 1, VDC_Write, SIZE, 0));
	assert_false(drive_full(&d));
	assert_true(start(&d, 2, VDC_Write, SIZE, 0));
	/* no command is started after a short write until that is completed */
	assert_true(drive_full(&d));
	assert_false(start(&d, 3, VDC_Write, SIZE, 0));
	done(&d, 0, ERROR_SUCCESS, SIZE);
	done(&d, 1, ERROR_SUCCESS, SIZE);
	done(&d, 2, ERROR_END_OF_MEDIA, 512);
	assert_true(start(&d, 3, VDC_Write, SIZE, 0));
	done(&d, 3, ERROR_EOM_OVERFLOW, 0);
	assert_true(drive_finish(&d));
	drive_close(&d);
}

/* Truncation and changes are detected with several reads in flight. */
static void damage(struct place *place, const struct way *way, bool cut)
{
	struct drive_config config = config_of(VDF_LikePipe, way);
	unsigned int i, first;
	struct drive d;
	int fd;

	open_writing(&d, &config, place);
	for (i = 0; i < 4; i++) {
		fill(buffer(0), SIZE, i);
		assert_true(start(&d, 0, VDC_Write, SIZE, 0));
		done(&d, 0, ERROR_SUCCESS, SIZE);
	}
	reopen_reading(&d);
	fd = openat(place->dir, "device-00.data", O_RDWR);
	assert_true(fd >= 0);
	if (cut)
		assert_int_equal(ftruncate(fd, 2 * SIZE + 100), 0);
	else
		assert_int_equal(pwrite(fd, "x", 1, SIZE + 17), 1);
	close(fd);
	for (i = first = 0; first < 4; first++) {
		struct outcome out;

		while (i < 4 && start(&d, i, VDC_Read, SIZE, 0))
			i++;
		if (i == first)
			break;	/* in trouble, with a cause */
		out = next(&d, first);
		if (first < (cut ? 2 : 3)) {
			assert_int_equal(out.code, ERROR_SUCCESS);
		} else {
			assert_int_equal(out.code, ERROR_IO_DEVICE);
			assert_int_equal(out.bytes, 0);
		}
	}
	assert_int_equal(d.trouble, DRIVE_DAMAGED);
	assert_false(d.media.file[0].whole);
	drive_close(&d);
	assert_int_equal(unlinkat(place->dir, "device-00.data", 0), 0);
}

static void test_damage(void **state)
{
	unsigned int i;

	for (i = 0; i < NWAYS; i++) {
		damage(*state, &ways[i], true);
		damage(*state, &ways[i], false);
	}
}

/* Stopped with transfers in flight: the memory is not accessed afterwards. */
static void test_stop(void **state)
{
	struct drive_config config = config_of(VDF_LikePipe, &ways[0]);
	unsigned int round, i;

	for (round = 0; round < 50; round++) {
		struct place *place = *state;
		struct drive d;

		open_writing(&d, &config, place);
		for (i = 0; i < MANY; i++) {
			if (!start(&d, i, VDC_Write, SIZE, 0))
				break;
		}
		drive_submit(&d);
		drive_stop(&d);
		assert_false(drive_under_way(&d));
		munmap(data, MANY * SIZE);
		drive_close(&d);
		unlinkat(place->dir, "device-00.data", 0);
		data = mmap(data, MANY * SIZE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		assert_ptr_not_equal(data, MAP_FAILED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_engine), T(test_engine_short), T(test_engine_wait),
		T(test_stream), T(test_several), T(test_overlap),
		T(test_no_room), T(test_end_of_medium), T(test_damage),
		T(test_stop),
	};

	return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}
