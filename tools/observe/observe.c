// SPDX-License-Identifier: GPL-2.0-only
/*
 * observe.c - looking at sets from outside, as the commands of this folder do
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "observe.h"

bool observe_module_is_loaded(void)
{
	return !access("/sys/class/misc/vdiset", F_OK);
}

const char *observe_message(struct vdi_observer *observer)
{
	static char text[768];

	vdi_observer_message(observer, text, sizeof(text));
	return text;
}

/* Looking does not load the module: without it there are no sets. */
struct vdi_observer *observe_open(int *exit_code)
{
	struct vdi_observer *observer;
	int code;

	code = vdi_observer_new(&observer);
	if (code) {
		vdi_error("out of memory");
		*exit_code = EXIT_FAILED;
		return NULL;
	}
	code = vdi_observer_open(observer);
	if (!code)
		return observer;
	*exit_code = EXIT_NO_MODULE;
	vdi_error("%s%s", observe_message(observer),
		  code == VD_E_NOTOPEN || code == VD_E_SECURITY ?
		  "; 'vdi info' shows the cause and what to do" : "");
	vdi_observer_free(observer);
	return NULL;
}

static void print_candidates(const struct vdi_set_entry *sets,
			     unsigned int count)
{
	char name[4 * VDI_NAME_SIZE], user[64];

	for (; count; count--, sets++) {
		vdi_name_escape(sets->name, sets->name_len, name, sizeof(name));
		vdi_user_text(sets->creator, user, sizeof(user));
		vdi_error("  --id %llu is %s:%s, %s",
			  (unsigned long long)sets->id, user, name,
			  vdi_state_name(sets->state));
	}
}

static void explain_several(struct vdi_observer *observer, const char *name,
			    unsigned int count)
{
	struct vdi_set_entry *sets = calloc(count, sizeof(*sets));
	unsigned int found;

	vdi_error("'%s' is ambiguous, there are %u such sets; choose one by USER:NAME or by number:",
		  name, count);
	if (sets && !vdi_observer_find(observer, name, sets, count, &found))
		print_candidates(sets, found < count ? found : count);
	free(sets);
}

bool observe_find(struct vdi_observer *observer, const char *name, uint64_t *id,
		  int *exit_code)
{
	struct vdi_set_entry set;
	unsigned int count;

	if (vdi_observer_find(observer, name, &set, 1, &count)) {
		vdi_error("%s", observe_message(observer));
		*exit_code = EXIT_FAILED;
		return false;
	}
	*id = set.id;
	if (count == 1)
		return true;
	explain_several(observer, name, count);
	*exit_code = EXIT_USAGE;
	return false;
}

bool observe_parse_id(const char *text, uint64_t *id)
{
	return vdi_parse_size(text, 1, UINT64_MAX, id) ||
	       !vdi_invalid("--id", text, "the number of a set");
}

bool observe_choose(struct vdi_observer *observer, const char *name,
		    uint64_t *id, char *what, size_t size, int *exit_code)
{
	if (*id) {
		snprintf(what, size, "set %llu", (unsigned long long)*id);
		return true;
	}
	snprintf(what, size, "set '%s'", name);
	return observe_find(observer, name, id, exit_code);
}

bool observe_set(struct vdi_observer *observer, uint64_t id,
		 struct observed_set *set)
{
	return !vdi_observer_status(observer, id, &set->status, set->device,
				    VDI_MAX_DEVICES);
}

uint64_t observe_bytes(const struct observed_set *set)
{
	uint64_t bytes = 0;
	uint32_t i;

	for (i = 0; i < set->status.config.deviceCount; i++)
		bytes += set->device[i].bytes;
	return bytes;
}
