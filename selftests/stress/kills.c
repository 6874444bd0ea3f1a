// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that a set survives random deaths. Sets of one primary, up to four secondaries
 * and a server, with forked children and receivers of descriptors, run on their own.
 * At random times random parties die by signals, exit, exec or close(2), or they abort
 * or leave. In each case the waits of every survivor return, all read the same abort
 * record, the record names a party that did what it says, and no set or memory
 * remains.
 *
 *   VDISET_KILLS        deaths, 300 by default; 10000 for a long run
 *   VDISET_KILLS_SEED   seed of the random numbers; printed. The plan is repeatable,
 *                       the timing is not
 *   VDISET_KILLS_ROUND  the first round
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "kills.h"
#include "harness.h"

#define WORKERS		8
#define END		(POLLERR | POLLHUP)

#define FINALE_CODE	4242

static const char *const way_name[N_WAYS] = {
	"SIGKILL", "_exit", "exec", "close", "close of a device",
	"SIGSTOP and SIGKILL", "OOM kill", "abort", "early VDISET_CLOSE"
};

static const char *const stage_name[N_STAGES] = {
	"started", "opened", "bound", "configuring", "configured", "opening",
	"idle", "command", "completion", "closing"
};

static struct {
	_Atomic int wanted;
	_Atomic int deaths;
	_Atomic int rounds;
	_Atomic int next;
	_Atomic int failed;
	_Atomic int judged;		/* all workers have exited */
	_Atomic int by_way[N_WAYS];
	_Atomic int by_stage[N_STAGES];
	_Atomic int by_reason[8];	/* 0: terminated, 7: never seen */
	_Atomic int survivors;
	_Atomic int forked;
	_Atomic int holders;
	_Atomic int worst_us;
} *total;

static unsigned long env_number(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 0) : otherwise;
}

static const char *who_name(int who)
{
	static const char *const name[MAX_ACTORS] = {
		"primary", "server", "secondary 1", "secondary 2",
		"secondary 3", "secondary 4"
	};

	return name[who];
}

static unsigned int role_of(int who)
{
	if (who == PRIMARY)
		return VDISET_ROLE_PRIMARY;
	return who == SERVER ? VDISET_ROLE_SERVER : VDISET_ROLE_SECONDARY;
}

/*
 * The plan
 */
/* Two ends of one party follow each other; no other end can follow EXEC. */
static void repeat(struct round *r, int n)
{
	struct end *e = &r->end[n];
	int i;

	for (i = 0; i < n; i++) {
		if (r->end[i].who != e->who)
			continue;
		e->at_once = false;
		if (r->end[i].way == EXEC)
			e->way = KILL;
	}
}

static void plan_ends(struct round *r, struct rng *g)
{
	int i;

	r->n_ends = rng_below(g, 5) < 3 ? 1 : 1 + rng_below(g, MAX_ENDS);
	for (i = 0; i < r->n_ends; i++) {
		struct end *e = &r->end[i];

		e->way = rng_below(g, 6) ? rng_below(g, N_DEATHS) :
					   N_DEATHS + rng_below(g, 2);
		if (e->way == OOM_KILL && !kills_memcg.root[0])
			e->way = KILL;
		e->who = rng_below(g, actors(r));
		e->when = rng_below(g, N_STAGES);
		/* at once, during the call that follows, or later */
		e->delay_us = rng_below(g, 3) ? rng_below(g, 300) :
						rng_below(g, 8000);
		if (!rng_below(g, 3))
			e->delay_us = 0;
		e->at_once = rng_below(g, 2);
		repeat(r, i);
		r->actor[e->who].victim = true;
	}
}

