// SPDX-License-Identifier: GPL-2.0-only
/*
 * top.c - vdi top: throughput of sets, and which side waits for the other
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

#define NAME_WIDTH 13

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
	uint64_t total;			/* bytes since the set was created */
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

	*pace = (struct pace){ .total = d->bytes };
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

/*
 * The side that the other side waits for limits the throughput. The counters do not
 * show why: it may be slow, or be held back on purpose, as by pg_basebackup --max-rate.
 */
static const char *limiter(const struct pace *pace, uint64_t rate)
{
	double difference = pace->database_waits - pace->appliance_waits;

	if (rate && pace->bytes > 0.8 * rate)
		return "rate limit";
	if (difference > 0.2)
		return "appliance";
	if (difference < -0.2)
		return pace->commands || pace->in_flight ? "database" : "idle";
	return "balanced";
}

/* A name that does not fit into its column has a line of its own. */
static void print_name(const char *name)
{
	if (strlen(name) > NAME_WIDTH)
		printf("%s\n%*s", name, NAME_WIDTH, "");
	else
		printf("%-*s", NAME_WIDTH, name);
}

/* At most 79 columns, after a long name as well. */
static void print_line(const char *name, const char *elapsed,
		       const struct pace *pace, const char *what)
{
	char total[32], rate[32];

	vdi_format_bytes(pace->total, total, sizeof(total));
	vdi_format_bytes(pace->bytes, rate, sizeof(rate));
	print_name(name);
	printf(" %8s %10s %10s %6.0f %3llu %3.0f%% %3.0f%%%s%s\n", elapsed,
	       total, rate, pace->commands, (unsigned long long)pace->in_flight,
	       pace->database_waits * 100, pace->appliance_waits * 100,
	       *what ? "  " : "", what);
}

static void add(struct pace *sum, const struct pace *pace, unsigned int n)
{
	sum->total += pace->total;
	sum->bytes += pace->bytes;
	sum->commands += pace->commands;
	sum->in_flight += pace->in_flight;
	sum->database_waits += pace->database_waits / n;
	sum->appliance_waits += pace->appliance_waits / n;
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
		      const struct sample *before, struct pace *all)
{
	char name[4 * VDI_NAME_SIZE + 64], line[64], elapsed[32];
	const struct vdi_set_status *status = &now->set.status;
	struct pace sum = { 0 }, pace[VDI_MAX_DEVICES];
	unsigned int i, n = status->config.deviceCount;

	for (i = 0; i < n; i++) {
		measure(now, before, i, &pace[i]);
		add(&sum, &pace[i], n);
	}
	*all = sum;
	title(all_sets, now, name, sizeof(name));
	vdi_format_duration(status->age_ns / 1e9, elapsed, sizeof(elapsed));
	print_line(name, elapsed, &sum, status->state == VDI_STATE_ACTIVE ?
		   limiter(&sum, status->rate) : vdi_state_name(status->state));
	for (i = 0; n > 1 && i < n; i++) {
		vdi_name_escape(now->set.device[i].name,
				now->set.device[i].name_len, name,
				sizeof(name));
		snprintf(line, sizeof(line), "  %u %.48s", i,
			 now->set.device[i].name_len ? name : "-");
		print_line(line, "", &pace[i], "");
	}
}

static void print_all(struct top *top, const struct sample *all)
{
	struct pace pace, sum = { 0 };
	const struct sample *now;
	unsigned int sets = 0;
	char text[32];

	if (top->redraw)
		fputs("\033[H\033[2J", stdout);
	printf("%-*s %8s %10s %10s %6s %3s %4s %4s\n", NAME_WIDTH, "", "", "",
	       "", "CMDS", "IN", "DB", "APPL");
	printf("%-*s %8s %10s %10s %6s %3s %4s %4s  %s\n", NAME_WIDTH,
	       "SET, DEVICES", "ELAPSED", "TOTAL", "BYTES/s", "/s", "FL", "WAIT",
	       "WAIT", "LIMITED BY");
	if (!all)
		puts("no sets are in use");
	for (now = all; now; now = now->next)
		sets++;
	for (now = all; now; now = now->next) {
		print_set(all, now, find(top->before, now->set.status.id), &pace);
		add(&sum, &pace, sets);
	}
	snprintf(text, sizeof(text), "%u sets", sets);
	if (sets > 1)
		print_line(text, "", &sum, "");
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
	      "Shows the throughput of the sets that you may see, and the share of the time that\n"
	      "each side waited for the other. The side that is waited for limits the throughput;\n"
	      "it may be slow, or held back on purpose, for example by pg_basebackup --max-rate.\n"
	      "Ctrl-C ends the display. If several users have a set of the same name, USER is\n"
	      "the creator.\n\n"
	      "      --id NUMBER     the set with this number, see 'vdi ls --json'\n"
	      "  -i, --interval SEC  time between two updates (default 1)\n"
	      "  -n, --count N       end after N updates; the first shows the time since the\n"
	      "                      creation of the set\n"
	      "  -b, --batch         print the updates one below the other; the default if the\n"
	      "                      output is not a terminal\n"
	      "  -h, --help          show this help\n\n"
	      "columns: time since the creation, bytes since then, rates, commands in flight,\n"
	      "share of the time that the database and the appliance (the backup program)\n"
	      "waited, and the side that limits the throughput\n", out);
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
			if (!observe_parse_id(optarg, &top.id))
				return EXIT_USAGE;
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
