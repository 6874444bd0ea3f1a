// SPDX-License-Identifier: GPL-2.0
/*
 * status.c - requests that report: INFO, STATUS, DEVICE_STATUS, LIST; fdinfo
 */
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/string_helpers.h>
#include <linux/ktime.h>

#include "vdiset.h"

int vdiset_info_ioctl(struct vdiset_call *call)
{
	struct vdiset_info *info = &call->args->info;

	if (info->flags)
		return -EINVAL;
	info->out_version = VDISET_VERSION;
	info->out_max_devices = VDISET_MAX_DEVICES;
	info->out_max_depth = VDISET_MAX_DEPTH;
	info->out_default_depth = VDISET_DEFAULT_DEPTH;
	info->out_features = 0;
	info->out_sets = vdiset_sets_number();
	vdiset_limits_fill(info);
	return 0;
}

/* A party that has left is not reported. */
static void vdiset_party_fill(const struct vdiset_party *party,
			      struct vdiset_peer *peer)
{
	if (party)
		vdiset_identity_fill(&party->who, peer);
}

static void vdiset_user_fill(const struct vdiset_device_file *user,
			     struct vdiset_peer *peer)
{
	if (user)
		vdiset_identity_fill(&user->who, peer);
}

int vdiset_status_ioctl(struct vdiset_call *call)
{
	struct vdiset_status *status = &call->args->status;
	struct vdiset_set *set = call->party->set;
	u32 i, size = status->size;

	if (status->flags)
		return -EINVAL;
	memset(status, 0, sizeof(*status));
	status->size = size;
	status->out_id = set->id;
	status->out_age_ns = ktime_get_boottime_ns() - set->created;
	status->out_role = call->party->who.role;
	status->out_mode = set->mode;
	status->out_uid = from_kuid_munged(current_user_ns(), set->uid);
	status->out_gid = from_kgid_munged(current_user_ns(), set->gid);
	status->out_creator = from_kuid_munged(current_user_ns(), set->creator);
	status->out_name_len = set->name_len;
	memcpy(status->out_name, set->name, set->name_len);

	spin_lock(&set->lock);
	status->out_state = set->state;
	status->out_secondaries = set->secondaries;
	status->out_config = set->config;
	status->out_abort = set->abort;
	status->out_rate = set->rate;
	vdiset_party_fill(set->primary, &status->out_primary);
	vdiset_party_fill(set->server, &status->out_server);
	vdiset_identity_fill(&set->abort_by, &status->out_abort.by);
	for (i = 0; i < set->config.device_count; i++) {
		if (set->device[i].opened[VDISET_CLIENT])
			status->out_client_devices++;
		if (set->device[i].opened[VDISET_SERVER])
			status->out_server_devices++;
	}
	spin_unlock(&set->lock);
	return 0;
}

int vdiset_device_status_ioctl(struct vdiset_call *call)
{
	struct vdiset_device_status *status = &call->args->device_status;
	struct vdiset_set *set = call->party->set;
	struct vdiset_device *device;
	u32 index = status->index;
	u32 size = status->size;

	if (status->flags || status->reserved ||
	    index >= set->config.device_count)
		return -EINVAL;
	index = array_index_nospec(index, set->config.device_count);
	device = &set->device[index];

	memset(status, 0, sizeof(*status));
	status->size = size;
	status->index = index;

	spin_lock(&set->lock);
	status->out_state = device->state;
	status->out_name_len = device->name_len;
	memcpy(status->out_name, device->name, device->name_len);
	vdiset_user_fill(device->user[VDISET_CLIENT], &status->out_client);
	vdiset_user_fill(device->user[VDISET_SERVER], &status->out_server);
	/* the regions exist as long as the state page does, under the lock */
	if (device->state_page) {
		struct vdiset_region *server, *client;

		server = vdiset_device_region(device, VDISET_SERVER);
		client = vdiset_device_region(device, VDISET_CLIENT);
		status->out_commands = READ_ONCE(server->operations);
		status->out_completions = READ_ONCE(client->operations);
		status->out_bytes = READ_ONCE(client->bytes);
	}
	status->out_server_waited_ns = vdiset_device_waited(device,
							    VDISET_SERVER);
	status->out_client_waited_ns = vdiset_device_waited(device,
							    VDISET_CLIENT);
	spin_unlock(&set->lock);
	return 0;
}

