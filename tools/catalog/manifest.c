// SPDX-License-Identifier: GPL-2.0-only
/*
 * manifest.c - the manifest of a backup directory
 *
 * The manifest is written last, after all files that it lists are durable, and ends
 * with a checksum of all bytes before it. A directory without a valid manifest is
 * not a backup. In version 2 the checksum is that of the document as printed by
 * json-c.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "manifest.h"
#include "common/json.h"
#include "common/xxh3.h"

#define BASED_VERSION	6		/* the backup is based on another one */
#define STAGED_VERSION	5		/* the data is compressed or filtered */
#define CHUNKS_VERSION	4		/* the data is in a chunk store */
#define FORMAT_VERSION	3
#define OLD_VERSION	2
#define CHECKSUM_KEY	"manifest_xxh3"
#define PLAIN		(JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
#define PRETTY		(JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | \
			 JSON_C_TO_STRING_NOSLASHESCAPE)

static const struct {
	const char *key;
	size_t offset;
} config_fields[] = {
#define FIELD(name) { #name, offsetof(struct VDConfig, name) }
	FIELD(deviceCount), FIELD(features), FIELD(prefixZoneSize),
	FIELD(alignment), FIELD(softFileMarkBlockSize), FIELD(EOMWarningSize),
	FIELD(serverTimeOut), FIELD(blockSize), FIELD(maxIODepth),
	FIELD(maxTransferSize), FIELD(bufferAreaSize),
#undef FIELD
};

#define NFIELDS (sizeof(config_fields) / sizeof(config_fields[0]))

uint64_t manifest_bytes(const struct manifest *manifest)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < manifest->count; i++)
		sum += medium_list_bytes(&manifest->device[i].media);
	return sum;
}

bool manifest_is_staged(const struct manifest *manifest)
{
	return manifest->codec || manifest->filtered;
}

uint64_t manifest_data_bytes(const struct manifest *manifest)
{
	uint64_t sum = 0;
	unsigned int i;

	if (!manifest_is_staged(manifest))
		return manifest_bytes(manifest);
	for (i = 0; i < manifest->count; i++)
		sum += medium_list_given(&manifest->device[i].media);
	return sum;
}

static struct json_object *hex(uint64_t value)
{
	char text[17];

	snprintf(text, sizeof(text), "%016" PRIx64, value);
	return json_object_new_string(text);
}

static struct json_object *stamp(int64_t seconds)
{
	time_t when = seconds;
	char text[32];
	struct tm tm;

	gmtime_r(&when, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_object_new_string(text);
}

static struct json_object *make_config(const struct VDConfig *config)
{
	struct json_object *object = json_object_new_object();
	size_t i;

	for (i = 0; i < NFIELDS; i++) {
		uint32_t value;

		memcpy(&value, (const char *)config + config_fields[i].offset,
		       sizeof(value));
		json_object_object_add(object, config_fields[i].key,
				       json_object_new_int64(value));
	}
	return object;
}

static struct json_object *make_chunks(const struct chunk_list *list)
{
	struct json_object *chunks = json_object_new_array();
	unsigned int i;

