// SPDX-License-Identifier: GPL-2.0
/*
 * Shows the limits per user and in total, the charge to the memory cgroup, and the
 * behaviour when memory is short. Above a limit the request fails; no process is
 * killed and nothing remains allocated.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "memcg.h"
#include "vdiset_test.h"
#include "harness.h"

#define PARAMETERS	"/sys/module/vdiset/parameters/"
#define NOBODY		65534

enum {
	MAX_SETS, MAX_SET_MB, MAX_USER_MB, MAX_TOTAL_MB, MAX_TOTAL_SETS,
	MAX_RING_MB, MAX_PARTIES, N_PARAMS
};

static const char *const param[N_PARAMS] = {
	PARAMETERS "max_sets", PARAMETERS "max_set_mb",
	PARAMETERS "max_user_mb", PARAMETERS "max_total_mb",
	PARAMETERS "max_total_sets", PARAMETERS "max_ring_mb",
	PARAMETERS "max_parties",
};

FIXTURE(limit) {
	char old[N_PARAMS][32];
	struct vd_set s[8];
	int fd;
	uint64_t bytes;
	int sets;
	struct vd_party *other;
};

static int set_param(int which, unsigned long value)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "%lu", value);
	return vd_write_file(param[which], buf);
}

FIXTURE_SETUP(limit)
{
	struct vdiset_info info = vd_info();
	int i;

	for (i = 0; i < 8; i++)
		self->s[i].primary = self->s[i].server = -1;
	self->bytes = vd_bytes_at_rest();
	self->sets = info.out_sets;
	if (geteuid())
		SKIP(return, "not root");
	for (i = 0; i < N_PARAMS; i++) {
		ASSERT_LT(0, vd_read_file(param[i], self->old[i],
					  sizeof(self->old[i])))
			TH_LOG("%s", param[i]);
	}
	self->fd = vd_open();
}

FIXTURE_TEARDOWN(limit)
{
	int i;

	if (self->other)
		vd_party_kill(self->other);
	for (i = 0; i < 8; i++)
		vd_set_down(&self->s[i]);
	close(self->fd);
	for (i = 0; i < N_PARAMS; i++)
		if (self->old[i][0])
			vd_write_file(param[i], self->old[i]);
	EXPECT_EQ(self->sets, vd_wait_sets(self->sets));
	EXPECT_EQ(self->bytes, vd_info().out_total_bytes);
}

/* The limit may be reported by REQUEST_BUFFERS or by END_CONFIG. */
static int area(struct vd_set *s, uint64_t bytes)
{
	int ret = vd_request_buffers(s->server, bytes, NULL);

	return ret ? ret : vd_end_config(s->server);
}

TEST_F(limit, info_reports_limits)
{
	struct vdiset_info info;
	struct stat st;
	int i;

	for (i = 0; i < N_PARAMS; i++) {
		ASSERT_EQ(0, stat(param[i], &st));
		EXPECT_EQ(0644, st.st_mode & 0777);
	}
	ASSERT_EQ(0, set_param(MAX_SETS, 77));
	ASSERT_EQ(0, set_param(MAX_SET_MB, 3));
	ASSERT_EQ(0, set_param(MAX_USER_MB, 5));
	ASSERT_EQ(0, set_param(MAX_TOTAL_MB, 7));
	info = vd_info();
	EXPECT_EQ(77, info.out_max_sets);
	EXPECT_EQ(3 * MIB, info.out_max_set_bytes);
	EXPECT_EQ(5 * MIB, info.out_max_user_bytes);
	EXPECT_EQ(7 * MIB, info.out_max_total_bytes);
	EXPECT_GT(0, vd_write_file(param[MAX_SETS], "many"));
}

TEST_F(limit, sets_of_a_user)
{
	int fd[4], i;

	ASSERT_EQ(0, set_param(MAX_SETS, 3));
	for (i = 0; i < 3; i++) {
		fd[i] = vd_open();
		EXPECT_EQ(0, vd_create(fd[i], NULL, 1));
	}
	fd[3] = vd_open();
	EXPECT_EQ(-EDQUOT, vd_create(fd[3], NULL, 1));
	EXPECT_EQ(-ENOTCONN, vd_state(fd[3]));
	close(fd[0]);
	EXPECT_EQ(0, vd_create(fd[3], NULL, 1));
	close(fd[1]);
	close(fd[2]);
	close(fd[3]);
}

