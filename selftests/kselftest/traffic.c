// SPDX-License-Identifier: GPL-2.0
/* The two sides of a data path: see traffic.h */
#define _GNU_SOURCE
#include "traffic.h"

#define DEADLINE	VD_HANG

uint64_t vd_area_bytes(const struct vd_traffic *t)
{
	return (uint64_t)t->devices * t->inflight * t->bytes;
}

static uint64_t buffer_of(const struct vd_worker *l, uint32_t tag)
{
	return ((uint64_t)l->dev->index * l->t->inflight + tag) * l->t->bytes;
}

/*
 * Two running sums; the second depends on the positions of the words. Both cost
 * one addition per word, which matters on an emulated processor.
 */
uint64_t vd_fill(char *buf, uint32_t bytes, uint64_t seed)
{
	uint64_t *p = (uint64_t *)buf, *end = p + bytes / 8;
	uint64_t w = seed * 0x9e3779b97f4a7c15ULL, a = 0, b = 0;

	while (p < end) {
		*p++ = w;
		a += w;
		b += a;
		w += 0x0123456789abcdefULL;
	}
	return b ^ a << 1;
}

uint64_t vd_checksum(const char *buf, uint32_t bytes)
{
	const uint64_t *p = (const uint64_t *)buf, *end = p + bytes / 8;
	uint64_t a = 0, b = 0;

	while (p < end) {
		a += *p++;
		b += a;
	}
	return b ^ a << 1;
}

void vd_worker_init(struct vd_worker *l, const struct vd_traffic *t,
		  struct vd_dev *dev, char *area)
{
	unsigned int i;

	memset(l, 0, sizeof(*l));
	l->t = t;
	l->dev = dev;
	l->area = area;
	for (i = 0; i < t->inflight; i++)
		l->free[l->n_free++] = i;
	dev->tail = dev->head = t->start;
	__atomic_store_n(&dev->own->head, t->start, __ATOMIC_RELAXED);
	__atomic_store_n(&dev->own->tail, t->start, __ATOMIC_RELEASE);
}

/* Sends as many commands as possible; 1: kick needed, 0: not, or -errno */
static int server_send(struct vd_worker *l)
{
	int kick = 0;

	while (l->sent < l->t->commands && l->n_free) {
		struct vdiset_command c = {
			.code = 2,
			.tag = l->free[--l->n_free],
			.size = l->t->bytes,
			.position = l->sent,
		};
		int ret;

		c.buffer = buffer_of(l, c.tag);
		l->sum_of[c.tag] = vd_fill(l->area + c.buffer, c.size,
					((uint64_t)l->dev->index << 32) + l->sent);
		l->total += l->sum_of[c.tag];
		ret = vd_produce(l->dev, &c);
		if (ret < 0)
			return ret;
		kick |= ret;
		l->sent++;
		__atomic_store_n(&l->dev->own->operations, l->sent,
				 __ATOMIC_RELAXED);
	}
	return kick;
}

static int server_take(struct vd_worker *l, const struct vdiset_completion *c)
{
	if (c->tag >= l->t->inflight || c->code || c->bytes != l->t->bytes)
		return -EPROTO;
	if ((uint64_t)c->position != l->sum_of[c->tag])
		return -EILSEQ;
	l->free[l->n_free++] = c->tag;
	l->done++;
	return 0;
}

void *vd_server_worker(void *worker)
{
	struct vd_worker *l = worker;
	struct vdiset_completion c;
	int ret = 0;

	while (l->done < l->t->commands) {
		ret = server_send(l);
		if (ret == 1)
			ret = vd_kick(l->dev);
		if (ret)
			break;
		ret = vd_get(l->dev, &c, l->t->spins, DEADLINE);
		while (!ret) {
			ret = server_take(l, &c);
			if (!ret)
				ret = vd_consume(l->dev, &c);
		}
		if (ret != -EAGAIN)
			break;
		ret = 0;
	}
	if (!ret)
		ret = vd_device_close(l->dev->fd);
	l->error = ret;
	return NULL;
}

