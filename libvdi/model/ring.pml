/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring.pml - model of rings, kicks, sleep and abort, for the model checker spin
 *
 * The model follows libvdi/ring.h, channel.h, client_commands.c, server_agent.c and
 * kernel/wait.c; the letters are those of "DOC: rings" in <linux/vdiset.h>.
 * libvdi/model/verify runs it. It shows that no wake-up is lost:
 *
 * - no thread stays asleep while its ring has an entry that it has not taken, or
 *   after an abort (no invalid end state);
 * - every entry is taken, and is complete when it is taken (assertions).
 *
 * A definition selects the threads:
 *
 *   COMMANDS     Threads of the server send on one device, one of them two
 *                commands with one deferred kick; a thread of the client takes
 *                them. The kernel compares the tail.
 *   COMPLETIONS  Threads of the client complete in the same way; the agent takes
 *                the entries. The kernel compares its count of events, not the tail.
 *   BOTH         A server that sends from a thread and from the routines of its
 *                agent, and a client with a thread that gets and completes commands,
 *                and a second thread that completes. Both sides sleep, and each
 *                kicks the other by the call in which it sleeps.
 *
 * TOTAL is the number of entries of a ring. With THREE there are three producers
 * of one entry each. Spin also selects: with ABORTS, an abort at any time; a spurious
 * end of a sleep (signal, time-out), at most SPURIOUS times; a spin before the sleep,
 * which clears need_wakeup, at most SPINS times.
 *
 * Memory: each thread has a buffer of stores that are not visible to other
 * threads yet. They become visible at any time and in any order, except that
 *
 * - two stores to the same word keep their order;
 * - a store-release becomes visible after everything that the thread has stored
 *   before; later stores may overtake it;
 * - a full barrier waits until the buffer is empty;
 * - atomic operations access memory directly. Locking does not empty the buffer, and
 *   unlocking is only a store-release.
 *
 * A thread reads its own stores at once. arm64 permits this behaviour of stores; x86
 * permits less. Loads are executed in program order, because they are acquires, except
 * that the load of "kicked" may be before or after the next one. A value that one
 * thread has read from memory is visible to all (arm64 and x86 are multi-copy atomic;
 * on other machines the full barriers G and H have the same effect).
 *
 * Slots are not reused in the model, so E and F are only the order of the head and
 * need_wakeup.
 *
 * Canary faults, each of which spin must find:
 *
 *   FAULT_PRIVATE_TAIL   the tail that decides about a kick is a private copy,
 *                        stored before the tail itself
 *   FAULT_LATE_COPY      the same, stored after the tail
 *   FAULT_NO_TAIL        a number is marked as kicked without comparing head and
 *                        tail
 *   FAULT_A              the tail is stored without release
 *   FAULT_C              no barrier between the tail and the load of need_wakeup
 *   FAULT_D              no barrier between need_wakeup and the load of the tail.
 *                        Not a fault in COMMANDS, where the kernel compares the tail
 *                        after (G), which is also a full barrier.
 *   FAULT_E              need_wakeup is stored without release, and is visible
 *                        before the head
 *   FAULT_G              the sleeping thread checks the condition before its state
 *                        is visible
 *   FAULT_H              the abort checks for sleeping threads before its flag is
 *                        visible
 *   FAULT_SAME_NUMBER    the number of a sleep is reused after entries were taken
 *   FAULT_FORGOTTEN      a deferred kick is marked before the last check of the
 *                        ring, and not made if that check finds an entry
 */

#ifndef SENDS
#define SENDS		1	/* BOTH: commands that the thread sends */
#endif
#ifndef HANDS
#define HANDS		1	/* BOTH: 1: a second thread completes commands */
#endif
#ifndef SPURIOUS
#define SPURIOUS	1
#endif
#ifndef SPINS
#define SPINS		1
#endif

#ifndef TOTAL
#define TOTAL		3	/* entries of a ring */
#endif
#define THREADS		4

#ifdef BOTH
#define RINGS		2
#define BY_EVENTS(r)	((r) == 1)
#else
#define RINGS		1
#ifdef COMPLETIONS
#define BY_EVENTS(r)	true
#else
#define BY_EVENTS(r)	false
#endif
#endif

/* ----------------------------------------------------------------- memory */

