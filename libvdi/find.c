// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * find.c - finding the set of a name or a descriptor
 *
 * Names belong to the users who create sets: two users may have a set of the
 * same name. A name is searched only among the sets of trusted users, one user
 * after the other. So a set of any other user is never joined by its name,
 * whatever its mode and the privileges of the caller.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "find.h"

#define USER_SIZE	96	/* description of a user */
#define USERS_SIZE	192	/* description of the trusted users */

static bool trusts(const struct vdi_trust *trust, uid_t user)
{
	unsigned int i;

	for (i = 0; i < trust->count; i++)
		if (trust->user[i] == user)
			return true;
	return false;
}

/*
 * The trusted users of this object, or the default: the caller's user, then
 * root.
 */
static void get_trust(struct vdi_set *set, struct vdi_trust *trust)
{
	pthread_mutex_lock(&set->message_lock);
	*trust = set->trust;
	pthread_mutex_unlock(&set->message_lock);
	if (trust->count)
		return;
	trust->user[trust->count++] = geteuid();
	if (trust->user[0])
		trust->user[trust->count++] = 0;
}

int vdi_find_set_trusted(struct vdi_set *set, const uid_t *users,
			 unsigned int count)
{
	unsigned int i;

	if (count > VDI_MAX_TRUSTED_USERS)
		return vdi_set_fail(set, VD_E_INVALID, "trusted users: more "
				    "than %d", VDI_MAX_TRUSTED_USERS);
	if (count && !users)
		return vdi_set_fail(set, VD_E_INVALID,
				    "trusted users: the list is missing");
	for (i = 0; i < count; i++)
		if (users[i] == (uid_t)-1)
			return vdi_set_fail(set, VD_E_INVALID,
					    "trusted users: -1 is not a user");
	if (vdi_set_forked(set))	/* the lock may be held for ever */
		return VD_E_PROTOCOL;
	pthread_mutex_lock(&set->message_lock);
	set->trust.count = count;
	for (i = 0; i < count; i++)
		set->trust.user[i] = users[i];
	pthread_mutex_unlock(&set->message_lock);
	return NOERROR;
}

/* -------------------------------------------------------------------- text */

static void name_user(uid_t user, char buf[USER_SIZE])
{
	char name[USER_SIZE - 20];

	if (vdi_user_name(user, name, sizeof(name)))
		snprintf(buf, USER_SIZE, "%s (uid %lu)", name,
			 (unsigned long)user);
	else
		snprintf(buf, USER_SIZE, "uid %lu", (unsigned long)user);
}

/* "root, postgres, uid 7"; the rest is replaced by "..." if it does not fit. */
static void name_trusted(const struct vdi_trust *trust, char buf[USERS_SIZE])
{
	char name[USER_SIZE];
	size_t used = 0;
	unsigned int i;

	for (i = 0; i < trust->count; i++) {
		if (!vdi_user_name(trust->user[i], name, sizeof(name)))
			snprintf(name, sizeof(name), "uid %lu",
				 (unsigned long)trust->user[i]);
		if (used + strlen(name) + sizeof(", , ...") > USERS_SIZE) {
			snprintf(buf + used, USERS_SIZE - used, ", ...");
			return;
		}
		used += snprintf(buf + used, USERS_SIZE - used, "%s%s",
				 used ? ", " : "", name);
	}
}

/* Errors of ATTACH that have a special meaning. */
static const char *text_of(int err)
{
	switch (err) {
	case -EACCES:
		return "this user may see the set, but not join it";
	case -EBUSY:
		return "the set has or had a server";
	case -EAGAIN:
		return "the set is not configured yet";
	case -EPIPE:
		return "the set has terminated";
	case -EBADF:
		return "the descriptor does not belong to a set";
	case -EDQUOT:
		return "this user takes part in too many sets";
	default:
		return strerror(-err);
	}
}

/* ------------------------------------------------------------------- ended */

static void keep_ended(struct vdi_set *set, const struct vdi_abort_info *info)
{
	pthread_mutex_lock(&set->message_lock);
	set->ended = *info;
	pthread_mutex_unlock(&set->message_lock);
}

/* How the set of this file was aborted; reason 0 if that is not known. */
static void read_abort(int fd, struct vdi_abort_info *info)
{
	struct vdiset_status status = { .size = sizeof(status) };

	memset(info, 0, sizeof(*info));
	if (!ioctl(fd, VDISET_STATUS, &status))
		vdi_set_copy_abort(&status.out_abort, info);
}

/*
 * The same by name, as an observer: these may still attach to a set that ended.
 */
static void observe_abort(const char *name, uid_t creator,
			  struct vdi_abort_info *info)
{
	struct vdiset_attach attach = {
		.size = sizeof(attach),
		.flags = VDISET_ATTACH_BY_NAME,
		.role = VDISET_ROLE_OBSERVER,
		.name = (uintptr_t)name,
		.name_len = strlen(name),
		.creator = creator,
	};
	int fd = open(VDISET_DEVICE_PATH, O_RDWR | O_CLOEXEC);

	memset(info, 0, sizeof(*info));
	if (fd < 0)
		return;
	if (!ioctl(fd, VDISET_ATTACH, &attach))
		read_abort(fd, info);
	close(fd);
}

static void describe_abort(const struct vdi_abort_info *info, char *buf,
			   size_t size)
{
	if (info->reason)
		vdi_abort_describe(info, buf, size);
	else
		snprintf(buf, size, "the set was aborted");
}

