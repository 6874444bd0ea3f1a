// SPDX-License-Identifier: GPL-2.0-only
/*
 * write_plain.c - the cost of writing without a set
 *
 * usage: write_plain FILE BYTES [TRANSFER [IN-FLIGHT [direct] [sum]]]
 *
 * Writes BYTES from anonymous memory to the new FILE with the engine that vdi
 * backup uses, TRANSFER bytes at a time (default 1 MiB), IN-FLIGHT (default 8)
 * of them in flight, and makes them durable. "direct" uses O_DIRECT, "sum" also
 * computes the checksum as vdi backup does. Prints the CPU time in ms.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "store/io.h"
#include "common/xxh3.h"

struct job {
	struct io *io;
	int fd;
	uint64_t bytes;
	uint32_t transfer;
	unsigned int in_flight;
	XXH3_state_t *sum;		/* NULL = none */
	uint8_t *memory;
	struct io_request request[IO_MAX_DEPTH];
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void begin(struct job *j, uint64_t n)
{
	struct io_request *r = &j->request[n % j->in_flight];
	uint8_t *data = j->memory + (n % j->in_flight) * j->transfer;
	uint64_t at = n * j->transfer;

	*r = (struct io_request){
		.fd = j->fd,
		.write = true,
		.data = data,
		.offset = at,
		.size = j->bytes - at < j->transfer ? j->bytes - at :
						      j->transfer,
	};
	io_register(j->io, data, j->transfer);
	io_start(j->io, r);
	io_submit(j->io);
	if (j->sum)
		XXH3_64bits_update(j->sum, data, r->size);
}

static void finish(struct job *j, uint64_t n)
{
	struct io_request *r = &j->request[n % j->in_flight];

	io_reap(j->io);
	while (r->busy)
		io_wait(j->io, -1, 0);
	if (!r->error)
		return;
	fprintf(stderr, "write_plain: %s\n", strerror(r->error));
	exit(1);
}

static void run(struct job *j)
{
	uint64_t count = (j->bytes + j->transfer - 1) / j->transfer;
	uint64_t started = 0, finished = 0;

	while (finished < count) {
		while (started < count && started - finished < j->in_flight)
			begin(j, started++);
		finish(j, finished++);
	}
	if (fdatasync(j->fd))
		fail("fdatasync");
}

static double cpu_ms(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
	       (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

int main(int argc, char **argv)
{
	struct job j = { .transfer = 1 << 20, .in_flight = 8 };
	int i, flags = O_RDWR | O_CREAT | O_EXCL;

	if (argc < 3)
		return 2;
	j.bytes = strtoull(argv[2], NULL, 0);
	if (argc > 3)
		j.transfer = strtoul(argv[3], NULL, 0);
	if (argc > 4)
		j.in_flight = strtoul(argv[4], NULL, 0);
	if (!j.transfer || !j.in_flight || j.in_flight > IO_MAX_DEPTH)
		return 2;
	for (i = 5; i < argc; i++) {
		if (!strcmp(argv[i], "direct"))
			flags |= O_DIRECT;
		else if (!strcmp(argv[i], "sum"))
			j.sum = XXH3_createState();
		else
			return 2;
	}
	j.fd = open(argv[1], flags, 0600);
	if (j.fd < 0)
		fail(argv[1]);
	j.memory = mmap(NULL, (size_t)j.in_flight * j.transfer,
			PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	if (j.memory == MAP_FAILED)
		fail("mmap");
	memset(j.memory, 0x5a, (size_t)j.in_flight * j.transfer);
	if (j.sum)
		XXH3_64bits_reset(j.sum);
	j.io = io_open(j.in_flight);
	if (!j.io)
		fail("io_open");
	run(&j);
	printf("%.1f\n", cpu_ms());
	io_close(j.io);
	XXH3_freeState(j.sum);
	return 0;
}
