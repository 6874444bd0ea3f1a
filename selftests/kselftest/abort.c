// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that after an abort by any party all waiting threads return, and that all
 * parties read the same abort record.
 */
#define _GNU_SOURCE
#include "vdiset_test.h"
#include "harness.h"

/*
 * 16 devices, 64 waiting threads in five processes
 */
enum who { PRIMARY, SERVER, FIRST, SECOND, OBSERVER, N_PARTIES };

#define DEVICES	16

FIXTURE(many_waiters) {
	struct vd_party *p[N_PARTIES];
	struct vd_sleeper *s[128];
	int n;
	int fd;
};

FIXTURE_VARIANT(many_waiters) {
	enum who by;
	int role;
};

FIXTURE_VARIANT_ADD(many_waiters, by_primary) { PRIMARY, VDISET_ROLE_PRIMARY };
FIXTURE_VARIANT_ADD(many_waiters, by_secondary) { SECOND, VDISET_ROLE_SECONDARY };
FIXTURE_VARIANT_ADD(many_waiters, by_server) { SERVER, VDISET_ROLE_SERVER };
FIXTURE_VARIANT_ADD(many_waiters, by_observer) { OBSERVER, VDISET_ROLE_OBSERVER };

static const char *const comm[N_PARTIES] = {
	"vd-primary", "vd-server", "vd-first", "vd-second", "vd-observer"
};

static int start_parties(FIXTURE_DATA(many_waiters) *self)
{
	char name[64];
	long ret;
	int i;

	self->n = 0;
	vd_name(name, "waiters");
	for (i = 0; i < N_PARTIES; i++) {
		self->p[i] = vd_party_start(comm[i]);
		if (!self->p[i])
			return -ENOMEM;
		strcpy(self->p[i]->name, name);
	}
	ret = vd_party_call(self->p[PRIMARY], vd_p_create, DEVICES, 0);
	if (!ret)
		ret = vd_party_call(self->p[SERVER], vd_p_attach,
				    VDISET_ROLE_SERVER, 0);
	if (!ret)
		ret = vd_party_call(self->p[OBSERVER], vd_p_attach,
				    VDISET_ROLE_OBSERVER, 0);
	self->fd = vd_open();
	if (!ret)
		ret = vd_attach(self->fd, VDISET_ROLE_OBSERVER, name);
	return ret;
}

static void end_parties(FIXTURE_DATA(many_waiters) *self)
{
	int i;

	for (i = 0; i < N_PARTIES; i++)
		if (self->p[i])
			vd_party_kill(self->p[i]);
	close(self->fd);
}

FIXTURE_SETUP(many_waiters)
{
	ASSERT_EQ(0, start_parties(self));
}

FIXTURE_TEARDOWN(many_waiters)
{
	end_parties(self);
}

static int sleep_in(FIXTURE_DATA(many_waiters) *self, enum who who,
		    enum vd_sleep kind, int index)
{
	struct vd_sleeper *s = vd_party_sleep(self->p[who], kind, index);

	if (!s)
		return -1;
	self->s[self->n++] = s;
	return 0;
}

/* Brings the set to ACTIVE, with each device open on both sides. */
static int all_active(FIXTURE_DATA(many_waiters) *self)
{
	static const enum who client[DEVICES] = {
		PRIMARY, PRIMARY, PRIMARY, PRIMARY, PRIMARY, PRIMARY,
		FIRST, FIRST, FIRST, FIRST, FIRST,
		SECOND, SECOND, SECOND, SECOND, SECOND
	};
	long ret;
	int i;

	ret = vd_party_call(self->p[SERVER], vd_p_configure, 4, 0);
	if (!ret)
		ret = vd_party_call(self->p[SERVER], vd_p_end_config, 65536, 0);
	for (i = FIRST; !ret && i <= SECOND; i++)
		ret = vd_party_call(self->p[i], vd_p_attach,
				    VDISET_ROLE_SECONDARY, 0);
	for (i = 0; !ret && i < DEVICES; i++) {
		ret = vd_party_call(self->p[SERVER], vd_p_open_device, i, 0);
		if (!ret)
			ret = vd_party_call(self->p[client[i]],
					    vd_p_open_device, i, 0);
	}
	for (i = 0; !ret && i < DEVICES; i++) {
		ret = sleep_in(self, client[i], VD_SLEEP_DEVICE_WAIT, i);
		if (!ret)
			ret = sleep_in(self, client[i], VD_SLEEP_POLL_DEVICE, i);
		if (!ret)
			ret = sleep_in(self, SERVER, VD_SLEEP_DEVICE_WAIT, i);
	}
	for (i = 0; !ret && i < 4; i++) {
		ret = sleep_in(self, SERVER, VD_SLEEP_SET_WAIT, 0);
		if (!ret)
			ret = sleep_in(self, SERVER, VD_SLEEP_POLL_SET, 0);
	}
	for (i = 0; !ret && i < 2; i++)
		ret = sleep_in(self, SERVER, VD_SLEEP_POLL_DEVICE, i);
	for (i = PRIMARY; !ret && i < N_PARTIES; i++)
		if (i != SERVER)
			ret = sleep_in(self, i, VD_SLEEP_POLL_SET, 0);
	for (i = 0; !ret && i < 2; i++)
		ret = sleep_in(self, OBSERVER, VD_SLEEP_POLL_SET, 0);
	return ret;
}

