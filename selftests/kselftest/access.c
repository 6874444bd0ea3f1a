// SPDX-License-Identifier: GPL-2.0
/*
 * Shows which users may see, join and create a set, by owner, group, mode,
 * capability and user namespace. Must run as root; the parties change their user.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "vdiset_test.h"
#include "harness.h"

#define NOBODY	65534
#define ALICE	50001	/* an id without a passwd entry is sufficient */
#define STAFF	50010

/* sets uid and gid, without supplementary groups */
static long become(struct vd_party *me, long uid, long gid)
{
	(void)me;
	if (setgroups(0, NULL) || setresgid(gid, gid, gid) ||
	    setresuid(uid, uid, uid))
		return -errno;
	return 0;
}

static long attach_by_name(struct vd_party *me, long role, long unused)
{
	int ret;

	(void)unused;
	me->set = vd_open();
	ret = vd_attach(me->set, role, me->name);
	if (ret)
		close(me->set);
	return ret;
}

static long attach_by_id(struct vd_party *me, long role, long id)
{
	int ret;

	me->set = vd_open();
	ret = vd_attach_id(me->set, role, id);
	if (ret)
		close(me->set);
	return ret;
}

static long lists(struct vd_party *me, long id, long unused)
{
	int fd = vd_open();
	int ret = vd_listed(fd, id);

	(void)me;
	(void)unused;
	close(fd);
	return ret;
}

/*
 * Permission to see and to join: {owner, member of the group, other} x mode
 */
enum is { OWNER, MEMBER, OTHER };

FIXTURE(mode) {
	int fd;
	uint64_t id;
	struct vd_party *p;
};

FIXTURE_VARIANT(mode) {
	enum is is;
	unsigned int mode;
	bool sees;
	bool joins;
};

#define MODE(name, ...) FIXTURE_VARIANT_ADD(mode, name) { __VA_ARGS__ }

MODE(owner_0600, OWNER, 0600, true, true);
MODE(owner_0400, OWNER, 0400, true, false);
MODE(owner_0000, OWNER, 0000, false, false);
/* as for files, only the owner's bits apply to the owner */
MODE(owner_0066, OWNER, 0066, false, false);
MODE(member_0660, MEMBER, 0660, true, true);
MODE(member_0640, MEMBER, 0640, true, false);
MODE(member_0600, MEMBER, 0600, false, false);
MODE(member_0606, MEMBER, 0606, false, false);
MODE(other_0666, OTHER, 0666, true, true);
MODE(other_0664, OTHER, 0664, true, false);
MODE(other_0660, OTHER, 0660, false, false);
MODE(other_0600, OTHER, 0600, false, false);
/* execute bits are accepted and grant nothing */
MODE(other_0711, OTHER, 0711, false, false);

FIXTURE_SETUP(mode)
{
	struct vdiset_create c = {
		.size = sizeof(c), .mode = variant->mode,
		.uid = ALICE, .gid = STAFF, .config.device_count = 1,
	};

	if (geteuid())
		SKIP(return, "not root");
	self->p = vd_party_start("vd-other");
	ASSERT_NE(NULL, self->p);
	c.name = (uintptr_t)vd_name(self->p->name, "mode");
	c.name_len = strlen(self->p->name);
	self->fd = vd_open();
	ASSERT_EQ(0, vd_ioctl(self->fd, VDISET_CREATE, &c));
	self->id = c.out_id;
	ASSERT_EQ(0, vd_party_call(self->p, become,
				   variant->is == OWNER ? ALICE : NOBODY,
				   variant->is == MEMBER ? STAFF : NOBODY));
}

FIXTURE_TEARDOWN(mode)
{
	if (self->p)
		vd_party_kill(self->p);
	close(self->fd);
}

TEST_F(mode, join)
{
	int want = variant->joins ? 0 : variant->sees ? -EACCES : -ENOENT;

	if (!self->p)
		SKIP(return, "not root");
	EXPECT_EQ(want, vd_party_call(self->p, attach_by_name,
				      VDISET_ROLE_SERVER, 0));
	EXPECT_EQ(variant->joins ? VDISET_STATE_CONNECTED : VDISET_STATE_CREATED,
		  vd_state(self->fd));
}

