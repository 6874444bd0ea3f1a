// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_stages.c - compressed and filtered media
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "media.h"
#include "media/stage.h"

#define MIB	(1U << 20)
#define WRITE	100000		/* bytes of a command; not a divisor of a block */

struct codec_case {
	const struct codec *codec;	/* NULL = none */
	int level;
	const char *filter, *unfilter;
};

static const struct codec_case cases[] = {
	{ &codec_zstd, 0, NULL, NULL },
	{ &codec_zstd, 1, NULL, NULL },
	{ &codec_zstd, 19, NULL, NULL },
	{ &codec_lz4, 0, NULL, NULL },
	{ &codec_lz4, 9, NULL, NULL },
	{ NULL, 0, "gzip -1", "gzip -dc" },
	{ NULL, 0, "cat", "cat" },
	{ &codec_zstd, 0, "gzip -1", "gzip -dc" },
	{ &codec_lz4, 0, "tr '\\000-\\377' '\\001-\\377\\000'",
	  "tr '\\001-\\377\\000' '\\000-\\377'" },
};

#define NCASES	(sizeof(cases) / sizeof(cases[0]))

/* A medium that is written, with what a reader needs. */
struct written {
	struct medium_stages stages;
	struct drive_config config;
	struct medium_list list;
};

/* Text that shrinks, or bytes that do not. */
static uint8_t *make_data(size_t size, bool random)
{
	uint8_t *data = malloc(size + 1);
	uint64_t x = 88172645463325252ULL;
	size_t i;

	assert_non_null(data);
	for (i = 0; i < size; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		data[i] = random ? x >> 32 : 'a' + (x >> 32) % 5 + i / 9 % 7;
	}
	return data;
}

static void start(struct drive *d, const struct place *place, struct written *w,
		  const struct codec_case *c, unsigned int threads)
{
	*w = (struct written){ .config = writing(VDF_LikePipe) };
	w->stages.codec = c->codec;
	w->stages.command = c->filter;
	if (c->codec) {
		w->stages.pool = compress_pool_open(c->codec, c->level, threads, 1);
		assert_non_null(w->stages.pool);
	}
	w->config.stages = &w->stages;
	w->config.features |= VDF_CompleteEnabled;
	open_writing(d, &w->config, place);
}

/* False: a write has failed. */
static bool give(struct drive *d, uint8_t *data, size_t size)
{
	while (size) {
		size_t n = size < WRITE ? size : WRITE;
		struct outcome o = run(d, VDC_Write, n, 0, data);

		if (o.code != ERROR_SUCCESS || o.bytes != n)
			return false;
		data += n;
		size -= n;
	}
	return true;
}

static void end(struct drive *d, struct written *w)
{
	w->list = copy_list(&d->media);
	drive_close(d);
	compress_pool_close(w->stages.pool);
	w->stages.pool = NULL;
}

static void store(const struct place *place, struct written *w,
		  const struct codec_case *c, unsigned int threads,
		  uint8_t *data, size_t size)
{
	struct drive d;

	start(&d, place, w, c, threads);
	assert_true(give(&d, data, size));
	expect_code(&d, VDC_Flush, 0, ERROR_SUCCESS);
	if (!drive_finish(&d))
		fail_msg("%s", d.why);
	end(&d, w);
	assert_int_equal(w->list.file[0].given, size);
}

static struct drive_config to_read(struct written *w, const char *unfilter)
{
	struct drive_config config = reading(&w->config);

	w->stages.command = unfilter;
	return config;
}

/* Read everything that is handed over; the outcome is that of the last command. */
static size_t fetch(struct drive *d, const struct place *place, struct written *w,
		    const char *unfilter, uint8_t *to, size_t room,
		    struct outcome *last)
{
	struct drive_config config = to_read(w, unfilter);
	struct medium_list list = copy_list(&w->list);
	size_t done = 0;

	*last = (struct outcome){ .code = ERROR_IO_DEVICE };
	if (!drive_open(d, &config, place->dir, &list))
		return 0;
	do {
		size_t n = room - done < WRITE ? room - done : WRITE;

		*last = run(d, VDC_Read, n, 0, to + done);
		if (last->code == ERROR_SUCCESS || last->code == ERROR_HANDLE_EOF)
			done += last->bytes;
	} while (last->code == ERROR_SUCCESS);
	return done;
}

