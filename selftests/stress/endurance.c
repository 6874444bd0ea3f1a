// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that no data is lost in a long run and that memory does not grow. Sets of
 * sixteen devices follow each other; in each, a server and a client with sixteen
 * threads each exchange commands of random size, with pauses and completions out of
 * order. The set ends normally, or a random thread of either side aborts it. Both
 * sides compute checksums of every byte, and every command is numbered: none is lost
 * or delivered twice.
 *
 *   VDISET_ENDURANCE_GIB    1 by default; 50 for a long run
 *   VDISET_ENDURANCE_SEED   seed of the random numbers; printed
 */
#define _GNU_SOURCE
#include "traffic.h"
#include "harness.h"

#define DEVICES		16
#define MAX_BYTES	(256 * KIB)
#define MAX_INFLIGHT	8
#define SESSION_MIB	96	/* at most, half of it on average */

/* Other activity in the guest allocates and frees memory meanwhile. */
#define SLACK_KB	(48 * 1024)
/* KASAN quarantines freed memory, up to a 32nd of all memory. */
#define SLAB_SLACK_KB	(8 * 1024 + \
			 (getenv("VDISET_KASAN") ? vd_meminfo("MemTotal") / 32 : 0))

struct session {
	uint64_t seed;
	unsigned int inflight;
	unsigned int depth;
	uint64_t bytes;		/* on each device */
	unsigned int spins;
	int abort_device;	/* -1: none */
	bool abort_by_server;
	uint64_t abort_at;	/* bytes of that device before the abort */
};

struct flow {
	const struct session *s;
	struct vd_dev *dev;
	int set;
	char *area;
	pthread_t thread;
	uint64_t rng;
	/* results; those of the server are passed to the client in shared memory */
	uint64_t commands;	/* sent by the server, fetched by the client */
	uint64_t done;		/* consumed by the server, completed by the client */
	uint64_t bytes;
	int error;
};

/* Results of the server's process, one for each device */
struct account {
	uint64_t commands;
	uint64_t done;
	uint64_t bytes;
	int error;
};

static struct account *account;

static uint64_t next(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s * 0x2545f4914f6cdd1dULL >> 16;
}

static uint64_t flow_seed(const struct session *s, unsigned int device,
			  uint64_t number)
{
	return s->seed + ((uint64_t)device << 40) + number;
}

static void rest(struct flow *f)
{
	if (!(next(&f->rng) % 256))
		vd_sleep_ms(next(&f->rng) % 3);
}

static bool is_time(const struct flow *f, bool server)
{
	return (int)f->dev->index == f->s->abort_device &&
	       f->s->abort_by_server == server && f->bytes >= f->s->abort_at;
}

/*
 * The server
 */
struct slot {
	uint64_t sum;
	uint32_t bytes;
	bool used;
};

static uint32_t size_of(struct flow *f)
{
	/* small and large sizes are equally frequent */
	return 8 * (1 + next(&f->rng) % (MAX_BYTES / 8 >> next(&f->rng) % 12));
}

static int send_one(struct flow *f, struct slot *slot, uint32_t tag)
{
	struct vdiset_command c = {
		.code = 2,
		.tag = tag,
		.size = size_of(f),
		.position = f->commands,
		.buffer = ((uint64_t)f->dev->index * f->s->inflight + tag) *
			  MAX_BYTES,
	};

	slot->used = true;
	slot->bytes = c.size;
	slot->sum = vd_fill(f->area + c.buffer, c.size,
			    flow_seed(f->s, f->dev->index, f->commands));
	f->bytes += c.size;
	f->commands++;
	return vd_put(f->dev, &c);
}

static int take_one(struct flow *f, struct slot *slots,
		    const struct vdiset_completion *c)
{
	/* not sent, or completed before */
	if (c->tag >= f->s->inflight || !slots[c->tag].used)
		return -EEXIST;
	if (c->code || c->bytes != slots[c->tag].bytes)
		return -EPROTO;
	if ((uint64_t)c->position != slots[c->tag].sum)
		return -EILSEQ;
	slots[c->tag].used = false;
	f->done++;
	return 0;
}