#define WORDS		8
#define TAIL(r)		((r) * WORDS)
#define HEAD(r)		((r) * WORDS + 1)
#define WAKE(r)		((r) * WORDS + 2)	/* need_wakeup */
#define KICKED(r)	((r) * WORDS + 3)
#define LOCK(r)		((r) * WORDS + 4)
#define SOLE(r)		((r) * WORDS + 5)	/* a task is registered */
#define STATE(r)	((r) * WORDS + 6)	/* of that task */
#define COPY(r)		((r) * WORDS + 7)	/* of the tail; faults only */
#define ENTRY(r, i)	(RINGS * WORDS + (r) * TOTAL + (i))
#define ABORT		(RINGS * (WORDS + TOTAL))
#define HANDED		(ABORT + 1)
#define MEMORY		(ABORT + 2)

#define IS_LOCK(l)	((l) == LOCK(0) || (l) == LOCK(RINGS - 1))
#define IS_ENTRY(l)	((l) >= ENTRY(0, 0) && (l) < ABORT)

#define RUNNING		0
#define SLEEPS		1

byte mem[MEMORY];

#define SLOTS		5

typedef buffer {
	byte n;
	byte loc[SLOTS];
	byte val[SLOTS];
	bit release[SLOTS];
};

buffer sb[THREADS];

hidden byte i;

/* A thread waits while its buffer is full. */
inline store(t, l, v, r)
{
	d_step {
		sb[t].n < SLOTS ->
		sb[t].loc[sb[t].n] = l;
		sb[t].val[sb[t].n] = v;
		sb[t].release[sb[t].n] = r;
		sb[t].n++
	}
}

inline load(t, l, x)
{
	d_step {
		x = mem[l];
		i = 0;
		do
		:: i < sb[t].n ->
			if
			:: sb[t].loc[i] == l -> x = sb[t].val[i]
			:: else
			fi;
			i++
		:: else -> break
		od
	}
}

#define BARRIER(t)	(sb[t].n == 0)

#define SAME(t, a, b)	(sb[t].loc[a] == sb[t].loc[b])
#define FREE(t, a)	(sb[t].n > a && !sb[t].release[a])

inline make_visible(t, a)
{
	mem[sb[t].loc[a]] = sb[t].val[a];
	i = a;
	sb[t].n--;
	do
	:: i < sb[t].n ->
		sb[t].loc[i] = sb[t].loc[i + 1];
		sb[t].val[i] = sb[t].val[i + 1];
		sb[t].release[i] = sb[t].release[i + 1];
		i++
	:: else -> break
	od;
	sb[t].loc[i] = 0;
	sb[t].val[i] = 0;
	sb[t].release[i] = 0
}

/*
 * Makes the oldest store visible. An entry becomes visible together with the store that
 * follows it, and an unlock together with the store before it. This hides no behaviour:
 * no thread reads an entry before it has read the tail, and a longer wait for the lock
 * adds no new state.
 */
inline make_first_visible(t)
{
	do
	:: IS_ENTRY(sb[t].loc[0]) && sb[t].n > 1 -> make_visible(t, 0)
	:: else -> break
	od;
	make_visible(t, 0);
	if
	:: sb[t].n && IS_LOCK(sb[t].loc[0]) -> make_visible(t, 0)
	:: else
	fi
}

#define BUFFER(t) \
	:: d_step { sb[t].n > 0 -> make_first_visible(t) } \
	:: d_step { FREE(t, 1) && !SAME(t, 1, 0) -> make_visible(t, 1) } \
	:: d_step { FREE(t, 2) && !SAME(t, 2, 0) && !SAME(t, 2, 1) -> \
		    make_visible(t, 2) } \
	:: d_step { FREE(t, 3) && !SAME(t, 3, 0) && !SAME(t, 3, 1) && \
		    !SAME(t, 3, 2) -> make_visible(t, 3) } \
	:: d_step { FREE(t, 4) && !SAME(t, 4, 0) && !SAME(t, 4, 1) && \
		    !SAME(t, 4, 2) && !SAME(t, 4, 3) -> make_visible(t, 4) }

active proctype Memory()
{
end:	do
	BUFFER(0)
	BUFFER(1)
	BUFFER(2)
	BUFFER(3)
	od
}

