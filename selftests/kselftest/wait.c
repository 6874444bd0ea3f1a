// SPDX-License-Identifier: GPL-2.0
/* Shows when WAIT, DEVICE_WAIT and GET_CONFIG sleep, return, and with which result. */
#define _GNU_SOURCE
#include "vdiset_test.h"
#include "harness.h"

#include <sys/resource.h>

#define SLEEP	VDISET_WAIT_SLEEP
#define KICK	VDISET_WAIT_KICK

FIXTURE(wait) {
	struct vd_set s;
	struct vd_dev c[2], d[2];
	struct vdiset_command cmd;
};

FIXTURE_SETUP(wait)
{
	int i;

	ASSERT_EQ(0, vd_set_up(&self->s, 2, 4, 4096,
			       VDISET_STATE_INITIALIZING));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, vd_set_open_device(&self->s, self->s.primary, i,
						&self->c[i]));
		ASSERT_EQ(0, vd_set_open_device(&self->s, self->s.server, i,
						&self->d[i]));
	}
}

FIXTURE_TEARDOWN(wait)
{
	int i;

	for (i = 0; i < 2; i++) {
		vd_dev_release(&self->c[i]);
		vd_dev_release(&self->d[i]);
	}
	vd_set_down(&self->s);
}

/* A thread that calls fn after a delay. */
struct later {
	unsigned int ms;
	void (*fn)(struct later *l);
	FIXTURE_DATA(wait) *self;
	pthread_t thread, sleeper;
	int ret;
	int64_t when;
};

static void *later_main(void *arg)
{
	struct later *l = arg;

	vd_sleep_ms(l->ms);
	l->when = vd_now();
	l->fn(l);
	return NULL;
}

static void later(struct later *l)
{
	l->sleeper = pthread_self();
	pthread_create(&l->thread, NULL, later_main, l);
}

static void kick_client(struct later *l)
{
	l->ret = vd_kick(&l->self->d[0]);
}

static void send_and_kick(struct later *l)
{
	vd_produce(&l->self->d[0], &l->self->cmd);
	l->ret = vd_kick(&l->self->d[0]);
}

static void complete_and_kick(struct later *l)
{
	vd_produce(&l->self->c[1], &l->self->cmd);
	l->ret = vd_kick(&l->self->c[1]);
}

static void close_device(struct later *l)
{
	l->ret = vd_device_close(l->self->d[0].fd);
}

static void send_and_close(struct later *l)
{
	vd_produce(&l->self->d[0], &l->self->cmd);
	l->ret = vd_device_close(l->self->d[0].fd);
}

/*
 * Time-outs of each call
 */
enum waits { ON_CLIENT, ON_SERVER, ON_SET, ON_CONFIG };

FIXTURE(timeout) {
	struct vd_set s;
	struct vd_dev c, d;
	uint32_t seen;
};

FIXTURE_VARIANT(timeout) {
	enum waits waits;
};

FIXTURE_VARIANT_ADD(timeout, device_wait_of_client) { ON_CLIENT };
FIXTURE_VARIANT_ADD(timeout, device_wait_of_server) { ON_SERVER };
FIXTURE_VARIANT_ADD(timeout, wait_of_server) { ON_SET };
FIXTURE_VARIANT_ADD(timeout, get_config) { ON_CONFIG };

FIXTURE_SETUP(timeout)
{
	bool config = variant->waits == ON_CONFIG;

	self->c.fd = self->d.fd = -1;
	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, 4096,
			       config ? VDISET_STATE_CONNECTED :
					VDISET_STATE_INITIALIZING));
	if (config)
		return;
	ASSERT_EQ(0, vd_set_open_device(&self->s, self->s.primary, 0, &self->c));
	ASSERT_EQ(0, vd_set_open_device(&self->s, self->s.server, 0, &self->d));
}

FIXTURE_TEARDOWN(timeout)
{
	vd_dev_release(&self->c);
	vd_dev_release(&self->d);
	vd_set_down(&self->s);
}

static int one_wait(FIXTURE_DATA(timeout) *self,
		    const FIXTURE_VARIANT(timeout) *variant, int64_t ns)
{
	switch (variant->waits) {
	case ON_CLIENT:
		return vd_device_wait(self->c.fd, SLEEP, ns, 0);
	case ON_SERVER:
		return vd_device_wait(self->d.fd, SLEEP, ns, 0);
	case ON_SET:
		return vd_set_wait(self->s.server, SLEEP, ns, 0, &self->seen);
	default:
		return vd_get_config(self->s.primary, VDISET_CONFIG_WAIT, ns, NULL);
	}
}

