// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_walk.c - random commands, on a drive and on a model in memory
 *
 * The models are simple: a tape is an array with an element for every block and
 * filemark, a disk an array of bytes. After each command completion code, bytes,
 * data and position must agree; at the end the drive is closed, verified and read
 * from the beginning. WALKS and SEED in the environment are the number of walks
 * and the first seed.
 */
#include <stdio.h>
#include <unistd.h>

#include "media.h"

#define MAX_MEDIA	6
#define MAX_ITEMS	4096	/* on one medium */
#define MAX_BLOCKS	24	/* in one transfer */
#define STEPS		400
#define MARK		(-1)

struct model_medium {
	int item[MAX_ITEMS];	/* number of the block, or MARK */
	int count;
	bool full;
};

struct model {
	bool tape;
	uint64_t capacity, zone;
	uint32_t soft;
	struct model_medium medium[MAX_MEDIA + 1];
	int media, loaded;	/* loaded: ordinal, 0 = drive empty */
	int ordinal;
	bool fresh;
	int position;
	int next_number;
};

static uint64_t random_state;
static uint64_t walking;	/* seed of the walk that is not over */

static uint32_t rnd(uint32_t below)
{
	/* xorshift64* */
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * 0x2545f4914f6cdd1dULL >> 32) % below;
}

static void number_block(uint8_t *block, int number)
{
	uint32_t i;

	for (i = 0; i < BLOCK; i += sizeof(number))
		memcpy(block + i, &number, sizeof(number));
}

static struct model_medium *now(struct model *m)
{
	return &m->medium[m->loaded];
}

/* -------------------------------------------------------------- the models */

static uint64_t model_used(const struct model *m, const struct model_medium *mm)
{
	uint64_t used = 0;
	int i;

	for (i = 0; i < mm->count; i++)
		used += mm->item[i] == MARK ? m->soft : BLOCK;
	return used;
}

static void model_cut(struct model *m)
{
	struct model_medium *mm = now(m);

	if (m->position < mm->count) {
		mm->count = m->position;
		mm->full = false;
	}
}

static struct outcome end_code(const struct model *m, struct model_medium *mm,
			       uint64_t used, int blocks, int stored)
{
	struct outcome o = { .bytes = stored * BLOCK };

	if (stored < blocks) {
		o.code = mm->full && !stored ? ERROR_EOM_OVERFLOW :
			 ERROR_END_OF_MEDIA;
		mm->full = true;
	} else if (m->capacity && used + m->zone >= m->capacity) {
		o.code = ERROR_END_OF_MEDIA;
	}
	return o;
}

static struct outcome model_write(struct model *m, int blocks, int at)
{
	struct model_medium *mm = now(m);
	int stored = blocks, i;
	uint64_t used;

	if (m->tape) {
		if (!blocks)
			return (struct outcome){ 0 };
		model_cut(m);
		used = model_used(m, mm);
		at = m->position;
	} else {
		used = (uint64_t)at * BLOCK;
	}
	if (m->capacity) {
		uint64_t limit = m->capacity;
		uint64_t room;

		if (blocks <= 1)
			limit += 2 * (BLOCK + m->soft);
		room = limit > used ? limit - used : 0;
		if ((uint64_t)stored > room / BLOCK)
			stored = room / BLOCK;
	}
	for (i = 0; i < stored; i++)
		mm->item[at + i] = m->next_number + i;
	if (stored)
		m->position = at + stored;
	if (m->tape || (stored && m->position > mm->count))
		mm->count = m->position;
	return end_code(m, mm, used + stored * BLOCK, blocks, stored);
}

static struct outcome model_read(struct model *m, int blocks, int at,
				 uint8_t *want)
{
	struct model_medium *mm = now(m);
	struct outcome o = { 0 };
	int i;

	if (!m->tape)
		m->position = at;
	for (i = 0; i < blocks; i++) {
		if (m->position >= mm->count) {
			o.code = m->tape ? ERROR_NO_DATA_DETECTED :
				 ERROR_HANDLE_EOF;
			return o;
		}
		if (mm->item[m->position] == MARK) {
			m->position++;
			o.code = ERROR_FILEMARK_DETECTED;
			return o;
		}
		number_block(want + o.bytes, mm->item[m->position++]);
		o.bytes += BLOCK;
	}
	return o;
}

static struct outcome model_mark(struct model *m)
{
	struct model_medium *mm = now(m);

	model_cut(m);
	if (m->capacity && model_used(m, mm) + m->soft >
			   m->capacity + 2 * (BLOCK + m->soft)) {
		m->position = mm->count;
		return (struct outcome){ .code = ERROR_EOM_OVERFLOW };
	}
	mm->item[mm->count++] = MARK;
	m->position = mm->count;
	return (struct outcome){ 0 };
}

