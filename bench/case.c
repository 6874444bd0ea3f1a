// SPDX-License-Identifier: GPL-2.0-only
/*
 * case.c - the two processes of a case, and what they use
 *
 * Each process is pinned to a processor, to different ones if there are two. The
 * processes synchronize before and after the measured commands. Each reads its own
 * counters before its first command and after its last.
 *
 * System calls are counted with the kernel's tracepoint, which makes them slower.
 * Therefore one pass measures time, and another one counts.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define BUDGET		80e6	/* approximate instructions of a case */
#define MAX_COMMANDS	4000
#define WARM_UP		64
#define UNHOOK_S	2

struct shared {
	pthread_barrier_t meet;
	struct usage usage[SIDES];
	bool counted[SIDES];
};

/* A device of the producer */
struct flow {
	uint64_t sent, done;
	uint32_t n_free;
	uint32_t free[MAX_DEPTH];
	uint64_t sum[MAX_DEPTH];	/* expected, by tag */
};

struct party {
	struct run run;
	enum side side;
	enum stage { WARM, MEASURED, OVER } stage;	/* stage of an agent */
	uint64_t to_measure;		/* commands per device */
	uint64_t left;			/* of all devices, in the current phase */
	struct usage before;
	uint64_t commands;		/* per device, in the next phase */
	struct flow *flow;
	uint32_t threads;
	pthread_barrier_t begin, end;
	int calls_fd;
};

/* A thread of a party, which serves one device */
struct worker {
	struct party *party;
	uint32_t device;
	pthread_t thread;
};

/* ---------------------------------------------------------------- payload */

static uint64_t fill(uint8_t *data, uint32_t size, uint64_t seed)
{
	uint8_t byte = seed * 37 + 11;

	memset(data, byte, size);
	return (size / 8) * (byte * 0x0101010101010101ULL);
}

static uint64_t add_up(const uint8_t *data, uint32_t size)
{
	const uint64_t *p = (const uint64_t *)data, *end = p + size / 8;
	uint64_t a = 0, b = 0, c = 0, d = 0;

	/* keep the instructions of the loop itself small */
#pragma GCC unroll 2
	for (; p < end; p += 4) {
		a += p[0];
		b += p[1];
		c += p[2];
		d += p[3];
	}
	return a + b + c + d;
}

/* --------------------------------------------------------------- producer */

static struct party *party_of(struct run *run)
{
	return (struct party *)run;	/* its first member */
}

static void send_all(struct run *run, uint32_t device, uint64_t commands)
{
	const struct transport *t = run->c.transport;
	struct flow *flow = &party_of(run)->flow[device];
	bool some = false;

	while (flow->n_free && flow->sent < commands) {
		uint32_t tag = flow->free[--flow->n_free];

		flow->sum[tag] = fill(t->buffer(run, device, tag), run->c.size,
				      flow->sent++);
		t->send(run, device, tag);
		some = true;
	}
	if (some && t->flush)
		t->flush(run, device);
}

static void next_stage(struct party *party);

void case_settle(struct run *run, uint32_t device, uint32_t tag, uint64_t sum)
{
	struct flow *flow = &party_of(run)->flow[device];

	if (tag >= run->c.depth)
		errx(1, "completion of an unknown command");
	if (sum != flow->sum[tag] && !run->c.transport->unchecked)
		errx(1, "wrong checksum of the data");
	flow->free[flow->n_free++] = tag;
	flow->done++;
	if (!run->c.transport->agent)
		return;
	send_all(run, device, party_of(run)->commands);
	if (!--party_of(run)->left)
		next_stage(party_of(run));
}

static void produce(struct run *run, uint32_t device, uint64_t commands)
{
	const struct transport *t = run->c.transport;
	struct flow *flow = &party_of(run)->flow[device];
	struct done done[MAX_DEPTH];
	uint32_t i, n;

	flow->sent = flow->done = 0;
	while (flow->done < commands) {
		send_all(run, device, commands);
		n = t->reap(run, device, done);
		for (i = 0; i < n; i++)
			case_settle(run, device, done[i].tag, done[i].sum);
	}
}

