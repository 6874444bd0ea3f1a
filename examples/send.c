// SPDX-License-Identifier: MIT
/*
 * send.c - a backup program that sends the stream over TCP without a copy
 *
 * usage: send NAME HOST PORT
 *
 * Creates the set NAME with one device, and sends the data of the database over TCP
 * to "receive", directly from the buffers that the database has filled
 * (IORING_OP_SEND_ZC, Linux 6.0). With zero-copy, a send completes before the
 * network has the data, and the buffer must not change until the kernel has
 * released its pages. A Write is therefore completed only when the kernel reports
 * the release, and a Flush when the receiver confirms that all data is durable.
 *
 * See vdi_zerocopy(7).
 */
#include <endian.h>
#include <errno.h>
#include <liburing.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libvdi.h>

#include "frame.h"

#define MAX_HELD	32

/* Linux 6.2; missing in older headers */
#ifndef IORING_SEND_ZC_REPORT_USAGE
#define IORING_SEND_ZC_REPORT_USAGE	(1U << 3)
#define IORING_NOTIF_USAGE_ZC_COPIED	(1U << 31)
#endif

/* A Write that is not completed yet. */
struct held {
	struct VDC_Command *cmd;
	struct frame frame;		/* sent before the data */
	bool framed;			/* the frame is sent */
	uint32_t sent;			/* bytes accepted by the socket */
	unsigned int owned;		/* sends whose pages the kernel holds */
};

static struct vdi_client *client;
static struct vdi_client_device *device;
static struct io_uring ring;
static int sock = -1;
static struct held held[MAX_HELD];
static unsigned int first, count;	/* a queue, in the order of the stream */
static bool sending;			/* a send is in flight */
static bool polling;			/* the kernel polls the device */
static bool hung_up;			/* device closed, or set aborted */
static unsigned int report = IORING_SEND_ZC_REPORT_USAGE;
static unsigned long sends, copied;
static int error;			/* errno of the socket */

static struct held *nth(unsigned int n)
{
	return &held[(first + n) % MAX_HELD];
}

/* ----------------------------------------------------------------- network */

static int connect_to(const char *host, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list, *a;
	int fd = -1, rc;

	rc = getaddrinfo(host, port, &hints, &list);
	if (rc) {
		fprintf(stderr, "send: %s: %s\n", host, gai_strerror(rc));
		return -1;
	}
	for (a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen)) {
			close(fd);
			fd = -1;
		}
	}
	if (fd < 0)
		perror("send: connect");
	freeaddrinfo(list);
	return fd;
}

/* Wait for the socket. False: the set was aborted meanwhile. */
static bool ready(short events, bool closed)
{
	struct pollfd p[2] = {
		{ .fd = sock, .events = events },
		{ .fd = vdi_client_device_fd(device) },
	};

	while (poll(p, closed ? 1 : 2, -1) < 0)
		;
	return p[0].revents && !p[1].revents;
}

/*
 * Wait until the receiver confirms that all data is stored. False: see `error`; if
 * it is 0, the set was aborted. A closed device is not checked for an abort.
 */
static bool confirmed(uint32_t kind, bool closed)
{
	struct frame f = { .kind = htole32(kind) };
	char answer;

	if (!ready(POLLOUT, closed))
		return false;
	if (send(sock, &f, sizeof(f), MSG_NOSIGNAL) != sizeof(f)) {
		error = errno;
		return false;
	}
	if (!ready(POLLIN, closed))
		return false;
	errno = 0;
	if (recv(sock, &answer, 1, 0) == 1)
		return true;
	error = errno ? : ECONNRESET;
	return false;
}

/* -------------------------------------------------------------------- ring */

/*
 * The data of a connection must be sent in order, so there is one send at a time.
 * The next send does not wait until the pages of this one are released.
 */
static void send_next(void)
{
	struct io_uring_sqe *sqe;
	unsigned int i;

	for (i = 0; i < count && !sending; i++) {
		struct held *h = nth(i);
		uint32_t size = h->cmd->size - h->sent;

		if (!size)
			continue;
		sqe = io_uring_get_sqe(&ring);
		/* a frame is too small for zero-copy */
		if (!h->framed)
			io_uring_prep_send(sqe, sock, &h->frame,
					   sizeof(h->frame), MSG_WAITALL |
					   MSG_NOSIGNAL | MSG_MORE);
		else
			io_uring_prep_send_zc(sqe, sock,
					      h->cmd->buffer + h->sent, size,
					      MSG_WAITALL | MSG_NOSIGNAL,
					      report);
		io_uring_sqe_set_data(sqe, h);
		sending = true;
	}
}

/* A send has completed; with F_MORE the kernel still holds its pages. */
static void send_ended(struct held *h, const struct io_uring_cqe *cqe)
{
	sending = false;
	if (cqe->flags & IORING_CQE_F_MORE)
		h->owned++;
	if (cqe->res == -EINVAL && report && h->framed) {
		report = 0;		/* not supported by this kernel */
		return;
	}
	if (cqe->res < 0) {
		error = -cqe->res;
		return;
	}
	if (!h->framed) {
		h->framed = cqe->res == sizeof(h->frame);
		error = h->framed ? 0 : EIO;
		return;
	}
	h->sent += cqe->res;
	sends++;
}

static void take_cqe(const struct io_uring_cqe *cqe)
{
	struct held *h = io_uring_cqe_get_data(cqe);

	if (!h) {
		polling = false;
		hung_up |= cqe->res & (POLLERR | POLLHUP);
	} else if (cqe->flags & IORING_CQE_F_NOTIF) {
		h->owned--;
		if (report && cqe->res & (int)IORING_NOTIF_USAGE_ZC_COPIED)
			copied++;
	} else {
		send_ended(h, cqe);
	}
}