static long be_nobody(struct vd_party *me, long unused, long unused2)
{
	(void)me;
	(void)unused;
	(void)unused2;
	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		return -errno;
	return 0;
}

static long both_roles(struct vd_party *me, long bytes, long unused)
{
	static struct vd_set s;
	int ret = vd_set_up(&s, 1, 4, 0, VDISET_STATE_CONFIGURABLE);

	(void)unused;
	me->set = s.primary;
	return ret ? ret : area(&s, bytes);
}

TEST_F(limit, sets_of_another_user)
{
	ASSERT_EQ(0, set_param(MAX_SETS, 1));
	ASSERT_EQ(0, vd_create(self->fd, NULL, 1));
	self->other = vd_party_start("vd-nobody");
	ASSERT_EQ(0, vd_party_call(self->other, be_nobody, 0, 0));
	strcpy(self->other->name, "nobody's");
	EXPECT_EQ(0, vd_party_call(self->other, vd_p_create, 1, 0));
	strcpy(self->other->name, "nobody's second");
	EXPECT_EQ(-EDQUOT, vd_party_call(self->other, vd_p_create, 1, 0));
}

TEST_F(limit, area_of_a_set)
{
	struct vd_set *s = &self->s[0];
	uint64_t size;

	ASSERT_EQ(0, set_param(MAX_SET_MB, 1));
	ASSERT_EQ(0, vd_set_up(s, 1, 4, 0, VDISET_STATE_CONFIGURABLE));
	EXPECT_EQ(-ENOMEM, area(s, MIB + 1));
	EXPECT_EQ(VDISET_STATE_CONFIGURABLE, vd_state(s->primary));
	EXPECT_EQ(self->bytes, vd_info().out_total_bytes);
	ASSERT_EQ(0, area(s, MIB / 2));
	/* growth counts against the same limit */
	EXPECT_EQ(-ENOMEM, vd_request_buffers(s->server, MIB / 2 + 1, NULL));
	EXPECT_EQ(0, vd_request_buffers(s->server, MIB / 2, &size));
	EXPECT_EQ(MIB, size);
	EXPECT_EQ(-ENOMEM, vd_request_buffers(s->server, 1, NULL));
	EXPECT_EQ(self->bytes + MIB, vd_info().out_total_bytes);
}

/* Requests that exceed the limit only together fail in END_CONFIG at the latest. */
TEST_F(limit, sum_of_requests)
{
	struct vd_set *s = &self->s[0];
	struct vdiset_get_config g;
	int ret = 0, i;

	ASSERT_EQ(0, set_param(MAX_SET_MB, 1));
	ASSERT_EQ(0, vd_set_up(s, 1, 4, 0, VDISET_STATE_CONFIGURABLE));
	for (i = 0; !ret && i < 3; i++)
		ret = vd_request_buffers(s->server, 512 * KIB, NULL);
	if (!ret)
		ret = vd_end_config(s->server);
	EXPECT_EQ(-ENOMEM, ret);
	ASSERT_EQ(VDISET_STATE_CONFIGURABLE, vd_state(s->primary));
	/* after END_CONFIG has failed, all requests are discarded */
	if (i == 3) {
		ASSERT_EQ(0, area(s, 4096));
		ASSERT_EQ(0, vd_get_config(s->primary, 0, 0, &g));
		EXPECT_EQ(4096, g.out_config.buffer_area_size);
	}
}

TEST_F(limit, areas_of_a_user)
{
	int i;

	ASSERT_EQ(0, set_param(MAX_USER_MB, 2 + self->bytes / MIB));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, vd_set_up(&self->s[i], 1, 4, 0,
				       VDISET_STATE_CONFIGURABLE));
	}
	EXPECT_EQ(0, area(&self->s[0], MIB));
	EXPECT_EQ(0, area(&self->s[1], MIB));
	EXPECT_EQ(-EDQUOT, area(&self->s[2], 4096));
	/* user NOBODY has a separate limit */
	self->other = vd_party_start("vd-nobody");
	ASSERT_EQ(0, vd_party_call(self->other, be_nobody, 0, 0));
	EXPECT_EQ(0, vd_party_call(self->other, both_roles, 2 * MIB, 0));
	/* the party inherited the files of the set to be closed */
	vd_party_kill(self->other);
	vd_set_down(&self->s[0]);
	EXPECT_EQ(0, area(&self->s[2], MIB));
}

