// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that every request may race with an abort, each kind of close, growth,
 * mapping, and the same request: the results are those of one of the two orders, no
 * thread stays asleep, and no set or memory remains. The order is random, so more
 * rounds cover more cases. Most useful on kernels that detect races and lock
 * inversions.
 *
 *   VDISET_RACES	rounds of each pair, 10 by default; 200 for a long run
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "harness.h"

#define STUCK		(VD_HANG)
#define TOGGLES		6

static int rounds(void)
{
	const char *text = getenv("VDISET_RACES");

	return text ? atoi(text) : 10;
}

/*
 * Requests that sleep until the set ends
 */
static int sleep_set_wait(struct fixture *fx)
{
	uint32_t seen = 0;
	int ret;

	do {
		ret = vd_set_wait(fx->s.server, VDISET_WAIT_SLEEP, STUCK, 0,
				  &seen);
	} while (!ret);
	return ret;
}

static int sleep_device_wait(struct fixture *fx)
{
	return vd_device_wait(fx->client.fd, VDISET_WAIT_SLEEP, STUCK, 0);
}

static int sleep_get_config(struct fixture *fx)
{
	struct vdiset_get_config get;

	return vd_get_config(fx->s.primary, VDISET_CONFIG_WAIT, STUCK, &get);
}

static int sleep_poll(struct fixture *fx)
{
	struct pollfd fd = { .fd = fx->client.fd, .events = POLLIN };
	int n = poll(&fd, 1, STUCK / MS);

	if (n <= 0)
		return n ? -errno : -ETIMEDOUT;
	return fd.revents & POLLERR ? -ECANCELED : 0;
}

static const struct step sleeps[] = {
	{ "set_wait asleep", VDISET_STATE_INITIALIZING, true, sleep_set_wait,
	  { ECANCELED } },
	{ "device_wait asleep", VDISET_STATE_INITIALIZING, true,
	  sleep_device_wait, { ECANCELED } },
	{ "get_config asleep", VDISET_STATE_CONFIGURABLE, false,
	  sleep_get_config, { ECANCELED } },
	{ "poll asleep", VDISET_STATE_INITIALIZING, true, sleep_poll,
	  { ECANCELED } },
};

/*
 * Rivals. A rival that closes a descriptor of the other thread sets it to a number
 * that is not in use.
 */
static int rival_abort_primary(struct fixture *fx)
{
	return vd_abort(fx->s.primary, VDISET_REASON_SIGNAL, 1, "races");
}

static int rival_abort_server(struct fixture *fx)
{
	return vd_abort(fx->s.server, VDISET_REASON_SIGNAL, 2, "races");
}

static int close_once(int *fd)
{
	int old = *fd;

	*fd = -1;
	return old < 0 ? -EBADF : close(old);
}

static int rival_close_primary(struct fixture *fx)
{
	return close_once(&fx->s.primary);
}

static int rival_close_server(struct fixture *fx)
{
	return close_once(&fx->s.server);
}

static int rival_close_device(struct fixture *fx)
{
	return close_once(&fx->client.fd);
}

static int rival_device_close(struct fixture *fx)
{
	return vd_device_close(fx->server.fd);
}

static int rival_close(struct fixture *fx)
{
	return vd_close(fx->s.primary);
}

static int rival_grow(struct fixture *fx)
{
	return vd_request_buffers(fx->s.server, 64 * KIB, NULL);
}

static int rival_map(struct fixture *fx)
{
	volatile char *at;
	size_t i;

	at = mmap(NULL, FIXTURE_AREA, PROT_READ | PROT_WRITE, MAP_SHARED,
		  fx->s.primary, VDISET_MMAP_AREA);
	if (at == MAP_FAILED)
		return -errno;
	for (i = 0; i < FIXTURE_AREA; i += 64 * KIB)
		at[i]++;
	return munmap((void *)at, FIXTURE_AREA);
}

static const struct rival {
	const char *name;
	int (*call)(struct fixture *fx);
	bool aborts;		/* its effect is an abort */
} rivals[] = {
	{ "abort by the primary", rival_abort_primary, true },
	{ "abort by the server", rival_abort_server, true },
	{ "close of the primary", rival_close_primary, true },
	{ "close of the server", rival_close_server, true },
	{ "close of a device", rival_close_device, false },
	{ "DEVICE_CLOSE", rival_device_close, false },
	{ "CLOSE", rival_close, false },
	{ "growth", rival_grow, false },
	{ "mapping", rival_map, false },
	{ "the same request", NULL, false },
};

/*
 * Results that one of the two orders may have. Not permitted: memory errors, EFAULT (no
 * address is invalid), EPROTO, and a time-out of a call that must be woken.
 */
