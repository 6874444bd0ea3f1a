// SPDX-License-Identifier: GPL-2.0-only
/*
 * stages_cli.c - the options of vdi backup for compression and filters
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backup.h"

bool backup_is_staged(const struct backup *b)
{
	return b->stages.codec || b->stages.command;
}

static bool parse_level(const struct codec *codec, const char *text,
			int *level)
{
	uint64_t number;

	if (!vdi_parse_size(text, 1, codec_max_level(codec), &number))
		return false;
	*level = number;
	return true;
}

static int invalid(const char *argument)
{
	return vdi_invalid("--compress", argument,
			   "zstd, zstd:1 to zstd:22, lz4, lz4:1 to lz4:12, or none");
}

int stages_cli_compress(struct backup *b, const char *argument)
{
	size_t length = strcspn(argument, ":");
	char name[8];

	b->stages.codec = NULL;
	b->level = 0;
	if (!strcmp(argument, "none"))
		return EXIT_OK;
	if (length >= sizeof(name))
		return invalid(argument);
	memcpy(name, argument, length);
	name[length] = '\0';
	b->stages.codec = codec_find(name);
	if (!b->stages.codec)
		return invalid(argument);
	if (argument[length] &&
	    !parse_level(b->stages.codec, argument + length + 1, &b->level))
		return invalid(argument);
	return EXIT_OK;
}

int stages_cli_threads(struct backup *b, const char *argument)
{
	uint64_t number;

	if (!vdi_parse_size(argument, 1, COMPRESS_MAX_THREADS, &number))
		return vdi_invalid("--compress-threads", argument, "1 to 256");
	b->compress_threads = number;
	return EXIT_OK;
}

int stages_cli_filter(struct backup *b, const char *argument)
{
	if (!*argument)
		return vdi_invalid("--filter", argument, "a command");
	b->stages.command = argument;
	return EXIT_OK;
}

static int wrong(const char *format, const struct backup *b)
{
	vdi_error(format, b->stages.codec ? "--compress" : "--filter");
	return EXIT_USAGE;
}

int stages_cli_check(const struct appliance *a)
{
	const struct backup *b = a->job;

	if (b->compress_threads && !b->stages.codec) {
		vdi_error("--compress-threads requires --compress zstd or lz4");
		return EXIT_USAGE;
	}
	if (!backup_is_staged(b))
		return EXIT_OK;
	if (b->profile != MEDIUM_PIPE || b->removable)
		return wrong("%s requires --profile pipe without --removable", b);
	if (pipeline_used(a))
		return wrong("%s cannot be used with --to-command and --to -", b);
	if (a->config.features & VDF_Discard)
		return wrong("--discard cannot be used with %s", b);
	if (a->direct == DIRECT_ALWAYS)
		return wrong("--direct cannot be used with %s", b);
	if (b->stages.command && b->snapshot_command) {
		vdi_error("--filter cannot be used with --snapshot-command, which needs the data on disk when the snapshot is taken");
		return EXIT_USAGE;
	}
	return EXIT_OK;
}