/* ----------------------------------------------------------------- kernel */

/*
 * From here on an atomic sequence has at most one access to memory. Its other steps are
 * invisible to other threads: the wait for an empty buffer, and stores to the buffer.
 */

byte events;		/* modified atomically only */
byte spurious = SPURIOUS;
byte spins = SPINS;

/* vdiset_kick() */
inline kick(t, r)
{
	if
	:: BY_EVENTS(r) -> events++
	:: else
	fi;
	wake(t, r)
}

inline wake(t, r)
{
	atomic { BARRIER(t) -> x = mem[SOLE(r)] };	/* (H) */
	atomic {
		if
		:: x -> mem[STATE(r)] = RUNNING
		:: else
		fi;
		x = 0
	}
}

/* The condition that ends a sleep */
inline ready(t, r)
{
#ifdef ABORTS
	load(t, ABORT, rc);
#endif
	if
	:: rc
	:: else ->
		atomic {
			if
			:: BY_EVENTS(r) -> rc = (events != seen)
			:: else ->
				load(t, TAIL(r), x);
				rc = (x != head);
				x = 0
			fi
		}
	fi
}

/* vdiset_sleep(), with the barriers of cmpxchg() and set_current_state() */
inline sleep(t, r)
{
#ifdef FAULT_G
	store(t, SOLE(r), 1, 0);
#else
	atomic { BARRIER(t) -> mem[SOLE(r)] = 1 };
#endif
	do
	::
#ifdef FAULT_G
		store(t, STATE(r), SLEEPS, 0);
#else
		mem[STATE(r)] = SLEEPS;			/* (G) */
#endif
		ready(t, r);
		if
		:: rc -> break
		:: else
		fi;
		if
		:: atomic { BARRIER(t) && mem[STATE(r)] == RUNNING }
		:: atomic { BARRIER(t) && spurious ->
			    spurious--; woken = true }
		fi;
		ready(t, r);
		if
		:: rc || woken -> break
		:: else
		fi
	od;
	atomic {
		BARRIER(t) ->
		mem[STATE(r)] = RUNNING;
		store(t, SOLE(r), 0, 0);
		woken = false
	};
	if
	:: BY_EVENTS(r) && rc -> seen = events
	:: else
	fi;
	rc = false
}

/* -------------------------------------------------------------- publishing */

byte staged[RINGS];	/* private to the lock holder */

/* Adds one entry. */
inline publish(t, r)
{
	atomic {
		!mem[LOCK(r)] -> mem[LOCK(r)] = 1;
		store(t, ENTRY(r, staged[r]), 1, 0);
		staged[r]++;
#ifdef FAULT_PRIVATE_TAIL
		store(t, COPY(r), staged[r], 0);
#endif
#ifdef FAULT_A
		store(t, TAIL(r), staged[r], 0);
#else
		store(t, TAIL(r), staged[r], 1);	/* (A) */
#endif
#ifdef FAULT_LATE_COPY
		store(t, COPY(r), staged[r], 1);
#endif
		store(t, LOCK(r), 0, 1)
	}
}

#if defined(FAULT_PRIVATE_TAIL) || defined(FAULT_LATE_COPY)
#define KICK_TAIL(r)	COPY(r)
#else
#define KICK_TAIL(r)	TAIL(r)
#endif

/* vdi_channel_must_kick() after (C): e is the number that is marked, or 0. */
inline must_kick(t, r)
{
	atomic {
#ifndef FAULT_C
		BARRIER(t);				/* (C) */
#endif
		load(t, WAKE(r), e)
	};
	if
	:: e > 1 ->
		if
		:: load(t, KICKED(r), k); load(t, HEAD(r), h)
		:: load(t, HEAD(r), h); load(t, KICKED(r), k)
		fi;
		atomic {
			load(t, KICK_TAIL(r), x);
			if
			:: e == k -> e = 0
#ifndef FAULT_NO_TAIL
			:: e != k && h == x -> e = 0
#endif
			:: else
			fi;
			if
			:: e -> store(t, KICKED(r), e, 0)
			:: else
			fi;
			k = 0; h = 0; x = 0
		}
	:: else
	fi
}

/* vdi_channel_tell() */
inline notify(t, r)
{
	must_kick(t, r);
	if
	:: e -> e = 0; kick(t, r)
	:: else
	fi
}

