// SPDX-License-Identifier: GPL-2.0-only
/*
 * s3_profile.c - the files ~/.aws/config and ~/.aws/credentials
 *
 * The sections of the config file are named "profile NAME" and those of the credentials
 * file "NAME"; "default" has this name in both. Indented lines belong to the key before
 * them and are skipped.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3_profile.h"

const char *s3_profile_name(void)
{
	const char *name = getenv("AWS_PROFILE");

	return name && *name ? name : "default";
}

static void path_of(const char *variable, const char *file, char *out,
		    size_t size)
{
	const char *path = getenv(variable), *home = getenv("HOME");

	if (path && *path)
		snprintf(out, size, "%s", path);
	else
		snprintf(out, size, "%s/.aws/%s", home ? home : "", file);
}

static void credentials_path(char *out, size_t size)
{
	path_of("AWS_SHARED_CREDENTIALS_FILE", "credentials", out, size);
}

static void config_path(char *out, size_t size)
{
	path_of("AWS_CONFIG_FILE", "config", out, size);
}

void s3_profile_files(char *out, size_t size)
{
	char credentials[512], config[512];

	credentials_path(credentials, sizeof(credentials));
	config_path(config, sizeof(config));
	snprintf(out, size, "%s and %s", credentials, config);
}

static char *trim(char *text)
{
	char *end;

	text += strspn(text, " \t");
	end = text + strlen(text);
	while (end > text && strchr(" \t\r\n", end[-1]))
		end--;
	*end = '\0';
	return text;
}

/* "[profile NAME]" */
static bool is_section(char *line, const char *name)
{
	char *end = strchr(line, ']');

	if (!end)
		return false;
	*end = '\0';
	line = trim(line + 1);
	if (!strncmp(line, "profile", 7) && strchr(" \t", line[7]))
		line = trim(line + 7);
	return !strcmp(line, name);
}

/* "KEY = VALUE" */
static bool is_value(char *line, const char *key, char *out, size_t size)
{
	char *value = strchr(line, '=');
	int n;

	if (!value)
		return false;
	*value++ = '\0';
	if (strcmp(trim(line), key))
		return false;
	n = snprintf(out, size, "%s", trim(value));
	return n > 0 && (size_t)n < size;
}

static bool look_up(const char *path, const char *key, char *out, size_t size)
{
	const char *name = s3_profile_name();
	bool inside = false, found = false;
	FILE *file = fopen(path, "re");
	size_t room = 0;
	char *line = NULL;

	if (!file)
		return false;
	while (!found && getline(&line, &room, file) >= 0) {
		if (*line == '[')
			inside = is_section(line, name);
		else if (inside && !strchr("#; \t\r\n", *line))
			found = is_value(line, key, out, size);
	}
	if (line)
		explicit_bzero(line, room);
	free(line);
	fclose(file);
	return found;
}

bool s3_profile_get(const char *key, char *out, size_t size)
{
	char path[512];

	credentials_path(path, sizeof(path));
	if (look_up(path, key, out, size))
		return true;
	config_path(path, sizeof(path));
	return look_up(path, key, out, size);
}