TEST_F(limit, all_areas)
{
	int i;

	ASSERT_EQ(0, set_param(MAX_TOTAL_MB, 2 + self->bytes / MIB));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, vd_set_up(&self->s[i], 1, 4, 0,
				       VDISET_STATE_CONFIGURABLE));
	}
	EXPECT_EQ(0, area(&self->s[0], MIB));
	EXPECT_EQ(0, area(&self->s[1], MIB));
	EXPECT_EQ(-ENOMEM, area(&self->s[2], 4096));
	self->other = vd_party_start("vd-nobody");
	ASSERT_EQ(0, vd_party_call(self->other, be_nobody, 0, 0));
	EXPECT_EQ(-ENOMEM, vd_party_call(self->other, both_roles, 4096, 0));
	vd_party_kill(self->other);
	vd_set_down(&self->s[1]);
	EXPECT_EQ(0, area(&self->s[2], MIB));
}

/*
 * An area exists as long as a process maps it, and counts against the limit as long:
 * otherwise the limit could be exceeded by closing and creating sets.
 */
TEST_F(limit, mapped_area_still_counts)
{
	char *p;

	ASSERT_EQ(0, vd_set_up(&self->s[0], 1, 4, MIB,
			       VDISET_STATE_INITIALIZING));
	p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED,
		 self->s[0].primary, VDISET_MMAP_AREA);
	ASSERT_NE(MAP_FAILED, p);
	memset(p, 1, MIB);
	vd_set_down(&self->s[0]);
	vd_wait_sets(self->sets);
	EXPECT_EQ(self->bytes + MIB, vd_info().out_total_bytes);
	munmap(p, MIB);
}

/* Is an area made of huge pages, and are they counted as huge pages? */
static bool has_huge_area(void)
{
	FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "r");
	char line[128] = "";

	if (f) {
		if (!fgets(line, sizeof(line), f))
			*line = '\0';
		fclose(f);
	}
	return *line && !strstr(line, "[deny]");
}

/* One byte of a huge page in a pipe keeps the whole page allocated and charged. */
TEST_F(limit, pinned_pages_still_count)
{
	uint64_t size = 8 * MIB;
	int pipes[2], tries;
	char *p, byte[4];
	unsigned int i;

	if (!has_huge_area())
		SKIP(return, "no huge pages for shmem");
	ASSERT_EQ(0, vd_set_up(&self->s[0], 1, 4, size,
			       VDISET_STATE_INITIALIZING));
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
		 self->s[0].primary, VDISET_MMAP_AREA);
	ASSERT_NE(MAP_FAILED, p);
	memset(p, 1, size);
	ASSERT_EQ(0, pipe(pipes));
	for (i = 0; i < 4; i++) {
		struct iovec iov = { p + i * 2 * MIB, 1 };

		ASSERT_EQ(1, vmsplice(pipes[1], &iov, 1, 0));
	}
	munmap(p, size);
	vd_set_down(&self->s[0]);
	vd_wait_sets(self->sets);
	EXPECT_EQ(self->bytes + size, vd_info().out_total_bytes);
	/* pages that were read are freed after some time; the others stay */
	ASSERT_EQ(1, read(pipes[0], byte, 1));
	for (tries = 0; tries < 300 &&
	     vd_info().out_total_bytes == self->bytes + size; tries++)
		usleep(100000);
	EXPECT_EQ(self->bytes + size - 2 * MIB, vd_info().out_total_bytes);
	close(pipes[0]);
	close(pipes[1]);
	for (tries = 0; tries < 300 && vd_info().out_total_bytes != self->bytes;
	     tries++)
		usleep(100000);
	EXPECT_EQ(self->bytes, vd_info().out_total_bytes);
}

