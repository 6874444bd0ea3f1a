// SPDX-License-Identifier: GPL-2.0-only
/*
 * stage_compress.c - the stage that compresses what is pushed, and its threads
 *
 * The data of a medium is cut into blocks, each of which becomes a frame. The blocks
 * of all media wait in one queue for the threads of the pool. The blocks of a medium
 * form a ring: the thread of the drive fills a block, and passes on frames in the
 * order of their blocks. It waits for the oldest block only if no other is free.
 *
 * The state of a block and the queue are protected by the lock of the pool; its
 * memory belongs to a thread of the pool while it is QUEUED.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stage.h"

#define POLL_MS	100	/* interval of checks for a stop */

enum block_state { BLOCK_FREE, BLOCK_QUEUED, BLOCK_DONE };

struct block {
	enum block_state state;
	struct block *next;	/* in the queue */
	uint8_t *in, *out;
	size_t used, made;	/* bytes of each; made = 0: out of memory */
};

struct compress_pool {
	const struct codec *codec;
	int level;
	size_t room;		/* for a frame */
	unsigned int depth;	/* blocks of a medium */
	pthread_mutex_t lock;
	pthread_cond_t work;	/* a block was queued, or the pool closes */
	pthread_cond_t done;
	bool closing;
	struct block *first, **last;
	unsigned int threads;
	pthread_t thread[COMPRESS_MAX_THREADS];
};

struct compress {
	struct stage stage;
	struct compress_pool *pool;
	bool any;			/* a frame was passed on */
	unsigned int oldest;		/* block in flight */
	unsigned int in_flight;
	struct block *filling;		/* NULL = none */
	struct block block[];
};

/* ------------------------------------------------------------------ samples */

#define SAMPLES	4

bool codec_samples_shrink(const void *data, size_t size,
			  size_t (*shrink)(void *context, const void *sample),
			  void *context)
{
	size_t made = 0, total = SAMPLES * CODEC_SAMPLE;
	unsigned int i;

	if (size < 2 * total)
		return true;
	for (i = 0; i < SAMPLES; i++)
		made += shrink(context, (const uint8_t *)data +
			       (size - CODEC_SAMPLE) / (SAMPLES - 1) * i);
	return made < total - total / 32;
}

/* ------------------------------------------------------------------ threads */

static struct block *take(struct compress_pool *p)
{
	struct block *block;

	while (!p->first && !p->closing)
		pthread_cond_wait(&p->work, &p->lock);
	block = p->first;
	if (!block)
		return NULL;
	p->first = block->next;
	if (!p->first)
		p->last = &p->first;
	return block;
}

static void *compress_blocks(void *argument)
{
	struct compress_pool *p = argument;
	void *encoder = p->codec->new_encoder(p->level);
	struct block *block;

	pthread_mutex_lock(&p->lock);
	while ((block = take(p))) {
		pthread_mutex_unlock(&p->lock);
		block->made = encoder ?
			      p->codec->encode(encoder, block->in, block->used,
					       block->out, p->room) : 0;
		pthread_mutex_lock(&p->lock);
		block->state = BLOCK_DONE;
		pthread_cond_broadcast(&p->done);
	}
	pthread_mutex_unlock(&p->lock);
	if (encoder)
		p->codec->free_encoder(encoder);
	return NULL;
}

/* Returns an errno. */
static int start_threads(struct compress_pool *p, unsigned int count)
{
	int rc = 0;

	while (!rc && p->threads < count) {
		rc = vdi_thread_start(&p->thread[p->threads], compress_blocks, p);
		p->threads += !rc;
	}
	return rc;
}

static unsigned int default_threads(void)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	if (online < 1)
		return 1;
	return online > COMPRESS_MAX_THREADS ? COMPRESS_MAX_THREADS : online;
}

struct compress_pool *compress_pool_open(const struct codec *codec, int level,
					 unsigned int threads,
					 unsigned int media)
{
	struct compress_pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	threads = threads ? : default_threads();
	p->codec = codec;
	p->level = level ? : codec->default_level;
	p->room = codec->bound(COMPRESS_BLOCK);
	/* two blocks for each thread, and the one that is filled */
	p->depth = (2 * threads + media - 1) / media + 1;
	p->last = &p->first;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	vdi_cond_init(&p->done);
	errno = start_threads(p, threads);
	if (!errno)
		return p;
	threads = errno;
	compress_pool_close(p);
	errno = threads;
	return NULL;
}