static void plan(struct round *r, unsigned int number, uint64_t seed)
{
	struct rng g = { .s = (seed + number) * 0x9e3779b97f4a7c15ULL | 1 };
	unsigned int i;

	memset(r, 0, sizeof(*r));
	rng_next(&g);
	r->number = number;
	r->seed = rng_next(&g) | 1;
	snprintf(r->name, sizeof(r->name), "kills-%d-%u", getpid(), number);
	r->secondaries = rng_below(&g, MAX_SECONDARIES + 1);
	r->commands = rng_below(&g, 30);
	r->pause_us = rng_below(&g, 2) * rng_below(&g, 2000);
	r->one_device_wait = rng_below(&g, 2);
	r->holder = rng_below(&g, 2);
	for (i = 0; i < actors(r); i++) {
		struct actor *a = &r->actor[i];

		a->left = 1;
		a->extra_ret = 1;
		a->extra = rng_below(&g, 3);
		a->has_child = !rng_below(&g, 4);
		a->child_exits = !rng_below(&g, 3);
	}
	if (!rng_below(&g, 3))
		r->actor[rng_below(&g, actors(r))].passes = true;
	plan_ends(r, &g);
}

/*
 * A round, with the state of its worker
 */
struct course {
	struct round *r;
	int obs;		/* set file of an observer, or -1 */
	uint64_t id;
	bool reaped[MAX_ACTORS];
	bool bad;
};

static void __attribute__((format(printf, 2, 3)))
bad(struct course *c, const char *format, ...)
{
	struct round *r = c->r;
	va_list args;
	int i;

	if (!c->bad) {
		fprintf(stderr, "# round %u, %u secondaries, %u commands:",
			r->number, r->secondaries, r->commands);
		for (i = 0; i < r->n_ends; i++)
			fprintf(stderr, " %s of %s at %s%s;",
				way_name[r->end[i].way],
				who_name(r->end[i].who),
				stage_name[r->end[i].when],
				r->end[i].done ? "" : " (not yet)");
		fprintf(stderr, "\n");
	}
	c->bad = true;
	va_start(args, format);
	fprintf(stderr, "#   ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
}

static bool reap(struct course *c, int who, int64_t timeout_ns)
{
	int64_t end = vd_now() + timeout_ns;
	pid_t pid = c->r->actor[who].pid;
	int status;

	while (!c->reaped[who]) {
		if (waitpid(pid, &status, WNOHANG) == pid) {
			c->reaped[who] = true;
			if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
				bad(c, "%s ended by signal %d", who_name(who),
				    WTERMSIG(status));
		} else if (vd_now() > end) {
			return false;
		} else {
			nap_us(200);
		}
	}
	return true;
}

static void observe(struct course *c)
{
	int fd;

	if (c->obs >= 0)
		return;
	fd = vd_open();
	if (fd >= 0 && !vd_attach(fd, VDISET_ROLE_OBSERVER, c->r->name)) {
		c->obs = fd;
		c->id = vd_set_id(fd);
		atomic_store(&c->r->observed, 1);
	} else if (fd >= 0) {
		close(fd);
	}
}

static bool is_over(struct course *c)
{
	return c->obs >= 0 && vd_state(c->obs) >= VDISET_STATE_TERMINATED;
}

static bool is_death(enum way way)
{
	return way < N_DEATHS;
}

/* Is the end an order to the party rather than a signal? */
static bool is_asked(enum way way)
{
	return way != KILL && way != STOP_KILL && way != OOM_KILL;
}

/* Creates a memory cgroup for each party that the OOM killer is to kill. */
static void make_groups(struct course *c)
{
	struct round *r = c->r;
	char name[80];
	int i, ret;

	for (i = 0; i < r->n_ends; i++) {
		struct actor *a = &r->actor[r->end[i].who];

		if (r->end[i].way != OOM_KILL || a->group.group[0])
			continue;
		a->group = kills_memcg;
		snprintf(name, sizeof(name), "%s-%d", r->name, r->end[i].who);
		ret = vd_memcg_make(&a->group, name);
		if (ret)
			bad(c, "cannot make the cgroup %s: %d", name, ret);
	}
}

static void start(struct course *c)
{
	struct round *r = c->r;
	unsigned int i;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, r->socket))
		bad(c, "socketpair: %d", errno);
	for (i = 0; i < actors(r); i++)
		if (r->actor[i].victim && pipe2(r->order[i], O_CLOEXEC))
			bad(c, "pipe: %d", errno);
	make_groups(c);
	if (r->holder)
		r->holder_pid = holder_start(r);
	for (i = 0; i < actors(r); i++) {
		r->actor[i].pid = actor_start(r, i);
		/* parent and child call it, so that it is done before either needs it */
		setpgid(r->actor[i].pid, r->actor[i].pid);
	}
}

