// SPDX-License-Identifier: GPL-2.0-only
/*
 * manifest.c - manifest_read() on any bytes
 *
 * Half of the inputs that are JSON get a valid checksum of version 2 or 3, because
 * the fields are not trusted after this check either. With version 3 the bytes of
 * the input may also be used unchanged. Values that were read must be within the
 * bounds that readers rely on, and the same after writing and reading.
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

/* The checksum of version 3 is that of the bytes before it. */
static void put_text(const char *body, size_t size)
{
	char *text;
	int n;

	n = asprintf(&text, "%.*s,\n  \"manifest_xxh3\": \"%016" PRIx64 "\"\n}\n",
		     (int)size, body, XXH3_64bits(body, size));
	fuzz_assert(n > 0);
	put_file(text, n);
	free(text);
}

/* Version 2: the document as printed by json-c, with the checksum as a member. */
static void put_old(struct json_object *document)
{
	const int flags = JSON_C_TO_STRING_PLAIN |
			  JSON_C_TO_STRING_NOSLASHESCAPE;
	const char *plain = json_object_to_json_string_ext(document, flags);
	char sum[17];

	snprintf(sum, sizeof(sum), "%016" PRIx64,
		 XXH3_64bits(plain, strlen(plain)));
	json_object_object_add(document, "manifest_xxh3",
			       json_object_new_string(sum));
	plain = json_object_to_json_string_ext(document, flags);
	put_file(plain, strlen(plain));
}

/* Add the end that manifest_write() creates, in one of the two versions. */
static void put_document(struct json_object *document, int version)
{
	const char *text;

	json_object_object_add(document, "vdi_backup",
			       json_object_new_int(version));
	json_object_object_del(document, "manifest_xxh3");
	if (version == 2) {
		put_old(document);
		return;
	}
	text = json_object_to_json_string_ext(document,
			JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
			JSON_C_TO_STRING_NOSLASHESCAPE);
	put_text(text, strlen(text) - strlen("\n}"));
}

/* Flags in the first byte of the input. */
enum { SEALED = 1, VERSION_3 = 2, AS_IT_IS = 4 };

static void put_sealed(const uint8_t *data, size_t size, int how)
{
	struct json_object *document;
	char *text = malloc(size + 1), *end;

	fuzz_assert(text);
	memcpy(text, data, size);
	text[size] = '\0';
	end = strrchr(text, '}');
	if (end && (how & VERSION_3) && (how & AS_IT_IS)) {
		put_text(text, end - text);
		free(text);
		return;
	}
	document = json_tokener_parse(text);
	free(text);
	if (json_object_is_type(document, json_type_object))
		put_document(document, how & VERSION_3 ? 3 : 2);
	else
		put_file(data, size);
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
	fuzz_assert(!m->base || (*m->base && *m->base != '.' && !strchr(m->base, '/')));
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
	fuzz_assert(!a->base == !b->base);
	fuzz_assert(!a->base || !strcmp(a->base, b->base));
	fuzz_assert(a->base_sum == b->base_sum);
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
	if (*data & SEALED)
		put_sealed(data + 1, size - 1, *data);
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