TEST_F(timeout, poll)
{
	struct rusage before, after;
	int i;

	getrusage(RUSAGE_THREAD, &before);
	for (i = 0; i < 100; i++) {
		EXPECT_EQ(-ETIMEDOUT, one_wait(self, variant, 0));
	}
	getrusage(RUSAGE_THREAD, &after);
	/* it does not sleep */
	EXPECT_GT(50, after.ru_nvcsw - before.ru_nvcsw);
}

TEST_F(timeout, accuracy)
{
	static const int64_t ns[] = { 1, 1000, MS, 20 * MS, 300 * MS };
	size_t i;

	for (i = 0; i < ARRAY_LEN(ns); i++) {
		int64_t start = vd_now();

		EXPECT_EQ(-ETIMEDOUT, one_wait(self, variant, ns[i]));
		EXPECT_LE(ns[i], vd_now() - start);
	}
}

static void on_usr1(int sig)
{
	(void)sig;
}

static void *usr1_later(void *arg)
{
	vd_sleep_ms(100);
	pthread_kill(*(pthread_t *)arg, SIGUSR1);
	return NULL;
}

/* The largest and the smallest value are valid and do not overflow. */
TEST_F(timeout, extremes)
{
	static const int64_t ns[] = { INT64_MAX, INT64_MIN, -1, INT64_MAX - 1 };
	struct sigaction sa = { .sa_handler = on_usr1 };
	pthread_t me = pthread_self(), thread;
	size_t i;

	sigaction(SIGUSR1, &sa, NULL);
	for (i = 0; i < ARRAY_LEN(ns); i++) {
		int64_t start = vd_now();

		ASSERT_EQ(0, pthread_create(&thread, NULL, usr1_later, &me));
		EXPECT_EQ(-EINTR, one_wait(self, variant, ns[i]));
		EXPECT_LE(90 * MS, vd_now() - start);
		pthread_join(thread, NULL);
	}
}

/* A signal ends the wait, even if its handler was set with SA_RESTART. */
TEST_F(timeout, signal)
{
	struct sigaction sa = { .sa_handler = on_usr1, .sa_flags = SA_RESTART };
	pthread_t me = pthread_self(), thread;
	int64_t start = vd_now();

	sigaction(SIGUSR1, &sa, NULL);
	ASSERT_EQ(0, pthread_create(&thread, NULL, usr1_later, &me));
	EXPECT_EQ(-EINTR, one_wait(self, variant, VD_HANG));
	EXPECT_GT(VD_HANG, vd_now() - start);
	pthread_join(thread, NULL);
	/* the next call works as before */
	EXPECT_EQ(-ETIMEDOUT, one_wait(self, variant, 0));
}

/*
 * DEVICE_WAIT
 */
TEST_F(wait, woken_by_kick)
{
	struct later l = { .ms = 100, .fn = send_and_kick, .self = self };
	struct vdiset_command got;

	self->cmd.code = 99;
	later(&l);
	EXPECT_EQ(0, vd_get(&self->c[0], &got, 0, VD_HANG));
	EXPECT_EQ(99, got.code);
	EXPECT_GT(SEC, vd_now() - l.when);
	pthread_join(l.thread, NULL);
	EXPECT_EQ(0, l.ret);
}

/* A kick does not end the wait if the ring has no new entry. */
TEST_F(wait, kick_alone_does_not_end_wait)
{
	struct later l = { .ms = 50, .fn = kick_client, .self = self };
	int64_t start = vd_now();

	later(&l);
	EXPECT_EQ(-ETIMEDOUT, vd_device_wait(self->c[0].fd, SLEEP, 200 * MS, 0));
	EXPECT_LE(200 * MS, vd_now() - start);
	pthread_join(l.thread, NULL);
	EXPECT_EQ(0, l.ret);
}