static int same_record(FIXTURE_DATA(many_waiters) *self, enum who who, int reason,
		       int role)
{
	struct vdiset_abort_record first = { 0 };
	int i;

	for (i = 0; i < N_PARTIES; i++) {
		struct vdiset_status *st = &self->p[i]->out.status;

		if (self->p[i]->set < 0)
			continue;
		if (vd_party_call(self->p[i], vd_p_status, 0, 0))
			return -1;
		if (st->out_state != VDISET_STATE_ABORTED ||
		    st->out_abort.reason != (unsigned int)reason ||
		    st->out_abort.by.role != (unsigned int)role ||
		    st->out_abort.by.pid != (unsigned int)self->p[who]->pid ||
		    strcmp(st->out_abort.by.comm, comm[who]))
			return -2;
		if (!first.reason)
			first = st->out_abort;
		if (memcmp(&first, &st->out_abort, sizeof(first)))
			return -3;
	}
	return 0;
}

/* All threads sleep, then one party aborts; result as of vd_last_return(). */
static int64_t one_abort(FIXTURE_DATA(many_waiters) *self,
			 const FIXTURE_VARIANT(many_waiters) *variant,
			 int (*prepare)(FIXTURE_DATA(many_waiters) *), int reason)
{
	int64_t t;

	if (prepare(self))
		return -1000;
	t = vd_now();
	if (vd_party_call(self->p[variant->by], vd_p_abort, reason, 4711))
		return -1001;
	return vd_last_return(self->s, self->n, t);
}

TEST_F(many_waiters, active)
{
	struct vdiset_status st;
	int64_t took;

	took = one_abort(self, variant, all_active, VDISET_REASON_TIMEOUT);
	ASSERT_LE(0, took);
	ASSERT_EQ(64, self->n);
	EXPECT_EQ(0, same_record(self, variant->by, VDISET_REASON_TIMEOUT,
				 variant->role));
	ASSERT_EQ(0, vd_status(self->fd, &st));
	EXPECT_EQ(4711, st.out_abort.code);
	EXPECT_STREQ("by a party", st.out_abort.text);
	TH_LOG("%d sleepers in %lld us", self->n, (long long)took / 1000);
}

static int all_configuring(FIXTURE_DATA(many_waiters) *self)
{
	long ret = vd_party_call(self->p[SERVER], vd_p_configure, 4, 0);
	int i;

	for (i = 0; !ret && i < 8; i++) {
		ret = sleep_in(self, PRIMARY, VD_SLEEP_GET_CONFIG, 0);
		if (!ret)
			ret = sleep_in(self, PRIMARY, VD_SLEEP_POLL_SET, 0);
		if (!ret)
			ret = sleep_in(self, SERVER, VD_SLEEP_POLL_SET, 0);
		if (!ret)
			ret = sleep_in(self, OBSERVER, VD_SLEEP_GET_CONFIG, 0);
	}
	return ret;
}

TEST_F(many_waiters, configuring)
{
	int64_t took;

	if (variant->by == SECOND)
		SKIP(return, "no secondaries before the end of configuration");
	took = one_abort(self, variant, all_configuring, VDISET_REASON_SIGNAL);
	EXPECT_LE(0, took);
	EXPECT_EQ(0, same_record(self, variant->by, VDISET_REASON_SIGNAL,
				 variant->role));
}

/* All parties abort at once: one is recorded, the calls of all succeed. */
TEST_F(many_waiters, all_at_once)
{
	struct vdiset_status st;
	int i, winner = -1;

	ASSERT_EQ(0, all_active(self));
	for (i = 0; i < N_PARTIES; i++) {
		ASSERT_EQ(0, vd_party_post(self->p[(i + variant->by) % N_PARTIES],
					   vd_p_abort, VDISET_REASON_PROTOCOL,
					   (i + variant->by) % N_PARTIES));
	}
	for (i = 0; i < N_PARTIES; i++) {
		EXPECT_EQ(0, vd_party_finish(self->p[i], VD_HANG));
	}
	ASSERT_EQ(0, vd_status(self->fd, &st));
	for (i = 0; i < N_PARTIES; i++)
		if ((pid_t)st.out_abort.by.pid == self->p[i]->pid)
			winner = i;
	/* code and party of the record belong to the same call */
	EXPECT_EQ(winner, st.out_abort.code);
	EXPECT_LE(0, vd_last_return(self->s, self->n, vd_now()));
}

