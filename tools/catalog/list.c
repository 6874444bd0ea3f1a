// SPDX-License-Identifier: GPL-2.0-only
/*
 * list.c - vdi list: the backups in a place
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/age.h"
#include "common/json.h"
#include "list.h"
#include "vdi.h"

int list_flush(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return EXIT_OK;
	vdi_error("cannot write to standard output: %s", strerror(errno));
	return EXIT_FAILED;
}

/* -------------------------------------------------------------------- JSON */

static void add_text(struct json_object *object, const char *key,
		     const char *text)
{
	json_object_object_add(object, key, json_object_new_string(text));
}

static void add_time(struct json_object *object, const char *key,
		     int64_t seconds)
{
	char text[32];

	place_format_time(seconds, text, sizeof(text));
	json_object_object_add(object, key, seconds < 0 ? NULL :
			       json_object_new_string(text));
}

static void add_count(struct json_object *object, const char *key,
		      int64_t value)
{
	json_object_object_add(object, key, value < 0 ? NULL :
			       json_object_new_int64(value));
}

static void add_manifest(struct json_object *object, const struct manifest *m)
{
	vdi_json_add_name(object, "set", m->set);
	add_text(object, "profile", medium_profile_name(m->profile));
	json_object_object_add(object, "snapshot",
			       json_object_new_boolean(m->snapshot));
	add_count(object, "devices", m->count);
	add_time(object, "started", m->started);
	add_time(object, "finished", m->finished);
	add_count(object, "duration_ms", m->duration_ms);
	add_count(object, "given", m->given);
	if (m->base)
		vdi_json_add_name(object, "based_on", m->base);
	else
		json_object_object_add(object, "based_on", NULL);
}

struct json_object *list_json(const struct place_entry *e)
{
	struct json_object *object = json_object_new_object();

	vdi_json_add_name(object, "directory", e->name);
	vdi_json_add_name(object, "path", e->path);
	add_text(object, "state", place_state_name(e->state));
	vdi_json_add_name(object, "why", e->why);
	add_count(object, "stored", e->stored);
	if (e->described)
		add_manifest(object, &e->manifest);
	return object;
}

