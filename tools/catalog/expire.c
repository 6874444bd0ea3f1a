// SPDX-License-Identifier: GPL-2.0-only
/*
 * expire.c - vdi expire: remove backups that no rule keeps
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/age.h"
#include "list.h"
#include "retention.h"
#include "vdi.h"

struct expiry {
	struct retention rules;
	bool dry_run;
	struct json_object *json;	/* NULL = lines of text */
	unsigned int kept, removed, failed;
	uint64_t freed;
};

static void print(struct expiry *x, const struct place_entry *e,
		  const char *action, const char *reason)
{
	char name[PLACE_TEXT], text[PLACE_TEXT];
	struct json_object *object;

	if (!x->json) {
		place_format_text(e->path, name);
		place_format_text(reason, text);
		printf("%-6s  %s: %s\n", action, name, text);
		return;
	}
	object = list_json(e);
	json_object_object_add(object, "action",
			       json_object_new_string(action));
	json_object_object_add(object, "reason",
			       json_object_new_string(reason));
	json_object_array_add(x->json, object);
}

/* What a person should look at, even if standard output is discarded. */
static void warn(const struct place_entry *e, int64_t now)
{
	switch (e->state) {
	case BACKUP_DAMAGED:
	case BACKUP_INCOMPLETE:
	case BACKUP_UNREADABLE:
		vdi_error("%s is %s and is kept: %s", e->path,
			  place_state_name(e->state), e->why);
		break;
	case BACKUP_WHOLE:
		if (place_in_future(e, now))
			vdi_error("%s is dated in the future and is kept",
				  e->path);
		else if (e->manifest.finished < 0)
			vdi_error("%s has no date and is kept", e->path);
		break;
	default:
		break;
	}
}

/* False: it was to be removed, and is still there. */
static bool expire_entry(struct expiry *x, struct backup_place *p,
			 struct place_entry *e, const struct decision *d)
{
	enum place_removal result = PLACE_REMOVED;
	char why[CHUNK_WHY_SIZE + 64] = "";

	if (d->remove && !x->dry_run)
		result = p->ops->remove(p, e, why, sizeof(why));
	if (!d->remove || result == PLACE_IN_USE) {
		x->kept++;
		print(x, e, "keep", d->remove ? why : d->reason);
	} else if (result == PLACE_KEPT) {
		x->failed++;
		print(x, e, "failed", why);
		vdi_error("cannot remove %s: %s", e->path, why);
	} else {
		x->removed++;
		x->freed += e->stored;
		print(x, e, "remove", d->reason);
	}
	return !d->remove || result == PLACE_REMOVED;
}

/* Remains are of no known set: they are removed whatever set is selected. */
static bool is_selected(const struct expiry *x, const struct place_entry *e)
{
	return !x->rules.set || !e->described || !strcmp(e->manifest.set, x->rules.set);
}

/* A backup that is based on this one, to be removed and not yet handled; or NULL. */
static struct place_entry *next_dependent(const struct backup_place *p,
					  const struct place_entry *e,
					  const struct decision *decision)
{
	size_t i;

	for (i = 0; i < p->count; i++) {
		if (decision[i].remove && !decision[i].handled &&
		    p->entry[i].base == e)
			return &p->entry[i];
	}
	return NULL;
}

/* Is a backup left that is based on this one, and was to be removed? */
static bool is_needed(const struct backup_place *p, const struct place_entry *e,
		      const struct decision *decision)
{
	size_t i;

	for (i = 0; i < p->count; i++) {
		if (decision[i].left && p->entry[i].base == e)
			return true;
	}
	return false;
}

/*
 * Increments before what they are based on: when this is interrupted, or one cannot be
 * removed, no backup is left without its base.
 */
static void expire_chain(struct expiry *x, struct backup_place *p,
			 struct place_entry *e, struct decision *decision)
{
	struct decision *d = &decision[e - p->entry];
	struct place_entry *next = NULL;

	while (d->remove && (next = next_dependent(p, e, decision)) &&
	       !vdi_signal_received())
		expire_chain(x, p, next, decision);
	if (next)
		return;
	d->handled = true;
	if (d->remove && is_needed(p, e, decision)) {
		d->remove = false;
		d->left = true;
		snprintf(d->reason, sizeof(d->reason),
			 "a backup that could not be removed is based on it");
	}
	if (!expire_entry(x, p, e, d))
		d->left = true;
}

/* Remains before backups, so that a rename to DIR.expired finds the name free. */
static int expire_all(struct expiry *x, struct backup_place *p,
		      struct decision *decision, int64_t now)
{
	int whole;
	size_t i;

	for (whole = 0; whole < 2; whole++) {
		for (i = 0; i < p->count; i++) {
			struct place_entry *e = &p->entry[i];

			bool is_whole = e->state == BACKUP_WHOLE;

			if (is_whole != whole || !is_selected(x, e) || decision[i].handled)
				continue;
			if (vdi_signal_received()) {
				vdi_error("interrupted");
				return EXIT_INTERRUPTED;
			}
			warn(e, now);
			expire_chain(x, p, e, decision);
		}
	}
	/* during the last removal */
	if (vdi_signal_received())
		return EXIT_INTERRUPTED;
	return x->failed ? EXIT_FAILED : EXIT_OK;
}