static bool is_an_answer(const struct step *step, int ret)
{
	static const int any[] = {
		0, ECANCELED, EPIPE, EBADF, EBADFD, EBUSY, EEXIST, EISCONN,
		ENOTCONN, EAGAIN, ENOENT, ETIMEDOUT, ENODEV, EINVAL, EACCES,
		ESTALE, EPERM,
	};
	unsigned int i;

	if (step->errors[0] == ECANCELED)	/* a call that sleeps */
		return ret == -ECANCELED || ret == -EBADF;
	for (i = 0; i < ARRAY_LEN(any); i++) {
		if (ret == -any[i])
			return true;
	}
	return false;
}

/*
 * The rival's thread exists as long as the pair: starting a thread takes longer than
 * the race.
 */
struct race {
	const struct step *step;
	const struct rival *rival;
	struct fixture fixture;
	struct fixture again;	/* separate results of "the same request" */
	_Atomic int go;
	_Atomic int done;
	unsigned int delay;
	int ret;
};

static void spin(unsigned int n)
{
	volatile unsigned int i;

	for (i = 0; i < n; i++)
		;
}

static void *run_rival(void *arg)
{
	struct race *race = arg;
	int round = 0;

	while (true) {
		while (race->go == round)
			sched_yield();
		if (race->go < 0)
			return NULL;
		round = race->go;
		spin(race->delay);
		if (race->rival->call)
			race->ret = race->rival->call(&race->fixture);
		else
			race->ret = race->step->call(&race->again);
		race->done = round;
	}
}

/* Releases the results of "the same request"; the set belongs to the fixture. */
static void again_down(struct race *race)
{
	struct fixture *again = &race->again;

	if (again->map)
		munmap(again->map, again->length);
	if (again->opened.out_fd > 0)
		close(again->opened.out_fd);
	if (again->fd >= 0 && again->fd != race->fixture.fd)
		close(again->fd);
}

static int again_up(struct race *race)
{
	race->again = race->fixture;
	race->again.map = NULL;
	race->again.fd = vd_open();
	return race->again.fd < 0 ? race->again.fd : 0;
}

static int run_round(struct race *race, int round, unsigned int *seed)
{
	int64_t since;
	int ret, state;

	ret = fixture_set_up(&race->fixture, race->step);
	if (!ret)
		ret = again_up(race);
	if (ret) {
		printf("# cannot set up the set: %d\n", ret);
		return ret;
	}
	/* in every second round, a call that sleeps has time to fall asleep */
	race->delay = rand_r(seed) % (round % 2 ? 20000 : 200);
	since = vd_now();
	race->go = round;
	spin(rand_r(seed) % 200);
	ret = race->step->call(&race->fixture);
	while (race->done != round)
		sched_yield();

	if (!is_an_answer(race->step, ret) ||
	    (!race->rival->call && !is_an_answer(race->step, race->ret)) ||
	    vd_now() - since > STUCK) {
		printf("# %s and %s: %d and %d after %lld ms\n",
		       race->step->name, race->rival->name, ret, race->ret,
		       (long long)((vd_now() - since) / MS));
		ret = -EPROTO;
	} else {
		ret = 0;
	}
	/* the set has ended, whichever call was first */
	state = vd_state(race->fixture.s.primary >= 0 ? race->fixture.s.primary :
						      race->fixture.s.server);
	if (race->rival->aborts && !race->ret && state >= 0 &&
	    race->step->state > VDISET_STATE_CREATED &&
	    state != VDISET_STATE_ABORTED &&
	    state != VDISET_STATE_TERMINATED) {
		printf("# %s and %s: the state is %d\n", race->step->name,
		       race->rival->name, state);
		ret = -EPROTO;
	}
	again_down(race);
	fixture_tear_down(&race->fixture);
	return ret;
}

static int run_race(const struct step *step, const struct rival *rival, int n,
		    unsigned int *seed)
{
	struct race race = { .step = step, .rival = rival };
	pthread_t thread;
	int round, ret;

	ret = -pthread_create(&thread, NULL, run_rival, &race);
	if (ret)
		return ret;
	for (round = 1; !ret && round <= n; round++)
		ret = run_round(&race, round, seed);
	race.go = -1;
	pthread_join(thread, NULL);
	return ret;
}

FIXTURE(races) {
	struct vdiset_info before;
	unsigned int seed;
};

FIXTURE_SETUP(races)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	self->before = vd_info();
	self->seed = getpid();
}

FIXTURE_TEARDOWN(races)
{
	EXPECT_EQ((int)self->before.out_sets,
		  vd_wait_sets(self->before.out_sets));
	EXPECT_EQ(self->before.out_total_bytes, vd_info().out_total_bytes);
}