/* Waits for the planned stage, which the party may never reach, or until the set ends. */
static void wait_for_moment(struct course *c, const struct end *e)
{
	struct actor *a = &c->r->actor[e->who];
	int64_t last = vd_now() + 2 * SEC;

	while (atomic_load(&a->stage) < (int)e->when && vd_now() < last) {
		if (atomic_load(&c->r->actor[PRIMARY].stage) >= BOUND)
			observe(c);
		if (is_over(c))
			break;
		nap_us(50);
	}
	if (atomic_load(&c->r->actor[PRIMARY].stage) >= BOUND)
		observe(c);
	nap_us(e->delay_us);
}

static void order(struct course *c, const struct end *e)
{
	char way = e->way;

	atomic_store(&c->r->actor[e->who].ended, 0);
	if (write(c->r->order[e->who][1], &way, 1) != 1)
		bad(c, "order: %d", errno);
}

static void do_end(struct course *c, struct end *e)
{
	struct actor *a = &c->r->actor[e->who];

	if (e->way == OOM_KILL && !c->reaped[e->who] &&
	    !vd_wait_word(&a->charged, 1, VD_HANG))
		bad(c, "%s is not in its cgroup", who_name(e->who));
	e->hit = atomic_load(&a->stage);
	if (e->way == STOP_KILL && !c->reaped[e->who]) {
		kill(a->pid, SIGSTOP);
		nap_us(e->delay_us * 2);
	}
	e->t = vd_now();
	if (is_asked(e->way))
		order(c, e);
	else if (e->way == OOM_KILL)
		vd_memcg_kill(&a->group);
	else if (!c->reaped[e->who])
		kill(a->pid, SIGKILL);
	e->done = true;
}

/* Waits until the order is executed, or the party has exited. */
static bool obeyed(struct course *c, int who)
{
	struct actor *a = &c->r->actor[who];
	int64_t end = vd_now() + VD_HANG;

	while (!atomic_load(&a->ended) && !reap(c, who, 0)) {
		if (vd_now() > end)
			return false;
		nap_us(100);
	}
	return true;
}

/*
 * A party that was bound and had not begun to leave has died: the set must have ended
 * by now, without a delay. Only for EXEC it is unknown whether the exec is complete.
 */
static void must_be_over(struct course *c, const struct end *e, bool bound)
{
	struct actor *a = &c->r->actor[e->who];
	int64_t end = vd_now() + (e->way == EXEC ? VD_HANG : 0);

	if (!bound || c->obs < 0)
		return;
	do {
		if (is_over(c) || atomic_load(&a->leaving))
			return;
		nap_us(100);
	} while (vd_now() < end);
	bad(c, "%s has ended (%s), but the set is in state %d",
	    who_name(e->who), way_name[e->way], vd_state(c->obs));
}

static void settle(struct course *c, const struct end *e, bool bound)
{
	struct actor *a = &c->r->actor[e->who];

	switch (e->way) {
	case KILL:
	case STOP_KILL:
	case OOM_KILL:
	case EXIT:
		if (!reap(c, e->who, VD_HANG)) {
			bad(c, "%s does not exit", who_name(e->who));
			return;
		}
		observe(c);
		must_be_over(c, e, atomic_load(&a->bound));
		break;
	case EXEC:
		must_be_over(c, e, bound);
		break;
	default:
		if (!obeyed(c, e->who))
			bad(c, "%s does not complete %s", who_name(e->who),
			    way_name[e->way]);
		else if (e->way != CLOSE_DEVICE && e->way != LEAVE &&
			 atomic_load(&a->ended) == 1)
			must_be_over(c, e, bound);
	}
}