TEST_F(mode, join_by_number)
{
	int want = variant->joins ? 0 : variant->sees ? -EACCES : -ENOENT;

	if (!self->p)
		SKIP(return, "not root");
	EXPECT_EQ(want, vd_party_call(self->p, attach_by_id,
				      VDISET_ROLE_SERVER, self->id));
}

TEST_F(mode, list)
{
	if (!self->p)
		SKIP(return, "not root");
	EXPECT_EQ(variant->sees, vd_party_call(self->p, lists, self->id, 0));
	/* root sees every set */
	EXPECT_EQ(1, vd_listed(self->fd, self->id));
}

static long set_rate(struct vd_party *me, long rate, long unused)
{
	(void)unused;
	return vd_set_rate(me->set, rate);
}

/* An observer needs read permission for STATUS, write permission for what it changes. */
TEST_F(mode, observe)
{
	if (!self->p)
		SKIP(return, "not root");
	EXPECT_EQ(variant->sees ? 0 : -ENOENT,
		  vd_party_call(self->p, attach_by_name,
				VDISET_ROLE_OBSERVER, 0));
	if (!variant->sees)
		return;
	EXPECT_EQ(0, vd_party_call(self->p, vd_p_status, 0, 0));
	EXPECT_EQ(ALICE, self->p->out.status.out_uid);
	EXPECT_EQ(STAFF, self->p->out.status.out_gid);
	EXPECT_EQ(variant->mode, self->p->out.status.out_mode);
	EXPECT_EQ(variant->joins ? 0 : -EACCES,
		  vd_party_call(self->p, set_rate, 50, 0));
	EXPECT_EQ(0, vd_party_call(self->p, vd_p_status, 0, 0));
	EXPECT_EQ(variant->joins ? 50 : 0, self->p->out.status.out_rate);
	EXPECT_EQ(variant->joins ? 0 : -EACCES,
		  vd_party_call(self->p, vd_p_abort, VDISET_REASON_SIGNAL, 0));
	EXPECT_EQ(variant->joins ? VDISET_STATE_ABORTED : VDISET_STATE_CREATED,
		  vd_state(self->fd));
}

/*
 * CREATE for other users, and joining by file, name and creator
 */
FIXTURE(access) {
	struct vd_party *p;
	int fd;
};

FIXTURE_SETUP(access)
{
	if (geteuid())
		SKIP(return, "not root");
	self->fd = vd_open();
	self->p = vd_party_start("vd-nobody");
	ASSERT_NE(NULL, self->p);
	vd_name(self->p->name, "access");
}

FIXTURE_TEARDOWN(access)
{
	if (self->p)
		vd_party_kill(self->p);
	close(self->fd);
}

static long create_for(struct vd_party *me, long uid, long gid)
{
	struct vdiset_create c = {
		.size = sizeof(c), .mode = 0600, .uid = uid, .gid = gid,
		.config.device_count = 1,
	};
	int ret;

	me->set = vd_open();
	ret = vd_ioctl(me->set, VDISET_CREATE, &c);
	if (!ret)
		ret = vd_status(me->set, &me->out.status);
	close(me->set);
	return ret;
}