	for (i = 0; i < list->count; i++) {
		struct json_object *object = json_object_new_object();

		json_object_object_add(object, "bytes",
			json_object_new_int64(list->chunk[i].bytes));
		json_object_object_add(object, "xxh3",
				       hex(list->chunk[i].xxh3));
		json_object_array_add(chunks, object);
	}
	return chunks;
}

static struct json_object *make_media(const struct manifest *manifest,
				      const struct medium_list *list)
{
	struct json_object *media = json_object_new_array();
	unsigned int i;

	for (i = 0; i < list->count; i++) {
		const struct medium_file *file = &list->file[i];
		struct json_object *object = json_object_new_object();

		json_object_object_add(object, "file",
				       json_object_new_string(file->name));
		json_object_object_add(object, "bytes",
				       json_object_new_uint64(file->bytes));
		json_object_object_add(object, "xxh3", hex(file->xxh3));
		if (manifest_is_staged(manifest)) {
			json_object_object_add(object, "given",
				json_object_new_uint64(file->given));
			json_object_object_add(object, "given_xxh3",
					       hex(file->given_xxh3));
		}
		if (*manifest->id)
			json_object_object_add(object, "chunks",
					       make_chunks(&file->chunks));
		json_object_array_add(media, object);
	}
	return media;
}

static struct json_object *make_device(const struct manifest *manifest,
				       const struct manifest_device *device)
{
	struct json_object *object = json_object_new_object();

	vdi_json_add_name(object, "name", device->name);
	json_object_object_add(object, "bytes",
		json_object_new_uint64(medium_list_bytes(&device->media)));
	json_object_object_add(object, "media",
			       make_media(manifest, &device->media));
	return object;
}

static int version_of(const struct manifest *manifest)
{
	if (manifest->base)
		return BASED_VERSION;
	if (manifest_is_staged(manifest))
		return STAGED_VERSION;
	return *manifest->id ? CHUNKS_VERSION : FORMAT_VERSION;
}

static void add_base(struct json_object *document, const struct manifest *manifest)
{
	if (!manifest->base)
		return;
	json_object_object_add(document, "based_on",
			       json_object_new_string(manifest->base));
	json_object_object_add(document, "based_on_xxh3", hex(manifest->base_sum));
}

static void add_storage(struct json_object *document,
			const struct manifest *manifest)
{
	if (*manifest->id) {
		json_object_object_add(document, "data_id",
				       json_object_new_string(manifest->id));
		json_object_object_add(document, "chunk_size",
			json_object_new_int64(manifest->chunk_size));
	}
	if (!manifest_is_staged(manifest))
		return;
	json_object_object_add(document, "compression",
		json_object_new_string(manifest->codec ?
				       codec_name(manifest->codec) : "none"));
	json_object_object_add(document, "filtered",
			       json_object_new_boolean(manifest->filtered));
}

static struct json_object *make_document(const struct manifest *manifest)
{
	struct json_object *document = json_object_new_object();
	struct json_object *devices = json_object_new_array();
	unsigned int i;

	json_object_object_add(document, "vdi_backup",
			       json_object_new_int(version_of(manifest)));
	json_object_object_add(document, "complete",
			       json_object_new_boolean(1));
	add_base(document, manifest);
	add_storage(document, manifest);
	vdi_json_add_name(document, "set", manifest->set);
	json_object_object_add(document, "profile",
		json_object_new_string(medium_profile_name(manifest->profile)));
	json_object_object_add(document, "removable",
			       json_object_new_boolean(manifest->removable));
	json_object_object_add(document, "snapshot",
			       json_object_new_boolean(manifest->snapshot));
	json_object_object_add(document, "started", stamp(manifest->started));
	json_object_object_add(document, "finished",
			       stamp(manifest->finished));
	json_object_object_add(document, "duration_ms",
			       json_object_new_int64(manifest->duration_ms));
	json_object_object_add(document, "bytes",
			json_object_new_uint64(manifest_bytes(manifest)));
	if (manifest->given >= 0)
		json_object_object_add(document, "given",
				       json_object_new_int64(manifest->given));
	for (i = 0; i < manifest->count; i++)
		json_object_array_add(devices,
				      make_device(manifest,
						  &manifest->device[i]));
	json_object_object_add(document, "devices", devices);
	json_object_object_add(document, "configuration",
			       make_config(&manifest->config));
	return document;
}

/* Replaces the closing brace of the document. */
#define TAIL_SIZE (sizeof(",\n  \"" CHECKSUM_KEY "\": \"0123456789abcdef\"\n}\n") - 1)

static void make_tail(char tail[TAIL_SIZE + 1], const char *body, size_t size)
{
	snprintf(tail, TAIL_SIZE + 1,
		 ",\n  \"" CHECKSUM_KEY "\": \"%016" PRIx64 "\"\n}\n",
		 XXH3_64bits(body, size));
}

char *manifest_text(const struct manifest *manifest)
{
	struct json_object *document = make_document(manifest);
	const char *body = json_object_to_json_string_ext(document, PRETTY);
	size_t size = body ? strlen(body) : 0;
	char *text = size > 2 ? malloc(size + TAIL_SIZE) : NULL;

	if (text) {
		size -= strlen("\n}");
		memcpy(text, body, size);
		make_tail(text + size, body, size);
	} else {
		errno = ENOMEM;
	}
	json_object_put(document);
	return text;
}

static uint64_t document_sum(struct json_object *document)
{
	const char *text = json_object_to_json_string_ext(document, PLAIN);

	return XXH3_64bits(text, strlen(text));
}

static int write_all(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		text += n;
		size -= n;
	}
	return 0;
}

