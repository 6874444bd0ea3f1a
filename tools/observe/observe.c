// SPDX-License-Identifier: GPL-2.0-only
/*
 * observe.c - looking at sets from outside, by the kernel's interface
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "observe.h"

bool observe_module_is_loaded(void)
{
	return !access("/sys/class/misc/vdiset", F_OK);
}

/* Looking does not load the module: without it there are no sets. */
int observe_open(int *exit_code)
{
	int fd = open(VDISET_DEVICE_PATH, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	*exit_code = EXIT_NO_MODULE;
	if (errno == EPERM || errno == EACCES ||
	    (errno == ENOENT && observe_module_is_loaded()))
		vdi_error("cannot open %s: %s; 'vdi load' says what to do",
			  VDISET_DEVICE_PATH, strerror(errno));
	else if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		vdi_error("the vdiset kernel module is not loaded; 'vdi info' tells what to do");
	else
		vdi_error("cannot open %s: %s", VDISET_DEVICE_PATH,
			  strerror(errno));
	return -1;
}

bool observe_next(int fd, struct vdiset_list *list)
{
	*list = (struct vdiset_list){
		.size = sizeof(*list),
		.cursor = list->cursor,
	};
	return !ioctl(fd, VDISET_LIST, list);
}

int observe_attach(uint64_t id)
{
	struct vdiset_attach args = {
		.size = sizeof(args),
		.flags = VDISET_ATTACH_BY_ID,
		.role = VDISET_ROLE_OBSERVER,
		.id = id,
	};
	int fd = open(VDISET_DEVICE_PATH, O_RDWR | O_CLOEXEC);
	int saved;

	if (fd < 0)
		return -1;
	if (!ioctl(fd, VDISET_ATTACH, &args))
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* ------------------------------------------------------------------- names */

/* What a name on the command line may stand for. */
struct wanted {
	const char *name;
	const char *rest;	/* of USER:NAME, the name; NULL = it is none */
	uid_t user;
};

static bool has_name(const struct vdiset_list *set, const char *name)
{
	return strlen(name) == set->out_name_len &&
	       !memcmp(name, set->out_name, set->out_name_len);
}

static bool is_wanted(const struct wanted *wanted,
		      const struct vdiset_list *set)
{
	return has_name(set, wanted->name) ||
	       (wanted->rest && set->out_creator == wanted->user &&
		has_name(set, wanted->rest));
}

/* A user's name has no colon; the name of a set may have. */
static void parse_wanted(struct wanted *wanted, const char *name)
{
	const char *colon = strchr(name, ':');
	char user[256];

	*wanted = (struct wanted){ .name = name };
	if (!colon || (size_t)(colon - name) >= sizeof(user))
		return;
	snprintf(user, sizeof(user), "%.*s", (int)(colon - name), name);
	if (vdi_parse_user(user, &wanted->user))
		wanted->rest = colon + 1;
}

static bool is_live(const struct vdiset_list *set)
{
	return set->out_state < VDISET_STATE_TERMINATED;
}

/* Each of them on a line, with what makes it unambiguous. */
static void print_candidates(int fd, const struct wanted *wanted)
{
	struct vdiset_list set = { .cursor = 0 };
	char name[4 * VDISET_NAME_MAX + 1], user[64];

	while (observe_next(fd, &set)) {
		if (!is_wanted(wanted, &set) || !is_live(&set))
			continue;
		observe_escape(set.out_name, set.out_name_len, name,
			       sizeof(name));
		vdi_user_text(set.out_creator, user, sizeof(user));
		vdi_error("  --id %llu is %s:%s, %s",
			  (unsigned long long)set.cursor, user, name,
			  observe_state_name(set.out_state));
	}
}

/* A live set comes before one that has ended, of which the last counts. */
bool observe_find(int fd, const char *name, uint64_t *id, int *exit_code)
{
	struct vdiset_list set = { .cursor = 0 };
	unsigned int live = 0;
	struct wanted wanted;
	uint64_t ended = 0;

	parse_wanted(&wanted, name);
	while (observe_next(fd, &set)) {
		if (!is_wanted(&wanted, &set))
			continue;
		if (!is_live(&set))
			ended = set.cursor;
		else if (!live++)
			*id = set.cursor;
	}
	if (live == 1)
		return true;
	if (live) {
		vdi_error("'%s' stands for %u sets; name one as USER:NAME or by its number:",
			  name, live);
		print_candidates(fd, &wanted);
		*exit_code = EXIT_USAGE;
		return false;
	}
	*id = ended;
	if (ended)
		return true;
	vdi_error("there is no set '%s' that you may see", name);
	*exit_code = EXIT_FAILED;
	return false;
}

/* ------------------------------------------------------------------ status */

bool observe_status(int fd, struct vdiset_status *status)
{
	*status = (struct vdiset_status){ .size = sizeof(*status) };
	return !ioctl(fd, VDISET_STATUS, status);
}

bool observe_device(int fd, unsigned int index,
		    struct vdiset_device_status *status)
{
	*status = (struct vdiset_device_status){
		.size = sizeof(*status),
		.index = index,
	};
	return !ioctl(fd, VDISET_DEVICE_STATUS, status);
}

bool observe_abort(int fd, const char *text)
{
	struct vdiset_abort args = {
		.size = sizeof(args),
		.reason = VDISET_REASON_SIGNAL,
		.code = EXIT_ABORTED,
	};

	snprintf(args.text, sizeof(args.text), "%s", text);
	return !ioctl(fd, VDISET_ABORT, &args);
}

bool observe_info(int fd, struct vdiset_info *info)
{
	*info = (struct vdiset_info){ .size = sizeof(*info) };
	return !ioctl(fd, VDISET_INFO, info);
}

static const char *lookup(const char * const *names, size_t count,
			  uint32_t value)
{
	return value < count && names[value] ? names[value] : "unknown";
}

const char *observe_state_name(uint32_t state)
{
	static const char * const names[] = {
		[VDISET_STATE_CREATED] = "created",
		[VDISET_STATE_CONNECTED] = "connected",
		[VDISET_STATE_CONFIGURABLE] = "configurable",
		[VDISET_STATE_INITIALIZING] = "initializing",
		[VDISET_STATE_ACTIVE] = "active",
		[VDISET_STATE_TERMINATED] = "terminated",
		[VDISET_STATE_ABORTED] = "aborted",
	};

	return lookup(names, sizeof(names) / sizeof(names[0]), state);
}

const char *observe_reason_name(uint32_t reason)
{
	static const char * const names[] = {
		[VDISET_REASON_SIGNAL] = "signal",
		[VDISET_REASON_PROTOCOL] = "protocol",
		[VDISET_REASON_TIMEOUT] = "timeout",
		[VDISET_REASON_CLOSED] = "closed",
		[VDISET_REASON_DIED] = "died",
	};

	return lookup(names, sizeof(names) / sizeof(names[0]), reason);
}

void observe_escape(const char *name, size_t length, char *buf, size_t size)
{
	size_t i, used = 0;

	for (i = 0; i < length && used + 5 < size; i++) {
		unsigned char c = name[i];

		if (c > ' ' && c != '\\' && c != 0x7f)
			buf[used++] = c;
		else
			used += snprintf(buf + used, size - used, "\\x%02x", c);
	}
	buf[used] = '\0';
}