void list_print_json(struct json_object *json)
{
	puts(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_SPACED |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* ------------------------------------------------------------------- table */

enum { SET, PROFILE, FINISHED, TOOK, STORED, GIVEN, NAME, BASE, STATE, COLUMNS };

struct line {
	char *cell[COLUMNS];
};

/* False: out of memory. */
static bool set_cells(struct line *line, const char *const *text)
{
	int i;

	for (i = 0; i < COLUMNS; i++) {
		line->cell[i] = strdup(text[i]);
		if (!line->cell[i])
			return false;
	}
	return true;
}

static void describe(const struct manifest *m, char *finished, char *took,
		     char *given)
{
	place_format_time(m->finished, finished, 32);
	if (m->duration_ms >= 0)
		vdi_format_duration(m->duration_ms / 1000.0, took, 32);
	if (m->given >= 0)
		vdi_format_bytes(m->given, given, 32);
}

static bool make_line(struct line *line, const struct place_entry *e)
{
	char set[PLACE_TEXT] = "-", name[PLACE_TEXT], why[PLACE_TEXT];
	char base[PLACE_TEXT] = "-";
	char finished[32] = "-", took[32] = "-", stored[32], given[32] = "-";
	char state[PLACE_TEXT + 32];
	const char *cells[COLUMNS] = {
		[SET] = set, [PROFILE] = "-", [FINISHED] = finished,
		[TOOK] = took, [STORED] = stored, [GIVEN] = given,
		[NAME] = name, [BASE] = base, [STATE] = state,
	};

	place_format_name(e->name, name);
	place_format_text(e->why, why);
	snprintf(state, sizeof(state), *why ? "%s: %s" : "%s",
		 place_state_name(e->state), why);
	vdi_format_bytes(e->stored, stored, sizeof(stored));
	if (e->described) {
		place_format_name(e->manifest.set, set);
		cells[PROFILE] = medium_profile_name(e->manifest.profile);
		describe(&e->manifest, finished, took, given);
	}
	if (e->described && e->manifest.base)
		place_format_name(e->manifest.base, base);
	return set_cells(line, cells);
}

/* The column of bases has no width where no backup has one. */
static void print_line(char *const *cell, const int *width)
{
	int i;

	for (i = 0; i < STATE; i++) {
		if (width[i])
			printf("%*s  ", i >= TOOK && i <= GIVEN ? width[i] : -width[i],
			       cell[i]);
	}
	puts(cell[STATE]);
}

static bool has_bases(const struct line *line, size_t count)
{
	while (count--) {
		if (strcmp(line[count].cell[BASE], "-"))
			return true;
	}
	return false;
}

static void print_lines(const struct line *line, size_t count)
{
	static char *const head[COLUMNS] = {
		"SET", "PROFILE", "FINISHED", "TOOK", "STORED", "GIVEN",
		"DIRECTORY", "BASED ON", "STATE"
	};
	int i, width[COLUMNS];
	size_t k;

	for (i = 0; i < COLUMNS; i++) {
		width[i] = strlen(head[i]);
		for (k = 0; k < count; k++) {
			if ((int)strlen(line[k].cell[i]) > width[i])
				width[i] = strlen(line[k].cell[i]);
		}
	}
	if (!has_bases(line, count))
		width[BASE] = 0;
	if (count)
		print_line(head, width);
	for (k = 0; k < count; k++)
		print_line(line[k].cell, width);
}

static void free_lines(struct line *line, size_t count)
{
	size_t k;
	int i;

	for (k = 0; k < count; k++) {
		for (i = 0; i < COLUMNS; i++)
			free(line[k].cell[i]);
	}
	free(line);
}

static int print_table(const struct backup_place *p)
{
	struct line *line = calloc(p->count + 1, sizeof(*line));
	size_t k, count = 0;
	int rc = line ? EXIT_OK : EXIT_FAILED;

	for (k = 0; k < p->count && rc == EXIT_OK; k++) {
		if (p->entry[k].state == BACKUP_LOCK)
			continue;
		if (!make_line(&line[count++], &p->entry[k]))
			rc = EXIT_FAILED;
	}
	if (rc == EXIT_OK)
		print_lines(line, count);
	else
		vdi_error("out of memory");
	if (rc == EXIT_OK && !count && isatty(STDOUT_FILENO))
		fprintf(stderr, "vdi: there are no backups%s in %s\n",
			p->set ? " of this set" : "", p->path);
	free_lines(line, count);
	return rc;
}

static void print_all_json(const struct backup_place *p)
{
	struct json_object *json = json_object_new_array();
	size_t i;

	for (i = 0; i < p->count; i++) {
		if (p->entry[i].state != BACKUP_LOCK)
			json_object_array_add(json, list_json(&p->entry[i]));
	}
	list_print_json(json);
	json_object_put(json);
}

/* --------------------------------------------------------------- monitoring */

/* The index after the entries of the set that begins at `first`. */
static size_t end_of_set(const struct backup_place *p, size_t first)
{
	size_t end = first + 1;

	while (end < p->count &&
	       place_same_set(&p->entry[first], &p->entry[end]))
		end++;
	return end;
}

static const struct place_entry *youngest_whole(const struct backup_place *p,
						size_t first, size_t end,
						int64_t now)
{
	while (end-- > first) {
		const struct place_entry *e = &p->entry[end];

		if (e->state == BACKUP_WHOLE && !place_in_future(e, now))
			return e;
	}
	return NULL;
}

static int check_set(const struct backup_place *p, size_t first, size_t end,
		     int64_t max_age, int64_t now)
{
	const struct place_entry *e = youngest_whole(p, first, end, now);
	char set[PLACE_TEXT], age[32], limit[32];

	if (e && now - e->manifest.finished <= max_age)
		return EXIT_OK;
	place_format_text(p->entry[first].manifest.set, set);
	if (!e) {
		vdi_error("there is no whole backup of set '%s' in %s", set,
			  p->path);
		return EXIT_TOO_OLD;
	}
	vdi_format_age(now - e->manifest.finished, age, sizeof(age));
	vdi_format_age(max_age, limit, sizeof(limit));
	vdi_error("the youngest whole backup of set '%s', %s, is %s old, more than %s",
		  set, e->path, age, limit);
	return EXIT_TOO_OLD;
}

static int check_age(const struct backup_place *p, int64_t max_age)
{
	int64_t now = time(NULL);
	size_t first, end, sets = 0;
	int rc = EXIT_OK;

	for (first = 0; first < p->count; first = end) {
		end = end_of_set(p, first);
		if (!p->entry[first].described)
			continue;
		sets++;
		if (check_set(p, first, end, max_age, now))
			rc = EXIT_TOO_OLD;
	}
	if (sets)
		return rc;
	if (p->set)
		vdi_error("there is no whole backup of set '%s' in %s", p->set,
			  p->path);
	else
		vdi_error("there is no whole backup in %s", p->path);
	return EXIT_TOO_OLD;
}

static int report_unreadable(const struct backup_place *p)
{
	int rc = EXIT_OK;
	size_t i;

	for (i = 0; i < p->count; i++) {
		if (p->entry[i].state != BACKUP_UNREADABLE)
			continue;
		vdi_error("cannot read %s: %s", p->entry[i].path,
			  p->entry[i].why);
		rc = EXIT_FAILED;
	}
	return rc;
}

/* ------------------------------------------------------------- the program */

static const char usage[] =
	"usage: vdi list PLACE [--set NAME] [--max-age AGE] [--json]\n\n"
	"Lists the backups directly below PLACE, or the backup PLACE itself: set, profile,\n"
	"time of the end, duration, bytes stored and given by the database, name of the\n"
	"directory, and whether the backup is whole. The manifests and the sizes of the files\n"
	"are checked, not their contents; see 'vdi verify'. PLACE is a directory, or an address\n"
	"s3://BUCKET/PREFIX, where only the manifests are checked.\n\n"
	"      --set NAME        only backups of this set\n"
	"      --max-age AGE     exit with 7 if a set has no whole backup that is at most so\n"
	"                        old, as in 36h or 2d\n"
	"  -j, --json            everything, as a JSON array\n"
	"  -h, --help            show this help\n";

struct listing {
	const char *set;
	int64_t max_age;	/* -1 = any */
	bool json;
};

enum { OPT_SET = 256, OPT_MAX_AGE };

/* 0 or an exit code; --help ends the program. */
static int parse(struct listing *l, int argc, char **argv)
{
	static const struct option options[] = {
		{ "set", required_argument, NULL, OPT_SET },
		{ "max-age", required_argument, NULL, OPT_MAX_AGE },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "jh", options, NULL)) != -1) {
		switch (c) {
		case OPT_SET:
			l->set = optarg;
			break;
		case OPT_MAX_AGE:
			if (!vdi_parse_age(optarg, &l->max_age))
				return vdi_invalid("--max-age", optarg,
						   VDI_AGE_RULE);
			break;
		case 'j':
			l->json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(EXIT_OK);
		default:
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind == argc - 1)
		return EXIT_OK;
	fputs(usage, stderr);
	return EXIT_USAGE;
}

static int show(const struct backup_place *p, const struct listing *l)
{
	int rc = EXIT_OK, unreadable;

	if (l->json)
		print_all_json(p);
	else
		rc = print_table(p);
	if (rc == EXIT_OK)
		rc = list_flush();
	unreadable = report_unreadable(p);
	if (rc == EXIT_OK && l->max_age >= 0)
		rc = check_age(p, l->max_age);
	return rc ? : unreadable;
}

int vdi_list_main(int argc, char **argv)
{
	struct listing l = { .max_age = -1 };
	struct backup_place place;
	int rc = parse(&l, argc, argv);

	if (rc != EXIT_OK)
		return rc;
	vdi_catch_signals();
	rc = place_open(&place, argv[optind], l.set);
	if (rc == EXIT_OK)
		rc = show(&place, &l);
	place_close(&place);
	return rc;
}