static int model_skip_marks(struct model *m, int count)
{
	struct model_medium *mm = now(m);

	for (; count > 0; m->position++) {
		if (m->position == mm->count)
			return ERROR_NO_DATA_DETECTED;
		count -= mm->item[m->position] == MARK;
	}
	for (; count < 0; m->position--) {
		if (!m->position)
			return ERROR_BEGINNING_OF_MEDIA;
		count += mm->item[m->position - 1] == MARK;
	}
	return 0;
}

static int model_skip_blocks(struct model *m, int count)
{
	struct model_medium *mm = now(m);

	for (; count > 0; count--) {
		if (m->position == mm->count)
			return ERROR_NO_DATA_DETECTED;
		if (mm->item[m->position++] == MARK)
			return ERROR_FILEMARK_DETECTED;
	}
	for (; count < 0; count++) {
		if (!m->position)
			return ERROR_BEGINNING_OF_MEDIA;
		if (mm->item[--m->position] == MARK)
			return ERROR_FILEMARK_DETECTED;
	}
	return 0;
}

static int model_load(struct model *m, int size)
{
	int want = size ? size : m->fresh ? m->ordinal : m->ordinal + 1;

	if (want == m->ordinal && m->fresh) {
		m->fresh = false;
		return 0;
	}
	m->fresh = false;
	m->loaded = 0;
	if (want > m->media + 1)
		return ERROR_NO_MEDIA_IN_DRIVE;
	if (want > m->media)
		m->media++;
	m->loaded = want;
	m->ordinal = want;
	m->position = 0;
	m->medium[want].full = false;
	return 0;
}

/* ------------------------------------------------------------- comparison */

static uint8_t data[MAX_BLOCKS * BLOCK], back[MAX_BLOCKS * BLOCK],
	       want[MAX_BLOCKS * BLOCK];

static void same(struct outcome got, struct outcome expected)
{
	assert_int_equal(got.code, expected.code);
	assert_int_equal(got.bytes, expected.bytes);
}

static void step_write(struct drive *d, struct model *m)
{
	int blocks = rnd(MAX_BLOCKS), at = rnd(now(m)->count + 3), i;
	struct outcome o;

	/* holes have no numbers; only written blocks are compared */
	if (at > now(m)->count)
		at = now(m)->count;
	if (rnd(2))
		at = now(m)->count;
	if (m->tape && rnd(4))
		run(d, VDC_SetPosition, 0, m->position = now(m)->count, NULL);
	if (now(m)->count + blocks >= MAX_ITEMS)
		return;
	for (i = 0; i < blocks; i++)
		number_block(data + i * BLOCK, m->next_number + i);
	o = run(d, VDC_Write, blocks * BLOCK, (int64_t)at * BLOCK, data);
	same(o, model_write(m, blocks, at));
	m->next_number += blocks;
}

static void step_read(struct drive *d, struct model *m)
{
	int blocks = rnd(MAX_BLOCKS), at = rnd(now(m)->count + 3);
	struct outcome o;

	memset(back, 0xee, sizeof(back));
	o = run(d, VDC_Read, blocks * BLOCK, (int64_t)at * BLOCK, back);
	same(o, model_read(m, blocks, at, want));
	assert_memory_equal(back, want, o.bytes);
}

static void step_seek(struct drive *d, struct model *m)
{
	int to = rnd(now(m)->count + 2);
	struct outcome o;

	o = run(d, VDC_SetPosition, VDC_Beginning,
		m->tape ? to : (int64_t)to * BLOCK, NULL);
	if (m->tape && to > now(m)->count) {
		to = now(m)->count;
		assert_int_equal(o.code, ERROR_NO_DATA_DETECTED);
	} else {
		assert_int_equal(o.code, 0);
	}
	m->position = to;
}

static void step_tape(struct drive *d, struct model *m)
{
	int count = (int)rnd(21) - 10;

	switch (rnd(5)) {
	case 0:
		if (now(m)->count + 1 >= MAX_ITEMS)
			return;
		same(run(d, VDC_WriteMark, 0, 0, NULL), model_mark(m));
		break;
	case 1:
	case 2:
		assert_int_equal(run(d, VDC_SkipMarks, count, 0, NULL).code,
				 model_skip_marks(m, count));
		break;
	case 3:
		count *= 4;
		assert_int_equal(run(d, VDC_SkipBlocks, count, 0, NULL).code,
				 model_skip_blocks(m, count));
		break;
	default:
		assert_int_equal(run(d, VDC_Rewind, 0, 0, NULL).code, 0);
		m->position = 0;
	}
	m->fresh = false;
}

