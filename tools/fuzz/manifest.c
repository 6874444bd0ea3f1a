// SPDX-License-Identifier: GPL-2.0-only
/*
 * manifest.c - manifest_read() on any bytes
 *
 * Half of the inputs get a right version and checksum where they are JSON:
 * what is behind these is not to be trusted either. What was read is within
 * the bounds that readers rely on, and is the same when written and read again.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <unistd.h>

#include "../../libvdi/fuzz/fuzz.h"
#include "catalog/manifest.h"

static int dir = -1;
static char path[64];

static void remove_directory(void)
{
	unlinkat(dir, MANIFEST_FILE, 0);
	rmdir(path);
}

static void make_directory(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(path, sizeof(path), "%.40s/manifest.XXXXXX",
		 tmp ? tmp : "/tmp");
	fuzz_assert(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY);
	fuzz_assert(dir >= 0);
	atexit(remove_directory);
}

static void put_file(const void *text, size_t size)
{
	int fd = openat(dir, MANIFEST_FILE, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	fuzz_assert(fd >= 0);
	fuzz_assert(write(fd, text, size) == (ssize_t)size);
	close(fd);
}

/* As make_document() and manifest_write() would have ended it. */
static void put_sealed(const uint8_t *data, size_t size)
{
	struct json_object *document;
	char *text = malloc(size + 1), sum[17];
	const char *plain;

	fuzz_assert(text);
	memcpy(text, data, size);
	text[size] = '\0';
	document = json_tokener_parse(text);
	free(text);
	if (!json_object_is_type(document, json_type_object)) {
		json_object_put(document);
		put_file(data, size);
		return;
	}
	json_object_object_add(document, "vdi_backup", json_object_new_int(2));
	json_object_object_del(document, "manifest_xxh3");
	plain = json_object_to_json_string_ext(document,
			JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	snprintf(sum, sizeof(sum), "%016" PRIx64,
		 XXH3_64bits(plain, strlen(plain)));
	json_object_object_add(document, "manifest_xxh3",
			       json_object_new_string(sum));
	plain = json_object_to_json_string_ext(document,
			JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	put_file(plain, strlen(plain));
	json_object_put(document);
}

static void check_device(const struct manifest_device *device)
{
	const struct medium_list *list = &device->media;
	unsigned int i;

	fuzz_assert(device->name);
	fuzz_assert(list->count && list->count <= MEDIUM_MAX_COUNT);
	for (i = 0; i < list->count; i++) {
		const char *name = list->file[i].name;

		fuzz_assert(*name && *name != '.' && !strchr(name, '/'));
		fuzz_assert(list->file[i].summed);
	}
}

static void check_bounds(const struct manifest *m)
{
	uint32_t block = m->config.blockSize;
	unsigned int i;

	fuzz_assert(m->set);
	fuzz_assert(m->profile == MEDIUM_PIPE || m->profile == MEDIUM_DISK ||
		    m->profile == MEDIUM_TAPE);
	fuzz_assert(m->profile != MEDIUM_TAPE ||
		    (block >= 512 && block <= 65536 && !(block & (block - 1))));
	fuzz_assert(m->count && m->count <= VDI_MAX_DEVICES);
	for (i = 0; i < m->count; i++)
		check_device(&m->device[i]);
}

static void compare_media(const struct medium_list *a,
			  const struct medium_list *b)
{
	unsigned int i;

	fuzz_assert(a->count == b->count);
	for (i = 0; i < a->count; i++) {
		fuzz_assert(!strcmp(a->file[i].name, b->file[i].name));
		fuzz_assert(a->file[i].bytes == b->file[i].bytes);
		fuzz_assert(a->file[i].xxh3 == b->file[i].xxh3);
	}
}

static void compare(const struct manifest *a, const struct manifest *b)
{
	unsigned int i;

	fuzz_assert(!strcmp(a->set, b->set));
	fuzz_assert(a->profile == b->profile);
	fuzz_assert(a->removable == b->removable);
	fuzz_assert(a->snapshot == b->snapshot);
	fuzz_assert(!memcmp(&a->config, &b->config, sizeof(a->config)));
	fuzz_assert(a->count == b->count);
	for (i = 0; i < a->count; i++) {
		fuzz_assert(!strcmp(a->device[i].name, b->device[i].name));
		compare_media(&a->device[i].media, &b->device[i].media);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct manifest m, again;
	const char *why = NULL;

	if (dir < 0)
		make_directory();
	if (!size)
		return 0;
	if (*data & 1)
		put_sealed(data + 1, size - 1);
	else
		put_file(data + 1, size - 1);
	if (manifest_read(dir, &m, &why)) {
		fuzz_assert(why && *why);
		fuzz_assert(!m.set && !m.count);
		return 0;
	}
	check_bounds(&m);
	fuzz_assert(!manifest_write(dir, &m, NULL));
	fuzz_assert(!manifest_read(dir, &again, &why));
	compare(&m, &again);
	manifest_free(&again);
	manifest_free(&m);
	return 0;
}
