// SPDX-License-Identifier: GPL-2.0-only
/*
 * manifest.c - the file that makes a directory a backup
 *
 * It is written last, after everything it names is durable, and carries a
 * checksum of itself: without a good manifest there is no backup.
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
#include "common/xxh3.h"

#define FORMAT_VERSION	2
#define MAX_SIZE	(64 << 20)	/* no honest manifest is larger */
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

static struct json_object *make_media(const struct medium_list *list)
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
		json_object_array_add(media, object);
	}
	return media;
}

static struct json_object *make_device(const struct manifest_device *device)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "name",
			       json_object_new_string(device->name));
	json_object_object_add(object, "bytes",
		json_object_new_uint64(medium_list_bytes(&device->media)));
	json_object_object_add(object, "media", make_media(&device->media));
	return object;
}

static struct json_object *make_document(const struct manifest *manifest)
{
	struct json_object *document = json_object_new_object();
	struct json_object *devices = json_object_new_array();
	unsigned int i;

	json_object_object_add(document, "vdi_backup",
			       json_object_new_int(FORMAT_VERSION));
	json_object_object_add(document, "complete",
			       json_object_new_boolean(1));
	json_object_object_add(document, "set",
			       json_object_new_string(manifest->set));
	json_object_object_add(document, "profile",
		json_object_new_string(medium_profile_name(manifest->profile)));
	json_object_object_add(document, "removable",
			       json_object_new_boolean(manifest->removable));
	json_object_object_add(document, "snapshot",
			       json_object_new_boolean(manifest->snapshot));
	json_object_object_add(document, "started", stamp(manifest->started));
	json_object_object_add(document, "finished",
			       stamp(manifest->finished));
	json_object_object_add(document, "bytes",
			json_object_new_uint64(manifest_bytes(manifest)));
	for (i = 0; i < manifest->count; i++)
		json_object_array_add(devices,
				      make_device(&manifest->device[i]));
	json_object_object_add(document, "devices", devices);
	json_object_object_add(document, "configuration",
			       make_config(&manifest->config));
	return document;
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
	if (write_all(fd, text, strlen(text)) || write_all(fd, "\n", 1) ||
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
	struct json_object *document = make_document(manifest);
	int rc;

	json_object_object_add(document, CHECKSUM_KEY,
			       hex(document_sum(document)));
	rc = write_file(dir, temporary,
			json_object_to_json_string_ext(document, PRETTY), id);
	json_object_put(document);
	if (!rc)
		rc = renameat(dir, temporary, dir, MANIFEST_FILE);
	if (!rc)
		rc = fsync(dir);
	return rc;
}

static void close_keeping_errno(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
}

/* NULL: errno tells, EINVAL = no file, or too large for one. */
static char *read_file(int dir, const char *name)
{
	struct stat st;
	char *text;
	ssize_t n;
	int fd;

	/* what waits for a writer is no file, but must not hold us up */
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > MAX_SIZE) {
		close(fd);
		errno = EINVAL;
		return NULL;
	}
	text = calloc(1, st.st_size + 1);
	errno = ENOMEM;
	n = text ? read(fd, text, st.st_size) : -1;
	if (n >= 0 && n != st.st_size)
		errno = EIO;
	close_keeping_errno(fd);
	if (n == st.st_size)
		return text;
	free(text);
	return NULL;
}

static const char *get_string(struct json_object *object, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}

static bool get_number(struct json_object *object, const char *key,
		       uint64_t *out)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_int))
		return false;
	*out = json_object_get_uint64(value);
	return true;
}

static bool get_hex(struct json_object *object, const char *key, uint64_t *out)
{
	const char *text = get_string(object, key);
	char *end;

	if (!text || strlen(text) != 16)
		return false;
	*out = strtoull(text, &end, 16);
	return !*end;
}

/* A file of the directory itself, whatever the manifest says. */
static bool good_file_name(const char *name)
{
	const unsigned char *c = (const unsigned char *)name;

	if (!*name || *name == '.' || strchr(name, '/'))
		return false;
	/* it is shown on terminals */
	while (*c > 0x1f && *c != 0x7f)
		c++;
	return !*c;
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

static bool read_medium(struct json_object *object, struct medium_list *list)
{
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
	return true;
}

static bool read_device(struct json_object *object,
			struct manifest_device *device)
{
	const char *name = get_string(object, "name");
	struct json_object *media;
	size_t i, count;

	if (!name || !json_object_object_get_ex(object, "media", &media) ||
	    !json_object_is_type(media, json_type_array))
		return false;
	count = json_object_array_length(media);
	if (!count || count > MEDIUM_MAX_COUNT)
		return false;
	for (i = 0; i < count; i++) {
		if (!read_medium(json_object_array_get_idx(media, i),
				 &device->media))
			return false;
	}
	device->name = strdup(name);
	return device->name != NULL;
}

static bool read_profile(struct json_object *document,
			 struct manifest *manifest)
{
	const char *profile = get_string(document, "profile");

	return profile && medium_profile_parse(profile, &manifest->profile) &&
	       get_bool(document, "removable", &manifest->removable) &&
	       get_bool(document, "snapshot", &manifest->snapshot);
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
				 &manifest->device[i]))
			return false;
	}
	return true;
}

/* What the reader of a tape divides by. */
static bool good_block_size(const struct manifest *manifest)
{
	uint32_t size = manifest->config.blockSize;

	return manifest->profile != MEDIUM_TAPE ||
	       (size >= 512 && size <= 65536 && !(size & (size - 1)));
}

static const char *read_document(struct json_object *document,
				 struct manifest *manifest)
{
	uint64_t version, sum;
	const char *set;

	if (!get_number(document, "vdi_backup", &version))
		return "its manifest is not that of a backup";
	if (version != FORMAT_VERSION)
		return "its manifest is of a version this program does not know";
	if (!get_hex(document, CHECKSUM_KEY, &sum))
		return "its manifest has no checksum";
	json_object_object_del(document, CHECKSUM_KEY);
	if (document_sum(document) != sum)
		return "its manifest was changed: the checksum does not match";
	set = get_string(document, "set");
	if (!set || !read_profile(document, manifest) ||
	    !read_config(document, &manifest->config) ||
	    !good_block_size(manifest) || !read_devices(document, manifest))
		return "its manifest lacks a field, or has a bad one";
	manifest->set = strdup(set);
	return manifest->set ? NULL : "out of memory";
}

int manifest_read(int dir, struct manifest *manifest, const char **why)
{
	struct json_object *document;
	char *text;

	memset(manifest, 0, sizeof(*manifest));
	text = read_file(dir, MANIFEST_FILE);
	if (!text && (errno == ENOENT || errno == ELOOP || errno == EINVAL)) {
		*why = errno == ENOENT ?
			"it has no " MANIFEST_FILE ": not a complete backup" :
			"its " MANIFEST_FILE " is no file, or too large";
		return EXIT_DAMAGED;
	}
	if (!text) {
		*why = strerror(errno);
		return EXIT_FAILED;
	}
	document = json_tokener_parse(text);
	free(text);
	*why = document ? read_document(document, manifest) :
			  "its manifest is cut off or no JSON";
	json_object_put(document);
	if (!*why)
		return EXIT_OK;
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
	memset(manifest, 0, sizeof(*manifest));
}