/* An observer keeps no memory allocated and does not count as a set of the creator. */
TEST_F(limit, observer_keeps_no_memory)
{
	int observer;

	ASSERT_EQ(0, set_param(MAX_SETS, 1));
	ASSERT_EQ(0, vd_set_up(&self->s[0], 1, 4, MIB,
			       VDISET_STATE_INITIALIZING));
	observer = vd_open();
	ASSERT_EQ(0, vd_attach_id(observer, VDISET_ROLE_OBSERVER,
				  vd_set_id(self->s[0].primary)));
	vd_set_down(&self->s[0]);

	EXPECT_EQ(VDISET_STATE_ABORTED, vd_state(observer));
	EXPECT_EQ(self->bytes, vd_info().out_total_bytes);
	EXPECT_EQ(0, vd_set_up(&self->s[1], 1, 4, MIB,
			       VDISET_STATE_INITIALIZING));
	close(observer);
}

/* max_parties limits how many ended sets a user can keep. */
TEST_F(limit, parties_of_a_user)
{
	int fd[4], i;

	ASSERT_EQ(0, set_param(MAX_PARTIES, 3));
	for (i = 0; i < 4; i++)
		fd[i] = vd_open();
	ASSERT_EQ(0, vd_create(fd[0], NULL, 1));
	ASSERT_EQ(0, vd_attach_fd(fd[1], VDISET_ROLE_SERVER, fd[0]));
	ASSERT_EQ(0, vd_attach_fd(fd[2], VDISET_ROLE_OBSERVER, fd[0]));
	EXPECT_EQ(-EDQUOT, vd_attach_fd(fd[3], VDISET_ROLE_OBSERVER, fd[0]));
	EXPECT_EQ(-EDQUOT, vd_create(fd[3], NULL, 1));
	close(fd[1]);
	EXPECT_EQ(VDISET_STATE_ABORTED, vd_state(fd[2]));
	EXPECT_EQ(0, vd_attach_fd(fd[3], VDISET_ROLE_OBSERVER, fd[0]));
	for (i = 0; i < 4; i++)
		close(fd[i]);
}

static long keep_ended_sets(struct vd_party *me, long most, long unused)
{
	int primary, i, ret = 0;

	(void)me;
	(void)unused;
	for (i = 0; i < most && !ret; i++) {
		primary = vd_open();
		ret = vd_create(primary, NULL, 1);
		if (!ret)
			ret = vd_attach_fd(vd_open(), VDISET_ROLE_OBSERVER,
					   primary);
		close(primary);
	}
	return ret ? ret : i;
}

TEST_F(limit, ended_sets)
{
	ASSERT_EQ(0, set_param(MAX_PARTIES, 100));
	self->other = vd_party_start("vd-nobody");
	ASSERT_EQ(0, vd_party_call(self->other, be_nobody, 0, 0));
	EXPECT_EQ(-EDQUOT, vd_party_call(self->other, keep_ended_sets, 200, 0));
	EXPECT_GE(self->sets + 100, (int)vd_info().out_sets);
	/* other users are not affected */
	EXPECT_EQ(0, vd_create(self->fd, NULL, 1));
}

/* Servers of NOBODY stay in ended sets of root: they are charged to NOBODY. */
TEST_F(limit, ended_sets_of_a_server_are_charged_to_it)
{
	struct vd_party *p[2];
	int i, fd;

	ASSERT_EQ(0, set_param(MAX_SETS, 1));
	ASSERT_EQ(0, set_param(MAX_RING_MB, 10));
	for (i = 0; i < 2; i++) {
		p[i] = vd_party_start("vd-nobody");
		ASSERT_EQ(0, vd_party_call(p[i], be_nobody, 0, 0));
		vd_name(p[i]->name, "stays");
		fd = vd_open();
		ASSERT_EQ(0, vd_create_mode(fd, p[i]->name, 64, 0666));
		ASSERT_EQ(0, vd_party_call(p[i], vd_p_attach,
					   VDISET_ROLE_SERVER, 0));
		ASSERT_EQ(0, vd_party_call(p[i], vd_p_configure,
					   VDISET_MAX_DEPTH, 0));
		/* more than 4 MiB of max_ring_mb=10, charged to the server's user */
		EXPECT_EQ(0, vd_party_call(p[i], vd_p_end_config, 4096, 0));
		close(fd);
	}
	EXPECT_EQ(0, vd_set_up(&self->s[0], 64, VDISET_MAX_DEPTH, 0,
			       VDISET_STATE_INITIALIZING));
	vd_party_kill(p[0]);
	vd_party_kill(p[1]);
}