static void produce_everywhere(struct run *run, uint64_t commands)
{
	uint64_t total = commands * run->c.devices, done = 0;
	struct flow *flow = party_of(run)->flow;
	uint32_t i;

	for (i = 0; i < run->c.devices; i++)
		flow[i].sent = flow[i].done = 0;
	while (done < total) {
		for (i = 0; i < run->c.devices; i++)
			send_all(run, i, commands);
		done += run->c.transport->reap(run, 0, NULL);
	}
}

/* --------------------------------------------------------------- consumer */

static void consume(struct run *run, uint32_t device, uint64_t commands)
{
	const struct transport *t = run->c.transport;
	struct item items[MAX_DEPTH];
	struct done done[MAX_DEPTH];
	uint32_t i, n;

	while (commands) {
		n = t->receive(run, device, items);
		if (n > commands)
			errx(1, "unexpected command");
		for (i = 0; i < n; i++) {
			done[i].tag = items[i].tag;
			done[i].sum = add_up(items[i].data, run->c.size);
		}
		t->complete(run, device, items, done, n);
		commands -= n;
	}
	if (t->settle)
		t->settle(run, device);
}

/* ------------------------------------------------------------------ party */

static void serve(struct party *party, uint32_t device)
{
	if (party->side == CONSUMER)
		consume(&party->run, device, party->commands);
	else if (party->run.c.transport->one_thread)
		produce_everywhere(&party->run, party->commands);
	else
		produce(&party->run, device, party->commands);
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;

	for (;;) {
		pthread_barrier_wait(&worker->party->begin);
		if (!worker->party->commands)
			return NULL;
		serve(worker->party, worker->device);
		pthread_barrier_wait(&worker->party->end);
	}
}

static void start_workers(struct party *party, struct worker *workers)
{
	uint32_t i;

	pthread_barrier_init(&party->begin, NULL, party->threads);
	pthread_barrier_init(&party->end, NULL, party->threads);
	for (i = 1; i < party->threads; i++) {
		workers[i].party = party;
		workers[i].device = i;
		if (pthread_create(&workers[i].thread, NULL, worker_main,
				   &workers[i]))
			errx(1, "cannot start a thread");
	}
}

/* Runs this number of commands on each device; 0 ends the threads. */
static void phase(struct party *party, uint64_t commands)
{
	party->commands = commands;
	if (party->threads > 1)
		pthread_barrier_wait(&party->begin);
	if (!commands)
		return;
	serve(party, 0);
	if (party->threads > 1)
		pthread_barrier_wait(&party->end);
}

/* ------------------------------------------------------------------ usage */

static uint64_t now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * UINT64_C(1000000000) + t.tv_nsec;
}

static int tracepoint(void)
{
	static const char *const paths[] = {
		"/sys/kernel/tracing/events/raw_syscalls/sys_enter/id",
		"/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id",
	};
	int id = -1;
	size_t i;
	FILE *f;

	for (i = 0; i < ARRAY_SIZE(paths) && id < 0; i++) {
		f = fopen(paths[i], "re");
		if (!f)
			continue;
		if (fscanf(f, "%d", &id) != 1)
			id = -1;
		fclose(f);
	}
	return id;
}

/* A descriptor that counts the system calls of this process; -1: not permitted */
static int count_calls(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.inherit = 1,
	};
	int id = tracepoint();

	if (id < 0)
		return -1;
	attr.config = id;
	return syscall(SYS_perf_event_open, &attr, 0, -1, -1,
		       PERF_FLAG_FD_CLOEXEC);
}