/* ------------------------------------------------------------------ taking */

/*
 * Takes the entries up to the tail x, or some of them. Entries do not change after they
 * are visible, so they can be read together with the tail.
 */
inline take(t, r)
{
	do
	:: head != x ->
		load(t, ENTRY(r, head), rc);
		assert(rc);		/* complete */
		rc = false;
		head++;
		got++
	:: got -> break
	od;
	store(t, HEAD(r), head, 1);			/* (E) */
	x = 0
}

inline clear_wakeup(t, r)
{
	if
	:: number -> number = 0; store(t, WAKE(r), 0, 1)
	:: else
	fi
}

#ifdef FAULT_SAME_NUMBER
#define CLEAR_WAKEUP_TAKEN(t, r)	skip
#else
#define CLEAR_WAKEUP_TAKEN(t, r)	clear_wakeup(t, r)
#endif

inline set_wakeup(t, r)
{
	if
	:: !number ->
		last++;
		number = last;
#ifdef FAULT_E
		store(t, WAKE(r), number, 0)
#else
		store(t, WAKE(r), number, 1)
#endif
	:: else
	fi
}

/* The last check of the ring, after set_wakeup() */
inline check_ring(t, r)
{
	atomic {
#ifndef FAULT_D
		BARRIER(t);				/* (D) */
#endif
		load(t, TAIL(r), x);
		nothing = (x == head);
		x = 0
	}
}

inline check_and_sleep(t, r)
{
	check_ring(t, r);
	if
	:: nothing -> nothing = false; sleep(t, r)
	:: else
	fi
}

/* The ring is empty: spin or sleep. */
#define SPIN_OR_SLEEP(t, r) \
	if \
	:: spins -> spins--; clear_wakeup(t, r) \
	:: true -> sleeps = true; set_wakeup(t, r) \
	fi

#define PRODUCER	byte e, k, h, x

/* number: current value of need_wakeup; last: value of the last sleep */
#define CONSUMER	byte x, head, number, seen, got; byte last = 1; \
			bool rc, woken, nothing, sleeps

/* ------------------------------------------------- producers, one consumer */

#ifndef BOTH

proctype Producer(byte t; byte entries; bool defers)
{
	PRODUCER;

	do
	:: entries ->
#ifdef ABORTS
		load(t, ABORT, x);
		if
		:: x -> x = 0; break
		:: else
		fi;
#endif
		publish(t, 0);
		entries--;
		if
		:: entries && defers
		:: else -> notify(t, 0)
		fi
	:: else -> break
	od
}

#ifdef ABORTS
/* vdiset_abort(), vdiset_wake() */
proctype Aborter(byte t)
{
	byte x;

	if
	:: store(t, ABORT, 1, 0);
#ifdef FAULT_H
		atomic { x = mem[SOLE(0)] };
		if
		:: x -> mem[STATE(0)] = RUNNING
		:: else
		fi
#else
		wake(t, 0)
#endif
	:: true
	fi
}
#endif

/* vdi_client_get_commands(), repeated */
proctype Client(byte t)
{
	CONSUMER;

	do
	::
#ifdef ABORTS
		load(t, ABORT, x);
		if
		:: x -> break
		:: else
		fi;
#endif
		atomic {
			load(t, TAIL(0), x);
			if
			:: x != head ->
				CLEAR_WAKEUP_TAKEN(t, 0);
				take(t, 0);
				got = 0
			:: else -> x = 0; SPIN_OR_SLEEP(t, 0)
			fi
		};
		if
		:: head == TOTAL -> break
		:: else
		fi;
		if
		:: sleeps -> sleeps = false; check_and_sleep(t, 0)
		:: else
		fi
	od
}

/* work() of the agent. need_wakeup is 1 when the device is opened. */
proctype Agent(byte t)
{
	CONSUMER;

	number = 1;
	do
	::
#ifdef ABORTS
		load(t, ABORT, x);
		if
		:: x -> break
		:: else
		fi;
#endif
		atomic {
			load(t, TAIL(0), x);
			if
			:: x != head ->
				take(t, 0);
				CLEAR_WAKEUP_TAKEN(t, 0);
				got = 0
			:: else -> x = 0
			fi;
			if
			:: head == TOTAL -> break
			:: else
			fi;
			SPIN_OR_SLEEP(t, 0)
		};
		if
		:: sleeps -> sleeps = false; check_and_sleep(t, 0)
		:: else
		fi
	od
}

