// SPDX-License-Identifier: GPL-2.0-only
/*
 * recovery.c - the recovery settings of a restored data directory
 *
 * Everything is checked before anything is read: the server would report a wrong value
 * only when it is started, after a restore of hours.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/common.h"
#include "recovery.h"

#define MAX_NAME	63	/* of a restore point */
#define TIME_RULE	"a date and a time with the time zone as an offset, as in '2026-11-30 12:00:00+01'"

static int wrong(const char *text)
{
	vdi_error("%s", text);
	return EXIT_USAGE;
}

/* Exactly `digits` digits, up to `max`. */
static bool take_number(const char **at, int digits, int max, int *value)
{
	*value = 0;
	for (; digits; digits--, ++*at) {
		if (!isdigit((unsigned char)**at))
			return false;
		*value = *value * 10 + **at - '0';
	}
	return *value <= max;
}

static bool skip(const char **at, char c)
{
	if (**at != c)
		return false;
	++*at;
	return true;
}

static bool take_date(const char **at)
{
	struct tm tm = { 0 }, same;
	time_t when;

	if (!take_number(at, 4, 9999, &tm.tm_year) || !skip(at, '-') ||
	    !take_number(at, 2, 12, &tm.tm_mon) || !skip(at, '-') ||
	    !take_number(at, 2, 31, &tm.tm_mday) || !tm.tm_mon || !tm.tm_mday)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	same = tm;
	when = timegm(&same);
	/* the 30th of February is moved to March */
	return gmtime_r(&when, &same) && same.tm_mday == tm.tm_mday;
}

static bool take_time(const char **at)
{
	int hour, minute, second;

	if (!take_number(at, 2, 23, &hour) || !skip(at, ':') ||
	    !take_number(at, 2, 59, &minute))
		return false;
	if (!skip(at, ':'))
		return true;
	if (!take_number(at, 2, 59, &second))
		return false;
	if (!skip(at, '.'))
		return true;
	if (!isdigit((unsigned char)**at))
		return false;
	*at += strspn(*at, "0123456789");
	return true;
}

static bool take_offset(const char *at)
{
	int hours, minutes;

	if ((!skip(&at, '+') && !skip(&at, '-')) || !take_number(&at, 2, 15, &hours))
		return false;
	if (!*at)
		return true;
	skip(&at, ':');
	return take_number(&at, 2, 59, &minutes) && !*at;
}

/*
 * The zone is required: that of the server may differ from that of the operator. The
 * server reads the setting before it knows the names of zones, even "Z", so they are
 * written as offsets.
 */
static bool take_moment(const char *text, char out[RECOVERY_TIME_SIZE])
{
	const char *at = text, *time;
	int length;

	if (!take_date(&at) || (!skip(&at, ' ') && !skip(&at, 'T')))
		return false;
	time = at;
	if (!take_time(&at))
		return false;
	length = at - time;
	skip(&at, ' ');
	if (!strcmp(at, "Z") || !strcmp(at, "UTC"))
		at = "+00";
	return take_offset(at) && length < 32 &&
	       snprintf(out, RECOVERY_TIME_SIZE, "%.10s %.*s%s", text, length, time, at) > 0;
}

static bool take_hex(const char **at, uint64_t *value)
{
	size_t digits = strspn(*at, "0123456789abcdefABCDEF");

	if (!digits || digits > 8)
		return false;
	*value = strtoull(*at, NULL, 16);
	*at += digits;
	return true;
}

bool recovery_parse_lsn(const char *text, uint64_t *lsn)
{
	uint64_t high, low;

	if (!take_hex(&text, &high) || !skip(&text, '/') ||
	    !take_hex(&text, &low) || *text)
		return false;
	*lsn = high << 32 | low;
	return true;
}

static bool is_number(const char *text, uint64_t min, uint64_t max)
{
	unsigned long long value;

	if (!*text || text[strspn(text, "0123456789")])
		return false;
	errno = 0;
	value = strtoull(text, NULL, 10);
	return !errno && value >= min && value <= max;
}

static bool has_control(const char *text)
{
	while (*text && !iscntrl((unsigned char)*text))
		text++;
	return *text;
}

static bool has(const char *command, char placeholder)
{
	const char *c;

	for (c = command; *c; c++) {
		if (*c == '%' && *++c == placeholder)
			return true;
		if (!*c)
			break;
	}
	return false;
}

