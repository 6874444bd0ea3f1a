// SPDX-License-Identifier: GPL-2.0-only
/*
 * tables.c - the cost of finding a set, and whether it depends on sets and calls of
 * other users
 *
 * (1) A user keeps ended sets (a process has observer files of them). The cost of
 * creating a set, and of joining one by name, must not depend on their number.
 * (2) Threads of a user call LIST without a pause. Calls of another user must not be
 * slower than while these threads call getpid(2).
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/vdiset.h>

#define PARAMETERS	"/sys/module/vdiset/parameters/"
#define OTHER_USER	65534
#define BATCH		50		/* calls per measurement */
#define TURNS		2		/* per load */
#define WARM_UP		10		/* calls while the threads start */
#define MAX_FIGURES	4096
#define COST_GOAL	1.2
#define LATENCY_GOAL	3.0

struct options {
	unsigned int sets;
	unsigned int rounds;
	unsigned int batches;
	unsigned int threads;
	unsigned int calls;
	bool costs;
	bool latencies;
	bool icount;
};

struct figures {
	double value[MAX_FIGURES];
	unsigned int n;
};

/*
 * Time. If the clock counts instructions, CPU time is a number of instructions.
 */
static double now(clockid_t clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts))
		err(1, "clock_gettime");
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static void add(struct figures *f, double value)
{
	if (f->n < MAX_FIGURES)
		f->value[f->n++] = value;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The figure that a given part of the figures does not exceed */
static double quantile(struct figures *f, double part)
{
	unsigned int i = part * f->n;

	if (!f->n)
		errx(1, "no figures");
	qsort(f->value, f->n, sizeof(f->value[0]), compare);
	return f->value[i < f->n ? i : f->n - 1];
}

static double mean(const struct figures *f)
{
	double sum = 0;
	unsigned int i;

	for (i = 0; i < f->n; i++)
		sum += f->value[i];
	return sum / f->n;
}

/*
 * Requests
 */
static int open_device(void)
{
	int fd = open(VDISET_DEVICE_PATH, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		err(errno == ENOENT ? 6 : 1, VDISET_DEVICE_PATH);
	return fd;
}

static void create(int fd, const char *name)
{
	struct vdiset_create c = {
		.size = sizeof(c), .name = (uintptr_t)name,
		.name_len = strlen(name), .mode = 0666, .uid = -1, .gid = -1,
		.config.device_count = 1,
	};

	if (ioctl(fd, VDISET_CREATE, &c))
		err(1, "CREATE of %s", name);
}

static void attach(int fd, unsigned int role, const char *name)
{
	struct vdiset_attach a = {
		.size = sizeof(a), .flags = VDISET_ATTACH_BY_NAME,
		.role = role, .name = (uintptr_t)name,
		.name_len = strlen(name), .creator = geteuid(),
	};

	if (ioctl(fd, VDISET_ATTACH, &a))
		err(1, "ATTACH to %s", name);
}

static void observe(int fd, int primary)
{
	struct vdiset_attach a = {
		.size = sizeof(a), .flags = VDISET_ATTACH_BY_FD,
		.role = VDISET_ROLE_OBSERVER, .fd = primary,
	};

	if (ioctl(fd, VDISET_ATTACH, &a))
		err(1, "ATTACH of an observer");
}

static void make_set(void)
{
	int fd = open_device();

	create(fd, "tables");
	close(fd);
}

static void make_and_join_set(void)
{
	int primary = open_device(), server = open_device();

	create(primary, "tables");
	attach(server, VDISET_ROLE_SERVER, "tables");
	close(server);
	close(primary);
}

/*
 * Processes of another user. Each writes a byte to the pipe when it is ready.
 */
struct helper {
	pid_t pid;
	int ready;
};

static void become_other_user(void)
{
	if (setgroups(0, NULL) ||
	    setresgid(OTHER_USER, OTHER_USER, OTHER_USER) ||
	    setresuid(OTHER_USER, OTHER_USER, OTHER_USER))
		err(1, "cannot become user %d", OTHER_USER);
	/* setuid() has cleared it */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void start_helper(struct helper *h, void (*run)(const struct options *),
			 void (*then)(void), const struct options *o)
{
	char byte;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		err(1, "pipe");
	fflush(NULL);
	h->pid = fork();
	if (h->pid < 0)
		err(1, "fork");
	if (!h->pid) {
		close(fds[0]);
		become_other_user();
		run(o);
		if (write(fds[1], "", 1) != 1)
			err(1, "write");
		if (then)
			then();
		for (;;)
			pause();
	}
	close(fds[1]);
	if (read(fds[0], &byte, 1) != 1)
		errx(1, "a process of user %d has failed", OTHER_USER);
	close(fds[0]);
}

static void end_helper(struct helper *h)
{
	kill(h->pid, SIGKILL);
	waitpid(h->pid, NULL, 0);
}

static void keep_sets(const struct options *o)
{
	char name[32];
	unsigned int i;
	int primary;

	for (i = 0; i < o->sets; i++) {
		snprintf(name, sizeof(name), "ended-%u", i);
		primary = open_device();
		create(primary, name);
		observe(open_device(), primary);
		close(primary);
	}
}

/* The threads start together, because running threads would delay pthread_create(). */
static pthread_barrier_t all_made;

static void *call_getpid(void *unused)
{
	pthread_barrier_wait(&all_made);
	for (;;)
		syscall(SYS_getpid);
	return unused;
}

static void *call_list(void *unused)
{
	struct vdiset_list list = { .size = sizeof(list) };
	int fd = open_device();

	pthread_barrier_wait(&all_made);
	for (;;) {
		if (!ioctl(fd, VDISET_LIST, &list))
			continue;
		if (errno != ENOENT)
			err(1, "LIST");
		memset(&list, 0, sizeof(list));
		list.size = sizeof(list);
	}
	return unused;
}

static void start_threads(const struct options *o, void *(*run)(void *))
{
	pthread_attr_t attr;
	pthread_t thread;
	unsigned int i;

	pthread_barrier_init(&all_made, NULL, o->threads + 1);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (i = 0; i < o->threads; i++) {
		errno = pthread_create(&thread, &attr, run, NULL);
		if (errno)
			err(1, "thread %u", i);
	}
}

static void release_threads(void)
{
	pthread_barrier_wait(&all_made);
}

static void load_getpid(const struct options *o)
{
	start_threads(o, call_getpid);
}

static void load_list(const struct options *o)
{
	start_threads(o, call_list);
}

/*
 * (1) CPU time of calls
 */
static void measure_cost(const struct options *o, void (*call)(void),
			 struct figures *f)
{
	unsigned int i, j;
	double before;

	for (i = 0; i < o->batches; i++) {
		before = now(CLOCK_PROCESS_CPUTIME_ID);
		for (j = 0; j < BATCH; j++)
			call();
		add(f, (now(CLOCK_PROCESS_CPUTIME_ID) - before) / BATCH);
	}
}

static const struct {
	const char *name;
	void (*call)(void);
} costs[] = {
	{ "open, CREATE, close", make_set },
	{ "open, CREATE, open, ATTACH by name, close both", make_and_join_set },
};

#define N_COSTS	(sizeof(costs) / sizeof(costs[0]))

static bool compare_costs(const struct options *o)
{
	static struct figures f[N_COSTS][2];
	struct helper keeper;
	unsigned int i, round;
	double a, b;
	bool met = true;

	for (i = 0; i < N_COSTS; i++)
		measure_cost(o, costs[i].call, &f[i][0]);
	memset(f, 0, sizeof(f));
	for (round = 0; round < o->rounds; round++) {
		for (i = 0; i < N_COSTS; i++)
			measure_cost(o, costs[i].call, &f[i][0]);
		start_helper(&keeper, keep_sets, NULL, o);
		for (i = 0; i < N_COSTS; i++)
			measure_cost(o, costs[i].call, &f[i][1]);
		end_helper(&keeper);
	}
	printf("%s of a call, median, without other sets and with %u ended ones of another user:\n",
	       o->icount ? "Instructions" : "CPU time (ns)", o->sets);
	for (i = 0; i < N_COSTS; i++) {
		a = quantile(&f[i][0], 0.5);
		b = quantile(&f[i][1], 0.5);
		printf("  %-48s %9.0f %9.0f  ratio %.2f (goal: %.1f, %s)\n",
		       costs[i].name, a, b, b / a, COST_GOAL,
		       b / a <= COST_GOAL ? "met" : "missed");
		met = met && b / a <= COST_GOAL;
	}
	return met;
}

/*
 * (2) Duration of a call while other threads are busy. The caller sleeps between the
 * calls, so that it does not use up its share of the processors. The pauses vary, so
 * that the calls do not coincide with the scheduler's tick.
 */
static void measure_latency(const struct options *o, struct figures *f)
{
	struct timespec pause = { 0 };
	unsigned int i, seed = 1;
	double before;

	for (i = 0; i < o->calls + WARM_UP; i++) {
		pause.tv_nsec = 1000000 + rand_r(&seed) % 2000000;
		nanosleep(&pause, NULL);
		before = now(CLOCK_MONOTONIC);
		make_set();
		if (i >= WARM_UP)
			add(f, now(CLOCK_MONOTONIC) - before);
	}
}

static const struct {
	const char *name;
	void (*load)(const struct options *o);
} loads[] = {
	{ "getpid(2)", load_getpid },
	{ "LIST", load_list },
};

#define N_LOADS	(sizeof(loads) / sizeof(loads[0]))

static bool compare_latencies(const struct options *o)
{
	static struct figures f[N_LOADS];
	struct helper keeper, helper;
	unsigned int i, round;
	double ratio;

	start_helper(&keeper, keep_sets, NULL, o);
	for (round = 0; round < TURNS; round++) {
		for (i = 0; i < N_LOADS; i++) {
			start_helper(&helper, loads[i].load,
				     release_threads, o);
			measure_latency(o, &f[i]);
			end_helper(&helper);
		}
	}
	end_helper(&keeper);
	printf("Time (us) of open, CREATE, close beside %u busy threads of another user:\n",
	       o->threads);
	for (i = 0; i < N_LOADS; i++)
		printf("  %-48s median %9.1f  9 of 10 below %9.1f  mean %9.1f\n",
		       loads[i].name, quantile(&f[i], 0.5) / 1000,
		       quantile(&f[i], 0.9) / 1000, mean(&f[i]) / 1000);
	ratio = quantile(&f[1], 0.5) / quantile(&f[0], 0.5);
	printf("  %-48s %.2f (goal: %.1f, %s)\n", "ratio of the medians",
	       ratio, LATENCY_GOAL, ratio <= LATENCY_GOAL ? "met" : "missed");
	return ratio <= LATENCY_GOAL;
}

static void set_parameter(const char *name, unsigned int least)
{
	char path[64];
	unsigned int old;
	FILE *f;

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	f = fopen(path, "r+e");
	if (!f || fscanf(f, "%u", &old) != 1)
		err(1, "%s", path);
	rewind(f);
	if (old < least && (fprintf(f, "%u\n", least) < 0 || fflush(f)))
		err(1, "%s", path);
	fclose(f);
}

static void set_limits(const struct options *o)
{
	struct rlimit files = { o->sets + o->threads + 100,
				o->sets + o->threads + 100 };
	struct rlimit tasks = { o->threads + 1000, o->threads + 1000 };

	if (geteuid())
		errx(1, "must run as root: other users' processes, higher limits");
	set_parameter("max_parties", o->sets + 100);
	if (setrlimit(RLIMIT_NOFILE, &files) ||
	    setrlimit(RLIMIT_NPROC, &tasks))
		err(1, "cannot raise the limits for files and processes");
}

static void usage(FILE *out)
{
	fputs(
"usage: tables [OPTION...]\n"
"\n"
"Compares the cost of calls without other sets and with many ended sets of another\n"
"user, and their duration while threads of another user call LIST or getpid(2)\n"
"without a pause.\n"
"\n"
"  --sets N      ended sets (16000)\n"
"  --rounds N    alternating comparisons of costs (3)\n"
"  --batches N   batches of 50 calls in each round (20)\n"
"  --threads N   busy threads (1000)\n"
"  --calls N     calls beside them, in each of two turns (30)\n"
"  --costs       the first comparison only\n"
"  --latencies   the second comparison only\n"
"  --icount      print instructions: the clock of this machine counts them\n"
"  --help\n"
"\n"
"Exit status: 0; 1 a goal is missed, or an error; 2 wrong usage; 6 /dev/vdiset does\n"
"not exist.\n", out);
}

static unsigned int number(const char *option, unsigned int most)
{
	char *end;
	unsigned long value = strtoul(optarg, &end, 10);

	if (end == optarg || *end || !value || value > most)
		errx(2, "%s must be a number from 1 to %u, not '%s'", option,
		     most, optarg);
	return value;
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "sets", required_argument, NULL, 's' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "batches", required_argument, NULL, 'b' },
		{ "threads", required_argument, NULL, 't' },
		{ "calls", required_argument, NULL, 'c' },
		{ "costs", no_argument, NULL, 'C' },
		{ "latencies", no_argument, NULL, 'L' },
		{ "icount", no_argument, NULL, 'i' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	struct options o = {
		.sets = 16000, .rounds = 3, .batches = 20, .threads = 1000,
		.calls = 30,
	};
	bool met = true;
	int c;

	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) >= 0) {
		switch (c) {
		case 's': o.sets = number("--sets", 1000000); break;
		case 'r': o.rounds = number("--rounds", 20); break;
		case 'b': o.batches = number("--batches", 200); break;
		case 't': o.threads = number("--threads", 30000); break;
		case 'c': o.calls = number("--calls", 2000); break;
		case 'C': o.costs = true; break;
		case 'L': o.latencies = true; break;
		case 'i': o.icount = true; break;
		case 'h': usage(stdout); return 0;
		default: usage(stderr); return 2;
		}
	}
	if (optind < argc) {
		usage(stderr);
		return 2;
	}
	set_limits(&o);
	if (!o.latencies)
		met = compare_costs(&o);
	fflush(stdout);
	if (!o.costs)
		met = compare_latencies(&o) && met;
	return met ? 0 : 1;
}