/* After the server has left, its charge moves to the client, which is NOBODY's. */
TEST_F(limit, charge_moves_to_remaining_client)
{
	struct vd_set *s = self->s;
	char name[64];

	ASSERT_EQ(0, set_param(MAX_USER_MB, 2));
	self->other = vd_party_start("vd-nobody");
	strcpy(self->other->name, vd_name(name, "stays"));
	ASSERT_EQ(0, vd_party_call(self->other, be_nobody, 0, 0));
	ASSERT_EQ(0, vd_party_call(self->other, vd_p_create, 1, 0));
	s[0].server = vd_open();
	ASSERT_EQ(0, vd_attach_of(s[0].server, VDISET_ROLE_SERVER, NOBODY, name));
	ASSERT_EQ(0, vd_configure(s[0].server, 4));
	ASSERT_EQ(0, area(&s[0], 2 * MIB));
	ASSERT_EQ(0, vd_set_up(&s[1], 1, 4, 0, VDISET_STATE_CONFIGURABLE));
	EXPECT_EQ(-EDQUOT, area(&s[1], MIB));

	close(s[0].server);
	s[0].server = -1;
	EXPECT_EQ(self->bytes + 2 * MIB, vd_info().out_total_bytes);
	EXPECT_EQ(0, area(&s[1], 2 * MIB));
	vd_set_down(&s[1]);
	EXPECT_EQ(-EDQUOT, vd_party_call(self->other, both_roles, MIB, 0));
}