/* Report the next set after the cursor; -EAGAIN if the caller may not see it. */
static int vdiset_list_next(struct vdiset_list *list)
{
	struct vdiset_set *set;
	int rc = -EAGAIN;

	rcu_read_lock();
	set = vdiset_set_after(&list->cursor);
	if (!set) {
		rc = -ENOENT;
	} else if (vdiset_set_access(set) & MAY_READ) {
		list->out_creator = from_kuid_munged(current_user_ns(),
						     set->creator);
		list->out_state = vdiset_set_state(set);
		list->out_name_len = set->name_len;
		memcpy(list->out_name, set->name, sizeof(list->out_name));
		rc = 0;
	}
	rcu_read_unlock();
	return rc;
}

/* Holds no lock from one set to the next: there may be many, of other users. */
int vdiset_list_ioctl(struct vdiset_call *call)
{
	struct vdiset_list *args = &call->args->list;
	int rc;

	if (args->flags || args->reserved)
		return -EINVAL;
	while ((rc = vdiset_list_next(args)) == -EAGAIN) {
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return rc;
}

static const char * const vdiset_state_names[] = {
	[VDISET_STATE_CREATED]		= "created",
	[VDISET_STATE_CONNECTED]	= "connected",
	[VDISET_STATE_CONFIGURABLE]	= "configurable",
	[VDISET_STATE_INITIALIZING]	= "initializing",
	[VDISET_STATE_ACTIVE]		= "active",
	[VDISET_STATE_TERMINATED]	= "terminated",
	[VDISET_STATE_ABORTED]		= "aborted",
};

static const char * const vdiset_role_names[] = {
	[VDISET_ROLE_PRIMARY]	= "primary",
	[VDISET_ROLE_SECONDARY]	= "secondary",
	[VDISET_ROLE_SERVER]	= "server",
	[VDISET_ROLE_OBSERVER]	= "observer",
};

/* A name may contain any byte but NUL; escape what would break the line. */
static void vdiset_show_name(struct seq_file *m, const char *key,
			     const char *name, u32 len)
{
	seq_printf(m, "%s:\t", key);
	seq_escape_mem(m, name, len, ESCAPE_ANY | ESCAPE_NAP, NULL);
	seq_putc(m, '\n');
}

static void vdiset_show_set(struct seq_file *m,
			    const struct vdiset_party *party)
{
	const struct vdiset_set *set = party->set;

	seq_printf(m, "vdiset-id:\t%llu\n", set->id);
	vdiset_show_name(m, "vdiset-name", set->name, set->name_len);
	seq_printf(m, "vdiset-role:\t%s\n",
		   vdiset_role_names[party->who.role]);
	seq_printf(m, "vdiset-state:\t%s\n",
		   vdiset_state_names[READ_ONCE(set->state)]);
	seq_printf(m, "vdiset-area:\t%llu\n",
		   READ_ONCE(set->config.buffer_area_size));
}

void vdiset_file_show_fdinfo(struct seq_file *m, struct file *filp)
{
	struct vdiset_file *file = filp->private_data;
	struct vdiset_party *party = vdiset_file_party(file);

	if (party)
		vdiset_show_set(m, party);
}

static void vdiset_show_region(struct seq_file *m, const char *key,
			       const struct vdiset_region *region)
{
	seq_printf(m, "vdiset-%s:\ttail %u head %u need-wakeup %u\n", key,
		   READ_ONCE(region->tail), READ_ONCE(region->head),
		   READ_ONCE(region->need_wakeup));
}

void vdiset_device_show_fdinfo(struct seq_file *m, struct file *filp)
{
	struct vdiset_device_file *file = filp->private_data;
	struct vdiset_device *device = file->device;

	vdiset_show_set(m, file->party);
	seq_printf(m, "vdiset-device:\t%u\n", device->index);
	vdiset_show_name(m, "vdiset-device-name", device->name,
			 device->name_len);
	seq_printf(m, "vdiset-waited-ns:\tserver %llu client %llu\n",
		   vdiset_device_waited(device, VDISET_SERVER),
		   vdiset_device_waited(device, VDISET_CLIENT));
	vdiset_show_region(m, "server",
			   vdiset_device_region(device, VDISET_SERVER));
	vdiset_show_region(m, "client",
			   vdiset_device_region(device, VDISET_CLIENT));
}
