/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench.h - hand-over of buffers between two processes, by several transports
 *
 * A case is a transport, a size, a number of commands in flight (depth) and a
 * number of devices. The producer fills buffers and hands them over; the consumer
 * computes the sum of their words and returns it, and the producer checks it. This
 * code is the same for every transport; see case.c.
 *
 * Errors end the process with err(3); the parent then kills the other process.
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
	uint32_t depth;		/* commands in flight per device */
	uint32_t devices;
};

/* Resources that a side used between its first and its last command */
struct usage {
	uint64_t cpu_ns;	/* CPU time of the process (scheduler's clock) */
	uint64_t wall_ns;
	uint64_t switches;	/* context switches */
	uint64_t calls;		/* system calls */
	uint64_t copied;	/* bytes by read(2) and write(2) */
};

enum side { PRODUCER, CONSUMER, SIDES };

struct result {
	struct bench_case c;
	uint64_t commands;	/* in the pass that measured time */
	uint64_t counted;	/* in the pass that counted calls; 0 = none */
	struct usage time[SIDES];
	struct usage count[SIDES];
};

/* The case that is running, in each of its processes */
struct run {
	struct bench_case c;
	uint32_t size;			/* size of a buffer, never 0 */
	const char *name;		/* unique, for named objects */
	void (*meet)(struct run *run);	/* wait for the other process */
	void *shared;			/* data of case.c */
	void *priv;			/* data of the transport */
};

/* A command that the consumer has received. */
struct item {
	const uint8_t *data;
	uint32_t tag;
	void *handle;			/* handle of the transport */
};

struct done {
	uint32_t tag;
	uint64_t sum;
};

/*
 * One thread of each side makes the calls of one device. With one_thread, one thread
 * of the producer makes those of all devices.
 */
struct transport {
	const char *name;
	const char *what;
	bool one_thread;
	bool unchecked;			/* no data is handed over */
	/* in the parent, before both processes are forked from it */
	void (*prepare)(struct run *run);
	void (*open)(struct run *run, enum side side);
	/* producer: address of the data of a tag (less than depth) */
	uint8_t *(*buffer)(struct run *run, uint32_t device, uint32_t tag);
	void (*send)(struct run *run, uint32_t device, uint32_t tag);
	/* pass on all commands that were sent; optional */
	void (*flush)(struct run *run, uint32_t device);
	/*
	 * Returns at least one completion and at most depth. With one_thread
	 * completions of any device, by calls of case_settle().
	 */
	uint32_t (*reap)(struct run *run, uint32_t device, struct done *done);
	/*
	 * Replaces reap for one_thread: settles completions, which sends further
	 * commands, until stop() is called.
	 */
	void (*agent)(struct run *run);
	void (*stop)(struct run *run);
	/* consumer: at least one command, at most depth */
	uint32_t (*receive)(struct run *run, uint32_t device,
			    struct item *items);
	void (*complete)(struct run *run, uint32_t device,
			 const struct item *items, const struct done *done,
			 uint32_t n);
	/* pass on all completions; optional */
	void (*settle)(struct run *run, uint32_t device);
	void (*close)(struct run *run, enum side side);
	/* in the parent, after both processes have exited */
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
/* a command of a one_thread transport was completed with this sum */
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

/* limits.c: returns the number of violated limits */
int limits_check(const char *path, double scale);

#endif /* BENCH_H */
