// SPDX-License-Identifier: GPL-2.0
/*
 * Death of a party: in each role, at each stage, in each way. The others
 * return within the bound and learn who it was, and nothing stays behind.
 */
#define _GNU_SOURCE
#include "vdiset_test.h"
#include "kselftest_harness.h"

#define END	(POLLERR | POLLHUP)
#define AREA	MIB

enum who { PRIMARY, SERVER, SECONDARY, N_PARTIES };

enum stage {
	ATTACHED,	/* created, or attached: as early as the role can be */
	CONNECTED,
	CONFIGURABLE,
	INITIALIZING,
	IDLE,		/* ACTIVE, the victim does nothing */
	BLOCKED,	/* a thread of the victim sleeps in the kernel */
	MID_COMMAND,	/* commands are outstanding */
};

enum way {
	KILL,
	EXIT,
	CLOSE,		/* the set file */
	CLOSE_DEVICE,
	EXEC,
	KILL_WITH_HEIR,	/* a forked child holds every descriptor and mapping */
	CLOSE_WITH_HEIR,
};

FIXTURE(death) {
	struct vd_party *p[N_PARTIES];
	struct vd_sleeper *s[32];
	int n;
	int fd;
	int sets;
	uint64_t bytes;
	uint64_t id;
	pid_t heir;
};

FIXTURE_VARIANT(death) {
	enum who who;
	enum stage stage;
	enum way way;
};

