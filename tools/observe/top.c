// SPDX-License-Identifier: GPL-2.0-only
/*
 * top.c - vdi top: what moves now, and which side waits for the other
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "observe.h"
#include "vdi.h"

/* A set as it was at a time. */
struct sample {
	struct sample *next;
	double when;
	struct observed_set set;
};

struct top {
	const char *name;		/* NULL = every set, or that of the next */
	uint64_t id;			/* 0 = not known, or every set */
	double interval;
	uint64_t count;			/* 0 = until stopped */
	bool redraw;
	struct sample *before;
};

/* What a device did between two samples. */
struct pace {
	double bytes;			/* per second */
	double commands;		/* per second */
	double database_waits;		/* share of the time, 0 to 1 */
	double appliance_waits;
	uint64_t in_flight;
};

/* NULL: the set is gone. */
static struct sample *take_sample(struct vdi_observer *observer, uint64_t id)
{
	struct sample *sample = calloc(1, sizeof(*sample));

	if (!sample)
		return NULL;
	sample->when = vdi_now();
	if (observe_set(observer, id, &sample->set))
		return sample;
	free(sample);
	return NULL;
}

static void free_samples(struct sample *sample)
{
	while (sample) {
		struct sample *next = sample->next;

		free(sample);
		sample = next;
	}
}

/* Sets come and go meanwhile: what has gone is left out. */
static struct sample *sample_all(struct vdi_observer *observer)
{
	struct sample *first = NULL, **last = &first;
	struct vdi_set_entry entry = { .id = 0 };

	while (!vdi_observer_next(observer, &entry)) {
		*last = take_sample(observer, entry.id);
		if (*last)
			last = &(*last)->next;
	}
	return first;
}

static const struct sample *find(const struct sample *samples, uint64_t id)
{
	while (samples && samples->set.status.id != id)
		samples = samples->next;
	return samples;
}

static double share(uint64_t now, uint64_t before, double seconds)
{
	double part;

	if (now <= before || seconds <= 0)
		return 0;
	part = (now - before) / 1e9 / seconds;
	return part > 1 ? 1 : part;
}

/* Since the sample before, or where there is none since the beginning. */
static void measure(const struct sample *now, const struct sample *before,
		    unsigned int i, struct pace *pace)
{
	static const struct vdi_device_status none;
	const struct vdi_device_status *d = &now->set.device[i];
	const struct vdi_device_status *b = before ? &before->set.device[i] :
							&none;
	double seconds = before ? now->when - before->when :
				  now->set.status.age_ns / 1e9;

	*pace = (struct pace){ 0 };
	if (d->commands > d->completions)
		pace->in_flight = d->commands - d->completions;
	if (seconds <= 0)
		return;
	pace->bytes = (d->bytes - b->bytes) / seconds;
	pace->commands = (d->completions - b->completions) / seconds;
	pace->database_waits = share(d->server_waited_ns,
				     b->server_waited_ns, seconds);
	pace->appliance_waits = share(d->client_waited_ns,
				      b->client_waited_ns, seconds);
}

/* Who is waited for is slow; where nobody waits much, both are at work. */
static const char *verdict(const struct pace *pace)
{
	double difference = pace->database_waits - pace->appliance_waits;

	if (difference > 0.2)
		return "appliance is slow";
	if (difference < -0.2)
		return pace->commands || pace->in_flight ?
		       "database is slow" : "database is idle";
	return "balanced";
}

static void print_line(const char *name, const struct pace *pace,
		       const char *what)
{
	char rate[32];

	vdi_format_bytes(pace->bytes, rate, sizeof(rate));
	printf("%-28s %10s/s %9.0f %6llu %8.0f%% %8.0f%%  %s\n", name, rate,
	       pace->commands, (unsigned long long)pace->in_flight,
	       pace->database_waits * 100, pace->appliance_waits * 100, what);
}

static bool same_name(const struct vdi_set_status *a,
		      const struct vdi_set_status *b)
{
	return a->name_len == b->name_len &&
	       !memcmp(a->name, b->name, a->name_len);
}

/* The name of a set; with its creator, where another set has the same. */
static void title(const struct sample *all, const struct sample *sample,
		  char *buf, size_t size)
{
	const struct vdi_set_status *status = &sample->set.status;
	char name[4 * VDI_NAME_SIZE], user[64];

	if (!status->name_len) {
		snprintf(buf, size, "-");
		return;
	}
	vdi_name_escape(status->name, status->name_len, name, sizeof(name));
	for (; all; all = all->next) {
		if (all != sample && same_name(&all->set.status, status))
			break;
	}
	vdi_user_text(status->creator, user, sizeof(user));
	snprintf(buf, size, "%s%s%s", all ? user : "", all ? ":" : "", name);
}

