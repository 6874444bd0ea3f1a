// SPDX-License-Identifier: GPL-2.0-only
/*
 * io.c - concurrent reads and writes of files, without copying
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "io.h"

#define PARTS		2		/* requests of a transfer */
#define OTHERS		4		/* entries for polls and cancellation */
#define SLOTS		128		/* registered pieces of memory */

struct slot {
	uint8_t *data;
	uint32_t size;
};

struct io {
	unsigned int depth;
	bool uring;			/* otherwise plain system calls */
	bool may_register;		/* the kernel registers memory */
	bool cancelling;
	bool hung_up;
	unsigned int busy;		/* requests */
	/* pending polls of the caller's fd */
	bool polls_in;
	bool polls_hang_up;
	struct io_uring ring;
	unsigned int slots;
	struct slot slot[SLOTS];
};

struct io *io_open(unsigned int depth)
{
	struct io *io = calloc(1, sizeof(*io));

	if (!io)
		return NULL;
	io->depth = depth;
	/* fall back if io_uring is missing, not permitted or out of memory */
	io->uring = depth > 1 &&
		    !io_uring_queue_init(depth * PARTS + OTHERS, &io->ring, 0);
	if (!io->uring)
		io->depth = 1;
	else
		io->may_register = !io_uring_register_buffers_sparse(&io->ring,
								     SLOTS);
	return io;
}

unsigned int io_depth(const struct io *io)
{
	return io->depth;
}

/* ------------------------------------------------------ registered memory */

static bool holds(const struct slot *slot, const uint8_t *data, uint32_t size)
{
	return data >= slot->data &&
	       (uint64_t)(data - slot->data) + size <= slot->size;
}

/* The number of the slot that contains this memory, -1 = none. */
static int find_slot(const struct io *io, const uint8_t *data, uint32_t size)
{
	unsigned int i;

	for (i = 0; i < io->slots; i++) {
		if (holds(&io->slot[i], data, size))
			return i;
	}
	return -1;
}

/*
 * Buffers are registered one by one when they are first used: a growing area
 * adds new ones, and buffers of other devices do not count against this limit.
 */
void io_register(struct io *io, uint8_t *data, uint32_t size)
{
	struct iovec iov = { .iov_base = data, .iov_len = size };

	if (!io->may_register || !size || find_slot(io, data, size) >= 0)
		return;
	if (io->slots == SLOTS ||
	    io_uring_register_buffers_update_tag(&io->ring, io->slots, &iov,
						 NULL, 1) != 1) {
		io->may_register = false;
		return;
	}
	io->slot[io->slots++] = (struct slot){ .data = data, .size = size };
}

bool io_registered(const struct io *io, const uint8_t *data, uint32_t size)
{
	return find_slot(io, data, size) >= 0;
}

/* -------------------------------------------------------------- completion */

/* A call transferred `result` bytes, or failed with -errno. True: continue. */
static bool account(struct io *io, struct io_request *r, ssize_t result)
{
	if ((result == -EINTR || result == -EAGAIN) && !io->cancelling)
		return true;
	if (result < 0) {
		r->error = -result;
		return false;
	}
	/* a write that stores nothing without an error is an error */
	if (!result && r->write)
		r->error = EIO;
	r->done += result;
	if (!result || r->done >= (r->write ? r->size : r->enough))
		return false;
	if (io->cancelling)
		r->error = ECANCELED;
	return !io->cancelling;
}

static void run_sync(struct io *io, struct io_request *r)
{
	ssize_t n;

	do {
		uint8_t *data = r->data + r->done;
		size_t size = r->size - r->done;
		off_t at = r->offset + r->done;

		n = r->write ? pwrite(r->fd, data, size, at) :
			       pread(r->fd, data, size, at);
	} while (account(io, r, n < 0 ? -errno : n));
}

/* ---------------------------------------------------------------- io_uring */

/*
 * EAGAIN, EBUSY and ENOMEM are temporary: the kernel lacks a resource, or the
 * completion queue is full, until earlier requests complete.
 */
static void submit(struct io *io, unsigned int wait)
{
	struct timespec moment = { .tv_nsec = 1000000 };
	int rc;

	for (;;) {
		rc = io_uring_submit_and_wait(&io->ring, wait);
		if (rc >= 0 && !io_uring_sq_ready(&io->ring))
			break;
		switch (rc < 0 ? -rc : EAGAIN) {
		case EINTR:
			break;
		case EAGAIN:
		case EBUSY:
		case ENOMEM:
			if (io_uring_cq_ready(&io->ring))
				return;
			nanosleep(&moment, NULL);
			break;
		default:
			/* the ring is unusable: the state of requests is unknown */
			abort();
		}
	}
}