static int write_file(int dir, const char *name, const char *text,
		      struct file_identity *id)
{
	int fd, saved;

	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	if (write_all(fd, text, strlen(text)) ||
	    fsync(fd) || (id && file_identify(fd, id))) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return close(fd);
}

int manifest_write(int dir, const struct manifest *manifest,
		   struct file_identity *id)
{
	static const char temporary[] = MANIFEST_FILE ".partial";
	char *text = manifest_text(manifest);
	int rc;

	if (!text)
		return -1;
	rc = write_file(dir, temporary, text, id);
	free(text);
	if (!rc)
		rc = renameat(dir, temporary, dir, MANIFEST_FILE);
	if (!rc)
		rc = fsync(dir);
	return rc;
}

static bool read_all(int fd, char *text, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, text + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (!n)
			errno = EIO;
		if (n <= 0)
			return false;
		done += n;
	}
	return true;
}

/* NULL with errno; FILE_NOT_REGULAR also if the file is too large. */
static char *read_file(int dir, const char *name, size_t *size)
{
	char *text = NULL;
	struct stat st;
	int saved, fd;

	fd = file_open(dir, name, O_RDONLY, &st);
	if (fd < 0)
		return NULL;
	*size = st.st_size;
	errno = FILE_NOT_REGULAR;
	if (st.st_size <= MANIFEST_MAX_SIZE)
		text = calloc(1, *size + 1);
	if (text && !read_all(fd, text, *size)) {
		saved = errno;
		free(text);
		errno = saved;
		text = NULL;
	}
	saved = errno;
	close(fd);
	errno = saved;
	return text;
}

static unsigned int count_members(struct json_object *value)
{
	unsigned int count = 0;
	size_t i;

	if (json_object_is_type(value, json_type_array)) {
		for (i = 0; i < json_object_array_length(value); i++)
			count += count_members(json_object_array_get_idx(value,
									 i));
	} else if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, key, member) {
			(void)key;
			count += 1 + count_members(member);
		}
	}
	return count;
}

/*
 * json-c accepts more than JSON, and keeps only one of two members with the same
 * key. The number of colons outside of strings is the number of members in the
 * text. False: the text has a byte that JSON does not allow there.
 */
static bool scan(const char *text, unsigned int *colons)
{
	bool quoted = false;

	for (*colons = 0; *text; text++) {
		if (*text == '"')
			quoted = !quoted;
		else if (quoted && (unsigned char)*text < ' ')
			return false;
		else if (quoted && *text == '\\' && text[1])
			text++;
		else if (!quoted &&
			 !strchr("{}[]:,+-.0123456789eEtruefalsn \t\r\n", *text))
			return false;
		else if (!quoted && *text == ':')
			++*colons;
	}
	return !quoted;
}

static struct json_object *parse_as(const char *text, int flags)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *document;

	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, flags);
	document = json_tokener_parse_ex(tokener, text, -1);
	if (json_tokener_get_error(tokener) != json_tokener_success) {
		json_object_put(document);
		document = NULL;
	}
	json_tokener_free(tokener);
	return document;
}

/*
 * In its strict mode json-c 0.18 takes bytes from 0x80 on for control characters, and
 * rejects them. They are replaced in the text, which is a copy.
 */
static bool is_strict(char *text)
{
	struct json_object *document;
	bool strict;
	char *c;

	for (c = text; *c; c++) {
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	}
	document = parse_as(text, JSON_TOKENER_STRICT);
	strict = document;
	json_object_put(document);
	return strict;
}

/* Strict JSON: no comments, nothing after the end. NULL: see *why. */
static struct json_object *parse(const char *text, size_t size,
				 const char **why)
{
	struct json_object *document = NULL;
	char *copy = strdup(text);
	unsigned int colons;

	*why = "out of memory";
	if (!copy)
		return NULL;
	*why = "its manifest is truncated or not JSON";
	if (strlen(text) == size && scan(text, &colons) && is_strict(copy))
		document = parse_as(text, 0);
	free(copy);
	if (!document)
		return NULL;
	*why = "its manifest has a duplicate key";
	if (colons != count_members(document)) {
		json_object_put(document);
		return NULL;
	}
	*why = NULL;
	return document;
}

