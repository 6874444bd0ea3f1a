/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by kills.c, which plans the deaths and checks their effect, and
 * kills_party.c, the processes that die or survive.
 */
#ifndef VDISET_TEST_KILLS_H
#define VDISET_TEST_KILLS_H

#include "memcg.h"
#include "vdiset_test.h"

#define MAX_SECONDARIES	4
#define PRIMARY		0
#define SERVER		1
#define SECONDARY	2	/* first of the secondaries */
#define MAX_ACTORS	(SECONDARY + MAX_SECONDARIES)
#define MAX_ENDS	3
#define AREA		(64 * KIB)
#define DEPTH		4

/* Progress of a party. A death is planned for one of these stages. */
enum stage {
	STARTED,
	OPENED,		/* the set file is open, not bound */
	BOUND,		/* created, or attached */
	CONFIGURING,	/* server only */
	CONFIGURED,
	OPENING,	/* opens its devices */
	IDLE,		/* waits, or is about to */
	COMMAND,	/* a command was sent or fetched */
	COMPLETION,	/* a command was completed, or is about to be */
	CLOSING,
	N_STAGES
};

enum way {
	KILL,
	EXIT,
	EXEC,
	CLOSE,		/* close(2) of the set file */
	CLOSE_DEVICE,
	STOP_KILL,	/* SIGSTOP, a delay, SIGKILL */
	OOM_KILL,	/* by the OOM killer, in a memory cgroup */
	N_DEATHS,
	ABORT = N_DEATHS,
	LEAVE,		/* VDISET_CLOSE, mostly too early */
	N_WAYS
};

enum extra { NO_EXTRA, POLLS, WAITS_FOR_CONFIG };

/* One planned end */
struct end {
	enum way way;
	int who;
	enum stage when;
	unsigned int delay_us;
	bool at_once;	/* does not wait until the previous end is complete */
	/* result */
	int64_t t;
	bool done;
	int hit;	/* the stage of the party at the end */
};

struct actor {
	/* the plan */
	bool victim;	/* an end is planned */
	enum extra extra;
	bool has_child;
	bool child_exits;	/* the forked child closes and exits at once */
	bool passes;	/* its set file, over the round's socket */
	/* progress */
	_Atomic int stage;
	_Atomic int bound;
	_Atomic int leaving;
	_Atomic int ended;	/* 1 - result of the last order */
	pid_t pid;
	struct vd_memcg group;	/* for OOM_KILL */
	_Atomic int charged;	/* its memory is charged there */
	/* results, valid after the exit */
	_Atomic int finished;
	int ret;	/* last result of its work: 0, -ECANCELED, -EPIPE, ... */
	const char *where;
	int left;	/* result of VDISET_CLOSE; 1: not called */
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
	bool holder;		/* a process receives the passed file and polls */
	int n_ends;
	struct end end[MAX_ENDS];
	struct actor actor[MAX_ACTORS];
	int socket[2];		/* from the passing party to the holder */
	int order[MAX_ACTORS][2];	/* pipe: orders to end */
	_Atomic int observed;	/* the worker has an observer's file */
	_Atomic int over;	/* the set has ended: stop waiting */
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

/* Text of an abort by a party */
#define ABORT_CODE(r, who)	((r)->number << 4 | (who))
#define ABORT_TEXT		"planned"

extern int kills_exec_fd;	/* executed by EXEC */
extern struct vd_memcg kills_memcg;	/* hierarchy of the groups, if mounted */

unsigned int actors(const struct round *r);
pid_t actor_start(struct round *r, int who);
pid_t holder_start(struct round *r);

#endif