TEST_F(access, create_for_another)
{
	struct vdiset_status *st;

	if (!self->p)
		SKIP(return, "not root");
	st = &self->p->out.status;
	EXPECT_EQ(0, vd_party_call(self->p, create_for, ALICE, STAFF));
	EXPECT_EQ(ALICE, st->out_uid);
	EXPECT_EQ(STAFF, st->out_gid);
	ASSERT_EQ(0, vd_party_call(self->p, become, NOBODY, NOBODY));
	EXPECT_EQ(-EPERM, vd_party_call(self->p, create_for, ALICE, -1));
	EXPECT_EQ(-EPERM, vd_party_call(self->p, create_for, 0, -1));
	EXPECT_EQ(-EPERM, vd_party_call(self->p, create_for, -1, STAFF));
	EXPECT_EQ(-EPERM, vd_party_call(self->p, create_for, -1, 0));
	/* the caller's own user and group are permitted */
	EXPECT_EQ(0, vd_party_call(self->p, create_for, NOBODY, NOBODY));
	EXPECT_EQ(0, vd_party_call(self->p, create_for, -1, -1));
	EXPECT_EQ(NOBODY, st->out_uid);
	EXPECT_EQ(NOBODY, st->out_gid);
}

static long member_becomes(struct vd_party *me, long uid, long gid)
{
	gid_t g = gid;

	(void)me;
	if (setgroups(1, &g) || setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(uid, uid, uid))
		return -errno;
	return 0;
}

/* A supplementary group may own a set, and admits its members. */
TEST_F(access, supplementary_group)
{
	struct vdiset_create c = {
		.size = sizeof(c), .mode = 0060, .uid = ALICE, .gid = STAFF,
		.config.device_count = 1,
	};

	if (!self->p)
		SKIP(return, "not root");
	c.name = (uintptr_t)self->p->name;
	c.name_len = strlen(self->p->name);
	ASSERT_EQ(0, vd_ioctl(self->fd, VDISET_CREATE, &c));
	ASSERT_EQ(0, vd_party_call(self->p, member_becomes, NOBODY, STAFF));
	EXPECT_EQ(0, vd_party_call(self->p, create_for, -1, STAFF));
	EXPECT_EQ(0, vd_party_call(self->p, attach_by_name,
				   VDISET_ROLE_SERVER, 0));
}

static int shared_file = -1;

static long attach_by_fd(struct vd_party *me, long role, long unused)
{
	(void)unused;
	me->set = vd_open();
	return vd_attach_fd(me->set, role, shared_file);
}

/* A bound file admits its holder regardless of the mode. */
TEST_F(access, by_file_regardless_of_mode)
{
	if (!self->p)
		SKIP(return, "not root");
	vd_party_kill(self->p);
	ASSERT_EQ(0, vd_create_mode(self->fd, NULL, 1, 0));
	shared_file = self->fd;
	/* started here, so that it inherits the file */
	self->p = vd_party_start("vd-holder");
	ASSERT_EQ(0, vd_party_call(self->p, become, NOBODY, NOBODY));
	EXPECT_EQ(-ENOENT, vd_party_call(self->p, attach_by_id,
					 VDISET_ROLE_SERVER, vd_set_id(self->fd)));
	EXPECT_EQ(0, vd_party_call(self->p, attach_by_fd,
				   VDISET_ROLE_SERVER, 0));
	EXPECT_EQ(VDISET_STATE_CONNECTED, vd_state(self->fd));
}

/* Permissions are checked when a process joins, not later. */
static long attach_then_become(struct vd_party *me, long uid, long gid)
{
	long ret = attach_by_name(me, VDISET_ROLE_SERVER, 0);

	return ret ? ret : become(me, uid, gid);
}

TEST_F(access, access_kept_after_joining)
{
	struct vdiset_status st;

	if (!self->p)
		SKIP(return, "not root");
	ASSERT_EQ(0, vd_create(self->fd, self->p->name, 1));
	ASSERT_EQ(0, vd_party_call(self->p, attach_then_become, NOBODY, NOBODY));
	EXPECT_EQ(0, vd_party_call(self->p, vd_p_configure, 4, 0));
	EXPECT_EQ(0, vd_party_call(self->p, vd_p_end_config, 4096, 0));
	ASSERT_EQ(0, vd_status(self->fd, &st));
	EXPECT_EQ(0, st.out_server.uid);
	EXPECT_EQ(0, vd_party_call(self->p, vd_p_abort, VDISET_REASON_SIGNAL, 0));
}

/*
 * Names belong to users
 */
