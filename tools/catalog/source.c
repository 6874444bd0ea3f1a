// SPDX-License-Identifier: GPL-2.0-only
/*
 * source.c - a stored backup, opened to read it
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "source.h"

/*
 * Check what can be checked without reading the file, and record its identity.
 * Verify and restore later fail if the name refers to another file.
 */
static int check_file(const struct source *s, struct medium_file *file)
{
	enum drive_trouble trouble;
	char why[128];
	int fd, rc = 0;

	fd = medium_open_listed(s->dir, file, &trouble, why, sizeof(why));
	if (fd >= 0) {
		rc = file_identify(fd, &file->identity);
		if (rc)
			snprintf(why, sizeof(why), "%s", strerror(errno));
		close(fd);
	}
	if (fd >= 0 && !rc)
		return EXIT_OK;
	vdi_error(trouble == DRIVE_DAMAGED ? "backup %s is damaged: %s: %s" :
		  "cannot read backup %s: %s: %s", s->path, file->name, why);
	return trouble == DRIVE_DAMAGED ? EXIT_DAMAGED : EXIT_FAILED;
}

static int check_files(const struct source *s, struct medium_list *media)
{
	unsigned int i;
	int rc = EXIT_OK;

	for (i = 0; i < media->count && rc == EXIT_OK; i++)
		rc = check_file(s, &media->file[i]);
	return rc;
}

int source_open(struct source *s, const char *path)
{
	const char *why;
	int rc = EXIT_OK;
	unsigned int i;

	if (chunk_is_address(path))
		return source_open_chunks(s, path, NULL);
	*s = (struct source){ .path = path };
	s->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir < 0) {
		vdi_error("cannot open %s: %s", path, strerror(errno));
		return EXIT_FAILED;
	}
	/* vdi expire keeps what is in use; not all file systems lock directories */
	flock(s->dir, LOCK_SH | LOCK_NB);
	rc = manifest_read(s->dir, &s->manifest, &why);
	if (rc != EXIT_OK) {
		vdi_error(rc == EXIT_DAMAGED ? "backup %s is damaged: %s" :
			  "cannot read the manifest in %s: %s", path, why);
		return rc;
	}
	for (i = 0; i < s->manifest.count && rc == EXIT_OK; i++)
		rc = check_files(s, &s->manifest.device[i].media);
	return rc;
}

void source_close(struct source *s)
{
	manifest_free(&s->manifest);
	chunk_close(s->chunks);
	s->chunks = NULL;
	if (s->dir >= 0)
		close(s->dir);
	s->dir = -1;
}

void source_unfilter(struct source *s, const char *command)
{
	s->stages = (struct medium_stages){
		.codec = s->manifest.codec,
		.command = s->manifest.filtered ? command : NULL,
	};
}

static bool is_readable(const struct source *s)
{
	return manifest_is_staged(&s->manifest) &&
	       (!s->manifest.filtered || s->stages.command);
}

void source_drive_config(const struct source *s, unsigned int device,
			 struct drive_config *config)
{
	const struct manifest *m = &s->manifest;

	*config = (struct drive_config){
		.profile = m->profile,
		.device = device,
		.features = medium_profile_features(m->profile, m->removable),
		.block_size = m->config.blockSize,
		.chunks = s->chunks,
		.stages = is_readable(s) ? &s->stages : NULL,
	};
}

bool source_media(const struct source *s, unsigned int device,
		  struct medium_list *list)
{
	return medium_list_copy(list, &s->manifest.device[device].media);
}

void source_print(FILE *out, const struct source *s, const char *what,
		  uint64_t bytes, double seconds, bool checked)
{
	bool stored_only = manifest_is_staged(&s->manifest) && !is_readable(s);
	char text[160];

	vdi_format_transfer(s->manifest.count, "", bytes, seconds, text,
			    sizeof(text));
	fprintf(out, "%s %s: %s%s\n", what, s->path, text, !checked ? "" :
		stored_only ? "; checksums of the filtered data match" :
		"; checksums match");
}