static void read_counts(struct party *party, struct usage *u)
{
	char text[512] = "";
	uint64_t in = 0, out = 0;
	ssize_t n;
	int fd;

	if (read(party->calls_fd, &u->calls, sizeof(u->calls)) !=
	    sizeof(u->calls))
		err(1, "reading a counter");
	fd = open("/proc/self/io", O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n < 0 || sscanf(text, "rchar: %lu wchar: %lu", &in, &out) != 2)
		err(1, "/proc/self/io");
	close(fd);
	u->copied = in + out;
}

static void read_switches(struct usage *u)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	u->switches = r.ru_nvcsw + r.ru_nivcsw;
}

static void read_clocks(struct usage *u)
{
	read_switches(u);
	u->wall_ns = now(CLOCK_MONOTONIC);
	u->cpu_ns = now(CLOCK_PROCESS_CPUTIME_ID);
}

static void begin_measure(struct party *party)
{
	if (party->calls_fd >= 0)
		read_counts(party, &party->before);
	read_clocks(&party->before);
}

static void end_measure(struct party *party)
{
	struct shared *shared = party->run.shared;
	const struct usage *before = &party->before;
	struct usage after = { 0 };

	after.cpu_ns = now(CLOCK_PROCESS_CPUTIME_ID);
	after.wall_ns = now(CLOCK_MONOTONIC);
	read_switches(&after);
	if (party->calls_fd >= 0)
		read_counts(party, &after);
	shared->counted[party->side] = party->calls_fd >= 0;
	shared->usage[party->side] = (struct usage){
		.cpu_ns = after.cpu_ns - before->cpu_ns,
		.wall_ns = after.wall_ns - before->wall_ns,
		.switches = after.switches - before->switches,
		.calls = after.calls - before->calls,
		.copied = after.copied - before->copied,
	};
}

/* ------------------------------------------------------------------ agent */

static void begin_phase(struct party *party, uint64_t commands)
{
	struct run *run = &party->run;
	uint32_t i;

	party->commands = commands;
	party->left = commands * run->c.devices;
	for (i = 0; i < run->c.devices; i++)
		party->flow[i].sent = party->flow[i].done = 0;
	for (i = 0; i < run->c.devices; i++)
		send_all(run, i, commands);
}

/* Called when the agent has settled the last command of a phase. */
static void next_stage(struct party *party)
{
	struct run *run = &party->run;

	switch (party->stage++) {
	case WARM:
		run->meet(run);
		begin_measure(party);
		begin_phase(party, party->to_measure);
		break;
	case MEASURED:
		end_measure(party);
		run->meet(run);
		run->c.transport->stop(run);
		break;
	case OVER:
		errx(1, "unexpected completion");
	}
}

/* ------------------------------------------------------------------- case */

static void meet(struct run *run)
{
	struct shared *shared = run->shared;

	pthread_barrier_wait(&shared->meet);
}

static void pin(enum side side)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(side == PRODUCER && get_nprocs() > 1, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(1, "pinning");
}

static void run_phases(struct party *party, uint64_t commands)
{
	const struct transport *t = party->run.c.transport;
	struct worker workers[MAX_DEVICES];
	uint32_t i;

	start_workers(party, workers);
	phase(party, WARM_UP + 2 * party->run.c.depth);
	meet(&party->run);
	/*
	 * A runnable process is charged for the time in which the emulator runs the
	 * other processor. Without a hand-over, the sides run one after the other.
	 */
	if (t->unchecked && party->side == CONSUMER)
		meet(&party->run);
	begin_measure(party);
	phase(party, commands);
	end_measure(party);
	if (t->unchecked && party->side == PRODUCER)
		meet(&party->run);
	meet(&party->run);
	phase(party, 0);
	for (i = 1; i < party->threads; i++)
		pthread_join(workers[i].thread, NULL);
}