init {
	atomic {
#ifdef COMPLETIONS
		mem[WAKE(0)] = 1;
		run Agent(3);
#else
		run Client(3);
#endif
#ifdef THREE
		run Producer(0, 1, false);
		run Producer(1, 1, false);
		run Producer(2, 1, false)
#else
		run Producer(0, 2, true);
		run Producer(1, TOTAL - 2, false);
#ifdef ABORTS
		run Aborter(2)
#endif
#endif
	}
}

#endif

/* ---------------------------------------------------------- both directions */

#ifdef BOTH

/* Makes a deferred kick. */
inline notify_pending(t, r)
{
	if
	:: pending_kicks -> pending_kicks = false; notify(t, r)
	:: else
	fi
}

/*
 * Sleeps on ring r and kicks the consumer of ring q by the same call. One barrier is (D)
 * for r and (C) for q.
 */
inline sleep_and_kick(t, r, q)
{
#ifdef FAULT_FORGOTTEN
	if
	:: pending_kicks -> pending_kicks = false; must_kick(t, q)
	:: else
	fi;
#endif
	check_ring(t, r);
	if
	:: nothing ->
		nothing = false;
		if
		:: pending_kicks -> pending_kicks = false; must_kick(t, q)
		:: else
		fi;
		if
		:: e -> e = 0; kick(t, q)
		:: else
		fi;
		sleep(t, r)
	:: else -> e = 0
	fi
}

/* A thread of the server, which sends the first commands */
proctype Sender(byte t)
{
	PRODUCER;
	byte sent;

	do
	:: sent < SENDS -> sent++; publish(t, 0); notify(t, 0)
	:: else -> break
	od
}

/* The agent: each routine sends another command, up to TOTAL. */
proctype Agent(byte t)
{
	CONSUMER;
	byte e, k, h, sent = SENDS;
	bool pending_kicks;

	do
	::
		atomic {
			load(t, TAIL(1), x);
			if
			:: x != head ->
				take(t, 1);
				clear_wakeup(t, 1)
			:: else -> x = 0
			fi
		};
		do
		:: got && sent < TOTAL ->
			got--;
			sent++;
			publish(t, 0);
			pending_kicks = true
		:: else -> got = 0; break
		od;
		if
		:: head == TOTAL -> break
		:: else
		fi;
		atomic { SPIN_OR_SLEEP(t, 1) };
		if
		:: sleeps -> sleeps = false; sleep_and_kick(t, 1, 0)
		:: else -> notify_pending(t, 0)
		fi
	od;
	notify_pending(t, 0)
}

/*
 * The client's thread that gets commands. It completes a command by the next exchange,
 * or passes it to another thread.
 */
proctype Getter(byte t)
{
	CONSUMER;
	byte e, k, h, handed, own;
	bool pending_kicks;

	do
	::
		do
		:: own -> own--; publish(t, 1); pending_kicks = true
		:: else -> break
		od;
		if
		:: head == TOTAL -> break
		:: else
		fi;
		atomic {
			load(t, TAIL(0), x);
			if
			:: x != head ->
				clear_wakeup(t, 0);
				take(t, 0)
			:: else -> x = 0; SPIN_OR_SLEEP(t, 0)
			fi
		};
		if
		:: got ->
			notify_pending(t, 1);
			atomic {
				do
				:: got -> got--; own++
				:: got && HANDS -> got--; handed++;
					store(t, HANDED, handed, 1)
				:: else -> break
				od
			}
		:: else ->
			if
			:: sleeps -> sleeps = false; sleep_and_kick(t, 0, 1)
			:: else -> notify_pending(t, 1)
			fi
		fi
	od;
	notify_pending(t, 1)
}

proctype Completer(byte t)
{
	PRODUCER;
	byte completed;

end:	do
	:: mem[HANDED] > completed ->
		completed++;
		publish(t, 1);
		notify(t, 1)
	od
}

init {
	atomic {
		run Sender(0);
#if HANDS
		run Completer(1);
#endif
		run Agent(2);
		run Getter(3)
	}
}

#endif