static int send_all(struct flow *f, struct slot *slots)
{
	uint32_t tag;
	int ret = 0;

	for (tag = 0; !ret && tag < f->s->inflight; tag++)
		if (!slots[tag].used && f->bytes < f->s->bytes)
			ret = send_one(f, &slots[tag], tag);
	return ret;
}

static void *server_flow(void *arg)
{
	struct slot slots[MAX_INFLIGHT] = { 0 };
	struct vdiset_completion c;
	struct flow *f = arg;
	int ret = 0;

	while (!ret && (f->bytes < f->s->bytes || f->done < f->commands)) {
		rest(f);
		ret = send_all(f, slots);
		if (!ret && is_time(f, true))
			ret = vd_abort(f->set, VDISET_REASON_SIGNAL, 1, "s");
		if (!ret)
			ret = vd_get(f->dev, &c, f->s->spins, VD_HANG);
		while (!ret) {
			ret = take_one(f, slots, &c);
			if (!ret)
				ret = vd_consume(f->dev, &c);
		}
		ret = ret == -EAGAIN ? 0 : ret;
	}
	if (!ret)
		ret = vd_device_close(f->dev->fd);
	f->error = ret;
	return NULL;
}

/*
 * The client
 */
static int check_one(struct flow *f, const struct vdiset_command *c,
		     struct vdiset_completion *done)
{
	/* the ring is ordered: a gap is a lost command, a smaller number a duplicate */
	if ((uint64_t)c->position != f->commands)
		return -EEXIST;
	if (c->size <= 0 || (uint32_t)c->size > MAX_BYTES ||
	    c->buffer % MAX_BYTES || c->tag >= f->s->inflight)
		return -EPROTO;
	memset(done, 0, sizeof(*done));
	done->tag = c->tag;
	done->bytes = c->size;
	done->position = vd_checksum(f->area + c->buffer, c->size);
	f->commands++;
	f->bytes += c->size;
	return 0;
}

/* Completes the fetched commands in random order. */
static int complete_all(struct flow *f, struct vdiset_completion *done,
			unsigned int n)
{
	int ret = 0;

	while (n && ret >= 0) {
		unsigned int i = next(&f->rng) % n;

		ret = vd_put(f->dev, &done[i]);
		done[i] = done[--n];
		f->done++;
	}
	return ret;
}

static void *client_flow(void *arg)
{
	struct vdiset_completion done[MAX_INFLIGHT];
	struct vdiset_command c;
	struct flow *f = arg;
	int ret;

	do {
		unsigned int n = 0, most = 1 + next(&f->rng) % f->s->inflight;

		ret = vd_get(f->dev, &c, f->s->spins, VD_HANG);
		while (!ret) {
			ret = check_one(f, &c, &done[n]);
			if (ret || ++n == most)
				break;
			ret = vd_consume(f->dev, &c);
		}
		if (ret && ret != -EAGAIN)
			break;
		rest(f);
		ret = complete_all(f, done, n);
		if (!ret && is_time(f, false))
			ret = vd_abort(f->set, VDISET_REASON_SIGNAL, 2, "c");
	} while (!ret);
	f->error = ret;
	return NULL;
}

/*
 * A session
 */
static int run_flows(const struct session *s, int set, struct vd_dev *dev,
		     char *area, void *(*fn)(void *), struct flow *flow)
{
	unsigned int i;

	for (i = 0; i < DEVICES; i++) {
		memset(&flow[i], 0, sizeof(flow[i]));
		flow[i].s = s;
		flow[i].set = set;
		flow[i].dev = &dev[i];
		flow[i].area = area;
		flow[i].rng = flow_seed(s, i, fn == server_flow) | 1;
		next(&flow[i].rng);
		if (pthread_create(&flow[i].thread, NULL, fn, &flow[i]))
			return -EAGAIN;
	}
	for (i = 0; i < DEVICES; i++)
		pthread_join(flow[i].thread, NULL);
	return 0;
}

static long run_server(struct vd_party *me, long session, long unused)
{
	static struct flow flow[DEVICES];
	unsigned int i;
	int ret;

	(void)unused;
	ret = run_flows((const struct session *)session, me->set, me->dev,
			me->area, server_flow, flow);
	for (i = 0; i < DEVICES; i++) {
		account[i].commands = flow[i].commands;
		account[i].done = flow[i].done;
		account[i].bytes = flow[i].bytes;
		account[i].error = flow[i].error;
	}
	return ret;
}

