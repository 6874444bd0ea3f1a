// SPDX-License-Identifier: GPL-2.0-only
/* main.c - options, and the table of cases */
#define _GNU_SOURCE
#include <err.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define MAX_LIST	32
#define MAX_TRANSFER	(4U << 20)
#define SETTLE_S	10	/* skipped by an idle machine */

const struct transport *const transports[] = {
	&transport_none,
	&transport_pipe,
	&transport_unix,
	&transport_sem,
	&transport_futex,
	&transport_vdi_1,
	&transport_vdiset,
	&transport_vdi_default,
	&transport_vdi_spin,
	NULL
};

struct list {
	uint32_t n;
	uint32_t value[MAX_LIST];
};

struct options {
	const struct transport *transport[MAX_LIST];
	uint32_t transports;
	struct list sizes, depths, devices;
	bool every;		/* every combination of the three */
	bool icount;
	bool count;
	double scale;
	const char *limits, *json;
};

static void usage(FILE *out)
{
	size_t i;

	fprintf(out,
"usage: bench [OPTION...]\n"
"       bench --limits FILE [--scale X]\n"
"\n"
"Hands buffers from one process to another, each pinned to a processor, and prints\n"
"what a command costs both of them together. One fills buffers, the other computes\n"
"the sum of their words and returns it.\n"
"\n"
"  -t, --transports LIST  transports listed below (all)\n"
"  -s, --sizes LIST       0, or bytes with K or M, up to 4M (0,4K,64K,1M,4M)\n"
"  -q, --depths LIST      commands in flight per device (1,4,32)\n"
"  -d, --devices LIST     1 to 64 (1,4,16)\n"
"      --every            every combination of the three; by default several devices\n"
"                         are combined with 0 and 64K at a depth of 4 only\n"
"      --icount           print instructions: the clock of this machine counts them\n"
"      --no-count         no second pass that counts system calls and copies\n"
"      --scale X          multiply the number of commands by X (1)\n"
"      --json FILE        write the figures as JSON; with - to standard output, and\n"
"                         the table to standard error\n"
"      --limits FILE      measure the figures of the file, and compare them\n"
"      --help\n"
"\n"
"Columns, per command: CPU time of both processes, and elapsed time (with --icount\n"
"the instructions of the whole machine). Commands and data per second. System calls\n"
"and context switches per command, of the sending side (server) and the receiving\n"
"side (client). Bytes copied by read(2) and write(2) per byte of data.\n"
"\n"
"Exit status: 0; 1 a case failed or a limit is exceeded; 2 wrong usage; 6\n"
"/dev/vdiset does not exist.\n"
"\n"
"Transports:\n");
	for (i = 0; transports[i]; i++)
		fprintf(out, "  %-11s %s\n", transports[i]->name,
			transports[i]->what);
}

const struct transport *find_transport(const char *name, size_t length)
{
	size_t i;

	for (i = 0; transports[i]; i++) {
		if (strlen(transports[i]->name) == length &&
		    !strncmp(transports[i]->name, name, length))
			return transports[i];
	}
	return NULL;
}

bool parse_size(const char *text, char **end, uint32_t *size)
{
	unsigned long value = strtoul(text, end, 10);

	if (*end == text || value > MAX_TRANSFER)
		return false;
	if (**end == 'K' || **end == 'M')
		value <<= *(*end)++ == 'K' ? 10 : 20;
	*size = value;
	/* the sum is computed from four words at a time */
	return value <= MAX_TRANSFER && value % 32 == 0;
}

const char *format_size(uint32_t size, char text[16])
{
	if (size && size % (1 << 20) == 0)
		snprintf(text, 16, "%uM", size >> 20);
	else if (size && size % (1 << 10) == 0)
		snprintf(text, 16, "%uK", size >> 10);
	else
		snprintf(text, 16, "%u", size);
	return text;
}

static void take_list(const char *text, uint32_t max, struct list *list)
{
	const char *at = text;
	char *end;

	for (list->n = 0; list->n < MAX_LIST; at = end + 1) {
		uint32_t *value = &list->value[list->n++];

		if (max) {
			*value = strtoul(at, &end, 10);
			if (end == at || !*value || *value > max)
				errx(2, "'%s': numbers from 1 to %u", text,
				     max);
		} else if (!parse_size(at, &end, value)) {
			errx(2, "'%s': sizes are 0, or multiples of 32 up to 4M",
			     text);
		}
		if (!*end)
			return;
		if (*end != ',')
			break;
	}
	errx(2, "'%s' is not a list", text);
}

static void take_transports(const char *text, struct options *o)
{
	o->transports = 0;
	while (o->transports < MAX_LIST) {
		size_t length = strcspn(text, ",");
		const struct transport *t = find_transport(text, length);

		if (!t)
			errx(2, "unknown transport '%.*s'", (int)length,
			     text);
		o->transport[o->transports++] = t;
		text += length;
		if (!*text++)
			return;
	}
	errx(2, "too many transports");
}