void compress_pool_close(struct compress_pool *p)
{
	unsigned int i;

	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->closing = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (i = 0; i < p->threads; i++)
		pthread_join(p->thread[i], NULL);
	pthread_cond_destroy(&p->done);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* ---------------------------------------------------------------- the stage */

static void queue(struct compress *c)
{
	struct compress_pool *p = c->pool;
	struct block *block = c->filling;

	c->filling = NULL;
	c->in_flight++;
	pthread_mutex_lock(&p->lock);
	block->state = BLOCK_QUEUED;
	block->next = NULL;
	*p->last = block;
	p->last = &block->next;
	pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
}

/* False: not done yet, or, if `wait`, stopped before. */
static bool is_done(struct compress *c, bool wait)
{
	struct compress_pool *p = c->pool;
	bool done;

	pthread_mutex_lock(&p->lock);
	while (!(done = c->block[c->oldest].state == BLOCK_DONE) && wait &&
	       !stage_stopped(&c->stage))
		vdi_cond_wait(&p->done, &p->lock, POLL_MS);
	pthread_mutex_unlock(&p->lock);
	return done;
}

static bool pass_on_oldest(struct compress *c)
{
	struct block *block = &c->block[c->oldest];
	struct stage *next = c->stage.next;

	if (!block->made) {
		drive_failed(c->stage.drive, "compress", ENOMEM);
		return false;
	}
	if (!next->ops->push(next, block->out, block->made))
		return false;
	c->any = true;
	block->state = BLOCK_FREE;
	block->used = 0;
	c->oldest = (c->oldest + 1) % c->pool->depth;
	c->in_flight--;
	return true;
}

/* Pass on frames until at most `most` blocks are in flight, and those that are done. */
static bool pass_on(struct compress *c, unsigned int most)
{
	while (c->in_flight) {
		if (!is_done(c, c->in_flight > most))
			return c->in_flight <= most;
		if (!pass_on_oldest(c))
			return false;
	}
	return true;
}

static bool get_block(struct compress *c)
{
	if (c->filling)
		return true;
	if (!pass_on(c, c->pool->depth - 1))
		return false;
	c->filling = &c->block[(c->oldest + c->in_flight) % c->pool->depth];
	return true;
}

static bool compress_push(struct stage *s, const void *data, size_t size)
{
	struct compress *c = (struct compress *)s;

	while (size) {
		struct block *block;
		size_t n;

		if (!get_block(c))
			return false;
		block = c->filling;
		n = COMPRESS_BLOCK - block->used;
		if (n > size)
			n = size;
		memcpy(block->in + block->used, data, n);
		block->used += n;
		data = (const uint8_t *)data + n;
		size -= n;
		if (block->used == COMPRESS_BLOCK)
			queue(c);
	}
	return true;
}

static bool pass_on_all(struct compress *c)
{
	if (c->filling && c->filling->used)
		queue(c);
	return pass_on(c, 0);
}

static bool compress_flush(struct stage *s)
{
	struct compress *c = (struct compress *)s;

	return pass_on_all(c) && s->next->ops->flush(s->next);
}

/* The tools do not take an empty file for compressed data, so it has an empty frame. */
static bool compress_end(struct stage *s)
{
	struct compress *c = (struct compress *)s;

	if (!pass_on_all(c))
		return false;
	if (!c->any) {
		if (!get_block(c))
			return false;
		queue(c);
		if (!pass_on(c, 0))
			return false;
	}
	return s->next->ops->end(s->next);
}

/* Take the blocks of this stage out of the queue; some may be with a thread. */
static void cancel(struct compress *c)
{
	struct compress_pool *p = c->pool;
	struct block **at, *block;
	unsigned int i;

	pthread_mutex_lock(&p->lock);
	for (at = &p->first; (block = *at);) {
		if (block >= c->block && block < c->block + p->depth) {
			*at = block->next;
			block->state = BLOCK_FREE;
		} else {
			at = &block->next;
		}
	}
	p->last = at;
	for (i = 0; i < p->depth; i++) {
		while (c->block[i].state == BLOCK_QUEUED)
			vdi_cond_wait(&p->done, &p->lock, POLL_MS);
	}
	pthread_mutex_unlock(&p->lock);
}

static void unmap(uint8_t *data, size_t size)
{
	if (data)
		munmap(data, size);
}

static void compress_free(struct stage *s)
{
	struct compress *c = (struct compress *)s;
	unsigned int i;

	cancel(c);
	for (i = 0; i < c->pool->depth; i++) {
		unmap(c->block[i].in, COMPRESS_BLOCK);
		unmap(c->block[i].out, c->pool->room);
	}
	free(c);
}

/* The data of a backup does not belong into a core dump. */
static uint8_t *map(size_t size)
{
	void *data = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (data == MAP_FAILED)
		return NULL;
	madvise(data, size, MADV_DONTDUMP);
	return data;
}

static bool map_blocks(struct compress *c)
{
	unsigned int i;

	for (i = 0; i < c->pool->depth; i++) {
		c->block[i].in = map(COMPRESS_BLOCK);
		c->block[i].out = map(c->pool->room);
		if (!c->block[i].in || !c->block[i].out)
			return false;
	}
	return true;
}

static const struct stage_ops ops = {
	.push = compress_push,
	.flush = compress_flush,
	.end = compress_end,
	.free = compress_free,
};

struct stage *stage_compress(struct drive *d, struct compress_pool *pool,
			     struct stage *next)
{
	struct compress *c = calloc(1, sizeof(*c) +
				    pool->depth * sizeof(c->block[0]));

	if (c) {
		c->stage = (struct stage){ .ops = &ops, .drive = d, .next = next };
		c->pool = pool;
		if (map_blocks(c))
			return &c->stage;
		compress_free(&c->stage);
	}
	drive_failed(d, "compress", ENOMEM);
	return NULL;
}