/*
 * The abort record, and the requests that are still permitted
 */
FIXTURE(abort) {
	struct vd_set s;
	struct vd_dev c, d;
};

FIXTURE_VARIANT(abort) {
	int state;
};

FIXTURE_VARIANT_ADD(abort, created) { VDISET_STATE_CREATED };
FIXTURE_VARIANT_ADD(abort, connected) { VDISET_STATE_CONNECTED };
FIXTURE_VARIANT_ADD(abort, configurable) { VDISET_STATE_CONFIGURABLE };
FIXTURE_VARIANT_ADD(abort, initializing) { VDISET_STATE_INITIALIZING };
FIXTURE_VARIANT_ADD(abort, active) { VDISET_STATE_ACTIVE };
FIXTURE_VARIANT_ADD(abort, terminated) { VDISET_STATE_TERMINATED };

FIXTURE_SETUP(abort)
{
	int state = variant->state;

	self->c.fd = self->d.fd = -1;
	if (state > VDISET_STATE_INITIALIZING)
		state = VDISET_STATE_INITIALIZING;
	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, 65536, state));
	if (variant->state < VDISET_STATE_ACTIVE)
		return;
	ASSERT_EQ(0, vd_set_open_device(&self->s, self->s.primary, 0, &self->c));
	ASSERT_EQ(0, vd_set_open_device(&self->s, self->s.server, 0, &self->d));
	if (variant->state == VDISET_STATE_TERMINATED) {
		ASSERT_EQ(0, vd_device_close(self->d.fd));
	}
}

FIXTURE_TEARDOWN(abort)
{
	vd_dev_release(&self->c);
	vd_dev_release(&self->d);
	vd_set_down(&self->s);
}

static uint64_t realtime(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * SEC + ts.tv_nsec;
}

TEST_F(abort, first_abort_is_recorded)
{
	bool over = variant->state == VDISET_STATE_TERMINATED;
	int fd = variant->state > VDISET_STATE_CREATED ? self->s.server :
							 self->s.primary;
	struct vdiset_status st, later;
	uint64_t before = realtime();

	EXPECT_EQ(0, vd_abort(fd, VDISET_REASON_PROTOCOL, 0xfffffffe,
			      "because \xff\x01"));
	EXPECT_EQ(0, vd_abort(self->s.primary, VDISET_REASON_SIGNAL, 3, "no"));
	EXPECT_EQ(0, vd_abort(fd, VDISET_REASON_TIMEOUT, 3, "no"));
	ASSERT_EQ(0, vd_status(self->s.primary, &st));
	if (over) {
		EXPECT_EQ(VDISET_STATE_TERMINATED, st.out_state);
		EXPECT_EQ(0, st.out_abort.reason);
		EXPECT_EQ(0, st.out_abort.by.role);
		return;
	}
	EXPECT_EQ(VDISET_STATE_ABORTED, st.out_state);
	EXPECT_EQ(VDISET_REASON_PROTOCOL, st.out_abort.reason);
	EXPECT_EQ(0xfffffffe, st.out_abort.code);
	EXPECT_STREQ("because \xff\x01", st.out_abort.text);
	EXPECT_EQ(fd == self->s.server ? VDISET_ROLE_SERVER : VDISET_ROLE_PRIMARY,
		  st.out_abort.by.role);
	EXPECT_EQ(getpid(), st.out_abort.by.pid);
	EXPECT_EQ(geteuid(), st.out_abort.by.uid);
	EXPECT_LE(before, st.out_abort.time_ns);
	EXPECT_GE(realtime(), st.out_abort.time_ns);
	/* the later exit of the parties does not change the record */
	EXPECT_EQ(0, vd_close(self->s.primary));
	ASSERT_EQ(0, vd_status(self->s.primary, &later));
	EXPECT_EQ(0, memcmp(&st.out_abort, &later.out_abort,
			    sizeof(st.out_abort)));
}

/* Other sets continue. */
TEST_F(abort, other_sets_unaffected)
{
	struct vd_set other;

	ASSERT_EQ(0, vd_set_up(&other, 1, 4, 4096, VDISET_STATE_INITIALIZING));
	EXPECT_EQ(0, vd_abort(self->s.primary, VDISET_REASON_SIGNAL, 0, ""));
	EXPECT_EQ(VDISET_STATE_INITIALIZING, vd_state(other.server));
	vd_set_down(&other);
}