/* Forks a process that holds all files that are open now. */
static pid_t hold_files(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

/* A dead party is charged only if no live party is left. */
TEST_F(limit, charge_moves_when_dead_party_is_held)
{
	struct vd_set *s = self->s;
	char name[64];
	pid_t holder;

	ASSERT_EQ(0, set_param(MAX_USER_MB, 2));
	self->other = vd_party_start("vd-nobody");
	strcpy(self->other->name, vd_name(name, "held"));
	ASSERT_EQ(0, vd_party_call(self->other, be_nobody, 0, 0));
	s[0].primary = vd_open();
	ASSERT_EQ(0, vd_create_mode(s[0].primary, name, 1, 0666));
	holder = hold_files();
	ASSERT_LT(0, holder);
	s[0].server = vd_open();
	ASSERT_EQ(0, vd_attach(s[0].server, VDISET_ROLE_SERVER, name));
	ASSERT_EQ(0, vd_configure(s[0].server, 4));
	ASSERT_EQ(0, area(&s[0], 2 * MIB));
	ASSERT_EQ(0, vd_party_call(self->other, vd_p_attach,
				   VDISET_ROLE_SECONDARY, 0));

	close(s[0].primary);
	close(s[0].server);
	s[0].primary = s[0].server = -1;
	EXPECT_EQ(self->bytes + 2 * MIB, vd_info().out_total_bytes);
	ASSERT_EQ(0, vd_set_up(&s[1], 1, 4, 0, VDISET_STATE_CONFIGURABLE));
	EXPECT_EQ(0, area(&s[1], 2 * MIB));
	vd_set_down(&s[1]);
	EXPECT_EQ(-EDQUOT, vd_party_call(self->other, both_roles, MIB, 0));

	vd_party_kill(self->other);
	self->other = NULL;
	ASSERT_EQ(0, vd_set_up(&s[1], 1, 4, 0, VDISET_STATE_CONFIGURABLE));
	EXPECT_EQ(-EDQUOT, area(&s[1], MIB));
	kill(holder, SIGKILL);
	EXPECT_EQ(holder, waitpid(holder, NULL, 0));
}

static long own_namespace(struct vd_party *me, long unused, long unused2)
{
	(void)me;
	(void)unused;
	(void)unused2;
	return unshare(CLONE_NEWUSER) ? -errno : 0;
}

static long be_its_root(struct vd_party *me, long unused, long unused2)
{
	(void)me;
	(void)unused;
	(void)unused2;
	return setresuid(0, 0, 0) ? -errno : 0;
}

/* Subordinate ids in a user namespace count as the user who created it. */
TEST_F(limit, subordinate_ids)
{
	char path[64];

	ASSERT_EQ(0, set_param(MAX_SETS, 1));
	self->other = vd_party_start("vd-nobody");
	ASSERT_EQ(0, vd_party_call(self->other, be_nobody, 0, 0));
	vd_name(self->other->name, "mine");
	EXPECT_EQ(0, vd_party_call(self->other, vd_p_create, 1, 0));
	if (vd_party_call(self->other, own_namespace, 0, 0))
		SKIP(return, "no user namespaces");
	snprintf(path, sizeof(path), "/proc/%d/uid_map", self->other->pid);
	ASSERT_EQ(0, vd_write_file(path, "0 100000 10\n"));
	ASSERT_EQ(0, vd_party_call(self->other, be_its_root, 0, 0));
	vd_name(self->other->name, "as another");
	EXPECT_EQ(-EDQUOT, vd_party_call(self->other, vd_p_create, 1, 0));
	ASSERT_EQ(0, set_param(MAX_SETS, 2));
	EXPECT_EQ(0, vd_party_call(self->other, vd_p_create, 1, 0));
}

TEST_F(limit, sets_of_all_users)
{
	int fd = vd_open();
	char name[64];

	ASSERT_EQ(0, set_param(MAX_TOTAL_SETS, self->sets + 1));
	ASSERT_EQ(0, vd_create(self->fd, vd_name(name, "first"), 1));
	EXPECT_EQ(-EDQUOT, vd_create(fd, vd_name(name, "second"), 1));
	close(fd);
}

/* The rings of 64 devices of the largest depth exceed 4 MiB. */
TEST_F(limit, rings)
{
	ASSERT_EQ(0, set_param(MAX_RING_MB, 4));
	ASSERT_EQ(0, vd_set_up(&self->s[0], 64, VDISET_MAX_DEPTH, 0,
			       VDISET_STATE_CONFIGURABLE));
	EXPECT_EQ(-EDQUOT, vd_end_config(self->s[0].server));
	EXPECT_EQ(VDISET_STATE_CONFIGURABLE, vd_state(self->s[0].server));
	ASSERT_EQ(0, set_param(MAX_RING_MB, 5));
	EXPECT_EQ(0, vd_end_config(self->s[0].server));
	vd_set_down(&self->s[0]);
	vd_wait_sets(self->sets);

	/* the rings of the first set are no longer charged */
	ASSERT_EQ(0, vd_set_up(&self->s[1], 64, VDISET_MAX_DEPTH, 0,
			       VDISET_STATE_INITIALIZING));
}

/* RLIMIT_FSIZE must not kill the server with a signal. */
TEST_F(limit, size_of_files)
{
	struct rlimit old, limit;

	ASSERT_EQ(0, getrlimit(RLIMIT_FSIZE, &old));
	limit = old;
	limit.rlim_cur = MIB - 1;
	ASSERT_EQ(0, vd_set_up(&self->s[0], 1, 4, MIB,
			       VDISET_STATE_CONFIGURABLE));
	ASSERT_EQ(0, vd_request_buffers(self->s[0].server, MIB, NULL));
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	EXPECT_EQ(-ENOMEM, vd_end_config(self->s[0].server));
	setrlimit(RLIMIT_FSIZE, &old);
}

/*
 * Memory shortage
 */
static long vmstat(const char *field)
{
	FILE *f = fopen("/proc/vmstat", "r");
	size_t len = strlen(field);
	char line[128];
	long value = -1;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, field, len) && line[len] == ' ')
			value = strtol(line + len, NULL, 10);
	if (f)
		fclose(f);
	return value;
}