static const char *get_string(struct json_object *object, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_string) ||
	    strlen(json_object_get_string(value)) !=
	    (size_t)json_object_get_string_len(value))
		return NULL;
	return json_object_get_string(value);
}

static bool get_number(struct json_object *object, const char *key,
		       uint64_t *out)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_int) ||
	    json_object_get_int64(value) < 0)
		return false;
	*out = json_object_get_uint64(value);
	return true;
}

static bool get_hex(struct json_object *object, const char *key, uint64_t *out)
{
	const char *text = get_string(object, key);

	if (!text || strlen(text) != 16 ||
	    strspn(text, "0123456789abcdef") != 16)
		return false;
	*out = strtoull(text, NULL, 16);
	return true;
}

/* The manifest is not trusted: a name must be that of a file in the directory. */
static bool good_file_name(const char *name)
{
	const unsigned char *c = (const unsigned char *)name;

	if (!*name || *name == '.' || strchr(name, '/'))
		return false;
	/* it is printed on terminals, and version 2 may contain any bytes */
	while (*c > 0x1f && *c != 0x7f)
		c++;
	return !*c && vdi_is_utf8(name, strlen(name));
}

static bool get_bool(struct json_object *object, const char *key, bool *out)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_boolean))
		return false;
	*out = json_object_get_boolean(value);
	return true;
}

static bool read_chunks(struct json_object *object, uint32_t chunk_size,
			struct chunk_list *list)
{
	struct json_object *chunks, *chunk;
	uint64_t bytes, xxh3;
	size_t i;

	if (!json_object_object_get_ex(object, "chunks", &chunks) ||
	    !json_object_is_type(chunks, json_type_array) ||
	    json_object_array_length(chunks) > CHUNK_MAX_COUNT)
		return false;
	for (i = 0; i < json_object_array_length(chunks); i++) {
		chunk = json_object_array_get_idx(chunks, i);
		if (!get_number(chunk, "bytes", &bytes) || !bytes ||
		    bytes > chunk_size || !get_hex(chunk, "xxh3", &xxh3) ||
		    !chunk_list_add(list, bytes, xxh3))
			return false;
	}
	return true;
}

static bool read_medium(struct json_object *object,
			const struct manifest *manifest,
			struct medium_list *list)
{
	uint32_t chunk_size = manifest->chunk_size;
	const char *name = get_string(object, "file");
	struct medium_file *file;
	uint64_t bytes, xxh3;

	if (!name || !good_file_name(name) ||
	    !get_number(object, "bytes", &bytes) ||
	    !get_hex(object, "xxh3", &xxh3) || !medium_list_add(list, name))
		return false;
	file = &list->file[list->count - 1];
	file->bytes = bytes;
	file->xxh3 = xxh3;
	file->summed = true;
	if (manifest_is_staged(manifest) &&
	    (!get_number(object, "given", &file->given) ||
	     !get_hex(object, "given_xxh3", &file->given_xxh3)))
		return false;
	return !chunk_size ||
	       (read_chunks(object, chunk_size, &file->chunks) &&
		chunk_list_bytes(&file->chunks) == bytes);
}

static bool read_device(struct json_object *object,
			const struct manifest *manifest,
			struct manifest_device *device)
{
	struct json_object *media;
	size_t i, count;

	if (!json_object_object_get_ex(object, "media", &media) ||
	    !json_object_is_type(media, json_type_array))
		return false;
	count = json_object_array_length(media);
	if (!count || count > MEDIUM_MAX_COUNT)
		return false;
	for (i = 0; i < count; i++) {
		if (!read_medium(json_object_array_get_idx(media, i),
				 manifest, &device->media))
			return false;
	}
	device->name = vdi_json_get_name(object, "name");
	return device->name;
}

static bool read_profile(struct json_object *document,
			 struct manifest *manifest)
{
	const char *profile = get_string(document, "profile");

	return profile && medium_profile_parse(profile, &manifest->profile) &&
	       get_bool(document, "removable", &manifest->removable) &&
	       get_bool(document, "snapshot", &manifest->snapshot);
}