/* The time counts up to the kick that ends the wait, across a kick that does not. */
TEST_F(wait, wait_time_is_counted)
{
	struct later in_vain = { .ms = 50, .fn = kick_client, .self = self };
	struct later l = { .ms = 200, .fn = send_and_kick, .self = self };
	struct vdiset_device_status before, after;
	int64_t start = vd_now();

	ASSERT_EQ(0, vd_device_status(self->s.primary, 0, &before));
	later(&in_vain);
	later(&l);
	EXPECT_EQ(0, vd_device_wait(self->c[0].fd, SLEEP, VD_HANG, 0));
	pthread_join(in_vain.thread, NULL);
	pthread_join(l.thread, NULL);
	ASSERT_EQ(0, vd_device_status(self->s.primary, 0, &after));
	EXPECT_LE(150 * MS, (int64_t)(after.out_client_waited_ns -
				      before.out_client_waited_ns));
	EXPECT_GE(vd_now() - start, (int64_t)(after.out_client_waited_ns -
					      before.out_client_waited_ns));
	EXPECT_EQ(before.out_server_waited_ns, after.out_server_waited_ns);

	/* the server waits for a completion and is not kicked */
	start = vd_now();
	EXPECT_EQ(-ETIMEDOUT, vd_device_wait(self->d[0].fd, SLEEP, 100 * MS, 0));
	ASSERT_EQ(0, vd_device_status(self->s.primary, 0, &after));
	EXPECT_LE(90 * MS, (int64_t)(after.out_server_waited_ns -
				     before.out_server_waited_ns));
	EXPECT_GE(vd_now() - start, (int64_t)(after.out_server_waited_ns -
					      before.out_server_waited_ns));
}

/* If the tail differs from @seen, the call returns at once without a kick. */
TEST_F(wait, returns_if_tail_differs_from_seen)
{
	ASSERT_EQ(0, vd_produce(&self->d[0], &self->cmd));
	EXPECT_EQ(0, vd_device_wait(self->c[0].fd, SLEEP, VD_HANG, 0));
	EXPECT_EQ(0, vd_device_wait(self->c[0].fd, SLEEP, 0, 0));
	EXPECT_EQ(-ETIMEDOUT, vd_device_wait(self->c[0].fd, SLEEP, 0, 1));
	/* every value other than the tail counts as not seen */
	EXPECT_EQ(0, vd_device_wait(self->c[0].fd, SLEEP, VD_HANG, 2));
	EXPECT_EQ(0, vd_device_wait(self->c[0].fd, SLEEP, VD_HANG, -1));
	/* the ring of the other device is empty */
	EXPECT_EQ(-ETIMEDOUT, vd_device_wait(self->c[1].fd, SLEEP, 0, 0));
}

TEST_F(wait, kick_only)
{
	int64_t start = vd_now();

	EXPECT_EQ(0, vd_device_wait(self->c[0].fd, KICK, 0, 0));
	EXPECT_EQ(0, vd_device_wait(self->d[0].fd, KICK, 0, 12345));
	EXPECT_GT(SEC, vd_now() - start);
}

static void *answer_main(void *arg)
{
	FIXTURE_DATA(wait) *self = arg;
	struct vdiset_command got;

	if (vd_get(&self->c[0], &got, 0, VD_HANG))
		return NULL;
	vd_put(&self->c[0], &got);
	return NULL;
}

/* One call kicks, then sleeps: a round trip needs one system call per side. */
TEST_F(wait, kick_and_sleep)
{
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, answer_main, self));
	while (!self->d[0].peer->need_wakeup)
		vd_sleep_ms(1);
	vd_sleep_ms(20);
	self->d[0].own->need_wakeup = 1;
	ASSERT_EQ(1, vd_produce(&self->d[0], &self->cmd));
	EXPECT_EQ(0, vd_device_wait(self->d[0].fd, KICK | SLEEP, VD_HANG, 0));
	EXPECT_EQ(1, self->d[0].peer->tail);
	pthread_join(thread, NULL);
}

TEST_F(wait, closed_after_the_ring_is_drained)
{
	struct vdiset_command got;
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, vd_produce(&self->d[0], &self->cmd));
	}
	ASSERT_EQ(0, vd_device_close(self->d[0].fd));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, vd_device_wait(self->c[0].fd, SLEEP, VD_HANG, i));
		EXPECT_EQ(0, vd_consume(&self->c[0], &got));
	}
	EXPECT_EQ(-EPIPE, vd_device_wait(self->c[0].fd, SLEEP, VD_HANG, 3));
	EXPECT_EQ(-EPIPE, vd_device_wait(self->c[0].fd, SLEEP, 0, 3));
	EXPECT_EQ(-EPIPE, vd_device_wait(self->d[0].fd, SLEEP, VD_HANG, 0));
	/* the other device remains open */
	EXPECT_EQ(-ETIMEDOUT, vd_device_wait(self->c[1].fd, SLEEP, 0, 0));
}