int vd_server_all(int set, struct vd_worker *worker, const struct vd_traffic *t)
{
	unsigned int i, open = t->devices;
	uint32_t seen = 0;
	int ret;

	while (open) {
		uint64_t kick = 0;
		bool progress = false;

		for (i = 0; i < t->devices; i++) {
			struct vd_worker *l = &worker[i];
			struct vdiset_completion c;

			while (!(ret = vd_consume(l->dev, &c))) {
				ret = server_take(l, &c);
				if (ret)
					return ret;
				progress = true;
			}
			if (ret != -EAGAIN)
				return ret;
			ret = server_send(l);
			if (ret < 0)
				return ret;
			if (ret)
				kick |= 1ULL << l->dev->index;
			if (l->done == t->commands && l->dev->fd >= 0) {
				ret = vd_device_close(l->dev->fd);
				if (ret)
					return ret;
				close(l->dev->fd);
				l->dev->fd = -1;
				open--;
			}
			/* barrier D for all devices: it is after the loop */
			__atomic_store_n(&l->dev->own->need_wakeup, !progress,
					 __ATOMIC_RELAXED);
		}
		if (!open)
			break;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		for (i = 0; i < t->devices; i++)
			if (__atomic_load_n(&worker[i].dev->peer->tail,
					    __ATOMIC_ACQUIRE) != worker[i].dev->head)
				progress = true;
		if (progress && !kick)
			continue;
		ret = vd_set_wait(set, (kick ? VDISET_WAIT_KICK : 0) |
				  (progress ? 0 : VDISET_WAIT_SLEEP),
				  progress ? 0 : DEADLINE, kick, &seen);
		if (ret)
			return ret;
	}
	return 0;
}

static int client_one(struct vd_worker *l, const struct vdiset_command *cmd,
		      struct vdiset_completion *done)
{
	if (cmd->tag >= l->t->inflight || (uint32_t)cmd->size != l->t->bytes ||
	    cmd->buffer != buffer_of(l, cmd->tag))
		return -EPROTO;
	memset(done, 0, sizeof(*done));
	done->tag = cmd->tag;
	done->bytes = cmd->size;
	done->position = vd_checksum(l->area + cmd->buffer, cmd->size);
	l->total += done->position;
	return 0;
}

void *vd_client_worker(void *worker)
{
	static _Thread_local struct vdiset_completion done[VDISET_MAX_DEPTH];
	struct vd_worker *l = worker;
	struct vdiset_command cmd;
	int ret;

	for (;;) {
		unsigned int n = 0, i;
		int kick = 0;

		ret = vd_get(l->dev, &cmd, l->t->spins, DEADLINE);
		while (!ret) {
			ret = client_one(l, &cmd, &done[n++]);
			if (!ret && n == l->t->inflight)
				break;
			if (!ret)
				ret = vd_consume(l->dev, &cmd);
		}
		if (ret && ret != -EAGAIN)
			break;
		for (i = 0; i < n; i++) {
			ret = vd_produce(l->dev, &done[l->t->reverse ? n - 1 - i : i]);
			if (ret < 0)
				break;
			kick |= ret;
		}
		if (ret < 0)
			break;
		l->done += n;
		__atomic_store_n(&l->dev->own->operations, l->done,
				 __ATOMIC_RELAXED);
		__atomic_store_n(&l->dev->own->bytes,
				 (uint64_t)l->done * l->t->bytes,
				 __ATOMIC_RELAXED);
		if (kick)
			ret = vd_kick(l->dev);
		/* the server may have consumed the last one and closed already */
		if (kick && ret && ret != -EPIPE)
			break;
	}
	l->error = ret == -EPIPE && l->done == l->t->commands ? 0 : ret;
	return NULL;
}

