// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_manifest.c - a manifest is read as written; anything else is rejected
 */
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/manifest.h"
#include "common/json.h"
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

static void put_bytes(const struct place *place, const char *text, size_t size)
{
	int fd = openat(place->dir, MANIFEST_FILE, O_WRONLY | O_CREAT |
			O_TRUNC, 0600);

	assert_int_equal(write(fd, text, size), size);
	close(fd);
}

static void put_text(const struct place *place, const char *text)
{
	put_bytes(place, text, strlen(text));
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

/* Names are byte strings; the file is UTF-8. */
/* Version 4, which is not for directories. */
static void test_chunks(void **state)
{
	struct place *place = *state;
	struct manifest m = {
		.set = strdup("s"),
		.profile = MEDIUM_PIPE,
		.id = "0123456789abcdef0123456789abcdef",
		.chunk_size = CHUNK_MIN_SIZE,
		.count = 1,
	};
	struct medium_list *media = &m.device[0].media;
	struct manifest back;
	const char *why;
	char *text;

	m.device[0].name = strdup("d");
	assert_true(medium_list_add(media, "device-00.data"));
	media->file[0].bytes = CHUNK_MIN_SIZE + 5;
	assert_true(chunk_list_add(&media->file[0].chunks, CHUNK_MIN_SIZE, 1));
	assert_true(chunk_list_add(&media->file[0].chunks, 5, ~0ULL));
	text = manifest_text(&m);
	assert_int_equal(manifest_parse(text, strlen(text), &back, &why), 0);
	assert_string_equal(back.id, m.id);
	assert_int_equal(back.chunk_size, m.chunk_size);
	assert_int_equal(back.device[0].media.file[0].chunks.count, 2);
	assert_int_equal(back.device[0].media.file[0].chunks.chunk[1].bytes, 5);
	assert_true(back.device[0].media.file[0].chunks.chunk[1].xxh3 == ~0ULL);
	manifest_free(&back);
	put_text(place, text);
	refused(place, "object store");
	free(text);
	/* the sum of the chunks, their largest size, other profiles */
	media->file[0].bytes++;
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	refused(place, "invalid field");
	media->file[0].chunks.chunk[0].bytes++;
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	refused(place, "invalid field");
	media->file[0].chunks.chunk[0].bytes--;
	media->file[0].bytes--;
	m.profile = MEDIUM_DISK;
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	refused(place, "invalid field");
	m.profile = MEDIUM_PIPE;
	strcpy(m.id, "../x");
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	refused(place, "invalid field");
	manifest_free(&m);
}

static void test_names_of_any_bytes(void **state)
{
	static const char *const names[] = {
		"plain", "r\xc3\xbc" "ck", "latin \xfc", "\xff\xfe", "\xc3",
		"\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\"b\\c\n\x01",
		"\xf0\x9f\x92\xbe", "\xef\xbf\xbd", "\xf8\x88\x80\x80\x80",
	};
	struct place *place = *state;
	struct manifest m, back;
	const char *why;
	char *text;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		make(&m);
		free(m.set);
		m.set = strdup(names[i]);
		free(m.device[1].name);
		m.device[1].name = strdup(names[i]);
		assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
		text = get_text(place);
		assert_true(vdi_is_utf8(text, strlen(text)));
		/* a name that is valid UTF-8 is stored unchanged */
		assert_int_equal(!strstr(text, "_hex"),
				 vdi_is_utf8(names[i], strlen(names[i])));
		assert_int_equal(manifest_read(place->dir, &back, &why), 0);
		assert_string_equal(back.set, names[i]);
		assert_string_equal(back.device[1].name, names[i]);
		manifest_free(&back);
		manifest_free(&m);
	}
}

/* The maximum number of media. */
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

/* Block sizes that a reader of tapes cannot use. */
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
		refused(place, "invalid field");
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
		refused(place, "missing or invalid");
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
	refused(place, "missing or invalid");
	manifest_free(&m);
}

/* Damage to each bit of the file, and truncation to each length. */
static void test_every_byte(void **state)
{
	struct place *place = *state;
	struct manifest m, back;
	const char *why;
	char *text;
	size_t i, length;
	int bit;

	make(&m);
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	text = strdup(get_text(place));
	length = strlen(text);
	for (i = 0; i < length; i++) {
		for (bit = 0; bit < 8; bit++) {
			text[i] ^= 1 << bit;
			put_bytes(place, text, length);
			text[i] ^= 1 << bit;
			assert_int_equal(manifest_read(place->dir, &back, &why),
					 EXIT_DAMAGED);
		}
	}
	for (i = 0; i < length; i++) {
		put_bytes(place, text, i);
		assert_int_equal(manifest_read(place->dir, &back, &why),
				 EXIT_DAMAGED);
	}
	put_bytes(place, text, length);
	assert_int_equal(manifest_read(place->dir, &back, &why), 0);
	manifest_free(&back);
	free(text);
	manifest_free(&m);
}