static void assert_restores(const struct place *place, struct written *w,
			    const char *unfilter, const uint8_t *data, size_t size)
{
	uint8_t *back = malloc(size + WRITE);
	struct outcome last;
	struct drive d;

	assert_int_equal(fetch(&d, place, w, unfilter, back, size + WRITE, &last), size);
	assert_int_equal(last.code, ERROR_HANDLE_EOF);
	assert_memory_equal(back, data, size);
	assert_true(d.media.file[0].whole);
	assert_int_equal(drive_data_bytes(&d), size);
	drive_close(&d);
	free(back);
}

static bool is_good(const struct place *place, struct written *w,
		    const char *unfilter, enum drive_trouble *trouble)
{
	struct drive_config config = to_read(w, unfilter);

	return verifies(&config, place, &w->list, trouble);
}

static void assert_tool_reads(const struct place *place, const struct written *w)
{
	const char *name = w->list.file[0].name;
	char command[256];

	snprintf(command, sizeof(command), "%s -tq %s/%s", codec_name(w->stages.codec),
		 place->path, name);
	assert_int_equal(system(command), 0);
}

static void discard(const struct place *place, struct written *w)
{
	assert_int_equal(unlinkat(place->dir, w->list.file[0].name, 0), 0);
	medium_list_free(&w->list);
}

/* ------------------------------------------------------------------- the tests */

static void round_trip(const struct place *place, const struct codec_case *c,
		       unsigned int threads, size_t size)
{
	uint8_t *data = make_data(size, false);
	enum drive_trouble trouble;
	struct written w;

	store(place, &w, c, threads, data, size);
	if (c->codec && !c->filter)
		assert_tool_reads(place, &w);
	assert_restores(place, &w, c->unfilter, data, size);
	assert_true(is_good(place, &w, c->unfilter, &trouble));
	/* what is stored, alone */
	w.config.stages = NULL;
	assert_true(is_good(place, &w, NULL, &trouble));
	discard(place, &w);
	free(data);
}

static void test_round_trip(void **state)
{
	static const size_t sizes[] = {
		0, 1, 511, WRITE, COMPRESS_BLOCK - 1, COMPRESS_BLOCK,
		COMPRESS_BLOCK + 1, 5 * MIB + 13,
	};
	size_t i, k;

	for (i = 0; i < NCASES; i++) {
		for (k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++)
			round_trip(*state, &cases[i], 2, sizes[k]);
	}
}

static void test_threads(void **state)
{
	unsigned int threads;

	for (threads = 1; threads < 8; threads += 3) {
		round_trip(*state, &cases[0], threads, 13 * MIB + 1);
		round_trip(*state, &cases[3], threads, 13 * MIB + 1);
	}
}

/* Two media with one pool; the blocks of both are in its queue at once. */
static void test_shared_pool(void **state)
{
	const struct codec_case *c = &cases[1];
	size_t size = 9 * MIB + 7, at;
	uint8_t *data = make_data(size, false);
	struct written w[2];
	struct drive d[2];

	start(&d[0], *state, &w[0], c, 2);
	w[1] = w[0];
	w[1].config.device = 1;
	open_writing(&d[1], &w[1].config, *state);
	for (at = 0; at < size; at += WRITE) {
		size_t n = size - at < WRITE ? size - at : WRITE;

		assert_true(give(&d[0], data + at, n));
		assert_true(give(&d[1], data + at, n));
	}
	assert_true(drive_finish(&d[0]));
	/* the second one is given up in the middle of its blocks */
	drive_close(&d[1]);
	end(&d[0], &w[0]);
	assert_restores(*state, &w[0], NULL, data, size);
	medium_list_free(&w[0].list);
	free(data);
}

/* What does not shrink costs some bytes for each frame. */
static void test_incompressible(void **state)
{
	size_t size = 5 * MIB + 5, i;
	uint8_t *data = make_data(size, true);
	struct written w;

	for (i = 0; i < 5; i++) {
		store(*state, &w, &cases[i], 2, data, size);
		assert_true(w.list.file[0].bytes > size);
		assert_true(w.list.file[0].bytes < size + size / 1024);
		assert_tool_reads(*state, &w);
		assert_restores(*state, &w, NULL, data, size);
		discard(*state, &w);
	}
	free(data);
}