static void summarize(const struct expiry *x)
{
	char freed[32];

	vdi_format_bytes(x->freed, freed, sizeof(freed));
	if (x->json)
		list_print_json(x->json);
	else
		printf("%u kept, %u removed, %u failed, %s freed\n", x->kept,
		       x->removed, x->failed, freed);
}

static int expire(struct expiry *x, struct backup_place *p)
{
	struct decision *decision = calloc(p->count + 1, sizeof(*decision));
	int64_t now = time(NULL);
	int rc, flushed;

	if (!decision) {
		vdi_error("out of memory");
		return EXIT_FAILED;
	}
	retention_decide(p, &x->rules, now, decision);
	rc = expire_all(x, p, decision, now);
	free(decision);
	summarize(x);
	flushed = list_flush();
	return rc ? : flushed;
}

/* ------------------------------------------------------------- the program */

static const char usage[] =
	"usage: vdi expire PLACE [--keep-last N] [--keep-within AGE] [OPTIONS]\n\n"
	"Removes backups in PLACE, a directory or an address s3://BUCKET/PREFIX. A whole backup\n"
	"is kept if one of the rules keeps it, or if it is the youngest one of its set; at\n"
	"least one rule is required.\n"
	"What runs of vdi backup and vdi expire have left that were killed is removed too.\n"
	"Damaged backups, and files that vdi has not created, are kept and reported.\n\n"
	"      --keep-last N     keep the N youngest whole backups of each set\n"
	"      --keep-within AGE  keep backups that are at most so old, as in 36h or 30d\n"
	"      --partial-age AGE  remove what a killed backup has left when it is so old\n"
	"                        (default 24h)\n"
	"      --set NAME        only backups of this set\n"
	"  -n, --dry-run         print the same, remove nothing\n"
	"  -j, --json            print a JSON array\n"
	"  -h, --help            show this help\n";

enum { OPT_SET = 256, OPT_LAST, OPT_WITHIN, OPT_PARTIAL };

static const struct option options[] = {
	{ "keep-last", required_argument, NULL, OPT_LAST },
	{ "keep-within", required_argument, NULL, OPT_WITHIN },
	{ "partial-age", required_argument, NULL, OPT_PARTIAL },
	{ "set", required_argument, NULL, OPT_SET },
	{ "dry-run", no_argument, NULL, 'n' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 }
};

static int take_rule(struct retention *rules, int c, const char *argument)
{
	switch (c) {
	case OPT_LAST:
		return vdi_parse_size(argument, 1, UINT32_MAX, &rules->last) ?
			EXIT_OK : vdi_invalid("--keep-last", argument,
					      "a number from 1");
	case OPT_WITHIN:
		return vdi_parse_age(argument, &rules->within) ? EXIT_OK :
			vdi_invalid("--keep-within", argument, VDI_AGE_RULE);
	default:	/* OPT_PARTIAL */
		return vdi_parse_age(argument, &rules->remains) ? EXIT_OK :
			vdi_invalid("--partial-age", argument, VDI_AGE_RULE);
	}
}

static int take(struct expiry *x, int c, const char *argument)
{
	switch (c) {
	case OPT_SET:
		x->rules.set = argument;
		return EXIT_OK;
	case 'n':
		x->dry_run = true;
		return EXIT_OK;
	case 'j':
		if (!x->json)
			x->json = json_object_new_array();
		return EXIT_OK;
	case 'h':
		fputs(usage, stdout);
		exit(EXIT_OK);
	case '?':
		fputs(usage, stderr);
		return EXIT_USAGE;
	default:
		return take_rule(&x->rules, c, argument);
	}
}

static int parse(struct expiry *x, int argc, char **argv)
{
	int c, rc = EXIT_OK;

	while (rc == EXIT_OK &&
	       (c = getopt_long(argc, argv, "njh", options, NULL)) != -1)
		rc = take(x, c, optarg);
	if (rc == EXIT_OK && optind != argc - 1) {
		fputs(usage, stderr);
		rc = EXIT_USAGE;
	}
	if (rc == EXIT_OK && !x->rules.last && x->rules.within < 0) {
		vdi_error("a rule is required: --keep-last or --keep-within");
		rc = EXIT_USAGE;
	}
	return rc;
}

static int check_place(const struct backup_place *p, const char *path)
{
	if (!p->only)
		return EXIT_OK;
	vdi_error("%s is a backup; name the directory or address above it", path);
	return EXIT_USAGE;
}

int vdi_expire_main(int argc, char **argv)
{
	struct expiry x = {
		.rules = { .within = -1, .remains = PLACE_PARTIAL_AGE },
	};
	struct backup_place place;
	int rc = parse(&x, argc, argv);

	if (rc == EXIT_OK) {
		vdi_catch_signals();
		rc = place_open(&place, argv[optind], NULL);
		if (rc == EXIT_OK)
			rc = check_place(&place, argv[optind]);
		if (rc == EXIT_OK)
			rc = place_confirm(&place);
		if (rc == EXIT_OK)
			rc = expire(&x, &place);
		place_close(&place);
	}
	json_object_put(x.json);
	return rc;
}