#define DEATH(who, stage, way) \
	FIXTURE_VARIANT_ADD(death, who##_##stage##_##way) { who, stage, way };
#define EARLY(who, stage) \
	DEATH(who, stage, KILL) DEATH(who, stage, EXIT) \
	DEATH(who, stage, CLOSE) DEATH(who, stage, EXEC) \
	DEATH(who, stage, KILL_WITH_HEIR)
#define LATE(who, stage) \
	EARLY(who, stage) DEATH(who, stage, CLOSE_DEVICE) \
	DEATH(who, stage, CLOSE_WITH_HEIR)
#define EVERYBODY(how, stage) \
	how(PRIMARY, stage) how(SERVER, stage) how(SECONDARY, stage)

EARLY(PRIMARY, ATTACHED)
EARLY(PRIMARY, CONNECTED)
EARLY(SERVER, CONNECTED)
EARLY(PRIMARY, CONFIGURABLE)
EARLY(SERVER, CONFIGURABLE)
EVERYBODY(EARLY, INITIALIZING)
EVERYBODY(LATE, IDLE)
EVERYBODY(LATE, BLOCKED)
EVERYBODY(LATE, MID_COMMAND)

static const char *const comm[N_PARTIES] = {
	"vd-primary", "vd-server", "vd-secondary"
};

static const unsigned int role[N_PARTIES] = {
	VDISET_ROLE_PRIMARY, VDISET_ROLE_SERVER, VDISET_ROLE_SECONDARY
};

static int info(int fd, uint64_t *bytes)
{
	struct vdiset_info i = { .size = sizeof(i) };
	int ret = vd_ioctl(fd, VDISET_INFO, &i);

	*bytes = i.out_total_bytes;
	return ret ? ret : (int)i.out_sets;
}

FIXTURE_SETUP(death)
{
	char name[64];
	int i;

	self->fd = vd_open();
	self->sets = info(self->fd, &self->bytes);
	ASSERT_LE(0, self->sets);
	vd_name(name, "death");
	for (i = 0; i < N_PARTIES; i++) {
		self->p[i] = vd_party_start(comm[i]);
		ASSERT_NE(NULL, self->p[i]);
		strcpy(self->p[i]->name, name);
	}
}

FIXTURE_TEARDOWN(death)
{
	int64_t end = vd_now() + 2 * SEC;
	uint64_t bytes;
	int i, fd;

	if (self->heir > 0)
		kill(self->heir, SIGKILL);
	for (i = 0; i < N_PARTIES; i++)
		vd_party_kill(self->p[i]);
	close(self->fd);
	/* the heir is a stranger's child: nobody here can wait for it */
	EXPECT_EQ(self->sets, vd_wait_sets(self->sets));
	fd = vd_open();
	while (info(fd, &bytes) >= 0 && bytes != self->bytes && vd_now() < end)
		vd_sleep_ms(5);
	EXPECT_EQ(self->bytes, bytes);
	EXPECT_EQ(0, vd_listed(fd, self->id));
	close(fd);
}

/* Device 0 is the primary's, device 1 the secondary's. */
static int device_of(enum who who)
{
	return who == SECONDARY;
}

static int open_devices(FIXTURE_DATA(death) *self)
{
	long ret = 0;
	int i;

	for (i = 0; !ret && i < 2; i++)
		ret = vd_party_call(self->p[SERVER], vd_p_open_device, i, 0);
	if (!ret)
		ret = vd_party_call(self->p[PRIMARY], vd_p_open_device, 0, 0);
	if (!ret)
		ret = vd_party_call(self->p[SECONDARY], vd_p_open_device, 1, 0);
	return ret;
}

static int reach(FIXTURE_DATA(death) *self, enum stage stage)
{
	struct vd_party **p = self->p;
	long ret;
	int i;

	ret = vd_party_call(p[PRIMARY], vd_p_create, 2, 0);
	if (ret)
		return ret;
	ret = vd_attach(self->fd, VDISET_ROLE_OBSERVER, p[PRIMARY]->name);
	self->id = vd_set_id(self->fd);
	if (!ret && stage >= CONNECTED)
		ret = vd_party_call(p[SERVER], vd_p_attach, VDISET_ROLE_SERVER, 0);
	if (!ret && stage >= CONFIGURABLE)
		ret = vd_party_call(p[SERVER], vd_p_configure, 4, 0);
	if (!ret && stage >= INITIALIZING) {
		ret = vd_party_call(p[SERVER], vd_p_end_config, AREA, 0);
		if (!ret)
			ret = vd_party_call(p[SECONDARY], vd_p_attach,
					    VDISET_ROLE_SECONDARY, 0);
		for (i = 0; !ret && i < N_PARTIES; i++)
			ret = vd_party_call(p[i], vd_p_map_area, AREA, 0);
	}
	if (!ret && stage >= IDLE)
		ret = open_devices(self);
	return ret;
}

static int sleep_in(FIXTURE_DATA(death) *self, enum who who,
		    enum vd_sleep kind, int index)
{
	struct vd_sleeper *s = vd_party_sleep(self->p[who], kind, index);

	if (!s)
		return -1;
	self->s[self->n++] = s;
	return 0;
}

/* Everybody but the victim sleeps, in all ways the stage knows. */
static int others_sleep(FIXTURE_DATA(death) *self, enum who victim,
			enum stage stage)
{
	int i, ret = 0;

	for (i = 0; !ret && i < N_PARTIES; i++) {
		if (i == (int)victim || self->p[i]->set < 0)
			continue;
		ret = sleep_in(self, i, VD_SLEEP_POLL_SET, 0);
		if (!ret && i == PRIMARY && stage < INITIALIZING)
			ret = sleep_in(self, i, VD_SLEEP_GET_CONFIG, 0);
		if (ret || stage < IDLE)
			continue;
		ret = sleep_in(self, i, VD_SLEEP_DEVICE_WAIT, device_of(i));
		if (!ret)
			ret = sleep_in(self, i, VD_SLEEP_POLL_DEVICE, device_of(i));
		if (!ret && i == SERVER)
			ret = sleep_in(self, i, VD_SLEEP_DEVICE_WAIT, 1);
		if (!ret && i == SERVER)
			ret = sleep_in(self, i, VD_SLEEP_SET_WAIT, 0);
	}
	return ret;
}

/*
 * What the victim does
 */
static long get_command(struct vd_party *me, long index, long unused)
{
	struct vdiset_command c;

	(void)unused;
	return vd_get(&me->dev[index], &c, 0, 5 * SEC);
}

/* Two commands on each device: fetched by the clients, not completed. */
static long send_commands(FIXTURE_DATA(death) *self)
{
	long ret = 0;
	int i;

	for (i = 0; ret >= 0 && i < 4; i++)
		ret = vd_party_call(self->p[SERVER], vd_p_send, i & 1, i / 2);
	for (i = 0; ret >= 0 && i < 4; i++)
		ret = vd_party_call(self->p[i & 1 ? SECONDARY : PRIMARY],
				    get_command, i & 1, 0);
	return ret < 0 ? ret : 0;
}

static long bear_heir(struct vd_party *me, long a, long b)
{
	pid_t pid = fork();

	(void)me;
	(void)a;
	(void)b;
	if (!pid) {
		alarm(30);
		for (;;)
			pause();
	}
	return pid;
}

static long do_exit(struct vd_party *me, long a, long b)
{
	(void)me;
	(void)a;
	(void)b;
	_exit(0);
}

static long do_close(struct vd_party *me, long index, long unused)
{
	(void)unused;
	return close(index < 0 ? me->set : me->dev[index].fd);
}

/* Stays alive as another program: it is not its exit that is noticed. */
static long do_exec(struct vd_party *me, long a, long b)
{
	(void)me;
	(void)a;
	(void)b;
	alarm(30);
	execlp("sleep", "sleep", "30", NULL);
	return -errno;
}

static void die(struct vd_party *p, enum who who, enum way way)
{
	switch (way) {
	case KILL:
	case KILL_WITH_HEIR:
		kill(p->pid, SIGKILL);
		break;
	case EXIT:
		vd_party_post(p, do_exit, 0, 0);
		break;
	case CLOSE:
	case CLOSE_WITH_HEIR:
		vd_party_post(p, do_close, -1, 0);
		break;
	case CLOSE_DEVICE:
		vd_party_post(p, do_close, device_of(who), 0);
		break;
	case EXEC:
		vd_party_post(p, do_exec, 0, 0);
		break;
	}
}

/* The time from t to the last return; negative: one did not, or wrongly. */
static int64_t last_return(FIXTURE_DATA(death) *self, int64_t t)
{
	int64_t worst = 0;
	int i;

	for (i = 0; i < self->n; i++) {
		struct vd_sleeper *s = self->s[i];
		bool polls = s->kind == VD_SLEEP_POLL_SET ||
			     s->kind == VD_SLEEP_POLL_DEVICE;

		if (!vd_sleeper_join(s, 5 * SEC)) {
			fprintf(stderr, "# sleeper %d (kind %d) still sleeps\n",
				i, s->kind);
			return -1;
		}
		if (polls ? (s->ret & END) != END : s->ret != -ECANCELED) {
			fprintf(stderr, "# sleeper %d (kind %d) got %d\n", i,
				s->kind, s->ret);
			return -2;
		}
		if (s->when - t > worst)
			worst = s->when - t;
	}
	return worst;
}

TEST_F_TIMEOUT(death, is_noticed, 60)
{
	struct vd_party *victim = self->p[variant->who];
	struct vdiset_status st;
	int64_t t, took;
	int i;

	ASSERT_EQ(0, reach(self, variant->stage));
	if (variant->stage == MID_COMMAND) {
		ASSERT_EQ(0, send_commands(self));
	}
	ASSERT_EQ(0, others_sleep(self, variant->who, variant->stage));
	if (variant->stage == BLOCKED) {
		ASSERT_NE(NULL, vd_party_sleep(victim, VD_SLEEP_DEVICE_WAIT,
					       device_of(variant->who)));
	}
	if (variant->way == KILL_WITH_HEIR || variant->way == CLOSE_WITH_HEIR) {
		self->heir = vd_party_call(victim, bear_heir, 0, 0);
		ASSERT_LT(0, self->heir);
	}

	t = vd_now();
	die(victim, variant->who, variant->way);
	took = last_return(self, t);
	EXPECT_LE(0, took);
	EXPECT_GE(ABORT_BOUND, took) TH_LOG("%lld us", (long long)took / 1000);

	/* with nobody asleep, the state alone has to be there in time */
	while (vd_state(self->fd) != VDISET_STATE_ABORTED &&
	       vd_now() < t + ABORT_BOUND)
		;
	ASSERT_EQ(0, vd_status(self->fd, &st));
	EXPECT_EQ(VDISET_STATE_ABORTED, st.out_state);
	EXPECT_EQ(VDISET_REASON_DIED, st.out_abort.reason);
	EXPECT_EQ(role[variant->who], st.out_abort.by.role);
	EXPECT_EQ(victim->pid, st.out_abort.by.pid);
	EXPECT_EQ(geteuid(), st.out_abort.by.uid);
	EXPECT_STREQ(comm[variant->who], st.out_abort.by.comm);
	EXPECT_EQ(0, st.out_abort.code);
	EXPECT_STREQ("", st.out_abort.text);

	/* the others find out the same, and may leave in order */
	for (i = 0; i < N_PARTIES; i++) {
		if (i == (int)variant->who || self->p[i]->set < 0)
			continue;
		EXPECT_EQ(0, vd_party_call(self->p[i], vd_p_status, 0, 0));
		EXPECT_EQ(0, memcmp(&st.out_abort,
				    &self->p[i]->out.status.out_abort,
				    sizeof(st.out_abort)));
		EXPECT_EQ(0, vd_party_call(self->p[i], vd_p_close, 0, 0));
	}
}

TEST_HARNESS_MAIN
