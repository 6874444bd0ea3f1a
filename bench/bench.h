/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench.h - hand-over of buffers between two processes, in several ways
 *
 * A case is a transport, a size, a number of commands in flight (depth) and a
 * number of devices. A producer fills buffers and hands them over; a consumer
 * adds up their words and answers with the sum, which the producer checks. All
 * of that is the same code for every transport; see case.c.
 *
 * What fails ends the process by err(3): the parent notices and ends the other
 * one.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define MAX_DEVICES	64
#define MAX_DEPTH	1024

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

struct transport;

struct bench_case {
	const struct transport *transport;
	uint32_t size;		/* bytes of one command */
	uint32_t depth;		/* commands in flight on a device */
	uint32_t devices;
};

/* What one side used between the first command and the last. */
struct usage {
	uint64_t cpu_ns;	/* of the process, by the scheduler's clock */
	uint64_t wall_ns;
	uint64_t switches;	/* context switches */
	uint64_t calls;		/* system calls */
	uint64_t copied;	/* bytes by read(2) and write(2) */
};

enum side { PRODUCER, CONSUMER, SIDES };

struct result {
	struct bench_case c;
	uint64_t commands;	/* of the pass that measured time */
	uint64_t counted;	/* of the pass that counted calls; 0 = none */
	struct usage time[SIDES];
	struct usage count[SIDES];
};

/* One case under way, in each of its processes. */
struct run {
	struct bench_case c;
	uint32_t size;			/* of a buffer: never 0 */
	const char *name;		/* unique, for objects that have names */
	void (*meet)(struct run *run);	/* wait for the other process */
	void *shared;			/* case.c's */
	void *priv;			/* the transport's */
};

/* A command that the consumer has received. */
struct item {
	const uint8_t *data;
	uint32_t tag;
	void *handle;			/* the transport's */
};

struct done {
	uint32_t tag;
	uint64_t sum;
};

/*
 * The calls of one device are made by one thread of each side; with one_thread
 * those of all devices by the same one on the producer's side.
 */
struct transport {
	const char *name;
	const char *what;
	bool one_thread;
	bool unchecked;			/* nothing is handed over */
	/* in the parent; then both processes are forked from it */
	void (*prepare)(struct run *run);
	void (*open)(struct run *run, enum side side);
	/* producer: where the data of a tag (below depth) is put */
	uint8_t *(*buffer)(struct run *run, uint32_t device, uint32_t tag);
	void (*send)(struct run *run, uint32_t device, uint32_t tag);
	/* all that was sent is to be under way; optional */
	void (*flush)(struct run *run, uint32_t device);
	/*
	 * At least one, at most depth. With one_thread: of any device, and by
	 * calls of case_settle() instead.
	 */
	uint32_t (*reap)(struct run *run, uint32_t device, struct done *done);
	/*
	 * Instead of reap, for one_thread: settles all that comes, which sends
	 * what follows, until stop() was called from there.
	 */
	void (*agent)(struct run *run);
	void (*stop)(struct run *run);
	/* consumer: at least one, at most depth */
	uint32_t (*receive)(struct run *run, uint32_t device,
			    struct item *items);
	void (*complete)(struct run *run, uint32_t device,
			 const struct item *items, const struct done *done,
			 uint32_t n);
	/* all that was completed is to be known to the producer; optional */
	void (*settle)(struct run *run, uint32_t device);
	void (*close)(struct run *run, enum side side);
	/* in the parent, after both have ended */
	void (*finish)(struct run *run);
};

extern const struct transport transport_none;
extern const struct transport transport_pipe;
extern const struct transport transport_unix;
extern const struct transport transport_sem;
extern const struct transport transport_futex;
extern const struct transport transport_vdi_1;
extern const struct transport transport_vdiset;
extern const struct transport transport_vdi_default;
extern const struct transport transport_vdi_spin;

/* main.c */
extern const struct transport *const transports[];
const struct transport *find_transport(const char *name, size_t length);
bool parse_size(const char *text, char **end, uint32_t *size);
const char *format_size(uint32_t size, char text[16]);

/* case.c */
uint64_t case_commands(const struct bench_case *c, double scale);
bool case_fits(const struct bench_case *c);
void case_measure(const struct bench_case *c, double scale, bool count,
		  struct result *result);
/* a command of a one_thread transport has come back, with its sum */
void case_settle(struct run *run, uint32_t device, uint32_t tag, uint64_t sum);

/* report.c */
double result_cpu(const struct result *r);
double result_wall(const struct result *r);
double result_calls(const struct result *r, enum side side);
double result_switches(const struct result *r, enum side side);
double result_copied(const struct result *r);
void report_head(FILE *out, bool icount);
void report_line(FILE *out, const struct result *r);
void report_json(FILE *out, const struct result *r, size_t n, bool icount);

/* limits.c: the number of limits that do not hold */
int limits_check(const char *path, double scale);

#endif /* BENCH_H */