TEST_F(wait, woken_by_close)
{
	struct later l = { .ms = 100, .fn = close_device, .self = self };

	later(&l);
	EXPECT_EQ(-EPIPE, vd_device_wait(self->c[0].fd, SLEEP, VD_HANG, 0));
	EXPECT_GT(SEC, vd_now() - l.when);
	pthread_join(l.thread, NULL);
	EXPECT_EQ(0, l.ret);
}

TEST_F(wait, close_does_not_overtake_the_ring)
{
	struct later l = { .ms = 50, .fn = send_and_close, .self = self };
	struct vdiset_command got;

	self->cmd.code = 5;
	later(&l);
	EXPECT_EQ(0, vd_get(&self->c[0], &got, 0, VD_HANG));
	EXPECT_EQ(5, got.code);
	EXPECT_EQ(-EPIPE, vd_get(&self->c[0], &got, 0, VD_HANG));
	pthread_join(l.thread, NULL);
}

/*
 * WAIT
 */
TEST_F(wait, any_client)
{
	struct later l = { .ms = 100, .fn = complete_and_kick, .self = self };
	uint32_t seen = 0;

	later(&l);
	EXPECT_EQ(0, vd_set_wait(self->s.server, SLEEP, VD_HANG, 0, &seen));
	EXPECT_GT(SEC, vd_now() - l.when);
	EXPECT_NE(0, seen);
	pthread_join(l.thread, NULL);
	EXPECT_EQ(1, self->d[1].peer->tail);
	EXPECT_EQ(-ETIMEDOUT, vd_set_wait(self->s.server, SLEEP, 0, 0, &seen));
}

/* Every kick between two calls is counted. */
TEST_F(wait, events_are_counted)
{
	uint32_t seen = 0, first;

	ASSERT_EQ(0, vd_kick(&self->c[0]));
	EXPECT_EQ(0, vd_set_wait(self->s.server, SLEEP, VD_HANG, 0, &seen));
	first = seen;
	EXPECT_EQ(-ETIMEDOUT, vd_set_wait(self->s.server, SLEEP, 10 * MS, 0, &seen));
	EXPECT_EQ(first, seen);
	ASSERT_EQ(0, vd_kick(&self->c[1]));
	ASSERT_EQ(0, vd_kick(&self->c[0]));
	EXPECT_EQ(0, vd_set_wait(self->s.server, SLEEP, 0, 0, &seen));
	EXPECT_EQ(first + 2, seen);
	/* kicks by the server itself are not counted */
	ASSERT_EQ(0, vd_set_wait(self->s.server, KICK, 0, 3, &seen));
	ASSERT_EQ(0, vd_kick(&self->d[0]));
	EXPECT_EQ(-ETIMEDOUT, vd_set_wait(self->s.server, SLEEP, 0, 0, &seen));
}

TEST_F(wait, not_written_on_failure)
{
	struct vdiset_wait w = {
		.size = sizeof(w), .flags = SLEEP, .out_events = 4711,
	};

	EXPECT_EQ(-ETIMEDOUT, vd_ioctl(self->s.server, VDISET_WAIT, &w));
	EXPECT_EQ(4711, w.out_events);
}

static void *get_main(void *arg)
{
	static struct vdiset_command got;

	return vd_get(arg, &got, 0, VD_HANG) ? NULL : arg;
}

/* One call kicks the clients of several devices. */
TEST_F(wait, kick_several)
{
	pthread_t t[2];
	uint32_t seen = 0;
	void *ret;
	int i;

	for (i = 0; i < 2; i++) {
		pthread_create(&t[i], NULL, get_main, &self->c[i]);
		while (!self->d[i].peer->need_wakeup)
			vd_sleep_ms(1);
	}
	vd_sleep_ms(50);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(1, vd_produce(&self->d[i], &self->cmd));
	}
	EXPECT_EQ(0, vd_set_wait(self->s.server, KICK, 0, 3, &seen));
	for (i = 0; i < 2; i++) {
		pthread_join(t[i], &ret);
		EXPECT_EQ(&self->c[i], ret);
	}
}

