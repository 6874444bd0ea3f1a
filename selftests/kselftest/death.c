// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that the death of a party is detected in each role, at each stage and for
 * each cause: the set is aborted before the process has ended or close(2) returns, the
 * calls of the other parties report which party died, and no set or memory remains.
 */
#define _GNU_SOURCE
#include "memcg.h"
#include "vdiset_test.h"
#include "harness.h"

#define AREA	MIB

enum who { PRIMARY, SERVER, SECONDARY, N_PARTIES };

enum stage {
	ATTACHED,	/* earliest stage of the role */
	CONNECTED,
	CONFIGURABLE,
	INITIALIZING,
	IDLE,		/* ACTIVE, the victim does nothing */
	BLOCKED,	/* a thread of the victim sleeps in the kernel */
	MID_COMMAND,	/* commands are outstanding */
};

enum way {
	KILL,
	STOP_KILL,	/* SIGKILL while it is stopped */
	OOM_KILL,	/* by the OOM killer, in a memory cgroup */
	EXIT,
	CLOSE,		/* the set file */
	CLOSE_DEVICE,
	EXEC,
	KILL_WITH_CHILD, /* a forked child has all descriptors and mappings */
	CLOSE_WITH_CHILD,
};

FIXTURE(death) {
	struct vd_party *p[N_PARTIES];
	struct vd_sleeper *s[32];
	int n;
	int fd;
	int sets;
	uint64_t bytes;
	uint64_t id;
	pid_t forked_child;
	struct vd_memcg group;	/* of the victim, for OOM_KILL */
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
	DEATH(who, stage, STOP_KILL) DEATH(who, stage, OOM_KILL) \
	DEATH(who, stage, CLOSE) DEATH(who, stage, EXEC) \
	DEATH(who, stage, KILL_WITH_CHILD)
#define LATE(who, stage) \
	EARLY(who, stage) DEATH(who, stage, CLOSE_DEVICE) \
	DEATH(who, stage, CLOSE_WITH_CHILD)
#define ALL_PARTIES(how, stage) \
	how(PRIMARY, stage) how(SERVER, stage) how(SECONDARY, stage)

EARLY(PRIMARY, ATTACHED)
EARLY(PRIMARY, CONNECTED)
EARLY(SERVER, CONNECTED)
EARLY(PRIMARY, CONFIGURABLE)
EARLY(SERVER, CONFIGURABLE)
ALL_PARTIES(EARLY, INITIALIZING)
ALL_PARTIES(LATE, IDLE)
ALL_PARTIES(LATE, BLOCKED)
ALL_PARTIES(LATE, MID_COMMAND)

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
	self->fd = vd_open();
	self->sets = info(self->fd, &self->bytes);
	ASSERT_LE(0, self->sets);
	self->bytes = vd_bytes_at_rest();
	if (variant->way == OOM_KILL && vd_memcg_find(&self->group))
		SKIP(return, "no memory controller in cgroup2");
}

/* Before the party does anything, so that all its memory is charged to the group. */
static int group_victim(FIXTURE_DATA(death) *self, enum who who)
{
	int ret = vd_memcg_make(&self->group, self->p[who]->name);

	return ret ? ret : vd_memcg_add(&self->group, self->p[who]->pid);
}

static int start_parties(FIXTURE_DATA(death) *self)
{
	char name[64];
	int i;

	self->n = 0;
	self->forked_child = 0;
	vd_name(name, "death");
	for (i = 0; i < N_PARTIES; i++) {
		self->p[i] = vd_party_start(comm[i]);
		if (!self->p[i])
			return -ENOMEM;
		strcpy(self->p[i]->name, name);
	}
	return 0;
}

/* 0 or -errno */
static int end_parties(FIXTURE_DATA(death) *self)
{
	int i;

	/* it is a child of the party, so the test cannot wait for it */
	if (self->forked_child > 0)
		kill(self->forked_child, SIGKILL);
	for (i = 0; i < N_PARTIES; i++)
		if (self->p[i])
			vd_party_kill(self->p[i]);
	close(self->fd);
	self->fd = vd_open();
	return vd_memcg_remove(&self->group);
}

FIXTURE_TEARDOWN(death)
{
	int64_t end = vd_now() + VD_HANG;
	uint64_t bytes;

	EXPECT_EQ(0, end_parties(self));
	vd_memcg_lose(&self->group);
	EXPECT_EQ(self->sets, vd_wait_sets(self->sets));
	while (info(self->fd, &bytes) >= 0 && bytes != self->bytes &&
	       vd_now() < end)
		vd_sleep_ms(5);
	EXPECT_EQ(self->bytes, bytes);
	EXPECT_EQ(0, vd_listed(self->fd, self->id));
	close(self->fd);
}

/* The primary opens device 0, the secondary device 1. */
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

/* All parties except the victim sleep, in every call that the stage permits. */
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
 * Actions of the victim
 */
