/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * io.h - concurrent reads and writes of files, without copying
 *
 * An engine is used by one thread at a time. Requests are executed by io_uring,
 * directly from and to the caller's memory. Where io_uring is not available, or
 * with a depth of 1, io_start() executes them by plain system calls. Apart from
 * io_depth() both behave alike.
 *
 * While a request is busy, the kernel accesses its memory, which must not be
 * changed or unmapped. io_cancel() and io_close() return only when no request is
 * busy.
 */
#ifndef VDI_IO_H
#define VDI_IO_H

#include <stdbool.h>
#include <stdint.h>

#define IO_MAX_DEPTH	64

struct io;

struct io_request {
	/* the caller's */
	int fd;
	bool write;
	uint8_t *data;
	uint64_t offset;	/* in the file */
	uint32_t size;
	uint32_t enough;	/* reads: bytes that complete the request */
	/* the engine's, once started */
	bool busy;
	uint32_t done;		/* bytes; fewer at the end of the file */
	int error;		/* errno; `done` bytes were transferred before */
};

/*
 * An engine for `depth` concurrent transfers, 1 to IO_MAX_DEPTH. A transfer may
 * consist of two requests. NULL: out of memory.
 */
struct io *io_open(unsigned int depth);
/* The usable depth: 1 if requests are executed one after the other. */
unsigned int io_depth(const struct io *io);
/*
 * Register memory that will be used repeatedly with the kernel. It must not be
 * unmapped before io_close(), which unregisters it. If the kernel refuses
 * (RLIMIT_MEMLOCK), requests work as well but are slower.
 */
void io_register(struct io *io, uint8_t *data, uint32_t size);
/* Is this memory registered? */
bool io_registered(const struct io *io, const uint8_t *data, uint32_t size);
/* Start a request, at byte `done`. It must not be moved while it is busy. */
void io_start(struct io *io, struct io_request *request);
/* Submit the started requests to the kernel. */
void io_submit(struct io *io);
/* Process completions: clears `busy` of the requests that are done. */
void io_reap(struct io *io);
/*
 * Wait until a request completes; one must be busy. Unless fd is negative, also
 * wait for fd to have one of the poll(2) events, an error or a hang-up.
 */
void io_wait(struct io *io, int fd, short events);
/* Did a wait report an error or a hang-up of its fd? */
bool io_hung_up(const struct io *io);
/* Cancel all requests, and wait for those that cannot be cancelled. */
void io_cancel(struct io *io);
/* Cancels all requests first. NULL is allowed. */
void io_close(struct io *io);

#endif /* VDI_IO_H */
