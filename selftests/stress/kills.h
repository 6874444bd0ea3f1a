/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What kills.c, which plans the ends and checks what they did, and
 * kills_party.c, the processes that end and those that survive them, share.
 */
#ifndef VDISET_TEST_KILLS_H
#define VDISET_TEST_KILLS_H

#include "memcg.h"
#include "vdiset_test.h"

#define MAX_SECONDARIES	4
#define PRIMARY		0
#define SERVER		1
#define SECONDARY	2	/* the first of them */
#define MAX_ACTORS	(SECONDARY + MAX_SECONDARIES)
#define MAX_ENDS	3
#define AREA		(64 * KIB)
#define DEPTH		4

/* How far a party has got; an end is planned for one of these moments. */
enum stage {
	STARTED,
	OPENED,		/* has an unbound set file */
	BOUND,		/* created, or attached */
	CONFIGURING,	/* server only */
	CONFIGURED,
	OPENING,	/* its devices */
	IDLE,		/* about to wait, or waiting */
	COMMAND,	/* a command is sent, or was fetched */
	COMPLETION,	/* it is about to be completed, or was */
	CLOSING,
	N_STAGES
};

enum way {
	KILL,
	EXIT,
	EXEC,
	CLOSE,		/* close(2) of the set file */
	CLOSE_DEVICE,
	STOP_KILL,	/* SIGSTOP, a while, SIGKILL */
	OOM_KILL,	/* by the OOM killer of its memory cgroup */
	N_DEATHS,
	ABORT = N_DEATHS,
	LEAVE,		/* VDISET_CLOSE, early as a rule */
	N_WAYS
};

enum extra { NO_EXTRA, POLLS, WAITS_FOR_CONFIG };

/* One planned end. */
struct end {
	enum way way;
	int who;
	enum stage when;
	unsigned int delay_us;
	bool at_once;	/* does not wait for the end before it */
	/* what came of it */
	int64_t t;
	bool done;
	int hit;	/* the stage it met */
};

struct actor {
	/* the plan */
	bool victim;	/* planned to end by itself */
	enum extra extra;
	bool has_child;
	bool child_exits;	/* the forked child closes and exits at once */
	bool passes;	/* its set file, over the round's socket */
	/* the course */
	_Atomic int stage;
	_Atomic int bound;
	_Atomic int leaving;
	_Atomic int ended;	/* ends of the last order; 1 + result */
	pid_t pid;
	struct vd_memcg group;	/* of whom OOM_KILL is planned for */
	_Atomic int charged;	/* it has memory there */
	/* the outcome, valid when it has exited */
	_Atomic int finished;
	int ret;	/* what ended its work: 0, -ECANCELED, -EPIPE, ... */
	const char *where;
	int left;	/* result of its VDISET_CLOSE; 1: not called */
	int extra_ret;	/* 1: did not return */
	int64_t when;
	bool has_status;
	struct vdiset_status status;
	/* its forked child */
	pid_t forked_child;
	_Atomic int child_done;
	int child_ret;
};

struct round {
	uint64_t seed;
	unsigned int number;
	char name[64];
	unsigned int secondaries;
	unsigned int commands;	/* on each device */
	unsigned int pause_us;	/* longest pause of a party */
	bool one_device_wait;	/* a server of one device uses DEVICE_WAIT */
	bool holder;		/* somebody takes the passed file and polls */
	int n_ends;
	struct end end[MAX_ENDS];
	struct actor actor[MAX_ACTORS];
	int socket[2];		/* from who passes to who holds */
	int order[MAX_ACTORS][2];	/* pipe: ways for a party to end */
	_Atomic int observed;	/* the worker has an observer's file */
	_Atomic int over;	/* do not wait for what will not come */
	pid_t holder_pid;
	_Atomic int holder_got;
	_Atomic int holder_done;
	int holder_ret;
};

struct rng {
	uint64_t s;
};

uint64_t rng_next(struct rng *r);
unsigned int rng_below(struct rng *r, unsigned int n);
void nap_us(unsigned int us);

/* What the abort of a party says. */
#define ABORT_CODE(r, who)	((r)->number << 4 | (who))
#define ABORT_TEXT		"planned"

extern int kills_exec_fd;	/* what EXEC executes */
extern struct vd_memcg kills_memcg;	/* where groups are, if anywhere */

unsigned int actors(const struct round *r);
pid_t actor_start(struct round *r, int who);
pid_t holder_start(struct round *r);

#endif
