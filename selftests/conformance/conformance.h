/* SPDX-License-Identifier: GPL-2.0 */
/*
 * conformance.h - the specification, statement by statement, against libvdi
 *
 * Each test is one statement. It runs in a process of its own, so that a crash
 * or a hang is the failure of that test, and it has both sides in that process
 * unless it spawns more.
 *
 * A rule has a number and an id: the number is that of the section of the
 * specification's calls, commands or rules as docs/conformance.md lists them,
 * and both together are the name of the test.
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
#define WAIT	20000		/* ms, longer than anything here takes */
#define SOON	2000		/* ms, what an abort may take at most, with room */

/* ------------------------------------------------------------------ tests */

struct cf_rule {
	const char *section;	/* "5.1" */
	const char *id;		/* "create_twice", unique in its section */
	const char *text;	/* the statement */
	void (*test)(const struct cf_rule *rule);
	int a, b;		/* of a table */
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

/* Ends the process when they differ. */
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
	DNE,			/* nothing; objects exist */
	CREATED,		/* the client's Configurable, no server */
	CONNECTED,
	CONFIGURABLE,		/* the server's */
	INITIALIZING,		/* both sides know the configuration */
	ACTIVE,			/* both sides have opened every device */
	TERMINATED,		/* the client has seen VD_E_CLOSE everywhere */
	ABORTED,		/* by the client, out of ACTIVE */
	STAGES
};

/* Both sides in this process. */
struct pair {
	/* wishes, 0 = the usual */
	struct VDConfig asked;		/* deviceCount 0 = 1 */
	uint32_t direction;		/* VDF_WriteMedia unless set */
	uint32_t add_features;		/* of the server */
	uint32_t block_size, alignment, max_transfer;
	uint32_t buffer_size, buffer_count;
	uint32_t depth;

	char name[64];
	enum stage stage;
	unsigned int devices;
	struct vdi_client *client;
	struct vdi_server *server;
	struct VDConfig config;		/* as fixed */
	struct vdi_client_device *cdev[MAX_DEVICES];
	struct vdi_server_device *sdev[MAX_DEVICES];
};

void pair_up(struct pair *p, enum stage stage);
void pair_down(struct pair *p);		/* in order, out of ACTIVE too */
const char *device_name(const struct pair *p, unsigned int i);
void new_name(char *buf, size_t size);

/* A command of the server's, and what became of it. */
struct sent {
	struct VDS_Command cmd;
	int routines;			/* how often the routine ran */
	pid_t thread;			/* where */
};

void prepare(struct sent *s, int code, uint8_t *buffer, int32_t size);
/* SendCommand; what it returns. */
int send_it(struct pair *p, struct sent *s, int code, uint8_t *buffer,
	    int32_t size);
uint8_t *buffer_of(struct pair *p, uint32_t size);
/* GetCommand, which must give this one. */
struct VDC_Command *got(struct pair *p, int code);
void complete(struct pair *p, struct VDC_Command *cmd, int code,
	      uint32_t bytes, int64_t position);
/* Run the agent until the command's routine ran. */
void settle(struct pair *p, struct sent *s);
/* All of it: send, get, complete, settle. */
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
void join(struct peer *peer);		/* it must have ended well */
void kill_peer(struct peer *peer);
void tell(int fd, char c);
void hear(int fd, char want);

#endif /* VDI_CONFORMANCE_H */