static uint64_t area_bytes(const struct session *s)
{
	return (uint64_t)DEVICES * s->inflight * MAX_BYTES;
}

static long set_up(struct vd_party *server, const struct session *s, int set,
		   struct vd_dev *dev)
{
	char name[80];
	long ret, i;

	ret = vd_create(set, server->name, DEVICES);
	if (!ret)
		ret = vd_party_call(server, vd_p_attach, VDISET_ROLE_SERVER, 0);
	if (!ret)
		ret = vd_party_call(server, vd_p_configure, s->depth, 0);
	if (!ret)
		ret = vd_party_call(server, vd_p_end_config, area_bytes(s), 0);
	if (!ret)
		ret = vd_party_call(server, vd_p_map_area, area_bytes(s), 0);
	for (i = 0; !ret && i < DEVICES; i++) {
		ret = vd_party_call(server, vd_p_open_device, i, 0);
		if (!ret)
			ret = vd_dev_open(&dev[i], set,
					  vd_device_name(name, server->name, i));
	}
	return ret;
}

/* Compares the results of both sides of one device. */
static int compare(const struct session *s, unsigned int i,
		   const struct flow *c)
{
	const struct account *a = &account[i];
	bool aborts = s->abort_device >= 0;

	if (!aborts && (a->error || c->error != -EPIPE))
		return -EPROTO;
	if (aborts && a->error && a->error != -ECANCELED)
		return a->error;
	if (aborts && c->error != -ECANCELED && c->error != -EPIPE)
		return c->error;
	if (!a->error)
		return a->commands == a->done && a->commands == c->commands &&
		       a->commands == c->done && a->bytes == c->bytes ?
		       0 : -ENODATA;
	/* after an abort, later stages cannot have higher counts */
	return a->done <= c->done && c->done <= c->commands &&
	       c->commands <= a->commands ? 0 : -ENODATA;
}

static int run_session(const struct session *s, uint64_t *moved)
{
	struct vd_party *server = vd_party_start("vd-server");
	static struct vd_dev dev[DEVICES];
	static struct flow flow[DEVICES];
	int set = vd_open(), state;
	char *area = MAP_FAILED;
	unsigned int i;
	long ret;

	if (!server || set < 0)
		return -ENOMEM;
	vd_name(server->name, "endurance");
	memset(account, 0, DEVICES * sizeof(*account));
	ret = set_up(server, s, set, dev);
	if (!ret)
		area = mmap(NULL, area_bytes(s), PROT_READ | PROT_WRITE,
			    MAP_SHARED, set, VDISET_MMAP_AREA);
	if (!ret && area == MAP_FAILED)
		ret = -errno;
	if (!ret)
		ret = vd_party_post(server, run_server, (long)s, 0);
	if (!ret)
		ret = run_flows(s, set, dev, area, client_flow, flow);
	if (!ret)
		ret = vd_party_finish(server, VD_HANG);
	for (i = 0; !ret && i < DEVICES; i++) {
		ret = compare(s, i, &flow[i]);
		if (ret)
			fprintf(stderr, "# device %u: server %d, sent %llu, done %llu; client %d, fetched %llu, done %llu\n",
				i, account[i].error,
				(unsigned long long)account[i].commands,
				(unsigned long long)account[i].done,
				flow[i].error,
				(unsigned long long)flow[i].commands,
				(unsigned long long)flow[i].done);
		*moved += flow[i].bytes;
	}
	state = vd_state(set);
	if (!ret && state != VDISET_STATE_TERMINATED &&
	    (state != VDISET_STATE_ABORTED || s->abort_device < 0))
		ret = -EBADFD;
	if (!ret)
		ret = vd_party_call(server, vd_p_close, 0, 0);
	if (!ret)
		ret = vd_close(set);
	vd_party_kill(server);
	close(server->to_party);
	close(server->to_test);
	munmap(server, sizeof(*server));
	for (i = 0; i < DEVICES; i++)
		vd_dev_release(&dev[i]);
	if (area != MAP_FAILED)
		munmap(area, area_bytes(s));
	close(set);
	return ret;
}