static void print_set(const struct sample *all_sets, const struct sample *now,
		      const struct sample *before)
{
	char name[4 * VDI_NAME_SIZE + 64], line[64];
	struct pace all = { 0 }, pace[VDI_MAX_DEVICES];
	unsigned int i, n = now->set.status.config.deviceCount;

	for (i = 0; i < n; i++) {
		measure(now, before, i, &pace[i]);
		all.bytes += pace[i].bytes;
		all.commands += pace[i].commands;
		all.in_flight += pace[i].in_flight;
		all.database_waits += pace[i].database_waits / n;
		all.appliance_waits += pace[i].appliance_waits / n;
	}
	title(all_sets, now, name, sizeof(name));
	print_line(name, &all, now->set.status.state == VDI_STATE_ACTIVE ?
		   verdict(&all) : vdi_state_name(now->set.status.state));
	for (i = 0; n > 1 && i < n; i++) {
		vdi_name_escape(now->set.device[i].name,
				now->set.device[i].name_len, name,
				sizeof(name));
		snprintf(line, sizeof(line), "  %u %.48s", i,
			 now->set.device[i].name_len ? name : "-");
		print_line(line, &pace[i], "");
	}
}

static void print_all(struct top *top, const struct sample *all)
{
	const struct sample *now;

	if (top->redraw)
		fputs("\033[H\033[2J", stdout);
	printf("%-28s %12s %9s %6s %9s %9s\n", "", "", "", "in", "database",
	       "appliance");
	printf("%-28s %12s %9s %6s %9s %9s\n", "SET, DEVICES", "BYTES",
	       "COMMANDS/s", "FLIGHT", "WAITS", "WAITS");
	if (!all)
		puts("no sets are in use");
	for (now = all; now; now = now->next)
		print_set(all, now, find(top->before, now->set.status.id));
	if (!top->redraw)
		putchar('\n');
	fflush(stdout);
}

static void nap(double seconds)
{
	struct timespec t = {
		.tv_sec = seconds,
		.tv_nsec = (seconds - (time_t)seconds) * 1e9,
	};

	while (!vdi_signal_received() && nanosleep(&t, &t) && errno == EINTR)
		;
}

static int run(struct top *top)
{
	struct vdi_observer *observer;
	struct sample *now;
	int rc = EXIT_OK;
	uint64_t i;

	observer = observe_open(&rc);
	if (!observer)
		return rc;
	vdi_catch_signals();
	if (top->name && !observe_find(observer, top->name, &top->id, &rc)) {
		vdi_observer_free(observer);
		return rc;
	}
	for (i = 0; !top->count || i < top->count; i++) {
		if (i)
			nap(top->interval);
		if (vdi_signal_received())
			break;
		now = top->id ? take_sample(observer, top->id) :
				sample_all(observer);
		if (top->id && !now) {
			if (!i) {
				vdi_error("there is no set %llu that you may see",
					  (unsigned long long)top->id);
				rc = EXIT_FAILED;
			}
			break;
		}
		print_all(top, now);
		free_samples(top->before);
		top->before = now;
	}
	free_samples(top->before);
	vdi_observer_free(observer);
	return rc;
}

static void usage(FILE *out)
{
	fputs("usage: vdi top [[USER:]NAME] [OPTIONS]\n\n"
	      "Shows, again and again, how fast the sets that you may see move, and how much of\n"
	      "the time each side sleeps waiting for the other. When the database waits, the\n"
	      "backup program is slow; when the appliance (the backup program) waits, the\n"
	      "database is. Ctrl-C ends it. Several users may have a set of the same name: USER\n"
	      "is the one who created it.\n\n"
	      "      --id NUMBER     the set of this number, see 'vdi ls --json'\n"
	      "  -i, --interval SEC  time between two looks (default 1)\n"
	      "  -n, --count N       end after N looks; the first shows the time since the\n"
	      "                      set's creation\n"
	      "  -b, --batch         one look below the other, as when the output is no terminal\n"
	      "  -h, --help          this text\n", out);
}

int vdi_top_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "id", required_argument, NULL, 'I' },
		{ "interval", required_argument, NULL, 'i' },
		{ "count", required_argument, NULL, 'n' },
		{ "batch", no_argument, NULL, 'b' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	struct top top = { .interval = 1, .redraw = isatty(STDOUT_FILENO) };
	int64_t ms;
	int c;

	while ((c = getopt_long(argc, argv, "i:n:bh", options, NULL)) != -1) {
		switch (c) {
		case 'I':
			if (!vdi_parse_size(optarg, 1, UINT64_MAX, &top.id)) {
				vdi_error("'%s' is not the number of a set",
					  optarg);
				return EXIT_USAGE;
			}
			break;
		case 'i':
			if (!vdi_parse_seconds(optarg, &ms) || ms < 10) {
				vdi_error("the interval is a number of seconds from 0.01, not '%s'",
					  optarg);
				return EXIT_USAGE;
			}
			top.interval = ms / 1000.0;
			break;
		case 'n':
			if (!vdi_parse_size(optarg, 1, UINT32_MAX,
					    &top.count)) {
				vdi_error("the number of looks is 1 or more, not '%s'",
					  optarg);
				return EXIT_USAGE;
			}
			break;
		case 'b':
			top.redraw = false;
			break;
		case 'h':
			usage(stdout);
			return EXIT_OK;
		default:
			usage(stderr);
			return EXIT_USAGE;
		}
	}
	if (argc - optind > !top.id) {
		usage(stderr);
		return EXIT_USAGE;
	}
	top.name = argv[optind];
	return run(&top);
}
