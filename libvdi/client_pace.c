// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * client_pace.c - the rate limit of a set: a thread that has completed a transfer
 * waits until the transfer is paid for
 *
 * The limit is for all devices together, and other processes may have some of them
 * open. What those transfer is read from their statistics, and charged here as well;
 * since every process does so, each leaves the others their part.
 */
#include <poll.h>
#include <time.h>

#include "client.h"

/* A new rate, and the end of the client, are noticed after this time. */
#define SLICE_NS	INT64_C(100000000)
/* Interval of looking at devices of other processes. */
#define LOOK_NS		INT64_C(20000000)

/* Bytes that other processes have transferred on a device since the last look. */
static uint64_t transferred_elsewhere(struct vdi_client *client, uint32_t index)
{
	struct vdiset_device_status status = {
		.size = sizeof(status),
		.index = index,
	};
	uint64_t *seen = &client->paced[index], bytes;

	/* a device is opened once only: this stays so after it was closed */
	if (client->devices[index])
		*seen = UINT64_MAX;
	if (*seen == UINT64_MAX ||
	    vdi_set_ioctl(&client->set, VDISET_DEVICE_STATUS, &status))
		return 0;
	/* a statistic that another process writes */
	bytes = status.out_bytes > *seen ? status.out_bytes - *seen : 0;
	*seen += bytes;
	return bytes;
}

/*
 * What another process writes is a number that is not checked: it cannot delay this
 * one by more than a second and a transfer on each device.
 */
static void charge_others(struct vdi_client *client, uint64_t rate, int64_t now)
{
	const struct vdiset_config *config = &client->config;
	bool first = !client->paced_at;
	uint64_t bytes = 0, sum;
	uint32_t i;

	if (!first && now - client->paced_at < LOOK_NS)
		return;
	client->paced_at = now;
	for (i = 0; i < config->device_count; i++) {
		sum = bytes + transferred_elsewhere(client, i);
		bytes = sum < bytes ? UINT64_MAX : sum;
	}
	if (rate > INT64_MAX / 2)
		rate = INT64_MAX / 2;
	if (!first)
		vdi_pace_charge_others(&client->pace, bytes, rate +
				       (uint64_t)config->device_count *
				       config->max_transfer_size);
}

static void update(struct vdi_client_device *device)
{
	struct vdi_client *client = device->client;
	uint64_t rate = vdi_channel_rate(&device->core.ch);
	int64_t now = vdi_now_ns();

	/* what others transfer without a limit is not charged */
	if (!client->pace.rate)
		client->paced_at = 0;
	if (rate)
		charge_others(client, rate, now);
	vdi_pace_update(&client->pace, rate, now);
}

/* An abort, and the end of the set, end the sleep. */
static bool sleep_for(struct vdi_client *client, int64_t ns)
{
	struct pollfd fd = { .fd = client->set.fd };
	struct timespec time;

	if (ns > SLICE_NS)
		ns = SLICE_NS;
	time = (struct timespec){ .tv_nsec = ns };
	return ppoll(&fd, 1, &time, NULL) <= 0;
}

VDI_COLD void vdi_client_pace(struct vdi_client_device *device,
			      const struct vdi_completion *done,
			      unsigned int count)
{
	struct vdi_client *client = device->client;
	uint64_t bytes = 0, target;
	int64_t left;
	unsigned int i;

	for (i = 0; i < count; i++)
		bytes += done[i].bytes;
	if (!bytes)
		return;
	pthread_mutex_lock(&client->lock);
	update(device);
	client->pace.charged += bytes;
	target = client->pace.charged;
	while ((left = vdi_pace_left(&client->pace, target))) {
		pthread_mutex_unlock(&client->lock);
		if (!sleep_for(client, left) || vdi_client_stops(client))
			return;
		pthread_mutex_lock(&client->lock);
		update(device);
	}
	pthread_mutex_unlock(&client->lock);
}