static void run_ends(struct course *c)
{
	struct round *r = c->r;
	bool bound[MAX_ENDS];
	int i, first = 0;

	for (i = 0; i < r->n_ends; i++) {
		struct end *e = &r->end[i];

		if (!i || !e->at_once) {
			for (; first < i; first++)
				settle(c, &r->end[first], bound[first]);
			wait_for_moment(c, e);
		}
		bound[i] = atomic_load(&r->actor[e->who].bound);
		do_end(c, e);
	}
	for (; first < i; first++)
		settle(c, &r->end[first], bound[first]);
	observe(c);
}

/* Is a party gone that the others need to complete their work? */
static bool anybody_missing(const struct round *r)
{
	int i;

	for (i = 0; i < r->n_ends; i++)
		if (!atomic_load(&r->actor[r->end[i].who].finished) ||
		    r->actor[r->end[i].who].ret)
			return true;
	return false;
}

static bool is_executed(pid_t pid)
{
	char path[64], exe[128] = "";

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	return readlink(path, exe, sizeof(exe) - 1) > 0 &&
	       strstr(exe, "memfd:");
}

/* The checks need an observer: wait until the set exists. */
static void must_observe(struct course *c)
{
	int64_t end = vd_now() + VD_HANG;

	while (c->obs < 0 && !reap(c, PRIMARY, 0) &&
	       !is_executed(c->r->actor[PRIMARY].pid)) {
		if (vd_now() > end) {
			bad(c, "no set was created");
			return;
		}
		nap_us(200);
		observe(c);
	}
}

/* If no planned end has ended the set, it terminates normally or is aborted here. */
static void finale(struct course *c)
{
	struct round *r = c->r;
	int64_t end = vd_now() + VD_HANG;

	must_observe(c);
	if (c->obs >= 0 && !is_over(c) && (r->seed & 1 << 7 || anybody_missing(r)))
		vd_abort(c->obs, VDISET_REASON_SIGNAL, FINALE_CODE, "finale");
	while (c->obs >= 0 && !is_over(c) && vd_now() < end)
		nap_us(500);
	if (c->obs >= 0 && !is_over(c))
		bad(c, "the set does not end");
	atomic_store(&r->over, 1);
}

static bool was_executed(const struct round *r, int who)
{
	int i;

	for (i = 0; i < r->n_ends; i++)
		if (r->end[i].who == who && r->end[i].way == EXEC)
			return true;
	return false;
}

static bool has_end(const struct round *r, int who, enum way way)
{
	int i;

	for (i = 0; i < r->n_ends; i++)
		if (r->end[i].who == who && r->end[i].way == way)
			return true;
	return false;
}

static bool has_death(const struct round *r, int who)
{
	int i;

	for (i = 0; i < r->n_ends; i++)
		if (r->end[i].who == who && is_death(r->end[i].way))
			return true;
	return false;
}

/* Waits for all parties and reports those that do not exit. */
static void gather(struct course *c)
{
	struct round *r = c->r;
	unsigned int i;

	for (i = 0; i < actors(r); i++) {
		struct actor *a = &r->actor[i];

		if (was_executed(r, i) || reap(c, i, VD_HANG))
			continue;
		bad(c, "%s (pid %d) hangs: stage %s, bound %d, leaving %d, state of its thread %c",
		    who_name(i), a->pid, stage_name[atomic_load(&a->stage)],
		    a->bound, a->leaving, vd_thread_state(a->pid, a->pid));
	}
}

