// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * client_device.c - the client's devices: opening, names, descriptors
 *
 * Their commands are in client_commands.c.
 */
#include "client.h"
#include "device_name.h"

/* With the lock held. */
static int open_device(struct vdi_client *client, const char *name,
		       struct vdi_client_device **out)
{
	struct vdi_client_device *device;
	struct vdi_device *core;
	int code;

	code = vdi_device_open(&client->set, name, false, &client->config,
			       sizeof(*device), sizeof(struct vdi_slot), &core);
	if (code)
		return code;
	device = (struct vdi_client_device *)core;
	device->client = client;
	vdi_spin_init(&device->spin, client->set.spin);
	__atomic_store_n(&client->devices[core->ch.index], device,
			 __ATOMIC_RELEASE);
	vdi_device_free_retired(&client->retired);
	*out = device;
	return NOERROR;
}

static int open_device_named(struct vdi_client *client, const char *name,
			     struct vdi_client_device **out)
{
	int code;

	if (vdi_client_gave_up(client))
		return vdi_client_fail_abort(client);
	if (!vdi_client_configured(client))
		return vdi_set_fail_order(&client->set, "open device",
					  VDI_NEED_GET_CONFIG);
	pthread_mutex_lock(&client->lock);
	code = open_device(client, name, out);
	pthread_mutex_unlock(&client->lock);
	return code;
}

int vdi_client_open_device(struct vdi_client *client, const char *name,
			   struct vdi_client_device **out)
{
	int code;

	if (!client)
		return VD_E_INVALID;
	if (!out)
		return vdi_set_fail_null(&client->set, "open device", "out");
	*out = NULL;
	if (!vdi_set_enter(&client->set))
		return vdi_set_fail_gone(&client->set, "open device");
	code = open_device_named(client, name, out);
	if (vdi_log_on() && !code)
		vdi_log((*out)->core.name, "open device: done");
	vdi_set_leave(&client->set);
	return code;
}

int vdi_client_get_device_name(struct vdi_client *client, unsigned int index,
			       char *buf, size_t size)
{
	int code;

	if (!client)
		return VD_E_INVALID;
	if (!buf)
		return vdi_set_fail_null(&client->set, "get device name",
					 "buf");
	if (!vdi_set_enter(&client->set))
		return vdi_set_fail_gone(&client->set, "get device name");
	code = vdi_device_name_get(&client->set, index, buf, size);
	vdi_set_leave(&client->set);
	return code;
}

const char *vdi_client_device_name(const struct vdi_client_device *device)
{
	return device ? device->core.name : "";
}

int vdi_client_expected_bytes(struct vdi_client_device *device, uint64_t *bytes)
{
	if (!device)
		return VD_E_INVALID;
	if (!bytes)
		return vdi_set_fail_null(device->core.set, "expected bytes",
					 "bytes");
	*bytes = 0;
	if (!vdi_device_enter(&device->core))
		return vdi_set_fail_gone(device->core.set, "expected bytes");
	*bytes = vdi_ring_expected(&device->core.ch.ring);
	vdi_device_leave(&device->core);
	return NOERROR;
}

int vdi_client_device_fd(const struct vdi_client_device *device)
{
	return device ? device->core.ch.fd : -1;
}