static long get_command(struct vd_party *me, long index, long unused)
{
	struct vdiset_command c;

	(void)unused;
	return vd_get(&me->dev[index], &c, 0, VD_HANG);
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

static long fork_child(struct vd_party *me, long a, long b)
{
	pid_t pid = fork();

	(void)me;
	(void)a;
	(void)b;
	if (!pid) {
		alarm(1200);
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

/*
 * EXEC: the process stays alive and runs another program, so that the exec and not
 * its exit is detected. The program is this one, linked statically and copied to
 * memory beforehand: the delay of a disk or a loader is not part of the death.
 */
#define SLEEPER	"VDISET_TEST_SLEEPER=1"

static void __attribute__((constructor(101))) sleeper(void)
{
	if (!getenv("VDISET_TEST_SLEEPER"))
		return;
	alarm(1200);
	for (;;)
		pause();
}

static long prepare_exec(struct vd_party *me, long a, long b)
{
	static char buf[65536];
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int mem = memfd_create("sleeper", MFD_CLOEXEC);
	ssize_t n;

	(void)me;
	(void)a;
	(void)b;
	if (fd < 0 || mem < 0)
		return -errno;
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (write(mem, buf, n) != n)
			return -EIO;
	close(fd);
	return mem;
}

static long do_exec(struct vd_party *me, long fd, long b)
{
	char *argv[] = { "sleeper", NULL }, *envp[] = { SLEEPER, NULL };

	(void)me;
	(void)b;
	fexecve(fd, argv, envp);
	return -errno;
}

/* Waits until the process has ended, and leaves its status to vd_party_reap(). */
static bool has_ended(pid_t pid)
{
	int64_t end = vd_now() + VD_HANG;
	siginfo_t info = { .si_pid = 0 };

	while (!waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) &&
	       info.si_pid != pid && vd_now() < end)
		vd_sleep_ms(1);
	return info.si_pid == pid;
}

/*
 * Returns when the process has ended or has closed the file, which is when the other
 * parties must have been notified; after exec, immediately.
 */
static bool die(FIXTURE_DATA(death) *self, enum who who, enum way way, long file)
{
	struct vd_party *p = self->p[who];

	switch (way) {
	case KILL:
	case STOP_KILL:
	case KILL_WITH_CHILD:
		kill(p->pid, SIGKILL);
		return has_ended(p->pid);
	case OOM_KILL:
		vd_memcg_kill(&self->group);
		return has_ended(p->pid);
	case EXIT:
		vd_party_post(p, do_exit, 0, 0);
		return has_ended(p->pid);
	case CLOSE:
	case CLOSE_WITH_CHILD:
		return !vd_party_call(p, do_close, -1, 0);
	case CLOSE_DEVICE:
		return !vd_party_call(p, do_close, device_of(who), 0);
	case EXEC:
		vd_party_post(p, do_exec, file, 0);
		break;
	}
	return true;
}

/* Brings a set to the stage and kills the victim; result as of vd_last_return(). */
static int64_t one_death(FIXTURE_DATA(death) *self,
			 const FIXTURE_VARIANT(death) *variant)
{
	struct vd_party *victim;
	int64_t t, seen, took;
	long ret, file = -1;

	ret = start_parties(self);
	if (!ret && variant->way == OOM_KILL)
		ret = group_victim(self, variant->who);
	if (!ret)
		ret = reach(self, variant->stage);
	if (!ret && variant->stage == MID_COMMAND)
		ret = send_commands(self);
	if (!ret)
		ret = others_sleep(self, variant->who, variant->stage);
	if (ret)
		return -1000;
	victim = self->p[variant->who];
	if (variant->stage == BLOCKED &&
	    !vd_party_sleep(victim, VD_SLEEP_DEVICE_WAIT, device_of(variant->who)))
		return -1001;
	if (variant->way == KILL_WITH_CHILD || variant->way == CLOSE_WITH_CHILD) {
		self->forked_child = vd_party_call(victim, fork_child, 0, 0);
		if (self->forked_child <= 0)
			return -1002;
	}
	if (variant->way == EXEC) {
		file = vd_party_call(victim, prepare_exec, 0, 0);
		if (file < 0)
			return -1004;
	}

	if (variant->way == STOP_KILL) {
		kill(victim->pid, SIGSTOP);
		vd_sleep_ms(20);
	}

	t = vd_now();
	if (!die(self, variant->who, variant->way, file))
		return -1005;
	if (variant->way != EXEC && vd_state(self->fd) != VDISET_STATE_ABORTED)
		return -1006;
	/* no thread may be waiting: check the state through the observer as well */
	while (vd_state(self->fd) != VDISET_STATE_ABORTED) {
		if (vd_now() > t + VD_HANG)
			return -1003;
	}
	seen = vd_now() - t;
	took = vd_last_return(self->s, self->n, t);
	return took >= 0 && took < seen ? seen : took;
}

TEST_F(death, is_detected)
{
	struct vd_party *victim;
	struct vdiset_status st;
	int64_t took = -1;
	int i;

	if (variant->way == OOM_KILL && !self->group.root[0])
		SKIP(return, "no memory controller in cgroup2");
	took = one_death(self, variant);
	ASSERT_LE(0, took);
	TH_LOG("detected after %lld us", (long long)took / 1000);
	victim = self->p[variant->who];

	ASSERT_EQ(0, vd_status(self->fd, &st));
	EXPECT_EQ(VDISET_STATE_ABORTED, st.out_state);
	EXPECT_EQ(VDISET_REASON_DIED, st.out_abort.reason);
	EXPECT_EQ(role[variant->who], st.out_abort.by.role);
	EXPECT_EQ(victim->pid, st.out_abort.by.pid);
	EXPECT_EQ(geteuid(), st.out_abort.by.uid);
	EXPECT_STREQ(comm[variant->who], st.out_abort.by.comm);
	EXPECT_EQ(0, st.out_abort.code);
	EXPECT_STREQ("", st.out_abort.text);

	/* the other parties report the same record, and CLOSE succeeds */
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