/* An abort is reported for any events; POLLIN also reports commands. */
static void poll_device(short events)
{
	struct io_uring_sqe *sqe;

	if (polling)
		return;
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_poll_add(sqe, vdi_client_device_fd(device), events);
	io_uring_sqe_set_data(sqe, NULL);
	polling = true;
}

/* Wait for a completed send, a release or the poll. */
static void wait_for_ring(void)
{
	struct io_uring_cqe *cqe;

	io_uring_submit_and_wait(&ring, 1);
	while (!io_uring_peek_cqe(&ring, &cqe)) {
		struct io_uring_cqe seen = *cqe;

		io_uring_cqe_seen(&ring, cqe);
		take_cqe(&seen);
	}
}

/* ---------------------------------------------------------------- commands */

/* Complete the Writes that are sent and whose pages are released. */
static int complete_released(void)
{
	int rc = NOERROR;

	while (rc == NOERROR && count) {
		struct held *h = nth(0);
		struct VDC_Command *cmd = h->cmd;

		if (h->owned || h->sent < (uint32_t)cmd->size)
			break;
		first++;
		count--;
		rc = vdi_client_complete_command(device, cmd, ERROR_SUCCESS,
						 cmd->size, 0);
	}
	return rc;
}

/* Wait for all Writes, then complete a command that is not a Write. */
static int execute(struct VDC_Command *cmd)
{
	int rc = NOERROR, code = ERROR_NOT_SUPPORTED;

	while (rc == NOERROR && count) {
		if (error)
			return NOERROR;
		if (hung_up)
			return VD_E_ABORT;
		send_next();
		poll_device(0);
		wait_for_ring();
		rc = complete_released();
	}
	if (rc != NOERROR)
		return rc;
	if (cmd->commandCode == VDC_Flush)
		code = confirmed(FRAME_FLUSH, false) ? ERROR_SUCCESS :
						       ERROR_IO_DEVICE;
	return vdi_client_complete_command(device, cmd, code, 0, 0);
}

static int take_command(void)
{
	struct VDC_Command *cmd;
	int rc;

	rc = vdi_client_get_command(device, count ? 0 : -1, &cmd);
	if (rc != NOERROR)
		return rc;
	if (cmd->commandCode != VDC_Write)
		return execute(cmd);
	*nth(count++) = (struct held){
		.cmd = cmd,
		.frame = { htole32(FRAME_DATA), htole32(cmd->size) },
	};
	return NOERROR;
}

/* Returns VD_E_CLOSE at the normal end, NOERROR after a socket error. */
static int serve(void)
{
	int rc;

	for (;;) {
		rc = count < MAX_HELD ? take_command() : VD_E_TIMEOUT;
		if (rc != NOERROR && rc != VD_E_TIMEOUT)
			return rc;
		if (error)
			return NOERROR;
		if (hung_up && count)
			return VD_E_ABORT;
		send_next();
		if (rc == VD_E_TIMEOUT) {
			poll_device(count < MAX_HELD ? POLLIN : 0);
			wait_for_ring();
		}
		if (complete_released() != NOERROR)
			return VD_E_ABORT;
	}
}

/*
 * Closing the set unmaps the buffers, so the kernel must have released them before.
 * It holds data that the peer has not acknowledged until the connection is reset.
 */
static void reset_connection(void)
{
	struct linger now = { .l_onoff = 1 };
	unsigned int i, owned;

	shutdown(sock, SHUT_RDWR);
	while (sending)
		wait_for_ring();
	setsockopt(sock, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(sock);
	for (;;) {
		for (owned = i = 0; i < MAX_HELD; i++)
			owned += held[i].owned;
		if (!owned)
			return;
		wait_for_ring();
	}
}

static bool begin(const char *name)
{
	struct VDConfig config = { .deviceCount = 1 };
	int rc;

	if (vdi_client_new(&client))
		return false;
	rc = vdi_client_create(client, NULL, name, &config, NULL);
	if (rc == NOERROR)
		rc = vdi_client_get_configuration(client, 300000, &config);
	if (rc == NOERROR)
		rc = vdi_client_open_device(client, name, &device);
	return rc == NOERROR;
}

static bool run(const char *name)
{
	int rc;

	if (!begin(name))
		return false;
	rc = serve();
	if (rc == VD_E_CLOSE && confirmed(FRAME_END, true))
		return true;
	if (error)
		vdi_client_signal_abort(client, error, strerror(error));
	return false;
}

static void report_error(void)
{
	struct vdi_abort_info info;
	char why[256];

	if (error)
		snprintf(why, sizeof(why), "%s", strerror(error));
	else if (vdi_client_abort_info(client, &info) == NOERROR && info.reason)
		vdi_abort_describe(&info, why, sizeof(why));
	else
		vdi_client_message(client, why, sizeof(why));
	fprintf(stderr, "send: %s\n", why);
}

int main(int argc, char **argv)
{
	bool good;

	if (argc != 4) {
		fprintf(stderr, "usage: send NAME HOST PORT\n");
		return 2;
	}
	if (io_uring_queue_init(2 * MAX_HELD, &ring, 0)) {
		fprintf(stderr, "send: io_uring is not available\n");
		return 1;
	}
	sock = connect_to(argv[2], argv[3]);
	if (sock < 0)
		return 1;
	good = run(argv[1]);
	if (!good)
		report_error();
	reset_connection();
	io_uring_queue_exit(&ring);
	vdi_client_free(client);
	if (good && report)
		printf("%lu sends, of which the kernel copied %lu\n", sends,
		       copied);
	return !good;
}