static bool is_placeholder(char c)
{
	return c == 'f' || c == 'p' || c == 'r' || c == '%';
}

/* The server rejects other placeholders when it runs the command. */
static bool known_placeholders(const char *command)
{
	const char *c;

	for (c = command; *c; c++) {
		if (*c == '%' && !is_placeholder(*++c))
			return false;
	}
	return true;
}

static int check_command(const char *command)
{
	if (has_control(command) || !known_placeholders(command) ||
	    !has(command, 'f') || !has(command, 'p'))
		return vdi_invalid("--restore-command", command,
				   "one line with %f, the name of the file, and %p, where to copy it; %% is a percent sign");
	return EXIT_OK;
}

static int check_target(struct recovery *r)
{
	if (r->time && !take_moment(r->time, r->time_value))
		return vdi_invalid("--target-time", r->time, TIME_RULE);
	if (r->name && (!*r->name || strlen(r->name) > MAX_NAME ||
			has_control(r->name)))
		return vdi_invalid("--target-name", r->name,
				   "the name of a restore point, 1 to 63 bytes");
	if (r->lsn && !recovery_parse_lsn(r->lsn, &r->lsn_value))
		return vdi_invalid("--target-lsn", r->lsn,
				   "a position in the WAL, as in 1/4A0000D8");
	if (r->xid && !is_number(r->xid, 3, UINT64_MAX))
		return vdi_invalid("--target-xid", r->xid,
				   "the number of a transaction");
	return EXIT_OK;
}

static int check_rest(const struct recovery *r, bool target)
{
	if (r->action && strcmp(r->action, "pause") &&
	    strcmp(r->action, "promote") && strcmp(r->action, "shutdown"))
		return vdi_invalid("--target-action", r->action,
				   "pause, promote or shutdown");
	if (r->action && !target)
		return wrong("--target-action requires a target, such as --target-time");
	if (r->timeline && strcmp(r->timeline, "latest") &&
	    strcmp(r->timeline, "current") &&
	    !is_number(r->timeline, 1, UINT32_MAX))
		return vdi_invalid("--target-timeline", r->timeline,
				   "latest, current or a number");
	if (!r->restore_command && (target || r->timeline))
		return wrong("a target of the recovery requires --restore-command: the server does not start without one");
	return EXIT_OK;
}

int recovery_check(struct recovery *r)
{
	int targets = !!r->time + !!r->name + !!r->lsn + !!r->xid + r->immediate;
	int rc = EXIT_OK;

	if (targets > 1)
		return wrong("only one of --target-time, --target-name, --target-lsn, --target-xid and --target-immediate can be given");
	if (r->restore_command)
		rc = check_command(r->restore_command);
	if (rc == EXIT_OK)
		rc = check_target(r);
	return rc == EXIT_OK ? check_rest(r, targets) : rc;
}

/* In the format that the server itself writes. */
static void put(FILE *file, const char *name, const char *value)
{
	fprintf(file, "%s = '", name);
	for (; *value; value++) {
		if (*value == '\'' || *value == '\\')
			fputc(*value, file);
		fputc(*value, file);
	}
	fputs("'\n", file);
}

/*
 * The last line for a setting counts. Targets that the backup's own files set are
 * emptied, because the server accepts one target only; the new one follows, because
 * the server takes the lines in their order.
 */
static void put_targets(FILE *file, const struct recovery *r)
{
	const struct {
		const char *name;
		const char *value;
	} target[] = {
		{ "recovery_target", r->immediate ? "immediate" : NULL },
		{ "recovery_target_time", r->time ? r->time_value : NULL },
		{ "recovery_target_name", r->name },
		{ "recovery_target_lsn", r->lsn },
		{ "recovery_target_xid", r->xid },
	};
	const size_t count = sizeof(target) / sizeof(target[0]);
	size_t i;

	for (i = 0; i < count; i++) {
		if (!target[i].value)
			put(file, target[i].name, "");
	}
	for (i = 0; i < count; i++) {
		if (target[i].value)
			put(file, target[i].name, target[i].value);
	}
}

char *recovery_text(const struct recovery *r)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	fputs("# recovery settings of vdi-pg-restore\n", file);
	put(file, "restore_command", r->restore_command);
	put_targets(file, r);
	put(file, "recovery_target_action", r->action ? : "pause");
	put(file, "recovery_target_timeline", r->timeline ? : "latest");
	if (!fclose(file))
		return text;
	free(text);
	return NULL;
}