static void take_options(int argc, char **argv, struct options *o)
{
	enum { EVERY = 256, ICOUNT, NO_COUNT, SCALE, JSON, LIMITS, HELP };
	static const struct option options[] = {
		{ "transports", required_argument, NULL, 't' },
		{ "sizes", required_argument, NULL, 's' },
		{ "depths", required_argument, NULL, 'q' },
		{ "devices", required_argument, NULL, 'd' },
		{ "every", no_argument, NULL, EVERY },
		{ "icount", no_argument, NULL, ICOUNT },
		{ "no-count", no_argument, NULL, NO_COUNT },
		{ "scale", required_argument, NULL, SCALE },
		{ "json", required_argument, NULL, JSON },
		{ "limits", required_argument, NULL, LIMITS },
		{ "help", no_argument, NULL, HELP },
		{ 0 }
	};
	char *end;
	int option;

	while ((option = getopt_long(argc, argv, "t:s:q:d:", options,
				     NULL)) >= 0) {
		switch (option) {
		case 't':
			take_transports(optarg, o);
			break;
		case 's':
			take_list(optarg, 0, &o->sizes);
			break;
		case 'q':
			take_list(optarg, MAX_DEPTH, &o->depths);
			break;
		case 'd':
			take_list(optarg, MAX_DEVICES, &o->devices);
			break;
		case EVERY:
			o->every = true;
			break;
		case ICOUNT:
			o->icount = true;
			break;
		case NO_COUNT:
			o->count = false;
			break;
		case SCALE:
			o->scale = strtod(optarg, &end);
			if (*end || o->scale <= 0 || o->scale > 1e6)
				errx(2, "the scale must be greater than 0");
			break;
		case JSON:
			o->json = optarg;
			break;
		case LIMITS:
			o->limits = optarg;
			break;
		case HELP:
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind < argc) {
		usage(stderr);
		errx(2, "unexpected argument '%s'", argv[optind]);
	}
}

static bool wanted(const struct options *o, const struct bench_case *c)
{
	if (o->every || c->devices == 1)
		return true;
	return c->depth == 4 && (c->size == 0 || c->size == 65536);
}

static size_t list_cases(const struct options *o, struct bench_case *cases)
{
	const struct list *s = &o->sizes, *q = &o->depths, *d = &o->devices;
	uint32_t i, j, k, t;
	size_t n = 0;

	for (i = 0; i < s->n; i++)
		for (j = 0; j < q->n; j++)
			for (k = 0; k < d->n; k++)
				for (t = 0; t < o->transports; t++) {
					struct bench_case *c = &cases[n];

					c->transport = o->transport[t];
					c->size = s->value[i];
					c->depth = q->value[j];
					c->devices = d->value[k];
					n += wanted(o, c);
				}
	return n;
}

static void write_json(const struct options *o, const struct result *r,
		       size_t n)
{
	FILE *f = strcmp(o->json, "-") ? fopen(o->json, "we") : stdout;

	if (!f)
		err(1, "%s", o->json);
	report_json(f, r, n, o->icount);
	if (fclose(f))
		err(1, "%s", o->json);
}

static void run_cases(const struct options *o)
{
	size_t max = (size_t)o->sizes.n * o->depths.n * o->devices.n *
		     o->transports + 1, n, i, done = 0;
	struct bench_case *cases = calloc(max, sizeof(*cases));
	struct result *results = calloc(max, sizeof(*results));
	FILE *table = o->json && !strcmp(o->json, "-") ? stderr : stdout;

	if (!cases || !results)
		err(1, "memory");
	n = list_cases(o, cases);
	report_head(table, o->icount);
	for (i = 0; i < n; i++) {
		if (i && cases[i].transport == o->transport[0])
			fputc('\n', table);
		if (!case_fits(&cases[i])) {
			fprintf(table, "%-11s not enough memory\n",
				cases[i].transport->name);
			continue;
		}
		case_measure(&cases[i], o->scale, o->count, &results[done]);
		report_line(table, &results[done++]);
	}
	if (o->json)
		write_json(o, results, done);
	free(cases);
	free(results);
}

int main(int argc, char **argv)
{
	struct options o = {
		.sizes = { 5, { 0, 4096, 65536, 1 << 20, 4 << 20 } },
		.depths = { 3, { 1, 4, 32 } },
		.devices = { 3, { 1, 4, 16 } },
		.scale = 1,
		.count = true,
	};

	while (transports[o.transports]) {
		o.transport[o.transports] = transports[o.transports];
		o.transports++;
	}
	take_options(argc, argv, &o);
	if (access("/dev/vdiset", F_OK)) {
		fprintf(stderr, "bench: /dev/vdiset does not exist: see 'vdi info'\n");
		return 6;
	}
	/* Wait until the kernel has finished its work after the boot. */
	if (o.icount)
		sleep(SETTLE_S);
	if (o.limits)
		return limits_check(o.limits, o.scale) ? 1 : 0;
	run_cases(&o);
	return 0;
}