static void check_record(struct course *c, const struct vdiset_status *st)
{
	const struct vdiset_abort_record *rec = &st->out_abort;
	struct round *r = c->r;
	unsigned int i;

	if (rec->reason == VDISET_REASON_SIGNAL && rec->code == FINALE_CODE &&
	    (pid_t)rec->by.pid == getpid() &&
	    rec->by.role == VDISET_ROLE_OBSERVER)
		return;
	for (i = 0; i < actors(r); i++)
		if (r->actor[i].pid == (pid_t)rec->by.pid)
			break;
	if (i == actors(r) || rec->by.role != role_of(i)) {
		bad(c, "the record names pid %u, role %u, reason %u",
		    rec->by.pid, rec->by.role, rec->reason);
		return;
	}
	switch (rec->reason) {
	case VDISET_REASON_DIED:
		if (has_death(r, i) && !rec->code && !rec->text[0])
			return;
		break;
	case VDISET_REASON_CLOSED:
			/*
			 * A party may leave because of an error that precedes its death:
			 * ENOMEM, or EBADF, as close(2) removes the descriptor first.
			 */
		if ((has_end(r, i, LEAVE) || has_end(r, i, OOM_KILL) ||
		     has_end(r, i, CLOSE_DEVICE)) &&
		    !rec->code && !rec->text[0])
			return;
		break;
	case VDISET_REASON_SIGNAL:
		if (has_end(r, i, ABORT) && rec->code == ABORT_CODE(r, i) &&
		    !strcmp(rec->text, ABORT_TEXT))
			return;
		break;
	}
	bad(c, "the record says that %s is the reason %u, code %u, '%s'",
	    who_name(i), rec->reason, rec->code, rec->text);
}

static bool ret_is_right(const struct actor *a, int who, bool aborted,
			 bool has_left)
{
	if (!atomic_load(&a->bound))
		return a->ret == -EAGAIN || a->ret == -ENOENT ||
		       a->ret == -ECANCELED || a->ret == -EPIPE;
	if (has_left && (a->ret == -EBADFD || a->ret == -EPIPE))
		return true;
	if (!aborted)
		return a->ret == 0;
	/* a client whose device was closed may have left before the abort */
	return a->ret == -ECANCELED || (who >= SECONDARY && a->ret == 0);
}

static bool extra_is_right(const struct actor *a, bool aborted)
{
	if (!atomic_load(&a->bound) || a->extra == NO_EXTRA)
		return true;
	if (a->extra == POLLS)
		return (a->extra_ret & END) == (aborted ? END : POLLHUP);
	return a->extra_ret == 0 || (aborted && a->extra_ret == -ECANCELED) ||
	       /* the party left before this thread called poll() */
	       (a->extra_ret == -EBADFD && atomic_load(&a->leaving));
}

/* Records the time from the recorded death to the return of the survivor's call. */
static void note_time(struct course *c, int who,
		      const struct vdiset_abort_record *rec)
{
	struct round *r = c->r;
	int64_t took = 0;
	int i, us;

	for (i = 0; i < r->n_ends; i++)
		if (r->actor[r->end[i].who].pid == (pid_t)rec->by.pid)
			took = r->actor[who].when - r->end[i].t;
	us = took / 1000;
	i = atomic_load(&total->worst_us);
	while (us > i && !atomic_compare_exchange_weak(&total->worst_us, &i, us))
		;
}