/*
 * Abort of an ACTIVE set
 */
FIXTURE(aborted) {
	struct vd_set s;
	struct vd_dev c, d;
};

FIXTURE_SETUP(aborted)
{
	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, 65536,
			       VDISET_STATE_INITIALIZING));
	ASSERT_EQ(0, vd_set_open_device(&self->s, self->s.primary, 0, &self->c));
	ASSERT_EQ(0, vd_set_open_device(&self->s, self->s.server, 0, &self->d));
}

FIXTURE_TEARDOWN(aborted)
{
	vd_dev_release(&self->c);
	vd_dev_release(&self->d);
	vd_set_down(&self->s);
}

TEST_F(aborted, later_requests_fail)
{
	uint32_t seen = 0;
	char *p;

	p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED,
		 self->s.primary, VDISET_MMAP_AREA);
	ASSERT_NE(MAP_FAILED, p);
	p[0] = 1;
	ASSERT_EQ(0, vd_abort(self->c.fd, VDISET_REASON_SIGNAL, 0, ""));
	EXPECT_EQ(VDISET_STATE_ABORTED, self->c.state->set_state);
	EXPECT_EQ(VDISET_STATE_ABORTED, self->d.state->set_state);
	EXPECT_EQ(-ECANCELED, vd_device_wait(self->c.fd, VDISET_WAIT_SLEEP, -1, 0));
	EXPECT_EQ(-ECANCELED, vd_device_wait(self->d.fd, VDISET_WAIT_KICK, 0, 0));
	/* even if the ring has an entry */
	self->c.own->tail = 1;
	EXPECT_EQ(-ECANCELED, vd_device_wait(self->d.fd, VDISET_WAIT_SLEEP, 0, 0));
	EXPECT_EQ(-ECANCELED, vd_set_wait(self->s.server, VDISET_WAIT_SLEEP, -1,
					  0, &seen));
	EXPECT_EQ(-ECANCELED, vd_device_close(self->d.fd));
	EXPECT_EQ(-ECANCELED, vd_request_buffers(self->s.server, 4096, NULL));
	EXPECT_EQ(-ECANCELED, vd_open_device(self->s.primary, "x", NULL));
	EXPECT_EQ(1, p[0]);
	p[65535] = 2;
	EXPECT_EQ(2, p[65535]);
}

/* ABORT works on a set file and on device files of both sides. */
TEST_F(aborted, through_a_device_file)
{
	struct vdiset_status st;

	EXPECT_EQ(0, vd_abort(self->d.fd, VDISET_REASON_PROTOCOL, 9, "bad ring"));
	ASSERT_EQ(0, vd_status(self->c.fd, &st));
	EXPECT_EQ(VDISET_ROLE_PRIMARY, st.out_role);
	EXPECT_EQ(VDISET_ROLE_SERVER, st.out_abort.by.role);
	EXPECT_EQ(9, st.out_abort.code);
}

struct race {
	_Atomic int go;
	int fd;
};

static void *race_main(void *arg)
{
	struct race *r = arg;

	while (!atomic_load(&r->go))
		;
	vd_abort(r->fd, VDISET_REASON_SIGNAL, 0, "race");
	return NULL;
}

/* A request of the server that races with an abort completes or fails as a whole. */
TEST_F(aborted, races_with_the_server)
{
	int i, ret;

	for (i = 0; i < 100; i++) {
		struct vdiset_open_device o;
		struct race r = { 0 };
		struct vd_set s;
		pthread_t thread;

		ASSERT_EQ(0, vd_set_up(&s, 2, 4, 0, VDISET_STATE_CONFIGURABLE));
		r.fd = s.primary;
		pthread_create(&thread, NULL, race_main, &r);
		ASSERT_EQ(0, vd_request_buffers(s.server, (i % 8 + 1) * MIB, NULL));
		atomic_store(&r.go, 1);
		ret = vd_end_config(s.server);
		EXPECT_TRUE(ret == 0 || ret == -ECANCELED) TH_LOG("%d", ret);
		ret = vd_open_device(s.server, "a", &o);
		if (ret >= 0) {
			ret = vd_device_close(o.out_fd);
			EXPECT_TRUE(ret == 0 || ret == -ECANCELED)
				TH_LOG("%d", ret);
			close(o.out_fd);
		} else {
			EXPECT_EQ(-ECANCELED, ret);
		}
		ret = vd_request_buffers(s.server, MIB, NULL);
		EXPECT_TRUE(ret == 0 || ret == -ECANCELED) TH_LOG("%d", ret);
		pthread_join(thread, NULL);
		EXPECT_EQ(VDISET_STATE_ABORTED, vd_state(s.primary));
		vd_set_down(&s);
	}
}

TEST_HARNESS_MAIN