TEST_F_TIMEOUT(races, pairs_of_requests, 3600)
{
	unsigned int i, j;
	int n = rounds();

	for (i = 0; i < n_steps; i++) {
		for (j = 0; j < ARRAY_LEN(rivals); j++)
			EXPECT_EQ(0, run_race(&steps[i], &rivals[j], n,
					      &self->seed));
	}
	TH_LOG("%d races", (int)(n_steps * ARRAY_LEN(rivals)) * n);
}

TEST_F_TIMEOUT(races, no_lost_wakeup, 3600)
{
	unsigned int i, j;
	int n = 4 * rounds();

	for (i = 0; i < ARRAY_LEN(sleeps); i++) {
		for (j = 0; j < ARRAY_LEN(rivals); j++) {
			if (rivals[j].aborts)
				EXPECT_EQ(0, run_race(&sleeps[i], &rivals[j], n,
						      &self->seed));
		}
	}
}

/*
 * ATTACH while the last party of the set leaves
 */
struct late {
	struct vd_set s;
	_Atomic bool over;
	_Atomic int refused;
};

static void *run_late(void *arg)
{
	struct late *late = arg;
	struct vdiset_attach attach;
	int fd = vd_open();

	do {
		memset(&attach, 0, sizeof(attach));
		attach.size = sizeof(attach);
		attach.role = VDISET_ROLE_SECONDARY;
		attach.flags = VDISET_ATTACH_BY_ID;
		attach.id = late->s.id;
		if (vd_ioctl(fd, VDISET_ATTACH, &attach) == -ECANCELED)
			late->refused++;
	} while (!late->over);
	close(fd);
	return NULL;
}

static int late_round(struct late *late)
{
	pthread_t thread[2];
	unsigned int i;
	int ret;

	late->over = false;
	ret = vd_set_up(&late->s, VDISET_MAX_DEVICES, 4, 64 * KIB,
			VDISET_STATE_INITIALIZING);
	if (!ret)
		ret = vd_abort(late->s.primary, VDISET_REASON_SIGNAL, 1, "");
	for (i = 0; !ret && i < ARRAY_LEN(thread); i++)
		ret = pthread_create(&thread[i], NULL, run_late, late);
	if (ret)
		return ret;
	vd_sleep_ms(1);
	vd_set_down(&late->s);
	late->over = true;
	for (i = 0; i < ARRAY_LEN(thread); i++)
		pthread_join(thread[i], NULL);
	return 0;
}

TEST_F_TIMEOUT(races, late_attach, 3600)
{
	struct late late = { .refused = 0 };
	int i, n = 20 * rounds();

	for (i = 0; i < n; i++)
		ASSERT_EQ(0, late_round(&late));
	EXPECT_LT(0, (int)late.refused);
	TH_LOG("%d were refused", (int)late.refused);
}

/*
 * Look-ups during the creation and the end of sets of one name. @generation is odd
 * while the set @id is live: a look-up must find the set if @generation does not
 * change meanwhile.
 */
#define CREATORS	2
#define FINDERS		4

struct names {
	char name[64];
	_Atomic unsigned int generation;
	_Atomic uint64_t id;
	_Atomic int live;
	_Atomic int left;		/* sets to be created */
	_Atomic unsigned int found;	/* look-ups that found a live set */
	_Atomic int wrong;
	_Atomic bool over;
};

static void names_wrong(struct names *n, const char *what, long value)
{
	printf("# %s: %ld\n", what, value);
	n->wrong++;
}

/* Every eighth set is kept until another thread has found it. */
static void names_keep(struct names *n, int round)
{
	unsigned int found = n->found;
	int64_t end = vd_now() + STUCK;

	while (!(round & 7) && n->found == found && !n->wrong &&
	       vd_now() < end)
		sched_yield();
}

static void *run_creator(void *arg)
{
	struct names *n = arg;
	int round = 0, fd, ret;

	while (n->left > 0 && !n->wrong) {
		fd = vd_open();
		ret = vd_create(fd, n->name, 1);
		if (!ret) {
			if (n->live++)
				names_wrong(n, "live sets of the name", n->live);
			n->id = vd_set_id(fd);
			n->generation++;
			names_keep(n, round++);
			n->generation++;
			n->live--;
			n->left--;
		} else if (ret != -EEXIST) {
			names_wrong(n, "CREATE", ret);
		}
		close(fd);
	}
	return NULL;
}