/* ----------------------------------------------------------------- look-up */

/*
 * Find a live set of this name that the caller may see, of a user not trusted.
 */
static bool find_untrusted(struct vdi_set *set, const char *name,
			   const struct vdi_trust *trust, uid_t *creator)
{
	size_t len = strlen(name);
	uint64_t cursor = 0;

	for (;;) {
		struct vdiset_list list = {
			.size = sizeof(list),
			.cursor = cursor,
		};

		if (vdi_set_ioctl(set, VDISET_LIST, &list))
			return false;
		cursor = list.cursor;
		if (list.out_state < VDISET_STATE_TERMINATED &&
		    list.out_name_len == len &&
		    !memcmp(list.out_name, name, len) &&
		    !trusts(trust, list.out_creator)) {
			*creator = list.out_creator;
			return true;
		}
	}
}

/*
 * Nothing was joined. *@text says why; @ended is the error of @creator's set.
 */
static int fail_by_name(struct vdi_set *set, const char *name,
			const struct vdi_trust *trust, int ended,
			uid_t creator, char text[VDI_MESSAGE_SIZE])
{
	char user[USER_SIZE], other[USER_SIZE], users[USERS_SIZE];
	char how[VDI_TEXT_SIZE + 128];
	struct vdi_abort_info info;
	uid_t stranger;
	bool untrusted = find_untrusted(set, name, trust, &stranger);

	if (untrusted) {
		pthread_mutex_lock(&set->message_lock);
		set->untrusted = stranger;
		set->has_untrusted = true;
		pthread_mutex_unlock(&set->message_lock);
	}
	name_trusted(trust, users);
	if (ended) {
		name_user(creator, user);
		snprintf(how, sizeof(how), "%s", text_of(ended));
		if (ended == -ECANCELED) {
			observe_abort(name, creator, &info);
			keep_ended(set, &info);
			describe_abort(&info, how, sizeof(how));
		}
		*other = '\0';
		if (untrusted)
			name_user(stranger, other);
		snprintf(text, VDI_MESSAGE_SIZE,
			 "set '%s' of %s has ended: %s%s%s%s", name, user, how,
			 untrusted ? "; another was created by " : "", other,
			 untrusted ? ", who is not trusted" : "");
		return ended;
	}
	if (untrusted) {
		name_user(stranger, user);
		snprintf(text, VDI_MESSAGE_SIZE, "set '%s' exists, but it was "
			 "created by %s, who is not trusted (trusted: %s)",
			 name, user, users);
		return -ENOENT;
	}
	snprintf(text, VDI_MESSAGE_SIZE, "there is no set '%s' of a trusted "
		 "user that this user may join (trusted: %s)", name, users);
	return -ENOENT;
}

/*
 * Join the set @name of the first trusted user who has one. A set that has
 * ended does not hide a live one of a user later in the list. 0, or -errno and
 * *@text.
 */
int vdi_find_by_name(struct vdi_set *set, uint32_t role, const char *name,
		     char text[VDI_MESSAGE_SIZE])
{
	struct vdi_trust trust;
	char user[USER_SIZE];
	uid_t creator = 0;
	int err, ended = 0;
	unsigned int i;

	get_trust(set, &trust);
	for (i = 0; i < trust.count; i++) {
		err = vdi_set_attach(set, role, name, trust.user[i], -1);
		switch (err) {
		case 0:
			return 0;
		case -ENOENT:
		case -EINVAL:	/* no such user in this namespace */
			continue;
		case -ECANCELED:
		case -EPIPE:
			if (!ended) {
				ended = err;
				creator = trust.user[i];
			}
			continue;
		default:
			name_user(trust.user[i], user);
			snprintf(text, VDI_MESSAGE_SIZE, "set '%s' of %s: %s",
				 name, user, text_of(err));
			return err;
		}
	}
	return fail_by_name(set, name, &trust, ended, creator, text);
}

/* Join the set of a descriptor: no trust is needed for it. As above. */
int vdi_find_by_fd(struct vdi_set *set, uint32_t role, int fd,
		   char text[VDI_MESSAGE_SIZE])
{
	struct vdi_abort_info info;
	int err;

	err = vdi_set_attach(set, role, NULL, 0, fd);
	if (err == -ECANCELED) {
		read_abort(fd, &info);
		keep_ended(set, &info);
		describe_abort(&info, text, VDI_MESSAGE_SIZE);
	} else if (err) {
		snprintf(text, VDI_MESSAGE_SIZE, "%s", text_of(err));
	}
	return err;
}

/* ------------------------------------------------------- after a failed open */

/*
 * Details of a failure; they leave its message unchanged. NOERROR, or
 * VD_E_PROTOCOL if there are none.
 */
int vdi_find_abort_info(struct vdi_set *set, struct vdi_abort_info *info)
{
	int code = VD_E_PROTOCOL;

	if (vdi_set_forked(set))
		return code;
	pthread_mutex_lock(&set->message_lock);
	if (set->ended.reason) {
		*info = set->ended;
		code = NOERROR;
	}
	pthread_mutex_unlock(&set->message_lock);
	return code;
}

int vdi_find_untrusted(struct vdi_set *set, uid_t *user)
{
	int code = VD_E_PROTOCOL;

	if (vdi_set_forked(set))
		return code;
	pthread_mutex_lock(&set->message_lock);
	if (set->has_untrusted) {
		*user = set->untrusted;
		code = NOERROR;
	}
	pthread_mutex_unlock(&set->message_lock);
	return code;
}