static void plan(struct session *s, uint64_t *rng)
{
	s->seed = next(rng);
	s->inflight = 1 + next(rng) % MAX_INFLIGHT;
	s->depth = s->inflight << next(rng) % 3;
	s->bytes = (1 + next(rng) % SESSION_MIB) * MIB / DEVICES;
	s->spins = next(rng) % 2 * 50;
	s->abort_device = next(rng) % 4 ? -1 : (int)(next(rng) % DEVICES);
	s->abort_by_server = next(rng) % 2;
	s->abort_at = next(rng) % s->bytes;
}

/*
 * Memory
 */
struct memory {
	long available;
	long shmem;
	long slab;
};

static void weigh(struct memory *m)
{
	m->available = vd_meminfo("MemAvailable");
	m->shmem = vd_meminfo("Shmem");
	m->slab = vd_meminfo("SUnreclaim");
}

static bool is_flat(const struct memory *was, const struct memory *is)
{
	return is->available >= was->available - SLACK_KB &&
	       is->shmem <= was->shmem + 1024 &&
	       is->slab <= was->slab + SLAB_SLACK_KB;
}

/* Freed pages may remain on per-CPU lists or wait for RCU for a moment. */
static void weigh_at_rest(const struct memory *was, struct memory *is)
{
	int64_t end = vd_now() + VD_HANG;

	do {
		weigh(is);
		if (is_flat(was, is))
			return;
		vd_sleep_ms(50);
	} while (vd_now() < end);
}

static void report(const char *when, const struct memory *m)
{
	printf("# %-8s MemAvailable %ld kB, Shmem %ld kB, SUnreclaim %ld kB\n",
	       when, m->available, m->shmem, m->slab);
	fflush(stdout);
}

static unsigned long env_number(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 0) : otherwise;
}

/* The time-out of the harness is for a long run; calls that hang have own limits. */
FIXTURE(endurance) {
	int sets;
};

FIXTURE_SETUP(endurance)
{
	self->sets = vd_sets();
	account = vd_shared(DEVICES * sizeof(*account));
	ASSERT_NE(NULL, account);
}

FIXTURE_TEARDOWN(endurance)
{
	EXPECT_EQ(self->sets, vd_wait_sets(self->sets));
}

TEST_F_TIMEOUT(endurance, no_data_lost_no_memory_growth, 14400)
{
	uint64_t wanted = env_number("VDISET_ENDURANCE_GIB", 1) * 1024 * MIB;
	uint64_t seed = env_number("VDISET_ENDURANCE_SEED", time(NULL));
	uint64_t rng = seed * 0x9e3779b97f4a7c15ULL | 1, moved = 0, reported = 0;
	unsigned int sessions = 0, aborted = 0;
	struct memory first, last;
	int64_t start = vd_now();
	struct session s;
	int ret = 0;

	printf("# VDISET_ENDURANCE_SEED=%llu\n", (unsigned long long)seed);
	next(&rng);
	while (!ret && moved < wanted) {
		plan(&s, &rng);
		ret = run_session(&s, &moved);
		aborted += s.abort_device >= 0;
		/* memory that is kept after the first use is allocated by now */
		if (++sessions == 5) {
			weigh(&first);
			report("first", &first);
		}
		if (moved - reported > wanted / 4 && sessions > 5) {
			reported = moved;
			weigh(&last);
			report("then", &last);
		}
	}
	printf("# %llu MiB in %u sets, %u of them aborted, in %lld ms\n",
	       (unsigned long long)(moved / MIB), sessions, aborted,
	       (long long)((vd_now() - start) / MS));
	fflush(stdout);
	ASSERT_EQ(0, ret);
	ASSERT_LE(5, sessions);
	weigh_at_rest(&first, &last);
	report("last", &last);
	EXPECT_GE(last.available, first.available - SLACK_KB);
	EXPECT_LE(last.shmem, first.shmem + 1024);
	EXPECT_LE(last.slab, first.slab + SLAB_SLACK_KB);
}

TEST_HARNESS_MAIN