static void test_other_files(void **state)
{
	struct place *place = *state;

	refused(place, "no " MANIFEST_FILE);
	put_text(place, "");
	refused(place, "not JSON");
	put_text(place, "[1, 2]");
	refused(place, "not a backup manifest");
	put_text(place, "{}");
	refused(place, "not a backup manifest");
	put_text(place, "{\"vdi_backup\": 1}");
	refused(place, "version");
	put_text(place, "{\"vdi_backup\": 7}");
	refused(place, "version");
	put_text(place, "{\"vdi_backup\": 2}");
	refused(place, "no checksum");
	put_text(place, "{\"vdi_backup\": 3}");
	refused(place, "no checksum");
	unlinkat(place->dir, MANIFEST_FILE, 0);
	assert_int_equal(mkfifoat(place->dir, MANIFEST_FILE, 0600), 0);
	refused(place, "not a regular file");
	unlinkat(place->dir, MANIFEST_FILE, 0);
	assert_int_equal(symlinkat("elsewhere", place->dir, MANIFEST_FILE), 0);
	refused(place, "not a regular file");
}

/* With a valid checksum: what the format accepts, and what it rejects. */
static void put_sealed(const struct place *place, const char *body)
{
	char text[8192];

	snprintf(text, sizeof(text),
		 "%s,\n  \"manifest_xxh3\": \"%016llx\"\n}\n", body,
		 (unsigned long long)XXH3_64bits(body, strlen(body)));
	put_text(place, text);
}

static void test_strict(void **state)
{
	static const struct {
		const char *from, *to, *why;
	} changes[] = {
		{ "\"complete\":true", "\"complete\":false", "complete" },
		{ "\"complete\":true", "\"complete\":1", "complete" },
		{ "\"complete\":true,", "", "complete" },
		{ "\"complete\":true,", "\"complete\":true,\"complete\":true,",
		  "duplicate key" },
		{ "\"blockSize\":", "\"blockSize\":512,\"blockSize\":", "duplicate key" },
		{ "\"set\":", "/* a comment */\"set\":", "not JSON" },
		{ "\"set\":", "// a comment\n\"set\":", "not JSON" },
		{ "\"complete\":true", "\"complete\":True", "not JSON" },
		{ "\"complete\":true", "'complete':true", "not JSON" },
		{ "\"a \\\"", "\"\\u0000a \\\"", "invalid field" },
		{ "\"set\":", "\"set_hex\":\"4\",\"set\":", "invalid field" },
		{ "\"set\":", "\"set_hex\":\"00\",\"set\":", "invalid field" },
		{ "\"set\":", "\"set_hex\":\"4G\",\"set\":", "invalid field" },
		{ "\"set\":", "\"set_hex\":65,\"set\":", "invalid field" },
		{ "\"a \\\"", "\"\xff a \\\"", "UTF-8" },
		{ "\"bytes\":1,", "\"bytes\":-1,", "invalid field" },
		{ "\"xxh3\":\"ffff", "\"xxh3\":\" fff", "invalid field" },
		{ "\"xxh3\":\"ffff", "\"xxh3\":\"FFFF", "invalid field" },
	};
	struct place *place = *state;
	struct json_object *document;
	struct manifest m, back;
	const char *why;
	char body[4096], *end;
	size_t i;

	make(&m);
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	manifest_free(&m);
	/* without spaces, which makes the patterns independent of json-c */
	document = json_tokener_parse(get_text(place));
	snprintf(body, sizeof(body), "%s",
		 json_object_to_json_string_ext(document, JSON_C_TO_STRING_PLAIN |
						JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(document);
	end = strstr(body, ",\"manifest_xxh3\"");
	assert_non_null(end);
	*end = '\0';
	put_sealed(place, body);
	assert_int_equal(manifest_read(place->dir, &back, &why), 0);
	manifest_free(&back);
	for (i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		char *at = strstr(body, changes[i].from), changed[8192];

		assert_non_null(at);
		snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - body),
			 body, changes[i].to, at + strlen(changes[i].from));
		put_sealed(place, changed);
		refused(place, changes[i].why);
	}
}

static void test_trailing_bytes(void **state)
{
	static const char *const tails[] = { "\n", " ", "{}", "x", "// x" };
	struct place *place = *state;
	struct manifest m;
	char *text;
	size_t i;

	make(&m);
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	manifest_free(&m);
	text = strdup(get_text(place));
	for (i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		char longer[8192];

		snprintf(longer, sizeof(longer), "%s%s", text, tails[i]);
		put_text(place, longer);
		refused(place, "manifest");
	}
	put_bytes(place, text, strlen(text) + 1);
	refused(place, "not JSON");
	free(text);
}