static long attach_of(struct vd_party *me, long role, long creator)
{
	int ret;

	me->set = vd_open();
	ret = vd_attach_of(me->set, role, creator, me->name);
	if (!ret)
		ret = vd_status(me->set, &me->out.status);
	close(me->set);
	return ret;
}

/* A set of root that another user cannot see does not reserve its name. */
TEST_F(access, same_name_of_two_users)
{
	struct vdiset_status st;
	int fd = vd_open();

	if (!self->p)
		SKIP(return, "not root");
	ASSERT_EQ(0, vd_create(self->fd, self->p->name, 1));
	ASSERT_EQ(0, vd_party_call(self->p, become, NOBODY, NOBODY));
	ASSERT_EQ(0, vd_party_call(self->p, vd_p_create, 1, 0));
	/* a live set of the same user does */
	EXPECT_EQ(-EEXIST, vd_create(fd, self->p->name, 1));
	/* each set is found under its creator */
	ASSERT_EQ(0, vd_attach_of(fd, VDISET_ROLE_OBSERVER, NOBODY,
				  self->p->name));
	ASSERT_EQ(0, vd_status(fd, &st));
	EXPECT_EQ(NOBODY, st.out_creator);
	EXPECT_NE(vd_set_id(self->fd), st.out_id);
	close(fd);
	fd = vd_open();
	ASSERT_EQ(0, vd_attach_of(fd, VDISET_ROLE_SERVER, 0, self->p->name));
	EXPECT_EQ(vd_set_id(self->fd), vd_set_id(fd));
	close(fd);
}

/* Root may join any set, but ATTACH by name searches only sets of the given creator. */
TEST_F(access, privilege_does_not_search)
{
	if (!self->p)
		SKIP(return, "not root");
	ASSERT_EQ(0, vd_party_call(self->p, become, NOBODY, NOBODY));
	ASSERT_EQ(0, vd_party_call(self->p, vd_p_create, 1, 0));
	EXPECT_EQ(-ENOENT, vd_attach_of(self->fd, VDISET_ROLE_SERVER, 0,
					self->p->name));
	EXPECT_EQ(-ENOENT, vd_attach_of(self->fd, VDISET_ROLE_SERVER, ALICE,
					self->p->name));
	EXPECT_EQ(0, vd_attach_of(self->fd, VDISET_ROLE_SERVER, NOBODY,
				  self->p->name));
}

/* A set owned by another user is found under its creator, not under its owner. */
TEST_F(access, creator_is_not_the_owner)
{
	struct vdiset_create c = {
		.size = sizeof(c), .mode = 0600, .uid = ALICE, .gid = STAFF,
		.config.device_count = 1,
	};

	if (!self->p)
		SKIP(return, "not root");
	c.name = (uintptr_t)self->p->name;
	c.name_len = strlen(self->p->name);
	ASSERT_EQ(0, vd_ioctl(self->fd, VDISET_CREATE, &c));
	ASSERT_EQ(0, vd_party_call(self->p, become, ALICE, STAFF));
	EXPECT_EQ(-ENOENT, vd_party_call(self->p, attach_of,
					 VDISET_ROLE_OBSERVER, ALICE));
	ASSERT_EQ(0, vd_party_call(self->p, attach_of, VDISET_ROLE_OBSERVER, 0));
	EXPECT_EQ(ALICE, self->p->out.status.out_uid);
	EXPECT_EQ(0, self->p->out.status.out_creator);
}

/* An ended set is found by name only by users who may see it. */
TEST_F(access, ended_set_stays_hidden)
{
	if (!self->p)
		SKIP(return, "not root");
	ASSERT_EQ(0, vd_create(self->fd, self->p->name, 1));
	ASSERT_EQ(0, vd_abort(self->fd, VDISET_REASON_SIGNAL, 0, ""));
	ASSERT_EQ(0, vd_party_call(self->p, become, NOBODY, NOBODY));
	EXPECT_EQ(-ENOENT, vd_party_call(self->p, attach_of,
					 VDISET_ROLE_SERVER, 0));
	EXPECT_EQ(-ECANCELED, vd_attach(vd_open(), VDISET_ROLE_SERVER,
					self->p->name));
}