static struct io_uring_sqe *get_sqe(struct io *io)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&io->ring)))
		submit(io, 0);
	return sqe;
}

static void queue(struct io *io, struct io_request *r)
{
	struct io_uring_sqe *sqe = get_sqe(io);
	uint8_t *data = r->data + r->done;
	unsigned int size = r->size - r->done;
	uint64_t at = r->offset + r->done;
	int slot = find_slot(io, data, size);

	if (slot >= 0 && r->write)
		io_uring_prep_write_fixed(sqe, r->fd, data, size, at, slot);
	else if (slot >= 0)
		io_uring_prep_read_fixed(sqe, r->fd, data, size, at, slot);
	else if (r->write)
		io_uring_prep_write(sqe, r->fd, data, size, at);
	else
		io_uring_prep_read(sqe, r->fd, data, size, at);
	io_uring_sqe_set_data(sqe, r);
}

static void polled(struct io *io, bool *poll, int events)
{
	*poll = false;
	if (events == -ECANCELED)
		return;
	if (events < 0 || events & (POLLERR | POLLHUP | POLLNVAL))
		io->hung_up = true;
}

static void take_cqe(struct io *io, struct io_uring_cqe *cqe)
{
	void *data = io_uring_cqe_get_data(cqe);
	struct io_request *r = data;

	if (data == &io->polls_in || data == &io->polls_hang_up) {
		polled(io, data, cqe->res);
		return;
	}
	if (!r)
		return;		/* of the cancellation itself */
	if (account(io, r, cqe->res)) {
		queue(io, r);
		return;
	}
	r->busy = false;
	io->busy--;
}

static void reap_completions(struct io *io)
{
	struct io_uring_cqe *cqe;

	while (!io_uring_peek_cqe(&io->ring, &cqe)) {
		struct io_uring_cqe seen = *cqe;

		/* free the entry first: take_cqe() may queue a request again */
		io_uring_cqe_seen(&io->ring, cqe);
		take_cqe(io, &seen);
	}
}

/* Poll reports errors and hang-ups for any set of events. */
static void poll_fd(struct io *io, int fd, short events)
{
	bool *poll = events ? &io->polls_in : &io->polls_hang_up;
	struct io_uring_sqe *sqe;

	if (*poll || (!events && (io->polls_in || io->hung_up)))
		return;
	sqe = get_sqe(io);
	io_uring_prep_poll_add(sqe, fd, events);
	io_uring_sqe_set_data(sqe, poll);
	*poll = true;
}

/* --------------------------------------------------------------- interface */

void io_start(struct io *io, struct io_request *request)
{
	request->error = 0;
	if (!io->uring) {
		run_sync(io, request);
		return;
	}
	request->busy = true;
	io->busy++;
	queue(io, request);
}

void io_submit(struct io *io)
{
	if (io->uring && io_uring_sq_ready(&io->ring))
		submit(io, 0);
}

void io_reap(struct io *io)
{
	if (io->uring)
		reap_completions(io);
}

void io_wait(struct io *io, int fd, short events)
{
	if (!io->uring)
		return;
	if (fd >= 0)
		poll_fd(io, fd, events);
	submit(io, 1);
	reap_completions(io);
}

bool io_hung_up(const struct io *io)
{
	return io->hung_up;
}

/* A poll holds a reference to its file, so it has to end as well. */
static bool holds_anything(const struct io *io)
{
	return io->busy || io->polls_in || io->polls_hang_up;
}

void io_cancel(struct io *io)
{
	struct io_uring_sqe *sqe;

	if (!io->uring || !holds_anything(io))
		return;
	io->cancelling = true;
	sqe = get_sqe(io);
	io_uring_prep_cancel(sqe, NULL, IORING_ASYNC_CANCEL_ANY |
			     IORING_ASYNC_CANCEL_ALL);
	io_uring_sqe_set_data(sqe, NULL);
	while (holds_anything(io)) {
		submit(io, 1);
		reap_completions(io);
	}
	io->cancelling = false;
}

void io_close(struct io *io)
{
	if (!io)
		return;
	io_cancel(io);
	if (io->uring) {
		/* unregister now: the kernel destroys the ring asynchronously */
		if (io->slots)
			io_uring_unregister_buffers(&io->ring);
		io_uring_queue_exit(&io->ring);
	}
	free(io);
}
