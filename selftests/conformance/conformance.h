/* SPDX-License-Identifier: GPL-2.0 */
/*
 * conformance.h - tests of libvdi, one for each statement of the specification
 *
 * Each test runs in a separate process, so that a crash or a hang fails this test
 * only. Both sides are in that process unless the test forks others.
 *
 * A rule has a number and an id. The number is that of the section in
 * docs/conformance.md; both together are the name of the test.
 */
#ifndef VDI_CONFORMANCE_H
#define VDI_CONFORMANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <libvdi.h>

#define KIB	1024U
#define MIB	(1024U * KIB)
#define WAIT	20000		/* ms, longer than any call in a test takes */
#define SOON	2000		/* ms, upper bound for an abort */

/* ------------------------------------------------------------------ tests */

struct cf_rule {
	const char *section;	/* "5.1" */
	const char *id;		/* "create_twice", unique in its section */
	const char *text;	/* the statement */
	void (*test)(const struct cf_rule *rule);
	int a, b;		/* row and column of a table */
};

void cf_add(const struct cf_rule *rule);

/* RULE(section, id, statement) { ... } */
#define RULE(number, name, statement)					\
	RULE_AT(number, name, statement, __LINE__)
#define RULE_AT(number, name, statement, line)				\
	RULE_AS(number, name, statement, line)
#define RULE_AS(number, name, statement, line)				\
	static void rule_ ## line(const struct cf_rule *rule);		\
	static void __attribute__((constructor)) add_ ## line(void)	\
	{								\
		cf_add(&(const struct cf_rule){ .section = number,	\
			.id = #name, .text = statement,			\
			.test = rule_ ## line });			\
	}								\
	static void rule_ ## line(					\
		const struct cf_rule *rule __attribute__((unused)))

/* --------------------------------------------------------------- checking */

void cf_differ(const char *file, int line, const char *what, long long got,
	       long long want);

/* The process exits if the values differ. */
#define EQ(got, want) do {						\
	long long g_ = (long long)(got), w_ = (long long)(want);	\
	if (g_ != w_)							\
		cf_differ(__FILE__, __LINE__, #got, g_, w_);		\
} while (0)
#define OK(got)		EQ(got, NOERROR)
#define TRUE(got)	EQ(!!(got), 1)

int64_t cf_now(void);			/* ms */
void cf_nap(int ms);

/* --------------------------------------------------------------- a set up */

#define MAX_DEVICES	8

enum stage {
	DNE,			/* no set; both objects exist */
	CREATED,		/* Configurable of the client, no server */
	CONNECTED,
	CONFIGURABLE,		/* Configurable of the server */
	INITIALIZING,		/* both sides have the configuration */
	ACTIVE,			/* both sides have opened every device */
	TERMINATED,		/* VD_E_CLOSE on every device of the client */
	ABORTED,		/* by the client, in ACTIVE */
	STAGES
};

/* Both sides, in this process */
struct pair {
	/* configuration that is requested; 0 = default */
	struct VDConfig asked;		/* deviceCount 0 = 1 */
	uint32_t direction;		/* VDF_WriteMedia unless set */
	uint32_t add_features;		/* set by the server */
	uint32_t block_size, alignment, max_transfer;
	uint32_t buffer_size, buffer_count;
	uint32_t depth;

	char name[64];
	enum stage stage;
	unsigned int devices;
	struct vdi_client *client;
	struct vdi_server *server;
	struct VDConfig config;		/* as set by the server */
	struct vdi_client_device *cdev[MAX_DEVICES];
	struct vdi_server_device *sdev[MAX_DEVICES];
};

void pair_up(struct pair *p, enum stage stage);
void pair_down(struct pair *p);		/* normal end, also from ACTIVE */
const char *device_name(const struct pair *p, unsigned int i);
void new_name(char *buf, size_t size);

/* A command of the server, and its result */
struct sent {
	struct VDS_Command cmd;
	int routines;			/* number of calls of the routine */
	pid_t thread;			/* thread of the routine */
};

void prepare(struct sent *s, int code, uint8_t *buffer, int32_t size);
/* Returns the result of SendCommand. */
int send_it(struct pair *p, struct sent *s, int code, uint8_t *buffer,
	    int32_t size);
uint8_t *buffer_of(struct pair *p, uint32_t size);
/* GetCommand, which must return this command */
struct VDC_Command *got(struct pair *p, int code);
void complete(struct pair *p, struct VDC_Command *cmd, int code,
	      uint32_t bytes, int64_t position);
/* Runs the agent until the command's routine has run. */
void settle(struct pair *p, struct sent *s);
/* All of these: send, get, complete, settle */
void execute(struct pair *p, struct sent *s, int code, uint8_t *buffer,
	     int32_t size, int completion, uint32_t bytes, int64_t position);
uint32_t abort_reason(struct pair *p);

/* -------------------------------------------------------------- processes */

struct peer {
	pid_t pid;
	int fd;				/* a socket to the other process */
};

typedef void peer_fn(int fd, void *arg);

struct peer spawn(peer_fn *fn, void *arg);
void join(struct peer *peer);		/* checks that it exited with 0 */
void kill_peer(struct peer *peer);
void notify(int fd, char c);
void await(int fd, char want);

#endif /* VDI_CONFORMANCE_H */