static void step_load(struct drive *d, struct model *m)
{
	int size = rnd(m->media + 3);
	int next = size ? size : m->ordinal + 1;

	if (next > MAX_MEDIA)
		return;
	assert_int_equal(run(d, VDC_Load, size, 0, NULL).code,
			 model_load(m, size));
}

static void step(struct drive *d, struct model *m)
{
	uint32_t dice = rnd(100);

	if (!m->loaded) {
		assert_int_equal(run(d, VDC_Read, BLOCK, 0, back).code,
				 ERROR_NO_MEDIA_IN_DRIVE);
		step_load(d, m);
		return;
	}
	if (dice < 45) {
		m->fresh = false;
		step_write(d, m);
	} else if (dice < 65) {
		m->fresh = false;
		step_read(d, m);
	} else if (dice < 75) {
		step_seek(d, m);
	} else if (dice < 92 && m->tape) {
		step_tape(d, m);
	} else if (dice < 96) {
		assert_int_equal(run(d, VDC_Flush, 0, 0, NULL).code, 0);
	} else {
		step_load(d, m);
	}
	if (m->loaded)
		assert_int_equal(where(d), m->tape ? m->position :
				 (int64_t)m->position * BLOCK);
}

/* Blank media at the end are removed. */
static void model_finish(struct model *m)
{
	while (m->media > 1 && !m->medium[m->media].count)
		m->media--;
}

static void read_back(struct drive *d, struct model *m)
{
	int i;

	m->loaded = 1;
	m->ordinal = 1;
	m->position = 0;
	for (i = 1; i <= m->media; i++) {
		assert_int_equal(run(d, VDC_Load, i, 0, NULL).code, 0);
		m->loaded = i;
		m->position = 0;
		while (m->position < now(m)->count) {
			int blocks = 1 + rnd(MAX_BLOCKS - 1);
			struct outcome o, expected;

			o = run(d, VDC_Read, blocks * BLOCK,
				(int64_t)m->position * BLOCK, back);
			expected = model_read(m, blocks, m->position, want);
			same(o, expected);
			assert_memory_equal(back, want, o.bytes);
		}
	}
	assert_int_equal(run(d, VDC_Load, 0, 0, NULL).code,
			 ERROR_NO_MEDIA_IN_DRIVE);
}

static void walk(void **state, bool tape)
{
	static struct model m;
	struct drive_config config = writing(tape ? TAPE :
					     DISK | VDF_Removable);
	struct drive d;
	int i;

	m = (struct model){
		.tape = tape, .media = 1, .loaded = 1, .ordinal = 1,
		.fresh = true, .next_number = 1,
	};
	if (rnd(3))
		m.capacity = BLOCK * (1 + rnd(200)) + rnd(BLOCK);
	if (m.capacity && rnd(2))
		m.zone = rnd(m.capacity);
	if (tape && rnd(2))
		m.soft = BLOCK * (1 + rnd(4));
	config.capacity = m.capacity;
	config.eom_warning = m.zone;
	config.soft_mark_size = m.soft;
	open_writing(&d, &config, *state);
	for (i = 0; i < STEPS; i++)
		step(&d, &m);
	model_finish(&m);
	reopen_reading(&d);
	assert_int_equal(d.media.count, m.media);
	assert_true(verifies(&config, *state, &d.media, NULL));
	read_back(&d, &m);
	drive_close(&d);
}

static void walks(void **state, bool tape)
{
	const char *seed = getenv("SEED"), *count = getenv("WALKS");
	uint64_t first = seed ? strtoull(seed, NULL, 0) : 1;
	int i, n = count ? atoi(count) : 60;

	for (i = 0; i < n; i++) {
		struct place *place = *state;
		int k;

		walking = first + i;
		random_state = walking * 0x9e3779b97f4a7c15ULL;
		walk(state, tape);
		walking = 0;
		for (k = 1; k <= MAX_MEDIA; k++) {
			char name[48];

			snprintf(name, sizeof(name), "device-00.medium-%04d",
				 k);
			unlinkat(place->dir, name, 0);
		}
	}
}

static void test_tape_walks(void **state)
{
	walks(state, true);
}

static void test_disk_walks(void **state)
{
	walks(state, false);
}

static int teardown(void **state)
{
	if (walking)
		print_message("# the walk with SEED=%llu\n",
			      (unsigned long long)walking);
	walking = 0;
	return place_teardown(state);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, place_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_tape_walks),
		TEST(test_disk_walks),
	};

	return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
