// SPDX-License-Identifier: GPL-2.0-only
/*
 * limits.c - compare figures with limits
 *
 * A line of the file is
 *
 *   FIGURE CASE [/ CASE] <=|>= LIMIT
 *
 * FIGURE is cpu, wall, calls, switches (the last two: the larger of both sides) or
 * copied; CASE is TRANSPORT:SIZE:DEPTH:DEVICES. The figure of the first case is
 * divided by that of the second. '#' begins a comment.
 */
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define MAX_RESULTS	64

struct limit {
	char figure[16];
	struct bench_case a, b;
	bool ratio;
	bool at_least;
	double limit;
	char text[128];
};

static struct result measured[MAX_RESULTS];
static size_t n_measured;

static const struct result *measure(const struct bench_case *c, double scale)
{
	struct result *r;
	size_t i;

	for (i = 0; i < n_measured; i++) {
		r = &measured[i];
		if (!memcmp(&r->c, c, sizeof(*c)))
			return r;
	}
	if (n_measured == MAX_RESULTS)
		errx(2, "too many cases with limits");
	r = &measured[n_measured++];
	case_measure(c, scale, true, r);
	return r;
}

static double larger(double a, double b)
{
	return a > b ? a : b;
}

static double figure_of(const char *figure, const struct result *r)
{
	if (!strcmp(figure, "cpu"))
		return result_cpu(r);
	if (!strcmp(figure, "wall"))
		return result_wall(r);
	if (!strcmp(figure, "calls"))
		return larger(result_calls(r, PRODUCER),
			      result_calls(r, CONSUMER));
	if (!strcmp(figure, "switches"))
		return larger(result_switches(r, PRODUCER),
			      result_switches(r, CONSUMER));
	if (!strcmp(figure, "copied"))
		return result_copied(r);
	errx(2, "unknown figure '%s'", figure);
}

static bool take_number(char **at, uint32_t *value)
{
	char *end;

	if (*(*at)++ != ':')
		return false;
	*value = strtoul(*at, &end, 10);
	if (end == *at || !*value)
		return false;
	*at = end;
	return true;
}

static bool take_case(char *text, struct bench_case *c)
{
	size_t length = strcspn(text, ":");

	memset(c, 0, sizeof(*c));
	c->transport = find_transport(text, length);
	text += length;
	return c->transport && *text == ':' &&
	       parse_size(text + 1, &text, &c->size) &&
	       take_number(&text, &c->depth) &&
	       take_number(&text, &c->devices) && !*text &&
	       c->depth <= MAX_DEPTH && c->devices <= MAX_DEVICES;
}

static bool take_line(char *line, struct limit *l)
{
	const char *blank = " \t\n";
	char *word, *end;

	memset(l, 0, sizeof(*l));
	word = strtok(line, blank);
	snprintf(l->figure, sizeof(l->figure), "%s", word);
	word = strtok(NULL, blank);
	if (!word)
		return false;
	snprintf(l->text, sizeof(l->text), "%s %s", l->figure, word);
	if (!take_case(word, &l->a))
		return false;
	word = strtok(NULL, blank);
	if (word && !strcmp(word, "/")) {
		word = strtok(NULL, blank);
		if (!word)
			return false;
		snprintf(l->text + strlen(l->text),
			 sizeof(l->text) - strlen(l->text), " / %s", word);
		if (!take_case(word, &l->b))
			return false;
		l->ratio = true;
		word = strtok(NULL, blank);
	}
	if (!word || (strcmp(word, "<=") && strcmp(word, ">=")))
		return false;
	l->at_least = *word == '>';
	word = strtok(NULL, blank);
	if (!word)
		return false;
	l->limit = strtod(word, &end);
	return end != word && !*end && !strtok(NULL, blank);
}

static const char *show(double figure, bool ratio, char text[32])
{
	snprintf(text, 32, ratio || figure < 100 ? "%.3f" : "%.0f", figure);
	return text;
}

static bool holds(const struct limit *l, double scale)
{
	const struct result *a = measure(&l->a, scale);
	double figure = figure_of(l->figure, a), over;
	char is[32], limit[32];
	bool ok;

	if (figure < 0)
		errx(1, "%s: cannot be counted (needs root and the kernel's tracepoints)",
		     l->text);
	if (l->ratio)
		figure /= figure_of(l->figure, measure(&l->b, scale));
	ok = l->at_least ? figure >= l->limit : figure <= l->limit;
	printf("%-4s %-42s %10s  limit %s %s", ok ? "ok" : "FAIL", l->text,
	       show(figure, l->ratio, is), l->at_least ? ">=" : "<=",
	       show(l->limit, l->ratio, limit));
	over = l->limit ? (figure / l->limit - 1) * 100 : 0;
	if (!ok && l->limit)
		printf(": %.2f %% too %s", l->at_least ? -over : over,
		       l->at_least ? "low" : "high");
	putchar('\n');
	fflush(stdout);
	return ok;
}

int limits_check(const char *path, double scale)
{
	char line[256];
	struct limit l;
	int number = 0, n = 0, bad = 0;
	FILE *f = fopen(path, "re");

	if (!f)
		err(2, "%s", path);
	while (fgets(line, sizeof(line), f)) {
		number++;
		line[strcspn(line, "#\n")] = 0;
		if (!line[strspn(line, " \t")])
			continue;
		if (!take_line(line, &l))
			errx(2, "%s:%d: invalid limit", path, number);
		n++;
		bad += !holds(&l, scale);
	}
	fclose(f);
	if (!n)
		errx(2, "%s: no limits", path);
	if (bad)
		printf("%d of %d figures exceed their limits\n", bad, n);
	else
		printf("all %d figures are within their limits\n", n);
	return bad;
}