TEST_F(access, creator_out_of_range)
{
	if (!self->p)
		SKIP(return, "not root");
	EXPECT_EQ(-EINVAL, vd_attach_of(self->fd, VDISET_ROLE_SERVER, -1,
					self->p->name));
}

static long list_one(struct vd_party *me, long id, long unused)
{
	struct vdiset_list l = { .size = sizeof(l), .cursor = id - 1 };
	int fd = vd_open();
	int ret = vd_ioctl(fd, VDISET_LIST, &l);

	(void)unused;
	close(fd);
	if (ret)
		return ret;
	if (l.cursor != (uint64_t)id || l.out_name_len != strlen(me->name) ||
	    strcmp(l.out_name, me->name))
		return -EBADMSG;
	return l.out_creator | (long)l.out_state << 16;
}

TEST_F(access, list_reports_creator)
{
	uint64_t id;

	if (!self->p)
		SKIP(return, "not root");
	ASSERT_EQ(0, vd_create_mode(self->fd, self->p->name, 1, 0644));
	id = vd_set_id(self->fd);
	ASSERT_EQ(0, vd_party_call(self->p, become, NOBODY, NOBODY));
	EXPECT_EQ(0 | (long)VDISET_STATE_CREATED << 16,
		  vd_party_call(self->p, list_one, id, 0));
	ASSERT_EQ(0, vd_abort(self->fd, VDISET_REASON_SIGNAL, 0, ""));
	EXPECT_EQ(0 | (long)VDISET_STATE_ABORTED << 16,
		  vd_party_call(self->p, list_one, id, 0));
}

static long try_parameter(struct vd_party *me, long unused, long unused2)
{
	(void)me;
	(void)unused;
	(void)unused2;
	return vd_write_file("/sys/module/vdiset/parameters/max_sets", "1");
}

TEST_F(access, only_root_changes_limits)
{
	if (!self->p)
		SKIP(return, "not root");
	ASSERT_EQ(0, vd_party_call(self->p, become, NOBODY, NOBODY));
	EXPECT_EQ(-EACCES, vd_party_call(self->p, try_parameter, 0, 0));
}

/* A complete set of two users that share a group */
static long run_server(struct vd_party *me, long creator, long unused)
{
	struct vdiset_completion done;
	long ret;

	(void)unused;
	me->set = vd_open();
	ret = vd_attach_of(me->set, VDISET_ROLE_SERVER, creator, me->name);
	if (!ret)
		ret = vd_p_configure(me, 4, 0);
	if (!ret)
		ret = vd_p_end_config(me, 4096, 0);
	if (!ret)
		ret = vd_p_open_device(me, 0, 0);
	if (!ret)
		ret = vd_p_send(me, 0, 0);
	if (!ret)
		ret = vd_get(&me->dev[0], &done, 0, VD_HANG);
	return ret;
}

TEST_F(access, two_users)
{
	struct vdiset_completion done = { .tag = 0 };
	struct vdiset_status st;
	struct vdiset_command cmd;
	struct vd_party *server;
	struct vd_dev dev;

	if (!self->p)
		SKIP(return, "not root");
	server = self->p;
	ASSERT_EQ(0, setresgid(STAFF, STAFF, STAFF));
	ASSERT_EQ(0, vd_party_call(server, become, NOBODY, STAFF));
	ASSERT_EQ(0, setresuid(ALICE, ALICE, ALICE));
	ASSERT_EQ(0, vd_create_mode(self->fd, server->name, 1, 0660));
	ASSERT_EQ(0, vd_party_post(server, run_server, ALICE, 0));
	ASSERT_EQ(0, vd_get_config(self->fd, VDISET_CONFIG_WAIT, VD_HANG, NULL));
	ASSERT_EQ(0, vd_dev_open(&dev, self->fd, server->name));
	ASSERT_EQ(0, vd_get(&dev, &cmd, 0, VD_HANG));
	ASSERT_EQ(0, vd_put(&dev, &done));
	EXPECT_EQ(0, vd_party_finish(server, VD_HANG));
	ASSERT_EQ(0, vd_status(self->fd, &st));
	EXPECT_EQ(ALICE, st.out_primary.uid);
	EXPECT_EQ(NOBODY, st.out_server.uid);
	EXPECT_EQ(STAFF, st.out_server.gid);
	EXPECT_EQ(0, vd_party_call(server, vd_p_device_close, 0, 0));
	EXPECT_EQ(VDISET_STATE_TERMINATED, vd_state(self->fd));
	vd_dev_release(&dev);
}