/* Bytes that do not shrink, in a block of which the rest does. */
static void test_mixed(void **state)
{
	size_t size = 4 * MIB;
	uint8_t *data = make_data(size, true);
	struct written w;

	memset(data + MIB, 'x', 2 * MIB);
	store(*state, &w, &cases[2], 2, data, size);
	assert_true(w.list.file[0].bytes < size * 2 / 3);
	assert_restores(*state, &w, NULL, data, size);
	discard(*state, &w);
	free(data);
}

/* A frame ends at a Flush, and more data may follow. */
static void test_flush(void **state)
{
	uint8_t *data = make_data(3 * MIB, false);
	struct written w;
	struct drive d;

	start(&d, *state, &w, &cases[0], 2);
	assert_true(give(&d, data, MIB));
	expect_code(&d, VDC_Flush, 0, ERROR_SUCCESS);
	assert_true(size_of(*state, "device-00.data.zst") > 0);
	assert_true(give(&d, data + MIB, 2 * MIB));
	assert_true(drive_finish(&d));
	end(&d, &w);
	assert_tool_reads(*state, &w);
	assert_restores(*state, &w, NULL, data, 3 * MIB);
	discard(*state, &w);
	free(data);
}

/* Without VDC_Complete, the Flush is the end for the command. */
static void test_flush_of_filter(void **state)
{
	uint8_t *data = make_data(MIB, false);
	struct written w;
	struct drive d;

	start(&d, *state, &w, &cases[5], 1);
	d.config.features &= ~VDF_CompleteEnabled;
	assert_true(give(&d, data, MIB));
	expect_code(&d, VDC_Flush, 0, ERROR_SUCCESS);
	expect_code(&d, VDC_Flush, 0, ERROR_SUCCESS);
	assert_int_equal(run(&d, VDC_Write, BLOCK, 0, data).code, ERROR_IO_DEVICE);
	assert_non_null(strstr(d.why, "after a Flush"));
	assert_false(drive_finish(&d));
	end(&d, &w);
	discard(*state, &w);

	start(&d, *state, &w, &cases[5], 1);
	d.config.features &= ~VDF_CompleteEnabled;
	assert_true(give(&d, data, MIB));
	expect_code(&d, VDC_Flush, 0, ERROR_SUCCESS);
	assert_true(drive_finish(&d));
	end(&d, &w);
	assert_restores(*state, &w, "gzip -dc", data, MIB);
	discard(*state, &w);
	free(data);
}

/* Does a read of the damaged medium keep the last byte back? */
static void assert_damaged(const struct place *place, struct written *w,
			   const char *unfilter, size_t size, const char *why)
{
	uint8_t *back = malloc(size + WRITE);
	enum drive_trouble trouble;
	struct outcome last;
	struct drive d;

	assert_true(fetch(&d, place, w, unfilter, back, size + WRITE, &last) < size);
	assert_int_not_equal(last.code, ERROR_HANDLE_EOF);
	assert_int_equal(d.trouble, DRIVE_DAMAGED);
	assert_non_null(strstr(d.why, why));
	assert_false(d.media.file[0].whole);
	drive_close(&d);
	assert_false(is_good(place, w, unfilter, &trouble));
	assert_int_equal(trouble, DRIVE_DAMAGED);
	free(back);
}

static void test_damage(void **state)
{
	size_t size = 2 * MIB + 100, i, k;
	uint8_t *data = make_data(size, false);
	struct written w;

	for (i = 0; i < NCASES; i++) {
		const char *un = cases[i].unfilter, *name;
		uint64_t bytes;

		store(*state, &w, &cases[i], 2, data, size);
		name = w.list.file[0].name;
		bytes = w.list.file[0].bytes;
		for (k = 0; k < 5; k++) {
			uint64_t at = (bytes - 1) * k / 4;

			flip(*state, name, at, 1 << k);
			assert_damaged(*state, &w, un, size, "is damaged");
			flip(*state, name, at, 1 << k);
		}
		assert_restores(*state, &w, un, data, size);
		set_size(*state, name, bytes - 1);
		assert_damaged(*state, &w, un, size, "bytes, not");
		discard(*state, &w);
	}
	free(data);
}

