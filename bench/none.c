// SPDX-License-Identifier: GPL-2.0-only
/* none: no hand-over. The cost of filling and summing the data alone. */
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

struct none {
	uint8_t *memory;
	uint32_t sent[MAX_DEVICES];
};

static uint8_t *none_buffer(struct run *run, uint32_t device, uint32_t tag)
{
	struct none *none = run->priv;

	return none->memory +
	       ((size_t)device * run->c.depth + tag) * run->size;
}

static void none_open(struct run *run, enum side side)
{
	size_t bytes = (size_t)run->c.devices * run->c.depth * run->size;
	struct none *none = calloc(1, sizeof(*none));

	(void)side;
	if (!none)
		err(1, "memory");
	none->memory = aligned_alloc(4096, (bytes + 4095) & ~(size_t)4095);
	if (!none->memory)
		err(1, "memory");
	memset(none->memory, 1, bytes);
	run->priv = none;
}

static void none_send(struct run *run, uint32_t device, uint32_t tag)
{
	(void)tag;
	((struct none *)run->priv)->sent[device]++;
}

static uint32_t none_reap(struct run *run, uint32_t device, struct done *done)
{
	struct none *none = run->priv;
	uint32_t i, n = none->sent[device];

	for (i = 0; i < n; i++)
		done[i] = (struct done){ .tag = i };
	none->sent[device] = 0;
	return n;
}

static uint32_t none_receive(struct run *run, uint32_t device,
			     struct item *items)
{
	items[0] = (struct item){ .data = none_buffer(run, device, 0) };
	return 1;
}

static void none_complete(struct run *run, uint32_t device,
			  const struct item *items, const struct done *done,
			  uint32_t n)
{
	(void)run;
	(void)device;
	(void)items;
	(void)done;
	(void)n;
}

const struct transport transport_none = {
	.name = "none",
	.what = "no hand-over: the cost of filling and summing the data",
	.unchecked = true,
	.open = none_open,
	.buffer = none_buffer,
	.send = none_send,
	.reap = none_reap,
	.receive = none_receive,
	.complete = none_complete,
};