static void check_survivor(struct course *c, int who,
			   const struct vdiset_status *st)
{
	const struct actor *a = &c->r->actor[who];
	bool aborted = st->out_state == VDISET_STATE_ABORTED;
	bool has_left = has_end(c->r, who, LEAVE);

	atomic_fetch_add(&total->survivors, 1);
	if (!atomic_load(&a->finished)) {
		bad(c, "%s did not finish", who_name(who));
		return;
	}
	if (!ret_is_right(a, who, aborted, has_left))
		bad(c, "%s: %d from %s in a set in state %d", who_name(who),
		    a->ret, a->where, st->out_state);
	if (atomic_load(&a->bound) && a->left && !has_left)
		bad(c, "%s: VDISET_CLOSE failed: %d", who_name(who), a->left);
	if (!extra_is_right(a, aborted))
		bad(c, "thread of %s: %d from %s", who_name(who),
		    a->extra_ret, a->extra == POLLS ? "poll" : "GET_CONFIG");
	if (a->ret != -ECANCELED || !atomic_load(&a->bound) || has_left)
		return;
	if (!a->has_status || a->status.out_state != VDISET_STATE_ABORTED ||
	    memcmp(&a->status.out_abort, &st->out_abort, sizeof(st->out_abort)))
		bad(c, "%s read a different record", who_name(who));
	note_time(c, who, &st->out_abort);
}

static bool is_gone(pid_t pid)
{
	int state = vd_thread_state(pid, pid);

	return !state || state == 'Z' || state == 'X';
}

/*
 * Was the forked child killed? If it was forked while the OOM killer was active, it may
 * be killed as well, and still be exiting.
 */
static bool child_was_killed(struct course *c, int who)
{
	struct actor *a = &c->r->actor[who];
	int64_t end = vd_now() + VD_HANG;

	while (has_end(c->r, who, OOM_KILL) && !atomic_load(&a->child_done) &&
	       vd_now() < end) {
		if (is_gone(a->forked_child))
			return true;
		nap_us(1000);
	}
	return false;
}

/* A process that only holds a descriptor sees the same events. */
static void check_child(struct course *c, int who, int wanted)
{
	struct actor *a = &c->r->actor[who];

	if (!a->has_child || a->child_exits || a->forked_child <= 0)
		return;
	if (child_was_killed(c, who))
		return;
	if (!vd_wait_word(&a->child_done, 1, VD_HANG))
		bad(c, "the forked child of %s still polls", who_name(who));
	else if ((a->child_ret & END) != wanted &&
		 !has_end(c->r, who, CLOSE))
		bad(c, "the forked child of %s: events %#x", who_name(who), a->child_ret);
	atomic_fetch_add(&total->forked, 1);
}

static void check_holder(struct course *c, int wanted)
{
	struct round *r = c->r;

	if (!r->holder_pid || !atomic_load(&r->holder_got))
		return;
	if (!vd_wait_word(&r->holder_done, 1, VD_HANG))
		bad(c, "the receiver of the file still polls");
	else if ((r->holder_ret & END) != wanted)
		bad(c, "the receiver of the file: events %#x", r->holder_ret);
	atomic_fetch_add(&total->holders, 1);
}

static void check_all(struct course *c)
{
	struct vdiset_status st = { 0 };
	struct round *r = c->r;
	unsigned int i;
	int wanted;

	if (c->obs < 0) {
		/* the primary died before another party joined */
		for (i = 1; i < actors(r); i++)
			if (atomic_load(&r->actor[i].bound))
				bad(c, "%s had joined, but no set was seen",
				    who_name(i));
		atomic_fetch_add(&total->by_reason[7], 1);
		return;
	}
	if (vd_status(c->obs, &st))
		bad(c, "STATUS failed");
	wanted = st.out_state == VDISET_STATE_ABORTED ? END : POLLHUP;
	for (i = 0; i < actors(r); i++) {
		if (!has_death(r, i))
			check_survivor(c, i, &st);
		check_child(c, i, wanted);
	}
	check_holder(c, wanted);
	if (st.out_state == VDISET_STATE_ABORTED)
		check_record(c, &st);
	else if (st.out_abort.reason)
		bad(c, "abort record in state %u", st.out_state);
	atomic_fetch_add(&total->by_reason[st.out_abort.reason & 7], 1);
}