/* The stored data is good, but not what the manifest says about its contents. */
static void test_other_contents(void **state)
{
	size_t size = 2 * MIB + 100, i;
	uint8_t *data = make_data(size, false);
	struct written w;

	for (i = 0; i < NCASES; i++) {
		const char *un = cases[i].unfilter;

		store(*state, &w, &cases[i], 2, data, size);
		w.list.file[0].given_xxh3 ^= 1;
		assert_damaged(*state, &w, un, size, "checksum of its data");
		w.list.file[0].given_xxh3 ^= 1;
		w.list.file[0].given--;
		assert_damaged(*state, &w, un, size, "bytes of data, not");
		w.list.file[0].given += 2;
		assert_damaged(*state, &w, un, size + 1, "bytes of data, not");
		discard(*state, &w);
	}
	free(data);
}

/* A valid prefix of frames, for which the manifest was not written. */
static void test_not_compressed(void **state)
{
	uint8_t *data = make_data(MIB, true);
	struct written w;

	store(*state, &w, &cases[6], 1, data, MIB);
	w.stages.codec = &codec_zstd;
	assert_damaged(*state, &w, "cat", MIB, "invalid zstd data");
	w.stages.codec = &codec_lz4;
	assert_damaged(*state, &w, "cat", MIB, "invalid lz4 data");
	discard(*state, &w);
	store(*state, &w, &cases[7], 1, data, MIB);
	/* gzip accepts this, and then the frame is truncated */
	assert_damaged(*state, &w, "gzip -dc | (head -c 100000; cat > /dev/null)", MIB, "truncated zstd data");
	discard(*state, &w);
	free(data);
}

static void test_failing_filters(void **state)
{
	static const struct {
		const char *filter, *why;
	} faults[] = {
		{ "exit 3", "ended with exit code 3" },
		{ "cat; echo the reason >&2; exit 4", "exit code 4: the reason" },
		{ "cat > /dev/null; kill -9 $$", "was killed by signal 9" },
		{ "kill -9 $$", "was killed by signal 9" },
		{ "head -c 10", "did not read all of its input" },
		/* the rest fits into the pipe */
		{ "exec head -c 4000000", "did not read all of its input" },
		{ "sleep 100000 & exec cat", "keeps its output open" },
		/* the pipe stays full */
		{ "exec 3<&0; sleep 100000 & exit 0", "did not read all of its input" },
		{ "exec /nonexistent/command", "ended with exit code 127" },
	};
	uint8_t *data = make_data(4 * MIB, true);
	size_t i;

	for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct codec_case c = { &codec_zstd, 0, faults[i].filter, NULL };
		struct written w;
		struct drive d;

		start(&d, *state, &w, &c, 2);
		give(&d, data, 4 * MIB);
		assert_false(drive_finish(&d));
		assert_int_equal(d.trouble, DRIVE_FAILED);
		if (!strstr(d.why, faults[i].why))
			fail_msg("%s: '%s'", faults[i].filter, d.why);
		assert_non_null(strstr(d.why, "--filter"));
		end(&d, &w);
		discard(*state, &w);
	}
	free(data);
}

/* A process that the command leaves behind writes the data. */
static void test_background_filter(void **state)
{
	struct codec_case c = { NULL, 0, "exec 3<&0; gzip -1 <&3 & exit 0", NULL };
	size_t size = 8 * MIB;
	uint8_t *data = make_data(size, true);
	struct written w;

	store(*state, &w, &c, 1, data, size);
	assert_restores(*state, &w, "exec 3<&0; gzip -dc <&3 & exit 0", data, size);
	discard(*state, &w);
	free(data);
}

/* The stored data is good, so it is the command that has failed. */
static void test_failing_unfilters(void **state)
{
	static const struct {
		const char *unfilter, *why;
	} faults[] = {
		{ "exit 3", "ended with exit code 3" },
		{ "gzip -dc; echo wrong key >&2; exit 4", "exit code 4: wrong key" },
		{ "gzip -dc | head -c 1000000; kill -9 $$", "was killed by signal 9" },
		{ "head -c 1000", "did not read all of its input" },
	};
	size_t size = 4 * MIB, i;
	uint8_t *data = make_data(size, true), *back = malloc(size + WRITE);
	struct outcome last;
	struct written w;
	struct drive d;

	store(*state, &w, &cases[5], 1, data, size);
	for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		assert_true(fetch(&d, *state, &w, faults[i].unfilter, back, size + WRITE,
				  &last) < size);
		assert_int_equal(last.code, ERROR_IO_DEVICE);
		assert_int_equal(d.trouble, DRIVE_FAILED);
		if (!strstr(d.why, faults[i].why))
			fail_msg("%s: '%s'", faults[i].unfilter, d.why);
		assert_non_null(strstr(d.why, "--unfilter"));
		assert_false(d.media.file[0].whole);
		drive_close(&d);
	}
	discard(*state, &w);
	free(back);
	free(data);
}