/* -1: missing or not as stamp() writes it. */
static int64_t get_stamp(struct json_object *document, const char *key)
{
	const char *text = get_string(document, key), *end;
	struct tm tm = { 0 };

	if (!text || strlen(text) != strlen("2026-11-30T01:02:03Z"))
		return -1;
	end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return end && !*end ? timegm(&tm) : -1;
}

static int64_t get_count(struct json_object *document, const char *key)
{
	uint64_t number;

	return get_number(document, key, &number) && number <= INT64_MAX ?
		(int64_t)number : -1;
}

/* A restore does not need these: they are not required. */
static void read_times(struct json_object *document, struct manifest *manifest)
{
	manifest->started = get_stamp(document, "started");
	manifest->finished = get_stamp(document, "finished");
	manifest->duration_ms = get_count(document, "duration_ms");
	manifest->given = get_count(document, "given");
}

static bool read_config(struct json_object *document, struct VDConfig *config)
{
	struct json_object *object;
	size_t i;

	if (!json_object_object_get_ex(document, "configuration", &object))
		return false;
	for (i = 0; i < NFIELDS; i++) {
		uint64_t value;
		uint32_t field;

		if (!get_number(object, config_fields[i].key, &value) ||
		    value > UINT32_MAX)
			return false;
		field = value;
		memcpy((char *)config + config_fields[i].offset, &field,
		       sizeof(field));
	}
	return true;
}

static bool read_devices(struct json_object *document,
			 struct manifest *manifest)
{
	struct json_object *devices;
	size_t i, count;

	if (!json_object_object_get_ex(document, "devices", &devices) ||
	    !json_object_is_type(devices, json_type_array))
		return false;
	count = json_object_array_length(devices);
	if (!count || count > VDI_MAX_DEVICES)
		return false;
	for (i = 0; i < count; i++) {
		manifest->count = i + 1;
		if (!read_device(json_object_array_get_idx(devices, i),
				 manifest, &manifest->device[i]))
			return false;
	}
	return true;
}

/* A chunk store has one medium like a pipe for each device. */
static bool read_chunked(struct json_object *document,
			 struct manifest *manifest)
{
	const char *id = get_string(document, "data_id");
	uint64_t size;

	if (!id || !chunk_id_is_valid(id) ||
	    !get_number(document, "chunk_size", &size) ||
	    size < CHUNK_MIN_SIZE || size > CHUNK_MAX_SIZE)
		return false;
	memcpy(manifest->id, id, CHUNK_ID_SIZE);
	manifest->chunk_size = size;
	return true;
}

static bool read_stages(struct json_object *document,
			struct manifest *manifest)
{
	const char *name = get_string(document, "compression");

	if (!name || !get_bool(document, "filtered", &manifest->filtered))
		return false;
	manifest->codec = codec_find(name);
	return manifest->codec ||
	       (manifest->filtered && !strcmp(name, "none"));
}

/* Does version 6, which says nothing about it, have what another version has? */
static bool has(struct json_object *document, uint64_t version, uint64_t other,
		const char *key)
{
	return version == other || (version == BASED_VERSION &&
				    json_object_object_get_ex(document, key, NULL));
}

/* How the data is stored, apart from plain files. */
static bool read_storage(struct json_object *document, uint64_t version,
			 struct manifest *manifest)
{
	bool staged = has(document, version, STAGED_VERSION, "compression");
	bool chunked = has(document, version, CHUNKS_VERSION, "data_id") ||
		       (staged && json_object_object_get_ex(document, "data_id", NULL));

	if (!staged && !chunked)
		return true;
	return manifest->profile == MEDIUM_PIPE && !manifest->removable &&
	       (!staged || read_stages(document, manifest)) &&
	       (!chunked || read_chunked(document, manifest));
}

static bool read_base(struct json_object *document, uint64_t version,
		      struct manifest *manifest)
{
	const char *name;

	if (version != BASED_VERSION)
		return true;
	name = get_string(document, "based_on");
	if (!name || !good_file_name(name) ||
	    !get_hex(document, "based_on_xxh3", &manifest->base_sum))
		return false;
	manifest->base = strdup(name);
	return manifest->base;
}

/* Otherwise than in plain files */
static bool is_stored(const struct manifest *manifest)
{
	return *manifest->id || manifest_is_staged(manifest);
}

