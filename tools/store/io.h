/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * io.h - several reads and writes of files at a time, without copying
 *
 * An engine belongs to one thread at a time. Where there is io_uring, requests
 * are carried out by it, straight from and to the caller's memory; where there
 * is none, or for one request at a time, by plain system calls when they are
 * handed over. The caller cannot tell but by io_depth().
 *
 * The memory of a request that is busy belongs to the kernel: it must neither
 * be changed nor unmapped. io_cancel() and io_close() come back only when no
 * request is busy.
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
	uint32_t enough;	/* reads: done when so many bytes are there */
	/* the engine's, once started */
	bool busy;
	uint32_t done;		/* bytes; short at the end of the file */
	int error;		/* errno; done bytes were moved before */
};

/*
 * An engine for `depth` requests at a time, 1 to IO_MAX_DEPTH; each may have
 * two parts. NULL: out of memory.
 */
struct io *io_open(unsigned int depth);
/* How many make sense: 1 where they are carried out one after the other. */
unsigned int io_depth(const struct io *io);
/*
 * This memory will be used often: let the kernel keep it at hand. It is given
 * back by io_close(), and may not be unmapped before. Where the kernel does not
 * permit it (RLIMIT_MEMLOCK), nothing but speed is lost.
 */
void io_expect(struct io *io, uint8_t *data, uint32_t size);
/* Is `data` such memory? */
bool io_expected(const struct io *io, const uint8_t *data, uint32_t size);
/* Begin a request, from `done` on. It must stay where it is while busy. */
void io_start(struct io *io, struct io_request *request);
/* Hand over to the kernel what was started. */
void io_submit(struct io *io);
/* Look which requests are not busy any more. */
void io_look(struct io *io);
/*
 * Wait until a request is not busy any more, which must not be so before; or,
 * unless fd is negative, fd has one of the poll(2) events, an error or a
 * hang-up.
 */
void io_wait(struct io *io, int fd, short events);
/* Has a wait met an error or a hang-up of its fd? */
bool io_hung_up(const struct io *io);
/* End all requests, those that cannot be stopped by waiting for them. */
void io_cancel(struct io *io);
/* Cancels, too. NULL is allowed. */
void io_close(struct io *io);

#endif /* VDI_IO_H */