/*
 * Capabilities and user namespaces
 */
/* Becomes NOBODY with only capability cap, or with all except cap. */
static long become_capable(struct vd_party *me, long cap, long others)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2], all[2];
	int i;

	if (prctl(PR_SET_KEEPCAPS, 1) || become(me, NOBODY, NOBODY) ||
	    syscall(SYS_capget, &head, all))
		return -errno;
	memset(data, 0, sizeof(data));
	data[cap / 32].permitted = 1U << cap % 32;
	for (i = 0; i < 2; i++) {
		if (others)
			data[i].permitted = all[i].permitted & ~data[i].permitted;
		data[i].effective = data[i].permitted;
	}
	return syscall(SYS_capset, &head, data) ? -errno : 0;
}

/* As for System V IPC objects, CAP_IPC_OWNER overrides the mode; no other does. */
TEST_F(access, ipc_owner)
{
	if (!self->p)
		SKIP(return, "not root");
	ASSERT_EQ(0, vd_create_mode(self->fd, self->p->name, 1, 0));
	ASSERT_EQ(0, vd_party_call(self->p, become_capable, CAP_IPC_OWNER,
				   false));
	EXPECT_EQ(1, vd_party_call(self->p, lists, vd_set_id(self->fd), 0));
	EXPECT_EQ(0, vd_party_call(self->p, attach_by_name,
				   VDISET_ROLE_SERVER, 0));
}

TEST_F(access, other_capabilities_grant_nothing)
{
	uint64_t id;

	if (!self->p)
		SKIP(return, "not root");
	ASSERT_EQ(0, vd_create_mode(self->fd, self->p->name, 1, 0));
	id = vd_set_id(self->fd);
	ASSERT_EQ(0, vd_party_call(self->p, become_capable, CAP_IPC_OWNER,
				   true));
	EXPECT_EQ(0, vd_party_call(self->p, lists, id, 0));
	EXPECT_EQ(-ENOENT, vd_party_call(self->p, attach_by_name,
					 VDISET_ROLE_SERVER, 0));
	EXPECT_EQ(-ENOENT, vd_party_call(self->p, attach_by_id,
					 VDISET_ROLE_OBSERVER, id));
}

/* NOBODY creates a user namespace and becomes its root, with all capabilities. */
static long become_namespace_root(struct vd_party *me, long unused, long unused2)
{
	char map[32];

	(void)unused;
	(void)unused2;
	if (become(me, NOBODY, NOBODY) || unshare(CLONE_NEWUSER) ||
	    prctl(PR_SET_DUMPABLE, 1))
		return -errno;
	snprintf(map, sizeof(map), "0 %d 1", NOBODY);
	if (vd_write_file("/proc/self/setgroups", "deny") ||
	    vd_write_file("/proc/self/uid_map", map) ||
	    vd_write_file("/proc/self/gid_map", map))
		return -EACCES;
	return geteuid();
}

static long create_and_tell(struct vd_party *me, long mode, long unused)
{
	int ret;

	(void)unused;
	me->set = vd_open();
	ret = vd_create_mode(me->set, me->name, 1, mode);
	return ret ? ret : vd_status(me->set, &me->out.status);
}