static bool single_media(const struct manifest *manifest)
{
	unsigned int i;

	for (i = 0; i < manifest->count; i++) {
		if (manifest->device[i].media.count != 1)
			return false;
	}
	return true;
}

/* The reader of a tape divides by the block size. */
static bool good_block_size(const struct manifest *manifest)
{
	uint32_t size = manifest->config.blockSize;

	return manifest->profile != MEDIUM_TAPE ||
	       (size >= 512 && size <= 65536 && !(size & (size - 1)));
}

/* False: the checksum does not match. */
static bool check_sum(struct json_object *document, uint64_t version,
		      const char *text, size_t size)
{
	char tail[TAIL_SIZE + 1];
	uint64_t sum;

	if (version == OLD_VERSION) {
		if (!get_hex(document, CHECKSUM_KEY, &sum))
			return false;
		json_object_object_del(document, CHECKSUM_KEY);
		return document_sum(document) == sum;
	}
	if (size < TAIL_SIZE)
		return false;
	size -= TAIL_SIZE;
	make_tail(tail, text, size);
	return !memcmp(text + size, tail, TAIL_SIZE);
}

static const char *read_document(struct json_object *document,
				 const char *text, size_t size,
				 struct manifest *manifest)
{
	uint64_t version;
	bool complete;

	if (!get_number(document, "vdi_backup", &version))
		return "its manifest is not a backup manifest";
	if (version < OLD_VERSION || version > BASED_VERSION)
		return "its manifest has an unsupported version";
	if (!get_string(document, CHECKSUM_KEY))
		return "its manifest has no checksum";
	/* another text than a number does not match below */
	get_hex(document, CHECKSUM_KEY, &manifest->sum);
	if (version != OLD_VERSION && !vdi_is_utf8(text, size))
		return "its manifest is not JSON: it is not UTF-8";
	if (!check_sum(document, version, text, size))
		return "the checksum of its manifest does not match";
	if (!get_bool(document, "complete", &complete) || !complete)
		return "its manifest is not marked complete";
	manifest->set = vdi_json_get_name(document, "set");
	if (!manifest->set || !read_profile(document, manifest) ||
	    !read_config(document, &manifest->config) ||
	    !good_block_size(manifest) ||
	    !read_base(document, version, manifest) ||
	    !read_storage(document, version, manifest) ||
	    !read_devices(document, manifest) ||
	    (is_stored(manifest) && !single_media(manifest)))
		return "its manifest has a missing or invalid field";
	read_times(document, manifest);
	return NULL;
}

int manifest_parse(const char *text, size_t size, struct manifest *manifest,
		   const char **why)
{
	struct json_object *document;

	memset(manifest, 0, sizeof(*manifest));
	document = parse(text, size, why);
	if (document)
		*why = read_document(document, text, size, manifest);
	json_object_put(document);
	if (!*why)
		return EXIT_OK;
	manifest_free(manifest);
	return EXIT_DAMAGED;
}

int manifest_read(int dir, struct manifest *manifest, const char **why)
{
	size_t size;
	char *text;
	int rc;

	memset(manifest, 0, sizeof(*manifest));
	text = read_file(dir, MANIFEST_FILE, &size);
	if (!text && (errno == ENOENT || errno == FILE_NOT_REGULAR)) {
		*why = errno == ENOENT ?
			"it has no " MANIFEST_FILE ", so it is incomplete" :
			"its " MANIFEST_FILE " is not a regular file, or too large";
		return EXIT_DAMAGED;
	}
	if (!text) {
		*why = strerror(errno);
		return EXIT_FAILED;
	}
	rc = manifest_parse(text, size, manifest, why);
	free(text);
	if (rc != EXIT_OK || !*manifest->id)
		return rc;
	*why = "its manifest is that of an object store, which has the data";
	manifest_free(manifest);
	return EXIT_DAMAGED;
}

void manifest_free(struct manifest *manifest)
{
	unsigned int i;

	for (i = 0; i < manifest->count; i++) {
		free(manifest->device[i].name);
		medium_list_free(&manifest->device[i].media);
	}
	free(manifest->set);
	free(manifest->base);
	memset(manifest, 0, sizeof(*manifest));
}