static void party_main(struct party *party, uint64_t commands, bool count)
{
	const struct transport *t = party->run.c.transport;
	uint32_t i, j;

	party->flow = calloc(party->run.c.devices, sizeof(*party->flow));
	if (!party->flow)
		err(1, "memory");
	for (i = 0; i < party->run.c.devices; i++) {
		for (j = 0; j < party->run.c.depth; j++)
			party->flow[i].free[j] = party->run.c.depth - 1 - j;
		party->flow[i].n_free = party->run.c.depth;
	}
	party->threads = t->one_thread && party->side == PRODUCER ? 1 :
			 party->run.c.devices;
	party->calls_fd = count ? count_calls() : -1;
	t->open(&party->run, party->side);
	pin(party->side);
	meet(&party->run);
	if (t->agent && party->side == PRODUCER) {
		party->to_measure = commands;
		begin_phase(party, WARM_UP + 2 * party->run.c.depth);
		t->agent(&party->run);
	} else {
		run_phases(party, commands);
	}
	if (t->close)
		t->close(&party->run, party->side);
}

static pid_t start_party(const struct run *run, enum side side,
			 uint64_t commands, bool count)
{
	struct party *party;
	pid_t parent = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	party = calloc(1, sizeof(*party));
	if (!party)
		err(1, "memory");
	party->run = *run;
	party->side = side;
	party_main(party, commands, count);
	_exit(0);
}

/* If one process fails, kills the other one, and exits. */
static void wait_parties(const pid_t pid[SIDES])
{
	int i, status, bad = 0;
	pid_t who;

	for (i = 0; i < SIDES; i++) {
		do
			who = wait(&status);
		while (who < 0 && errno == EINTR);
		if (who < 0)
			err(1, "wait");
		if (status && !bad) {
			bad = 1;
			kill(who == pid[0] ? pid[1] : pid[0], SIGKILL);
		}
	}
	if (bad)
		exit(1);
}

uint64_t case_commands(const struct bench_case *c, double scale)
{
	double n = BUDGET * scale / (8000 + 0.35 * c->size) / c->devices;

	if (n > MAX_COMMANDS * scale)
		n = MAX_COMMANDS * scale;
	return n > 4 * c->depth ? n : 4 * c->depth;
}

/* Is there enough memory? */
bool case_fits(const struct bench_case *c)
{
	struct sysinfo info;

	if (sysinfo(&info))
		return true;
	return (double)c->size * c->depth * c->devices * 2 <
	       (double)info.freeram * info.mem_unit;
}

static void run_pass(const struct bench_case *c, uint64_t commands, bool count,
		     struct usage usage[SIDES], bool *counted)
{
	static unsigned int serial;
	struct run run = { .c = *c, .meet = meet };
	struct shared *shared;
	pthread_barrierattr_t attr;
	char name[64];
	pid_t pid[SIDES];
	int side;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		err(1, "memory");
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&shared->meet, &attr, SIDES);
	snprintf(name, sizeof(name), "bench-%d-%u", (int)getpid(), serial++);
	run.name = name;
	run.shared = shared;
	run.size = c->size ? c->size : 64;
	if (c->transport->prepare)
		c->transport->prepare(&run);
	for (side = 0; side < SIDES; side++)
		pid[side] = start_party(&run, side, commands, count);
	wait_parties(pid);
	if (c->transport->finish)
		c->transport->finish(&run);
	memcpy(usage, shared->usage, sizeof(shared->usage));
	*counted = shared->counted[PRODUCER] && shared->counted[CONSUMER];
	munmap(shared, sizeof(*shared));
}

void case_measure(const struct bench_case *c, double scale, bool count,
		  struct result *result)
{
	uint64_t commands = case_commands(c, scale);
	bool counted = false;

	memset(result, 0, sizeof(*result));
	result->c = *c;
	result->commands = commands * c->devices;
	run_pass(c, commands, false, result->time, &counted);
	if (count) {
		run_pass(c, commands, true, result->count, &counted);
		result->counted = counted ? result->commands : 0;
		/* the scheduler calls perf for a second after the last counter is closed */
		if (counted)
			sleep(UNHOOK_S);
	}
}