/* A backup of version 0.1.0. */
static void test_version_2(void **state)
{
	static const char text[] =
		"{\"vdi_backup\":2,\"complete\":true,\"set\":\"t\","
		"\"profile\":\"pipe\",\"removable\":false,\"snapshot\":false,"
		"\"started\":\"2026-11-29T18:00:00Z\","
		"\"finished\":\"2026-11-29T18:00:01Z\",\"bytes\":5,"
		"\"devices\":[{\"name\":\"t\",\"bytes\":5,\"media\":[{"
		"\"file\":\"device-00.data\",\"bytes\":5,"
		"\"xxh3\":\"0123456789abcdef\"}]}],\"configuration\":{"
		"\"deviceCount\":1,\"features\":0,\"prefixZoneSize\":0,"
		"\"alignment\":0,\"softFileMarkBlockSize\":0,"
		"\"EOMWarningSize\":0,\"serverTimeOut\":0,\"blockSize\":4096,"
		"\"maxIODepth\":0,\"maxTransferSize\":0,\"bufferAreaSize\":0}";
	struct place *place = *state;
	struct manifest back;
	char all[2048];
	const char *why;

	snprintf(all, sizeof(all), "%s}", text);
	snprintf(all, sizeof(all), "%s, \"manifest_xxh3\": \"%016llx\"}\n",
		 text, (unsigned long long)XXH3_64bits(all, strlen(all)));
	put_text(place, all);
	assert_int_equal(manifest_read(place->dir, &back, &why), 0);
	assert_string_equal(back.set, "t");
	manifest_free(&back);
	snprintf(all + strlen(all), 4, "{}");
	put_text(place, all);
	refused(place, "not JSON");
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

static void test_stages(void **state)
{
	struct place *place = *state;
	struct manifest m = {
		.set = strdup("s"),
		.profile = MEDIUM_PIPE,
		.codec = &codec_zstd,
		.filtered = true,
		.given = 9,
		.count = 1,
	};
	struct medium_list *media = &m.device[0].media;
	struct manifest back;
	const char *why;

	m.device[0].name = strdup("d");
	assert_true(medium_list_add(media, "device-00.data.zst.filtered"));
	media->file[0].bytes = 5;
	media->file[0].given = 9;
	media->file[0].given_xxh3 = ~0ULL;
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	assert_non_null(strstr(get_text(place), "\"vdi_backup\": 5"));
	assert_int_equal(manifest_read(place->dir, &back, &why), 0);
	assert_ptr_equal(back.codec, &codec_zstd);
	assert_true(back.filtered);
	assert_int_equal(manifest_bytes(&back), 5);
	assert_int_equal(manifest_data_bytes(&back), 9);
	assert_true(back.device[0].media.file[0].given_xxh3 == ~0ULL);
	manifest_free(&back);
	/* a filter alone; then other profiles and media */
	m.codec = NULL;
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	assert_int_equal(manifest_read(place->dir, &back, &why), 0);
	assert_null(back.codec);
	assert_true(manifest_is_staged(&back));
	manifest_free(&back);
	m.profile = MEDIUM_DISK;
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	refused(place, "invalid field");
	m.profile = MEDIUM_PIPE;
	m.removable = true;
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	refused(place, "invalid field");
	m.removable = false;
	assert_true(medium_list_add(media, "device-00.more"));
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	refused(place, "invalid field");
	manifest_free(&m);
}

/* With data as of each other version. */
static void test_base(void **state)
{
	struct place *place = *state;
	struct manifest m, back;
	const char *why;

	make(&m);
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	assert_int_equal(manifest_read(place->dir, &back, &why), 0);
	assert_null(back.base);
	m.base = strdup("nightly-20261130T010203Z");
	m.base_sum = back.sum;
	assert_true(back.sum != 0);
	manifest_free(&back);
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	assert_non_null(strstr(get_text(place), "\"vdi_backup\": 6"));
	assert_int_equal(manifest_read(place->dir, &back, &why), 0);
	assert_string_equal(back.base, m.base);
	assert_true(back.base_sum == m.base_sum);
	assert_true(back.sum != m.base_sum);
	assert_int_equal(back.count, 2);
	manifest_free(&back);
	/* the name of something outside of the place */
	free(m.base);
	m.base = strdup("../other");
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	refused(place, "invalid field");
	manifest_free(&m);
}

static void test_base_of_stages(void **state)
{
	struct place *place = *state;
	struct manifest m = {
		.set = strdup("s"),
		.profile = MEDIUM_PIPE,
		.codec = &codec_zstd,
		.base = strdup("full"),
		.count = 1,
	};
	struct manifest back;
	const char *why;

	m.device[0].name = strdup("d");
	assert_true(medium_list_add(&m.device[0].media, "device-00.data.zst"));
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	assert_int_equal(manifest_read(place->dir, &back, &why), 0);
	assert_ptr_equal(back.codec, &codec_zstd);
	assert_string_equal(back.base, "full");
	manifest_free(&back);
	/* as in other versions */
	m.profile = MEDIUM_DISK;
	assert_int_equal(manifest_write(place->dir, &m, NULL), 0);
	refused(place, "invalid field");
	manifest_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_there_and_back),
		TEST(test_chunks),
		TEST(test_stages),
		TEST(test_base),
		TEST(test_base_of_stages),
		TEST(test_names_of_any_bytes),
		TEST(test_long),
		TEST(test_block_sizes),
		TEST(test_names_stay_inside),
		TEST(test_no_media),
		TEST(test_every_byte),
		TEST(test_other_files),
		TEST(test_strict),
		TEST(test_trailing_bytes),
		TEST(test_version_2),
	};

	return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