static void pin(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* These two are called in the server's process, which inherits a by fork(). */
static struct vd_worker *server_worker;

static long init_server(struct vd_party *me, long a, long b)
{
	const struct vd_traffic *t = (const struct vd_traffic *)a;
	unsigned int i;

	(void)b;
	server_worker = calloc(t->devices, sizeof(*server_worker));
	if (!server_worker)
		return -ENOMEM;
	for (i = 0; i < t->devices; i++)
		vd_worker_init(&server_worker[i], t, &me->dev[i], me->area);
	return 0;
}

static long run_server(struct vd_party *me, long a, long b)
{
	const struct vd_traffic *t = (const struct vd_traffic *)a;
	struct vd_worker *worker = server_worker;
	uint64_t total = 0;
	unsigned int i;
	long ret = 0;

	(void)b;
	if (t->set_pinned)
		pin(1);
	if (t->one_thread)
		ret = vd_server_all(me->set, worker, t);
	for (i = 0; i < t->devices && !t->one_thread; i++)
		pthread_create(&worker[i].thread, NULL, vd_server_worker, &worker[i]);
	for (i = 0; i < t->devices && !t->one_thread; i++) {
		pthread_join(worker[i].thread, NULL);
		if (!ret)
			ret = worker[i].error;
	}
	for (i = 0; i < t->devices; i++)
		total += worker[i].total;
	memcpy(me->out.bytes, &total, sizeof(total));
	return ret;
}

int vd_traffic_run(const struct vd_traffic *t, struct vd_run *run)
{
	struct vd_worker *worker = calloc(t->devices, sizeof(*worker));
	struct vd_dev *dev = calloc(t->devices, sizeof(*dev));
	struct vd_party *server;
	uint64_t bytes = vd_area_bytes(t);
	char name[64], dev_name[80], *area;
	int set = vd_open();
	unsigned int i;
	long ret;

	memset(run, 0, sizeof(*run));
	server = vd_party_start("vd-server");
	if (!server || !worker || !dev)
		return -ENOMEM;
	vd_name(name, "traffic");
	ret = vd_create(set, name, t->devices);
	strcpy(server->name, name);
	if (!ret)
		ret = vd_party_call(server, vd_p_attach, VDISET_ROLE_SERVER, 0);
	if (!ret)
		ret = vd_party_call(server, vd_p_configure, t->depth, 0);
	if (!ret)
		ret = vd_party_call(server, vd_p_end_config, bytes, 0);
	if (!ret)
		ret = vd_party_call(server, vd_p_map_area, bytes, 0);
	if (ret)
		return ret;
	area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, set,
		    VDISET_MMAP_AREA);
	if (area == MAP_FAILED)
		return -errno;
	for (i = 0; !ret && i < t->devices; i++) {
		ret = vd_party_call(server, vd_p_open_device, i, 0);
		if (!ret)
			ret = vd_dev_open(&dev[i], set,
					  vd_device_name(dev_name, name, i));
		if (!ret)
			vd_worker_init(&worker[i], t, &dev[i], area);
	}
	/* both sides set their start indices before either reads the peer's */
	if (!ret)
		ret = vd_party_call(server, init_server, (long)t, 0);
	if (ret)
		return ret;
	if (t->set_pinned)
		pin(0);
	run->ns = vd_now();
	ret = vd_party_post(server, run_server, (long)t, 0);
	for (i = 0; i < t->devices; i++)
		pthread_create(&worker[i].thread, NULL, vd_client_worker, &worker[i]);
	if (!ret)
		ret = vd_party_finish(server, 5 * VD_HANG);
	for (i = 0; i < t->devices; i++) {
		pthread_join(worker[i].thread, NULL);
		if (!ret)
			ret = worker[i].error;
		run->client_total += worker[i].total;
	}
	run->ns = vd_now() - run->ns;
	memcpy(&run->server_total, server->out.bytes, sizeof(uint64_t));
	if (!ret)
		ret = vd_state(set) == VDISET_STATE_TERMINATED ? 0 : -EPROTO;
	if (!ret)
		ret = vd_party_call(server, vd_p_close, 0, 0);
	if (!ret)
		ret = vd_close(set);
	vd_party_kill(server);
	for (i = 0; i < t->devices; i++)
		vd_dev_release(&dev[i]);
	munmap(area, bytes);
	close(set);
	free(worker);
	free(dev);
	return ret;
}