static void count_ends(const struct round *r)
{
	int i, n;

	for (i = 0; i < r->n_ends; i++) {
		const struct end *e = &r->end[i];

			/* the party had finished before: not a death */
		if (is_death(e->way) && e->way != CLOSE &&
		    e->way != CLOSE_DEVICE &&
		    atomic_load(&r->actor[e->who].finished))
			continue;
		if (is_asked(e->way) && e->way != EXIT && e->way != EXEC &&
		    atomic_load(&r->actor[e->who].ended) != 1)
			continue;
		atomic_fetch_add(&total->by_way[e->way], 1);
		if (!is_death(e->way))
			continue;
		atomic_fetch_add(&total->by_stage[e->hit], 1);
		n = atomic_fetch_add(&total->deaths, 1) + 1;
		if (n % 1000)
			continue;
		printf("# %d deaths\n", n);
		fflush(stdout);
	}
}

/* Kills all processes of the round that remain. */
static void sweep(struct course *c)
{
	struct round *r = c->r;
	int64_t end = vd_now() + VD_HANG;
	unsigned int i;
	pid_t pid;

	for (i = 0; i < actors(r); i++) {
		kill(-r->actor[i].pid, SIGKILL);
		if (!c->reaped[i])
			kill(r->actor[i].pid, SIGKILL);
	}
	if (r->holder_pid)
		kill(r->holder_pid, SIGKILL);
	while ((pid = waitpid(-1, NULL, WNOHANG)) >= 0 || errno == EINTR) {
		if (vd_now() > end) {
			bad(c, "a process does not exit");
			break;
		}
		if (!pid)
			nap_us(200);
	}
	for (i = 0; i < actors(r); i++) {
		if (vd_memcg_remove(&r->actor[i].group))
			bad(c, "the cgroup of %s cannot be removed", who_name(i));
		if (!r->actor[i].victim)
			continue;
		close(r->order[i][0]);
		close(r->order[i][1]);
	}
	close(r->socket[0]);
	close(r->socket[1]);
}

static void check_gone(struct course *c)
{
	int64_t end = vd_now() + 5 * SEC;
	int fd = vd_open();

	if (c->obs >= 0)
		close(c->obs);
	while (c->id && vd_listed(fd, c->id)) {
		if (vd_now() > end) {
			bad(c, "the set %llu still exists",
			    (unsigned long long)c->id);
			break;
		}
		nap_us(500);
	}
	close(fd);
}

static void run_round(struct round *r, unsigned int number, uint64_t seed)
{
	struct course c = { .r = r, .obs = -1 };

	plan(r, number, seed);
	start(&c);
	run_ends(&c);
	finale(&c);
	gather(&c);
	check_all(&c);
	count_ends(r);
	sweep(&c);
	check_gone(&c);
	atomic_fetch_add(&total->rounds, 1);
	if (c.bad)
		atomic_store(&total->failed, 1);
}

static pid_t worker(pid_t test, uint64_t seed)
{
	pid_t pid = fork();
	struct round *r;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* this process reaps the children that a party leaves behind */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	r = vd_shared(sizeof(*r));
	if (getppid() != test || !r)
		_exit(1);
	while (!atomic_load(&total->failed) &&
	       atomic_load(&total->deaths) < atomic_load(&total->wanted))
		run_round(r, atomic_fetch_add(&total->next, 1), seed);
	_exit(0);
}

/*
 * EXEC executes this program, linked statically and from memory, as in death.c.
 */
static void __attribute__((constructor(101))) sleeper(void)
{
	if (!getenv("VDISET_TEST_SLEEPER"))
		return;
	alarm(1200);
	for (;;)
		pause();
}

static int copy_of_this(void)
{
	static char buf[65536];
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int mem = memfd_create("sleeper", MFD_CLOEXEC);
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (write(mem, buf, n) != n)
			return -1;
	close(fd);
	return mem;
}

static int info(uint64_t *bytes)
{
	struct vdiset_info i = { .size = sizeof(i) };
	int fd = vd_open();
	int ret = vd_ioctl(fd, VDISET_INFO, &i);

	close(fd);
	*bytes = i.out_total_bytes;
	return ret ? ret : (int)i.out_sets;
}