static bool always(void *context)
{
	(void)context;
	return true;
}

/* A stop ends the wait for a command that reads nothing, which is then killed. */
static void test_stop(void **state)
{
	struct codec_case c = { NULL, 0, "echo $$ >&2; exec sleep 100000", NULL };
	uint8_t *data = make_data(4 * MIB, true);
	struct written w;
	struct drive d;

	start(&d, *state, &w, &c, 1);
	d.config.stop = always;
	assert_false(give(&d, data, 4 * MIB));
	assert_int_equal(d.trouble, DRIVE_FINE);
	assert_false(drive_finish(&d));
	assert_int_equal(d.trouble, DRIVE_FINE);
	end(&d, &w);
	/* no child is left */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	discard(*state, &w);
	free(data);
}

static bool stop_now;

static bool if_now(void *context)
{
	(void)context;
	return stop_now;
}

/* A medium whose end was stopped does not become a whole one later. */
static void test_stop_at_the_end(void **state)
{
	struct codec_case c = { NULL, 0, "cat", NULL };
	uint8_t *data = make_data(MIB, true);
	struct written w;
	struct drive d;

	start(&d, *state, &w, &c, 1);
	d.config.features &= ~VDF_CompleteEnabled;
	d.config.stop = if_now;
	assert_true(give(&d, data, MIB));
	stop_now = true;
	assert_int_not_equal(run(&d, VDC_Flush, 0, 0, NULL).code, ERROR_SUCCESS);
	stop_now = false;
	assert_int_not_equal(run(&d, VDC_Flush, 0, 0, NULL).code, ERROR_SUCCESS);
	assert_false(drive_finish(&d));
	end(&d, &w);
	discard(*state, &w);
	free(data);
}

/* A limit on the size of files stands for a full disk. */
static void test_full_disk(void **state)
{
	struct rlimit old, limit;
	uint8_t *data = make_data(12 * MIB, true);
	struct written w;
	struct drive d;

	start(&d, *state, &w, &cases[0], 2);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = 3 * MIB;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	give(&d, data, 12 * MIB);
	assert_false(drive_finish(&d));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(d.trouble, DRIVE_FAILED);
	assert_int_equal(d.trouble_code, ERROR_DISK_FULL);
	assert_non_null(strstr(d.why, "cannot write device-00.data.zst"));
	end(&d, &w);
	discard(*state, &w);
	free(data);
}

static long most_memory(void)
{
	struct rusage usage;

	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	return usage.ru_maxrss;
}

/* Memory depends on the number of threads, not on the amount of data. */
static void test_memory(void **state)
{
	static const struct codec_case both = { &codec_zstd, 1, "cat", "cat" };
	uint8_t *data = make_data(8 * MIB, false);
	struct written w;
	struct drive d;
	long before;
	int i;

	start(&d, *state, &w, &both, 2);
	for (i = 0; i < 4; i++)
		assert_true(give(&d, data, 8 * MIB));
	before = most_memory();
	for (i = 0; i < 20; i++)
		assert_true(give(&d, data, 8 * MIB));
	assert_true(most_memory() - before < 4096);
	assert_true(drive_finish(&d));
	end(&d, &w);
	discard(*state, &w);
	free(data);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_memory),
		TEST(test_round_trip),
		TEST(test_threads),
		TEST(test_shared_pool),
		TEST(test_incompressible),
		TEST(test_mixed),
		TEST(test_flush),
		TEST(test_flush_of_filter),
		TEST(test_damage),
		TEST(test_other_contents),
		TEST(test_not_compressed),
		TEST(test_failing_filters),
		TEST(test_background_filter),
		TEST(test_failing_unfilters),
		TEST(test_stop),
		TEST(test_stop_at_the_end),
		TEST(test_full_disk),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("stages", tests, NULL, NULL);
}