TEST_F(limit, larger_than_memory)
{
	struct vd_set *s = &self->s[0];
	long total = vd_meminfo("MemTotal") + vd_meminfo("SwapTotal");
	long killed = vmstat("oom_kill"), free = vd_meminfo("MemFree");
	int64_t t;

	if (total > 8 * 1024 * 1024)
		SKIP(return, "too much memory for this test");
	ASSERT_EQ(0, set_param(MAX_SET_MB, 1 << 20));
	ASSERT_EQ(0, set_param(MAX_USER_MB, 1 << 20));
	ASSERT_EQ(0, set_param(MAX_TOTAL_MB, 1 << 20));
	ASSERT_EQ(0, vd_set_up(s, 1, 4, 0, VDISET_STATE_CONFIGURABLE));
	t = vd_now();
	EXPECT_EQ(-ENOMEM, area(s, total * 1024ULL));
	TH_LOG("refused after %lld ms", (long long)((vd_now() - t) / MS));
	EXPECT_EQ(killed, vmstat("oom_kill"));
	EXPECT_EQ(VDISET_STATE_CONFIGURABLE, vd_state(s->primary));
	EXPECT_EQ(self->bytes, vd_info().out_total_bytes);
	/* the memory is freed: half of what was free must be free again */
	EXPECT_LT(free / 2, vd_meminfo("MemFree"));
	EXPECT_EQ(0, area(s, MIB));
}

static long grow(struct vd_party *me, long bytes, long unused)
{
	(void)unused;
	return vd_request_buffers(me->set, bytes, NULL);
}

/*
 * The memory cgroup
 */
#define GROUP_MAX	(32 * MIB)

FIXTURE(memcg) {
	struct vd_memcg group;
	struct vd_party *server;
	struct vd_set s;
};

FIXTURE_SETUP(memcg)
{
	char buf[32];

	self->s.primary = self->s.server = -1;
	if (geteuid())
		SKIP(return, "not root");
	if (vd_memcg_find(&self->group))
		SKIP(return, "no memory controller in cgroup2");
	vd_name(self->s.name, "memcg");
	if (vd_memcg_make(&self->group, self->s.name))
		SKIP(return, "no cgroup");
	snprintf(buf, sizeof(buf), "%llu", GROUP_MAX);
	ASSERT_EQ(0, vd_memcg_write(&self->group, "memory.max", buf));
	vd_memcg_write(&self->group, "memory.swap.max", "0");

	self->s.primary = vd_open();
	ASSERT_EQ(0, vd_create(self->s.primary, self->s.name, 1));
	self->server = vd_party_start("vd-server");
	ASSERT_NE(NULL, self->server);
	strcpy(self->server->name, self->s.name);
	ASSERT_EQ(0, vd_memcg_add(&self->group, self->server->pid));
	ASSERT_EQ(0, vd_party_call(self->server, vd_p_attach,
				   VDISET_ROLE_SERVER, 0));
	ASSERT_EQ(0, vd_party_call(self->server, vd_p_configure, 4, 0));
}

FIXTURE_TEARDOWN(memcg)
{
	if (self->server)
		vd_party_kill(self->server);
	vd_set_down(&self->s);
	EXPECT_EQ(0, vd_memcg_remove(&self->group));
	vd_memcg_lose(&self->group);
}

TEST_F(memcg, request_fails_without_oom_kill)
{
	if (!self->server)
		SKIP(return, "no memory controller in cgroup2");
	EXPECT_EQ(-ENOMEM, vd_party_call(self->server, vd_p_end_config,
					 2 * GROUP_MAX, 0));
	EXPECT_EQ(0, vd_memcg_read(&self->group, "memory.events", "oom_kill "));
	EXPECT_EQ(VDISET_STATE_CONFIGURABLE, vd_state(self->s.primary));
	EXPECT_GT(GROUP_MAX / 2, vd_memcg_read(&self->group, "memory.current", NULL));
	/* a smaller request succeeds and is charged to the server */
	EXPECT_EQ(0, vd_party_call(self->server, vd_p_end_config,
				   GROUP_MAX / 2, 0));
	EXPECT_LE(GROUP_MAX / 2, vd_memcg_read(&self->group, "memory.current", NULL));
	EXPECT_EQ(0, vd_memcg_read(&self->group, "memory.events", "oom_kill "));
}

static long touch(struct vd_party *me, long bytes, long unused)
{
	(void)unused;
	memset(me->area, 1, bytes);
	return 0;
}