/* All look-ups return whether they found the set @id, or -errno. */
static int find_by_name(struct names *n, uint64_t id)
{
	struct vdiset_status st = { 0 };
	int fd = vd_open();
	int ret = vd_attach(fd, VDISET_ROLE_OBSERVER, n->name);

	if (!ret) {
		ret = vd_status(fd, &st);
		if (!ret && strcmp(st.out_name, n->name))
			ret = -EPROTO;
	}
	close(fd);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	return st.out_id == id;
}

static int find_by_id(struct names *n, uint64_t id)
{
	int fd = vd_open();
	int ret = vd_attach_id(fd, VDISET_ROLE_OBSERVER, id);

	(void)n;
	if (!ret && vd_set_id(fd) != id)
		ret = -EPROTO;
	close(fd);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	return 1;
}

static int find_in_list(struct names *n, uint64_t id)
{
	struct vdiset_list list = { .size = sizeof(list) };
	int fd = vd_open(), ret, found = 0;
	uint64_t last = 0;

	while (!(ret = vd_ioctl(fd, VDISET_LIST, &list))) {
		if (list.cursor <= last)
			break;
		last = list.cursor;
		if (list.cursor == id && !strcmp(list.out_name, n->name))
			found++;
	}
	close(fd);
	if (ret != -ENOENT)
		return ret ? ret : -EPROTO;
	return found;
}

static int find_by_creation(struct names *n, uint64_t id)
{
	int fd = vd_open();
	int ret;

	(void)id;
	/* no other process uses this set: only its name may conflict */
	ret = vd_create(fd, n->name, 1);
	close(fd);
	if (ret)
		return ret == -EEXIST ? 1 : ret;
	return 0;
}

static int (*const finders[FINDERS])(struct names *n, uint64_t id) = {
	find_by_name, find_by_id, find_in_list, find_by_creation,
};

struct finder {
	struct names *names;
	unsigned int kind;
};

static void *run_finder(void *arg)
{
	struct finder *f = arg;
	struct names *n = f->names;
	unsigned int before;
	uint64_t id;
	int ret;

	while (!n->over && !n->wrong) {
		before = n->generation;
		id = n->id;
		if (f->kind == 3 && !(before & 1)) {
			sched_yield();
			continue;
		}
		ret = finders[f->kind](n, id);
		if (ret < 0)
			names_wrong(n, "look-up", ret);
		if (!(before & 1) || n->generation != before)
			continue;
		if (ret != 1)
			names_wrong(n, "a live set was not found by", f->kind);
		n->found++;
	}
	return NULL;
}

TEST_F_TIMEOUT(races, create_of_one_name, 3600)
{
	struct names n = { .left = 50 * rounds() };
	pthread_t creator[CREATORS], finder[FINDERS];
	struct finder f[FINDERS];
	unsigned int i;

	vd_name(n.name, "races");
	for (i = 0; i < FINDERS; i++) {
		f[i] = (struct finder){ .names = &n, .kind = i };
		ASSERT_EQ(0, pthread_create(&finder[i], NULL, run_finder, &f[i]));
	}
	for (i = 0; i < CREATORS; i++)
		ASSERT_EQ(0, pthread_create(&creator[i], NULL, run_creator, &n));
	for (i = 0; i < CREATORS; i++)
		pthread_join(creator[i], NULL);
	n.over = true;
	for (i = 0; i < FINDERS; i++)
		pthread_join(finder[i], NULL);
	EXPECT_EQ(0, (int)n.wrong);
	EXPECT_LT(0, (int)n.found);
	TH_LOG("%u look-ups of a live set", (unsigned int)n.found);
}

/* Taking a processor offline moves its sleeping threads and timers. */
#define CPU1	"/sys/devices/system/cpu/cpu1/online"

static void *run_toggle(void *arg)
{
	_Atomic int *left = arg;

	for (; *left > 0; --*left) {
		vd_write_file(CPU1, *left % 2 ? "1" : "0");
		vd_sleep_ms(20);
	}
	return NULL;
}

TEST_F(races, cpu_offline)
{
	_Atomic int left = 2 * TOGGLES;
	int n = 0, before = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int i;
	pthread_t thread;

	if (before < 2 || access(CPU1, W_OK))
		SKIP(return, "no processor can be taken offline");
	ASSERT_EQ(0, pthread_create(&thread, NULL, run_toggle, &left));
	while (left > 0) {
		for (i = 0; i < ARRAY_LEN(sleeps); i++, n++)
			EXPECT_EQ(0, run_race(&sleeps[i], &rivals[n % 4], 4,
					      &self->seed));
	}
	pthread_join(thread, NULL);
	EXPECT_EQ(before, sysconf(_SC_NPROCESSORS_ONLN));
	TH_LOG("%d rounds", 4 * n);
}

TEST_HARNESS_MAIN