TEST_F(wait, set_has_terminated)
{
	uint32_t seen = 0;

	ASSERT_EQ(0, vd_kick(&self->c[0]));
	ASSERT_EQ(0, vd_device_close(self->d[0].fd));
	ASSERT_EQ(0, vd_device_close(self->d[1].fd));
	/* the pending kick is reported before the end of the set */
	EXPECT_EQ(0, vd_set_wait(self->s.server, SLEEP, VD_HANG, 0, &seen));
	EXPECT_EQ(-EPIPE, vd_set_wait(self->s.server, SLEEP, VD_HANG, 0, &seen));
	EXPECT_EQ(-EPIPE, vd_set_wait(self->s.server, SLEEP, 0, 0, &seen));
}

static void close_both(struct later *l)
{
	vd_device_close(l->self->d[0].fd);
	vd_device_close(l->self->d[1].fd);
}

/* An aborted set returns ECANCELED for every combination, with and without rings. */
TEST(aborted_in_any_state)
{
	uint32_t seen = 0;
	struct vd_set s;
	int state;

	for (state = VDISET_STATE_CONNECTED;
	     state <= VDISET_STATE_INITIALIZING; state++) {
		ASSERT_EQ(0, vd_set_up(&s, 64, 4, 4096, state));
		ASSERT_EQ(0, vd_abort(s.primary, VDISET_REASON_SIGNAL, 0, ""));
		EXPECT_EQ(-ECANCELED, vd_set_wait(s.server, SLEEP, VD_HANG,
						  0, &seen));
		EXPECT_EQ(-ECANCELED, vd_set_wait(s.server, SLEEP, 0, 0,
						  &seen));
		EXPECT_EQ(-ECANCELED, vd_set_wait(s.server, KICK, 0, ~0ULL,
						  &seen));
		EXPECT_EQ(-ECANCELED, vd_set_wait(s.server, KICK | SLEEP, MS,
						  ~0ULL, &seen));
		vd_set_down(&s);
	}
}

TEST_F(wait, set_terminates_meanwhile)
{
	struct later l = { .ms = 100, .fn = close_both, .self = self };
	uint32_t seen = 0;
	int ret;

	later(&l);
	ret = vd_set_wait(self->s.server, SLEEP, VD_HANG, 0, &seen);
	/* the header permits both: 0 for a kick, EPIPE if every kick was seen */
	EXPECT_TRUE(ret == 0 || ret == -EPIPE) TH_LOG("%d", ret);
	EXPECT_EQ(-EPIPE, vd_set_wait(self->s.server, SLEEP, VD_HANG, 0, &seen));
	pthread_join(l.thread, NULL);
}

/*
 * GET_CONFIG
 */
static void *end_config_later(void *arg)
{
	vd_sleep_ms(100);
	vd_configure(*(int *)arg, 8);
	vd_sleep_ms(100);
	vd_end_config(*(int *)arg);
	return NULL;
}

TEST_F(wait, configuration)
{
	struct vdiset_get_config g;
	struct vd_set s;
	pthread_t thread;

	ASSERT_EQ(0, vd_set_up(&s, 1, 0, 0, VDISET_STATE_CONNECTED));
	ASSERT_EQ(0, pthread_create(&thread, NULL, end_config_later, &s.server));
	EXPECT_EQ(0, vd_get_config(s.primary, VDISET_CONFIG_WAIT, -1, &g));
	EXPECT_EQ(VDISET_STATE_INITIALIZING, g.out_state);
	EXPECT_EQ(8, g.out_config.max_io_depth);
	pthread_join(thread, NULL);
	/* a later call returns the same */
	EXPECT_EQ(0, vd_get_config(s.primary, VDISET_CONFIG_WAIT, 0, &g));
	vd_set_down(&s);
}

/*
 * No wake-up is lost while both sides always sleep; a lost one would time out.
 */
TEST_F(wait, ping_pong)
{
	struct vdiset_command got;
	pthread_t thread;
	int i;

	for (i = 0; i < 2000; i++) {
		ASSERT_EQ(0, pthread_create(&thread, NULL, answer_main, self));
		ASSERT_LE(0, vd_put(&self->d[0], &self->cmd));
		ASSERT_EQ(0, vd_get(&self->d[0], &got, 0, VD_HANG));
		pthread_join(thread, NULL);
	}
}

TEST_HARNESS_MAIN