/* The same for growth. A process that touches the area is not charged or killed. */
TEST_F(memcg, growth)
{
	if (!self->server)
		SKIP(return, "no memory controller in cgroup2");
	ASSERT_EQ(0, vd_party_call(self->server, vd_p_end_config,
				   GROUP_MAX / 2, 0));
	EXPECT_EQ(-ENOMEM, vd_party_call(self->server, grow, GROUP_MAX, 0));
	EXPECT_EQ(VDISET_STATE_INITIALIZING, vd_state(self->s.primary));
	ASSERT_EQ(0, vd_party_call(self->server, vd_p_map_area, GROUP_MAX / 2, 0));
	EXPECT_EQ(0, vd_party_call(self->server, touch, GROUP_MAX / 2, 0));
	EXPECT_EQ(0, vd_memcg_read(&self->group, "memory.events", "oom_kill "));
	EXPECT_EQ(0, vd_party_call(self->server, grow, 4096, 0));
}

TEST_F(memcg, charge_ends_with_the_set)
{
	int64_t end = vd_now() + VD_HANG;

	if (!self->server)
		SKIP(return, "no memory controller in cgroup2");
	ASSERT_EQ(0, vd_party_call(self->server, vd_p_end_config,
				   GROUP_MAX / 2, 0));
	vd_party_kill(self->server);
	vd_set_down(&self->s);
	while (vd_memcg_read(&self->group, "memory.current", NULL) > (long)MIB &&
	       vd_now() < end)
		vd_sleep_ms(20);
	EXPECT_GE(MIB, vd_memcg_read(&self->group, "memory.current", NULL));
}

/* Allocates more than the limit of the group; never returns. */
static long eat(struct vd_party *me, long bytes, long unused)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)me;
	(void)unused;
	if (p == MAP_FAILED)
		return -errno;
	memset(p, 1, bytes);
	return 0;
}

/* A party that the OOM killer kills has died like any other. */
TEST_F(memcg, killed_party)
{
	struct vd_party *client = vd_party_start("vd-secondary");
	struct vd_sleeper *wait, *poll;
	struct vdiset_status st;
	int status;

	if (!self->server)
		SKIP(return, "no memory controller in cgroup2");
	ASSERT_NE(NULL, client);
	strcpy(client->name, self->s.name);
	ASSERT_EQ(0, vd_party_call(self->server, vd_p_end_config,
				   GROUP_MAX / 4, 0));
	ASSERT_EQ(0, vd_party_call(self->server, vd_p_map_area, GROUP_MAX / 4, 0));
	ASSERT_EQ(0, vd_party_call(self->server, touch, GROUP_MAX / 4, 0));
	ASSERT_EQ(0, vd_party_call(client, vd_p_attach,
				   VDISET_ROLE_SECONDARY, 0));
	ASSERT_EQ(0, vd_party_call(self->server, vd_p_open_device, 0, 0));
	ASSERT_EQ(0, vd_party_call(client, vd_p_open_device, 0, 0));
	wait = vd_party_sleep(client, VD_SLEEP_DEVICE_WAIT, 0);
	poll = vd_party_sleep(client, VD_SLEEP_POLL_SET, 0);
	ASSERT_NE(NULL, wait);
	ASSERT_NE(NULL, poll);

	ASSERT_EQ(0, vd_party_post(self->server, eat, 2 * GROUP_MAX, 0));
	status = vd_party_reap(self->server);
	if (status == -1)
		TH_LOG("result %ld, group usage %ld bytes",
		       vd_party_finish(self->server, 0),
		       vd_memcg_read(&self->group, "memory.current", NULL));
	ASSERT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGKILL, WTERMSIG(status));
	EXPECT_LE(1, vd_memcg_read(&self->group, "memory.events", "oom_kill "));

	/* the death is detected before the process can be waited for */
	ASSERT_EQ(0, vd_status(self->s.primary, &st));
	EXPECT_EQ(VDISET_STATE_ABORTED, st.out_state);
	EXPECT_EQ(VDISET_REASON_DIED, st.out_abort.reason);
	EXPECT_EQ(VDISET_ROLE_SERVER, st.out_abort.by.role);
	EXPECT_EQ(self->server->pid, st.out_abort.by.pid);
	EXPECT_TRUE(vd_sleeper_join(wait, VD_HANG));
	EXPECT_EQ(-ECANCELED, wait->ret);
	EXPECT_TRUE(vd_sleeper_join(poll, VD_HANG));
	EXPECT_EQ(POLLERR | POLLHUP, poll->ret);
	EXPECT_EQ(0, vd_party_call(client, vd_p_close, 0, 0));
	vd_party_kill(client);
}

TEST_HARNESS_MAIN