/* Measures how long the machine itself did not run this process. */
static void *run_ticker(void *arg)
{
	int64_t *worst = arg, since = vd_now();

	while (!atomic_load(&total->judged)) {
		nap_us(100000);
		if (vd_now() - since > *worst)
			*worst = vd_now() - since;
		since = vd_now();
	}
	return NULL;
}

static void report(int64_t ns, int64_t stood)
{
	int i;

	printf("# %d deaths in %d sets, %lld s; %d survivors, %d forked children, %d holders; longest delay of a survivor %d us\n",
	       total->deaths, total->rounds, (long long)(ns / SEC),
	       total->survivors, total->forked, total->holders, total->worst_us);
	printf("# a sleep of 100 ms took %lld ms at most\n",
	       (long long)(stood / MS));
	printf("# ways:");
	for (i = 0; i < N_WAYS; i++)
		printf(" %s %d%s", way_name[i], total->by_way[i],
		       i < N_WAYS - 1 ? "," : "\n");
	printf("# stages:");
	for (i = 0; i < N_STAGES; i++)
		printf(" %s %d%s", stage_name[i], total->by_stage[i],
		       i < N_STAGES - 1 ? "," : "\n");
	printf("# sets: terminated %d, aborted %d, closed early %d, died %d, not observed %d\n",
	       total->by_reason[0], total->by_reason[VDISET_REASON_SIGNAL],
	       total->by_reason[VDISET_REASON_CLOSED],
	       total->by_reason[VDISET_REASON_DIED], total->by_reason[7]);
	fflush(stdout);
}

/* The time-out of the harness is for a long run; calls that hang have own limits. */
FIXTURE(kills) {
	int sets;
	uint64_t bytes;
};

FIXTURE_SETUP(kills)
{
	self->sets = info(&self->bytes);
	self->bytes = vd_bytes_at_rest();
	ASSERT_LE(0, self->sets);
	total = vd_shared(sizeof(*total));
	ASSERT_NE(NULL, total);
	kills_exec_fd = copy_of_this();
	ASSERT_LT(0, kills_exec_fd);
	if (vd_memcg_find(&kills_memcg))
		TH_LOG("no memory controller in cgroup2, so no OOM kills");
}

FIXTURE_TEARDOWN(kills)
{
	vd_memcg_lose(&kills_memcg);
}

TEST_F_TIMEOUT(kills, random_deaths, 7200)
{
	uint64_t seed = env_number("VDISET_KILLS_SEED", time(NULL)), bytes;
	int64_t start = vd_now(), end;
	pid_t pid[WORKERS];
	int64_t stood = 0;
	pthread_t ticker;
	int i, status;

	total->wanted = env_number("VDISET_KILLS", 300);
	total->next = env_number("VDISET_KILLS_ROUND", 0);
	printf("# VDISET_KILLS_SEED=%llu\n", (unsigned long long)seed);
	fflush(NULL);
	for (i = 0; i < WORKERS; i++)
		pid[i] = worker(getpid(), seed);
	ASSERT_EQ(0, pthread_create(&ticker, NULL, run_ticker, &stood));
	for (i = 0; i < WORKERS; i++) {
		ASSERT_EQ(pid[i], waitpid(pid[i], &status, 0));
		EXPECT_EQ(0, status);
	}
	atomic_store(&total->judged, 1);
	pthread_join(ticker, NULL);
	report(vd_now() - start, stood);
	EXPECT_EQ(0, total->failed);
	EXPECT_LE(total->wanted, total->deaths);

	EXPECT_EQ(self->sets, vd_wait_sets(self->sets));
	end = vd_now() + 2 * SEC;
	while (info(&bytes) >= 0 && bytes != self->bytes && vd_now() < end)
		vd_sleep_ms(5);
	EXPECT_EQ(self->bytes, bytes);
}

TEST_HARNESS_MAIN