TEST_F(access, root_of_a_namespace)
{
	uint64_t id;
	long ret;

	if (!self->p)
		SKIP(return, "not root");
	ASSERT_EQ(0, vd_create(self->fd, self->p->name, 1));
	id = vd_set_id(self->fd);
	ret = vd_party_call(self->p, become_namespace_root, 0, 0);
	if (ret == -EPERM || ret == -ENOSPC)
		SKIP(return, "no user namespaces for users here");
	ASSERT_EQ(0, ret);
	/* its capabilities are limited to its namespace */
	EXPECT_EQ(0, vd_party_call(self->p, lists, id, 0));
	EXPECT_EQ(-ENOENT, vd_party_call(self->p, attach_by_name,
					 VDISET_ROLE_SERVER, 0));
	EXPECT_EQ(-ENOENT, vd_party_call(self->p, attach_by_id,
					 VDISET_ROLE_SERVER, id));
	/* nor can it create sets for users that its namespace does not map */
	EXPECT_EQ(-EINVAL, vd_party_call(self->p, create_for, ALICE, -1));
}

/* Ids are reported as numbers of the caller's user namespace. */
TEST_F(access, numbers_of_a_namespace)
{
	struct vdiset_status inside, outside;
	long ret;

	if (!self->p)
		SKIP(return, "not root");
	ret = vd_party_call(self->p, become_namespace_root, 0, 0);
	if (ret == -EPERM || ret == -ENOSPC)
		SKIP(return, "no user namespaces for users here");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, vd_party_call(self->p, create_and_tell, 0600, 0));
	inside = self->p->out.status;
	EXPECT_EQ(0, inside.out_uid);
	EXPECT_EQ(0, inside.out_primary.uid);
	/* root of the initial namespace may join it */
	ASSERT_EQ(0, vd_attach_of(self->fd, VDISET_ROLE_SERVER, NOBODY,
				  self->p->name));
	ASSERT_EQ(0, vd_status(self->fd, &outside));
	EXPECT_EQ(NOBODY, outside.out_creator);
	EXPECT_EQ(NOBODY, outside.out_uid);
	EXPECT_EQ(NOBODY, outside.out_primary.uid);
	EXPECT_EQ(NOBODY, outside.out_primary.gid);
	/* ids that the namespace does not map are reported as the overflow id */
	ASSERT_EQ(0, vd_party_call(self->p, vd_p_status, 0, 0));
	EXPECT_EQ(65534, self->p->out.status.out_server.gid);
	EXPECT_NE(0, self->p->out.status.out_server.uid);
}

/* The kernel reports the creator, so the server can check it and abort. */
TEST_F(access, creator_is_reported)
{
	struct vdiset_status st;
	pid_t pid;

	if (!self->p)
		SKIP(return, "not root");
	ASSERT_EQ(0, vd_party_call(self->p, become, ALICE, STAFF));
	ASSERT_EQ(0, vd_party_call(self->p, create_and_tell, 0600, 0));
	pid = self->p->pid;
	ASSERT_EQ(0, vd_attach_of(self->fd, VDISET_ROLE_SERVER, ALICE,
				  self->p->name));
	ASSERT_EQ(0, vd_status(self->fd, &st));
	EXPECT_EQ(ALICE, st.out_creator);
	EXPECT_EQ(ALICE, st.out_primary.uid);
	EXPECT_EQ(STAFF, st.out_primary.gid);
	EXPECT_EQ(pid, (pid_t)st.out_primary.pid);
	EXPECT_STREQ("vd-nobody", st.out_primary.comm);
	EXPECT_EQ(0, st.out_server.uid);
	ASSERT_EQ(0, vd_abort(self->fd, VDISET_REASON_SIGNAL, 1, "creator not trusted"));
	EXPECT_EQ(0, vd_party_call(self->p, vd_p_status, 0, 0));
	EXPECT_EQ(VDISET_STATE_ABORTED, self->p->out.status.out_state);
	EXPECT_EQ(getpid(), (pid_t)self->p->out.status.out_server.pid);
}

TEST_HARNESS_MAIN
